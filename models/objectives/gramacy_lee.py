"""Function of Gramacy and Lee: two inputs, all that happens in one corner of a flat square.

    y = x1 exp(-x1^2 - x2^2),    x in [-2, 6]^2, minimised

The minimum -exp(-1/2) / sqrt(2) lies at (-1 / sqrt(2), 0).

Source: Gramacy & Lee (2008), Bayesian treed Gaussian process models with an application to computer modeling, Journal
of the American Statistical Association 103.
"""

import math

import jax.numpy as jnp
import numpyro.distributions as dist

from uqkit.problems import ForwardModel, Objective
from uqkit.results import Reference


def _gramacy_lee(x):
    return x[0] * jnp.exp(-(x[0] ** 2) - x[1] ** 2)


def make() -> Objective:
    """The function on its usual square."""
    inputs = {name: dist.Uniform(-2.0, 6.0) for name in ("x1", "x2")}
    best = Reference(
        values=(-math.exp(-0.5) / math.sqrt(2),), kind="closed form", source="root of the gradient", output="y"
    )
    return Objective(ForwardModel(_gramacy_lee, name="gramacy_lee", inputs=inputs, outputs=("y",)), best=best)


problem = make()
