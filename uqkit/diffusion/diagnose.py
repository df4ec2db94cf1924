"""What is doubtful about a run, in words."""

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = ["off_path", "too_stiff", "verdict"]

# Effective shares below which estimates are doubted, and not to be used.
_SMALL_SHARE, _LOST_SHARE = 0.05, 0.005
# Relative error of the normaliser from which its interval is doubted: the delta method needs small ones.
_LARGE_ERROR = 0.3
# Independent first particles an island needs.
_FEW_ROOTS = 20
# Stein discrepancies that are both significant and large relative to their terms, which are of the size dim.
_STEIN_Z, _STEIN_SHARE = 5.0, 0.1
_STIFF = 1.0


def too_stiff(stiffness: Float[np.ndarray, "step island"]) -> Bool[np.ndarray, " step"]:
    """Steps that are too long for the curvature in some island."""
    return (stiffness > _STIFF).any(axis=1)


def off_path(stein: Float[np.ndarray, "step island"], dim: int) -> Bool[np.ndarray, " step"]:
    """Steps after which particles are clearly not of the density that the scores say."""
    error = stein.std(axis=1, ddof=1) / np.sqrt(stein.shape[1])
    size = np.abs(stein.mean(axis=1))
    return (size > _STEIN_Z * error) & (size > _STEIN_SHARE * dim)


def verdict(
    *,
    share: Float[np.ndarray, "step island"],
    log_weight: Float[np.ndarray, "island particle"],
    root: Int[np.ndarray, "island particle"],
    stein: Float[np.ndarray, "step island"],
    stiffness: Float[np.ndarray, "step island"],
    dim: int,
    final: bool,
) -> tuple[str, str]:
    """The level, ok, warn or fail, and why.

    Args:
        share: Effective share before resampling, at each step.
        log_weight: At the end, in nats; -inf where the density is zero, though not everywhere.
        root: First particle that each last one descends from.
        stein: Stein discrepancy at each step.
        stiffness: At each step.
        dim: Number of coordinates.
        final: Whether weights are exact for a known final density, so that the path's errors do not count.
    """
    findings: list[tuple[bool, str]] = []
    weight = np.exp(log_weight - log_weight.max())
    total = weight.mean(axis=1)
    error = total.std(ddof=1) / np.sqrt(len(total)) / total.mean()
    last = weight.sum() ** 2 / (weight**2).sum() / weight.size
    lost = min(float(share.mean(axis=1).min()), last)
    if lost < _SMALL_SHARE:
        findings.append(
            (
                bool(lost < _LOST_SHARE),
                f"the effective share of particles falls to {lost:.2g}: take more particles or steps, resample at a "
                "higher threshold, or add RegressionControl()",
            )
        )
    dead = np.flatnonzero(total == 0)
    if len(dead):
        findings.append(
            (
                True,
                f"no particle of island {', '.join(map(str, dead))} is where the density is above zero, so that its "
                "draws are of nothing: take more particles or steps",
            )
        )
    if error > _LARGE_ERROR:
        findings.append(
            (
                bool(error > 1),
                f"the normaliser's relative standard error is {error:.2g}, too large for its interval: take more "
                "particles",
            )
        )
    n_roots = np.mean([len(np.unique(each)) for each in root])
    if n_roots < _FEW_ROOTS:
        findings.append(
            (
                bool(n_roots < 2),
                f"all particles of an island descend from {n_roots:.1f} first ones: resample less often or take more "
                "particles",
            )
        )
    stiff = too_stiff(stiffness)
    if stiff.any():
        findings.append(
            (
                False,
                f"steps are too long for the density's curvature (step times curvature {stiffness.max():.2g}, above 1, "
                f"first at step {int(stiff.argmax())}): take more steps or a lower langevin",
            )
        )
    off = off_path(stein, dim)
    if off.any() and not final:
        size = np.abs(stein.mean(axis=1))
        worst = int(np.where(off, size, 0).argmax())
        findings.append(
            (
                False,
                f"particles leave the path that the scores say (Stein discrepancy {size[worst] / dim:.2g} of 1 a "
                f"coordinate at step {worst}): steps are too long, or the scores are of no density; try more steps, "
                "another transport, or a known final density",
            )
        )
    if not findings:
        trusted = "" if final else " as far as the scores are right"
        return "ok", f"weights, steps and scores agree: estimates and intervals can be used{trusted}."
    level = "fail" if any(serious for serious, _ in findings) else "warn"
    return level, "; ".join(text for _, text in findings) + "."
