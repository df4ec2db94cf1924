"""How good and how honest class probabilities are, with the error that finitely many rows leave."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = ["N_BINS", "PROBABILITY", "Score", "calibration", "mean_of_rows", "rate", "scores"]

# Of every interval.
PROBABILITY = 0.95
_Z = 1.959963984540054
# Equal bins of confidence.
N_BINS = 15
# The least probability that a logarithm is taken of.
_LEAST = 1e-30


class Score(NamedTuple):
    """A value with its standard error and 95% interval."""

    value: float
    standard_error: float
    lower: float
    upper: float


def mean_of_rows(rows: Float[np.ndarray, " point"]) -> Score:
    """Mean over independent rows."""
    error = float(rows.std(ddof=1) / np.sqrt(len(rows))) if len(rows) > 1 else np.inf
    value = float(rows.mean())
    return Score(value, error, value - _Z * error, value + _Z * error)


def rate(correct: Bool[np.ndarray, " point"]) -> Score:
    """Share of rows, with the binomial error and Wilson's interval."""
    n, p = len(correct), float(correct.mean())
    centre = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * np.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
    return Score(p, float(np.sqrt(p * (1 - p) / n)), min(centre - half, p), max(centre + half, p))


def scores(probability: Float[np.ndarray, "point class"], label: Int[np.ndarray, " point"]) -> dict[str, Score]:
    """Accuracy, log score (mean log probability of the label, nats), Brier score (sum over classes), and calibration.

    The expected calibration error is the mean over rows of |accuracy - confidence| of their bin; few rows bias it
    upwards.

    Reference:
        Brier (1950); Naeini, Cooper & Hauskrecht (2015), Obtaining well calibrated probabilities, AAAI.
    """
    chosen = probability[np.arange(len(label)), label].astype(float)
    target = np.zeros_like(probability)
    target[np.arange(len(label)), label] = 1.0
    brier = mean_of_rows(((probability - target) ** 2).sum(axis=1).astype(float))
    return {
        "accuracy": rate(probability.argmax(axis=1) == label),
        "log_score": mean_of_rows(np.log(np.maximum(chosen, _LEAST))),
        "brier": brier._replace(lower=max(brier.lower, 0.0)),
        "expected_calibration_error": _calibration_error(probability, label),
    }


def calibration(
    probability: Float[np.ndarray, "point class"], label: Int[np.ndarray, " point"]
) -> tuple[Float[np.ndarray, " bin"], Float[np.ndarray, " bin"], Float[np.ndarray, " bin"]]:
    """Share of rows, mean confidence and accuracy in each bin; NaN where a bin is empty."""
    confidence, place, correct = _binned(probability, label)
    count = np.bincount(place, minlength=N_BINS).astype(float)
    # A bin without rows has no accuracy; NaN says so.
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, confidence, N_BINS) / count
        right = np.bincount(place, correct, N_BINS) / count
    return count / len(label), mean, right


def _calibration_error(probability: Float[np.ndarray, "point class"], label: Int[np.ndarray, " point"]) -> Score:
    confidence, place, correct = _binned(probability, label)
    gap = np.bincount(place, correct - confidence, N_BINS) / len(label)
    # The delta method: the sign of a bin's gap is taken as known.
    found = mean_of_rows(np.sign(gap)[place] * (correct - confidence))
    return found._replace(lower=max(found.lower, 0.0))


def _binned(
    probability: Float[np.ndarray, "point class"], label: Int[np.ndarray, " point"]
) -> tuple[Float[np.ndarray, " point"], Int[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    confidence = probability.max(axis=1).astype(float)
    place = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    return confidence, place, (probability.argmax(axis=1) == label).astype(float)
