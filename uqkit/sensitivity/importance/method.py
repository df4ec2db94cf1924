"""What every importance sampler is: three steps, and what passes between them."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from uqkit.sensitivity.importance.proposals import Draws, History, Proposal
from uqkit.sensitivity.importance.targets import Coordinates, Targets
from uqkit.stats import Estimate

__all__ = ["Exploration", "ImportanceMethod", "Sampled"]


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """What exploration leaves.

    Attributes:
        proposal: What the final sample is drawn from.
        draws: All exploration draws; None where there were none.
        history: The same with the proposals that they came from, where the method recycles.
        scarce: Expectations that too few draws carried for a component to be aimed at them.
        coefficient: Control coefficients frozen by exploration, where the method freezes them.
        criterion: Sum of weighted variances a batch, each from that batch alone.
    """

    proposal: Proposal
    draws: Draws | None
    history: History | None
    scarce: Bool[np.ndarray, " expectation"]
    coefficient: Float[np.ndarray, " expectation"] | None = None
    criterion: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """Estimates, and the draws behind them.

    Attributes:
        estimate: The expectations.
        draws: Behind the estimate.
        ratio: Their phi f / g.
        control: Functions of known mean zero at the draws.
        log_proposal: Log g there, or of the balance mixture when exploration draws are recycled.
    """

    estimate: Estimate
    draws: Draws
    ratio: Float[np.ndarray, "draw expectation"]
    control: Float[np.ndarray, "draw control"]
    log_proposal: Float[np.ndarray, " draw"]


@runtime_checkable
class ImportanceMethod(Protocol):
    """An importance sampler in three steps, so that its final sample can be continued."""

    @property
    def coordinates(self) -> Coordinates:
        """Where it works."""
        ...

    def explore(self, targets: Targets, budget: int, rng: np.random.Generator) -> Exploration:
        """Spend a part of the budget on finding a proposal."""
        ...

    def draw(self, targets: Targets, exploration: Exploration, n_draws: int, rng: np.random.Generator) -> Draws:
        """Independent draws of the final sample."""
        ...

    def combine(self, targets: Targets, exploration: Exploration, final: Draws, rng: np.random.Generator) -> Sampled:
        """The estimates from the final sample."""
        ...
