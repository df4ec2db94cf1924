"""Families of densities fitted to weighted draws: the cross-entropy step, argmin over theta of KL(g* || g_theta).

Every family fits one component of a `MixtureStack`.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from uqkit.errors import InputError
from uqkit.stats import MixtureStack, gaussian_stack

__all__ = ["DiagonalGaussian", "Family", "FullGaussian", "GaussianMixture", "Moments", "ShrunkGaussian", "StudentT"]

_REGULARISATION = 1e-6


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Mean and covariance of the nominal law: what a fit shrinks to where draws are few."""

    mean: Float[np.ndarray, " dim"]
    covariance: Float[np.ndarray, "dim dim"]


@runtime_checkable
class Family(Protocol):
    """A parametric family."""

    def fit(
        self, x: Float[np.ndarray, "draw dim"], log_weight: Float[np.ndarray, " draw"], nominal: Moments
    ) -> MixtureStack:
        """One component fitted to weighted draws; -inf marks a draw of no weight."""
        ...


@dataclass(frozen=True, kw_only=True)
class FullGaussian:
    """A Gaussian with the weighted mean and covariance; needs many more draws than dim (dim + 1) / 2."""

    def fit(
        self, x: Float[np.ndarray, "draw dim"], log_weight: Float[np.ndarray, " draw"], nominal: Moments
    ) -> MixtureStack:
        """See `Family`."""
        mean, covariance = _weighted_moments(x, _normalised(log_weight))
        return _gaussian(mean, covariance)


@dataclass(frozen=True, kw_only=True)
class DiagonalGaussian:
    """A Gaussian with the weighted mean and variances, without correlations."""

    def fit(
        self, x: Float[np.ndarray, "draw dim"], log_weight: Float[np.ndarray, " draw"], nominal: Moments
    ) -> MixtureStack:
        """See `Family`."""
        mean, covariance = _weighted_moments(x, _normalised(log_weight))
        return _gaussian(mean, np.diag(np.diag(covariance)))


@dataclass(frozen=True, kw_only=True)
class ShrunkGaussian:
    """A Gaussian whose covariance is pulled towards the nominal law's by as much as the draws are few.

    Reference:
        Ledoit & Wolf (2004), Journal of Multivariate Analysis 88, lemma 3.3, for weighted draws.
    """

    def fit(
        self, x: Float[np.ndarray, "draw dim"], log_weight: Float[np.ndarray, " draw"], nominal: Moments
    ) -> MixtureStack:
        """See `Family`."""
        weight = _normalised(log_weight)
        mean, covariance = _weighted_moments(x, weight)
        return _gaussian(mean, _shrunk(x, weight, mean, covariance, nominal.covariance))


@dataclass(frozen=True, kw_only=True)
class GaussianMixture:
    """A Gaussian mixture by weighted EM, started along the principal axis.

    Attributes:
        n_parts: Gaussians in it.
        n_steps: Steps of EM.
    """

    n_parts: int = 2
    n_steps: int = 20

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            InputError: If there are fewer than two parts.
        """
        if self.n_parts < 2:
            raise InputError(f"n_parts is {self.n_parts}; pass at least 2, or ShrunkGaussian() for one.")

    def fit(
        self, x: Float[np.ndarray, "draw dim"], log_weight: Float[np.ndarray, " draw"], nominal: Moments
    ) -> MixtureStack:
        """See `Family`."""
        weight = _normalised(log_weight)
        stack = self._start(x, weight, nominal)
        for _ in range(self.n_steps):
            stack = _expectation_maximisation_step(stack, x, weight, nominal)
        return stack

    def _start(
        self, x: Float[np.ndarray, "draw dim"], weight: Float[np.ndarray, " draw"], nominal: Moments
    ) -> MixtureStack:
        mean, covariance = _weighted_moments(x, weight)
        covariance = _shrunk(x, weight, mean, covariance, nominal.covariance) + _REGULARISATION * np.eye(len(mean))
        eigenvalue, eigenvector = np.linalg.eigh(covariance)
        offset = np.linspace(-1.0, 1.0, self.n_parts)[:, None] * np.sqrt(eigenvalue[-1]) * eigenvector[:, -1]
        return MixtureStack(
            mean=mean + offset,
            cholesky=np.tile(np.linalg.cholesky(covariance), (self.n_parts, 1, 1)),
            share=np.full(self.n_parts, 1.0 / self.n_parts),
            owner=np.zeros(self.n_parts, int),
        )


@dataclass(frozen=True, kw_only=True)
class StudentT:
    """A Student t density by weighted EM, for laws or integrands with heavy tails.

    Attributes:
        degrees_of_freedom: Not fitted.
        n_steps: Steps of EM.

    Reference:
        Liu & Rubin (1995), Statistica Sinica 5.
    """

    degrees_of_freedom: float = 3.0
    n_steps: int = 20

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            InputError: If the degrees of freedom are not positive and finite.
        """
        if not 0 < self.degrees_of_freedom < np.inf:
            raise InputError(
                f"degrees_of_freedom is {self.degrees_of_freedom}; pass a positive finite number, or ShrunkGaussian()."
            )

    def fit(
        self, x: Float[np.ndarray, "draw dim"], log_weight: Float[np.ndarray, " draw"], nominal: Moments
    ) -> MixtureStack:
        """See `Family`."""
        weight = _normalised(log_weight)
        dim, degrees = x.shape[1], self.degrees_of_freedom
        regularisation = _REGULARISATION * np.eye(dim)
        mean, scale = _weighted_moments(x, weight)
        scale = _shrunk(x, weight, mean, scale, nominal.covariance) + regularisation
        for _ in range(self.n_steps):
            z = np.linalg.solve(np.linalg.cholesky(scale), (x - mean).T)
            latent = (degrees + dim) / (degrees + np.sum(z**2, axis=0))
            mean = (weight * latent) @ x / (weight @ latent)
            # What the scale is a mean of, so that far draws, which hardly count in it, do not count as noise either.
            pulled_in = mean + np.sqrt(latent)[:, None] * (x - mean)
            scale = (pulled_in - mean).T @ ((pulled_in - mean) * weight[:, None])
            scale = _shrunk(pulled_in, weight, mean, scale, nominal.covariance) + regularisation
        return MixtureStack(
            mean=mean[None],
            cholesky=np.linalg.cholesky(scale)[None],
            share=np.ones(1),
            owner=np.zeros(1, int),
            degrees_of_freedom=degrees,
        )


