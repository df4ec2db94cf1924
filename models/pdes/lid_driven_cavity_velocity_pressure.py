"""Lid-driven cavity: steady flow in a square box whose lid slides, by its velocity and pressure.

    u u_x + v u_y + p_x = (u_xx + u_yy) / Re    on [0, 1]^2
    u v_x + v v_y + p_y = (v_xx + v_yy) / Re
    u_x + v_y = 0
    u = 1 on the lid y = 1, u = 0 on the other walls;    v = 0 on all walls;    p(0, 0) = 0

The pressure occurs by its gradient alone, and the value at one point says which of all solutions, a constant apart, is
meant. It is a hard problem: where the lid meets a side wall the velocity jumps from 0 to 1 and the pressure is
unbounded, which smooth global fields and networks resolve poorly. `lid_driven_cavity.py`, by the stream function with
the corner flows known, does better.

Source: Wang, Teng & Perdikaris (2021), Understanding and mitigating gradient flow pathologies in physics-informed
neural networks, SIAM Journal on Scientific Computing 43(5), A3055, third benchmark, velocity-pressure formulation: all
their networks have errors of about 75 % in it, against 3 % by the stream function. Flow: Ghia, Ghia & Shin (1982),
Journal of Computational Physics 48, 387-411, at Re = 100.
"""

import jax.numpy as jnp
import numpy as np

from uqkit.errors import InputError
from uqkit.problems import BoundaryValueProblem, Box, Constraint, Integrated, load

_LID = 1.0


def make(*, reynolds: float = 100.0) -> BoundaryValueProblem:
    """Cavity flow at a Reynolds number made from the lid's speed and length; a reference of u and v comes with 100."""
    if not reynolds > 0:
        raise InputError(f"reynolds={reynolds}: pass a number above zero.")
    domain = Box(x=(0.0, 1.0), y=(0.0, _LID))
    # The jumps at the lid's ends set walls against laws: where both count alike the walls give way, and where the walls
    # count much more, their ripples spoil the flow. 200 random features have errors of 22 %, 12 % and 51 % in the
    # velocity with ratios of 1, 10 and 100.
    law, wall = Integrated(1e-2), Integrated(1e-3)
    return BoundaryValueProblem(
        name="lid_driven_cavity_velocity_pressure",
        domain=domain,
        outputs={"u": "1", "v": "1", "p": "1"},
        constraints=(
            Constraint(
                name="momentum_x",
                operator=lambda u, v, p: u.value * u.d("x") + v.value * u.d("y") + p.d("x") - u.laplacian() / reynolds,
                points=domain.interior,
                noise=law,
            ),
            Constraint(
                name="momentum_y",
                operator=lambda u, v, p: u.value * v.d("x") + v.value * v.d("y") + p.d("y") - v.laplacian() / reynolds,
                points=domain.interior,
                noise=law,
            ),
            Constraint(name="continuity", operator=lambda u, v: u.d("x") + v.d("y"), points=domain.interior, noise=law),
            Constraint(
                name="walls_u",
                operator=lambda u: u.value,
                points=domain.boundary,
                target=lambda y: np.where(y == _LID, 1.0, 0.0),
                noise=wall,
            ),
            Constraint(name="walls_v", operator=lambda v: v.value, points=domain.boundary, noise=wall),
            # A convention, which holds as exactly as the laws do, and no reading of a sensor.
            Constraint(name="pressure_at_corner", operator=lambda p: p.value, points=[[0.0, 0.0]], noise=wall),
        ),
        quantities={"speed": (lambda u, v: jnp.sqrt(u.value**2 + v.value**2), "1")},
        references=_velocity() if reynolds == 100.0 else {},
    )


def _velocity():
    by_stream_function = load("lid_driven_cavity").references
    return {name: by_stream_function[name] for name in ("u", "v")}


problem = make()
