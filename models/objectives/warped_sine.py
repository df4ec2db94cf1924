"""Warped sine: waves along one input that are ever shorter, and a gentle slope along three others.

    y = sin(20 x1^4) + 0.1 x2 - 0.1 x3 + 0.05 x4,    x in [0, 1]^4, minimised

Along x1 no single length scale fits: the function is flat near 0 and has a period of 0.08 near 1. The minimum -1.1 is
attained at x2 = 0, x3 = 1, x4 = 0 and three values of x1, with 20 x1^4 = 3 pi / 2, 7 pi / 2 or 11 pi / 2.

Source: made for this catalogue, after the non-stationary functions that warped inputs are tried on in Snoek, Swersky,
Zemel & Adams (2014), Input warping for Bayesian optimization of non-stationary functions, ICML.
"""

import jax.numpy as jnp
import numpyro.distributions as dist

from uqkit.problems import ForwardModel, Objective
from uqkit.results import Reference


def _warped_sine(x):
    return jnp.sin(20 * x[0] ** 4) + 0.1 * x[1] - 0.1 * x[2] + 0.05 * x[3]


def make() -> Objective:
    """The function on the unit cube."""
    inputs = {f"x{j}": dist.Uniform(0.0, 1.0) for j in range(1, 5)}
    best = Reference(values=(-1.1,), kind="closed form", source="sine -1, slopes at their ends", output="y")
    return Objective(ForwardModel(_warped_sine, name="warped_sine", inputs=inputs, outputs=("y",)), best=best)


problem = make()
