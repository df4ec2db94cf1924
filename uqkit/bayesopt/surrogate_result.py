"""Members of a surrogate as a labelled result."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float, Key

from uqkit.bayesopt.diagnosis import ChainDiagnosis
from uqkit.inference import Draws, sample_stats
from uqkit.keys import key_label
from uqkit.results import schema
from uqkit.results.build import Provenance, build

__all__ = ["posterior_tree"]

_MEANING = {
    schema.R_HAT_MEDIAN: "median over points of the R-hat of the function",
    schema.R_HAT_95: "95% quantile over points of the R-hat of the function",
    schema.ESS_MEDIAN: "median over points of the effective draws of the function",
    schema.R_HAT_SCALES: "largest R-hat of the layers' scales and the noise",
    schema.WEIGHT_NORM_RATIO: "mean squared weight over its prior variance",
    schema.N_DIVERGING: "divergent draws",
    schema.N_GRADIENTS: "gradients of the log density",
}


def posterior_tree(
    *,
    name: str,
    settings: Mapping[str, Any],
    key: Key[jax.Array, ""],
    members: Mapping[str, Float[np.ndarray, "member ..."]],
    n_chains: int,
    draws: Draws | None,
    chains: ChainDiagnosis | None,
    inputs: Float[np.ndarray, "row input"],
    outputs: Float[np.ndarray, "row output"],
    wall_time: float,
) -> xr.DataTree:
    """A result with the groups `posterior`, `sample_stats`, `diagnostics`, `observed_data` and `constant_data`.

    Args:
        name: Of the surrogate.
        settings: Of the surrogate.
        key: Its randomness.
        members: Named weights, chain after chain.
        n_chains: How many chains drew them, or rows of independent draws; 1 for members that are neither.
        draws: Statistics of the sampler, where there are any.
        chains: Their agreement; None for members that are independent.
        inputs: Training inputs.
        outputs: Training outputs.
        wall_time: Of the fit, in seconds.
    """
    n_draws = len(next(iter(members.values()))) // n_chains
    along = {schema.CHAIN: np.arange(n_chains), schema.DRAW: np.arange(n_draws)}
    variables, coords = {}, dict(along)
    for site, values in members.items():
        shaped = values.reshape(n_chains, n_draws, *values.shape[1:])
        own = [f"{site}_dim_{axis}" for axis in range(values.ndim - 1)]
        coords |= {dim: np.arange(size) for dim, size in zip(own, values.shape[1:], strict=True)}
        variables[site] = (
            [schema.CHAIN, schema.DRAW, *own],
            shaped,
            {"units": "1", "long_name": site.replace("_", " ") + ", standardised"},
        )
    groups = {
        schema.POSTERIOR: xr.Dataset(variables, coords, attrs={schema.INDEPENDENT_DRAWS: int(chains is None)}),
        schema.OBSERVED_DATA: _table("output_value", outputs, schema.OUTPUT),
        schema.CONSTANT_DATA: _table("input_value", inputs, schema.INPUT),
    }
    if draws is not None and draws.statistics:
        groups[schema.SAMPLE_STATS] = sample_stats(draws)
    if chains is not None:
        values = (
            *(chains.r_hat_median, chains.r_hat_95, chains.ess_median, chains.r_hat_scales),
            *(chains.weight_norm_ratio, chains.n_diverging, chains.n_gradients),
        )
        groups[schema.DIAGNOSTICS] = xr.Dataset(
            {
                variable: ((), np.asarray(value), {"units": "1", "long_name": meaning})
                for (variable, meaning), value in zip(_MEANING.items(), values, strict=True)
            }
        )
    provenance = Provenance(
        workflow="bayesopt",
        problem=f"{len(inputs)} training rows",
        method={"surrogate": name} | {setting: repr(value) for setting, value in settings.items()},
        key=key_label(key),
        n_model_evaluations=len(inputs),
        wall_time=wall_time,
    )
    return build(groups, provenance)


def _table(name: str, values: Float[np.ndarray, "row column"], dimension: str) -> xr.Dataset:
    coords = {schema.POINT: np.arange(len(values)), dimension: np.arange(values.shape[1])}
    attributes = {"units": "1", "long_name": name.replace("_", " ")}
    return xr.Dataset({name: ([schema.POINT, dimension], values, attributes)}, coords)
