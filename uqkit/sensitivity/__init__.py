"""Sensitivity analysis: which uncertain inputs make the output vary.

`sobol_indices` runs a model on a pick-freeze design and estimates Sobol' indices of first, total and second order, for
inputs or groups of inputs, with an interval each. `restore` takes a result up again without new model runs, `to_salib`
hands it to a SALib script, `plot_indices` and `plot_convergence` draw it.

Papers: Sobol' (2001), Mathematics and Computers in Simulation 55; Saltelli et al. (2010), Computer Physics
Communications 181. Limits: inputs are independent; the cost grows with the number of inputs.
"""

import importlib
from typing import TYPE_CHECKING, Any

from uqkit.sensitivity.estimators import Azzini, Janon, Jansen, Martinez, Saltelli2010
from uqkit.sensitivity.export import to_dataframe, to_salib
from uqkit.sensitivity.intervals import BayesianBootstrap, InfluenceFunction, SubNets
from uqkit.sensitivity.pick_freeze import PickFreeze
from uqkit.sensitivity.run import PickFreezeSample, restore, sobol_indices

if TYPE_CHECKING:
    from uqkit.sensitivity.plots import (
        plot_convergence,
        plot_field_indices,
        plot_indices,
        plot_output,
        plot_second_order,
    )

__all__ = [
    "Azzini",
    "BayesianBootstrap",
    "InfluenceFunction",
    "Janon",
    "Jansen",
    "Martinez",
    "PickFreeze",
    "PickFreezeSample",
    "Saltelli2010",
    "SubNets",
    "plot_convergence",
    "plot_field_indices",
    "plot_indices",
    "plot_output",
    "plot_second_order",
    "restore",
    "sobol_indices",
    "to_dataframe",
    "to_salib",
]


def __getattr__(name: str) -> Any:
    """Load the plots, and matplotlib with them, when they are first used."""
    if name.startswith("plot_") and name in __all__:
        return getattr(importlib.import_module("uqkit.sensitivity.plots"), name)
    raise AttributeError(f"module 'uqkit.sensitivity' has no attribute {name!r}")
