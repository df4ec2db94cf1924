"""Hartmann function of six inputs: a sum of four Gaussian wells, six of its minima local.

    y = - sum_i a_i exp(- sum_j A_ij (x_j - P_ij)^2),    x in [0, 1]^6, minimised

The minimum -3.32237 lies at (0.20169, 0.15001, 0.47687, 0.27533, 0.31165, 0.65730).

Source: Dixon & Szego (1978), Towards Global Optimisation 2.
"""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from uqkit.problems import ForwardModel, Objective
from uqkit.results import Reference

_DEPTH = np.array([1.0, 1.2, 3.0, 3.2])
_CURVATURE = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
_CENTRE = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def _hartmann(x):
    return -jnp.sum(_DEPTH * jnp.exp(-jnp.sum(_CURVATURE * (x - _CENTRE) ** 2, axis=-1)))


def make() -> Objective:
    """Hartmann function on the unit cube."""
    inputs = {f"x{j}": dist.Uniform(0.0, 1.0) for j in range(1, 7)}
    best = Reference(
        values=(-3.32236801141551,),
        kind="published",
        source="Dixon & Szego (1978); digits by Newton's method from their minimiser",
        output="y",
    )
    return Objective(ForwardModel(_hartmann, name="hartmann_6", inputs=inputs, outputs=("y",)), best=best)


problem = make()
