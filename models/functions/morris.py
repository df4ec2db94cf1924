"""Morris function: twenty inputs, ten that matter, with interactions up to the fourth order.

    y = sum_i b_i w_i + sum_{i<j} b_ij w_i w_j + sum_{i<j<k} b_ijk w_i w_j w_k + sum_{i<j<k<l} b_ijkl w_i w_j w_k w_l
    w_i = 2 (x_i - 1/2), but w_i = 2 (1.1 x_i / (x_i + 0.1) - 1/2) for i = 3, 5, 7;    x_i ~ Uniform(0, 1)

    b_i = 20 for i <= 10, b_ij = -15 for i, j <= 6, b_ijk = -10 for i, j, k <= 5, b_1234 = 5

The other b_i and b_ij, which Morris drew from a standard normal law, are (-1)^i and (-1)^(i + j) here, so that the
function is one and the same everywhere; the other b_ijk and b_ijkl are zero.

Source: Morris (1991), Factorial sampling plans for preliminary computational experiments, Technometrics 33.
"""

import math
from itertools import combinations

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from uqkit.problems import ForwardModel
from uqkit.results import Reference

_SOURCE = "a polynomial linear in each w_i: means and variances of the w_i give every term of the variance"
_N_INPUTS = 20
_CURVED = (2, 4, 6)


def _coefficients() -> dict[tuple[int, ...], float]:
    """Set of inputs, counted from zero -> coefficient of the product of their w."""
    coefficients: dict[tuple[int, ...], float] = {(i,): 20.0 if i < 10 else (-1.0) ** (i + 1) for i in range(_N_INPUTS)}
    for i, j in combinations(range(_N_INPUTS), 2):
        coefficients[i, j] = -15.0 if j < 6 else (-1.0) ** (i + j)
    coefficients |= dict.fromkeys(combinations(range(5), 3), -10.0)
    coefficients[0, 1, 2, 3] = 5.0
    return coefficients


def _variance_terms(coefficients: dict[tuple[int, ...], float]) -> dict[tuple[int, ...], float]:
    """Set of inputs -> its term of the variance; the empty set -> the mean of y."""
    # Mean and mean square of 1.1 x / (x + 0.1) over (0, 1).
    log_ratio = math.log(11)
    mean = 1.1 * (1 - 0.1 * log_ratio)
    mean_square = 1.1**2 * (1 - 0.2 * log_ratio + 0.01 * (1 / 0.1 - 1 / 1.1))
    means, variances = np.zeros(_N_INPUTS), np.full(_N_INPUTS, 1 / 3)
    means[list(_CURVED)] = 2 * mean - 1
    variances[list(_CURVED)] = 4 * (mean_square - mean**2)
    # Write each w as its mean and a remainder, and collect the products of remainders.
    centred: dict[tuple[int, ...], float] = {}
    for members, coefficient in coefficients.items():
        for order in range(len(members) + 1):
            for kept in combinations(members, order):
                averaged = [i for i in members if i not in kept]
                centred[kept] = centred.get(kept, 0.0) + coefficient * float(np.prod(means[averaged]))
    return {kept: c**2 * float(np.prod(variances[list(kept)])) if kept else c for kept, c in centred.items()}


def make() -> ForwardModel:
    """Morris function with deterministic coefficients."""
    coefficients = _coefficients()
    linear = np.array([coefficients[i,] for i in range(_N_INPUTS)])
    pairs = np.array([[coefficients[i, j] if i < j else 0.0 for j in range(_N_INPUTS)] for i in range(_N_INPUTS)])

    def morris(x):
        curved = jnp.isin(jnp.arange(_N_INPUTS), jnp.asarray(_CURVED))
        w = 2 * (jnp.where(curved, 1.1 * x / (x + 0.1), x) - 0.5)
        # The sum over i < j < k of the first five by Newton's identity from their power sums.
        p1, p2, p3 = (jnp.sum(w[:5] ** power) for power in (1, 2, 3))
        triples = (p1**3 - 3 * p1 * p2 + 2 * p3) / 6
        return linear @ w + w @ pairs @ w - 10 * triples + 5 * jnp.prod(w[:4])

    terms = _variance_terms(coefficients)
    mean = terms.pop(())
    variance = sum(terms.values())
    first = [terms[i,] / variance for i in range(_N_INPUTS)]
    total = [sum(term for kept, term in terms.items() if i in kept) / variance for i in range(_N_INPUTS)]

    def closed_form(*values: float) -> Reference:
        return Reference(values=values, kind="closed form", source=_SOURCE)

    return ForwardModel(
        morris,
        name="morris",
        inputs={f"x{i + 1}": dist.Uniform(0.0, 1.0) for i in range(_N_INPUTS)},
        outputs=("y",),
        references={
            "output_mean": closed_form(mean),
            "output_variance": closed_form(variance),
            "sobol_first": closed_form(*first),
            "sobol_total": closed_form(*total),
        },
    )


problem = make()
