"""The posterior of a problem as a density in whitened coordinates."""

import jax
import numpy as np

from uqkit._typing import PRNGKey
from uqkit.inference import GaussNewton, LevenbergMarquardt, MacKay, Whitened
from uqkit.keys import as_key
from uqkit.pinn.collocation import Collocation
from uqkit.pinn.fit import fit
from uqkit.pinn.fitted import Fit
from uqkit.pinn.methods import AttainedTolerance, HeldOutTolerance, Sampled
from uqkit.pinn.network import Network
from uqkit.pinn.setting import FieldPrior, prepare
from uqkit.pinn.target import FieldTarget, noise_score_errors, whitening_of
from uqkit.problems import BoundaryValueProblem, Measured

__all__ = ["target_density", "whitened"]


def whitened(
    found: Fit, noise: MacKay | Sampled | HeldOutTolerance | AttainedTolerance
) -> tuple[Whitened, tuple[str, ...]]:
    """The density of a problem in whitened coordinates, and the constraints whose noise scale is sampled."""
    mode = found.laplace.mode
    sampled = {
        constraint.name: constraint.noise.sigma
        for constraint in found.setting.problem.constraints
        if isinstance(noise, Sampled) and isinstance(constraint.noise, Measured) and constraint.noise.prior is not None
    }
    with jax.enable_x64(True):
        target = FieldTarget.of(found.stack, mode.scales, sampled)
        scores, errors = noise_score_errors(sampled, found.scales)
        centre = np.concatenate([mode.position, scores])
        return Whitened(target, centre, whitening_of(found.laplace.whitening(), errors)), tuple(sampled)


def target_density(
    problem: BoundaryValueProblem,
    *,
    field: FieldPrior | None = None,
    collocation: Collocation | None = None,
    key: PRNGKey,
) -> Whitened:
    """The posterior as a density, to be sampled by any engine of `uqkit.inference` or taken on in NumPyro.

    Args:
        problem: Domain, constraints, parameters.
        field: Prior of the fields; chosen as `infer` chooses it by default.
        collocation: How regions are filled with points.
        key: A JAX key or an int.

    Returns:
        A density in coordinates where it is near a standard normal. Its `target` is the same density in the
        coordinates of weights, parameters and noise scales; `target.numpyro_model` is it as a NumPyro model.

    Raises:
        InputError: If something cannot be used.
    """
    setting = prepare(problem, field, collocation, key=jax.random.split(as_key(key), 3)[0])
    method = LevenbergMarquardt() if isinstance(setting.prior, Network) else GaussNewton()
    return whitened(fit(setting, method, MacKay()), Sampled())[0]
