"""A long compiled loop in chunks: progress between them, a checkpoint after each, and a clean Ctrl-C."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PyTree

from uqkit.errors import RunInterrupted, UqkitError
from uqkit.running.checkpoint import Checkpoint
from uqkit.running.chunks import progress_bar

__all__ = ["DivergedError", "Step", "fingerprint", "run_scan"]

# One step: (state, step number) -> (next state, output of the step). An `equinox.Module` or a function of a module;
# arrays that it holds are traced, all else is compared when compiled code is looked up.
type Step = Callable[[Any, Int[Array, ""]], tuple[Any, Any]]


class DivergedError(UqkitError, RuntimeError):
    """A loop's state is no longer a number."""


def run_scan(
    step: Step,
    state: PyTree | Callable[[], PyTree],
    n_steps: int,
    *,
    chunk_size: int,
    label: str,
    progress: bool | None,
    store: str | Path | None = None,
    identity: str = "",
    keep_from: int = 0,
    is_sound: Callable[[PyTree], Any] | None = None,
) -> tuple[PyTree, PyTree]:
    """Iterate `state, output = step(state, number)`, compiled once for a kind of step and a chunk size.

    Args:
        step: Pure; randomness comes from `jax.random.fold_in(key, number)`.
        state: The first state, or a function of JAX operations that makes it and is run only where no store has a
            later one. Its leaves are numbers and arrays, no keys: a step makes its own from its number.
        n_steps: How many steps.
        chunk_size: Steps a call of the compiled loop.
        label: What the progress bar counts.
        progress: Whether to show a bar on stderr; None shows it only on a terminal.
        store: File (.npz) that keeps state and outputs after each chunk; a later call with the same `identity` goes
            on where it stopped and gives the same numbers to the last bit. It may ask for more steps than before.
        identity: What the run is (`fingerprint`).
        keep_from: First step whose output is kept; earlier ones are thrown away.
        is_sound: Whether a state is fit to go on from, asked after each chunk; by default every floating-point
            number in it must be finite.

    Returns:
        Last state, and the outputs with a leading axis over the kept steps, as NumPy arrays.

    Raises:
        StoreError: If the store belongs to another run or holds more steps, or cannot be read or written.
        RunInterrupted: On Ctrl-C; the last finished chunk is in the store.
        DivergedError: If a state is not sound; the store keeps the last sound one.
    """
    checkpoint = None if store is None else Checkpoint(Path(store), identity)
    n_done = 0
    kept: list[PyTree] = []
    try:
        found = None if checkpoint is None else checkpoint.read(n_steps)
        if found is None:
            state = _as_arrays(state() if callable(state) else state)
        else:
            n_done = found.n_done
            like = jax.eval_shape(state) if callable(state) else _as_arrays(state)
            state = found.state(like)
            if n_done > keep_from:
                kept.append(found.output(jax.eval_shape(step, state, jnp.asarray(0))[1]))
        with progress_bar(n_steps, label, progress) as bar:
            bar.update(n_done)
            while n_done < n_steps:
                stop = min(n_done + chunk_size, n_steps)
                # Numbers travel as arrays: a Python int would be a constant of the compiled loop.
                state, output = _run_chunk(step, state, jnp.asarray(n_done), jnp.asarray(stop), chunk_size)
                _check(state, is_sound, label, n_done, stop)
                first = min(max(keep_from - n_done, 0), stop - n_done)
                kept.append(jax.tree.map(lambda leaf, a=first, b=stop - n_done: np.asarray(leaf)[a:b], output))
                if checkpoint is not None:
                    # One array for all: the next checkpoint needs it anyhow.
                    kept = [_joined(kept)]
                    checkpoint.write(stop, state, kept[0])
                bar.update(stop - n_done)
                n_done = stop
    except KeyboardInterrupt as stopped:
        kept_where = (
            f"the finished chunks are in {str(checkpoint.path)!r}; call again with the same arguments to go on"
            if checkpoint is not None
            else "nothing is kept; pass `store=` to be able to go on"
        )
        raise RunInterrupted(f"stopped after {n_done} of {n_steps} {label}; {kept_where}.") from stopped
    if not kept:
        empty = jax.eval_shape(step, state, jnp.asarray(0))[1]
        return state, jax.tree.map(lambda leaf: np.zeros((0, *leaf.shape), leaf.dtype), empty)
    return state, _joined(kept)


@eqx.filter_jit
def _run_chunk(
    step: Step, state: PyTree, start: Int[Array, ""], stop: Int[Array, ""], chunk_size: int
) -> tuple[PyTree, PyTree]:
    """`chunk_size` steps; those from `stop` on are skipped, so that a shorter last chunk is the same program."""
    like = jax.eval_shape(step, state, start)[1]

    def skip(state: PyTree, number: Int[Array, ""]) -> tuple[PyTree, PyTree]:
        return state, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)

    def one(state: PyTree, number: Int[Array, ""]) -> tuple[PyTree, PyTree]:
        # Not `step` itself: a module cannot be hashed while it is traced.
        return jax.lax.cond(number < stop, lambda *given: step(*given), skip, state, number)

    return jax.lax.scan(one, state, start + jnp.arange(chunk_size))


def _as_arrays(state: PyTree) -> PyTree:
    """Leaves with fixed types: a Python number's would change at the first step, and the loop compile twice."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype=jnp.asarray(leaf).dtype), state)


def _joined(parts: list[PyTree]) -> PyTree:
    return parts[0] if len(parts) == 1 else jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def _check(state: PyTree, is_sound: Callable[[PyTree], Any] | None, label: str, start: int, stop: int) -> None:
    if is_sound is not None:
        sound, where = bool(is_sound(state)), ""
    else:
        bad = [
            jax.tree_util.keystr(path)
            for path, leaf in jax.tree.leaves_with_path(state)
            if jnp.issubdtype(leaf.dtype, jnp.inexact) and not bool(jnp.isfinite(leaf).all())
        ]
        sound, where = not bad, f" ({', '.join(bad[:3])} of the state is not finite)"
    if not sound:
        raise DivergedError(
            f"the run went wrong between {label} {start} and {stop}{where}; "
            "check the density or loss for NaN, and try smaller steps or another start."
        )


def fingerprint(*parts: Any) -> str:
    """Hash of settings, keys and data, the same in another process.

    Args:
        parts: Pytrees. Arrays and keys count by content, all else by its `repr` without memory addresses; the code of
            functions does not count.
    """
    leaves, structure = jax.tree.flatten(parts)
    digest = hashlib.sha256(_without_addresses(str(structure)).encode())
    for leaf in leaves:
        if isinstance(leaf, (jax.Array, np.ndarray)):
            array = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
            digest.update(f"{leaf.dtype}{leaf.shape}".encode() + array.tobytes())
        else:
            digest.update(_without_addresses(repr(leaf)).encode())
    return digest.hexdigest()


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _without_addresses(text: str) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", text)
