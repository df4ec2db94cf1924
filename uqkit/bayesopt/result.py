"""An optimisation as a labelled result."""

import dataclasses
import warnings
from typing import Any

import jax
import numpy as np
import torch
import xarray as xr
from botorch.utils.multi_objective.box_decompositions.dominated import DominatedPartitioning
from botorch.utils.multi_objective.pareto import is_non_dominated
from jaxtyping import Bool, Float, Int, Key
from scipy.stats import binom

from uqkit.bayesopt.candidates import (
    modelled,
)
from uqkit.bayesopt.recipes import seeded
from uqkit.bayesopt.rounds import History, Loop, fitted_rows, name_and_settings
from uqkit.evaluate.labelled import (
    diagnostics_group,
    evaluation_counts,
    evaluations_group,
    input_coords,
    output_coords,
)
from uqkit.keys import key_label
from uqkit.problems import Objective
from uqkit.results import Provenance, build, schema

__all__ = ["assemble", "best_so_far", "front", "regret_of"]

_CHAINS, _DRAWS = 4, 250
_PROBABILITY = 0.95
# That a calibrated surrogate is told to be overconfident of any output where it searched.
_FALSE_ALARM = 0.01
_LARGEST_R_HAT = 1.1


def best_so_far(
    objective: Objective, values: Float[np.ndarray, "point output"], sizes: list[int]
) -> Float[np.ndarray, " iteration"]:
    """Best feasible value in its own units, or hypervolume, after each iteration; NaN before any is feasible."""
    utilities, feasible = objective.utilities(values), objective.feasible(values)
    if len(objective.maximise) > 1:
        return np.array([_hypervolume(objective, utilities[:n][feasible[:n]]) for n in sizes])
    best = np.maximum.accumulate(np.where(feasible, utilities[:, 0], -np.inf))[np.array(sizes) - 1]
    return np.where(np.isfinite(best), best, np.nan) * objective.signs[0]


def _hypervolume(objective: Objective, utilities: Float[np.ndarray, "point objective"]) -> float:
    assert objective.reference_point is not None
    reference = np.array(list(objective.reference_point.values())) * objective.signs
    if not len(utilities):
        return 0.0
    parts = DominatedPartitioning(ref_point=torch.from_numpy(reference), Y=torch.from_numpy(utilities))
    return float(parts.compute_hypervolume())


def front(objective: Objective, values: Float[np.ndarray, "point output"]) -> Int[np.ndarray, " best_point"]:
    """Rows of the best feasible point, or of all that no other feasible one dominates."""
    feasible = objective.feasible(values)
    rows = np.flatnonzero(feasible)
    if not len(rows):
        return rows
    utilities = objective.utilities(values)[rows]
    if utilities.shape[1] == 1:
        return rows[[int(np.argmax(utilities[:, 0]))]]
    return rows[is_non_dominated(torch.from_numpy(utilities), deduplicate=True).numpy()]


