"""What every sampler of a posterior is."""

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from uqkit._typing import PRNGKey
from uqkit.inference.draws import Draws
from uqkit.problems.target import TargetDensity

__all__ = ["Sampler"]


@runtime_checkable
class Sampler(Protocol):
    """An engine that draws from a posterior: settings, and one method."""

    def sample(
        self,
        target: TargetDensity,
        *,
        key: PRNGKey,
        initial: Float[np.ndarray, "chain dim"] | None = None,
        store: str | Path | None = None,
        progress: bool | None = None,
        warn: bool = True,
    ) -> Draws:
        """Draw from a target.

        Args:
            target: What is drawn from.
            key: All randomness.
            initial: Where each chain starts; draws of the prior where not given.
            store: File (.npz) that keeps the run after each chunk of steps; a later call goes on from it.
            progress: Whether to show a bar on stderr; None shows it only on a terminal.
            warn: Whether to warn of faults of the draws; False where not the coordinates but something else is judged
                (`Draws.judged_by`), which also saves their R-hats.
        """
        ...
