"""Lennard-Jones cluster of 13 particles in three dimensions, held together by springs to its centre.

    log p = -U / temperature,    U = 2 sum_(i<j) (r_ij^-12 - 2 r_ij^-6) + 1/2 sum_i |x_i - centre|^2

with lengths in units of the distance at which a pair's energy is least. The factor 2 is that of a sum over ordered
pairs, as the energy of this benchmark is computed. The cluster melts near temperatures of 0.5 to 0.9; at rest it is an
icosahedron around a central particle, of Lennard-Jones energy -44.326801 (Wales & Doye 1997), here times 2.

U does not change when all particles move together: of the 39 dimensions 36 count, and the density has no integral
unless `centre_sd` gives the centre a normal law of this standard deviation in each direction. What is inferred of the
positions relative to each other does not depend on it. A sampler that knows of the symmetry takes it as infinite (the
default, and the density of the literature) and uses 36 dimensions in log normalisers, noise and traces.

Exactly, the mean of sum_i x_i dU/dx_i is 36 temperatures (integration by parts).

Source: Koehler, Klein & Noe (2020), Equivariant flows: exact likelihood generative learning for symmetric densities,
ICML; at temperature 1 as in Akhound-Sadegh et al. (2024), Iterated denoising energy matching, ICML; at others as in
Skreta et al. (2025), Feynman-Kac correctors in diffusion, ICML. Minimum: Wales & Doye (1997), Global optimization by
basin-hopping, Journal of Physical Chemistry A 101, 5111-5116.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from uqkit.errors import InputError
from uqkit.problems import Density
from uqkit.results import Reference

_N_PARTICLES, _N_SPACE = 13, 3
_FIRST, _SECOND = np.triu_indices(_N_PARTICLES, 1)

# Temperature -> mean and standard deviation of the energy of 10,000 samples.
_ENERGIES = {
    0.2: (-79.496, 0.88),
    0.3: (-77.429, 1.40),
    0.4: (-75.108, 2.02),
    0.5: (-72.033, 3.15),
    0.6: (-66.180, 5.32),
    0.9: (-47.674, 6.08),
    1.5: (-14.887, 11.79),
}


def energy(x):
    """U of one vector of all positions: x, y and z of the first particle, then of the next."""
    position = x.reshape(_N_PARTICLES, _N_SPACE)
    inverse_sixth = jnp.sum((position[_FIRST] - position[_SECOND]) ** 2, axis=-1) ** -3
    springs = 0.5 * jnp.sum((position - position.mean(axis=0)) ** 2)
    return 2 * jnp.sum(inverse_sixth**2 - 2 * inverse_sixth) + springs


def icosahedron():
    """Twelve corners at distance 1 of a thirteenth particle in the middle, (13, 3)."""
    golden = (1 + math.sqrt(5)) / 2
    corners = [
        np.roll((0.0, one, other), shift)
        for one in (-1.0, 1.0)
        for other in (-golden, golden)
        for shift in range(_N_SPACE)
    ]
    return np.concatenate([np.zeros((1, _N_SPACE)), np.stack(corners) / math.hypot(1.0, golden)])


def make(*, temperature: float = 1.0, centre_sd: float = math.inf) -> Density:
    """Thirteen Lennard-Jones particles at a `temperature`; `centre_sd` holds their centre near the origin."""
    if not 0 < temperature < math.inf or not centre_sd > 0:
        raise InputError(
            f"`temperature` is {temperature} and `centre_sd` {centre_sd}; pass numbers above zero, and inf for a free "
            "centre."
        )
    rest = icosahedron().ravel()

    def log_density(x):
        centre = x.reshape(_N_PARTICLES, _N_SPACE).mean(axis=0)
        return -energy(x) / temperature - 0.5 * jnp.sum((centre / centre_sd) ** 2)

    references = {
        "mean_virial": Reference(
            values=(_N_SPACE * (_N_PARTICLES - 1) * temperature,), kind="closed form", source="integration by parts"
        )
    }
    if temperature in _ENERGIES:
        mean, spread = _ENERGIES[temperature]
        references["mean_energy"] = Reference(
            values=(mean,),
            kind="published",
            standard_error=spread / 100,
            source="10,000 samples published with Skreta et al. (2025), taken as independent",
        )
    return Density(
        name="lennard_jones_13",
        coordinates=[f"{axis}{particle}" for particle in range(1, _N_PARTICLES + 1) for axis in "xyz"],
        log_density=log_density,
        references=references,
        start=lambda key: rest + 0.1 * jax.random.normal(key, rest.shape),
    )


problem = make()
