"""Proposals over components and the nominal law, the draws made from them, and functions of known mean."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp

from uqkit.sensitivity.importance.targets import Targets
from uqkit.stats import MixtureStack, n_scores, scores

__all__ = [
    "NOMINAL",
    "Draws",
    "History",
    "Proposal",
    "clipped_exp",
    "control_order",
    "draw",
    "evaluate_draws",
    "extend_history",
    "join",
    "known_integrals",
    "law_points",
    "start_history",
]

# exp of more than this many nats is clipped: beyond it squares overflow. Floors keep healthy ratios far below.
LARGEST_LOG_RATIO = 300.0
# A draw where every law is below this has no weight in double precision: the model is not asked about it.
_SMALLEST_LOG_DENSITY = -700.0


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Evaluated points.

    Attributes:
        x: Coordinates.
        value: Functions there.
        log_law: Log density of each law.
        log_nominal: Log density of the equal mixture of the laws.
    """

    x: Float[np.ndarray, "draw dim"]
    value: Float[np.ndarray, "draw function"]
    log_law: Float[np.ndarray, "draw law"]
    log_nominal: Float[np.ndarray, " draw"]

    def __len__(self) -> int:
        """Number of draws."""
        return len(self.x)

    def ratio(self, log_proposal: Float[np.ndarray, " draw"]) -> Float[np.ndarray, "draw expectation"]:
        """Ratios phi f / g for every function under every law; a zero phi or f gives an exact zero."""
        weight = clipped_exp(self.log_law - log_proposal[:, None])
        return (self.value[:, :, None] * weight[:, None, :]).reshape(len(self), -1)

    def rows(self, chosen: slice | Int[np.ndarray, " row"]) -> "Draws":
        """Some of the draws."""
        return Draws(
            x=self.x[chosen],
            value=self.value[chosen],
            log_law=self.log_law[chosen],
            log_nominal=self.log_nominal[chosen],
        )


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """g = sum_k share_k g_k over the stack's components, then the nominal law as the last component.

    Attributes:
        stack: The fitted components; None for the nominal law alone.
        share: One a component and one for the nominal law; sums to one.
    """

    stack: MixtureStack | None
    share: Float[np.ndarray, " share"]

    def log_columns(
        self, x: Float[np.ndarray, "draw dim"], log_nominal: Float[np.ndarray, " draw"]
    ) -> Float[np.ndarray, "draw share"]:
        """Log density of every component and of the nominal law."""
        if self.stack is None:
            return log_nominal[:, None]
        return np.column_stack([self.stack.log_density(x), log_nominal])

    def log_density(
        self, x: Float[np.ndarray, "draw dim"], log_nominal: Float[np.ndarray, " draw"]
    ) -> Float[np.ndarray, " draw"]:
        """Log g."""
        used = self.share > 0
        return np.asarray(logsumexp(self.log_columns(x, log_nominal)[:, used] + np.log(self.share[used]), axis=1))


NOMINAL = Proposal(stack=None, share=np.ones(1))


