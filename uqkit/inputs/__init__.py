"""What is uncertain: a named vector of inputs, its transforms and its designs."""

from uqkit.inputs.conversion import as_inputs
from uqkit.inputs.copula import GaussianCopula
from uqkit.inputs.designs import Design, LatinHypercube, MonteCarlo, ScrambledSobol
from uqkit.inputs.marginals import Marginal, as_marginal
from uqkit.inputs.salib import inputs_from_salib, is_salib_problem
from uqkit.inputs.scores import NormalScores
from uqkit.inputs.vector import Inputs, check_groups

__all__ = [
    "Design",
    "GaussianCopula",
    "Inputs",
    "LatinHypercube",
    "Marginal",
    "MonteCarlo",
    "NormalScores",
    "ScrambledSobol",
    "as_inputs",
    "as_marginal",
    "check_groups",
    "inputs_from_salib",
    "is_salib_problem",
]
