"""Arrays to the result of `expectations`."""

import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float, Key
from scipy import stats

from uqkit.evaluate.labelled import (
    common_output_unit,
    diagnostics_group,
    evaluation_counts,
    evaluations_group,
    input_coords,
)
from uqkit.keys import numpy_generator
from uqkit.problems import ForwardModel
from uqkit.results import Provenance, build, schema
from uqkit.sensitivity.campaign import Campaign
from uqkit.sensitivity.importance import Diagnosis, Sampled

__all__ = ["assemble_expectations", "importance_diagnostics"]

_N_CHAINS, _N_DRAWS = 4, 250


def assemble_expectations(
    campaign: Campaign,
    sampled: Sampled,
    *,
    model: ForwardModel,
    law_names: list[str] | None,
    budget: int,
    probability: float,
    method: Mapping[str, Any],
    key: Key[jax.Array, ""],
    key_text: str,
    started: float,
) -> xr.DataTree:
    """The result of `expectations`."""
    evaluations = campaign.asker.evaluations()
    diagnosis = campaign.diagnosis(sampled)
    names = list(model.outputs.labels)
    coords: dict[str, Any] = {
        schema.FUNCTION: names,
        "function_units": (schema.FUNCTION, list(model.outputs.units)),
    }
    dims: tuple[str, ...] = (schema.FUNCTION,)
    if law_names is not None:
        dims, coords = (schema.FUNCTION, schema.LAW), coords | {schema.LAW: law_names}
    shape = tuple(len(coords[dim]) for dim in dims)
    unit = common_output_unit(model).replace("output_units", "function_units")
    groups = {
        schema.ESTIMATES: xr.Dataset(_estimates(sampled, dims, shape, unit, probability), coords),
        schema.POSTERIOR: _draws(sampled, dims, shape, unit, coords, key),
        schema.WEIGHTED_SAMPLE: _weighted_sample(campaign, sampled, model, law_names),
        schema.DIAGNOSTICS: importance_diagnostics(campaign, diagnosis, budget, dims, shape, coords),
        schema.EVALUATIONS: evaluations_group(evaluations, model),
    }
    provenance = Provenance(
        workflow="sensitivity",
        problem=model.name,
        method=method,
        key=key_text,
        n_model_evaluations=len(evaluations.points),
        wall_time=time.perf_counter() - started,
    )
    return build(groups, provenance)


def _estimates(
    sampled: Sampled, dims: tuple[str, ...], shape: tuple[int, ...], unit: str, probability: float
) -> dict[str, Any]:
    mean, error = sampled.estimate.mean.reshape(shape), sampled.estimate.standard_error.reshape(shape)
    half = stats.norm.ppf(0.5 + probability / 2) * error
    interval = {schema.PROBABILITY: probability, schema.INTERVAL_KIND: "equal-tailed, normal"}
    name = schema.EXPECTATION
    return {
        name: (dims, mean, {"units": unit, "long_name": "expectation"}),
        schema.standard_error(name): (dims, error, {"units": unit, "long_name": "standard error of the expectation"}),
        schema.lower(name): (dims, mean - half, {"units": unit, "long_name": "lower end", **interval}),
        schema.upper(name): (dims, mean + half, {"units": unit, "long_name": "upper end", **interval}),
    }


def _draws(
    sampled: Sampled,
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    unit: str,
    coords: Mapping[str, Any],
    key: Key[jax.Array, ""],
) -> xr.Dataset:
    """Normal draws with the covariance that sharing one sample gives the estimates."""
    eigenvalue, eigenvector = np.linalg.eigh(sampled.estimate.covariance)
    root = eigenvector * np.sqrt(np.maximum(eigenvalue, 0.0))
    rng = numpy_generator(jax.random.fold_in(key, 2**30 + 2))
    draws = sampled.estimate.mean + rng.standard_normal((_N_CHAINS * _N_DRAWS, len(root))) @ root.T
    variable = (
        (schema.CHAIN, schema.DRAW, *dims),
        draws.reshape(_N_CHAINS, _N_DRAWS, *shape),
        {"units": unit, "long_name": "expectation"},
    )
    chains = {schema.CHAIN: np.arange(_N_CHAINS), schema.DRAW: np.arange(_N_DRAWS)}
    return xr.Dataset({schema.EXPECTATION: variable}, {**chains, **coords}, {schema.INDEPENDENT_DRAWS: 1})


