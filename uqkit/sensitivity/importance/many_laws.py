"""One sample for many laws: mixture importance sampling with every law's density, and a surrogate, as controls."""

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from uqkit.errors import InputError
from uqkit.sensitivity.importance.adaptive import relative_weights, weighted_residual
from uqkit.sensitivity.importance.method import Exploration, Sampled
from uqkit.sensitivity.importance.proposals import NOMINAL, Draws, evaluate_draws, law_points
from uqkit.sensitivity.importance.shares import monotone_shares
from uqkit.sensitivity.importance.surrogate import PolynomialSurrogate, surrogate_corrected
from uqkit.sensitivity.importance.targets import Coordinates, StandardNormal, Targets
from uqkit.stats import cross_fitted_estimate

__all__ = ["MixtureImportanceSampling"]


@dataclass(frozen=True, kw_only=True)
class MixtureImportanceSampling:
    """Draws from a mixture h of the laws, with f_k / h - 1 for every law as controls; nothing is adapted.

    Attributes:
        surrogate: Also subtract a polynomial whose means under the laws are known.
        pilot_share: Of the budget, drawn from the equal mixture to fit the laws' shares and then set aside, so that the
            estimate is unbiased; 0 keeps the equal mixture. Not used with a surrogate, whose remainder it cannot know.
        floor: Each law's share is at least floor / n_laws, so that f_j / h is bounded by its inverse.
        expectation_weights: w_j of the shares' criterion; None for 1 / I_j^2.
        coordinates: Where the polynomial is one.

    Reference:
        Owen & Zhou (2000), Safe and effective importance sampling, JASA 95.
    """

    surrogate: PolynomialSurrogate | None = None
    pilot_share: float = 0.1
    floor: float = 0.3
    expectation_weights: tuple[float, ...] | None = None
    coordinates: Coordinates = field(default_factory=StandardNormal)

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            InputError: If a share is out of its range.
        """
        if not 0 <= self.pilot_share < 1:
            raise InputError(f"pilot_share is {self.pilot_share}; pass a share in [0, 1), 0 keeps the equal mixture.")
        if not 0 < self.floor <= 1:
            raise InputError(f"floor is {self.floor}; pass a share in (0, 1], at 0 weights are unbounded.")

    def explore(self, targets: Targets, budget: int, rng: np.random.Generator) -> Exploration:
        """Shares of the laws, from a pilot sample."""
        n_laws = len(targets.laws)
        share = np.full(n_laws, 1.0 / n_laws)
        n_pilot = 0 if self.surrogate is not None or n_laws == 1 else int(self.pilot_share * budget)
        pilot = None
        if n_pilot:
            pilot = _draw_from_laws(targets, share, n_pilot, rng)
            share = self._fit_shares(pilot)
        return Exploration(
            # The laws' shares stand where an adapted proposal has its components'.
            proposal=replace(NOMINAL, share=share),
            draws=pilot,
            history=None,
            scarce=np.zeros(targets.n_expectations, dtype=bool),
        )

    def draw(self, targets: Targets, exploration: Exploration, n_draws: int, rng: np.random.Generator) -> Draws:
        """Independent draws of the mixture of the laws."""
        return _draw_from_laws(targets, exploration.proposal.share, n_draws, rng)

    def combine(self, targets: Targets, exploration: Exploration, final: Draws, rng: np.random.Generator) -> Sampled:
        """The regression on the controls, after the surrogate's part if there is one."""
        log_proposal = np.asarray(logsumexp(final.log_law + np.log(exploration.proposal.share), axis=1))
        law_ratio = np.exp(final.log_law - log_proposal[:, None])
        ratio, control = final.ratio(log_proposal), law_ratio - 1.0
        added = np.zeros(ratio.shape[1])
        if self.surrogate is not None:
            ratio, added = surrogate_corrected(targets, self.surrogate, final, law_ratio, ratio, rng)
        estimate = cross_fitted_estimate(ratio, control)
        estimate = replace(estimate, covariance=estimate.covariance + np.diag(added))
        return Sampled(estimate=estimate, draws=final, ratio=ratio, control=control, log_proposal=log_proposal)

    def _fit_shares(self, pilot: Draws, n_rounds: int = 3) -> Float[np.ndarray, " law"]:
        """Shares that minimise sum_j w_j Var_j with every law as control, from draws of the equal mixture."""
        n_laws = pilot.log_law.shape[1]
        density, target = np.exp(pilot.log_law - pilot.log_nominal[:, None]), pilot.ratio(pilot.log_nominal)
        weights = relative_weights(self.expectation_weights, target)
        share, floor = np.full(n_laws, 1.0 / n_laws), np.full(n_laws, self.floor / n_laws)
        for _ in range(n_rounds):
            residual = weighted_residual(target, density, density @ share)
            share = monotone_shares(density, residual**2 @ weights, share, floor, n_steps=30)
        return share


def _draw_from_laws(
    targets: Targets, share: Float[np.ndarray, " law"], n_draws: int, rng: np.random.Generator
) -> Draws:
    """Independent evaluated draws of sum_k share_k f_k."""
    law = rng.choice(len(share), size=n_draws, p=share)
    blocks = [law_points(targets, int(k), int(np.sum(law == k)), rng) for k in np.unique(law)]
    # Folds are contiguous, so the draws must come in random order.
    return evaluate_draws(targets, rng.permutation(np.concatenate(blocks)))
