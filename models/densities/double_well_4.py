"""Four particles in the plane, each pair in a double well of distance.

    log p = -U / temperature,    U = sum_(i<j) 0.9 (r_ij - 4)^4 - 4 (r_ij - 4)^2

Pairs are at rest at distances of 4 +- 1.49. U does not change when all particles move or turn together: of the eight
dimensions six count, and the density has no integral unless `centre_sd` gives the centre a normal law of this standard
deviation in each direction. What is inferred of the positions relative to each other does not depend on it. The log
normaliser is then of all eight dimensions; where the centre is free (the default, and the density of the literature),
of the six orthonormal directions in which it rests.

Source: Koehler, Klein & Noe (2020), Equivariant flows: exact likelihood generative learning for symmetric densities,
ICML; at temperature 1 as in Akhound-Sadegh et al. (2024), Iterated denoising energy matching, ICML.
"""

import math

import jax.numpy as jnp
import numpy as np

from uqkit.errors import InputError
from uqkit.problems import Density
from uqkit.results import Reference

_N_PARTICLES, _N_SPACE = 4, 2
_FIRST, _SECOND = np.triu_indices(_N_PARTICLES, 1)
_SOURCE = "two particles fixed, the others a convolution in the plane by FFT, then Gauss-Legendre over the distance"

# Power at temperature 1 -> log of the integral over the positions of three particles relative to the fourth, mean
# energy, mean and mean square of a pair's distance.
_INTEGRALS = {
    1: (31.05352659402, -22.54150960348, 4.044986844410, 18.18308853456),
    2: (54.68922386273, -24.29284488787, 4.187408121278, 19.38330839738),
    3: (79.28044598295, -24.81648168456, 4.287623940550, 20.20524948322),
}


def energy(x):
    """U of one vector of all positions: both coordinates of the first particle, then of the next."""
    position = x.reshape(_N_PARTICLES, _N_SPACE)
    distance = jnp.sqrt(jnp.sum((position[_FIRST] - position[_SECOND]) ** 2, axis=-1))
    return jnp.sum(0.9 * (distance - 4) ** 4 - 4 * (distance - 4) ** 2)


def _references(centre_sd):
    # dx is n^(dim/2) times orthonormal directions at rest times the centre.
    centre = -math.log(_N_PARTICLES) if centre_sd == math.inf else math.log(2 * math.pi * centre_sd**2)
    found = {}
    for power, (log_integral, mean_energy, mean_distance, mean_square) in _INTEGRALS.items():
        at_rest_or_not = centre - (math.log(power) if centre_sd < math.inf else 0.0)
        values = {
            "log_normalizer": log_integral + at_rest_or_not,
            "mean_energy": mean_energy,
            "mean_distance": mean_distance,
            "mean_square_distance": mean_square,
        }
        for name, value in values.items():
            full_name = name if power == 1 else f"{name}_power_{power}"
            found[full_name] = Reference(values=(value,), kind="quadrature", source=_SOURCE)
    return found


def make(*, temperature: float = 1.0, centre_sd: float = math.inf) -> Density:
    """Four particles; `centre_sd` holds their centre near the origin. References come with the temperature 1."""
    if not 0 < temperature < math.inf or not centre_sd > 0:
        raise InputError(
            f"`temperature` is {temperature} and `centre_sd` {centre_sd}; pass numbers above zero, and inf for a free "
            "centre."
        )

    def log_density(x):
        centre = x.reshape(_N_PARTICLES, _N_SPACE).mean(axis=0)
        return -energy(x) / temperature - 0.5 * jnp.sum((centre / centre_sd) ** 2)

    return Density(
        name="double_well_4",
        coordinates=[f"{axis}{particle}" for particle in range(1, _N_PARTICLES + 1) for axis in "xy"],
        log_density=log_density,
        references=_references(centre_sd) if temperature == 1 else {},
        start=3.0,
    )


problem = make()
