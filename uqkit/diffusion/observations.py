"""Linear observations with Gaussian noise: a likelihood, and what it is for a point that is still noisy."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions import MultivariateNormal

from uqkit.diffusion.experts import clean_point
from uqkit.diffusion.schedules import Scalar
from uqkit.diffusion.targets import Expert, Reward
from uqkit.errors import InputError

__all__ = ["LinearObservations"]


class LinearObservations(eqx.Module):
    """Data y = H x + noise, noise Gaussian.

    Attributes:
        operator: H.
        data: y.
        noise_covariance: Of the noise, positive definite.
    """

    operator: Float[np.ndarray, "observation dim"] = eqx.field(converter=np.asarray)
    data: Float[np.ndarray, " observation"] = eqx.field(converter=np.asarray)
    noise_covariance: Float[np.ndarray, "observation observation"] = eqx.field(converter=np.asarray)

    def __check_init__(self) -> None:  # noqa: D105
        n = self.data.shape[0] if self.data.ndim == 1 else -1
        if self.operator.ndim != 2 or self.operator.shape[0] != n or self.noise_covariance.shape != (n, n):
            raise InputError(
                f"operator has the shape {self.operator.shape}, data {self.data.shape}, noise_covariance "
                f"{self.noise_covariance.shape}; pass (observation, dim), (observation,) and "
                "(observation, observation)."
            )
        if not np.isfinite(self.data).all() or np.linalg.eigvalsh(self.noise_covariance).min() <= 0:
            raise InputError("`data` must be finite and `noise_covariance` positive definite.")

    def log_likelihood(self, x: Float[Array, " dim"]) -> Float[Array, ""]:
        """Log N(y; H x, noise), in nats."""
        return self._log_density(jnp.asarray(self.operator) @ x, self.noise_covariance)

    def reward(self, prior: Expert) -> Reward:
        """The likelihood of a noisy point: of its expected clean point, with the covariance that this has left.

        It is exact for a Gaussian prior, and at t = 0 it is the likelihood for every prior.

        Reference:
            Song, Vahdat, Mardani & Kautz (2023), Pseudoinverse-guided diffusion models for inverse problems, ICLR,
            equation 8, with the prior's covariance.
        """
        return Reward.moving(_Noisy(self, prior, np.linalg.inv(prior.moments()[1])))

    def _log_density(self, predicted: Array, covariance: Any) -> Float[Array, ""]:
        return MultivariateNormal(predicted, covariance).log_prob(jnp.asarray(self.data))


class _Noisy(eqx.Module):
    observations: LinearObservations
    prior: Expert
    precision: Float[np.ndarray, "dim dim"]

    def __call__(self, x: Float[Array, " dim"], t: Scalar) -> Float[Array, ""]:
        alpha, variance = self.prior.schedule.alpha(t), self.prior.schedule.variance(t)
        # Covariance of a Gaussian prior's clean point given the noisy one, finite without noise, too.
        left = variance * jnp.linalg.inv(variance * self.precision + alpha**2 * jnp.eye(self.prior.dim))
        operator = jnp.asarray(self.observations.operator)
        covariance = self.observations.noise_covariance + operator @ left @ operator.T
        return self.observations._log_density(operator @ clean_point(self.prior, x, t), covariance)
