"""What islands of weighted particles say: normaliser and expectations, with errors from how islands differ."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp
from scipy.stats import t as student

__all__ = ["PROBABILITY", "Estimate", "expectation", "log_normalizer", "ratio_of_normalizers"]

PROBABILITY = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number or array with its error.

    Attributes:
        value: The estimate.
        standard_error: From the spread of islands.
        lower: Of the 95% interval, of Student's law with a degree of freedom less than there are islands.
        upper: Of the interval.
    """

    value: np.ndarray
    standard_error: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def log_normalizer(island: Float[np.ndarray, " island"]) -> Estimate:
    """Log of the mean of the islands' normalisers, which are unbiased on the natural scale up to the steps' error.

    Args:
        island: Log normaliser of each island, in nats.
    """
    value = logsumexp(island) - np.log(len(island))
    relative = np.exp(island - value)
    return _interval(np.asarray(value), np.asarray(relative.std(ddof=1) / np.sqrt(len(island))), len(island))


def ratio_of_normalizers(one: Float[np.ndarray, " island"], other: Float[np.ndarray, " island"]) -> Estimate:
    """Log of the ratio of two mean normalisers, of islands that share their keys.

    Args:
        one: Log normaliser of each island of one run, in nats.
        other: Of the other run.
    """
    n = len(one)
    levels = [logsumexp(each) - np.log(n) for each in (one, other)]
    relative = np.exp(one - levels[0]) - np.exp(other - levels[1])
    return _interval(np.asarray(levels[0] - levels[1]), np.asarray(relative.std(ddof=1) / np.sqrt(n)), n)


def expectation(
    values: Float[np.ndarray, "island particle *shape"], log_weight: Float[np.ndarray, "island particle"]
) -> Estimate:
    """Weighted mean over all islands, each counted by its normaliser; its error is that of a ratio.

    Args:
        values: At each particle.
        log_weight: In nats, on the islands' common scale.
    """
    weight = np.exp(log_weight - log_weight.max())
    total = weight.mean(axis=1)
    extra = (slice(None),) * 2 + (None,) * (values.ndim - 2)
    sums = (weight[extra] * values).mean(axis=1)
    value = sums.sum(axis=0) / total.sum()
    rest = sums - total[(slice(None),) + (None,) * (values.ndim - 2)] * value
    error = np.sqrt((rest**2).sum(axis=0) / (len(total) - 1) / len(total)) / total.mean()
    return _interval(value, error, len(total))


def _interval(value: np.ndarray | np.floating, error: np.ndarray | np.floating, n_islands: int) -> Estimate:
    width = student.ppf(0.5 + 0.5 * PROBABILITY, n_islands - 1) * error
    return Estimate(*map(np.asarray, (value, error, value - width, value + width)))
