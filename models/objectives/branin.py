"""Branin function: two inputs, three equally low valleys.

    y = (x2 - 5.1 x1^2 / (4 pi^2) + 5 x1 / pi - 6)^2 + 10 (1 - 1 / (8 pi)) cos(x1) + 10,
    x1 in [-5, 10], x2 in [0, 15], minimised

The minimum 5 / (4 pi) is attained at (-pi, 12.275), (pi, 2.275) and (3 pi, 2.475): there the square is zero and the
cosine -1.

Source: Branin (1972), Widely convergent method for finding multiple solutions of simultaneous nonlinear equations,
IBM Journal of Research and Development 16; in this form Dixon & Szego (1978), Towards Global Optimisation 2.
"""

import math

import jax.numpy as jnp
import numpyro.distributions as dist

from uqkit.problems import ForwardModel, Objective
from uqkit.results import Reference


def _branin(x):
    valley = x[1] - 5.1 * x[0] ** 2 / (4 * math.pi**2) + 5 * x[0] / math.pi - 6
    return valley**2 + 10 * (1 - 1 / (8 * math.pi)) * jnp.cos(x[0]) + 10


def make() -> Objective:
    """Branin function on its usual rectangle."""
    forward = ForwardModel(
        _branin, name="branin", inputs={"x1": dist.Uniform(-5.0, 10.0), "x2": dist.Uniform(0.0, 15.0)}, outputs=("y",)
    )
    best = Reference(values=(5 / (4 * math.pi),), kind="closed form", source="square zero, cosine -1", output="y")
    return Objective(forward, best=best)


problem = make()
