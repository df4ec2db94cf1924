"""Wave equation on a string with fixed ends: two standing waves, one four times faster.

    u_tt = c^2 u_xx    on x in [0, 1], t in [0, 1],    c = 2
    u(0, t) = u(1, t) = 0,    u(x, 0) = sin(pi x) + a sin(4 pi x),    u_t(x, 0) = 0,    a = 1/2
    u = sin(pi x) cos(c pi t) + a sin(4 pi x) cos(4 c pi t)

by separation of variables; d'Alembert's (g(x - c t) + g(x + c t)) / 2 with g = u(., 0) is the same.

Source: Wang, Yu & Perdikaris (2022), When and why PINNs fail to train: a neural tangent kernel perspective, Journal of
Computational Physics 449, 110768, the wave benchmark.
"""

import jax.numpy as jnp
import numpy as np

from uqkit.problems import BoundaryValueProblem, Box, Constraint, FieldReference, Integrated


def make(*, c: float = 2.0, a: float = 0.5) -> BoundaryValueProblem:
    """String with wave speed `c` and amplitude `a` of the faster standing wave."""
    domain = Box(x=(0.0, 1.0), t=(0.0, 1.0))

    def standing_waves(x, t):
        slow = jnp.sin(jnp.pi * x) * jnp.cos(c * jnp.pi * t)
        return slow + a * jnp.sin(4 * jnp.pi * x) * jnp.cos(4 * c * jnp.pi * t)

    return BoundaryValueProblem(
        name="wave_1d",
        domain=domain,
        constraints=(
            Constraint(
                name="pde",
                operator=lambda u: u.d("t", 2) - c**2 * u.d("x", 2),
                points=domain.interior,
                noise=Integrated(1e-6),
            ),
            Constraint(
                name="ends",
                operator=lambda u: u.value,
                points=domain.face(x=0.0) | domain.face(x=1.0),
                noise=Integrated(1e-8),
            ),
            Constraint(
                name="initial_value",
                operator=lambda u: u.value,
                points=domain.face(t=0.0),
                target=lambda x: np.sin(np.pi * x) + a * np.sin(4 * np.pi * x),
                noise=Integrated(1e-8),
            ),
            Constraint(
                name="initial_rate",
                operator=lambda u: u.d("t"),
                points=domain.face(t=0.0),
                noise=Integrated(1e-7),
            ),
        ),
        references={"u": FieldReference(function=standing_waves, kind="closed form", source="separation of variables")},
    )


problem = make()
