"""Adaptive importance sampling with control variates for many expectations from one sample, hardened.

Components are fitted to each phi_j f_j by cross-entropy, their shares by a convex problem, and every component is a
control variate of every expectation. Against the published algorithm: shares have floors and the nominal law always
takes part, so weights are bounded; signed integrands are fitted by parts; rare events are reached by tempering; the
covariance is shrunk where draws are few; the components' scores are further controls.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from uqkit.errors import InputError
from uqkit.sensitivity.importance.families import Family, Moments, ShrunkGaussian, StudentT
from uqkit.sensitivity.importance.method import Exploration, Sampled
from uqkit.sensitivity.importance.proposals import (
    NOMINAL,
    Draws,
    History,
    Proposal,
    control_order,
    draw,
    extend_history,
    known_integrals,
    law_points,
    start_history,
)
from uqkit.sensitivity.importance.published import PublishedImportanceSampling
from uqkit.sensitivity.importance.shares import SMALLEST_MIXTURE, monotone_shares
from uqkit.sensitivity.importance.targets import Coordinates, StandardNormal, Targets
from uqkit.stats import (
    MixtureStack,
    concatenate,
    cross_fitted_estimate,
    effective_sample_size,
    truncated_solve,
)

__all__ = [
    "AdaptiveImportanceSampling",
    "Tempering",
    "relative_weights",
    "weighted_residual",
]


@dataclass(frozen=True, kw_only=True)
class Tempering:
    """What to do while the draws miss where an integrand lives: rare events, very skewed integrands.

    Batches then also come from the nominal law inflated by each of `inflations`, and a component is fitted to
    phi_j f^tau with the largest tau in [0, 1] that enough draws carry. At tau = 1 tempering ends.

    Attributes:
        inflations: Factors on the nominal law's standard deviations.
        share: Of a batch drawn from the inflated laws.
        min_draws_per_input: Effective draws an input that a component needs.
        n_temperatures: Values of tau that are tried.
    """

    inflations: tuple[float, ...] = (1.5, 2.0, 3.0)
    share: float = 0.5
    min_draws_per_input: float = 2.0
    n_temperatures: int = 21


@dataclass(frozen=True, kw_only=True)
class AdaptiveImportanceSampling:
    """Adaptive importance sampling with control variates, hardened; `published()` is the paper's own.

    Attributes:
        family: Fitted to each non-negative part of phi_j f_j: ShrunkGaussian, FullGaussian, DiagonalGaussian,
            GaussianMixture or StudentT.
        floor: Total of the least shares of the components, so that g_k / g is bounded by their number over it.
        defensive: Least share of the nominal law, which bounds f / g by its inverse.
        score_order: Highest order of the components' scores used as controls beside the components (1: location, 2:
            scale too), lowered where the sample is small for so many. On smooth integrands that follow a component
            closely they gain further orders of magnitude, but what they leave has rare large values, and intervals
            then cover less than they say (0.75 to 0.95 of the time in our trials at 95%). 0 uses the components only.
        expectation_weights: w_j of the criterion sum_j w_j Var_j; None for relative variances, 1 / I_j^2.
        batch_share: Of the budget, a batch of exploration.
        max_exploration_share: Of the budget, all exploration.
        recycle: Keep the exploration draws in the estimate by the balance heuristic: more precise where integrands are
            smooth, no longer unbiased, and not for rare events, where its intervals are too short.
        tempering: None never inflates.
        coordinates: Where the components are fitted.

    Reference:
        Demange-Chryst, Bachoc & Morio (2023), Statistics and Computing 33; controls by Owen & Zhou (2000), JASA 95;
        shares as in He & Owen (2014), Optimal mixture weights in multiple importance sampling.
    """

    family: Family = field(default_factory=ShrunkGaussian)
    floor: float = 0.3
    defensive: float = 0.1
    score_order: int = 0
    expectation_weights: tuple[float, ...] | None = None
    batch_share: float = 0.05
    max_exploration_share: float = 0.5
    recycle: bool = False
    tempering: Tempering | None = field(default_factory=Tempering)
    coordinates: Coordinates = field(default_factory=StandardNormal)

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            InputError: If shares are out of their ranges.
        """
        if not (self.floor > 0 and self.defensive > 0 and self.floor + self.defensive < 1):
            raise InputError(
                f"floor ({self.floor}) and defensive ({self.defensive}) must be above zero with a sum below 1; "
                "at zero weights are unbounded."
            )
        if not 0 < self.batch_share <= self.max_exploration_share < 1:
            raise InputError(
                f"batch_share is {self.batch_share} and max_exploration_share {self.max_exploration_share}; "
                "pass 0 < batch_share <= max_exploration_share < 1, the rest is the final sample."
            )

    @staticmethod
    def published(*, expectation_weights: tuple[float, ...] | None = None) -> PublishedImportanceSampling:
        """The algorithm exactly as published, without the safeguards, to compare with."""
        return PublishedImportanceSampling(expectation_weights=expectation_weights)

    def explore(self, targets: Targets, budget: int, rng: np.random.Generator) -> Exploration:
        """Batches of draws, each followed by a fit to all of them, until another batch would not pay."""
        batch = max(int(self.batch_share * budget), 2)
        limit = int(self.max_exploration_share * budget)
        nominal = _nominal_moments(targets, rng)
        history = start_history(draw(targets, NOMINAL, batch, rng), NOMINAL)
        criterion = [self._criterion(history, NOMINAL, 0)]
        while True:
            fitted, scarce = self._fit(history, nominal)
            if len(history) + batch > limit:
                break
            tempered = bool(scarce.any()) and self.tempering is not None
            proposal = self._inflated(fitted, nominal) if tempered else fitted
            spent = len(history)
            history = extend_history(history, draw(targets, proposal, batch, rng), proposal)
            criterion.append(self._criterion(history, proposal, spent))
            # Predicted final criteria had one stopped before or after this batch; never stop while blind.
            if not tempered and criterion[-2] / (budget - spent) <= criterion[-1] / (budget - len(history)):
                fitted, scarce = self._fit(history, nominal)
                break
        return Exploration(
            proposal=fitted, draws=history.draws, history=history, scarce=scarce, criterion=tuple(criterion)
        )

    def draw(self, targets: Targets, exploration: Exploration, n_draws: int, rng: np.random.Generator) -> Draws:
        """See `ImportanceMethod`."""
        return draw(targets, exploration.proposal, n_draws, rng)

    def combine(self, targets: Targets, exploration: Exploration, final: Draws, rng: np.random.Generator) -> Sampled:
        """From the final draws, or from all draws by the balance heuristic."""
        proposal = exploration.proposal
        draws, log_proposal = final, proposal.log_density(final.x, final.log_nominal)
        if self.recycle:
            assert exploration.history is not None
            everything = extend_history(exploration.history, final, proposal)
            # Cross-fitting needs folds that look alike, and batches come in order.
            shuffled = rng.permutation(len(everything))
            draws, log_proposal = everything.draws.rows(shuffled), everything.log_balance[shuffled]
        order = control_order(proposal, len(draws), self.score_order)
        control, known = known_integrals(proposal, draws, log_proposal, order)
        ratio = draws.ratio(log_proposal)
        return Sampled(
            estimate=cross_fitted_estimate(ratio, control - known),
            draws=draws,
            ratio=ratio,
            control=control - known,
            log_proposal=log_proposal,
        )

    def _fit(self, history: History, nominal: Moments) -> tuple[Proposal, Bool[np.ndarray, " expectation"]]:
        """Components by cross-entropy on all draws, shares by the convex problem; and which expectations are scarce."""
        stack, scarce = self._components(history, nominal)
        if stack is None:
            return NOMINAL, scarce
        return Proposal(stack=stack, share=self._shares(history, stack)), scarce

    def _components(
        self, history: History, nominal: Moments
    ) -> tuple[MixtureStack | None, Bool[np.ndarray, " expectation"]]:
        """One component for each part phi_j^+, phi_j^- that enough draws carry; None if no part was hit."""
        draws, log_balance = history.draws, history.log_balance
        tempering = self.tempering or Tempering(n_temperatures=1)
        enough = max(tempering.min_draws_per_input * draws.x.shape[1], 10.0)
        n_laws = draws.log_law.shape[1]
        scarce = np.ones(draws.value.shape[1] * n_laws, dtype=bool)
        fits = []
        for sign in (1.0, -1.0):
            with np.errstate(divide="ignore"):
                log_value = np.log(np.maximum(sign * draws.value, 0.0))
            for j in range(len(scarce)):
                function, law = divmod(j, n_laws)
                if np.isfinite(log_value[:, function]).sum() < 2:
                    continue
                log_weight, temperature = _tempered_log_weight(
                    log_value[:, function], draws.log_law[:, law], log_balance, enough, tempering.n_temperatures
                )
                scarce[j] &= temperature < 1.0
                fits.append(self.family.fit(draws.x, log_weight, nominal))
        return (concatenate(fits) if fits else None), scarce

    def _shares(self, history: History, stack: MixtureStack, n_rounds: int = 3) -> Float[np.ndarray, " share"]:
        """Alternate coefficients and shares on sum_j w_j mean (Y - C B)_j^2 / (G alpha), convex in both together."""
        n_components = stack.n_components
        floor = np.append(np.full(n_components, self.floor / n_components), self.defensive)
        share = np.append(np.full(n_components, (1 - self.defensive) / n_components), self.defensive)
        proposal = Proposal(stack=stack, share=share)
        draws, log_balance = history.draws, history.log_balance
        order = control_order(proposal, len(draws), self.score_order)
        control, _ = known_integrals(proposal, draws, log_balance, order)
        density = control[:, : n_components + 1]
        target = draws.ratio(log_balance)
        weights = relative_weights(self.expectation_weights, target)
        for _ in range(n_rounds):
            residual = weighted_residual(target, control, density @ share)
            share = monotone_shares(density, residual**2 @ weights, share, floor, n_steps=30)
        return share

    def _inflated(self, proposal: Proposal, nominal: Moments) -> Proposal:
        """Give a share of the proposal to the nominal law's elliptical fit at inflated standard deviations."""
        assert self.tempering is not None
        inflation = np.array(self.tempering.inflations)
        ladder = MixtureStack(
            mean=np.tile(nominal.mean, (len(inflation), 1)),
            cholesky=inflation[:, None, None] * np.linalg.cholesky(nominal.covariance),
            share=np.ones(len(inflation)),
            owner=np.arange(len(inflation)),
            degrees_of_freedom=self.family.degrees_of_freedom if isinstance(self.family, StudentT) else np.inf,
        )
        kept = (1 - self.tempering.share) * proposal.share
        rungs = np.full(len(inflation), self.tempering.share / len(inflation))
        stack = ladder if proposal.stack is None else concatenate([proposal.stack, ladder])
        return Proposal(stack=stack, share=np.concatenate([kept[:-1], rungs, kept[-1:]]))

    def _criterion(self, history: History, proposal: Proposal, start: int) -> float:
        """Weighted sum of N Var_j of one batch with cross-fitted component controls."""
        draws = history.draws.rows(slice(start, None))
        log_proposal = proposal.log_density(draws.x, draws.log_nominal)
        control, known = known_integrals(proposal, draws, log_proposal, 0)
        estimate = cross_fitted_estimate(draws.ratio(log_proposal), control - known)
        weights = relative_weights(self.expectation_weights, history.draws.ratio(history.log_balance))
        return float(len(draws) * estimate.standard_error**2 @ weights)


