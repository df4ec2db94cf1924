"""Burgers equation: a sine wave that steepens to a thin standing front.

    u_t + u u_x = nu u_xx    on x in [-1, 1], t in [0, 1],    nu = 0.01 / pi
    u(x, 0) = -sin(pi x),    u(-1, t) = u(1, t) = 0

At t = 0.5 the slope at x = 0 is -152, and the front is about 0.01 wide. The ends are not constrained: the unknown field
repeats with period 2. The periodic solution is odd about x = 0, as its initial value is, and so about x = 1, and
vanishes at both; it is the solution that is held at zero there. The initial value is exact, by an envelope t.

Source: Basdevant et al. (1986), Spectral and finite difference solutions of the Burgers equation, Computers & Fluids
14, 23-41, for the problem. Cole (1951), On a quasi-linear parabolic equation occurring in aerodynamics, Quarterly of
Applied Mathematics 9, 225-236, and Hopf (1950), The partial differential equation u_t + u u_x = mu u_xx,
Communications on Pure and Applied Mathematics 3, 201-230, for its solution.
"""

import jax.numpy as jnp
import numpy as np

from uqkit.errors import InputError
from uqkit.problems import BoundaryValueProblem, Box, Constraint, FieldReference, Integrated

# Nodes of Gauss-Hermite quadrature; they reach out to 19 widths of the heat kernel.
_N_NODES = 200
# Viscosities for which these nodes give the integral within 1e-12: with smaller ones the fluid at the front comes from
# too many widths away, and with larger ones a width is many periods long.
_LEAST_NU, _LARGEST_NU = 0.003 / np.pi, 0.3


def _cole_hopf(x, t, nu):
    """The mean of -sin(pi y) over y = x - 2 sqrt(nu t) z with density exp(-z^2 - cos(pi y) / (2 pi nu)) in z.

    With this variable the kernel does not narrow as t goes to 0, and t = 0 is no special case.
    """
    nodes, weights = np.polynomial.hermite.hermgauss(_N_NODES)
    x, t = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(t, dtype=float))
    angle = np.pi * (x[..., None] - 2 * np.sqrt(nu * t)[..., None] * nodes)
    exponent = np.log(weights) - np.cos(angle) / (2 * np.pi * nu)
    # They reach 1 / (2 pi nu), 50 here.
    density = np.exp(exponent - exponent.max(axis=-1, keepdims=True))
    return -(density * np.sin(angle)).sum(axis=-1) / density.sum(axis=-1)


def make(*, nu: float = 0.01 / np.pi) -> BoundaryValueProblem:
    """Burgers equation with viscosity `nu`; a reference comes with 0.003 / pi to 0.3."""
    if not nu > 0:
        raise InputError(f"nu={nu}: pass a number above zero.")
    domain = Box(x=(-1.0, 1.0), t=(0.0, 1.0))
    solution = FieldReference(
        function=lambda x, t: _cole_hopf(x, t, nu),
        kind="closed form",
        source=f"Cole (1951) and Hopf (1950), their integral by Gauss-Hermite quadrature with {_N_NODES} nodes",
    )
    return BoundaryValueProblem(
        name="burgers",
        domain=domain,
        constraints=(
            Constraint(
                name="pde",
                operator=lambda u: u.d("t") + u.value * u.d("x") - nu * u.d("x", 2),
                points=domain.interior,
                noise=Integrated(1e-4),
            ),
        ),
        known_part={"u": lambda x: -jnp.sin(jnp.pi * x)},
        envelope={"u": lambda t: t},
        periodic=("x",),
        references={"u": solution} if _LEAST_NU <= nu <= _LARGEST_NU else {},
    )


problem = make()
