"""A target in better coordinates: centred and scaled so that its posterior is near a standard normal."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from uqkit.errors import InputError
from uqkit.problems.target import TargetDensity

__all__ = ["Whitened"]


class Whitened(eqx.Module):
    """A target density on z, where position = centre + factor @ z.

    Where centre and factor come from a Laplace approximation (mode, and a square root of the covariance), the
    posterior on z is near a standard normal whatever the condition number was, and a sampler needs few steps.
    It is itself a `TargetDensity`: `NUTS().sample(Whitened(target, mode, factor), key=0)`.

    Args:
        target: The density on its own coordinates.
        centre: Position at z = 0.
        factor: A matrix, or a vector that stands for a diagonal one.
        start_scale: Standard deviation of the starts on z. Chains should start wider than the posterior, which is
            near a standard normal.

    Raises:
        InputError: If the shapes do not fit, or the factor is singular or not finite.
    """

    target: TargetDensity
    centre: Float[Array, " dim"]
    factor: Float[Array, "dim dim"] | Float[Array, " dim"]
    log_determinant: Float[Array, ""]
    start_scale: Float[Array, ""]

    def __init__(
        self,
        target: TargetDensity,
        centre: Float[Array | np.ndarray, " dim"],
        factor: Float[Array | np.ndarray, "dim dim"] | Float[Array | np.ndarray, " dim"],
        start_scale: float = 2.0,
    ) -> None:
        """See the class."""
        with jax.enable_x64(True):
            self.target = target
            self.centre = jnp.asarray(centre, dtype=float)
            self.factor = jnp.asarray(factor, dtype=float)
            self.start_scale = jnp.asarray(start_scale, dtype=float)
            n = target.n_dims
            if self.centre.shape != (n,) or self.factor.shape not in ((n,), (n, n)):
                raise InputError(
                    f"`centre` has shape {self.centre.shape} and `factor` {self.factor.shape}, but the target has {n} "
                    f"dimensions; pass ({n},), and ({n}, {n}) or, for a diagonal, ({n},)."
                )
            if self.factor.ndim == 1:
                self.log_determinant = jnp.log(jnp.abs(self.factor)).sum()
            else:
                self.log_determinant = jnp.linalg.slogdet(self.factor)[1]
            if not bool(jnp.isfinite(self.log_determinant) & jnp.isfinite(self.centre).all()):
                raise InputError(
                    f"`centre` or `factor` is not finite, or `factor` is singular (log |det| "
                    f"{float(self.log_determinant):.4g}); pass a mode, and a square root of a positive covariance."
                )
            if not start_scale > 0:
                raise InputError(f"`start_scale` must be positive, got {start_scale}; 2 is usual.")

    @property
    def n_dims(self) -> int:
        """Length of z."""
        return self.target.n_dims

    def unwhitened(self, z: Float[Array, " dim"]) -> Float[Array, " dim"]:
        """The target's own coordinates of z."""
        return self.centre + (self.factor * z if self.factor.ndim == 1 else self.factor @ z)

    def log_prior(self, position: Float[Array, " dim"]) -> Float[Array, ""]:
        """The target's, plus log |det factor|, so that it stays a density over z."""
        return self.target.log_prior(self.unwhitened(position)) + self.log_determinant

    def log_likelihood(self, position: Float[Array, " dim"]) -> Float[Array, ""]:
        """The target's."""
        return self.target.log_likelihood(self.unwhitened(position))

    def constrain(self, position: Float[Array, " dim"]) -> dict[str, Array]:
        """The target's quantities."""
        return self.target.constrain(self.unwhitened(position))

    def draw_prior(self, key: Key[jax.Array, ""]) -> Float[Array, " dim"]:
        """A start: `start_scale` times a standard normal z, and no draw of the prior."""
        return self.start_scale * jax.random.normal(key, (self.n_dims,))
