"""A turns into B, which decays, while both diffuse: two fields, coupled one way.

    u_t = Du u_xx - k1 u,    v_t = Dv v_xx + k1 u - k2 v    on x in [0, 1], t in [0, 1]
    u = v = 0 at both ends,    u(x, 0) = sin(pi x),    v(x, 0) = 0
    u = exp(-p t) sin(pi x),    v = k1 (exp(-p t) - exp(-q t)) / (q - p) sin(pi x)
    p = Du pi^2 + k1,    q = Dv pi^2 + k2

with Du = 0.02, Dv = 0.05, k1 = 3, k2 = 1: on the first Fourier mode the system is the two-step decay chain.

Source: Bateman (1910), Solution of a system of differential equations occurring in the theory of radioactive
transformations, Proceedings of the Cambridge Philosophical Society 15, 423-427, with rates p and q.
"""

import jax.numpy as jnp
import numpy as np

from uqkit.problems import BoundaryValueProblem, Box, Constraint, FieldReference, Integrated

_DU, _DV, _K1, _K2 = 0.02, 0.05, 3.0, 1.0
_P, _Q = _DU * np.pi**2 + _K1, _DV * np.pi**2 + _K2


def _first(x, t):
    return jnp.exp(-_P * t) * jnp.sin(jnp.pi * x)


def _second(x, t):
    return _K1 * (jnp.exp(-_P * t) - jnp.exp(-_Q * t)) / (_Q - _P) * jnp.sin(jnp.pi * x)


def make() -> BoundaryValueProblem:
    """Chain A -> B -> nothing, with diffusion of A and B."""
    domain = Box(x=(0.0, 1.0), t=(0.0, 1.0))
    ends = domain.face(x=0.0) | domain.face(x=1.0)
    start = domain.face(t=0.0)

    return BoundaryValueProblem(
        name="reaction_diffusion_system",
        domain=domain,
        outputs={"u": "1", "v": "1"},
        constraints=(
            Constraint(
                name="pde_u",
                operator=lambda u: u.d("t") - _DU * u.d("x", 2) + _K1 * u.value,
                points=domain.interior,
                noise=Integrated(1e-7),
            ),
            Constraint(
                name="pde_v",
                operator=lambda u, v: v.d("t") - _DV * v.d("x", 2) - _K1 * u.value + _K2 * v.value,
                points=domain.interior,
                noise=Integrated(1e-7),
            ),
            Constraint(name="ends_u", operator=lambda u: u.value, points=ends, noise=Integrated(1e-8)),
            Constraint(name="ends_v", operator=lambda v: v.value, points=ends, noise=Integrated(1e-8)),
            Constraint(
                name="initial_u",
                operator=lambda u: u.value,
                points=start,
                target=lambda x: np.sin(np.pi * x),
                noise=Integrated(1e-8),
            ),
            Constraint(name="initial_v", operator=lambda v: v.value, points=start, noise=Integrated(1e-8)),
        ),
        references={
            "u": FieldReference(function=_first, kind="closed form", source="first Fourier mode"),
            "v": FieldReference(function=_second, kind="closed form", source="first Fourier mode, Bateman (1910)"),
        },
    )


problem = make()
