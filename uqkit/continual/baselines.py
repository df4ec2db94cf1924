"""What the variational learner is measured against, on the same network, inputs and schedule."""

import functools
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from uqkit.continual.binary_weights import variance
from uqkit.continual.methods import Data, Method, MiniBatches, State, drawn
from uqkit.continual.network import Layers, central_limit_logits, cross_entropy, fisher, logits, masked, signs
from uqkit.errors import InputError

__all__ = ["ElasticWeights", "Metaplasticity", "PublishedRule", "StraightThrough"]


class _Penalised(eqx.Module):
    """Log loss of a batch, plus half a quadratic form in the weights: sum F (w - w*)^2 over the tasks before."""

    batches: MiniBatches
    precision: Layers | None
    pull: Layers | None
    binary: bool = eqx.field(static=True)

    def __call__(self, weights: Layers, carry: Any, key: Any, number: Any) -> tuple[Layers, Any, Any]:
        order, x, y = self.batches.at(carry, key, number)

        def loss(hidden: Layers) -> Array:
            used = tuple(signs(weight) for weight in hidden) if self.binary else hidden
            return cross_entropy(masked(logits(used, x), self.batches.data.mask), y)

        value, slope = jax.value_and_grad(loss)(weights)
        if self.precision is not None:
            slope = jax.tree.map(lambda g, w, f, b: g + f * w - b, slope, weights, self.precision, self.pull)
        return slope, order, value


@dataclass(frozen=True, kw_only=True)
class StraightThrough(Method):
    """Signs of hidden real weights, learned by the straight-through estimator; nothing guards earlier tasks.

    Attributes:
        initial_sd: Standard deviation of the first hidden weights.

    Reference:
        Courbariaux et al. (2016), Binarized neural networks, arXiv 1602.02830.
    """

    learning_rate: float = 0.005
    initial_sd: float = 0.01

    decoders: ClassVar[tuple[str, ...]] = ("sign",)

    def first_state(self, shapes: list[tuple[int, int]], key: Key[Array, ""]) -> State:
        """Random hidden weights."""
        return State(drawn(shapes, self.initial_sd, key), {})

    def gradient(self, state: State, batches: MiniBatches) -> tuple[Any, Any]:
        """See `Method`."""
        return _Penalised(batches, None, None, True), batches.first()


@dataclass(frozen=True, kw_only=True)
class Metaplasticity(StraightThrough):
    """The straight-through net whose hidden weights shrink the less the larger they are.

    Attributes:
        consolidation: m: steps towards zero are multiplied by 1 - tanh(m |w|)^2.

    Reference:
        Laborieux, Ernoult, Hirtzlin & Querlioz (2021), Synaptic metaplasticity in binarized neural networks, Nature
        Communications 12, 2549.
    """

    consolidation: float = 1.35

    def __post_init__(self) -> None:  # noqa: D105
        super().__post_init__()
        if not 0 <= self.consolidation < math.inf:
            raise InputError(f"consolidation={self.consolidation}: pass a number from 0 up; 0 consolidates nothing.")

    def optimiser(self, n_steps: int) -> optax.GradientTransformation:
        """Adam, with steps that depend on the weights."""
        return _metaplastic(self.learning_rate, n_steps, self.consolidation)


def _no_state(params: Any) -> Any:
    return optax.EmptyState()


