"""Reaction-diffusion equation on a square, the reaction unknown, from noisy sensors of forcing and solution.

    0.01 (u_xx + u_yy) + k u^2 = f    on [-1, 1]^2,    u = sin(pi x) sin(pi y),    k = 1 unknown,    k ~ Normal(0.5, 1)

Known are f and u at the same 100 sensors uniform at random, with Gaussian noise of standard deviation 0.01 (or 0.1),
and u at 25 equally spaced sensors on each edge with standard deviation 0.01. Each key draws another data set, sensors
included.

Source: Yang, Meng & Karniadakis (2021), B-PINNs: Bayesian physics-informed neural networks for forward and inverse PDE
problems with noisy data, Journal of Computational Physics 425, 109913, section 3.3. Their Hamiltonian Monte Carlo gives
k = 1.003 +- 5.75e-3 and 0.978 +- 4.98e-2 on one data set of either noise.
"""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from uqkit.keys import as_key, numpy_generator
from uqkit.problems import BoundaryValueProblem, Box, Constraint, FieldReference, Measured
from uqkit.results import Reference

_K = 1.0
_EDGE_NOISE = 0.01
_SOURCE = "the data are drawn from it"


def _solution(x, y):
    return jnp.sin(jnp.pi * x) * jnp.sin(jnp.pi * y)


def _edges(n):
    """Points on the four edges, `n` on each, corners included twice."""
    along, end = np.linspace(-1, 1, n), np.ones(n)
    return np.concatenate([np.column_stack(edge) for s in (-1, 1) for edge in ((s * end, along), (along, s * end))])


def make(*, noise: float = 0.01, key=0) -> BoundaryValueProblem:
    """Sensors with standard deviation `noise`, drawn from `key`."""
    generator = numpy_generator(as_key(key))
    sensors, edges = generator.uniform(-1, 1, size=(100, 2)), _edges(25)
    u = np.prod(np.sin(np.pi * sensors), axis=1)
    forcing = -0.02 * np.pi**2 * u + _K * u**2 + noise * generator.standard_normal(len(sensors))
    inside = u + noise * generator.standard_normal(len(sensors))
    on_edges = _EDGE_NOISE * generator.standard_normal(len(edges))  # the solution vanishes there

    return BoundaryValueProblem(
        name="bpinn_inverse_2d",
        domain=Box(x=(-1.0, 1.0), y=(-1.0, 1.0)),
        constraints=(
            Constraint(
                name="pde",
                operator=lambda u, k: 0.01 * u.laplacian() + k * u.value**2,
                points=sensors,
                target=forcing,
                noise=Measured(noise),
            ),
            Constraint(
                name="boundary",
                operator=lambda u: u.value,
                points=edges,
                target=on_edges,
                noise=Measured(_EDGE_NOISE),
            ),
            Constraint(
                name="sensors", operator=lambda u: u.value, points=sensors, target=inside, noise=Measured(noise)
            ),
        ),
        parameters={"k": dist.Normal(0.5, 1.0)},
        references={
            "u": FieldReference(function=_solution, kind="closed form", source=_SOURCE),
            "k": Reference(values=(_K,), kind="closed form", source=_SOURCE, output="k"),
        },
    )


problem = make()
