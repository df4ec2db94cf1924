"""What every way to learn tasks one after another has in common, and the variational one."""

import functools
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from uqkit.continual.binary_weights import variance
from uqkit.continual.network import Layers, central_limit_logits, cross_entropy, masked
from uqkit.errors import InputError

__all__ = ["BinaryVariational", "Data", "Method", "State", "adam"]


class Data(eqx.Module):
    """The rows of one task as a training meets them.

    Attributes:
        x: Centred rows.
        y: Class of each.
        mask: Classes that the task chooses between.
        number: Of the task, from 0.
    """

    x: Float[Array, "point input"]
    y: Int[Array, " point"]
    mask: Bool[Array, " output"]
    number: int = eqx.field(static=True)


class State(eqx.Module):
    """What a learner carries from task to task.

    Attributes:
        weights: Fields, or the hidden real numbers behind weights, of each layer.
        memory: What else is remembered: name -> layers, such as the fields of the last posterior.
    """

    weights: Layers
    memory: dict[str, Layers]


class MiniBatches(eqx.Module):
    """Rows in a new random order each epoch; the order travels in the carry."""

    data: Data
    size: int = eqx.field(static=True)

    @property
    def n_steps(self) -> int:
        """In an epoch; rows left over wait for the next order."""
        return len(self.data.x) // self.size

    def first(self) -> Int[Array, " point"]:
        """Any order: the first step makes a new one."""
        return jnp.arange(len(self.data.x))

    def at(
        self, order: Int[Array, " point"], key: Key[Array, ""], number: Int[Array, ""]
    ) -> tuple[Int[Array, " point"], Array, Array]:
        """The order from now on, and this step's rows and classes."""
        place = number % self.n_steps
        order = jax.lax.cond(place == 0, lambda: jax.random.permutation(key, order), lambda: order)
        chosen = jax.lax.dynamic_slice_in_dim(order, place * self.size, self.size)
        return order, self.data.x[chosen], self.data.y[chosen]


@dataclass(frozen=True, kw_only=True)
class Method:
    """Settings that all methods share.

    Attributes:
        widths: Units of each hidden layer.
        learning_rate: First one of Adam; it falls to zero along a cosine, anew for each task.
        n_epochs: Passes over each task's rows.
        batch_size: Rows a step.
    """

    widths: tuple[int, ...] = (200, 200)
    learning_rate: float = 0.25
    n_epochs: int = 6
    batch_size: int = 256

    # How predictions of the method are read out; the first is the default.
    decoders: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:  # noqa: D105
        widths = self.widths
        if not isinstance(widths, tuple) or not all(isinstance(width, int) and width > 0 for width in widths):
            raise InputError(f"widths={widths!r}: pass a tuple of whole numbers above zero, such as (200, 200).")
        for name in ("n_epochs", "batch_size"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)!r}: pass a whole number above zero.")
        _check_positive(self, "learning_rate")

    def first_state(self, shapes: list[tuple[int, int]], key: Key[Array, ""]) -> State:
        """Before any task."""
        raise NotImplementedError

    def gradient(self, state: State, batches: MiniBatches) -> tuple[Any, Any]:
        """What a task's training descends along (`uqkit.running.training.Gradient`), and its first carry."""
        raise NotImplementedError

    def optimiser(self, n_steps: int) -> optax.GradientTransformation:
        """Of a task's training."""
        return adam(self.learning_rate, n_steps)

    def absorbed(self, state: State, trained: Layers, carry: Any, data: Data, key: Key[Array, ""]) -> State:
        """The state after a task's training."""
        return State(trained, state.memory)

    def readout(self, weights: Layers) -> Layers:
        """Fields or weights as predictions use them."""
        return weights


@functools.lru_cache
def adam(learning_rate: float, n_steps: int) -> optax.GradientTransformation:
    """Adam with a cosine; the same object for the same numbers, since compiled code is looked up by it."""
    return optax.adam(optax.cosine_decay_schedule(learning_rate, n_steps))


