"""Mixtures of Gaussians as predictions of a number: their scores, distribution functions and quantiles.

A posterior of a regression with Gaussian noise predicts such a mixture at each point, one part a member. Both scores
are proper (a forecaster who believes in a law can do no better on average than state it) and smaller is better.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import erf, logsumexp, ndtr, ndtri

from uqkit.errors import InputError

__all__ = ["gaussian_mixture_cdf", "gaussian_mixture_crps", "gaussian_mixture_log_score", "gaussian_mixture_quantile"]

# Halvings of a bracket: 2^-60 of its width is below the rounding of its ends.
_N_HALVINGS = 60


def gaussian_mixture_crps(
    value: Float[np.ndarray, "*point"],
    mean: Float[np.ndarray, " member *point"],
    sd: Float[np.ndarray, " member *point"],
    weight: Float[np.ndarray, " member"] | None = None,
) -> Float[np.ndarray, "*point"]:
    """Continuous ranked probability score, the integral of (cdf(t) - 1{value <= t})^2 over t, in closed form.

    Work grows with member^2, memory with `member` only.

    Args:
        value: What was observed.
        mean: Of the parts.
        sd: Of the parts, in the units of `value`. Zero makes a part a point mass: with all of them zero, the score is
            that of an ensemble.
        weight: Of the parts, not negative, up to a common factor; equal where not given.

    Returns:
        A score in the units of `value`, 0 at best; the absolute error where the prediction is one point mass.

    Raises:
        InputError: If shapes do not fit, an sd is negative or NaN, or the weights cannot be normalised.

    Reference:
        Grimit, Gneiting, Berrocal & Johnson (2006), Q. J. R. Meteorol. Soc. 132, equation 4; of one Gaussian Gneiting &
        Raftery (2007), J. Am. Stat. Assoc. 102, equation 21.
    """
    value, mean, sd, share = _checked(value, mean, sd, weight)
    to_value = np.tensordot(share, _mean_distance(value - mean, sd), axes=1)
    variance = sd**2
    # Between two draws of the prediction: pairs of one part with itself, then one part with all after it.
    between = np.tensordot(share**2, 2 / np.sqrt(np.pi) * sd, axes=1)
    for member in range(len(mean) - 1):
        later = slice(member + 1, None)
        distance = _mean_distance(mean[member] - mean[later], np.sqrt(variance[member] + variance[later]))
        between += 2 * share[member] * np.tensordot(share[later], distance, axes=1)
    return np.asarray(to_value - 0.5 * between)


def _mean_distance(shift: Float[np.ndarray, "*shape"], sd: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Mean of |shift + sd * z| over standard normal z."""
    # Where sd is 0 any large ratio will do, and 0 where shift is 0 too.
    z = np.divide(shift, sd, out=np.where(shift == 0, 0.0, np.copysign(np.inf, shift)), where=sd > 0)
    spread = sd * np.sqrt(2 / np.pi)
    # Signs cancel: shift and erf(z) have the same.
    return np.abs(shift) * np.abs(erf(z * np.sqrt(0.5))) + spread * np.exp(-0.5 * z**2)


