"""Ackley function: a narrow well in a wide plain of regular ripples.

    y = -20 exp(-0.2 sqrt(mean_j x_j^2)) - exp(mean_j cos(2 pi x_j)) + 20 + e,    x in [-32.768, 32.768]^d, minimised

The minimum 0 lies at the origin, where the function has a kink.

Source: Ackley (1987), A Connectionist Machine for Genetic Hillclimbing; for any d, Back & Schwefel (1993), An overview
of evolutionary algorithms for parameter optimization, Evolutionary Computation 1.
"""

import math

import jax.numpy as jnp
import numpyro.distributions as dist

from uqkit.errors import InputError
from uqkit.problems import ForwardModel, Objective
from uqkit.results import Reference


def _ackley(x):
    distance = jnp.sqrt(jnp.mean(x**2))
    return -20 * jnp.exp(-0.2 * distance) - jnp.exp(jnp.mean(jnp.cos(2 * math.pi * x))) + 20 + math.e


def make(*, d: int = 10) -> Objective:
    """Ackley function of `d` inputs."""
    if d < 1:
        raise InputError(f"`d` is {d}; pass at least one input.")
    inputs = {f"x{j}": dist.Uniform(-32.768, 32.768) for j in range(1, d + 1)}
    best = Reference(values=(0.0,), kind="closed form", source="both exponents largest at the origin", output="y")
    return Objective(ForwardModel(_ackley, name=f"ackley_{d}", inputs=inputs, outputs=("y",)), best=best)


problem = make()
