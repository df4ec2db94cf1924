"""Gradient descent with an optimiser of optax, as one compiled loop that can be stopped and gone on with."""

from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int, PyTree

from uqkit._typing import PRNGKey
from uqkit.errors import InputError
from uqkit.keys import as_key
from uqkit.running.scan import fingerprint, run_scan

__all__ = ["Gradient", "Trained", "train"]


@runtime_checkable
class Gradient(Protocol):
    """What the weights descend along: an `equinox.Module`, whose arrays are traced, or a function of a module."""

    def __call__(self, weights: Any, carry: Any, key: Any, number: Any) -> tuple[Any, Any, Any]:
        """Gradient at the weights, the next carry, and outputs worth recording, at a step.

        Args:
            weights: A tree of arrays.
            carry: What else changes from step to step: weights of losses, moving averages.
            key: The randomness of this step alone, such as a mini-batch.
            number: Of the step, from 0.
        """
        ...


class Trained(NamedTuple):
    """Where a training ended.

    Attributes:
        weights: The last.
        carry: The last.
        step: Numbers of the steps whose outputs were kept.
        outputs: Those, with a leading axis over the records, as NumPy arrays; they belong to the weights before the
            step.
    """

    weights: Any
    carry: Any
    step: Int[np.ndarray, " record"]
    outputs: Any


class _Descent(eqx.Module):
    """`record_every` steps of the optimiser, and the outputs of the first: one step of the outer loop."""

    gradient: Any
    optimiser: optax.GradientTransformation
    key: Any
    record_every: int = eqx.field(static=True)

    def __call__(self, state: PyTree, number: Int[Array, ""]) -> tuple[PyTree, PyTree]:
        def one(i: Any, kept: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
            state, outputs = kept
            state, found = self._step(state, number * self.record_every + i)
            return state, jax.tree.map(lambda new, old: jnp.where(i == 0, new, old), found, outputs)

        like = jax.eval_shape(self._step, state, number)[1]
        empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)
        return jax.lax.fori_loop(0, self.record_every, one, (state, empty))

    def _step(self, state: PyTree, number: Int[Array, ""]) -> tuple[PyTree, PyTree]:
        weights, key = state["weights"], jax.random.fold_in(self.key, number)
        gradient, carry, outputs = self.gradient(weights, state["carry"], key, number)
        updates, optimiser = self.optimiser.update(gradient, state["optimiser"], weights)
        return {"weights": optax.apply_updates(weights, updates), "optimiser": optimiser, "carry": carry}, outputs


def train(
    gradient: Gradient,
    optimiser: optax.GradientTransformation,
    weights: PyTree,
    n_steps: int,
    *,
    carry: PyTree = (),
    record_every: int = 1,
    steps_per_chunk: int = 1_000,
    key: PRNGKey,
    label: str,
    progress: bool | None,
    store: str | Path | None = None,
    identity: str = "",
) -> Trained:
    """Descend from given weights; the same key gives the same numbers, whatever the chunks.

    All is computed in the precision that JAX and the weights are in.

    Args:
        gradient: Gradient of the loss. Make its module once: functions in it are compared by identity when compiled
            code is looked up, as are those of the optimiser.
        optimiser: Of optax, with its schedule of learning rates.
        weights: Where to start: a tree of arrays alone, for a network its part `uqkit.nn.trainable`.
        n_steps: How many steps.
        carry: First carry of the gradient.
        record_every: Outputs are kept of every step whose number is a multiple of this.
        steps_per_chunk: Steps between checks, updates of the progress bar, and stores.
        key: Step n gets `fold_in(key, n)`.
        label: What the progress bar counts.
        progress: Whether to show a bar on stderr; None shows it only on a terminal.
        store: File (.npz) that keeps the training after each chunk. The same call with it goes on from there and gives
            the same numbers to the last bit; it may ask for more steps.
        identity: What the gradient and the optimiser are (`uqkit.running.scan.fingerprint`); key and start are added.

    Raises:
        InputError: If the numbers of steps do not fit each other.
        StoreError: If the store belongs to another training or cannot be used.
        RunInterrupted: On Ctrl-C; the last finished chunk is in the store.
        DivergedError: If weights, optimiser or carry are no longer finite; the store keeps the last that were.
    """
    if n_steps < 1 or record_every < 1 or steps_per_chunk < 1:
        raise InputError(
            f"n_steps={n_steps}, record_every={record_every}, steps_per_chunk={steps_per_chunk}: "
            "pass 1 or more of each."
        )
    # A shorter last record could not be gone on from when more steps are asked for.
    if n_steps % record_every:
        raise InputError(
            f"n_steps={n_steps} is no multiple of record_every={record_every}; "
            f"pass n_steps={-(-n_steps // record_every) * record_every}, or a record_every that divides it."
        )
    typed = as_key(key)
    state = {"weights": weights, "optimiser": optimiser.init(weights), "carry": carry}
    state, outputs = run_scan(
        _Descent(gradient, optimiser, typed, record_every),
        state,
        n_steps // record_every,
        chunk_size=max(1, steps_per_chunk // record_every),
        label=label if record_every == 1 else f"{label} x {record_every}",
        progress=progress,
        store=store,
        identity=fingerprint(identity, typed, record_every, weights, carry),
    )
    return Trained(state["weights"], state["carry"], np.arange(0, n_steps, record_every), outputs)
