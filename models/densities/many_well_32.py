"""Sixteen independent double wells: 65,536 modes in 32 dimensions.

    log p = sum_pairs (x1 / 2 + 6 x1^2 - x1^4 - x2^2 / 2)    over coordinates (1, 2), (3, 4), ...

Each pair has a narrow high well at x1 = 1.75 and one at x1 = -1.71 with 0.1557 of the mass. The density to a power is
of the same form, and all integrals are of one dimension.

Source: Noe, Olsson, Koehler & Wu (2019), Boltzmann generators, Science 365; as many wells Midgley, Stimper, Simm,
Schoelkopf & Hernandez-Lobato (2023), Flow annealed importance sampling bootstrap, ICLR.
"""

import jax
import jax.numpy as jnp
import numpy as np

from uqkit.errors import InputError
from uqkit.problems import Density
from uqkit.results import Reference

_SOURCE = "trapezium rule on [-4, 4], exact to rounding for a function that vanishes with all derivatives at both ends"
# Interpolating the distribution function between so many nodes is in error by 1e-8.
_NODES = np.linspace(-4.0, 4.0, 20_001)


def _well(x):
    return 0.5 * x + 6 * x**2 - x**4


def log_density(x):
    """Of one point; any even number of coordinates."""
    pairs = x.reshape(-1, 2)
    return jnp.sum(_well(pairs[:, 0]) - 0.5 * pairs[:, 1] ** 2)


def _references(n_pairs, power):
    """Log normaliser, mean and variance of all coordinates, and mass of the left well of one pair."""
    step = _NODES[1] - _NODES[0]
    highest = _well(_NODES).max()
    density = np.exp(power * (_well(_NODES) - highest))
    total = density.sum() * step
    share = density * step / total
    mean = share @ _NODES
    left = share[_NODES < 0].sum() + 0.5 * share[_NODES == 0].sum()
    log_pair = np.log(total) + power * highest + 0.5 * np.log(2 * np.pi / power)
    values = {
        "log_normalizer": (n_pairs * log_pair,),
        "mean": (mean, 0.0) * n_pairs,
        "variance": (share @ (_NODES - mean) ** 2, 1 / power) * n_pairs,
        "left_well_mass": (left,),
    }
    return {
        name if power == 1 else f"{name}_power_{power}": Reference(
            values=tuple(float(entry) for entry in value), kind="quadrature", source=_SOURCE
        )
        for name, value in values.items()
    }


def _distribution():
    """Distribution function of x1 at the nodes."""
    density = np.exp(_well(_NODES) - _well(_NODES).max())
    mass = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]))])
    return mass / mass[-1]


def make(*, dim: int = 32) -> Density:
    """Double wells in `dim` dimensions, an even number."""
    if dim < 2 or dim % 2:
        raise InputError(f"`dim` is {dim}; pass an even number of dimensions, at least 2.")
    distribution = _distribution()

    def draw(n, *, key):
        well_key, normal_key = jax.random.split(key)
        share = jax.random.uniform(well_key, (n, dim // 2))
        wells = jnp.interp(share, jnp.asarray(distribution), jnp.asarray(_NODES))
        return jnp.stack([wells, jax.random.normal(normal_key, wells.shape)], axis=-1).reshape(n, dim)

    return Density(
        name="many_well_32" if dim == 32 else f"many_well_{dim}",
        coordinates=[f"x{i}" for i in range(1, dim + 1)],
        log_density=log_density,
        draw=draw,
        references=_references(dim // 2, 1) | _references(dim // 2, 2) | _references(dim // 2, 3),
        start=1.5,
    )


problem = make()
