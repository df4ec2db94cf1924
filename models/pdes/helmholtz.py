"""Helmholtz equation on a square: one product of sines, four times faster in one direction.

    u_xx + u_yy + k^2 u = q    on [-1, 1]^2,    u = 0 on the edges
    u = sin(a1 pi x) sin(a2 pi y),    q = (k^2 - (a1^2 + a2^2) pi^2) u

with a1 = 1, a2 = 4, k = 1; a1 and a2 are integers, so that u vanishes on the edges.

Source: Wang, Teng & Perdikaris (2021), Understanding and mitigating gradient flow pathologies in physics-informed
neural networks, SIAM Journal on Scientific Computing 43(5), A3055, first benchmark.
"""

import jax.numpy as jnp
import numpy as np

from uqkit.problems import BoundaryValueProblem, Box, Constraint, FieldReference, Integrated


def make(*, a1: int = 1, a2: int = 4, k: float = 1.0) -> BoundaryValueProblem:
    """Helmholtz problem with `a1` and `a2` half waves a unit length and wave number `k`."""
    domain = Box(x=(-1.0, 1.0), y=(-1.0, 1.0))
    strength = k**2 - (a1**2 + a2**2) * np.pi**2

    return BoundaryValueProblem(
        name="helmholtz",
        domain=domain,
        constraints=(
            Constraint(
                name="pde",
                operator=lambda u: u.laplacian() + k**2 * u.value,
                points=domain.interior,
                target=lambda x, y: strength * np.sin(a1 * np.pi * x) * np.sin(a2 * np.pi * y),
                noise=Integrated(1e-6),
            ),
            Constraint(
                name="boundary", operator=lambda u: u.value, points=domain.boundary, target=0.0, noise=Integrated(1e-8)
            ),
        ),
        references={
            "u": FieldReference(
                function=lambda x, y: jnp.sin(a1 * jnp.pi * x) * jnp.sin(a2 * jnp.pi * y),
                kind="closed form",
                source="the source term is made from it",
            )
        },
    )


problem = make()
