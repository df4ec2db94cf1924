"""The algorithm exactly as published and released, for comparison and for reproducing its figures."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from uqkit.errors import InputError
from uqkit.sensitivity.importance.families import Family, FullGaussian, Moments
from uqkit.sensitivity.importance.method import Exploration, Sampled
from uqkit.sensitivity.importance.proposals import (
    NOMINAL,
    Draws,
    History,
    Proposal,
    clipped_exp,
    draw,
    extend_history,
    start_history,
)
from uqkit.sensitivity.importance.shares import published_shares
from uqkit.sensitivity.importance.targets import Coordinates, Physical, Targets
from uqkit.stats import concatenate, diagonal_coefficient, frozen_estimate

__all__ = ["PublishedImportanceSampling"]


@dataclass(frozen=True, kw_only=True)
class PublishedImportanceSampling:
    """One component and one control an expectation, no floor, no defensive component.

    Attributes:
        family: Fitted to each phi_j f_j; FullGaussian or GaussianMixture in the paper.
        expectation_weights: w_j of the criterion; 1 for all if None.
        batch_share: Of the budget, a batch of exploration.
        max_exploration_share: Of the budget, all exploration.
        coordinates: Where the components are fitted.

    Reference:
        Demange-Chryst, Bachoc & Morio (2023), Statistics and Computing 33, and the code released with it.
    """

    family: Family = field(default_factory=FullGaussian)
    expectation_weights: tuple[float, ...] | None = None
    batch_share: float = 0.1
    max_exploration_share: float = 0.5
    coordinates: Coordinates = field(default_factory=Physical)

    def explore(self, targets: Targets, budget: int, rng: np.random.Generator) -> Exploration:
        """Fit, share, draw and stop as the paper does.

        Raises:
            InputError: If an integrand is negative, or no draw of the first batch hit one: there the algorithm ends.
        """
        batch, limit = int(self.batch_share * budget), self.max_exploration_share * budget
        history = start_history(draw(targets, NOMINAL, batch, rng), NOMINAL)
        ratio = history.draws.ratio(history.log_balance)
        weights = np.ones(ratio.shape[1])
        if self.expectation_weights is not None:
            weights = np.broadcast_to(np.asarray(self.expectation_weights, dtype=float), weights.shape)
        if np.any(ratio < 0):
            raise InputError(
                "the published algorithm needs functions that are not negative; use AdaptiveImportanceSampling(), "
                "which fits their positive and negative parts."
            )
        unseen = np.flatnonzero(~(ratio.sum(axis=0) > 0))
        if len(unseen):
            raise InputError(
                f"no draw of the first batch hit {targets.name(int(unseen[0]))}, so the published algorithm ends in "
                "0/0; use AdaptiveImportanceSampling(), which tempers."
            )
        coefficient = ratio.mean(axis=0)
        share = np.sqrt(weights) * coefficient / (np.sqrt(weights) @ coefficient)
        criterion = [float(weights @ ratio.var(axis=0))]
        while True:
            spent = len(history)
            proposal = self._fit(history, share, coefficient, weights)
            share = proposal.share[:-1]
            new = draw(targets, proposal, batch, rng)
            history = extend_history(history, new, proposal)
            coefficient, latest = _batch_coefficient(proposal, new, weights)
            criterion.append(latest)
            # The released code keeps the newer parameters when it stops.
            if criterion[-2] / (budget - spent) <= criterion[-1] / (budget - len(history)) or len(history) >= limit:
                break
        return Exploration(
            proposal=proposal,
            draws=history.draws,
            history=history,
            scarce=np.zeros(len(coefficient), dtype=bool),
            coefficient=coefficient,
            criterion=tuple(criterion),
        )

    def draw(self, targets: Targets, exploration: Exploration, n_draws: int, rng: np.random.Generator) -> Draws:
        """Fresh draws of the last proposal."""
        return draw(targets, exploration.proposal, n_draws, rng)

    def combine(self, targets: Targets, exploration: Exploration, final: Draws, rng: np.random.Generator) -> Sampled:
        """One control an expectation with the coefficient that exploration left; strictly unbiased."""
        assert exploration.coefficient is not None
        log_proposal = exploration.proposal.log_density(final.x, final.log_nominal)
        ratio = final.ratio(log_proposal)
        control = _diagonal_control(exploration.proposal, final, log_proposal) - 1.0
        return Sampled(
            estimate=frozen_estimate(ratio, control, np.diag(exploration.coefficient)),
            draws=final,
            ratio=ratio,
            control=control,
            log_proposal=log_proposal,
        )

    def _fit(
        self,
        history: History,
        share: Float[np.ndarray, " expectation"],
        coefficient: Float[np.ndarray, " expectation"],
        weights: Float[np.ndarray, " expectation"],
    ) -> Proposal:
        draws, log_balance = history.draws, history.log_balance
        dim = draws.x.shape[1]
        nominal = Moments(mean=np.zeros(dim), covariance=np.eye(dim))
        with np.errstate(divide="ignore"):
            log_value = np.log(draws.value)[:, :, None] + draws.log_law[:, None, :] - log_balance[:, None, None]
        stack = concatenate(
            [self.family.fit(draws.x, column, nominal) for column in log_value.reshape(len(draws), -1).T]
        )
        density = clipped_exp(stack.log_density(draws.x) - log_balance[:, None])
        criterion = (draws.ratio(log_balance) - coefficient * density) ** 2 @ weights
        return Proposal(stack=stack, share=np.append(published_shares(density, criterion, share), 0.0))


def _diagonal_control(
    proposal: Proposal, draws: Draws, log_proposal: Float[np.ndarray, " draw"]
) -> Float[np.ndarray, "draw expectation"]:
    """The control g_j / g of each expectation."""
    assert proposal.stack is not None
    return clipped_exp(proposal.stack.log_density(draws.x) - log_proposal[:, None])


def _batch_coefficient(
    proposal: Proposal, draws: Draws, weights: Float[np.ndarray, " expectation"]
) -> tuple[Float[np.ndarray, " expectation"], float]:
    """Coefficients and criterion from one batch alone."""
    log_proposal = proposal.log_density(draws.x, draws.log_nominal)
    ratio, control = draws.ratio(log_proposal), _diagonal_control(proposal, draws, log_proposal)
    coefficient = diagonal_coefficient(ratio, control)
    return coefficient, float(weights @ (ratio - coefficient * control).var(axis=0))
