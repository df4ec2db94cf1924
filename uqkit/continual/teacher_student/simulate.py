"""The objective of `state_evolution` descended on finite perceptrons, to check the theory by."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Float, Key

from uqkit._typing import PRNGKey
from uqkit.continual.binary_weights import kl_of_fields
from uqkit.errors import InputError
from uqkit.keys import as_key

__all__ = ["Simulation", "simulate"]

# One setting for all loads and strengths: full rows, Adam from 0.1 to zero along a cosine.
_RATE, _N_STEPS = 0.1, 1_000


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """Order parameters of each seed after each task.

    Attributes:
        overlap: R, (seed, task_trained, task_evaluated): mean of W_s m_t over weights.
        sign_overlap: Of W_s sign m_t.
        self_overlap: Q, (seed, task_trained).
    """

    overlap: Float[np.ndarray, "seed task_trained task_evaluated"]
    sign_overlap: Float[np.ndarray, "seed task_trained task_evaluated"]
    self_overlap: Float[np.ndarray, "seed task_trained"]

    @property
    def accuracy(self) -> Float[np.ndarray, "seed task_trained task_evaluated"]:
        """Of the posterior mean on new rows: 1 - arccos(R / sqrt Q) / pi."""
        return 1 - np.arccos(np.clip(self.overlap / np.sqrt(self.self_overlap)[..., None], -1, 1)) / np.pi

    @property
    def sign_accuracy(self) -> Float[np.ndarray, "seed task_trained task_evaluated"]:
        """Of the one-bit network on new rows."""
        return 1 - np.arccos(np.clip(self.sign_overlap, -1, 1)) / np.pi


def simulate(
    loads: tuple[float, ...],
    *,
    strength: float | tuple[float, ...] = 1.0,
    memory: float = 1.0,
    similarity: float = 0.0,
    n_inputs: int = 1_001,
    n_seeds: int = 8,
    key: PRNGKey,
) -> Simulation:
    """Descend the objective on random teachers and rows of signs, for several seeds at once.

    Args:
        loads: alpha of each task; rows are rounded to whole numbers.
        strength: As in `state_evolution`.
        memory: As in `state_evolution`.
        similarity: As in `state_evolution`.
        n_inputs: N, odd, so that no row is undecided.
        n_seeds: Independent teachers and rows.
        key: Of teachers and rows.
    """
    if n_inputs % 2 == 0 or n_inputs < 3 or n_seeds < 1:
        raise InputError(f"n_inputs={n_inputs}, n_seeds={n_seeds}: pass an odd number of inputs and at least one seed.")
    strengths = strength if isinstance(strength, tuple) else (strength,) * len(loads)
    teacher_key, row_key = jax.random.split(as_key(key))
    shape = (n_seeds, len(loads), n_inputs)
    # As many signs agree as are stated: a random number of them would be the largest error of all.
    whole = jnp.broadcast_to(jnp.arange(n_inputs) < round(0.5 * (1 + similarity) * n_inputs), shape)
    agree = jax.random.permutation(jax.random.fold_in(teacher_key, 1), whole, axis=2, independent=True)
    agree = agree.at[:, 0].set(True)
    first = jax.random.rademacher(teacher_key, (n_seeds, 1, n_inputs), np.float32)
    teacher = jnp.where(agree, first, -first)
    prior = jnp.zeros((n_seeds, n_inputs), np.float32)
    found = []
    for task, (load, gamma) in enumerate(zip(loads, strengths, strict=True)):
        keys = jax.random.split(jax.random.fold_in(row_key, task), n_seeds)
        weight = jnp.asarray(gamma, np.float32)
        fields = _descended(teacher[:, task], memory * prior, weight, keys, round(load * n_inputs))
        m = jnp.tanh(fields)
        overlap, sign_overlap = (
            jnp.einsum("sn,stn->st", values, teacher) / n_inputs for values in (m, jnp.sign(fields))
        )
        found.append((np.asarray(overlap), np.asarray(sign_overlap), np.asarray((m**2).mean(axis=1))))
        prior = fields
    overlap, sign_overlap, self_overlap = (np.stack(each, axis=1).astype(float) for each in zip(*found, strict=True))
    return Simulation(overlap=overlap, sign_overlap=sign_overlap, self_overlap=self_overlap)


@functools.partial(jax.jit, static_argnames="n_rows")
def _descended(
    teacher: Float[Array, "seed input"],
    prior: Float[Array, "seed input"],
    strength: Float[Array, ""],
    keys: Key[Array, " seed"],
    n_rows: int,
) -> Float[Array, "seed input"]:
    optimiser = optax.adam(optax.cosine_decay_schedule(_RATE, _N_STEPS))

    def one(teacher: Array, prior: Array, key: Array) -> Array:
        n = teacher.shape[0]
        x = jax.random.rademacher(key, (n_rows, n), np.float32)
        # Rows turned so that every label is +1.
        x = x * jnp.sign(x @ teacher)[:, None]

        def objective(h: Array) -> Array:
            m = jnp.tanh(h)
            spread = 1 - (m**2).mean()
            loss = -log_ndtr(x @ m / jnp.sqrt(n * jnp.maximum(spread, 1e-9))).sum()
            return loss + strength * kl_of_fields(h, prior).sum()

        def step(_: Array, state: tuple[Any, Any]) -> tuple[Any, Any]:
            h, kept = state
            updates, kept = optimiser.update(jax.grad(objective)(h), kept)
            return optax.apply_updates(h, updates), kept

        return jax.lax.fori_loop(0, _N_STEPS, step, (prior, optimiser.init(prior)))[0]

    # One seed after another: the rows of all at once would not fit a cache.
    return jax.lax.map(lambda given: one(*given), (teacher, prior, keys))
