"""A run of particles as a labelled result, and a result as something to go on with."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Int

from uqkit._typing import PRNGKey
from uqkit.diffusion.diagnose import verdict
from uqkit.diffusion.estimates import PROBABILITY, Estimate, expectation, log_normalizer
from uqkit.diffusion.rates import Divergence
from uqkit.diffusion.sampler import HeunSampler, Passage, Sampler
from uqkit.diffusion.targets import Expert, Target
from uqkit.errors import InputError
from uqkit.keys import as_key
from uqkit.results import Provenance, as_record, build, schema

__all__ = ["Run", "WeightedParticles", "assemble", "restore"]

_X = "x"
_INTERVAL = {schema.PROBABILITY: PROBABILITY, schema.INTERVAL_KIND: "Student's t over islands"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that a finished run has.

    Attributes:
        target: What was sampled.
        method: Settings.
        divergence: As used; None where none was needed.
        times: n_steps + 1 values of t.
        margin: Of normalisability, at each time.
        passage: Each step's record.
        position: Last particles.
        log_weight: Of them, in nats, with the correction.
        correction: What the known final density added to log weights, or None.
        root: First particle that each descends from.
        ancestor: Particle that each draw is a copy of.
        drawn: Equally weighted draws, polished where that was asked for.
        acceptance: Share of proposals of the polish that were accepted, or None.
        labels: Coordinate -> unit.
        name: Of the target.
    """

    target: Target
    method: Sampler
    divergence: Divergence | None
    times: Float[np.ndarray, " step"]
    margin: Float[np.ndarray, " step"]
    passage: Passage
    position: Float[np.ndarray, "island particle dim"]
    log_weight: Float[np.ndarray, "island particle"]
    correction: Float[np.ndarray, "island particle"] | None
    root: Int[np.ndarray, "island particle"]
    ancestor: Int[np.ndarray, "island particle"]
    drawn: Float[np.ndarray, "island particle dim"]
    acceptance: float | None
    labels: Mapping[str, str]
    name: str


def assemble(run: Run, *, key_text: str, started: float) -> xr.DataTree:
    """The result of `sample`."""
    n_islands, n_particles, _ = run.position.shape
    draws = {schema.CHAIN: np.arange(n_islands), schema.DRAW: np.arange(n_particles)}
    place = (schema.CHAIN, schema.DRAW)
    units = {"coordinate_units": (schema.COORDINATE, list(run.labels.values()))}
    coords = {**draws, schema.COORDINATE: list(run.labels), **units}
    see = {"units": "see coordinate_units"}
    groups = {
        schema.ESTIMATES: _estimates(run),
        schema.POSTERIOR: xr.Dataset(
            {_X: ((*place, schema.COORDINATE), run.drawn, see | {"long_name": "draws of the target"})},
            coords,
            {schema.INDEPENDENT_DRAWS: 1},
        ),
        schema.WEIGHTED_SAMPLE: xr.Dataset(
            {
                schema.INPUT_VALUE: ((*place, schema.COORDINATE), run.position, see | {"long_name": "particles"}),
                schema.LOG_WEIGHT: (
                    place,
                    run.log_weight,
                    {"units": "nat", "long_name": "log weight; its mean on the natural scale is the normaliser"},
                ),
            },
            coords,
        ),
        schema.SAMPLE_STATS: _sample_stats(run, draws),
        schema.PATH: _path(run),
        schema.DIAGNOSTICS: _diagnostics(run),
    }
    per_pass = 2 if isinstance(run.method, HeunSampler) else 1
    provenance = Provenance(
        workflow="diffusion",
        problem=run.name,
        method=_settings(run),
        key=key_text,
        n_model_evaluations=n_islands * n_particles * len(run.target.experts) * (1 + per_pass * run.method.n_steps),
        wall_time=time.perf_counter() - started,
    )
    return build(groups, provenance)


def _settings(run: Run) -> dict[str, Any]:
    exponents = ["moving" if callable(e) else float(e) for e in run.target.exponents]
    return {
        "method": as_record(run.method),
        "divergence": None if run.divergence is None else as_record(run.divergence),
        "exponents": exponents,
        "n_rewards": len(run.target.rewards),
        "schedule": repr(run.target.schedule),
        "final_density": run.correction is not None,
        "polished": run.acceptance is not None,
    }