def _nominal_moments(targets: Targets, rng: np.random.Generator, n_draws: int = 10_000) -> Moments:
    """Mean and covariance of the equal mixture of the laws, from draws that call no function."""
    per_law = max(n_draws // len(targets.laws), 2)
    x = np.concatenate([law_points(targets, law, per_law, rng) for law in range(len(targets.laws))])
    return Moments(mean=x.mean(axis=0), covariance=np.atleast_2d(np.cov(x.T)))


def _tempered_log_weight(
    log_value: Float[np.ndarray, " draw"],
    log_law: Float[np.ndarray, " draw"],
    log_balance: Float[np.ndarray, " draw"],
    enough: float,
    n_temperatures: int,
) -> tuple[Float[np.ndarray, " draw"], float]:
    """Log of phi f^tau / h for the largest tau in [0, 1] carried by `enough` effective draws, and that tau.

    tau is 0 also where even that has too few draws.
    """
    log_weight = log_value - log_balance
    for tau in np.linspace(1.0, 0.0, n_temperatures):
        tempered = log_weight + (tau * log_law if tau > 0 else 0.0)
        if effective_sample_size(tempered) >= enough:
            return tempered, float(tau)
    return log_weight, 0.0


def relative_weights(
    weights: tuple[float, ...] | None, ratio: Float[np.ndarray, "draw expectation"]
) -> Float[np.ndarray, " expectation"]:
    """The weights given, or 1 / I_j^2 from the draws; an expectation not seen yet gets 0."""
    if weights is not None:
        return np.broadcast_to(np.asarray(weights, dtype=float), (ratio.shape[1],))
    magnitude = np.abs(ratio).mean(axis=0)
    return np.divide(1.0, magnitude**2, out=np.zeros_like(magnitude), where=magnitude > 0)


def weighted_residual(
    target: Float[np.ndarray, "draw expectation"],
    control: Float[np.ndarray, "draw control"],
    mixture: Float[np.ndarray, " draw"],
) -> Float[np.ndarray, "draw expectation"]:
    """Y - C B with B by least squares with row weights 1 / mixture."""
    root = 1.0 / np.sqrt(np.maximum(mixture, SMALLEST_MIXTURE))[:, None]
    scale = np.sqrt(np.mean((control * root) ** 2, axis=0))
    scaled = control / np.where(scale > 0, scale, 1.0)
    gram = (scaled * root).T @ (scaled * root)
    return target - scaled @ truncated_solve(gram, (scaled * root**2).T @ target)
