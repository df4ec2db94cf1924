"""Experts: Gaussian mixtures with everything in closed form, and models known by a function alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from uqkit._typing import PRNGKey
from uqkit.diffusion.learn import ScoreTraining, learn_score
from uqkit.diffusion.schedules import VP, NoiseSchedule, Scalar
from uqkit.diffusion.targets import Expert
from uqkit.errors import InputError
from uqkit.stats import GaussianMixture as Mixture

__all__ = ["GaussianMixture", "ScoreModel", "clean_point"]


class GaussianMixture(Expert, eqx.Module):
    """An expert whose data are a Gaussian mixture: score, divergence and log density are exact at every t.

    Attributes:
        mixture: Of the data; `uqkit.stats.GaussianMixture.of(weight, mean, covariance)`.
        schedule: How it is noised.
    """

    mixture: Mixture
    schedule: NoiseSchedule

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.mixture.dim

    @property
    def has_log_density(self) -> bool:
        """Yes."""
        return True

    @property
    def has_divergence(self) -> bool:
        """Yes."""
        return True

    def moments(self) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, "dim dim"]]:
        """Mean and covariance of the mixture."""
        return self.mixture.moments()

    def tails(self) -> Float[np.ndarray, "tail dim dim"]:
        """The components' covariances."""
        return self.mixture.covariance

    def noised(self, t: Scalar) -> Mixture:
        """The mixture at t."""
        return self.mixture.diffused(self.schedule.alpha(t), self.schedule.variance(t))

    def score(self, x: Float[Array, " dim"], t: Scalar) -> Float[Array, " dim"]:
        """Gradient of the log density at t."""
        return self.noised(t).score(x)

    def score_and_divergence(self, x: Float[Array, " dim"], t: Scalar) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        """The score and its divergence."""
        return self.noised(t).score_and_divergence(x)

    def log_density(self, x: Float[Array, " dim"], t: Scalar) -> Float[Array, ""]:
        """Log density at t, in nats."""
        return self.noised(t).log_density(x)


