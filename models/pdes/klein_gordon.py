"""Klein-Gordon equation: a wave with a cubic reaction, both initial values and both ends given.

    u_tt - u_xx + u^3 = f    on x in [0, 1], t in [0, 1]
    u(x, 0) = x,    u_t(x, 0) = 0,    u(0, t) = 0,    u(1, t) = cos(5 pi t) + t^3
    u = x cos(5 pi t) + (x t)^3,    f = -25 pi^2 x cos(5 pi t) + 6 x^3 t - 6 x t^3 + u^3

Source: Wang, Teng & Perdikaris (2021), Understanding and mitigating gradient flow pathologies in physics-informed
neural networks, SIAM Journal on Scientific Computing 43(5), A3055, second benchmark; they
print u(x, 0) = 0, which their solution contradicts.
"""

import jax.numpy as jnp
import numpy as np

from uqkit.problems import BoundaryValueProblem, Box, Constraint, FieldReference, Integrated


def _forcing(x, t):
    wave = x * np.cos(5 * np.pi * t)
    return -25 * np.pi**2 * wave + 6 * x**3 * t - 6 * x * t**3 + (wave + (x * t) ** 3) ** 3


def make() -> BoundaryValueProblem:
    """Klein-Gordon problem on the unit square of space and time."""
    domain = Box(x=(0.0, 1.0), t=(0.0, 1.0))
    return BoundaryValueProblem(
        name="klein_gordon",
        domain=domain,
        constraints=(
            Constraint(
                name="pde",
                operator=lambda u: u.d("t", 2) - u.d("x", 2) + u.value**3,
                points=domain.interior,
                target=_forcing,
                noise=Integrated(1e-6),
            ),
            Constraint(
                name="ends",
                operator=lambda u: u.value,
                points=domain.face(x=0.0) | domain.face(x=1.0),
                target=lambda x, t: x * (np.cos(5 * np.pi * t) + t**3),
                noise=Integrated(1e-8),
            ),
            Constraint(
                name="initial_value",
                operator=lambda u: u.value,
                points=domain.face(t=0.0),
                target=lambda x: x,
                noise=Integrated(1e-8),
            ),
            Constraint(
                name="initial_rate",
                operator=lambda u: u.d("t"),
                points=domain.face(t=0.0),
                target=0.0,
                noise=Integrated(1e-7),
            ),
        ),
        references={
            "u": FieldReference(
                function=lambda x, t: x * jnp.cos(5 * jnp.pi * t) + (x * t) ** 3,
                kind="closed form",
                source="the forcing is made from it",
            )
        },
    )


problem = make()
