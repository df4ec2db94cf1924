"""Poisson equation on the unit interval: one sine, stiffer to fit the more it oscillates.

    u'' = g    on [0, 1],    u(0), u(1) given,    u = sin(C x),    g = -C^2 sin(C x)

Gradient descent on a network meets the residual C^4 more strongly than the boundary values; C = 1, 2, 4 in the source.

Source: Wang, Teng & Perdikaris (2021), Understanding and mitigating gradient flow pathologies in physics-informed
neural networks, SIAM Journal on Scientific Computing 43(5), A3055, the example of their analysis.
"""

import jax.numpy as jnp
import numpy as np

from uqkit.problems import BoundaryValueProblem, Box, Constraint, FieldReference, Integrated


def make(*, C: float = 4.0) -> BoundaryValueProblem:  # noqa: N803 - the source's own symbol
    """Poisson problem whose solution is sin(C x)."""
    domain = Box(x=(0.0, 1.0))
    return BoundaryValueProblem(
        name="poisson_1d",
        domain=domain,
        constraints=(
            Constraint(
                name="pde",
                operator=lambda u: u.d("x", 2),
                points=domain.interior,
                target=lambda x: -(C**2) * np.sin(C * x),
                noise=Integrated(1e-7),
            ),
            Constraint(
                name="boundary",
                operator=lambda u: u.value,
                points=domain.boundary,
                target=lambda x: np.sin(C * x),
                noise=Integrated(1e-8),
            ),
        ),
        references={
            "u": FieldReference(
                function=lambda x: jnp.sin(C * x), kind="closed form", source="the source term is made from it"
            )
        },
    )


problem = make()