def clipped_exp(log_ratio: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Exponential of a log ratio, without overflow of its square."""
    return np.exp(np.minimum(log_ratio, LARGEST_LOG_RATIO))


def evaluate_draws(targets: Targets, x: Float[np.ndarray, "draw dim"]) -> Draws:
    """The laws and the functions at points; draws at which the model failed are left out."""
    log_law = np.column_stack([law.log_density(x) for law in targets.laws])
    value = np.zeros((len(x), targets.n_functions))
    alive = log_law.max(axis=1) > _SMALLEST_LOG_DENSITY
    if alive.any():
        value[alive] = targets.values(x[alive])
    ok = np.isfinite(value).all(axis=1)
    log_nominal = np.asarray(logsumexp(log_law, axis=1)) - np.log(log_law.shape[1])
    return Draws(x=x[ok], value=value[ok], log_law=log_law[ok], log_nominal=log_nominal[ok])


def law_points(targets: Targets, law: int, n_draws: int, rng: np.random.Generator) -> Float[np.ndarray, "draw dim"]:
    """Independent draws of one law, without calling a function."""
    return targets.laws[law].from_unit(rng.random((n_draws, targets.dim)) + 2.0**-54)


def proposal_points(
    targets: Targets, proposal: Proposal, n_draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "draw dim"]:
    """Independent draws of the proposal, without calling a function."""
    n_components = len(proposal.share) - 1
    component = rng.choice(n_components + 1, size=n_draws, p=proposal.share)
    nominal = component == n_components
    law = rng.integers(len(targets.laws), size=n_draws)
    x = np.empty((n_draws, targets.dim))
    if proposal.stack is not None:
        x[~nominal] = proposal.stack.sample(component[~nominal], rng)
    for index in range(len(targets.laws)):
        rows = nominal & (law == index)
        x[rows] = law_points(targets, index, int(rows.sum()), rng)
    return x


def draw(targets: Targets, proposal: Proposal, n_draws: int, rng: np.random.Generator) -> Draws:
    """Independent evaluated draws of the proposal."""
    return evaluate_draws(targets, proposal_points(targets, proposal, n_draws, rng))


def join(parts: Sequence[Draws]) -> Draws:
    """All draws, in order."""
    return Draws(
        x=np.concatenate([part.x for part in parts]),
        value=np.concatenate([part.value for part in parts]),
        log_law=np.concatenate([part.log_law for part in parts]),
        log_nominal=np.concatenate([part.log_nominal for part in parts]),
    )


@dataclass(frozen=True, kw_only=True)
class History:
    """All draws so far with the count-weighted mixture h of every proposal used: the balance heuristic.

    Attributes:
        draws: All of them, in order.
        proposals: One a batch.
        counts: Draws a batch.
        log_proposals: Every proposal at every draw.

    Reference:
        Veach & Guibas (1995), Optimally combining sampling techniques for Monte Carlo rendering.
    """

    draws: Draws
    proposals: tuple[Proposal, ...]
    counts: tuple[int, ...]
    log_proposals: Float[np.ndarray, "draw batch"]

    def __len__(self) -> int:
        """Number of draws."""
        return len(self.draws)

    @property
    def log_balance(self) -> Float[np.ndarray, " draw"]:
        """Log h."""
        return np.asarray(logsumexp(self.log_proposals + np.log(np.array(self.counts) / len(self)), axis=1))


def start_history(draws: Draws, proposal: Proposal) -> History:
    """The first batch."""
    log_proposal = proposal.log_density(draws.x, draws.log_nominal)
    return History(draws=draws, proposals=(proposal,), counts=(len(draws),), log_proposals=log_proposal[:, None])


def extend_history(history: History, draws: Draws, proposal: Proposal) -> History:
    """Append a batch: earlier proposals are evaluated at the new draws, the new proposal at all draws."""
    earlier = np.column_stack([old.log_density(draws.x, draws.log_nominal) for old in history.proposals])
    everything = join([history.draws, draws])
    newest = proposal.log_density(everything.x, everything.log_nominal)
    return replace(
        history,
        draws=everything,
        proposals=(*history.proposals, proposal),
        counts=(*history.counts, len(draws)),
        log_proposals=np.column_stack([np.concatenate([history.log_proposals, earlier]), newest]),
    )


def control_order(proposal: Proposal, n_draws: int, highest: int, draws_per_control: float = 20.0) -> int:
    """The highest score order whose number of controls is at most n_draws / draws_per_control; 0 if none."""
    if proposal.stack is None:
        return 0
    n_parts, dim = proposal.stack.mean.shape
    for order in range(highest, 0, -1):
        if len(proposal.share) + n_parts * n_scores(dim, order) <= n_draws / draws_per_control:
            return order
    return 0


def known_integrals(
    proposal: Proposal, draws: Draws, log_reference: Float[np.ndarray, " draw"], order: int
) -> tuple[Float[np.ndarray, "draw control"], Float[np.ndarray, " control"]]:
    """Functions over the reference density whose integrals are known, and those integrals.

    They are g_k / h for every component and the nominal law, of integral 1, then g_p / h times each score of each part,
    of integral 0.
    """
    component = clipped_exp(proposal.log_columns(draws.x, draws.log_nominal) - log_reference[:, None])
    known = np.ones(component.shape[1])
    if proposal.stack is None or order == 0:
        return component, known
    part = clipped_exp(proposal.stack.parts.log_density(draws.x) - log_reference[:, None])
    score = (part[..., None] * scores(proposal.stack, draws.x, order)).reshape(len(draws), -1)
    return np.concatenate([component, score], axis=1), np.concatenate([known, np.zeros(score.shape[1])])