def gaussian_mixture_log_score(
    value: Float[np.ndarray, "*point"],
    mean: Float[np.ndarray, " member *point"],
    sd: Float[np.ndarray, " member *point"],
    weight: Float[np.ndarray, " member"] | None = None,
) -> Float[np.ndarray, "*point"]:
    """Negative log predictive density.

    Args:
        value: What was observed.
        mean: Of the parts.
        sd: Of the parts, positive: a point mass has no density.
        weight: Of the parts, not negative, up to a common factor; equal where not given.

    Returns:
        A score in nats of a density over the units of `value`; of either sign.

    Raises:
        InputError: If shapes do not fit, an sd is not positive, or the weights cannot be normalised.

    Reference:
        Gneiting & Raftery (2007), J. Am. Stat. Assoc. 102, section 4.1.
    """
    value, mean, sd, share = _checked(value, mean, sd, weight)
    if not (sd > 0).all():
        raise InputError(
            f"`sd` is 0 at {int((sd == 0).sum())} of {sd.size} entries, where there is no density; "
            "add the sd of the noise, or use `gaussian_mixture_crps`."
        )
    log_density = -0.5 * ((value - mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)
    return -np.asarray(logsumexp(log_density, axis=0, b=_along_members(share, mean)))


def gaussian_mixture_cdf(
    value: Float[np.ndarray, "*point"],
    mean: Float[np.ndarray, " member *point"],
    sd: Float[np.ndarray, " member *point"],
    weight: Float[np.ndarray, " member"] | None = None,
) -> Float[np.ndarray, "*point"]:
    """Distribution function of the prediction: at what was observed, the probability integral transform (PIT).

    Args:
        value: Where.
        mean: Of the parts.
        sd: Of the parts. Zero makes a part a point mass, which counts where `value` is at its mean or above.
        weight: Of the parts, not negative, up to a common factor; equal where not given.

    Returns:
        Probabilities; uniform over many points where the predictions are calibrated.

    Raises:
        InputError: If shapes do not fit, an sd is negative or NaN, or the weights cannot be normalised.

    Reference:
        Gneiting, Balabdaoui & Raftery (2007), J. R. Stat. Soc. B 69.
    """
    value, mean, sd, share = _checked(value, mean, sd, weight)
    return _cdf(value, mean, sd, share)


def gaussian_mixture_quantile(
    probability: float,
    mean: Float[np.ndarray, " member *point"],
    sd: Float[np.ndarray, " member *point"],
    weight: Float[np.ndarray, " member"] | None = None,
) -> Float[np.ndarray, "*point"]:
    """Quantile of the prediction: the least value whose distribution function reaches a probability, by bisection.

    Args:
        probability: Within (0, 1).
        mean: Of the parts.
        sd: Of the parts; zero makes a part a point mass.
        weight: Of the parts, not negative, up to a common factor; equal where not given.

    Returns:
        In the units of `mean`, to rounding.

    Raises:
        InputError: If the probability is not within (0, 1), shapes do not fit, an sd is negative or NaN, or the
            weights cannot be normalised.
    """
    if not 0 < probability < 1:
        raise InputError(f"`probability` must lie in (0, 1), got {probability}; such as 0.05 and 0.95 of 90%.")
    mean = np.asarray(mean, dtype=float)
    _, mean, sd, share = _checked(mean[0] if mean.ndim else mean, mean, sd, weight)
    # The mixture's quantile lies between the least and the largest of its parts'.
    quantile = mean[share > 0] + sd[share > 0] * ndtri(probability)
    lower, upper = quantile.min(axis=0), quantile.max(axis=0)
    for _ in range(_N_HALVINGS):
        middle = lower + 0.5 * (upper - lower)
        reached = _cdf(middle, mean, sd, share) >= probability
        lower, upper = np.where(reached, lower, middle), np.where(reached, middle, upper)
    return np.asarray(upper)


def _cdf(
    value: Float[np.ndarray, "*point"],
    mean: Float[np.ndarray, " member *point"],
    sd: Float[np.ndarray, " member *point"],
    share: Float[np.ndarray, " member"],
) -> Float[np.ndarray, "*point"]:
    shift = value - mean
    z = np.divide(shift, sd, out=np.where(shift >= 0, np.inf, -np.inf), where=sd > 0)
    return np.asarray(np.tensordot(share, ndtr(z), axes=1))


def _along_members(share: Float[np.ndarray, " member"], mean: Float[np.ndarray, " member *point"]) -> np.ndarray:
    return share.reshape(-1, *[1] * (mean.ndim - 1))


def _checked(
    value: np.ndarray, mean: np.ndarray, sd: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All in double precision, with weights that sum to one."""
    value, mean, sd = (np.asarray(entry, dtype=float) for entry in (value, mean, sd))
    if mean.ndim == 0 or len(mean) == 0 or mean.shape[1:] != value.shape or sd.shape != mean.shape:
        raise InputError(
            f"`value` of shape {value.shape}, `mean` of shape {mean.shape} and `sd` of shape {sd.shape} do not fit; "
            "pass `mean` and `sd` over (member, *point) and `value` over (*point)."
        )
    if not (sd >= 0).all():
        raise InputError(f"`sd` must not be negative or NaN, got {np.min(sd)}; pass standard deviations.")
    share = np.ones(len(mean)) if weight is None else np.asarray(weight, dtype=float)
    if share.shape != (len(mean),) or not ((share >= 0) & np.isfinite(share)).all() or not share.sum() > 0:
        raise InputError(
            f"`weight` has shape {share.shape} and adds to {share.sum()}; pass one finite number a member "
            f"({len(mean)}), none negative and one of them positive."
        )
    return value, mean, sd, share / share.sum()