def _weighted_sample(
    campaign: Campaign, sampled: Sampled, model: ForwardModel, law_names: list[str] | None
) -> xr.Dataset:
    draws = sampled.draws
    physical = campaign.method.coordinates.to_physical(model.inputs, draws.x)
    log_weight: Float[np.ndarray, "draw law"] = draws.log_law - sampled.log_proposal[:, None]
    dims, coords = (schema.CHAIN, schema.DRAW, schema.LAW), {schema.LAW: law_names}
    if law_names is None:
        dims, coords, log_weight = dims[:2], {}, log_weight[:, 0]
    first = (schema.CHAIN, schema.DRAW)
    variables: dict[str, Any] = {
        schema.INPUT_VALUE: (
            (*first, schema.INPUT),
            physical[None],
            {"units": "see input_units", "long_name": "inputs of the final sample"},
        ),
        schema.OUTPUT_VALUE: (
            (*first, schema.FUNCTION),
            draws.value[None],
            {"units": common_output_unit(model), "long_name": "functions there"},
        ),
        schema.LOG_WEIGHT: (dims, log_weight[None], {"units": "nat", "long_name": "log of law over proposal density"}),
    }
    return xr.Dataset(
        variables,
        {
            schema.CHAIN: [0],
            schema.DRAW: np.arange(len(draws)),
            schema.FUNCTION: list(model.outputs.labels),
            **input_coords(model),
            **coords,
        },
    )


def importance_diagnostics(
    campaign: Campaign,
    diagnosis: Diagnosis,
    budget: int,
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    coords: Mapping[str, Any],
) -> xr.Dataset:
    """Counts, weights, known means, and the verdict."""
    evaluations = campaign.asker.evaluations()
    verdict, text = diagnosis.verdict, diagnosis.text
    if evaluations.n_failed:
        verdict = "warn" if verdict == "ok" else verdict
        text = f"{evaluations.n_failed} evaluations failed and their draws are left out; {text}"
    counts = {
        **evaluation_counts(evaluations, budget),
        schema.N_EXPLORATION: (campaign.n_exploration, "evaluations spent on finding the proposal"),
    }
    group = diagnostics_group(counts, verdict, text).assign_coords(coords)
    share = campaign.exploration.proposal.share
    variables = {
        schema.EFFECTIVE_DRAWS: (dims, diagnosis.effective_draws.reshape(shape), "effective draws that carry it"),
        schema.PARETO_K: (dims, diagnosis.tail_index.reshape(shape), "Pareto k of phi f/g"),
        schema.LAW_PARETO_K: ((), np.float64(diagnosis.law_tail_index), "Pareto k of f/g under the law; -inf: bounded"),
        schema.LAW_Z: ((schema.LAW,) if len(diagnosis.law_z) > 1 else (), diagnosis.law_z, "z-score of mean(f/g) - 1"),
        schema.CONTROL_Z: ((schema.CONTROL,), diagnosis.control_z, "z-score of a control's mean"),
        schema.COMPONENT_SHARE: ((schema.COMPONENT,), share, "share of the proposal's components, the law's own last"),
        schema.CRITERION: (
            (schema.BATCH,),
            np.array(campaign.exploration.criterion),
            "weighted sum of variances a draw, by batch of exploration",
        ),
    }
    for name, (variable_dims, values, long_name) in variables.items():
        array = np.asarray(values)
        group[name] = (
            variable_dims,
            array.reshape(()) if not variable_dims else array,
            {"units": "1", "long_name": long_name},
        )
    return group
