"""Scores learned from draws by denoising score matching: checks, training, and what it came to."""

import math
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from uqkit._typing import PRNGKey
from uqkit.diffusion.denoising import Denoiser, Denoising, DenoisingGradient, LearnedScore
from uqkit.diffusion.schedules import NoiseSchedule
from uqkit.errors import InputError, UqkitWarning
from uqkit.keys import as_key, numpy_generator
from uqkit.running.scan import fingerprint
from uqkit.running.training import train

__all__ = ["ScoreTraining", "learn_score"]

_FEWEST_DRAWS = 50
_HELD_OUT_SHARE = 0.1
# Half of the noise levels are even in t, half in the log of noise over data, down to this ratio of variances.
_N_LEVELS, _LEAST_RATIO = 4096, 1e-6
_RECORD_EVERY = 50
_N_WARM_UP = 100
# Draws that errors at the end are measured on, and levels of noise for each.
_MOST_MEASURED, _LEVELS_MEASURED = 4096, 32
# The held-out error is clearly above that of training if it is by this many standard errors, by this share, and by this
# much. With few draws the standard error is large: asking for more of them would not warn where scores are useless.
_GAP_Z, _GAP_SHARE, _GAP = 2.0, 0.25, 0.01


class ScoreTraining(eqx.Module):
    """How a score was learned.

    Errors at the end are denoising losses less that of the Gaussian with the draws' moments, all levels of noise
    counted alike in units of the score's size: zero for the Gaussian, and the lower the better.

    Attributes:
        n_draws: That were trained on; the others were held out.
        n_held_out: Draws that were held out.
        step: Numbers of the steps whose loss was kept.
        loss: Of the mini-batch at each of these, in units of the noise's size.
        training_error: At the end, on draws that were trained on.
        held_out_error: At the end, on draws that were not.
        gap_error: Standard error of the difference of the two.
    """

    n_draws: Int[np.ndarray, ""]
    n_held_out: Int[np.ndarray, ""]
    step: Int[np.ndarray, " record"]
    loss: Float[np.ndarray, " record"]
    training_error: Float[np.ndarray, ""]
    held_out_error: Float[np.ndarray, ""]
    gap_error: Float[np.ndarray, ""]

    @property
    def overfits(self) -> bool:
        """Whether the error is clearly larger on held-out draws: by two standard errors, a quarter and 0.01."""
        gap = float(self.held_out_error - self.training_error)
        return gap > max(_GAP_Z * float(self.gap_error), _GAP_SHARE * abs(float(self.training_error)), _GAP)


def learn_score(
    draws: Any,
    schedule: NoiseSchedule,
    *,
    widths: Sequence[int],
    n_steps: int,
    batch_size: int,
    learning_rate: float,
    key: PRNGKey,
    store: str | Path | None,
    progress: bool | None,
) -> tuple[LearnedScore, Float[np.ndarray, " dim"], Float[np.ndarray, "dim dim"], ScoreTraining]:
    """A score, the draws' mean and covariance, and how training went; arguments are those of `ScoreModel.fit`."""
    table = _checked(draws, n_steps, batch_size, learning_rate)
    split_key, start_key, train_key, measure_key = jax.random.split(as_key(key), 4)
    mean, covariance = table.mean(axis=0), np.atleast_2d(np.cov(table, rowvar=False))
    axes = np.linalg.eigh(covariance)[1]
    along = (table - mean) @ axes
    scale = np.sqrt(along.var(axis=0, ddof=1).mean())
    along = (along / scale).astype(np.float32)
    order = numpy_generator(split_key).permutation(len(table))
    n_held_out = math.ceil(_HELD_OUT_SHARE * len(table))
    with jax.enable_x64(True):
        alpha, variance = (value.astype(np.float32) for value in _levels(schedule, float(scale)))
    with jax.enable_x64(False):
        # Single precision is enough: a gradient method stops long before its rounding shows.
        trained_on, held_out = (
            Denoising(jnp.asarray(along[rows]), jnp.asarray(alpha), jnp.asarray(variance))
            for rows in (order[n_held_out:], order[:n_held_out])
        )
        untrained = Denoiser.untrained(trained_on, along.var(axis=0, ddof=1), widths, key=start_key)
        weights, rest = eqx.partition(untrained, untrained.weights)
        done = train(
            DenoisingGradient(trained_on, rest, batch_size),
            _adam(float(learning_rate), n_steps),
            weights,
            n_steps,
            record_every=math.gcd(n_steps, _RECORD_EVERY),
            key=train_key,
            label="steps",
            progress=progress,
            store=store,
            # The rate of learning falls over all steps, so that more of them are another training.
            identity=fingerprint(trained_on, rest, batch_size, learning_rate, n_steps),
        )
        denoiser = eqx.combine(done.weights, rest)
        errors, gap_error = _errors(denoiser, trained_on, held_out, measure_key)
    training = ScoreTraining(
        n_draws=np.asarray(len(table) - n_held_out),
        n_held_out=np.asarray(n_held_out),
        step=done.step,
        loss=np.asarray(done.outputs, float),
        training_error=np.asarray(errors[0]),
        held_out_error=np.asarray(errors[1]),
        gap_error=np.asarray(gap_error),
    )
    if training.overfits:
        warnings.warn(
            "the score fits the draws it was trained on better than others of the same law: its error less the "
            f"Gaussian's is {errors[0]:.3g} on {len(table) - n_held_out} draws trained on and {errors[1]:.3g} on "
            f"{n_held_out} held out (difference {errors[1] - errors[0]:.2g}, standard error {gap_error:.1g}). Pass "
            "more draws, or smaller `widths` or `n_steps`.",
            UqkitWarning,
            stacklevel=3,
        )
    return LearnedScore(denoiser, schedule, mean, axes, np.asarray(scale)), mean, covariance, training


