"""The one constructor of a result: datasets and a provenance become a checked DataTree."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import xarray as xr

from uqkit.results import schema
from uqkit.results.validate import validate

__all__ = ["Provenance", "build"]

_STATED_VERSIONS = ("uqkit", "jax", "numpy", "scipy", "numpyro", "xarray")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a result comes from.

    Attributes:
        workflow: Name of the workflow's folder.
        problem: Name of the problem solved.
        method: The method's settings, of JSON types.
        key: Label of the random key.
        n_model_evaluations: Model evaluations that the result rests on, those taken from a store included.
        wall_time: Seconds from call to result.
    """

    workflow: str
    problem: str
    method: Mapping[str, Any]
    key: str
    n_model_evaluations: int
    wall_time: float


def build(groups: Mapping[str, xr.Dataset], provenance: Provenance) -> xr.DataTree:
    """Result from its groups; checked by `validate`."""
    tree = xr.DataTree.from_dict(dict(groups))
    # netCDF attributes hold text and numbers only: what is structured travels as JSON.
    tree.attrs = {
        schema.WORKFLOW: provenance.workflow,
        schema.PROBLEM: provenance.problem,
        schema.METHOD: json.dumps(provenance.method),
        schema.KEY: provenance.key,
        schema.VERSIONS: json.dumps({name: metadata.version(name) for name in _STATED_VERSIONS}),
        schema.N_MODEL_EVALUATIONS: int(provenance.n_model_evaluations),
        schema.WALL_TIME: float(provenance.wall_time),
    }
    validate(tree)
    return tree
