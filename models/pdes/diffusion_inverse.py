"""Diffusion along a rod with an unknown diffusivity, from noisy sensors in space and time.

    u_t = D u_xx    on x in [0, 1], t in [0, 1],    u(0, t) = u(1, t) = 0,    u(x, 0) = sin(pi x) + sin(3 pi x) / 2
    u = exp(-pi^2 D t) sin(pi x) + exp(-9 pi^2 D t) sin(3 pi x) / 2,    D = 0.05 unknown,    D ~ LogNormal(log 0.1, 1)

The law, the ends and the start are exact; known with Gaussian noise of standard deviation 0.02 is u at 7 equally spaced
sensors at 8 equally spaced times. Each key draws another data set. As D is the only unknown, nonlinear least squares on
the closed form tells its standard error independently.

Source: Crank (1975), The Mathematics of Diffusion, 2nd edition, Oxford University Press, chapter 2.
"""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from uqkit.keys import as_key, numpy_generator
from uqkit.problems import BoundaryValueProblem, Box, Constraint, FieldReference, Integrated, Measured
from uqkit.results import Reference

_D = 0.05
_SOURCE = "the data are drawn from it"


def _solution(xp):
    """The solution as a function of x and t, by `numpy` or `jax.numpy`."""

    def u(x, t):
        rate = np.pi**2 * _D * t
        return xp.exp(-rate) * xp.sin(np.pi * x) + 0.5 * xp.exp(-9 * rate) * xp.sin(3 * np.pi * x)

    return u


def make(*, noise: float = 0.02, key=0) -> BoundaryValueProblem:
    """Sensors with standard deviation `noise`, drawn from `key`."""
    generator = numpy_generator(as_key(key))
    grid = np.meshgrid(np.arange(1, 8) / 8, np.arange(1, 9) / 8, indexing="ij")
    sensors = np.column_stack([axis.ravel() for axis in grid])
    readings = _solution(np)(*sensors.T) + noise * generator.standard_normal(len(sensors))
    domain = Box(x=(0.0, 1.0), t=(0.0, 1.0))

    return BoundaryValueProblem(
        name="diffusion_inverse",
        domain=domain,
        constraints=(
            Constraint(
                name="pde",
                operator=lambda u, D: u.d("t") - D * u.d("x", 2),
                points=domain.interior,
                noise=Integrated(1e-4),
            ),
            Constraint(
                name="ends",
                operator=lambda u: u.value,
                points=domain.face(x=0.0) | domain.face(x=1.0),
                noise=Integrated(1e-5),
            ),
            Constraint(
                name="start",
                operator=lambda u: u.value,
                points=domain.face(t=0.0),
                target=lambda x: _solution(np)(x, 0.0),
                noise=Integrated(1e-5),
            ),
            Constraint(
                name="sensors", operator=lambda u: u.value, points=sensors, target=readings, noise=Measured(noise)
            ),
        ),
        parameters={"D": dist.LogNormal(np.log(0.1), 1.0)},
        references={
            "u": FieldReference(function=_solution(jnp), kind="closed form", source=_SOURCE),
            "D": Reference(values=(_D,), kind="closed form", source=_SOURCE, output="D"),
        },
    )


problem = make()
