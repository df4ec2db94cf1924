"""Sobol' G function: a product of eight factors whose importance is set one by one.

    y = prod_i (|4 x_i - 2| + a_i) / (1 + a_i),    x_i ~ Uniform(0, 1)

The larger a_i, the less x_i matters; the function has a kink at the centre of every axis.

Source: Saltelli & Sobol' (1995), About the use of rank transformation in sensitivity analysis of model output;
a = (0, 1, 4.5, 9, 99, 99, 99, 99) as in Saltelli et al. (2010), Computer Physics Communications 181.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from uqkit.problems import ForwardModel
from uqkit.results import Reference

_SOURCE = "product of one-dimensional variances, Saltelli & Sobol' (1995)"


def make(*, a: Sequence[float] = (0.0, 1.0, 4.5, 9.0, 99.0, 99.0, 99.0, 99.0)) -> ForwardModel:
    """G function with one coefficient an input."""
    a = tuple(float(value) for value in a)

    def sobol_g(x):
        coefficient = jnp.asarray(a)
        return jnp.prod((jnp.abs(4 * x - 2) + coefficient) / (1 + coefficient))

    # Variance of each factor; the factors have mean one.
    factor = 1 / (3 * (1 + np.asarray(a)) ** 2)
    variance = np.prod(1 + factor) - 1
    total = factor * np.prod(1 + factor) / (1 + factor)

    def closed_form(values) -> Reference:
        return Reference(values=tuple(np.atleast_1d(values).tolist()), kind="closed form", source=_SOURCE)

    return ForwardModel(
        sobol_g,
        name="sobol_g",
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
