"""The bootstrap of means as a matrix product."""

import numpy as np
from jaxtyping import Float

from uqkit.keys import as_key, numpy_generator

__all__ = ["bootstrap_means"]

# Weights in memory at once; 2^22 doubles are 32 MB.
_WEIGHTS_AT_ONCE = 1 << 22


def bootstrap_means(
    columns: Float[np.ndarray, "row column"], n_resamples: int, *, key: object
) -> Float[np.ndarray, "resample column"]:
    """Means of all columns under random weights on the rows: Rubin's Bayesian bootstrap.

    Every resample draws its weights from the flat Dirichlet law, so the means of all columns in all resamples are one
    product of a weight matrix with the columns; it is taken in slices of resamples to bound the memory.

    Args:
        columns: What is averaged, one row an independent observation.
        n_resamples: Number of weightings.
        key: A JAX key or an int.

    Reference:
        Rubin (1981), The Bayesian bootstrap, Annals of Statistics 9.
    """
    generator = numpy_generator(as_key(key))
    n_rows = len(columns)
    means = np.empty((n_resamples, columns.shape[1]))
    step = max(1, _WEIGHTS_AT_ONCE // n_rows)
    for start in range(0, n_resamples, step):
        weights = generator.standard_exponential((min(step, n_resamples - start), n_rows))
        # Exponential weights over their sum are Dirichlet weights; the sum divides after the product.
        means[start : start + step] = weights @ columns / weights.sum(axis=1, keepdims=True)
    return means
