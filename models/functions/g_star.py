"""Sobol' G* function: the G function with its kinks bent and moved off the centre of the axes.

    y = prod_i ((1 + alpha_i) |2 (x_i + delta_i - floor(x_i + delta_i)) - 1|^alpha_i + a_i) / (1 + a_i)

with x_i ~ Uniform(0, 1). alpha bends the factors, delta shifts them and leaves every index as it is: the default moves
the kinks to 0.363 and 0.863, where no dyadic grid has a point; delta = 0 has them at 0.5 and at the ends.

Source: Saltelli, Annoni, Azzini, Campolongo, Ratto & Tarantola (2010), Variance based sensitivity analysis of model
output, Computer Physics Communications 181.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from uqkit.problems import ForwardModel
from uqkit.results import Reference

_SOURCE = "product of one-dimensional variances, Saltelli et al. (2010)"


def make(
    *,
    a: Sequence[float] = (0.0, 1.0, 4.5, 9.0, 99.0, 99.0, 99.0, 99.0),
    alpha: float | Sequence[float] = 1.0,
    delta: float | Sequence[float] = 0.137,
) -> ForwardModel:
    """G* function with one coefficient an input; exponents and shifts for each input, or one for all."""
    a = tuple(float(value) for value in a)
    exponents = tuple(np.broadcast_to(np.asarray(alpha, dtype=float), len(a)).tolist())
    shifts = tuple(np.broadcast_to(np.asarray(delta, dtype=float), len(a)).tolist())

    def g_star(x):
        coefficient, exponent = jnp.asarray(a), jnp.asarray(exponents)
        shifted = x + jnp.asarray(shifts)
        distance = jnp.abs(2 * (shifted - jnp.floor(shifted)) - 1)
        return jnp.prod(((1 + exponent) * distance**exponent + coefficient) / (1 + coefficient))

    # Variance of each factor; the factors have mean one.
    factor = np.square(exponents) / ((1 + 2 * np.asarray(exponents)) * (1 + np.asarray(a)) ** 2)
    variance = np.prod(1 + factor) - 1
    total = factor * np.prod(1 + factor) / (1 + factor)

    def closed_form(values) -> Reference:
        return Reference(values=tuple(np.atleast_1d(values).tolist()), kind="closed form", source=_SOURCE)

    return ForwardModel(
        g_star,
        name="g_star",
        inputs={f"x{i + 1}": dist.Uniform(0.0, 1.0) for i in range(len(a))},
        outputs=("y",),
        references={
            "output_mean": closed_form(1.0),
            "output_variance": closed_form(variance),
            "sobol_first": closed_form(factor / variance),
            "sobol_total": closed_form(total / variance),
        },
    )


problem = make()
