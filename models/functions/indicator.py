"""Indicator of a weighted sum of eight uniform inputs: a jump, which no smooth surrogate follows.

    y = 1 if sum_i (9 - i) x_i / 36 > threshold, else 0,    x_i ~ Uniform(0, 1),  i = 1..8

Every input matters mostly through its interactions: at the default threshold of 0.6 the total indices add up to 2.5.

With T the sum of (9 - j) x_j over j other than i, a = 9 - i and t = 36 threshold, the indices are integrals of the
survival function S of T, a piecewise polynomial with its joints at the integers:

    V first_i = integral of S(s)^2 ds / a over (t - a, t) - p^2,    V = p (1 - p),  p = P(y = 1)
    V total_i = integral of S(s) (1 - 2 (s + a - t) / a) ds / a over (t - a, t)

Source: written for uqkit as a hard case. The law of a weighted sum of uniforms: Bradley & Gupta (2002), On the
distribution of the sum of n non-identically distributed uniform random variables, Ann. Inst. Statist. Math. 54.
"""

import math
from itertools import combinations, pairwise

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from uqkit.problems import ForwardModel
from uqkit.results import Reference

_SOURCE = "Gauss-Legendre rules, exact for the piecewise polynomials that the law of a weighted sum of uniforms is"
_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 1)


def _survival(points: np.ndarray, weights: tuple[int, ...]) -> np.ndarray:
    """P(sum of weight x uniform > point), by inclusion and exclusion over the corners of the cube."""
    below = np.zeros_like(points)
    for size in range(len(weights) + 1):
        for corner in combinations(weights, size):
            below += (-1) ** size * np.maximum(points - sum(corner), 0.0) ** len(weights)
    return 1 - below / (math.factorial(len(weights)) * math.prod(weights))


def _indices(level: float) -> tuple[float, list[float], list[float]]:
    """Probability of exceeding `level`, first-order and total indices."""
    nodes, shares = np.polynomial.legendre.leggauss(8)  # exact to degree 15; the integrands have at most 14
    probability = float(_survival(np.array([level]), _WEIGHTS)[0])
    variance = probability * (1 - probability)
    first, total = [], []
    for i, weight in enumerate(_WEIGHTS):
        others = _WEIGHTS[:i] + _WEIGHTS[i + 1 :]
        start = level - weight
        joints = [start, *range(math.floor(start) + 1, math.ceil(level)), level]
        points = np.concatenate([(low + high + (high - low) * nodes) / 2 for low, high in pairwise(joints)])
        share = np.concatenate([(high - low) * shares / 2 for low, high in pairwise(joints)]) / weight
        survival = _survival(points, others)
        exceeded = (points - start) / weight  # probability that x_i lifts the sum from here over the level
        first.append(float(share @ survival**2 - probability**2) / variance)
        total.append(float(share @ (survival * (1 - 2 * exceeded))) / variance)
    return probability, first, total


def make(*, threshold: float = 0.6) -> ForwardModel:
    """Indicator that the weighted mean of the inputs is above `threshold`, between 0 and 1."""
    level = 36 * threshold

    def indicator(x):
        return jnp.where(jnp.dot(jnp.asarray(_WEIGHTS, dtype=x.dtype), x) > level, 1.0, 0.0)

    probability, first, total = _indices(level)

    def exact(*values: float) -> Reference:
        return Reference(values=values, kind="quadrature", source=_SOURCE)

    return ForwardModel(
        indicator,
        name="indicator",
        inputs={f"x{i + 1}": dist.Uniform(0.0, 1.0) for i in range(len(_WEIGHTS))},
        outputs=("y",),
        references={
            "output_mean": exact(probability),
            "output_variance": exact(probability * (1 - probability)),
            "sobol_first": exact(*first),
            "sobol_total": exact(*total),
        },
    )


problem = make()
