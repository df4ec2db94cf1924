"""Steady Allen-Cahn equation on a square from noisy sensors of its forcing.

    0.01 (u_xx + u_yy) + u (u^2 - 1) = f    on [-1, 1]^2,    u = sin(pi x) sin(pi y)

Known are f at 500 sensors uniform at random and u at 25 equally spaced sensors on each edge, all with the same Gaussian
noise of standard deviation 0.01 (or 0.1). Each key draws another data set, sensors included.

Source: Yang, Meng & Karniadakis (2021), B-PINNs: Bayesian physics-informed neural networks for forward and inverse PDE
problems with noisy data, Journal of Computational Physics 425, 109913, section 3.2.
"""

import jax.numpy as jnp
import numpy as np

from uqkit.keys import as_key, numpy_generator
from uqkit.problems import BoundaryValueProblem, Box, Constraint, FieldReference, Measured


def _solution(x, y):
    return jnp.sin(jnp.pi * x) * jnp.sin(jnp.pi * y)


def _forcing(points):
    u = np.prod(np.sin(np.pi * points), axis=1)
    return -0.02 * np.pi**2 * u + u * (u**2 - 1)


def _edges(n):
    """Points on the four edges, `n` on each, corners included twice."""
    along, end = np.linspace(-1, 1, n), np.ones(n)
    return np.concatenate([np.column_stack(edge) for s in (-1, 1) for edge in ((s * end, along), (along, s * end))])


def make(*, noise: float = 0.01, key=0) -> BoundaryValueProblem:
    """Sensors with standard deviation `noise`, drawn from `key`."""
    generator = numpy_generator(as_key(key))
    sensors, edges = generator.uniform(-1, 1, size=(500, 2)), _edges(25)
    forcing = _forcing(sensors) + noise * generator.standard_normal(len(sensors))
    values = noise * generator.standard_normal(len(edges))  # the solution vanishes on the edges

    return BoundaryValueProblem(
        name="bpinn_allen_cahn_2d",
        domain=Box(x=(-1.0, 1.0), y=(-1.0, 1.0)),
        constraints=(
            Constraint(
                name="pde",
                operator=lambda u: 0.01 * u.laplacian() + u.value * (u.value**2 - 1),
                points=sensors,
                target=forcing,
                noise=Measured(noise),
            ),
            Constraint(name="boundary", operator=lambda u: u.value, points=edges, target=values, noise=Measured(noise)),
        ),
        references={
            "u": FieldReference(function=_solution, kind="closed form", source="the data are drawn from it"),
        },
    )


problem = make()
