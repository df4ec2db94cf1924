"""Michalewicz function: flat but for steep, narrow valleys, one more along every further axis.

    y = - sum_i sin(x_i) sin(i x_i^2 / pi)^20,    x in [0, pi]^d, minimised

It is a sum over the axes, so that the minimum is the sum of d one-dimensional ones: -4.687658 for d = 5.

Source: Michalewicz (1992), Genetic Algorithms + Data Structures = Evolution Programs.
"""

import math

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from uqkit.errors import InputError
from uqkit.problems import ForwardModel, Objective
from uqkit.results import Reference

# Twice the exponent that Michalewicz calls m, which is 10.
_POWER = 20


def _deepest(axis: int) -> float:
    """Minimum of one term by itself, on grids that close in on the lowest node; the first is finer than any valley."""
    lowest, reach = math.pi / 2, math.pi / 2

    def term(x):
        return -np.sin(x) * np.sin(axis * x**2 / math.pi) ** _POWER

    for _ in range(4):
        nodes = np.linspace(lowest - reach, lowest + reach, 20_001)
        lowest, reach = nodes[term(nodes).argmin()], nodes[1] - nodes[0]
    return float(term(lowest))


def make(*, d: int = 5) -> Objective:
    """Michalewicz function of `d` inputs."""
    if d < 1:
        raise InputError(f"`d` is {d}; pass at least one input.")

    def michalewicz(x):
        number = jnp.arange(1, d + 1)
        return -jnp.sum(jnp.sin(x) * jnp.sin(number * x**2 / math.pi) ** _POWER)

    inputs = {f"x{j}": dist.Uniform(0.0, math.pi) for j in range(1, d + 1)}
    best = Reference(
        values=(sum(_deepest(axis) for axis in range(1, d + 1)),),
        kind="closed form",
        source="sum of one-dimensional minima, each located to double precision",
        output="y",
    )
    return Objective(ForwardModel(michalewicz, name=f"michalewicz_{d}", inputs=inputs, outputs=("y",)), best=best)


problem = make()
