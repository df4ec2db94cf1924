"""Layers of one point: activations, numbers that training leaves alone, standardisation, linear layers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from uqkit.errors import InputError

__all__ = [
    "Activation",
    "FactorisedLinear",
    "Fixed",
    "SineUnit",
    "Standardise",
    "SwishUnit",
    "TanhUnit",
    "WeightFactorisation",
    "glorot_linear",
    "standard_normal",
    "without_factorisation",
]

# Any elementwise function with derivatives to the order that is asked for; the units below also say their name.
type Activation = Callable[[Array], Array]

_DRAWN_AT_ONCE = 4096


@dataclass(frozen=True)
class TanhUnit:
    """The hyperbolic tangent."""

    def __call__(self, argument: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Elementwise."""
        return jnp.tanh(argument)


@dataclass(frozen=True)
class SineUnit:
    """The sine."""

    def __call__(self, argument: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Elementwise."""
        return jnp.sin(argument)


@dataclass(frozen=True)
class SwishUnit:
    """The argument times its logistic function.

    Reference:
        Ramachandran, Zoph & Le (2017), arXiv 1710.05941.
    """

    def __call__(self, argument: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Elementwise."""
        return jax.nn.swish(argument)


class Fixed(eqx.Module):
    """Numbers inside a network that are not weights: `trainable` leaves them out, and their gradient is zero."""

    array: Float[Any, "..."]

    @property
    def value(self) -> Float[Array, "..."]:
        """The numbers."""
        return jax.lax.stop_gradient(jnp.asarray(self.array))


class Standardise(eqx.Module):
    """Coordinates less their mean, over their standard deviation.

    Derivatives of a network that begins with this are by the coordinates as they were given.
    """

    mean: Fixed
    sd: Fixed

    def __init__(self, mean: Float[Any, " input"], sd: Float[Any, " input"]) -> None:
        """See the class.

        Args:
            mean: Of each coordinate, in its unit.
            sd: Of each coordinate, in its unit.

        Raises:
            InputError: If a mean is not finite or a standard deviation is not above zero.
        """
        if np.shape(mean) != np.shape(sd):
            raise InputError(
                f"`mean` has shape {np.shape(mean)} and `sd` {np.shape(sd)}; pass one number a coordinate for each."
            )
        if not (np.isfinite(mean).all() and np.isfinite(sd).all() and (np.asarray(sd) > 0).all()):
            raise InputError(f"mean={mean}, sd={sd}: pass finite means and finite standard deviations above zero.")
        # NumPy's, so that nothing is rounded if this is made before double precision is switched on.
        self.mean = Fixed(np.asarray(mean, dtype=float))
        self.sd = Fixed(np.asarray(sd, dtype=float))

    @classmethod
    def of_box(cls, lower: Float[Any, " input"], upper: Float[Any, " input"]) -> "Standardise":
        """For coordinates uniform in a box: the mean is the centre, the standard deviation half-width / sqrt(3).

        Args:
            lower: Corner of the box.
            upper: The opposite corner.

        Raises:
            InputError: If the box is empty or not finite.
        """
        if np.shape(lower) != np.shape(upper) or not (np.asarray(lower) < np.asarray(upper)).all():
            raise InputError(f"lower={lower}, upper={upper}: pass corners with every lower bound below its upper one.")
        # Halves first, so that bounds near the largest number do not overflow.
        low, high = 0.5 * np.asarray(lower, dtype=float), 0.5 * np.asarray(upper, dtype=float)
        return cls(low + high, (high - low) / np.sqrt(3.0))

    def of_columns(self, kept: list[int], n_more: int) -> "Standardise":
        """For some of the coordinates, followed by columns that are left as they are."""
        return Standardise(
            np.concatenate([self.mean.array[kept], np.zeros(n_more)]),
            np.concatenate([self.sd.array[kept], np.ones(n_more)]),
        )

    def __call__(self, point: Float[Array, " input"]) -> Float[Array, " input"]:
        """The standardised point."""
        return (point - self.mean.value) / self.sd.value


@dataclass(frozen=True, kw_only=True)
class WeightFactorisation:
    """Random weight factorisation: weight matrices are trained as diag(exp(s)) V, with s ~ Normal(mean, sd) at first.

    It changes the path of a gradient method, not the functions that the network can be. For a posterior, train so and
    go on with `without_factorisation(network)`.

    Attributes:
        mean: Of s; 0.5 or 1 in the authors' own uses.
        sd: Of s.

    Reference:
        Wang, Wang, Seidman & Perdikaris (2022), Random weight factorization improves the training of continuous neural
        representations, arXiv 2210.01274.
    """

    mean: float = 1.0
    sd: float = 0.1

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not np.isfinite(self.mean) or not 0 <= self.sd < np.inf:
            raise InputError(
                f"WeightFactorisation(mean={self.mean}, sd={self.sd}): pass a finite mean, and an sd of zero or more; "
                "the authors' are 1.0 and 0.1."
            )


class FactorisedLinear(eqx.Module):
    """A linear layer x -> diag(exp(s)) V x + b; see `WeightFactorisation`."""

    log_scale: Float[Array, " output"]
    direction: Float[Array, "output input"]
    bias: Float[Array, " output"]

    @property
    def weight(self) -> Float[Array, "output input"]:
        """The weight matrix diag(exp(s)) V."""
        return jnp.exp(self.log_scale)[:, None] * self.direction

    def __call__(self, point: Float[Array, " input"]) -> Float[Array, " output"]:
        """The layer at one point."""
        # Scaling the product costs less than scaling the matrix.
        return jnp.exp(self.log_scale) * (self.direction @ point) + self.bias


def standard_normal(key: Key[jax.Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Standard normal numbers for the weights that a network starts from."""
    size = math.prod(shape)
    # XLA takes longer to compile a draw of a new length than to make one: the layers of most networks share theirs.
    padded = _DRAWN_AT_ONCE * -(-size // _DRAWN_AT_ONCE)
    return jax.random.normal(key, (padded,))[:size].reshape(shape)


def glorot_linear(
    n_inputs: int,
    n_outputs: int,
    *,
    factorisation: WeightFactorisation | None = None,
    bias_sd: float = 0.0,
    key: Key[jax.Array, ""],
) -> eqx.nn.Linear | FactorisedLinear:
    """A linear layer with weights ~ Normal(0, sqrt(2 / (n_inputs + n_outputs))).

    Args:
        n_inputs: Length of its argument.
        n_outputs: Length of its value.
        factorisation: How the weights are trained; None for as they are. Their distribution is the same.
        bias_sd: Standard deviation of the biases.
        key: Source of randomness.

    Reference:
        Glorot & Bengio (2010), Understanding the difficulty of training deep feedforward neural networks, eq. 12; not
        truncated, as in the code of Wang, Teng & Perdikaris (2021).
    """
    weight_key, bias_key, scale_key = jax.random.split(key, 3)
    weight = np.sqrt(2.0 / (n_inputs + n_outputs)) * standard_normal(weight_key, (n_outputs, n_inputs))
    bias = bias_sd * standard_normal(bias_key, (n_outputs,)) if bias_sd > 0 else jnp.zeros(n_outputs)
    if factorisation is not None:
        log_scale = factorisation.mean + factorisation.sd * standard_normal(scale_key, (n_outputs,))
        return FactorisedLinear(log_scale, weight / jnp.exp(log_scale)[:, None], bias)
    return _plain_linear(weight, bias)


def without_factorisation[Network](network: Network) -> Network:
    """The same function with every `FactorisedLinear` multiplied out: the form that priors and samplers take."""

    def plain(layer: Any) -> Any:
        return _plain_linear(layer.weight, layer.bias) if _is_factorised(layer) else layer

    return jax.tree.map(plain, network, is_leaf=_is_factorised)


def _is_factorised(node: Any) -> bool:
    return isinstance(node, FactorisedLinear)


def _plain_linear(weight: Float[Array, "output input"], bias: Float[Array, " output"]) -> eqx.nn.Linear:
    n_outputs, n_inputs = weight.shape
    # Only its structure: equinox's own weights are never drawn.
    empty = eqx.filter_eval_shape(lambda: eqx.nn.Linear(n_inputs, n_outputs, key=jax.random.key(0)))
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), empty, (weight, bias))
