"""Lid-driven cavity: steady flow in a square box whose lid slides, by its stream function.

    psi_y (lap psi)_x - psi_x (lap psi)_y = lap^2 psi / Re    on [0, 1]^2,    u = psi_y,    v = -psi_x
    psi = 0 on all walls;    u = 1 on the lid y = 1,    u = 0 on y = 0,    v = 0 on x = 0 and x = 1

The speed jumps from 0 to 1 where the lid meets a side wall, and the vorticity is infinite there. The flow near such a
corner is that of a scraper moving along a plate, r times a function of the angle, which solves lap^2 psi = 0 and has
the right speeds on both walls. Both are known, and added to the unknown field exactly. What they leave in the equation
still grows as 1 / r^2, so that the equation is relaxed by (0.3 / r)^2 within a distance r = 0.3 of a corner.

Source: Ghia, Ghia & Shin (1982), High-Re solutions for incompressible flow using the Navier-Stokes equations and a
multigrid method, Journal of Computational Physics 48, 387-411, at Re = 100; as a test of networks, Wang, Teng &
Perdikaris (2021), SIAM Journal on Scientific Computing 43(5), A3055, third benchmark. Corner flow: Taylor (1962), On
scraping viscous fluid from a plane surface; Batchelor (1967), An Introduction to Fluid Dynamics, section 4.8.
"""

import functools
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from numpy.polynomial import chebyshev

from uqkit.errors import InputError
from uqkit.problems import BoundaryValueProblem, Box, Constraint, FieldReference, Integrated

_DATA = Path(__file__).resolve().parents[2] / "data" / "lid_driven_cavity.csv"
_REYNOLDS_OF_DATA = 100.0
_SOURCE = "Chebyshev-Galerkin method of degree 36 for psi without its corner flows, within 3e-4 in the relative L2 norm"

# Corner flow r (A sin t + C t sin t + D t cos t), t the angle from the lid: psi = 0 on both walls leaves these three
# terms and A = -pi/2 C; the wall at rest adds C = pi/2 D, and the lid A + D = -1.
_D = 1.0 / (np.pi**2 / 4 - 1)
_C = np.pi / 2 * _D
_A = -(np.pi**2) / 4 * _D


def _corner_flows(x, y):
    def corner(along, below):
        angle = jnp.arctan2(below, along)
        return (_A + _C * angle) * below + _D * angle * along

    return corner(x, 1 - y) + corner(1 - x, 1 - y)


def _corner_velocity(x, y):
    u, v = 0.0, 0.0
    for along, sign in ((x, 1.0), (1 - x, -1.0)):
        below = 1 - y
        square, angle = along**2 + below**2, np.arctan2(below, along)
        u = u - _A - _C * angle - (_C * below + _D * along) * along / square
        v = v - sign * (_D * angle - (_C * below + _D * along) * below / square)
    return u, v


@functools.cache
def _coefficients():
    return np.loadtxt(_DATA, delimiter=",")


def _velocity(x, y):
    """Both components anywhere on the closed square; a lid corner belongs to the lid."""
    x, y = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    with np.errstate(divide="ignore", invalid="ignore"):
        u, v = _corner_velocity(x, y)
    rest = _coefficients()
    u = u + 2 * chebyshev.chebval2d(2 * x - 1, 2 * y - 1, chebyshev.chebder(rest, axis=1))
    v = v - 2 * chebyshev.chebval2d(2 * x - 1, 2 * y - 1, chebyshev.chebder(rest, axis=0))
    corner = (y == 1) & ((x == 0) | (x == 1))
    return np.where(corner, 1.0, u), np.where(corner, 0.0, v)


def _shape(x, y):
    distance = np.minimum(np.hypot(x, 1 - y), np.hypot(1 - x, 1 - y))
    return np.minimum(1.0, distance / 0.3) ** -2


def make(*, reynolds: float = 100.0) -> BoundaryValueProblem:
    """Cavity flow at a Reynolds number made from the lid's speed and length; a reference comes with 100."""
    if not reynolds > 0:
        raise InputError(f"reynolds={reynolds}: pass a number above zero.")
    domain = Box(x=(0.0, 1.0), y=(0.0, 1.0))
    fields = {
        "u": FieldReference(function=lambda x, y: _velocity(x, y)[0], kind="numerical solution", source=_SOURCE),
        "v": FieldReference(function=lambda x, y: _velocity(x, y)[1], kind="numerical solution", source=_SOURCE),
    }
    return BoundaryValueProblem(
        name="lid_driven_cavity",
        domain=domain,
        outputs={"psi": "1"},
        constraints=(
            # One tolerance for all: by how much the equation must yield to the walls depends on the features, and
            # HeldOutTolerance(constraint="pde", factors=(1.0, 1e1, 1e2, 1e3, 1e4, 1e5)) finds it.
            Constraint(
                name="pde",
                operator=lambda psi: (
                    psi.d("y") * (psi.d("x", 3) + psi.d("x", 1, "y", 2))
                    - psi.d("x") * (psi.d("x", 2, "y", 1) + psi.d("y", 3))
                    - psi.biharmonic() / reynolds
                ),
                points=domain.interior,
                noise=Integrated(1e-6),
                shape=_shape,
            ),
            Constraint(
                name="walls",
                operator=lambda psi: psi.value,
                points=domain.boundary,
                noise=Integrated(1e-6),
            ),
            Constraint(
                name="sides",
                operator=lambda psi: -psi.d("x"),
                points=domain.face(x=0.0) | domain.face(x=1.0),
                noise=Integrated(1e-6),
            ),
            Constraint(
                name="floor_and_lid",
                operator=lambda psi: psi.d("y"),
                points=domain.face(y=0.0) | domain.face(y=1.0),
                target=lambda y: y,
                noise=Integrated(1e-6),
            ),
        ),
        known_part={"psi": _corner_flows},
        quantities={"u": (lambda psi: psi.d("y"), "1"), "v": (lambda psi: -psi.d("x"), "1")},
        references=fields if reynolds == _REYNOLDS_OF_DATA else {},
    )


problem = make()
