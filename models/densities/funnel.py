"""Neal's funnel: a log scale, and nine variables of that scale.

    v ~ Normal(0, sd^2),    x_i ~ Normal(0, e^v),    i = 1..dim - 1,    sd = 3, dim = 10

Its neck, where v is low, is far narrower than any step that explores its mouth.

Source: Neal (2003), Slice sampling, Annals of Statistics 31, 705-767, section 8.
"""

import math

import jax
import jax.numpy as jnp

from uqkit.errors import InputError
from uqkit.problems import Density
from uqkit.results import Reference

_SOURCE = "Gaussian integral over the x_i, then over v"


def _log_normalizer(power, n, sd):
    """The x_i integrate to exp((1 - power) n v / 2) times constants, a Gaussian's moment generating function."""
    constant = 0.5 * (1 - power) * (n * math.log(2 * math.pi) + math.log(2 * math.pi * sd**2))
    slope = 0.5 * n * (power - 1)
    return constant - 0.5 * (n + 1) * math.log(power) + slope**2 * sd**2 / (2 * power)


def make(*, dim: int = 10, sd: float = 3.0) -> Density:
    """Funnel in `dim` dimensions whose log scale has the standard deviation `sd`."""
    if dim < 2 or not 0 < sd < math.inf:
        raise InputError(f"`dim` is {dim} and `sd` {sd}; pass at least 2 dimensions and a number above zero.")
    n = dim - 1

    def log_density(x):
        v = x[0]
        constant = -0.5 * dim * math.log(2 * math.pi) - math.log(sd)
        return constant - 0.5 * (v / sd) ** 2 - 0.5 * n * v - 0.5 * jnp.exp(-v) * jnp.sum(x[1:] ** 2)

    def draw(n_draws, *, key):
        scale_key, rest_key = jax.random.split(key)
        v = sd * jax.random.normal(scale_key, (n_draws, 1))
        return jnp.concatenate([v, jnp.exp(0.5 * v) * jax.random.normal(rest_key, (n_draws, n))], axis=1)

    def closed_form(*values: float) -> Reference:
        return Reference(values=values, kind="closed form", source=_SOURCE)

    return Density(
        name="funnel",
        coordinates=("v", *(f"x{i}" for i in range(1, dim))),
        log_density=log_density,
        draw=draw,
        references={
            "log_normalizer": closed_form(0.0),
            "log_normalizer_power_2": closed_form(_log_normalizer(2, n, sd)),
            "log_normalizer_power_3": closed_form(_log_normalizer(3, n, sd)),
            "mean": closed_form(*[0.0] * dim),
            "variance": closed_form(sd**2, *[math.exp(0.5 * sd**2)] * n),
        },
    )


problem = make()
