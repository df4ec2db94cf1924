"""How a prediction is read out of a posterior over signs."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
from jaxtyping import Array, Bool, Float, Key

from uqkit.continual.binary_weights import SignBernoulli
from uqkit.continual.network import Layers, central_limit_logits, logits, masked, signs
from uqkit.errors import InputError

__all__ = ["CentralLimit", "Decoder", "FloatNetwork", "SignNetwork", "WeightDraws"]


@runtime_checkable
class Decoder(Protocol):
    """Weights or fields, and rows, to class probabilities."""

    def probabilities(
        self, weights: Layers, x: Float[Array, "point input"], mask: Bool[Array, " output"], key: Key[Array, ""]
    ) -> Float[Array, "draw point output"]:
        """Of each pass or network; their mean is the prediction."""
        ...


@dataclass(frozen=True, kw_only=True)
class CentralLimit:
    """Mean over passes in which each unit's sum is drawn from its normal law.

    Attributes:
        n_passes: How many.
    """

    n_passes: int = 10

    def __post_init__(self) -> None:  # noqa: D105
        _check("n_passes", self.n_passes)

    def probabilities(
        self, weights: Layers, x: Float[Array, "point input"], mask: Bool[Array, " output"], key: Key[Array, ""]
    ) -> Float[Array, "draw point output"]:
        """See `Decoder`."""
        return _central_limit(weights, x, mask, jax.random.split(key, self.n_passes))


@dataclass(frozen=True, kw_only=True)
class WeightDraws:
    """Mean over networks of signs drawn from the posterior; a draw is the same network for all rows.

    Attributes:
        n_draws: How many.
    """

    n_draws: int = 30

    def __post_init__(self) -> None:  # noqa: D105
        _check("n_draws", self.n_draws)

    def probabilities(
        self, weights: Layers, x: Float[Array, "point input"], mask: Bool[Array, " output"], key: Key[Array, ""]
    ) -> Float[Array, "draw point output"]:
        """See `Decoder`."""
        return _weight_draws(weights, x, mask, jax.random.split(key, self.n_draws))


@dataclass(frozen=True, kw_only=True)
class SignNetwork:
    """The one network of the likelier signs."""

    def probabilities(
        self, weights: Layers, x: Float[Array, "point input"], mask: Bool[Array, " output"], key: Key[Array, ""]
    ) -> Float[Array, "draw point output"]:
        """See `Decoder`."""
        return _fixed(tuple(signs(weight) for weight in weights), x, mask)


@dataclass(frozen=True, kw_only=True)
class FloatNetwork:
    """The network of real weights as they are."""

    def probabilities(
        self, weights: Layers, x: Float[Array, "point input"], mask: Bool[Array, " output"], key: Key[Array, ""]
    ) -> Float[Array, "draw point output"]:
        """See `Decoder`."""
        return _fixed(weights, x, mask)


@jax.jit
def _fixed(
    weights: Layers, x: Float[Array, "point input"], mask: Bool[Array, " output"]
) -> Float[Array, "draw point output"]:
    return jax.nn.softmax(masked(logits(weights, x), mask))[None]


@jax.jit
def _central_limit(
    fields: Layers, x: Float[Array, "point input"], mask: Bool[Array, " output"], keys: Key[Array, " draw"]
) -> Float[Array, "draw point output"]:
    return jax.lax.map(lambda key: jax.nn.softmax(masked(central_limit_logits(fields, x, key), mask)), keys)


@jax.jit
def _weight_draws(
    fields: Layers, x: Float[Array, "point input"], mask: Bool[Array, " output"], keys: Key[Array, " draw"]
) -> Float[Array, "draw point output"]:
    def one(key: Array) -> Array:
        each = jax.random.split(key, len(fields))
        drawn = tuple(SignBernoulli(field).sample(k) for field, k in zip(fields, each, strict=True))
        return jax.nn.softmax(masked(logits(drawn, x), mask))

    return jax.lax.map(one, keys)


def _check(name: str, value: int) -> None:
    if not isinstance(value, int) or value < 1:
        raise InputError(f"{name}={value!r}: pass a whole number above zero.")