@functools.lru_cache
def _metaplastic(learning_rate: float, n_steps: int, consolidation: float) -> optax.GradientTransformation:
    def change(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        def one(step: Array, weight: Array) -> Array:
            return jnp.where(step * weight < 0, step * variance(consolidation * weight), step)

        return jax.tree.map(one, updates, params), state

    schedule = optax.cosine_decay_schedule(learning_rate, n_steps)
    return optax.chain(optax.adam(schedule), optax.GradientTransformation(_no_state, change))


@dataclass(frozen=True, kw_only=True)
class ElasticWeights(Method):
    """Elastic weight consolidation: a quadratic penalty by the Fisher information of the tasks before.

    Attributes:
        binary: Whether weights are signs of the hidden ones that are penalised; otherwise they are real numbers.
        strength: Lambda, of the penalty.
        decay: None adds up a penalty around each task's own solution; a factor (online consolidation) keeps one
            penalty, around the last solution, whose Fisher information fades by it at each task.
        n_fisher: Rows that the Fisher information is taken from.
        initial_sd: Standard deviation of the first weights; by default 0.01 of hidden ones, 1 of real ones, which are
            divided by the square root of their number.

    Reference:
        Kirkpatrick et al. (2017), Overcoming catastrophic forgetting in neural networks, PNAS 114, 3521; Schwarz et
        al. (2018), Progress and compress, ICML.
    """

    learning_rate: float = 0.002
    binary: bool = True
    strength: float = 450.0
    decay: float | None = None
    n_fisher: int = 2_000
    initial_sd: float | None = None

    @property
    def decoders(self) -> tuple[str, ...]:  # type: ignore[override]
        """Its own weights are all there is."""
        return ("sign",) if self.binary else ("float",)

    def __post_init__(self) -> None:  # noqa: D105
        super().__post_init__()
        if not 0 <= self.strength < math.inf or self.n_fisher < 1:
            raise InputError(
                f"strength={self.strength}, n_fisher={self.n_fisher}: pass a strength from 0 up and at least one row."
            )
        if self.decay is not None and not 0 <= self.decay <= 1:
            raise InputError(f"decay={self.decay}: pass a factor from 0 to 1, or None for a penalty of every task.")

    def first_state(self, shapes: list[tuple[int, int]], key: Key[Array, ""]) -> State:
        """Random weights and no penalty."""
        chosen = (0.01 if self.binary else 1.0) if self.initial_sd is None else self.initial_sd
        weights = drawn(shapes, chosen, key)
        nothing = tuple(jnp.zeros_like(weight) for weight in weights)
        return State(weights, {"precision": nothing, "pull": nothing})

    def gradient(self, state: State, batches: MiniBatches) -> tuple[Any, Any]:
        """See `Method`."""
        return _Penalised(batches, state.memory["precision"], state.memory["pull"], self.binary), batches.first()

    def absorbed(self, state: State, trained: Layers, carry: Any, data: Data, key: Key[Array, ""]) -> State:
        """One more task's penalty."""
        used = tuple(signs(weight) for weight in trained) if self.binary else trained
        rows = jax.random.permutation(key, len(data.x))[: self.n_fisher]
        found = fisher(used, data.x[rows], data.mask)
        old = state.memory
        kept = 1.0 if self.decay is None else self.decay
        precision = jax.tree.map(lambda p, f: kept * p + self.strength * f, old["precision"], found)
        if self.decay is None:
            pull = jax.tree.map(lambda b, f, w: b + self.strength * f * w, old["pull"], found, trained)
        else:
            pull = jax.tree.map(lambda p, w: p * w, precision, trained)
        return State(trained, {"precision": precision, "pull": pull})


class _StepAnchored(eqx.Module):
    """The published loop: summed loss, divergence from the step before, a gain that grows, Adam kept across tasks."""

    batches: MiniBatches
    n_steps: Array
    learning_rate: Float[Array, ""]
    with_divergence: bool = eqx.field(static=True)

    def __call__(self, weights: Layers, carry: Any, key: Any, number: Any) -> tuple[Layers, Any, Any]:
        order_key, pass_key = jax.random.split(key)
        order, x, y = self.batches.at(carry["order"], order_key, number)
        per_epoch = self.batches.n_steps
        progress = (number // per_epoch) * per_epoch / self.n_steps
        gain = 10 * jnp.tanh(0.1 + 2 * progress)

        def loss(fields: Layers) -> Array:
            values = central_limit_logits(fields, x, pass_key, gain)
            return cross_entropy(masked(values, self.batches.data.mask), y)

        value, slope = jax.value_and_grad(loss)(weights)
        slope = jax.tree.map(lambda g: len(x) * g, slope)
        if self.with_divergence:
            slope = jax.tree.map(
                lambda g, h, d: g + gain**2 * variance(gain * h) * d, slope, weights, carry["last_step"]
            )
        count = carry["count"] + 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, carry["first_moment"], slope)
        second = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g**2, carry["second_moment"], slope)

        def step(m: Array, v: Array) -> Array:
            return -self.learning_rate * (m / (1 - 0.9**count)) / (jnp.sqrt(v / (1 - 0.99**count)) + 1e-8)

        taken = jax.tree.map(step, first, second)
        kept = {"order": order, "last_step": taken, "first_moment": first, "second_moment": second, "count": count}
        return jax.tree.map(jnp.negative, taken), kept, value


@dataclass(frozen=True, kw_only=True)
class PublishedRule(Method):
    """The learning loop of the authors' released code, as it is.

    Its divergence is taken from the optimiser's previous step, not from the previous task; Adam (0.9, 0.99) keeps its
    moments across tasks, the loss of a batch is summed, and the gain in m = tanh(gain h) grows each epoch as
    10 tanh(0.1 + 2 progress).

    Attributes:
        with_divergence: Whether that term is there.

    Reference:
        Li, Huang, Zou & Huang (2023), Physical Review E 108, 014309; repository Chan-Li/VCL.
    """

    learning_rate: float = 0.01
    n_epochs: int = 5
    batch_size: int = 64
    with_divergence: bool = True

    decoders: ClassVar[tuple[str, ...]] = ("central_limit", "sign")

    def first_state(self, shapes: list[tuple[int, int]], key: Key[Array, ""]) -> State:
        """Standard normal fields, and an optimiser that has seen nothing."""
        fields = drawn(shapes, 1.0, key)
        nothing = tuple(jnp.zeros_like(field) for field in fields)
        count = (jnp.zeros((1, 1), jnp.float32),)
        return State(fields, {"last_step": nothing, "first_moment": nothing, "second_moment": nothing, "count": count})

    def gradient(self, state: State, batches: MiniBatches) -> tuple[Any, Any]:
        """See `Method`."""
        carry = {**state.memory, "count": state.memory["count"][0][0, 0], "order": batches.first()}
        n_steps = jnp.asarray(batches.n_steps * self.n_epochs)
        rate = jnp.asarray(self.learning_rate, jnp.float32)
        return _StepAnchored(batches, n_steps, rate, self.with_divergence), carry

    def optimiser(self, n_steps: int) -> optax.GradientTransformation:
        """The gradient is already a step."""
        return _AS_IT_IS

    def absorbed(self, state: State, trained: Layers, carry: Any, data: Data, key: Key[Array, ""]) -> State:
        """Moments go on."""
        kept = {name: carry[name] for name in ("last_step", "first_moment", "second_moment")}
        return State(trained, {**kept, "count": (carry["count"].reshape(1, 1),)})

    def readout(self, weights: Layers) -> Layers:
        """Fields times the last epoch's gain."""
        gain = 10 * math.tanh(0.1 + 2 * (self.n_epochs - 1) / self.n_epochs)
        return tuple(gain * field for field in weights)


_AS_IT_IS = optax.scale(-1.0)