class ScoreModel(Expert, eqx.Module):
    """An expert known by its score: a network, or any JAX function of a noised point and t.

    Networks that give something else are wrapped by `from_noise`, `from_denoised` or `from_velocity`; `fit` trains a
    small one on draws.

    Attributes:
        function: (x, t) to the gradient of the log density of the noised data. An `equinox.Module` keeps its arrays
            out of the compiled code.
        schedule: How the data are noised.
        mean: Of the data, for the start in the noise.
        covariance: Of the data.
        training: How the score was learned, for a model made by `fit`.
    """

    function: Callable[..., Any]
    schedule: NoiseSchedule
    mean: Float[np.ndarray, " dim"] = eqx.field(converter=lambda value: np.atleast_1d(np.asarray(value, float)))
    covariance: Float[np.ndarray, "dim dim"] = eqx.field(
        converter=lambda value: np.atleast_2d(np.asarray(value, float))
    )
    training: ScoreTraining | None = None

    def __check_init__(self) -> None:  # noqa: D105
        n = len(self.mean)
        if self.covariance.shape != (n, n):
            raise InputError(
                f"`covariance` has the shape {self.covariance.shape} and `mean` {self.mean.shape}; pass (dim, dim) and "
                "(dim,), of the data."
            )
        if not (np.isfinite(self.mean).all() and np.linalg.eigvalsh(self.covariance).min() > -1e-12):
            raise InputError("`mean` must be finite and `covariance` positive semi-definite: they are the data's.")

    @classmethod
    def from_noise(
        cls, function: Callable[..., Any], schedule: NoiseSchedule, mean: Any, covariance: Any
    ) -> "ScoreModel":
        """Of a model that predicts the standardised noise: score = -noise / sigma(t)."""
        return cls(_FromNoise(function, schedule), schedule, mean, covariance)

    @classmethod
    def from_denoised(
        cls, function: Callable[..., Any], schedule: NoiseSchedule, mean: Any, covariance: Any
    ) -> "ScoreModel":
        """Of a model that predicts the clean point x0: score = (alpha x0 - x) / variance (Tweedie)."""
        return cls(_FromDenoised(function, schedule), schedule, mean, covariance)

    @classmethod
    def from_velocity(
        cls, function: Callable[..., Any], schedule: NoiseSchedule, mean: Any, covariance: Any
    ) -> "ScoreModel":
        """Of a model that predicts v = alpha noise - sigma x0 (Salimans & Ho 2022, section 4)."""
        return cls(_FromVelocity(function, schedule), schedule, mean, covariance)

    @classmethod
    def fit(
        cls,
        draws: Any,
        schedule: NoiseSchedule = VP(),  # noqa: B008 - a frozen value
        *,
        key: PRNGKey,
        widths: Sequence[int] = (128, 128, 128),
        n_steps: int = 4000,
        batch_size: int = 256,
        learning_rate: float = 1e-2,
        store: str | Path | None = None,
        progress: bool | None = None,
    ) -> "ScoreModel":
        """A score learned from draws by denoising score matching; 10 to 20 seconds on one core for two coordinates.

        A tenth of the draws is held out. `training` tells the error on them and on the others; where it is clearly
        larger on them, that is warned about.

        Args:
            draws: Array (draw, dim) of the data, in their units; thousands, equally weighted.
            schedule: How they are noised. At t = 1 noise should be several times their spread.
            key: A JAX key or an int; the same key gives the same numbers.
            widths: Of the network's hidden layers.
            n_steps: Steps of Adam, whose rate falls to zero by a cosine.
            batch_size: Draws a step; each is noised twice, with noise of opposite signs.
            learning_rate: Largest of all steps.
            store: File (.npz) that keeps the training after each part of it; the same call goes on from there.
            progress: Whether to show a bar on stderr; None shows it only on a terminal.

        Raises:
            InputError: If draws are too few, not finite, or of no density: constant or linearly dependent columns.
            StoreError: If the store belongs to another training or cannot be used.
            DivergedError: If the weights are no longer finite; a lower learning rate helps.

        Reference:
            Vincent (2011), A connection between score matching and denoising autoencoders, Neural Computation 23; for
            the targets, Xu, Tong & Jaakkola (2023), Stable target field, ICLR.
        """
        score, mean, covariance, training = learn_score(
            draws,
            schedule,
            widths=widths,
            n_steps=n_steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            key=key,
            store=store,
            progress=progress,
        )
        return cls(score, schedule, mean, covariance, training)

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return len(self.mean)

    def moments(self) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, "dim dim"]]:
        """Mean and covariance of the data."""
        return self.mean, self.covariance

    def score(self, x: Float[Array, " dim"], t: Scalar) -> Float[Array, " dim"]:
        """Gradient of the log density at t."""
        return self.function(x, t)


class _FromNoise(eqx.Module):
    function: Callable[..., Any]
    schedule: NoiseSchedule

    def __call__(self, x: Float[Array, " dim"], t: Scalar) -> Float[Array, " dim"]:
        return -self.function(x, t) / jnp.sqrt(self.schedule.variance(t))


class _FromDenoised(eqx.Module):
    function: Callable[..., Any]
    schedule: NoiseSchedule

    def __call__(self, x: Float[Array, " dim"], t: Scalar) -> Float[Array, " dim"]:
        return (self.schedule.alpha(t) * self.function(x, t) - x) / self.schedule.variance(t)


class _FromVelocity(eqx.Module):
    function: Callable[..., Any]
    schedule: NoiseSchedule

    def __call__(self, x: Float[Array, " dim"], t: Scalar) -> Float[Array, " dim"]:
        alpha, variance = self.schedule.alpha(t), self.schedule.variance(t)
        sigma = jnp.sqrt(variance)
        noise = (alpha * self.function(x, t) + sigma * x) / (alpha**2 + variance)
        return -noise / sigma


def clean_point(expert: Expert, x: Float[Array, " dim"], t: Scalar) -> Float[Array, " dim"]:
    """Expected clean point given a noised one (Tweedie's formula)."""
    alpha, variance = expert.schedule.alpha(t), expert.schedule.variance(t)
    return (x + variance * expert.score(x, t)) / alpha
