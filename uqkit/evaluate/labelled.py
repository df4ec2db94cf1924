"""Evaluations as labelled groups of a result, and back; and what else verbs with a budget share."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from uqkit.errors import InputError, StoreError, UqkitWarning
from uqkit.evaluate.evaluations import Evaluations, Status
from uqkit.problems import ForwardModel
from uqkit.results import schema

__all__ = [
    "check_same_version",
    "checked_budget",
    "common_output_unit",
    "diagnostics_group",
    "evaluation_counts",
    "evaluations_group",
    "input_coords",
    "output_coords",
    "stored_evaluations",
]


def output_coords(problem: ForwardModel) -> dict[str, Any]:
    """Labels, units, and the coordinates of fields, along `output`."""
    return {
        schema.OUTPUT: list(problem.outputs.labels),
        "output_units": (schema.OUTPUT, list(problem.outputs.units)),
        **{dim: (schema.OUTPUT, values) for dim, values in problem.outputs.coordinates().items()},
    }


def input_coords(problem: ForwardModel) -> dict[str, Any]:
    """Names, units and descriptions along `input`."""
    return {
        schema.INPUT: list(problem.inputs.names),
        "input_units": (schema.INPUT, list(problem.inputs.units.values())),
        "input_description": (schema.INPUT, list(problem.inputs.descriptions.values())),
    }


def common_output_unit(problem: ForwardModel) -> str:
    """The unit of all outputs, or where to find each one's."""
    units = set(problem.outputs.units)
    return units.pop() if len(units) == 1 else "see output_units"


def evaluation_counts(evaluations: Evaluations, budget: int) -> dict[str, tuple[int, str]]:
    """How many evaluations there were, and what became of them."""
    return {
        schema.N_MODEL_EVALUATIONS_COUNT: (len(evaluations.points), "model evaluations"),
        schema.N_REUSED: (evaluations.n_reused, "evaluations taken from a store or an earlier result"),
        schema.N_FAILED: (evaluations.n_failed, "evaluations without a finite output"),
        schema.BUDGET_UNUSED: (budget - len(evaluations.points), "evaluations of the budget that were not spent"),
    }


def diagnostics_group(counts: Mapping[str, tuple[int, str]], verdict: str, text: str) -> xr.Dataset:
    """Counts, and a verdict that a person can read."""
    variables: dict[str, Any] = {
        name: ((), np.int64(count), {"units": "1", "long_name": long_name})
        for name, (count, long_name) in counts.items()
    }
    variables[schema.VERDICT] = ((), verdict, {"units": "1", "long_name": "verdict: ok, warn or fail"})
    variables[schema.VERDICT_TEXT] = ((), text, {"units": "1", "long_name": "reasons of the verdict"})
    return xr.Dataset(variables)


def evaluations_group(evaluations: Evaluations, problem: ForwardModel) -> xr.Dataset:
    """Every evaluation with its status, and what went wrong where it failed."""
    statuses = ", ".join(f"{status.value}: {status.name.lower()}" for status in Status)
    variables: dict[str, Any] = {
        schema.INPUT_VALUE: (
            (schema.POINT, schema.INPUT),
            evaluations.points,
            {"units": "see input_units", "long_name": f"inputs of {problem.name}"},
        ),
        schema.OUTPUT_VALUE: (
            (schema.POINT, schema.OUTPUT),
            evaluations.values,
            {"units": common_output_unit(problem), "long_name": f"outputs of {problem.name}"},
        ),
        schema.STATUS: (
            (schema.POINT,),
            evaluations.status,
            {"units": "1", "long_name": f"status of the evaluation ({statuses})"},
        ),
    }
    if evaluations.messages:
        failed = sorted(evaluations.messages)
        variables[schema.FAILED_POINT] = (
            (schema.FAILURE,),
            np.array(failed),
            {"units": "1", "long_name": "point that failed"},
        )
        variables[schema.FAILURE_MESSAGE] = (
            (schema.FAILURE,),
            np.array([evaluations.messages[i] for i in failed]),
            {"units": "1", "long_name": "what went wrong there"},
        )
    return xr.Dataset(variables, {**output_coords(problem), **input_coords(problem)})


def stored_evaluations(result: xr.DataTree, problem: ForwardModel) -> Evaluations:
    """The evaluations kept in a result.

    Raises:
        InputError: If the problem has other inputs or outputs.
        StoreError: If the result has no evaluations.
    """
    if schema.EVALUATIONS not in result.children:
        raise StoreError("the result has no group `evaluations`; pass the result of one run of a model.")
    kept = result[schema.EVALUATIONS].to_dataset()
    for what, mine, theirs in (
        ("inputs", problem.inputs.names, kept[schema.INPUT].values),
        ("outputs", problem.outputs.labels, kept[schema.OUTPUT].values),
    ):
        if list(mine) != [str(name) for name in theirs]:
            raise InputError(
                f"the result has the {what} {', '.join(map(str, theirs))} but {problem.name} has {', '.join(mine)}; "
                "pass the problem that the result is of."
            )
    messages = {}
    if schema.FAILED_POINT in kept:
        pairs_ = zip(kept[schema.FAILED_POINT].values, kept[schema.FAILURE_MESSAGE].values, strict=True)
        messages = {int(point): str(text) for point, text in pairs_}
    return Evaluations(
        points=kept[schema.INPUT_VALUE].values,
        values=kept[schema.OUTPUT_VALUE].values,
        status=kept[schema.STATUS].values,
        messages=messages,
        n_run=0,
        n_reused=kept.sizes[schema.POINT],
    )


def check_same_version(recorded: str | None, problem: ForwardModel) -> None:
    """Warn when a result is continued by a model that may not be the one it was made with.

    No refusal, since a function that keeps a counter or a cache changes its version by being called.
    """
    if None not in (recorded, problem.version) and recorded != problem.version:
        warnings.warn(
            f"the result was made with version {recorded!r} of {problem.name}, this is {problem.version!r}: if it now "
            "computes something else, the result mixes both. To be sure, name its state: ForwardModel(version=...).",
            UqkitWarning,
            stacklevel=4,
        )


def checked_budget(budget: object) -> int:
    """A number of evaluations as an int.

    Raises:
        InputError: If it is no whole number above zero.
    """
    if isinstance(budget, bool) or not isinstance(budget, (int, float, np.number)) or budget != int(budget):
        raise InputError(f"`budget` is {budget!r}; pass the number of model evaluations to spend, a whole number.")
    if budget <= 0:
        raise InputError(f"`budget` is {budget}; pass the number of model evaluations to spend, above zero.")
    return int(budget)
