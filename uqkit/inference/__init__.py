"""A posterior: target densities, and the engines that draw from them or maximise them."""

from uqkit.inference.draws import Draws
from uqkit.inference.evidence import MacKay, ScaleFit, ScalePrior
from uqkit.inference.factor import DualFactor, PrimalFactor, solve_stack
from uqkit.inference.gauss_newton import GaussNewton, Mode
from uqkit.inference.guides import FullRankNormal, LowRankNormal, MeanFieldNormal
from uqkit.inference.hamiltonian import HMC, NUTS
from uqkit.inference.labelled import labelled_groups, sample_stats
from uqkit.inference.laplace import Laplace
from uqkit.inference.levenberg_marquardt import LevenbergMarquardt
from uqkit.inference.microcanonical import MCLMC, AdjustedMCLMC
from uqkit.inference.numpyro_target import NumpyroTarget
from uqkit.inference.optimise import MAP, MapEstimate
from uqkit.inference.randomised_map import RandomisedMAP
from uqkit.inference.residual import Scales, WhitenedResidual
from uqkit.inference.sampler import Sampler
from uqkit.inference.sghmc import SGHMC
from uqkit.inference.variational import SVI, VariationalFit
from uqkit.inference.whitening import Whitened

__all__ = [
    "HMC",
    "MAP",
    "MCLMC",
    "NUTS",
    "SGHMC",
    "SVI",
    "AdjustedMCLMC",
    "Draws",
    "DualFactor",
    "FullRankNormal",
    "GaussNewton",
    "Laplace",
    "LevenbergMarquardt",
    "LowRankNormal",
    "MacKay",
    "MapEstimate",
    "MeanFieldNormal",
    "Mode",
    "NumpyroTarget",
    "PrimalFactor",
    "RandomisedMAP",
    "Sampler",
    "ScaleFit",
    "ScalePrior",
    "Scales",
    "VariationalFit",
    "Whitened",
    "WhitenedResidual",
    "labelled_groups",
    "sample_stats",
    "solve_stack",
]