def _estimates(run: Run) -> xr.Dataset:
    island = np.asarray(run.passage.log_normalizer[-1])
    if run.correction is not None:
        island = np.array([np.logaddexp.reduce(each) - np.log(len(each)) for each in run.log_weight])
    found = log_normalizer(island)
    meaning = _meaning(run)
    variables = _estimate(schema.LOG_NORMALIZER, (), found, "nat", f"log normaliser: {meaning}")
    exponent: Any = run.target.exponents[0]
    alone = len(run.target.experts) == 1 and not run.target.rewards
    # The integral of a final density that is known up to a constant says nothing of an entropy.
    if alone and run.correction is None and isinstance(exponent, (int, float)) and exponent != 1:
        factor = 1.0 / (1.0 - exponent)
        ends = sorted((found.lower * factor, found.upper * factor))
        entropy = Estimate(*map(np.asarray, (found.value * factor, found.standard_error * abs(factor), *ends)))
        text = f"Renyi entropy of order {exponent:g} of the expert"
        variables |= _estimate(schema.RENYI_ENTROPY, (), entropy, "nat", text)
    mean = expectation(run.position, run.log_weight)
    centred = expectation((run.position - mean.value) ** 2, run.log_weight)
    sd = np.sqrt(centred.value)
    # The delta method: d sd = d variance / (2 sd).
    half = (centred.upper - centred.value) / (2 * sd)
    spread = Estimate(sd, centred.standard_error / (2 * sd), np.maximum(sd - half, 0), sd + half)
    dims = (schema.COORDINATE,)
    variables |= _estimate(schema.TARGET_MEAN, dims, mean, "see coordinate_units", "mean of the target")
    variables |= _estimate(schema.TARGET_SD, dims, spread, "see coordinate_units", "standard deviation of the target")
    coords = {
        schema.COORDINATE: list(run.labels),
        "coordinate_units": (schema.COORDINATE, list(run.labels.values())),
    }
    return xr.Dataset(variables, coords)


def _meaning(run: Run) -> str:
    target = run.target
    if run.correction is not None:
        return "log of the integral of the final density"
    if target.rewards:
        return (
            "log of the mean of exp(rewards) under the experts' product, times its own integral; of one expert and a "
            "log likelihood, the log evidence"
        )
    if len(target.experts) == 1:
        return "log of the integral of the expert's density to its power"
    return "log of the integral of the product of the experts' densities to their powers, their overlap"


def _estimate(
    name: str, dims: tuple[str, ...], found: Estimate, units: str, text: str
) -> dict[str, tuple[tuple[str, ...], Any, dict[str, Any]]]:
    attributes = {"units": units, "long_name": text}
    error = {"units": units, "long_name": "standard error, over islands"}
    return {
        name: (dims, np.asarray(found.value), attributes),
        schema.standard_error(name): (dims, np.asarray(found.standard_error), error),
        schema.lower(name): (dims, np.asarray(found.lower), attributes | _INTERVAL),
        schema.upper(name): (dims, np.asarray(found.upper), attributes | _INTERVAL),
    }


def _sample_stats(run: Run, draws: dict[str, Any]) -> xr.Dataset:
    place = (schema.CHAIN, schema.DRAW)
    variables = {
        schema.ANCESTOR: (
            place,
            run.ancestor,
            {"units": "1", "long_name": "particle of the weighted sample that the draw is a copy of"},
        ),
        schema.ROOT: (
            place,
            np.take_along_axis(run.root, run.ancestor, axis=1),
            {"units": "1", "long_name": "first particle that the draw descends from"},
        ),
    }
    if run.correction is not None:
        variables["terminal_correction"] = (
            place,
            np.take_along_axis(run.correction, run.ancestor, axis=1),
            {"units": "nat", "long_name": "what the known final density added to the log weight"},
        )
    return xr.Dataset(variables, draws)


def _path(run: Run) -> xr.Dataset:
    passage, target = run.passage, run.target
    n_steps, n_islands = passage.share.shape
    with jax.enable_x64(True):
        exponents = np.asarray(jax.vmap(target.exponents_at)(jnp.asarray(run.times[1:])))
        half = 0.5 * np.asarray(jax.jit(jax.vmap(target.schedule.diffusion))(jnp.asarray(run.times[1:])))
    each = (schema.STEP, schema.CHAIN)
    error = passage.stein.std(axis=1, ddof=1) / np.sqrt(n_islands)
    z = np.divide(passage.stein.mean(axis=1), error, out=np.zeros(n_steps), where=error > 0)
    variables: dict[str, Any] = {
        schema.EFFECTIVE_SHARE: (each, passage.share, "effective share of the particles, before resampling", "1"),
        schema.ISLAND_LOG_NORMALIZER: (each, passage.log_normalizer, "log normaliser of each island so far", "nat"),
        schema.RESAMPLED: (each, passage.resampled, "whether particles were resampled", "1"),
        schema.STEIN: (each, passage.stein, "Stein discrepancy, zero where particles follow the path", "1"),
        schema.STEIN_Z: ((schema.STEP,), z, "Stein discrepancy over its standard error", "1"),
        schema.EXPERT_CONFLICT: (
            each,
            half[:, None] * passage.conflict,
            "variance of the experts' scores times g^2 / 2, nats a unit of time",
            "nat",
        ),
        schema.STIFFNESS: (each, passage.stiffness, "Langevin step times curvature", "1"),
        schema.N_ROOTS: (each, passage.n_roots, "first particles that have descendants", "1"),
        schema.EXPONENT: ((schema.STEP, schema.EXPERT), exponents, "exponent of each expert", "1"),
        schema.PATH_MARGIN: ((schema.STEP,), run.margin[1:], "margin of normalisability, 1 without doubt", "1"),
    }
    coords = {
        schema.STEP: np.arange(n_steps),
        schema.CHAIN: np.arange(n_islands),
        schema.EXPERT: np.arange(len(target.experts)),
        schema.TIME: ((schema.STEP,), run.times[1:], {"units": "1", "long_name": "t after the step, 0 at the data"}),
    }
    if run.method.control is not None:
        dims = (*each, schema.CONTROL)
        variables[schema.CONTROL_COEFFICIENT] = (dims, passage.theta, "coefficient of the control's field", "1")
        coords[schema.CONTROL] = ["score", "position"]
    labelled = {
        name: (dims, values, {"units": units, "long_name": text})
        for name, (dims, values, text, units) in variables.items()
    }
    return xr.Dataset(labelled, coords)


