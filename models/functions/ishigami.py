"""Ishigami function: three uniform inputs, strongly non-linear, one pure interaction.

    y = sin(x1) + a sin(x2)^2 + b x3^4 sin(x1),    x1, x2, x3 ~ Uniform(-pi, pi)

x3 has no first-order effect, and acts through its interaction with x1 alone.

Source: Ishigami & Homma (1990), An importance quantification technique in uncertainty analysis for computer models;
a=7, b=0.1 as in Crestaux, Le Maitre & Martinez (2009), Reliability Engineering & System Safety 94.
"""

import math

import jax.numpy as jnp
import numpyro.distributions as dist

from uqkit.problems import ForwardModel
from uqkit.results import Reference

_SOURCE = "variance decomposition by Fourier integrals over (-pi, pi), Ishigami & Homma (1990)"


def make(*, a: float = 7.0, b: float = 0.1) -> ForwardModel:
    """Ishigami function with coefficients `a` and `b`."""

    def ishigami(x):
        return jnp.sin(x[0]) + a * jnp.sin(x[1]) ** 2 + b * x[2] ** 4 * jnp.sin(x[0])

    v1 = 0.5 * (1 + b * math.pi**4 / 5) ** 2
    v2 = a**2 / 8
    v13 = 8 * b**2 * math.pi**8 / 225
    variance = v1 + v2 + v13

    def closed_form(*values: float) -> Reference:
        return Reference(values=values, kind="closed form", source=_SOURCE)

    return ForwardModel(
        ishigami,
        name="ishigami",
        inputs={name: dist.Uniform(-math.pi, math.pi) for name in ("x1", "x2", "x3")},
        outputs=("y",),
        references={
            "output_mean": closed_form(a / 2),
            "output_variance": closed_form(variance),
            "sobol_first": closed_form(v1 / variance, v2 / variance, 0.0),
            "sobol_total": closed_form((v1 + v13) / variance, v2 / variance, v13 / variance),
        },
    )


problem = make()
