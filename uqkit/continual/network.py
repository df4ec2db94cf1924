"""Passes through a network of layers without biases, a / sqrt(n) between them, ReLU on hidden units.

All is in single precision: what is learned are signs, and data gradients are noisy.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from uqkit.continual.binary_weights import variance

__all__ = ["Layers", "central_limit_logits", "cross_entropy", "fisher", "logits", "masked", "shapes", "signs"]

# Weights or fields of each layer, (unit below, unit).
type Layers = tuple[Array, ...]

# Keeps the square root's derivative finite where all inputs of a unit are zero.
_TINY = 1e-12
_NEVER = -1e9


def shapes(n_inputs: int, widths: tuple[int, ...], n_outputs: int) -> list[tuple[int, int]]:
    """Of each layer's weights."""
    sizes = [n_inputs, *widths, n_outputs]
    return list(zip(sizes[:-1], sizes[1:], strict=True))


def logits(
    weights: Layers, x: Float[Array, "point input"], offsets: Layers | None = None
) -> Float[Array, "point output"]:
    """Of a network whose weights are numbers; offsets are added to the units' sums."""
    a = x
    for number, weight in enumerate(weights):
        a = (jax.nn.relu(a) if number else a) @ weight / np.sqrt(weight.shape[0])
        a = a if offsets is None else a + offsets[number]
    return a


def central_limit_logits(
    fields: Layers, x: Float[Array, "point input"], key: Key[Array, ""], gain: Float[Array, ""] | float = 1.0
) -> Float[Array, "point output"]:
    """One pass in which every unit's sum is drawn from the normal law that its many random signs give it.

    z = (m a) / sqrt(n) + sqrt((1 - m^2) a^2 / n) eps, with fresh eps for each unit and row.

    Args:
        fields: h of every weight.
        x: Rows.
        key: Of eps.
        gain: m = tanh(gain h).

    Reference:
        Li, Huang, Zou & Huang (2023), Physical Review E 108, 014309; Kingma, Salimans & Welling (2015), local
        reparametrisation.
    """
    a = x
    for number, field in enumerate(fields):
        below = jax.nn.relu(a) if number else a
        size = field.shape[0]
        mean = below @ jnp.tanh(gain * field) / np.sqrt(size)
        spread = below**2 @ variance(gain * field) / size
        noise = jax.random.normal(jax.random.fold_in(key, number), mean.shape, mean.dtype)
        a = mean + jnp.sqrt(spread + _TINY) * noise
    return a


def masked(values: Float[Array, "point output"], mask: Bool[Array, " output"]) -> Float[Array, "point output"]:
    """Logits with classes that a task does not choose between left out."""
    return jnp.where(mask, values, _NEVER)


def cross_entropy(values: Float[Array, "point output"], labels: Int[Array, " point"]) -> Float[Array, ""]:
    """Mean of minus the log probability of the label, in nats."""
    return -jnp.take_along_axis(jax.nn.log_softmax(values), labels[:, None], axis=1).mean()


@jax.custom_jvp
def signs(weight: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """-1 or +1, whose derivative is taken to be 1 (the straight-through estimator)."""
    return jnp.where(weight >= 0, 1.0, -1.0).astype(weight.dtype)


@signs.defjvp
def _straight_through(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return signs(primals[0]), tangents[0]


@jax.jit
def fisher(weights: Layers, x: Float[Array, "point input"], mask: Bool[Array, " output"]) -> Layers:
    """Diagonal of the Fisher information of each weight, a mean over rows; over labels it is exact.

    A sure network gives the labels that matter here small probabilities: drawn labels would miss most of them.
    """
    probability = jax.nn.softmax(masked(logits(weights, x), mask))
    zeros = tuple(jnp.zeros((len(x), weight.shape[1]), x.dtype) for weight in weights)

    def slopes(label: Int[Array, ""]) -> Layers:
        def total(offsets: Layers) -> Array:
            values = masked(logits(weights, x, offsets), mask)
            return len(x) * cross_entropy(values, jnp.full(len(x), label))

        share = probability[:, label, None]
        return tuple(share * slope**2 for slope in jax.grad(total)(zeros))

    # The gradient of one row is an outer product, so that squares of all rows are one product of matrices.
    squares = jax.tree.map(lambda each: each.sum(axis=0), jax.lax.map(slopes, jnp.arange(probability.shape[1])))
    found, a = [], x
    for number, (weight, square) in enumerate(zip(weights, squares, strict=True)):
        below = jax.nn.relu(a) if number else a
        found.append((below**2).T @ square / (weight.shape[0] * len(x)))
        a = below @ weight / np.sqrt(weight.shape[0])
    return tuple(found)
