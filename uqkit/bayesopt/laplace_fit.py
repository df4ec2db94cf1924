"""Weights at their mode, scales and noise where the evidence is largest: what a Laplace approximation is made of."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Float, Key

from uqkit.bayesopt.jacobian import FactoredJacobian, factored_jacobian, multipliers
from uqkit.bayesopt.network import NOISE_VARIANCE, NetworkData, NetworkModel
from uqkit.errors import InputError

__all__ = ["EvidenceFit", "LaplaceFit"]

_SHRINK, _GROW = 1 / 3, 4.0
_LARGEST_DAMPING = 1e12
# The cost of a round grows as the cube of the rows: beyond so many there are fewer starts and rounds.
_ROWS_OF_STARTS, _FEWEST_STARTS = 64, 2
_ROWS_OF_ROUNDS, _FEWEST_ROUNDS = 128, 15


@dataclass(frozen=True)
class LaplaceFit:
    """Where a fit ended.

    Attributes:
        sites: Scales, standard normal numbers at their mode, and the noise variance where it is learned.
        log_evidence: Of the linearised network with the priors of scales and noise, in nats.
        n_iterations: Levenberg-Marquardt iterations.
        last_move: Largest change of a log scale in the last round.
    """

    sites: dict[str, Array]
    log_evidence: float
    n_iterations: int
    last_move: float


class _Mode(eqx.Module):
    """A position of the weights, on the way to their mode.

    Attributes:
        weights: By name, as the layers use them.
        damping: Of the next step.
        idle: Steps in a row that gained next to nothing.
        n: Steps.
    """

    weights: dict[str, Array]
    damping: Array
    idle: Array
    n: Array


@dataclass(frozen=True, kw_only=True)
class EvidenceFit:
    """Mode and evidence in turn: the weights by Levenberg-Marquardt, the scales uphill on the linearised network.

    Both work on rows, of which there are fewer than weights, and never form a Jacobian. The noise starts above its
    prior median: a network that first fits the noise does not find back.

    Attributes:
        n_starts: Draws of the prior to start from, of which the one of the largest evidence is kept. It holds for up to
            64 rows (points times outputs, padded); with more it falls in proportion, but not below two.
        start_scale: Of the first weights, relative to the prior.
        start_noise: Of the first noise standard deviation, relative to its prior median.
        max_rounds: Most updates of the scales, for up to 128 rows; with more it falls in proportion, but not below 15.
        n_between: Most iterations between updates.
        n_last: Most iterations after the last.
        n_scoring: Steps of the scales an update.
        reach: Largest change of a log scale or log variance in a step.
        tolerance: Change of a log scale that is negligible.
        mode_tolerance: Relative gain of the objective that is negligible while scales move.

    Reference:
        MacKay (1992), Bayesian interpolation; Immer, Bauer, Fortuin, Raetsch & Khan (2021), Scalable marginal
        likelihood estimation for model selection in deep learning.
    """

    n_starts: int = 8
    start_scale: float = 0.3
    start_noise: float = 3.0
    max_rounds: int = 50
    n_between: int = 4
    n_last: int = 30
    n_scoring: int = 1
    reach: float = 0.8
    tolerance: float = 1e-2
    mode_tolerance: float = 1e-3

    def __post_init__(self) -> None:
        """Check the settings."""
        counts = (self.n_starts, self.max_rounds, self.n_between, self.n_last, self.n_scoring)
        sizes = (self.start_scale, self.start_noise, self.reach, self.tolerance, self.mode_tolerance)
        if min(counts) < 1 or not min(sizes) > 0:
            raise InputError(f"{self}: pass counts of at least 1 and sizes above 0.")

    def __call__(self, network: NetworkModel, data: NetworkData, key: Key[Array, ""]) -> LaplaceFit:
        """The best of all starts; compiled once for a network and a padded length."""
        with jax.enable_x64(True):
            n_rows = data.outputs.size
            n_starts = min(self.n_starts, max(_FEWEST_STARTS, self.n_starts * _ROWS_OF_STARTS // n_rows))
            n_rounds = min(self.max_rounds, max(_FEWEST_ROUNDS, self.max_rounds * _ROWS_OF_ROUNDS // n_rows))
            fits = [self._rounds(network, data, n_rounds, start) for start in jax.random.split(key, n_starts)]
            best = max(fits, key=lambda fit: -math.inf if math.isnan(fit.log_evidence) else fit.log_evidence)
            last = _mode(network, data, best.weights, best.log_scales, 1.0, 1e-3 * self.mode_tolerance, self.n_last)
            _, log_evidence = _scored(network, data, last.weights, best.log_scales, 0, self.reach)
            sites = _sites(network, last.weights, _values(network, best.log_scales))
            n_iterations = sum(fit.n_iterations for fit in fits) + int(last.n)
            return LaplaceFit(sites, float(log_evidence), n_iterations, best.last_move)

    def _rounds(self, network: NetworkModel, data: NetworkData, n_rounds: int, key: Key[Array, ""]) -> "_Start":
        """Mode and scales in turn from one start."""
        weights, log_scales = _drawn(network, data, key, self.start_scale, self.start_noise)
        best, n_iterations, damping, move = _Start(weights, log_scales, -math.inf, 0, math.inf), 0, 1.0, math.inf
        for _ in range(n_rounds):
            found = _mode(network, data, weights, log_scales, damping, self.mode_tolerance, self.n_between)
            moved, log_evidence = _scored(network, data, found.weights, log_scales, self.n_scoring, self.reach)
            weights, damping, n_iterations = found.weights, min(float(found.damping), 1.0), n_iterations + int(found.n)
            # New scales move the mode, and the evidence of the network linearised there may be lower than before.
            if float(log_evidence) > best.log_evidence:
                best = _Start(weights, log_scales, float(log_evidence), 0, math.inf)
            move = max(
                (float(np.abs(np.asarray(moved[name]) - np.asarray(log_scales[name])).max()) for name in moved),
                default=0.0,
            )
            log_scales = moved
            if move <= self.tolerance:
                break
        return replace(best, n_iterations=n_iterations, last_move=move)

    def last_layer(self, network: NetworkModel, data: NetworkData, sites: dict[str, Array]) -> dict[str, Array]:
        """Scale of the last layer and noise where the evidence of a linear model of the last hidden layer is largest.

        Args:
            network: The network.
            data: What it is conditioned on.
            sites: Of a fit.

        Returns:
            The sites with these replaced.
        """
        with jax.enable_x64(True):
            number = len(network.widths)
            learned = {name: jnp.log(sites[name]) for name in _prior(network, data)}
            factor = multipliers(network, sites)
            weights = {name: factor[name] * sites[name] for name in network.shapes}
            only = (f"weight_{number}", f"bias_{number}")
            moved, _ = _scored(network, data, weights, learned, self.max_rounds, self.reach, only)
            last = {name: moved[name] for name in (f"scale_{number}", NOISE_VARIANCE) if name in moved}
            return sites | {name: jnp.exp(value) for name, value in last.items()}


@dataclass(frozen=True)
class _Start:
    """The best round of a start."""

    weights: dict[str, Array]
    log_scales: dict[str, Array]
    log_evidence: float
    n_iterations: int
    last_move: float


@partial(jax.jit, static_argnums=0)
def _drawn(
    network: NetworkModel, data: NetworkData, key: Key[Array, ""], start_scale: Any, start_noise: Any
) -> tuple[dict[str, Array], dict[str, Array]]:
    """First weights, and logarithms of first scales and noise variances."""
    log_scales = {name: jnp.full(shape, mean) for name, (shape, mean, _) in _prior(network, data).items()}
    if NOISE_VARIANCE in log_scales:
        log_scales[NOISE_VARIANCE] += 2 * jnp.log(start_noise)
    factor = multipliers(network, _values(network, log_scales))
    keys = dict(zip(network.shapes, jax.random.split(key, len(network.shapes)), strict=True))
    weights = {
        name: start_scale * factor[name] * jax.random.normal(keys[name], shape, dtype=float)
        for name, shape in network.shapes.items()
    }
    return weights, log_scales


def _prior(network: NetworkModel, data: NetworkData) -> dict[str, tuple[tuple[int, ...], float, float]]:
    """Shape, mean and standard deviation of the logarithm of what is learned."""
    found: dict[str, tuple[tuple[int, ...], float, float]] = {}
    prior = network.prior
    if prior.scale_spread > 0:
        for name in network.scale_names:
            median = prior.output_scale if name == network.scale_names[-1] else prior.scale
            found[name] = ((), math.log(median), prior.scale_spread)
    if data.noise_variance is None and prior.noise_spread > 0:
        found[NOISE_VARIANCE] = ((network.n_outputs,), 2 * math.log(prior.noise_sd), 2 * prior.noise_spread)
    return found


def _values(network: NetworkModel, log_scales: Mapping[str, Array]) -> dict[str, Array]:
    """Scales and noise variance, fixed ones included."""
    prior = network.prior
    values = {name: jnp.asarray(prior.scale, dtype=float) for name in network.scale_names[:-1]}
    values[network.scale_names[-1]] = jnp.asarray(prior.output_scale, dtype=float)
    if not network.known_noise:
        values[NOISE_VARIANCE] = jnp.full((network.n_outputs,), prior.noise_sd**2)
    return values | {name: jnp.exp(value) for name, value in log_scales.items()}


def _sites(network: NetworkModel, weights: Mapping[str, Array], values: Mapping[str, Array]) -> dict[str, Array]:
    factor = multipliers(network, values)
    return {**values, **{name: weights[name] / factor[name] for name in network.shapes}}


def _noise(data: NetworkData, values: Mapping[str, Array]) -> Float[Array, "row output"]:
    variance = values[NOISE_VARIANCE] if data.noise_variance is None else data.noise_variance
    return jnp.broadcast_to(variance, data.outputs.shape)


def _linear(
    network: NetworkModel, data: NetworkData, weights: Mapping[str, Array], values: Mapping[str, Array]
) -> FactoredJacobian:
    jacobian = factored_jacobian(network, _sites(network, weights, values), data.columns)
    return jacobian.masked(data.present)


def _summed(gram: Mapping[str, Array], factor: Mapping[str, Array]) -> Array:
    return sum((factor[name] ** 2 * part for name, part in gram.items()), start=jnp.zeros(()))


@partial(jax.jit, static_argnums=0)
def _mode(
    network: NetworkModel,
    data: NetworkData,
    weights: Mapping[str, Array],
    log_scales: Mapping[str, Array],
    damping: Any,
    tolerance: Any,
    max_iterations: Any,
) -> _Mode:
    """Levenberg-Marquardt, the normal equations solved on the side of the rows."""
    values = _values(network, log_scales)
    factor = multipliers(network, values)
    noise_sd = jnp.sqrt(_noise(data, values))

    def residual(found: Float[Array, "row output"]) -> Array:
        return data.present[:, None] * (found - data.outputs) / noise_sd

    def objective(position: Mapping[str, Array], misfit: Array) -> Array:
        white = sum((((position[k] / factor[k]) ** 2).sum() for k in position), start=jnp.zeros(()))
        return 0.5 * ((misfit**2).sum() + white)

    def step(state: _Mode) -> _Mode:
        jacobian = _linear(network, data, state.weights, values)
        misfit = residual(jacobian.values)
        below = objective(state.weights, misfit)
        flat_sd = noise_sd.ravel()
        kernel = _summed(jacobian.gram(), factor) / (flat_sd[:, None] * flat_sd)
        shrunk = 1.0 + state.damping * (1.0 + jnp.trace(kernel) / network.n_weights)
        towards = jacobian.times(state.weights) / noise_sd / shrunk - misfit
        triangle = jnp.linalg.cholesky(kernel + shrunk * jnp.eye(len(kernel)))
        solved = cho_solve((triangle, True), towards.ravel()).reshape(towards.shape)
        move = jacobian.transposed_times(solved / noise_sd)
        trial = {k: w + factor[k] ** 2 * move[k] - w / shrunk for k, w in state.weights.items()}
        reached = network.values(_sites(network, trial, values), data.columns)
        after = objective(trial, residual(reached))
        better = after < below
        gain = jnp.where(better, (below - after) / (1.0 + below), 0.0)
        kept = jax.tree.map(lambda new, old: jnp.where(better, new, old), trial, dict(state.weights))
        damping = jnp.where(better, jnp.maximum(state.damping * _SHRINK, 1e-14), state.damping * _GROW)
        idle = jnp.where(better & (gain < tolerance), state.idle + 1, jnp.where(better, 0, state.idle))
        return _Mode(kept, damping, idle, state.n + 1)

    def going(state: _Mode) -> Array:
        return (state.n < max_iterations) & (state.idle < 2) & (state.damping < _LARGEST_DAMPING)

    return jax.lax.while_loop(
        going, step, _Mode(dict(weights), jnp.asarray(damping, dtype=float), jnp.asarray(0), jnp.asarray(0))
    )


@partial(jax.jit, static_argnums=(0, 6))
def _scored(
    network: NetworkModel,
    data: NetworkData,
    weights: Mapping[str, Array],
    log_scales: dict[str, Array],
    n_steps: Any,
    reach: Any,
    only: tuple[str, ...] | None = None,
) -> tuple[dict[str, Array], Array]:
    """Steps uphill on the evidence of the network linearised at the weights, and its logarithm at the start.

    With `only`, of the linear model of these weights, the others fixed.
    """
    prior = _prior(network, data)
    values = _values(network, log_scales)
    jacobian = _linear(network, data, weights, values)
    gram = {name: part for name, part in jacobian.gram().items() if only is None or name in only}
    weights = {name: weight * (name in gram) for name, weight in weights.items()}
    target = (data.present[:, None] * (data.outputs - jacobian.values) + jacobian.times(weights)).ravel()
    present = jnp.repeat(data.present, network.n_outputs)
    flat, unravel = ravel_pytree(log_scales)
    mean, _ = ravel_pytree({name: jnp.full(shape, centre) for name, (shape, centre, _) in prior.items()})
    spread, _ = ravel_pytree({name: jnp.full(shape, sd) for name, (shape, _, sd) in prior.items()})
    # In logarithms of standard deviations, a trace bounds each row sum of the Fisher information, so that the diagonal
    # matrix of traces bounds the matrix; the noise is a variance, with half of the derivative.
    share = {name: jnp.full(shape, 0.5 if name == NOISE_VARIANCE else 1.0) for name, (shape, _, _) in prior.items()}
    curvature, _ = ravel_pytree(share)

    def along(position: Array, parts: Mapping[str, Array], diagonal: Array) -> Array:
        now = _values(network, unravel(position))
        return _summed(parts, multipliers(network, now)) + (present * _noise(data, now).ravel() * diagonal).sum()

    def covariance(position: Array) -> Array:
        now = _values(network, unravel(position))
        noise = jnp.where(present > 0, _noise(data, now).ravel(), 1.0)
        return _summed(gram, multipliers(network, now)) + jnp.diag(noise)

    def log_evidence(position: Array) -> Array:
        triangle = jnp.linalg.cholesky(covariance(position))
        white = jax.scipy.linalg.solve_triangular(triangle, target, lower=True)
        fit = -0.5 * (white**2).sum() - jnp.log(jnp.diag(triangle)).sum() - 0.5 * present.sum() * math.log(2 * math.pi)
        return fit - 0.5 * (((position - mean) / spread) ** 2).sum()

    def step(_: Any, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        position, value, reach = carry
        inverse = cho_solve((jnp.linalg.cholesky(covariance(position)), True), jnp.eye(len(target)))
        weight = inverse @ target
        trace = jax.grad(along)(
            position, {name: (inverse * part).sum() for name, part in gram.items()}, jnp.diag(inverse)
        )
        square = jax.grad(along)(position, {name: weight @ part @ weight for name, part in gram.items()}, weight**2)
        gradient = 0.5 * (square - trace) - (position - mean) / spread**2
        move = gradient / (curvature * trace + 1 / spread**2)
        trial = position + move / jnp.maximum(1.0, jnp.abs(move).max() / reach)
        reached = log_evidence(trial)
        better = reached > value
        reach = jnp.where(better, reach, 0.25 * jnp.minimum(reach, jnp.abs(move).max()))
        return jnp.where(better, trial, position), jnp.where(better, reached, value), reach

    if not len(flat):
        return log_scales, log_evidence(flat)
    before = log_evidence(flat)
    start = (flat, before, jnp.asarray(reach, dtype=float))
    position, _, _ = jax.lax.fori_loop(0, n_steps, step, start)
    return unravel(position), before
