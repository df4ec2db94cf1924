"""Importance weights: how many draws they are worth, and how heavy their tail is."""

import numpy as np
from arviz_stats.base.array import array_stats
from jaxtyping import Float

__all__ = ["effective_sample_size", "pareto_tail_index"]


def effective_sample_size(log_weight: Float[np.ndarray, " draw"]) -> float:
    """Kish effective sample size, in log space: from 1 to the number of draws, and 0 if every weight is zero.

    Args:
        log_weight: Unnormalised log weights, in nats; -inf marks a draw of no weight.

    Reference:
        Kong (1992), A note on importance sampling using standardized weights.
    """
    if not np.isfinite(log_weight).any():
        return 0.0
    return float(np.exp(2 * np.logaddexp.reduce(log_weight) - np.logaddexp.reduce(2 * log_weight)))


def pareto_tail_index(magnitude: Float[np.ndarray, " draw"]) -> float:
    """Shape k of the generalised Pareto law fitted to the largest min(n / 5, 3 sqrt(n)) values.

    A law with k above 1 has no mean, above 1/2 no variance.

    Args:
        magnitude: Not negative. It is taken as it is: scale it so that its tail, not its maximum, is of order one.

    Returns:
        k; inf when fewer than five values stand out, -inf when the tail is constant.

    Reference:
        Zhang & Stephens (2009), Technometrics 51; Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25.
    """
    positive = np.sort(magnitude[magnitude > 0])
    n_tail = int(min(len(magnitude) / 5, 3 * np.sqrt(len(magnitude))))
    if len(positive) < 6 or n_tail < 5:
        return np.inf
    n_tail = min(n_tail, len(positive) - 1)
    cutoff = positive[-n_tail - 1]
    excess = positive[-n_tail:] - cutoff
    # Differences that rounding makes are no tail.
    excess = excess[excess > 1e-9 * cutoff]
    if len(excess) < 5:
        return -np.inf
    shape, _ = array_stats._gpdfit(excess)
    return float(shape) if np.isfinite(shape) else np.inf
