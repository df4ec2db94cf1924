"""Draws with names and units: the groups `posterior`, `sample_stats` and `diagnostics` of a result."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from uqkit.errors import InputError
from uqkit.inference.draws import Draws, diagnose
from uqkit.problems.target import TargetDensity
from uqkit.results import schema

__all__ = ["labelled_groups", "sample_stats"]

# Unit and meaning of the statistics that samplers give.
_STATISTICS = {
    "lp": ("nats", "log density"),
    "acceptance_rate": ("1", "acceptance rate"),
    "step_size": ("1", "step size"),
    "n_steps": ("1", "gradients"),
    "diverging": ("1", "whether the trajectory diverged"),
    "tree_depth": ("1", "doublings of the trajectory"),
    "energy": ("nats", "energy"),
}


def labelled_groups(
    draws: Draws,
    target: TargetDensity,
    *,
    units: Mapping[str, str] | None = None,
    long_names: Mapping[str, str] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    coords: Mapping[str, Any] | None = None,
) -> dict[str, xr.Dataset]:
    """The datasets `posterior`, `sample_stats` and `diagnostics` of draws, ready for a DataTree.

    Args:
        draws: Where they are.
        target: Names the quantities (`constrain`).
        units: Quantity -> unit; "1" where not given.
        long_names: Quantity -> description; its name where not given.
        dims: Quantity -> names of its own dimensions; `NAME_dim_0` and so on where not given, as ArviZ does.
        coords: Dimension -> labels.

    Returns:
        `posterior` (with the attribute `independent_draws`), `sample_stats`, and `diagnostics`: for each quantity
        `r_hat_NAME`, `ess_bulk_NAME` and `ess_tail_NAME`, on the quantity's own dimensions.

    Raises:
        InputError: If `units`, `long_names` or `dims` name something that is no quantity, or `dims` do not fit.
    """
    values = draws.quantities(target)
    for argument, given in (("units", units), ("long_names", long_names), ("dims", dims)):
        unknown = sorted(set(given or {}) - set(values))
        if unknown:
            raise InputError(f"`{argument}` names {', '.join(unknown)}, but the quantities are {', '.join(values)}.")
    posterior: dict[str, Any] = {}
    diagnostics: dict[str, Any] = {}
    for name, value in values.items():
        own = list((dims or {}).get(name, [f"{name}_dim_{axis}" for axis in range(value.ndim - 2)]))
        if len(own) != value.ndim - 2:
            raise InputError(f"`dims` gives {name} the dimensions {own}, but it has the shape {value.shape[2:]}.")
        title = (long_names or {}).get(name, name)
        attributes = {"units": (units or {}).get(name, "1"), "long_name": title}
        posterior[name] = ([schema.CHAIN, schema.DRAW, *own], value, attributes)
        r_hat, ess_bulk, ess_tail = diagnose(value)
        for kind, what, number in (
            ("r_hat", "rank-normalised split R-hat", r_hat),
            ("ess_bulk", "bulk effective number of draws", ess_bulk),
            ("ess_tail", "tail effective number of draws", ess_tail),
        ):
            diagnostics[f"{kind}_{name}"] = (own, number, {"units": "1", "long_name": f"{what} of {title}"})
    along = _along(draws)
    labels = dict(coords or {})
    used = {dimension for variable in posterior.values() for dimension in variable[0]}
    own_labels = {dimension: label for dimension, label in labels.items() if dimension in used}
    return {
        schema.POSTERIOR: xr.Dataset(
            posterior, coords=along | own_labels, attrs={schema.INDEPENDENT_DRAWS: int(draws.independent)}
        ),
        schema.SAMPLE_STATS: sample_stats(draws),
        schema.DIAGNOSTICS: xr.Dataset(diagnostics, coords=own_labels),
    }


def sample_stats(draws: Draws) -> xr.Dataset:
    """A sampler's statistics of each draw, under ArviZ's names."""
    variables = {}
    for name, value in draws.statistics.items():
        unit, meaning = _STATISTICS.get(name, ("1", name.replace("_", " ")))
        variables[name] = ([schema.CHAIN, schema.DRAW], value, {"units": unit, "long_name": meaning})
    return xr.Dataset(variables, coords=_along(draws))


def _along(draws: Draws) -> dict[str, Any]:
    n_chains, n_draws, _ = draws.position.shape
    return {schema.CHAIN: np.arange(n_chains), schema.DRAW: np.arange(n_draws)}