class _Evidence(eqx.Module):
    """Expected log loss of a batch, plus strength / n times the divergence from the prior, whose gradient is exact."""

    batches: MiniBatches
    anchor: Layers
    strength: Float[Array, ""]

    def __call__(self, weights: Layers, carry: Any, key: Any, number: Any) -> tuple[Layers, Any, Any]:
        order_key, pass_key = jax.random.split(key)
        order, x, y = self.batches.at(carry, order_key, number)

        def loss(fields: Layers) -> Array:
            return cross_entropy(masked(central_limit_logits(fields, x, pass_key), self.batches.data.mask), y)

        value, slope = jax.value_and_grad(loss)(weights)
        share = self.strength / len(self.batches.data.x)
        pulled = jax.tree.map(lambda g, h, a: g + share * variance(h) * (h - a), slope, weights, self.anchor)
        return pulled, order, value


@dataclass(frozen=True, kw_only=True)
class BinaryVariational(Method):
    """A product of laws of signs, whose prior in each task is the posterior of the one before.

    The objective of task t with n rows is the mean expected log loss plus (strength / n) KL(q || prior), the
    expectation by one central-limit pass a step. A strength below 1 tempers the likelihood (generalised variational
    continual learning): the first task and later ones have their own.

    Attributes:
        first_strength: Of the divergence in the first task, whose prior is fair coins.
        later_strength: In later tasks; a tuple gives those of the second, third, ... task, the last one repeated.
            Longer streams want larger ones.
        memory: Factor on the fields of the last posterior before it becomes the prior, at most 1; less than 1 forgets.
        initial_sd: Standard deviation of the first fields.

    Reference:
        Li, Huang, Zou & Huang (2023), Physical Review E 108, 014309; Loo, Swaroop & Turner (2021), Generalized
        variational continual learning, ICLR.
    """

    first_strength: float = 0.1
    later_strength: float | tuple[float, ...] = 0.3
    memory: float = 1.0
    initial_sd: float = 0.1

    decoders: ClassVar[tuple[str, ...]] = ("central_limit", "sign")

    def __post_init__(self) -> None:  # noqa: D105
        super().__post_init__()
        later = self.later_strength if isinstance(self.later_strength, tuple) else (self.later_strength,)
        if not later or not all(0 <= strength < math.inf for strength in (self.first_strength, *later)):
            raise InputError(
                f"first_strength={self.first_strength}, later_strength={self.later_strength}: pass numbers from 0 "
                "(no memory at all) up; 1 is untempered Bayes."
            )
        if not 0 <= self.memory <= 1:
            raise InputError(f"memory={self.memory}: pass a factor from 0 to 1; 1 keeps the whole posterior.")
        _check_positive(self, "initial_sd")

    def strength(self, number: int) -> float:
        """Of the divergence in a task, counted from 0."""
        if number == 0:
            return self.first_strength
        later = self.later_strength if isinstance(self.later_strength, tuple) else (self.later_strength,)
        return later[min(number, len(later)) - 1]

    def first_state(self, shapes: list[tuple[int, int]], key: Key[Array, ""]) -> State:
        """Small random fields; a prior of fair coins."""
        fields = drawn(shapes, self.initial_sd, key)
        return State(fields, {"prior_field": tuple(jnp.zeros_like(field) for field in fields)})

    def gradient(self, state: State, batches: MiniBatches) -> tuple[Any, Any]:
        """See `Method`."""
        strength = jnp.asarray(self.strength(batches.data.number), jnp.float32)
        return _Evidence(batches, state.memory["prior_field"], strength), batches.first()

    def absorbed(self, state: State, trained: Layers, carry: Any, data: Data, key: Key[Array, ""]) -> State:
        """The posterior, faded, becomes the prior."""
        return State(trained, {"prior_field": tuple(self.memory * field for field in trained)})


def drawn(shapes: list[tuple[int, int]], sd: float, key: Key[Array, ""]) -> Layers:
    """Normal numbers of each shape, in single precision."""
    keys = jax.random.split(key, len(shapes))
    return tuple(sd * jax.random.normal(one, shape, np.float32) for one, shape in zip(keys, shapes, strict=True))


def _check_positive(settings: Any, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise InputError(f"{name}={value!r}: pass a number above zero.")
