"""Regression control variates with an honest error: cross-fitted, so that it is exactly unbiased.

The sample is independent from g. `ratio` holds phi_j f_j / g, `control` functions of known mean zero under g, such as
g_k / g - 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

__all__ = [
    "Estimate",
    "cross_fitted_estimate",
    "diagonal_coefficient",
    "fold_slices",
    "frozen_estimate",
    "truncated_solve",
]

# Directions of the control space with less than this share of the largest variance are dropped. The components
# always satisfy sum_k alpha_k g_k/g = 1 and neighbours are nearly collinear: at 1e-11 the coefficients of such
# directions extrapolate wildly (Gaussian moments: 10 times the error, coverage 0.67), at 1e-5 precision is lost.
RELATIVE_CUTOFF = 1e-6


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Estimates of J expectations from one sample.

    Attributes:
        mean: The estimates.
        covariance: Of the estimates; not diagonal, since the sample is shared.
        residual: What the estimates are means of, one row a draw.
    """

    mean: Float[np.ndarray, " expectation"]
    covariance: Float[np.ndarray, "expectation expectation"]
    residual: Float[np.ndarray, "draw expectation"]

    @property
    def standard_error(self) -> Float[np.ndarray, " expectation"]:
        """Of each estimate."""
        return np.sqrt(np.diag(self.covariance))


def _plain_estimate(ratio: Float[np.ndarray, "draw expectation"]) -> Estimate:
    """Importance sampling without controls."""
    return Estimate(
        mean=ratio.mean(axis=0),
        covariance=_covariance_of_mean(ratio),
        residual=ratio,
    )


def cross_fitted_estimate(
    ratio: Float[np.ndarray, "draw expectation"], control: Float[np.ndarray, "draw control"], *, n_folds: int = 10
) -> Estimate:
    """Owen-Zhou regression with the coefficients of each fold from the other folds.

    Each fold's residual mean is exactly unbiased, since its coefficients are independent of its draws, and the spread
    of the out-of-fold residuals contains the price of estimating the coefficients, which the in-sample spread hides.

    Reference:
        Owen & Zhou (2000); cross-fitting as in Chernozhukov et al. (2018).
    """
    if control.shape[1] == 0:
        return _plain_estimate(ratio)
    folds = fold_slices(len(ratio), n_folds)
    scale = _column_scale(control)
    scaled = control / scale
    centre = ratio.mean(axis=0)
    sums = [_moment_sums(scaled[fold], ratio[fold] - centre) for fold in folds]
    total = [sum(parts) for parts in zip(*sums, strict=True)]
    residual = np.empty_like(ratio)
    for fold, own in zip(folds, sums, strict=True):
        coefficient = _solve(*[whole - part for whole, part in zip(total, own, strict=True)])
        residual[fold] = ratio[fold] - scaled[fold] @ coefficient
    return Estimate(
        mean=residual.mean(axis=0),
        covariance=_covariance_of_mean(residual),
        residual=residual,
    )


def frozen_estimate(
    ratio: Float[np.ndarray, "draw expectation"],
    control: Float[np.ndarray, "draw control"],
    coefficient: Float[np.ndarray, "control expectation"],
) -> Estimate:
    """Controls with coefficients known before the sample was drawn."""
    residual = ratio - control @ coefficient
    return Estimate(mean=residual.mean(axis=0), covariance=_covariance_of_mean(residual), residual=residual)


def diagonal_coefficient(
    ratio: Float[np.ndarray, "draw expectation"], control: Float[np.ndarray, "draw expectation"]
) -> Float[np.ndarray, " expectation"]:
    """Best coefficient of one control an expectation: Cov(c_j, y_j) / Var(c_j)."""
    centred = control - control.mean(axis=0)
    variance = np.mean(centred**2, axis=0)
    covariance = np.mean(centred * (ratio - ratio.mean(axis=0)), axis=0)
    return np.divide(covariance, variance, out=np.zeros_like(covariance), where=variance > 0)


def _column_scale(control: Float[np.ndarray, "draw control"]) -> Float[np.ndarray, " control"]:
    scale = control.std(axis=0)
    return np.where(scale > 0, scale, 1.0)


def _moment_sums(
    control: Float[np.ndarray, "draw control"], ratio: Float[np.ndarray, "draw expectation"]
) -> tuple[Any, ...]:
    return len(control), control.sum(axis=0), ratio.sum(axis=0), control.T @ control, control.T @ ratio


def _solve(
    n_draws: int,
    control_sum: Float[np.ndarray, " control"],
    ratio_sum: Float[np.ndarray, " expectation"],
    control_square: Float[np.ndarray, "control control"],
    cross: Float[np.ndarray, "control expectation"],
) -> Float[np.ndarray, "control expectation"]:
    """Least squares with intercept from moment sums, without the directions that carry no variance."""
    gram = control_square - np.outer(control_sum, control_sum) / n_draws
    right_side = cross - np.outer(control_sum, ratio_sum) / n_draws
    return truncated_solve(gram, right_side)


def fold_slices(n_draws: int, n_folds: int) -> list[slice]:
    """Contiguous folds of nearly equal size; the draws must be exchangeable."""
    start = np.linspace(0, n_draws, n_folds + 1).astype(int)
    return [slice(a, b) for a, b in zip(start[:-1], start[1:], strict=True)]


def truncated_solve(
    gram: Float[np.ndarray, "row row"],
    right_side: Float[np.ndarray, "row column"],
    *,
    relative_cutoff: float = RELATIVE_CUTOFF,
) -> Float[np.ndarray, "row column"]:
    """Minimum-norm solution of gram @ b = right_side in the eigenvectors above the cutoff."""
    eigenvalue, eigenvector = np.linalg.eigh(gram)
    keep = eigenvalue > relative_cutoff * eigenvalue[-1]
    basis = eigenvector[:, keep]
    return basis @ ((basis.T @ right_side) / eigenvalue[keep, None])


def _covariance_of_mean(
    residual: Float[np.ndarray, "draw expectation"],
) -> Float[np.ndarray, "expectation expectation"]:
    centred = residual - residual.mean(axis=0)
    return centred.T @ centred / (len(residual) * (len(residual) - 1))
