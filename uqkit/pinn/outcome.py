"""What a method returns, whatever it was."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from uqkit.inference import Draws

__all__ = ["Outcome"]


@dataclass(frozen=True)
class Outcome:
    """Draws of a posterior, and where they come from.

    Attributes:
        position: Of the target's coordinates.
        noise_scale: Of each constraint.
        sampled_scales: Constraints whose noise scale was sampled.
        independent: Whether the draws are independent by construction.
        gaussian: Whether they are of the Laplace approximation, whose moments are known exactly.
        draws: The sampler's own report, if there was one.
    """

    position: Float[np.ndarray, "chain draw dim"]
    noise_scale: Float[np.ndarray, "chain draw constraint"]
    sampled_scales: tuple[str, ...]
    independent: bool
    gaussian: bool
    draws: Draws | None
