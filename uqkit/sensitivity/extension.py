"""Going on with a campaign from its saved result."""

import json
from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import xarray as xr

from uqkit.errors import InputError, StoreError
from uqkit.evaluate import FailurePolicy
from uqkit.problems import ForwardModel
from uqkit.results import schema
from uqkit.sensitivity.expectations import Functions, extend_expectations
from uqkit.sensitivity.run import extend_sobol_indices

__all__ = ["extend"]


def extend(
    result: xr.DataTree,
    functions: Functions,
    inputs: Any = None,
    *,
    laws: Mapping[str, Any] | None = None,
    budget: int,
    failures: FailurePolicy | None = None,
    store: str | Path | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> xr.DataTree:
    """Continue a run: the same design or proposal, more of it, nothing evaluated twice.

    Args:
        result: What `expectations` or `sobol_indices` returned, or a file of it gave back.
        functions: The functions or the model that the result is of; a result holds no callables.
        inputs: The inputs, as they were passed.
        laws: The laws, as they were passed.
        budget: Further evaluations to spend.
        failures: What to do about points where the model fails.
        store: A SQLite file that keeps every finished evaluation.
        executor: A concurrent.futures executor that runs the points: threads, spawned processes, or Dask's
            `client.get_executor(pure=False)`.
        progress: Whether to show progress on stderr; None shows it only on a terminal.

    Returns:
        The result of the longer run, as if it had been asked for at once.

    Raises:
        InputError: If the budget is too small for the next step of a design, or other functions, inputs or laws are
            given than before.
        StoreError: If the result was not made by these verbs, or its draws do not come out again.
    """
    if result.attrs.get(schema.WORKFLOW) != "sensitivity":
        raise StoreError(
            f"the result is of the workflow {result.attrs.get(schema.WORKFLOW)!r}; pass a sensitivity one."
        )
    kind = json.loads(result.attrs[schema.METHOD])["type"]
    if kind == "PickFreeze":
        if not isinstance(functions, ForwardModel):
            raise InputError("the result is of sobol_indices; pass the ForwardModel that it is of.")
        return extend_sobol_indices(
            result, functions, budget=budget, failures=failures, store=store, executor=executor, progress=progress
        )
    if schema.EXPECTATION not in result[schema.ESTIMATES].to_dataset():
        raise StoreError(f"Sobol' indices by {kind} cannot be continued; run sobol_indices again with a larger budget.")
    return extend_expectations(
        result,
        functions,
        inputs,
        laws,
        budget=budget,
        failures=failures,
        store=store,
        executor=executor,
        progress=progress,
    )
