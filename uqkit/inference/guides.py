"""Families of normal laws for variational inference."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float

from uqkit.errors import InputError

__all__ = ["FullRankNormal", "LowRankNormal", "MeanFieldNormal"]


@dataclass(frozen=True, kw_only=True)
class MeanFieldNormal:
    """A normal law with a diagonal covariance.

    Attributes:
        initial_scale: Standard deviations at the start.
    """

    initial_scale: float = 0.1

    def __post_init__(self) -> None:
        """Check the settings."""
        _check_scale(self.initial_scale)

    def initial(self, mean: Float[Array, " dim"]) -> dict[str, Array]:
        """Unconstrained parameters at the start."""
        return {"mean": mean, "log_scale": jnp.full_like(mean, jnp.log(self.initial_scale))}

    def law(self, parameters: dict[str, Array]) -> dist.Distribution:
        """The law."""
        return dist.Normal(parameters["mean"], jnp.exp(parameters["log_scale"])).to_event(1)

    def covariance(self, parameters: dict[str, Array]) -> Float[Array, "dim dim"]:
        """Its covariance."""
        return jnp.diag(jnp.exp(2 * parameters["log_scale"]))


@dataclass(frozen=True, kw_only=True)
class FullRankNormal:
    """A normal law with any covariance.

    Attributes:
        initial_scale: Standard deviations at the start.
    """

    initial_scale: float = 0.1

    def __post_init__(self) -> None:
        """Check the settings."""
        _check_scale(self.initial_scale)

    def initial(self, mean: Float[Array, " dim"]) -> dict[str, Array]:
        """Unconstrained parameters at the start."""
        log_diagonal = jnp.full_like(mean, jnp.log(self.initial_scale))
        return {"mean": mean, "log_diagonal": log_diagonal, "below": jnp.zeros((mean.size, mean.size), mean.dtype)}

    def law(self, parameters: dict[str, Array]) -> dist.Distribution:
        """The law."""
        return dist.MultivariateNormal(parameters["mean"], scale_tril=self._factor(parameters))

    def covariance(self, parameters: dict[str, Array]) -> Float[Array, "dim dim"]:
        """Its covariance."""
        factor = self._factor(parameters)
        return factor @ factor.T

    def _factor(self, parameters: dict[str, Array]) -> Float[Array, "dim dim"]:
        # Rows in units of the diagonal: the off-diagonal entries then take steps of a fitting size.
        below = jnp.tril(parameters["below"], -1) + jnp.eye(parameters["mean"].size)
        return jnp.exp(parameters["log_diagonal"])[:, None] * below


@dataclass(frozen=True, kw_only=True)
class LowRankNormal:
    """A normal law whose covariance is a diagonal plus a matrix of low rank.

    Attributes:
        rank: Of that matrix.
        initial_scale: Standard deviations at the start.

    Reference:
        Ong, Nott & Smith (2018), Journal of Computational and Graphical Statistics 27.
    """

    rank: int
    initial_scale: float = 0.1

    def __post_init__(self) -> None:
        """Check the settings."""
        _check_scale(self.initial_scale)
        if self.rank < 1:
            raise InputError(f"`rank` must be at least 1, got {self.rank}; use MeanFieldNormal for rank 0.")

    def initial(self, mean: Float[Array, " dim"]) -> dict[str, Array]:
        """Unconstrained parameters at the start."""
        log_scale = jnp.full_like(mean, jnp.log(self.initial_scale))
        # Not zero: there the gradient of the low-rank part is zero. Cosines make the columns differ.
        grid = jnp.arange(mean.size)[:, None] + 0.5
        columns = jnp.cos(jnp.pi * grid * jnp.arange(1, self.rank + 1) / mean.size)
        return {"mean": mean, "log_scale": log_scale, "columns": 0.1 * self.initial_scale * columns}

    def law(self, parameters: dict[str, Array]) -> dist.Distribution:
        """The law."""
        variance = jnp.exp(2 * parameters["log_scale"])
        return dist.LowRankMultivariateNormal(parameters["mean"], parameters["columns"], variance)

    def covariance(self, parameters: dict[str, Array]) -> Float[Array, "dim dim"]:
        """Its covariance."""
        columns = parameters["columns"]
        return columns @ columns.T + jnp.diag(jnp.exp(2 * parameters["log_scale"]))


def _check_scale(initial_scale: float) -> None:
    if not initial_scale > 0:
        raise InputError(f"`initial_scale` must be positive, got {initial_scale}; 0.1 is usual.")
