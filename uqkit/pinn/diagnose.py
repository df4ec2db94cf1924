"""What is doubtful about a solution, in words: each finding says what was seen and what to do."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from uqkit.inference import Draws
from uqkit.pinn.fitted import Fit, held_out_residuals, unexplained
from uqkit.problems import Integrated, Measured

__all__ = ["Finding", "constraint_residuals", "findings"]

# Residuals at fresh points may be this many times those at the collocation points.
_HELD_OUT_RATIO = 3.0
# From this share of the features on, the basis has nothing left to say.
_EXHAUSTED = 0.9
# Standard deviations by which a sum of squares may exceed its expectation.
_MISFIT = 5.0
# Residuals of this many times the stated noise are doubted, if that is no chance.
_MISFIT_RATIO = 2.0
# Tolerances that used-up features leave, from which on the band means nothing.
_HOPELESS = 1_000.0
# Factor on a stated tolerance that is worth a word.
_RAISED = 1.5
# From this share of the residual without a field on, a law is not solved.
_UNEXPLAINED = 0.05
# A parameter whose posterior is wider than this share of its prior was not learned.
_UNLEARNED = 0.9
# Standard deviations by which the prior of the fields may move a parameter.
_PULLED = 1.0


@dataclass(frozen=True)
class Finding:
    """One doubt.

    Attributes:
        text: What was seen and what to do.
        serious: Whether the numbers must not be used as they are.
    """

    text: str
    serious: bool


def constraint_residuals(found: Fit) -> dict[str, tuple[float, float]]:
    """Constraint -> its residual over its scale, at its own points and at fresh ones (NaN if none).

    Of measured constraints the root mean square; of laws the root of the integral of the squared residual, whatever the
    number of points.
    """
    noise = found.laplace.mode.scales.noise
    fresh = held_out_residuals(found)
    values = {}
    for constraint in found.setting.problem.constraints:
        name = constraint.name
        size = _root_of_integral if isinstance(constraint.noise, Integrated) else _rms
        own = size(found.laplace.mode.residual[found.stack.row_blocks[name]]) / noise[name]
        values[name] = (own, size(fresh[name]) / noise[name] if name in fresh else np.nan)
    return values


def findings(found: Fit, draws: Draws | None) -> list[Finding]:
    """All doubts about a solution; none where nothing is known to be wrong."""
    return [*_residual_findings(found), *_scale_findings(found), *_parameter_findings(found), *_draw_findings(draws)]


def _residual_findings(found: Fit) -> list[Finding]:
    residuals = constraint_residuals(found)
    if found.attained:
        return [
            *_attained_findings(found),
            *_misfit_findings(found, residuals, exhausted=True),
            *_search_findings(found),
        ]
    doubts = []
    for name, (own, fresh) in residuals.items():
        if fresh > 1.0 and fresh > _HELD_OUT_RATIO * own:
            doubts.append(
                Finding(
                    f"too few collocation points in {name!r}: the residual at fresh points is {fresh / own:.2g} times "
                    "that at its own; pass a finer `collocation`.",
                    serious=True,
                )
            )
    effective = sum(found.laplace.effective_parameters.values())
    worst = max((fresh for _, fresh in residuals.values() if np.isfinite(fresh)), default=0.0)
    exhausted = effective > _EXHAUSTED * found.stack.n_dims
    if exhausted and worst > _HELD_OUT_RATIO:
        doubts.append(
            Finding(
                f"the {found.stack.n_weights} weights are all used up ({effective:.0f} effective parameters) and "
                f"leave {worst:.2g} times the tolerance: the band does not contain what they cannot represent; use "
                "more of them, or noise=AttainedTolerance() for a band that does.",
                serious=worst > _HOPELESS,
            )
        )
    doubts.extend(_misfit_findings(found, residuals, exhausted))
    return [*doubts, *_search_findings(found)]


def _search_findings(found: Fit) -> list[Finding]:
    """Of weights that are no mode."""
    if found.training is not None and found.training.loss is not None:
        return [
            Finding(
                "Adam minimised losses of its own, whose minimum is not the posterior's mode: bands are those of the "
                "network linearised where it ended.",
                serious=False,
            )
        ]
    if found.attained or found.laplace.mode.converged:
        return []
    return [
        Finding(
            "the mode was not found in `max_iterations`; raise it, or start with a larger `continuation`.",
            serious=True,
        )
    ]


def _attained_findings(found: Fit) -> list[Finding]:
    """What a user should know of tolerances that were raised, and of weights that are no mode."""
    doubts = [
        Finding(
            f"the law {name!r} is met to {found.laplace.mode.scales.noise[name]:.2g} and not to its stated tolerance, "
            f"{factor:.2g} times less; bands are as wide as that asks for.",
            serious=False,
        )
        for name, factor in found.setting.relaxed.items()
        if factor > _RAISED
    ]
    doubts.extend(
        Finding(
            f"the fields have not learned the law {name!r}: they leave {share:.0%} of what no field at all leaves, and "
            "a posterior around them need not hold the solution; train longer, or use more weights.",
            serious=True,
        )
        for name, share in unexplained(found).items()
        if share > _UNEXPLAINED
    )
    return doubts


def _misfit_findings(found: Fit, residuals: dict[str, tuple[float, float]], exhausted: bool) -> list[Finding]:
    """Constraints that are left unsatisfied although the features could follow them."""
    doubts = []
    for constraint in found.setting.problem.constraints:
        name = constraint.name
        own = residuals[name][0]
        rows = found.stack.row_blocks[name]
        n_free = max(rows.stop - rows.start - found.laplace.effective_parameters[name], 1.0)
        # The sum of squares of what the parameters leave over is chi-squared, where the model is right.
        excess = (own**2 * (rows.stop - rows.start) - n_free) / np.sqrt(2.0 * n_free)
        known = isinstance(constraint.noise, Measured) and constraint.noise.prior is None
        if known and excess > _MISFIT and own > _MISFIT_RATIO:
            doubts.append(
                Finding(
                    f"the data of {name!r} do not fit: residuals are {own:.2g} times the stated noise; check the "
                    "noise, the "
                    "laws, and that the field's length scale and amplitude allow the solution.",
                    serious=True,
                )
            )
        elif isinstance(constraint.noise, Integrated) and own > _HELD_OUT_RATIO and not exhausted:
            doubts.append(
                Finding(
                    f"the law {name!r} is not met: its residual is {own:.2g} times the tolerance; other constraints "
                    "contradict it, or the features cannot represent the solution.",
                    serious=True,
                )
            )
    return doubts


def _scale_findings(found: Fit) -> list[Finding]:
    doubts = [
        Finding(
            f"the noise scale of {name!r} is not identified: the fields can follow almost all of its rows, so its "
            "value "
            f"{found.laplace.mode.scales.noise[name]:.2g} is a tolerance; set it, or give fewer features or more "
            "points.",
            serious=True,
        )
        for name, identified in found.scales.identified.items()
        if not identified
    ]
    if not found.scales.converged:
        doubts.append(Finding("the scales still move after `max_rounds` updates; raise it in MacKay().", serious=True))
    return doubts


def _parameter_findings(found: Fit) -> list[Finding]:
    n_parameters = len(found.stack.parameter_names)
    if not n_parameters:
        return []
    directions = np.eye(found.stack.n_dims)[-n_parameters:]
    shares = found.laplace.standard_deviation(directions)
    pulls = _pulls(found, directions) / shares
    named = list(zip(found.stack.parameter_names, shares, pulls, strict=True))
    unlearned = [
        Finding(f"the data say little of {name!r}: its posterior is {share:.0%} as wide as its prior.", serious=False)
        for name, share, _ in named
        if share > _UNLEARNED
    ]
    pulled = [
        Finding(
            f"the prior of the fields moves {name!r} by {abs(pull):.1f} of its standard deviations: a field that fits "
            "the laws and the data is improbable under it; use RandomFeatures(), in a UniformBand(), or a larger "
            "amplitude.",
            serious=True,
        )
        for name, _, pull in named
        if abs(pull) > _PULLED
    ]
    return unlearned + pulled


def _pulls(found: Fit, directions: Float[np.ndarray, "parameter dim"]) -> Float[np.ndarray, " parameter"]:
    """How far, to first order, the fields' prior moves each parameter: its gradient times the posterior covariance."""
    mode = found.laplace.mode
    prior = mode.scales.dims(found.stack.dim_blocks)
    gradient = mode.position / prior**2
    gradient[-len(directions) :] = 0.0
    return found.laplace.covariance(directions, gradient[None])[:, 0]


def _draw_findings(draws: Draws | None) -> list[Finding]:
    return [] if draws is None else [Finding(text, serious=True) for text in draws.faults()]


def _root_of_integral(values: Float[np.ndarray, " point"]) -> float:
    # Rows of a law carry the root of their quadrature weight.
    return float(np.sqrt(np.sum(values**2)))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))
