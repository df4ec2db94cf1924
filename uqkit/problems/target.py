"""A posterior as samplers see it: a log density on an unconstrained real vector, in its two parts."""

from typing import Protocol, runtime_checkable

import jax
from jaxtyping import Array, Float, Key

__all__ = ["TargetDensity"]


@runtime_checkable
class TargetDensity(Protocol):
    """A density known up to a constant, with gradients by JAX.

    An implementation is an `equinox.Module`: its arrays (the data above all) are then traced by what is compiled from
    it, so that another data set of the same shape reuses the compiled code. All methods are pure and written for one
    position. The log density is `log_prior` plus `log_likelihood`, in nats; the log Jacobian of the transformation
    from parameters to the position belongs to `log_prior`.
    """

    @property
    def n_dims(self) -> int:
        """Length of a position."""
        ...

    def log_prior(self, position: Float[Array, " dim"]) -> Float[Array, ""]:
        """Log density of the prior at an unconstrained position, Jacobian included; a constant may be missing."""
        ...

    def log_likelihood(self, position: Float[Array, " dim"]) -> Float[Array, ""]:
        """Log likelihood of the data; a constant may be missing."""
        ...

    def constrain(self, position: Float[Array, " dim"]) -> dict[str, Array]:
        """What a user calls the parameters: named scalars and arrays, in their own units."""
        ...

    def draw_prior(self, key: Key[jax.Array, ""]) -> Float[Array, " dim"]:
        """A start for a chain, spread like the prior."""
        ...
