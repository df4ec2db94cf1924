"""One tiny case of every workflow; a workflow joins by adding its case to `CASES`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

import uqkit as uq


@dataclass(frozen=True, kw_only=True)
class Case:
    """What the promises that all workflows keep are checked on.

    Attributes:
        name: The workflow.
        problem: Makes the problem around a Python function of one point that stands for an expensive model.
        solve: The workflow's verb: (problem, key=, store=, progress=, failures=) to a result.
        restore: Result and problem to an object that goes on.
        go_on: What the restored object gives, to be compared before and after saving.
        plots: Estimate -> a function of a result that draws it.
    """

    name: str
    problem: Callable[[Callable[[np.ndarray], float]], Any]
    solve: Callable[..., xr.DataTree]
    restore: Callable[[xr.DataTree, Any], Any]
    go_on: Callable[[Any], np.ndarray]
    plots: dict[str, Callable[[xr.DataTree], Any]]


def _forward_model(function: Callable[[np.ndarray], float]) -> uq.ForwardModel:
    inputs = {"load": stats.norm(1.0, 0.3), "width": stats.uniform(0.5, 1.0), "depth": stats.uniform(1.0, 1.0)}
    return uq.ForwardModel(function, inputs=inputs, outputs={"stress": "Pa"}, name="beam", version="1")


def _sobol_indices(problem: uq.ForwardModel, **settings: Any) -> xr.DataTree:
    return uq.sensitivity.sobol_indices(problem, budget=400, order=("first", "total", "second"), **settings)


SENSITIVITY = Case(
    name="sensitivity",
    problem=_forward_model,
    solve=_sobol_indices,
    restore=uq.sensitivity.restore,
    go_on=lambda sample: sample.indices(key=1)["posterior"].to_dataset()["sobol_total"].values,
    plots={
        "sobol_first": uq.sensitivity.plot_indices,
        "sobol_total": uq.sensitivity.plot_convergence,
        "sobol_second": uq.sensitivity.plot_second_order,
        "output_mean": uq.sensitivity.plot_output,
        "output_variance": uq.sensitivity.plot_output,
    },
)

CASES = [SENSITIVITY]
