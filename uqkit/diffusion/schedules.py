"""Noise schedules: how a clean point x becomes alpha(t) x + sqrt(variance(t)) noise as t goes from 0 to 1."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from uqkit.errors import InputError

__all__ = ["EDM", "VE", "VP", "NoiseSchedule", "Schedule"]

type Scalar = Float[Array, ""] | float


class NoiseSchedule(eqx.Module):
    """What every schedule has; `t` is 1 where all is noise and 0 at the data.

    The noising process is dx = c(t) x dt + g(t) dW with c = d log(alpha) / dt and g^2 = d(variance)/dt - 2 c variance
    (Song et al. 2021, equation 5 and appendix B).
    """

    def alpha(self, t: Scalar) -> Float[Array, ""]:
        """What a clean point is multiplied by."""
        raise NotImplementedError

    def variance(self, t: Scalar) -> Float[Array, ""]:
        """Variance of the noise added to each coordinate."""
        raise NotImplementedError

    @property
    def end(self) -> float:
        """The smallest t that a sampler goes to."""
        return 0.0

    def drift_rate(self, t: Scalar) -> Float[Array, ""]:
        """The c of the noising process."""
        return jax.grad(lambda time: jnp.log(self.alpha(time)))(jnp.asarray(t, dtype=jnp.result_type(float)))

    def diffusion(self, t: Scalar) -> Float[Array, ""]:
        """The g^2 of the noising process."""
        time = jnp.asarray(t, dtype=jnp.result_type(float))
        return jax.grad(self.variance)(time) - 2 * self.drift_rate(time) * self.variance(time)

    def times(self, n_steps: int) -> Float[np.ndarray, " step"]:
        """From noise to data: n_steps + 1 values of t."""
        return np.linspace(1.0, self.end, n_steps + 1)


class VP(NoiseSchedule):
    """Variance preserving: beta(t) rises linearly, alpha^2 = exp(-integral of beta), variance = 1 - alpha^2.

    The last t is 1e-3, since scores of data without noise need not exist.

    Attributes:
        beta_min: Rate at t = 0.
        beta_max: Rate at t = 1.

    Reference:
        Song et al. (2021), Score-based generative modeling through stochastic differential equations, equation 11.
    """

    beta_min: float = eqx.field(static=True, default=0.1)
    beta_max: float = eqx.field(static=True, default=20.0)

    def __check_init__(self) -> None:  # noqa: D105
        if not 0 <= self.beta_min < self.beta_max < np.inf:
            raise InputError(f"VP({self.beta_min}, {self.beta_max}): pass 0 <= beta_min < beta_max.")

    @property
    def end(self) -> float:
        """The smallest t that a sampler goes to."""
        return 1e-3

    def _log_alpha(self, t: Scalar) -> Float[Array, ""]:
        return -0.5 * jnp.asarray(self.beta_min * t + 0.5 * (self.beta_max - self.beta_min) * t**2)

    def alpha(self, t: Scalar) -> Float[Array, ""]:
        """What a clean point is multiplied by."""
        return jnp.exp(self._log_alpha(t))

    def variance(self, t: Scalar) -> Float[Array, ""]:
        """Variance of the noise."""
        return -jnp.expm1(2 * self._log_alpha(t))


class VE(NoiseSchedule):
    """Variance exploding: noise of standard deviation sigma_min (sigma_max / sigma_min)^t, in the data's units.

    Attributes:
        sigma_min: At t = 0; what is sampled is the data with this noise on it.
        sigma_max: At t = 1; several times the data's spread.

    Reference:
        Song et al. (2021), equation 9.
    """

    sigma_min: float = eqx.field(static=True)
    sigma_max: float = eqx.field(static=True)

    def __check_init__(self) -> None:  # noqa: D105
        _check_sigmas("VE", self.sigma_min, self.sigma_max)

    def alpha(self, t: Scalar) -> Float[Array, ""]:
        """Always one."""
        return jnp.ones_like(t, dtype=jnp.result_type(float))

    def variance(self, t: Scalar) -> Float[Array, ""]:
        """Variance of the noise."""
        return jnp.asarray(self.sigma_min**2 * (self.sigma_max / self.sigma_min) ** (2 * t))


class EDM(NoiseSchedule):
    """Variance exploding with steps that shorten towards the data: sigma^(1/rho) is linear in t.

    Attributes:
        sigma_min: Standard deviation of the noise at t = 0, in the data's units.
        sigma_max: At t = 1.
        rho: 7 in the paper; larger puts more steps near the data.

    Reference:
        Karras, Aittala, Aila & Laine (2022), Elucidating the design space of diffusion-based generative models,
        equation 5.
    """

    sigma_min: float = eqx.field(static=True)
    sigma_max: float = eqx.field(static=True)
    rho: float = eqx.field(static=True, default=7.0)

    def __check_init__(self) -> None:  # noqa: D105
        _check_sigmas("EDM", self.sigma_min, self.sigma_max)
        if not self.rho >= 1:
            raise InputError(f"EDM(rho={self.rho}): pass at least 1.")

    def alpha(self, t: Scalar) -> Float[Array, ""]:
        """Always one."""
        return jnp.ones_like(t, dtype=jnp.result_type(float))

    def variance(self, t: Scalar) -> Float[Array, ""]:
        """Variance of the noise."""
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return jnp.asarray((low + t * (high - low)) ** (2 * self.rho))


class Schedule(NoiseSchedule):
    """A schedule of your own.

    Attributes:
        alpha_function: t -> what a clean point is multiplied by; smooth, positive, in JAX.
        variance_function: t -> variance of the noise; smooth, increasing, in JAX.
        smallest: The t at which sampling ends.
    """

    alpha_function: Callable[[Scalar], Scalar] = eqx.field(static=True)
    variance_function: Callable[[Scalar], Scalar] = eqx.field(static=True)
    smallest: float = eqx.field(static=True, default=0.0)

    def __check_init__(self) -> None:  # noqa: D105
        if not 0 <= self.smallest < 1:
            raise InputError(f"Schedule(smallest={self.smallest}): pass a time from 0 to below 1.")
        with jax.enable_x64(True):
            for t in np.linspace(self.smallest, 1.0, 33):
                alpha, diffusion = float(self.alpha(t)), float(self.diffusion(t))
                if not (alpha > 0 and np.isfinite(diffusion) and diffusion >= 0):
                    raise InputError(
                        f"at t={t:.3g} the schedule has alpha={alpha:.3g} and g^2={diffusion:.3g}; alpha must be "
                        "positive and signal to noise must fall as t grows."
                    )

    @property
    def end(self) -> float:
        """The smallest t that a sampler goes to."""
        return self.smallest

    def alpha(self, t: Scalar) -> Float[Array, ""]:
        """What a clean point is multiplied by."""
        return jnp.asarray(self.alpha_function(t))

    def variance(self, t: Scalar) -> Float[Array, ""]:
        """Variance of the noise."""
        return jnp.asarray(self.variance_function(t))


def _check_sigmas(name: str, low: float, high: float) -> None:
    if not 0 < low < high < np.inf:
        raise InputError(f"{name}(sigma_min={low}, sigma_max={high}): pass 0 < sigma_min < sigma_max.")