def _diagnostics(run: Run) -> xr.Dataset:
    level, text = verdict(
        share=np.asarray(run.passage.share),
        log_weight=run.log_weight,
        root=run.root,
        stein=np.asarray(run.passage.stein),
        stiffness=np.asarray(run.passage.stiffness),
        dim=run.position.shape[2],
        final=run.correction is not None,
    )
    numbers = {
        schema.EFFECTIVE_SHARE: (_kish(run.log_weight), "effective share of all particles at the end"),
        schema.RESAMPLED: (float(run.passage.resampled.sum(axis=0).mean()), "resampling events an island"),
        schema.N_ROOTS: (float(np.mean([len(np.unique(each)) for each in run.root])), "roots that have descendants"),
        schema.STIFFNESS: (float(run.passage.stiffness.max()), "largest Langevin step times curvature"),
    }
    variables: dict[str, Any] = {
        name: ((), value, {"units": "1", "long_name": long_name}) for name, (value, long_name) in numbers.items()
    }
    variables[schema.VERDICT] = ((), level, {"units": "1", "long_name": "ok, warn or fail"})
    variables[schema.VERDICT_TEXT] = ((), text, {"units": "1", "long_name": "the verdict in words"})
    return xr.Dataset(variables)


def _kish(log_weight: Float[np.ndarray, "island particle"]) -> float:
    weight = np.exp(log_weight - log_weight.max())
    return float(weight.sum() ** 2 / (weight**2).sum() / weight.size)


@dataclass(frozen=True, kw_only=True)
class WeightedParticles:
    """The particles of a result, to ask more of.

    Attributes:
        position: In each island.
        log_weight: In nats.
    """

    position: Float[np.ndarray, "island particle dim"]
    log_weight: Float[np.ndarray, "island particle"]

    def expectation(self, function: Callable[[Array], Array]) -> Estimate:
        """Mean of a function under the target, with its error.

        Args:
            function: Of one point, in JAX; to a number or an array.
        """
        with jax.enable_x64(True):
            values = np.asarray(jax.jit(jax.vmap(jax.vmap(function)))(jnp.asarray(self.position)))
        bad = ~np.isfinite(values).reshape(*values.shape[:2], -1).all(axis=2)
        if bad.any():
            raise InputError(f"`function` is not finite at the point {self.position[bad][0]}.")
        return expectation(values.astype(float), self.log_weight)

    def draw(self, n: int, *, key: PRNGKey) -> Float[np.ndarray, "draw dim"]:
        """Points drawn by their weights, with replacement."""
        if n < 1:
            raise InputError(f"n={n}: pass at least 1.")
        with jax.enable_x64(True):
            chosen = jax.random.categorical(as_key(key), jnp.asarray(self.log_weight.ravel()), shape=(n,))
        return self.position.reshape(-1, self.position.shape[2])[np.asarray(chosen)]


def restore(result: xr.DataTree, target: Target | Expert) -> WeightedParticles:
    """The particles of a result, for expectations of more functions and for draws.

    Args:
        result: Of `sample`, or loaded from a file.
        target: What was sampled; checked for its coordinates.

    Raises:
        InputError: If the result is of another workflow or of another number of coordinates.
    """
    workflow = result.attrs.get(schema.WORKFLOW)
    if workflow != "diffusion":
        raise InputError(f"the result is of the workflow {workflow!r}; pass one of uqkit.diffusion.sample.")
    weighted = result[schema.WEIGHTED_SAMPLE].to_dataset()
    position = weighted[schema.INPUT_VALUE].values
    if position.shape[2] != target.dim:
        raise InputError(f"the result has {position.shape[2]} coordinates, the target {target.dim}; pass its own.")
    return WeightedParticles(position=position, log_weight=weighted[schema.LOG_WEIGHT].values)
