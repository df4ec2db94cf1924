"""Poisson equation in one dimension from noisy sensors of its forcing: a solution and how sure it is.

    0.01 u'' = f    on [-0.7, 0.7],    u = sin(6 x)^3

Known are f at 16 equally spaced sensors and u at the two ends, all with the same Gaussian noise of standard deviation
0.01 (or 0.1). Each key draws another data set.

Source: Yang, Meng & Karniadakis (2021), B-PINNs: Bayesian physics-informed neural networks for forward and inverse PDE
problems with noisy data, Journal of Computational Physics 425, 109913, section 3.2.
"""

import jax.numpy as jnp
import numpy as np

from uqkit.keys import as_key, numpy_generator
from uqkit.problems import BoundaryValueProblem, Box, Constraint, FieldReference, Measured


def _solution(x):
    return jnp.sin(6 * x) ** 3


def _forcing(x):
    s = np.sin(6 * x)
    return 0.01 * 108 * s * (2 - 3 * s**2)


def make(*, noise: float = 0.01, key=0) -> BoundaryValueProblem:
    """Sensors with standard deviation `noise`, drawn from `key`."""
    generator = numpy_generator(as_key(key))
    sensors, ends = np.linspace(-0.7, 0.7, 16), np.array([-0.7, 0.7])
    forcing = _forcing(sensors) + noise * generator.standard_normal(len(sensors))
    values = np.sin(6 * ends) ** 3 + noise * generator.standard_normal(len(ends))

    return BoundaryValueProblem(
        name="bpinn_poisson_1d",
        domain=Box(x=(-0.7, 0.7)),
        constraints=(
            Constraint(
                name="pde",
                operator=lambda u: 0.01 * u.d("x", 2),
                points=sensors[:, None],
                target=forcing,
                noise=Measured(noise),
            ),
            Constraint(
                name="boundary",
                operator=lambda u: u.value,
                points=ends[:, None],
                target=values,
                noise=Measured(noise),
            ),
        ),
        references={
            "u": FieldReference(function=_solution, kind="closed form", source="the data are drawn from it"),
        },
    )


problem = make()