def _gaussian(mean: Float[np.ndarray, " dim"], covariance: Float[np.ndarray, "dim dim"]) -> MixtureStack:
    return gaussian_stack(mean[None], (covariance + _REGULARISATION * np.eye(len(mean)))[None])


def _normalised(log_weight: Float[np.ndarray, " draw"]) -> Float[np.ndarray, " draw"]:
    return np.exp(log_weight - logsumexp(log_weight))


def _weighted_moments(
    x: Float[np.ndarray, "draw dim"], weight: Float[np.ndarray, " draw"]
) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, "dim dim"]]:
    mean = weight @ x
    centred = x - mean
    return mean, centred.T @ (centred * weight[:, None])


def _shrunk(
    x: Float[np.ndarray, "draw dim"],
    weight: Float[np.ndarray, " draw"],
    mean: Float[np.ndarray, " dim"],
    covariance: Float[np.ndarray, "dim dim"],
    target: Float[np.ndarray, "dim dim"],
) -> Float[np.ndarray, "dim dim"]:
    """(1 - r) S + r T with r = E|S - Sigma|^2 / |S - T|^2 in coordinates where T is the identity.

    The numerator is estimated by sum_i w_i^2 |z_i z_i' - S|^2. A draw or two lie on their own S and show no noise, so
    r is at least one over the effective number of draws.
    """
    whitening = np.linalg.inv(np.linalg.cholesky(target))
    z = (x - mean) @ whitening.T
    whitened = whitening @ covariance @ whitening.T
    norm = np.sum(z**2, axis=1)
    cross = np.einsum("ni,ij,nj->n", z, whitened, z, optimize=True)
    noise = weight**2 @ (norm**2 - 2 * cross + np.sum(whitened**2))
    distance = np.sum((whitened - np.eye(len(mean))) ** 2)
    intensity = min(1.0, max(noise / distance, np.sum(weight**2))) if distance > 0 else 1.0
    return (1 - intensity) * covariance + intensity * target


def _expectation_maximisation_step(
    stack: MixtureStack, x: Float[np.ndarray, "draw dim"], weight: Float[np.ndarray, " draw"], nominal: Moments
) -> MixtureStack:
    """One weighted EM step of a single-component Gaussian mixture; starved parts keep their place."""
    log_joint = stack.parts.log_density(x) + np.log(stack.share)
    responsibility = weight[:, None] * np.exp(log_joint - logsumexp(log_joint, axis=1, keepdims=True))
    share = np.maximum(responsibility.sum(axis=0), 1e-3)
    mean, cholesky = stack.mean.copy(), stack.cholesky.copy()
    for p in np.flatnonzero(share > 1e-3):
        part_weight = responsibility[:, p] / responsibility[:, p].sum()
        mean[p], covariance = _weighted_moments(x, part_weight)
        covariance = _shrunk(x, part_weight, mean[p], covariance, nominal.covariance)
        cholesky[p] = np.linalg.cholesky(covariance + _REGULARISATION * np.eye(x.shape[1]))
    return MixtureStack(mean=mean, cholesky=cholesky, share=share / share.sum(), owner=stack.owner)
