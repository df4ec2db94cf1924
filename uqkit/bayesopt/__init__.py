"""Bayesian neural networks and other surrogates for Bayesian optimisation, each a BoTorch `Model`.

    surrogate = HMCNetwork(train_X, train_Y, key=0).fit()
    acquisition = qLogExpectedImprovement(surrogate, best_f=train_Y.max())
    print(surrogate.diagnose())

On smooth functions of few inputs a Gaussian process (`botorch.models.SingleTaskGP`) is hard to beat and quicker; a
network earns its place where functions are non-stationary, inputs are mixed or many, or outputs share structure. No
surrogate here is better than another without a paired comparison on your own kind of problem.

Reference:
    Li, Rudner & Wilson (2024), A study of Bayesian neural network surrogates for Bayesian optimization, ICLR,
    arXiv 2305.20028; Balandat et al. (2020), BoTorch, NeurIPS.
"""

import importlib
from typing import TYPE_CHECKING, Any

try:
    import botorch as _botorch  # noqa: F401
except ImportError as error:
    raise ImportError(
        "uqkit.bayesopt needs BoTorch, which is not installed with uqkit: pip install 'uqkit[bayesopt]'. Where no GPU "
        "is to be used, install PyTorch's CPU build first; it is much smaller."
    ) from error

from uqkit.bayesopt.candidates import Acquisition
from uqkit.bayesopt.collection import from_botorch
from uqkit.bayesopt.deep_kernel import DeepKernelGP
from uqkit.bayesopt.diagnosis import ChainDiagnosis, Diagnosis
from uqkit.bayesopt.ensemble import EnsembleNetwork
from uqkit.bayesopt.factory import Factory
from uqkit.bayesopt.infinite_width import InfiniteWidthGP
from uqkit.bayesopt.kernels import NNGP, NTK, Erf, ReLU
from uqkit.bayesopt.laplace import LaplaceNetwork, LastLayerNetwork
from uqkit.bayesopt.linear import LinearGP
from uqkit.bayesopt.network import Embedding, OneHot, WeightPrior
from uqkit.bayesopt.optimisation import Optimisation
from uqkit.bayesopt.posterior import MemberPosterior, MemberSampler
from uqkit.bayesopt.run import optimize, restore
from uqkit.bayesopt.sampled import HMCNetwork, MicrocanonicalNetwork, SGHMCNetwork, VariationalNetwork
from uqkit.bayesopt.search import RandomSearch, SobolSearch
from uqkit.bayesopt.study import compare
from uqkit.bayesopt.training import AnchoredTraining, PlainTraining

if TYPE_CHECKING:
    from uqkit.bayesopt.plots import (
        plot_best,
        plot_coverage,
        plot_differences,
        plot_front,
        plot_predictions,
        plot_progress,
        plot_ranks,
        plot_regret,
    )

__all__ = [
    "NNGP",
    "NTK",
    "Acquisition",
    "AnchoredTraining",
    "ChainDiagnosis",
    "DeepKernelGP",
    "Diagnosis",
    "Embedding",
    "EnsembleNetwork",
    "Erf",
    "Factory",
    "HMCNetwork",
    "InfiniteWidthGP",
    "LaplaceNetwork",
    "LastLayerNetwork",
    "LinearGP",
    "MemberPosterior",
    "MemberSampler",
    "MicrocanonicalNetwork",
    "OneHot",
    "Optimisation",
    "PlainTraining",
    "RandomSearch",
    "ReLU",
    "SGHMCNetwork",
    "SobolSearch",
    "VariationalNetwork",
    "WeightPrior",
    "compare",
    "from_botorch",
    "optimize",
    "plot_best",
    "plot_coverage",
    "plot_differences",
    "plot_front",
    "plot_predictions",
    "plot_progress",
    "plot_ranks",
    "plot_regret",
    "restore",
]


def __getattr__(name: str) -> Any:
    """Load the plots, and matplotlib with them, when they are first used."""
    if name.startswith("plot_") and name in __all__:
        return getattr(importlib.import_module("uqkit.bayesopt.plots"), name)
    raise AttributeError(f"module 'uqkit.bayesopt' has no attribute {name!r}")
