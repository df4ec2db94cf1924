"""The delta method: how a smooth function of means answers to each row."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

__all__ = ["influence_rows", "linearised"]

# So small that its square vanishes beside 1 in double precision: the derivative is exact to rounding.
_STEP = 1e-30

type FunctionOfMeans = Callable[[Any], Any]


def linearised(
    function: FunctionOfMeans, means: Float[np.ndarray, " column"], deviations: Float[np.ndarray, "row column"]
) -> Float[np.ndarray, "row value"]:
    """Directional derivatives of `function` at `means`, one for every row of `deviations`, by the complex step.

    Args:
        function: Maps means (..., column) to values (..., value) by sums, products, quotients and powers.
        means: Where to linearise; of order one, as standardised columns give.
        deviations: Directions.

    Reference:
        Squire & Trapp (1998), Using complex variables to estimate derivatives of real functions, SIAM Review 40.
    """
    return np.imag(function(means + 1j * _STEP * deviations)) / _STEP


def influence_rows(
    function: FunctionOfMeans, columns: Float[np.ndarray, "row column"]
) -> Float[np.ndarray, "row value"]:
    """Influence of each row on a function of the columns' means; their mean is zero.

    The estimate errs like the mean of these rows, so their spread gives its standard error.

    Reference:
        Hampel (1974), The influence curve and its role in robust estimation, JASA 69.
    """
    means = columns.mean(axis=0)
    return linearised(function, means, columns - means)
