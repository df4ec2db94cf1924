"""Nonlinear Poisson equation in one dimension, the reaction unknown, from noisy sensors of forcing and solution.

    0.01 u'' + k tanh(u) = f    on [-0.7, 0.7],    u = sin(6 x)^3,    k = 0.7 unknown,    k ~ Normal(0.5, 1)

Known are f at 32 equally spaced sensors, u at the two ends and at six sensors within (+-0.1, +-0.3, +-0.5), all with
the same Gaussian noise of standard deviation 0.01 (or 0.1). Each key draws another data set.

Source: Yang, Meng & Karniadakis (2021), B-PINNs: Bayesian physics-informed neural networks for forward and inverse PDE
problems with noisy data, Journal of Computational Physics 425, 109913, section 3.3. Their Hamiltonian Monte Carlo gives
k = 0.705 +- 5.75e-3 and 0.665 +- 5.63e-2 on one data set of either noise.
"""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from uqkit.keys import as_key, numpy_generator
from uqkit.problems import BoundaryValueProblem, Box, Constraint, FieldReference, Measured
from uqkit.results import Reference

_K = 0.7
_SOURCE = "the data are drawn from it"


def _solution(x):
    return jnp.sin(6 * x) ** 3


def _forcing(x):
    s = np.sin(6 * x)
    return 0.01 * 108 * s * (2 - 3 * s**2) + _K * np.tanh(s**3)


def make(*, noise: float = 0.01, key=0) -> BoundaryValueProblem:
    """Sensors with standard deviation `noise`, drawn from `key`."""
    generator = numpy_generator(as_key(key))
    sensors, ends = np.linspace(-0.7, 0.7, 32), np.array([-0.7, 0.7])
    within = np.array([-0.5, -0.3, -0.1, 0.1, 0.3, 0.5])

    def observed(exact):
        return exact + noise * generator.standard_normal(len(exact))

    forcing, at_ends, inside = (
        observed(exact) for exact in (_forcing(sensors), np.sin(6 * ends) ** 3, np.sin(6 * within) ** 3)
    )

    return BoundaryValueProblem(
        name="bpinn_inverse_1d",
        domain=Box(x=(-0.7, 0.7)),
        constraints=(
            Constraint(
                name="pde",
                operator=lambda u, k: 0.01 * u.d("x", 2) + k * jnp.tanh(u.value),
                points=sensors[:, None],
                target=forcing,
                noise=Measured(noise),
            ),
            Constraint(
                name="boundary",
                operator=lambda u: u.value,
                points=ends[:, None],
                target=at_ends,
                noise=Measured(noise),
            ),
            Constraint(
                name="sensors",
                operator=lambda u: u.value,
                points=within[:, None],
                target=inside,
                noise=Measured(noise),
            ),
        ),
        parameters={"k": dist.Normal(0.5, 1.0)},
        references={
            "u": FieldReference(function=_solution, kind="closed form", source=_SOURCE),
            "k": Reference(values=(_K,), kind="closed form", source=_SOURCE, output="k"),
        },
    )


problem = make()