def regret_of(objective: Objective, best: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"] | None:
    """Distance of values or hypervolumes from the best that is known; None where none is known."""
    if objective.best is None:
        return None
    sign = 1.0 if len(objective.maximise) > 1 else objective.signs[0]
    return (float(np.asarray(objective.best.values).ravel()[0]) - best) * sign


def assemble(loop: Loop, history: History, wall_time: float) -> xr.DataTree:
    """The result of `optimize`."""
    objective, evaluations = loop.objective, history.evaluations
    best_rows = front(objective, evaluations.values)
    groups = {}
    if history.model is not None and len(best_rows):
        groups |= _learned(loop, history, best_rows)
    groups[schema.OPTIMISATION] = _trace(objective, history, best_rows)
    groups[schema.EVALUATIONS] = _evaluations(loop, history)
    groups[schema.DIAGNOSTICS] = _diagnostics(loop, history, best_rows)
    name, settings = name_and_settings(loop.maker)
    method = {
        "surrogate": name,
        "settings": settings,
        "maximise": objective.maximise,
        "acquisition": dataclasses.asdict(loop.acquisition),
        "budget": loop.budget,
        "n_initial": loop.n_initial,
        "batch_size": loop.batch_size,
        "last_fit_key": key_label(_last_fit_key(loop.key, len(history.states))),
    }
    provenance = Provenance(
        workflow="bayesopt",
        problem=objective.name,
        method=method,
        key=key_label(loop.key),
        n_model_evaluations=len(evaluations.points),
        wall_time=wall_time,
    )
    return build(groups, provenance)


def _last_fit_key(key: Key[jax.Array, ""], n_states: int) -> Key[jax.Array, ""]:
    return jax.random.split(jax.random.fold_in(key, n_states))[0]


def _learned(loop: Loop, history: History, rows: Int[np.ndarray, " best_point"]) -> dict[str, xr.Dataset]:
    """What the last surrogate knows of the outputs at the best points: estimates and draws."""
    objective = loop.objective
    names = [objective.forward.outputs.labels[column] for column in modelled(objective)]
    units = [objective.forward.outputs.units[column] for column in modelled(objective)]
    unit = fitted_rows(objective, history.evaluations)[0][rows]
    with torch.no_grad(), seeded(jax.random.fold_in(loop.key, 2**31 - 1)), warnings.catch_warnings():
        # GPyTorch says when points are so near that it had to add to their variances.
        warnings.filterwarnings("ignore", message="A not p.d.")
        # And torch of what GPyTorch makes of several outputs.
        warnings.filterwarnings("ignore", message="Sparse invariant checks")
        drawn = history.model.posterior(torch.from_numpy(unit)).rsample(torch.Size([_CHAINS * _DRAWS])).numpy()
    coords = {
        schema.BEST_POINT: np.arange(len(rows)),
        schema.OUTPUT: names,
        "output_units": (schema.OUTPUT, units),
    }
    dims = (schema.BEST_POINT, schema.OUTPUT)
    tail = 100 * (1 - _PROBABILITY) / 2
    lower, upper = np.percentile(drawn, [tail, 100 - tail], axis=0)
    attributes = {"units": "see output_units", "long_name": "value of the output at a best point, without noise"}
    interval = {schema.PROBABILITY: _PROBABILITY, schema.INTERVAL_KIND: "equal-tailed, of the surrogate's posterior"}
    estimates = {
        schema.OBJECTIVE_VALUE: (dims, drawn.mean(axis=0), attributes),
        schema.standard_error(schema.OBJECTIVE_VALUE): (
            dims,
            drawn.std(axis=0),
            {"units": "see output_units", "long_name": "standard deviation of the surrogate's posterior"},
        ),
        schema.lower(schema.OBJECTIVE_VALUE): (dims, lower, attributes | interval),
        schema.upper(schema.OBJECTIVE_VALUE): (dims, upper, attributes | interval),
    }
    chains = drawn.reshape(_CHAINS, _DRAWS, *drawn.shape[1:])
    posterior = xr.Dataset(
        {schema.OBJECTIVE_VALUE: ((schema.CHAIN, schema.DRAW, *dims), chains, attributes)},
        {schema.CHAIN: np.arange(_CHAINS), schema.DRAW: np.arange(_DRAWS), **coords},
        attrs={schema.INDEPENDENT_DRAWS: 1},
    )
    return {schema.ESTIMATES: xr.Dataset(estimates, coords), schema.POSTERIOR: posterior}


def _trace(objective: Objective, history: History, rows: Int[np.ndarray, " best_point"]) -> xr.Dataset:
    evaluations = history.evaluations
    best = best_so_far(objective, evaluations.values, history.sizes)
    several = len(objective.maximise) > 1
    labels = objective.forward.outputs.labels
    unit = "1" if several else objective.forward.outputs.units[labels.index(next(iter(objective.maximise)))]
    variables: dict[str, Any] = {
        schema.N_EVALUATIONS_SO_FAR: (
            (schema.ITERATION,),
            np.array(history.sizes),
            {"units": "1", "long_name": "evaluations after the iteration"},
        ),
        schema.HYPERVOLUME if several else schema.BEST_VALUE: (
            (schema.ITERATION,),
            best,
            {"units": unit, "long_name": "hypervolume so far" if several else "best feasible value so far"},
        ),
        schema.BEST_INPUT: (
            (schema.BEST_POINT, schema.INPUT),
            evaluations.points[rows],
            {"units": "see input_units", "long_name": "inputs of the best points"},
        ),
        schema.BEST_OUTPUT: (
            (schema.BEST_POINT, schema.OUTPUT),
            evaluations.values[rows],
            {"units": "see output_units", "long_name": "outputs evaluated at the best points"},
        ),
    }
    regret = regret_of(objective, best)
    if regret is not None:
        attributes = {"units": unit, "long_name": "distance from the best value known"}
        variables[schema.REGRET] = ((schema.ITERATION,), regret, attributes)
    coords = {
        schema.ITERATION: np.arange(len(history.sizes)),
        schema.BEST_POINT: np.arange(len(rows)),
        **input_coords(objective.forward),
        **output_coords(objective.forward),
    }
    return xr.Dataset(variables, coords)


def _evaluations(loop: Loop, history: History) -> xr.Dataset:
    objective, evaluations = loop.objective, history.evaluations
    dataset = evaluations_group(evaluations, objective.forward)
    after = np.repeat(np.arange(len(history.sizes)) - 1, np.diff([0, *history.sizes]))
    dataset[schema.PROPOSED_AFTER] = (
        (schema.POINT,),
        after,
        {"units": "1", "long_name": "iteration whose surrogate proposed the point; -1 in the initial design"},
    )
    dataset[schema.FEASIBLE] = (
        (schema.POINT,),
        objective.feasible(evaluations.values).astype(np.int8),
        {"units": "1", "long_name": "whether all limits are kept"},
    )
    table = _predicted(objective, history)
    interval = {schema.PROBABILITY: _PROBABILITY, schema.INTERVAL_KIND: "equal-tailed, noise included"}
    names = (schema.PREDICTED, *(end(schema.PREDICTED) for end in (schema.standard_error, schema.lower, schema.upper)))
    for name, values in zip(names, table, strict=True):
        attributes = {"units": "see output_units", "long_name": "prediction before the evaluation"} | interval
        dataset[name] = ((schema.POINT, schema.OUTPUT), values, attributes)
    return dataset


def _predicted(objective: Objective, history: History) -> Float[np.ndarray, "4 point output"]:
    """Predictions that proposals were made with; NaN where there were none."""
    table = np.full((4, *history.evaluations.values.shape), np.nan)
    for first, last, state in zip(history.sizes, history.sizes[1:], history.states, strict=False):
        if state.predicted:
            table[:, first:last, modelled(objective)] = np.array(state.predicted)
    return table


def _diagnostics(loop: Loop, history: History, rows: Int[np.ndarray, " best_point"]) -> xr.Dataset:
    findings = _findings(loop, history, rows)
    dataset = diagnostics_group(
        evaluation_counts(history.evaluations, loop.budget),
        "warn" if findings else "ok",
        " ".join(findings) or "nothing was found wrong.",
    )
    for name, meaning, unit in (
        (schema.FIT_SECONDS, "time of the surrogate's fit", "s"),
        (schema.ACQUISITION_SECONDS, "time of choosing the next points", "s"),
        (schema.R_HAT_95, "95% quantile over points of the R-hat of the surrogate's function", "1"),
    ):
        attribute = "r_hat" if name == schema.R_HAT_95 else name
        values = np.array([getattr(state, attribute) for state in history.states])
        dataset[name] = ((schema.ITERATION,), values, {"units": unit, "long_name": meaning})
    covered = _covered(loop.objective, history)
    share = np.array([inside.mean() if len(inside) else np.nan for inside in covered])
    dataset[schema.COVERAGE] = (
        (schema.OUTPUT,),
        share,
        {"units": "1", "long_name": "share of proposals whose value lay in the 95% interval predicted for it"},
    )
    return dataset.assign_coords(output_coords(loop.objective.forward))


def _covered(
    objective: Objective, history: History, *, only_first: bool = False
) -> list[Bool[np.ndarray, " proposal"]]:
    """For each output, whether what proposals gave lay in the interval predicted for it; of all, or one a batch."""
    rows = np.array(history.sizes[:-1], dtype=int) if only_first else slice(None)
    values, (_, _, lower, upper) = history.evaluations.values[rows], _predicted(objective, history)[:, rows]
    judged = np.isfinite(lower) & np.isfinite(values)
    inside = (values >= lower) & (values <= upper)
    return [inside[judged[:, column], column] for column in range(values.shape[1])]


def _findings(loop: Loop, history: History, rows: Int[np.ndarray, " best_point"]) -> list[str]:
    evaluations, found = history.evaluations, []
    if evaluations.n_failed:
        found.append(
            f"{evaluations.n_failed} of {len(evaluations.points)} evaluations failed and were taken for as bad as the "
            "worst."
        )
    if not len(rows):
        found.append("no point keeps all limits.")
    elif len(loop.objective.maximise) > 1 and best_so_far(loop.objective, evaluations.values, history.sizes[-1:]) == 0:
        found.append("no point is better than the reference point in all objectives, so the hypervolume is 0.")
    # The points of a batch share a fit, and its error: one of each is counted.
    covered = _covered(loop.objective, history, only_first=True)
    level = _FALSE_ALARM / max(1, sum(len(inside) > 0 for inside in covered))
    which = "proposals" if loop.batch_size == 1 else "first proposals of a batch"
    for name, inside in zip(loop.objective.forward.outputs.labels, covered, strict=True):
        # Held by a calibrated surrogate as often as stated, whichever points it chose: it predicted before it saw them.
        if len(inside) and binom.cdf(inside.sum(), len(inside), _PROBABILITY) < level:
            found.append(
                f"the surrogate is overconfident of {name} where it searched: its 95% intervals held {inside.sum()} of "
                f"{len(inside)} {which}."
            )
    r_hat = max((state.r_hat for state in history.states if np.isfinite(state.r_hat)), default=0.0)
    if r_hat > _LARGEST_R_HAT:
        found.append(
            f"the surrogate's chains disagreed (R-hat of the function up to {r_hat:.2f}): its intervals are those of a "
            "quick setting; a longer one is HMCNetwork.converged."
        )
    return found
