"""Sensitivity analysis: which uncertain inputs make an output vary, and expectations far from the usual inputs.

`sobol_indices` runs a model on a pick-freeze design and estimates Sobol' indices of first, total and second order, for
inputs or groups of inputs, with an interval each. `expectations` estimates many expectations, under one law of the
inputs or many, from one importance sample with control variates. `extend` continues either from its saved result,
`restore` analyses a design again without new model runs, `to_salib` hands indices to a SALib script.

Papers: Sobol' (2001), Mathematics and Computers in Simulation 55; Saltelli et al. (2010), Computer Physics
Communications 181; Demange-Chryst, Bachoc & Morio (2023), Statistics and Computing 33. Limits: pick-freeze wants
inputs that are independent or grouped by dependence, and costs more the more there are; importance sampling pays where
integrands live far from the nominal law, and its verdict says where it does not.
"""

import importlib
from typing import TYPE_CHECKING, Any

from uqkit.sensitivity.estimators import Azzini, Janon, Jansen, Martinez, Saltelli2010
from uqkit.sensitivity.expectations import expectations
from uqkit.sensitivity.export import to_dataframe, to_salib
from uqkit.sensitivity.extension import extend
from uqkit.sensitivity.importance import (
    AdaptiveImportanceSampling,
    DiagonalGaussian,
    FullGaussian,
    GaussianMixture,
    MixtureImportanceSampling,
    Physical,
    PolynomialSurrogate,
    ShrunkGaussian,
    StandardNormal,
    StudentT,
    Tempering,
)
from uqkit.sensitivity.intervals import BayesianBootstrap, InfluenceFunction, SubNets
from uqkit.sensitivity.pick_freeze import PickFreeze
from uqkit.sensitivity.run import sobol_indices
from uqkit.sensitivity.sample import PickFreezeSample, restore

if TYPE_CHECKING:
    from uqkit.sensitivity.plots import (
        plot_convergence,
        plot_expectations,
        plot_field_indices,
        plot_indices,
        plot_known_means,
        plot_output,
        plot_second_order,
        plot_weights,
    )

__all__ = [
    "AdaptiveImportanceSampling",
    "Azzini",
    "BayesianBootstrap",
    "DiagonalGaussian",
    "FullGaussian",
    "GaussianMixture",
    "InfluenceFunction",
    "Janon",
    "Jansen",
    "Martinez",
    "MixtureImportanceSampling",
    "Physical",
    "PickFreeze",
    "PickFreezeSample",
    "PolynomialSurrogate",
    "Saltelli2010",
    "ShrunkGaussian",
    "StandardNormal",
    "StudentT",
    "SubNets",
    "Tempering",
    "expectations",
    "extend",
    "plot_convergence",
    "plot_expectations",
    "plot_field_indices",
    "plot_indices",
    "plot_known_means",
    "plot_output",
    "plot_second_order",
    "plot_weights",
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