def _checked(draws: Any, n_steps: int, batch_size: int, learning_rate: float) -> Float[np.ndarray, "draw dim"]:
    if n_steps < 1 or batch_size < 1 or not 0 < learning_rate < np.inf:
        raise InputError(
            f"n_steps={n_steps}, batch_size={batch_size}, learning_rate={learning_rate}: pass 1 or more of the first "
            "two, and a finite rate above zero."
        )
    table = np.asarray(draws, dtype=float)
    if table.ndim != 2 or table.shape[1] < 1:
        raise InputError(f"`draws` has the shape {table.shape}; pass (draw, dim), a row for each draw.")
    if len(table) < _FEWEST_DRAWS:
        raise InputError(
            f"`draws` has {len(table)} rows; a score cannot be learned from fewer than {_FEWEST_DRAWS}, and wants "
            "thousands. If its columns are the draws, pass its transpose."
        )
    bad = ~np.isfinite(table)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"`draws` is not finite in {bad.any(axis=1).sum()} of {len(table)} rows, first {table[row, column]} in row "
            f"{row}, column {column}; drop such rows."
        )
    sd = table.std(axis=0)
    constant = np.flatnonzero(sd <= 1e-12 * np.abs(table).max(axis=0))
    if constant.size:
        raise InputError(
            f"column {constant[0]} of `draws` is {table[0, constant[0]]:g} in every row, so that there is no density; "
            "leave it out."
        )
    standard = (table - table.mean(axis=0)) / sd
    value, vector = np.linalg.eigh(standard.T @ standard / len(table))
    if value[0] < 1e-10:
        alike = np.flatnonzero(np.abs(vector[:, 0]) > 0.1)
        raise InputError(
            f"columns {', '.join(map(str, alike))} of `draws` depend on each other linearly, so that there is no "
            "density; leave one out."
        )
    return table


def _levels(schedule: NoiseSchedule, scale: float) -> tuple[Float[np.ndarray, " level"], Float[np.ndarray, " level"]]:
    """Alpha and variance at the levels of noise, from the least to the most; in the draws' scale."""

    def at(t: Float[np.ndarray, " time"]) -> tuple[Float[np.ndarray, " time"], Float[np.ndarray, " time"]]:
        alpha, variance = jax.vmap(lambda time: (schedule.alpha(time), schedule.variance(time)))(jnp.asarray(t))
        return np.asarray(alpha, float), np.asarray(variance, float) / scale**2

    fine = np.linspace(schedule.end, 1.0, 8 * _N_LEVELS)
    alpha, variance = at(fine)
    log_ratio = np.log(np.maximum(variance, 1e-300) / alpha**2)
    first = min(int((log_ratio > np.log(_LEAST_RATIO)).argmax()), len(fine) - 2)
    even = np.linspace(fine[first], 1.0, _N_LEVELS // 2)
    in_log = np.interp(np.linspace(log_ratio[first], log_ratio[-1], _N_LEVELS // 2), log_ratio[first:], fine[first:])
    alpha, variance = at(np.sort(np.concatenate([even, in_log])))
    return alpha, variance


@cache
def _adam(learning_rate: float, n_steps: int) -> optax.GradientTransformation:
    """One object a setting: compiled loops are found again by the identity of its functions."""
    warm_up = min(_N_WARM_UP, n_steps // 10)
    return optax.adam(optax.warmup_cosine_decay_schedule(0.0, learning_rate, warm_up, n_steps))


def _errors(
    denoiser: Denoiser, trained_on: Denoising, held_out: Denoising, key: Key[Array, ""]
) -> tuple[tuple[float, float], float]:
    """Errors on both sets of draws, and the standard error of their difference."""
    first, second = trained_on.draws[:_MOST_MEASURED], held_out.draws[:_MOST_MEASURED]
    both = eqx.tree_at(lambda data: data.draws, trained_on, jnp.concatenate([first, second]))
    each = np.split(np.asarray(_error_of_each(denoiser, both, key), float), [len(first)])
    variance = sum(values.var(ddof=1) / len(values) for values in each)
    return (float(each[0].mean()), float(each[1].mean())), float(np.sqrt(variance))


@eqx.filter_jit
def _error_of_each(denoiser: Denoiser, data: Denoising, key: Key[Array, ""]) -> Float[Array, " draw"]:
    """Excess of each draw, averaged over levels and over noise of both signs."""
    n, dim = data.draws.shape
    none = jnp.zeros((0, dim), data.draws.dtype)

    def at(part: Int[Array, ""]) -> Float[Array, " draw"]:
        noise_key, level_key = jax.random.split(jax.random.fold_in(key, part))
        noise = jax.random.normal(noise_key, (n, dim), data.draws.dtype)
        place = (part + jax.random.uniform(level_key, (n,), data.draws.dtype)) / _LEVELS_MEASURED
        level = jnp.minimum((place * _N_LEVELS).astype(int), _N_LEVELS - 1)

        def one(clean: Float[Array, " dim"], noise: Float[Array, " dim"], level: Int[Array, ""]) -> Float[Array, ""]:
            signed = jax.vmap(lambda each: data.loss_and_excess(denoiser, clean, each, level, none)[1])
            return signed(jnp.stack([noise, -noise])).mean()

        return jax.vmap(one)(data.draws, noise, level)

    return jax.lax.map(at, jnp.arange(_LEVELS_MEASURED)).mean(axis=0)
