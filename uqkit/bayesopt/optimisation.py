"""A finished optimisation as something to go on with."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import torch
import xarray as xr
from jaxtyping import Float

from uqkit._typing import PRNGKey
from uqkit.bayesopt.candidates import (
    Acquisition,
    modelled,
    propose,
    to_physical,
    to_unit,
    unrepeated,
    whole_number,
)
from uqkit.bayesopt.predictions import predict
from uqkit.bayesopt.recipes import Maker, seeded
from uqkit.bayesopt.rounds import fitted_rows
from uqkit.errors import InputError
from uqkit.evaluate import Evaluations
from uqkit.evaluate.labelled import stored_evaluations
from uqkit.keys import as_key, key_from_label
from uqkit.problems import Objective
from uqkit.results import schema

__all__ = ["Optimisation", "restored"]


@dataclass(frozen=True)
class Optimisation:
    """A finished optimisation, ready to go on.

    Attributes:
        objective: What was optimised.
        evaluations: So far.
        model: The surrogate, a BoTorch model of inputs scaled to [0, 1] (categories as codes) and the modelled outputs:
            objectives, then constraints.
        acquisition: How points are chosen.
    """

    objective: Objective
    evaluations: Evaluations
    model: Any
    acquisition: Acquisition

    def predict(self, points: Float[np.ndarray, "point input"]) -> xr.Dataset:
        """What the surrogate says of an observation at points, in physical units: mean, sd and 95% interval.

        Raises:
            InputError: If the points have another number of inputs, are not finite, or lie outside the bounds, where
                the surrogate knows nothing.
        """
        points = np.asarray(points, dtype=float)
        if points.ndim != 2 or points.shape[1] != len(self.objective.inputs):
            raise InputError(
                f"`points` has shape {points.shape}; pass one row a point and {len(self.objective.inputs)} columns: "
                f"{', '.join(self.objective.inputs.names)}."
            )
        low, high = self.objective.bounds
        slack = 1e-9 * (high - low)
        outside = ~((points >= low - slack) & (points <= high + slack))
        if outside.any():
            row, column = np.argwhere(outside)[0]
            raise InputError(
                f"`points` row {row}, input {self.objective.inputs.names[column]!r} is {points[row, column]}; the "
                f"surrogate knows values from {low[column]:g} to {high[column]:g}."
            )
        table = predict(self.model, to_unit(self.objective, points)).summary()
        labels = self.objective.forward.outputs.labels
        coords = {
            schema.POINT: np.arange(len(points)),
            schema.OUTPUT: [labels[column] for column in modelled(self.objective)],
        }
        names = (
            schema.PREDICTED,
            *(end(schema.PREDICTED) for end in (schema.standard_error, schema.lower, schema.upper)),
        )
        return xr.Dataset(
            {
                name: ((schema.POINT, schema.OUTPUT), values, {"units": "see the outputs", "long_name": "prediction"})
                for name, values in zip(names, table, strict=True)
            },
            coords,
        )

    def suggest(self, n_points: int, *, key: PRNGKey) -> Float[np.ndarray, "point input"]:
        """The points to evaluate next, in physical units.

        Args:
            n_points: How many, to be evaluated side by side.
            key: A JAX key or an int.

        Returns:
            Points of which none was evaluated before, as long as there are such.
        """
        n_points, typed = whole_number("n_points", n_points, 1), as_key(key)
        inputs, outputs = fitted_rows(self.objective, self.evaluations)
        unit = propose(self.model, self.objective, self.acquisition, inputs, outputs, n_points, typed)
        unit = unrepeated(self.objective, unit, self.evaluations.points, jax.random.fold_in(typed, 0))
        return to_physical(self.objective, unit)


def restored(result: xr.DataTree, objective: Objective, maker: Maker, method: dict[str, Any]) -> Optimisation:
    """A result's evaluations, and its last surrogate fitted to them again.

    Raises:
        InputError: If the objective is not that of the result.
    """
    if objective.maximise != method["maximise"]:
        raise InputError(
            f"the result is of maximise={method['maximise']}, `objective` has maximise={objective.maximise}; pass the "
            "objective that the result is of."
        )
    evaluations = stored_evaluations(result, objective.forward)
    inputs, outputs = fitted_rows(objective, evaluations)
    key = key_from_label(method["last_fit_key"])
    targets = torch.from_numpy(outputs[:, modelled(objective)].copy())
    with seeded(key):
        model = maker.make(torch.from_numpy(inputs), targets, objective.categorical, key)
    return Optimisation(objective, evaluations, model, Acquisition(**method["acquisition"]))
