"""Branin and Currin functions together: two inputs, two objectives that cannot both be low.

    branin = (v - 5.1 u^2 / (4 pi^2) + 5 u / pi - 6)^2 + 10 (1 - 1 / (8 pi)) cos(u) + 10,    u = 15 x1 - 5, v = 15 x2
    currin = (1 - exp(-1 / (2 x2))) (2300 x1^3 + 1900 x1^2 + 2092 x1 + 60) / (100 x1^3 + 500 x1^2 + 4 x1 + 20)

both minimised on [0, 1]^2. At x2 = 0 the exponential is its limit, zero.

Source: Belakaria, Deshwal & Doppa (2019), Max-value entropy search for multi-objective Bayesian optimization, NeurIPS;
currin after Currin, Mitchell, Morris & Ylvisaker (1991), Journal of the American Statistical Association 86;
reference point and largest hypervolume as in BoTorch (Balandat et al. 2020, NeurIPS).
"""

import math

import jax.numpy as jnp
import numpyro.distributions as dist

from uqkit.problems import ForwardModel, Objective
from uqkit.results import Reference


def _branin_currin(x):
    u, v = 15 * x[0] - 5, 15 * x[1]
    valley = v - 5.1 * u**2 / (4 * math.pi**2) + 5 * u / math.pi - 6
    branin = valley**2 + 10 * (1 - 1 / (8 * math.pi)) * jnp.cos(u) + 10
    above = 2300 * x[0] ** 3 + 1900 * x[0] ** 2 + 2092 * x[0] + 60
    below = 100 * x[0] ** 3 + 500 * x[0] ** 2 + 4 * x[0] + 20
    currin = (1 - jnp.exp(-1 / (2 * x[1]))) * above / below
    return {"branin": branin, "currin": currin}


def make() -> Objective:
    """Both functions on the unit square."""
    forward = ForwardModel(
        _branin_currin,
        name="branin_currin",
        inputs={"x1": dist.Uniform(0.0, 1.0), "x2": dist.Uniform(0.0, 1.0)},
        outputs=("branin", "currin"),
    )
    best = Reference(
        values=(59.36011874867746,),
        kind="published",
        source="hypervolume of the front that NSGA-II finds, BoTorch (Balandat et al. 2020)",
        output="hypervolume",
    )
    return Objective(forward, reference_point={"branin": 18.0, "currin": 6.0}, best=best)


problem = make()
