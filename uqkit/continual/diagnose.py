"""What is doubtful about what was learned, in words."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

__all__ = ["COLLAPSED", "SATURATED", "verdict"]

# Mean of 1 - m^2 above which a posterior is still its prior, and below which hardly a sign can change any more.
COLLAPSED, SATURATED = 0.95, 0.02
# Standard errors by which a task just learned must beat guessing.
_SURELY = 3.0


def verdict(
    *,
    tasks: Sequence[str],
    learned: Float[np.ndarray, " task"],
    chance: Float[np.ndarray, " task"],
    error: Float[np.ndarray, " task"],
    mean_variance: Float[np.ndarray, "task layer"] | None,
    n_epochs: int,
) -> tuple[str, str]:
    """The level, ok, warn or fail, and why.

    Args:
        tasks: Names, in the order learned.
        learned: Accuracy on each task right after it was learned.
        chance: Accuracy of the commonest class.
        error: Standard error of the accuracy.
        mean_variance: Of the weights in each layer after each task; None where weights have none.
        n_epochs: Of each task.
    """
    findings: list[tuple[bool, str]] = []
    for number, task in enumerate(tasks):
        if learned[number] < chance[number] + _SURELY * error[number]:
            findings.append(
                (
                    True,
                    f"task {task!r} was not learned: {learned[number]:.1%} right after its {n_epochs} epochs, where "
                    f"the commonest class alone has {chance[number]:.1%}: take a lower strength, more epochs or "
                    "another learning rate",
                )
            )
        if mean_variance is None:
            continue
        for layer in np.flatnonzero(mean_variance[number] > COLLAPSED):
            findings.append(
                (
                    False,
                    f"after task {task!r} layer {layer} has collapsed to its prior (mean 1 - m^2 "
                    f"{mean_variance[number, layer]:.2f}): take a lower strength, more epochs or a higher "
                    "learning rate",
                )
            )
        for layer in np.flatnonzero(mean_variance[number] < SATURATED):
            findings.append(
                (
                    False,
                    f"after task {task!r} layer {layer} is saturated (mean 1 - m^2 {mean_variance[number, layer]:.3f}) "
                    "and can hardly learn more: take memory below 1, a lower strength for the divergence of later "
                    "tasks, or a wider network",
                )
            )
    if not findings:
        return "ok", "nothing was found wrong."
    level = "fail" if any(bad for bad, _ in findings) else "warn"
    return level, "; ".join(text for _, text in findings) + "."
