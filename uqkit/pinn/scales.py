"""Noise scales before and while they are learned."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from uqkit.inference import ScalePrior
from uqkit.pinn.fitted import Fit, held_out_residuals
from uqkit.pinn.methods import AttainedTolerance
from uqkit.pinn.setting import Setting
from uqkit.pinn.stack import Nodes
from uqkit.problems import Constraint, Integrated, Measured

__all__ = ["attained", "first_noise", "scale_prior"]

# A learned noise scale stays above this share of what it is the noise of.
_FLOOR = 1e-6


def first_noise(setting: Setting) -> tuple[dict[str, float], dict[str, ScalePrior]]:
    """Known scales with first values of the unknown ones, and the priors of those."""
    noise, priors = {}, {}
    for constraint, nodes in zip(setting.problem.constraints, setting.nodes, strict=True):
        prior = scale_prior(constraint, nodes)
        if prior is not None:
            priors[constraint.name] = prior
            noise[constraint.name] = prior.start
        elif isinstance(constraint.noise, Integrated):
            noise[constraint.name] = float(constraint.noise.tolerance) * setting.relaxed.get(constraint.name, 1.0)
        else:
            noise[constraint.name] = float(constraint.noise.sigma)
    return noise, priors


def scale_prior(constraint: Constraint, nodes: Nodes) -> ScalePrior | None:
    """Prior of an unknown noise scale, bounded below by a share of what it is the noise of."""
    if not isinstance(constraint.noise, Measured) or constraint.noise.prior is None:
        return None
    marginal = constraint.noise.prior
    start = float(marginal.quantile(np.array(0.5)))
    size = float(np.sqrt(np.mean((nodes.target / nodes.row_scale) ** 2)))
    return ScalePrior(
        log_density=lambda log_scale: float(marginal.log_density(np.exp(log_scale)) + log_scale),
        start=start,
        floor=min(_FLOOR * (size if size > 0 else start), start),
    )


def attained(found: Fit, rule: AttainedTolerance, again: Callable[[Mapping[str, float], Fit], Fit]) -> Fit:
    """The fit at tolerances that its own residuals justify.

    Args:
        found: At the stated tolerances.
        rule: When to stop.
        again: Factors on the stated tolerances, last fit -> the fit with these.
    """
    laws = {c.name: c.noise.tolerance for c in found.setting.problem.constraints if isinstance(c.noise, Integrated)}
    for _ in range(rule.max_rounds):
        determined = found.laplace.effective_parameters
        factors, largest = {}, 0.0
        for name, residual in held_out_residuals(found).items():
            if name not in laws:
                continue
            tolerance = max(float(np.sqrt(_sum(residual) / max(determined[name], 1.0))), laws[name])
            factors[name] = tolerance / laws[name]
            largest = max(largest, abs(np.log(tolerance / found.laplace.mode.scales.noise[name])))
        if largest < rule.change:
            break
        found = again(factors, found)
    return replace(found, attained=True)


def _sum(residual: Float[np.ndarray, " point"]) -> float:
    return float((residual**2).sum())
