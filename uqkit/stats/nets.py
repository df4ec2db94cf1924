"""The error of a mean over one scrambled net, from the nets that it is made of."""

import math

import numpy as np
from jaxtyping import Float

__all__ = ["net_standard_error"]

# Below this a net has too few blocks to extrapolate from.
_FEWEST_ROWS = 64
# A variance below this, of rows of order one, is rounding.
_INERT = 1e-24
# With fewer columns than these, how fast one of them fell is mostly chance.
_FEWEST_COLUMNS = 3
# Powers of the number of rows by which variance falls: of independent rows, and of nets on smooth integrands.
_SLOWEST, _FASTEST = 1.0, 3.0


def net_standard_error(
    influence: Float[np.ndarray, "row value"],
) -> tuple[Float[np.ndarray, " value"], float]:
    """Standard error of the column means over one scrambled Sobol' net, and the degrees of freedom it is known to.

    Any 2^k consecutive rows of a scrambled Sobol' sequence are themselves a scrambled net, so the net shows how fast
    means over its own blocks settle, and the trend is taken one step further:

    1. `spread` is the variance of single rows, `block_spread` that of the means of R = 2^(m//2) blocks of n = N/R rows.
    2. The rate at which variance fell from 1 row to n (n^-rate) is that of the median column, kept between 1
       (independent rows) and 3 (scrambled nets on smooth integrands); no single column is credited with more. Fewer
       than three columns tell no rate: the error is then that of R independent blocks, which is longer.
    3. Few blocks tell little of one column, so its fall is averaged, in logarithms, with the mean fall of all columns.
    4. If a net of n rows has variance v(n) proportional to n^-rate, the population variance of R block means has the
       expectation v(n) - v(N), hence v(N) = block_spread / (R^rate - 1); at rate 1 this is the usual formula.
    5. Extrapolating by log R after seeing log n multiplies the error of the logarithm by 1 + log R / log n; the R - 1
       degrees of freedom are divided by the square of that.

    The error at N rows itself leaves no trace inside the net, so this is an extrapolation: conservative on average over
    the columns, too short for some and several times too long for others. With fewer than 64 rows the rows are taken as
    independent, with the blocks' few degrees of freedom.

    Args:
        influence: Rows of a net of a power of two points, in the order of the sequence, of order one; columns of one
            model output belong together.

    Returns:
        Standard errors, and the degrees of freedom of Student's law that scales them to an interval.

    Reference:
        Owen (1997), Scrambled net variance for integrals of smooth functions, Annals of Statistics 25, for the rates;
        the rule is this package's own.
    """
    n_rows, n_values = influence.shape
    exponent = n_rows.bit_length() - 1
    assert n_rows == 1 << exponent, f"a net has a power of two rows, got {n_rows}"
    n_blocks = 1 << (exponent // 2)
    spread = influence.var(axis=0)
    if n_rows < _FEWEST_ROWS:
        return np.sqrt(spread / max(n_rows - 1, 1)), float(max(n_blocks - 1, 1))
    rows_per_block = n_rows // n_blocks
    block_spread = influence.reshape(n_blocks, rows_per_block, n_values).mean(axis=1).var(axis=0)
    stretch = math.log(n_blocks) / math.log(rows_per_block)
    degrees = (n_blocks - 1) / (1 + stretch) ** 2
    live = spread > _INERT
    error = np.zeros(n_values)
    if live.any():
        fall = np.maximum(block_spread[live] / spread[live], float(rows_per_block) ** -_FASTEST)
        rate = np.clip(-np.log(np.median(fall)) / math.log(rows_per_block), _SLOWEST, _FASTEST)
        if live.sum() < _FEWEST_COLUMNS:
            rate = _SLOWEST
        level = spread[live] * np.sqrt(fall * fall.mean())
        error[live] = np.sqrt(level / (n_blocks**rate - 1))
    return error, degrees
