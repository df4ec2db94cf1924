"""Arrays with their units, names and coordinates."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from uqkit.pinn.predict import PROBABILITY, Prediction
from uqkit.problems import BoundaryValueProblem
from uqkit.results import schema

__all__ = ["INTERVAL", "draw_coords", "field_dataset", "grid_points", "lattice_coords", "units_of", "variable"]

INTERVAL = {schema.PROBABILITY: PROBABILITY, schema.INTERVAL_KIND: "equal-tailed credible interval"}


def variable(dims: Sequence[str], values: Any, units: str, long_name: str) -> xr.Variable:
    """A variable with its unit and name."""
    return xr.Variable(tuple(dims), np.asarray(values), {"units": units, "long_name": long_name})


def units_of(problem: BoundaryValueProblem) -> dict[str, str]:
    """Unit of every output, quantity and parameter."""
    inputs = problem.inputs
    parameters = {} if inputs is None else inputs.units
    return {**problem.outputs, **{name: unit for name, (_, unit) in problem.quantities.items()}, **parameters}


def lattice_coords(
    problem: BoundaryValueProblem, lattice: Mapping[str, Float[np.ndarray, " entry"]]
) -> dict[str, xr.Variable]:
    """The axes of a lattice as coordinates."""
    return {n: variable((n,), axis, problem.domain.units[n], f"coordinate {n}") for n, axis in lattice.items()}


def draw_coords(position: Float[np.ndarray, "chain draw dim"]) -> dict[str, Any]:
    """Numbers of chains and draws."""
    return {schema.CHAIN: np.arange(position.shape[0]), schema.DRAW: np.arange(position.shape[1])}


def grid_points(lattice: Mapping[str, Float[np.ndarray, " entry"]]) -> Float[np.ndarray, "point coordinate"]:
    """All points of a lattice, the last coordinate running fastest."""
    return np.stack([axis.ravel() for axis in np.meshgrid(*lattice.values(), indexing="ij")], axis=1)


def field_dataset(
    predicted: Mapping[str, Prediction],
    dims: Sequence[str],
    shape: Sequence[int],
    units: Mapping[str, str],
    coords: Any,
) -> xr.Dataset:
    """Predictions as variables NAME, NAME_se, NAME_lower and NAME_upper."""
    variables = {}
    for name, value in predicted.items():
        for label, values, text in (
            (name, value.mean, "posterior mean"),
            (schema.standard_error(name), value.standard_deviation, "posterior standard deviation"),
            (schema.lower(name), value.lower, "lower end of the credible interval"),
            (schema.upper(name), value.upper, "upper end of the credible interval"),
        ):
            variables[label] = variable(dims, values.reshape(shape), units[name], f"{text} of {name}")
            if label.endswith(("_lower", "_upper")):
                variables[label].attrs.update(INTERVAL)
    return xr.Dataset(variables, coords)
