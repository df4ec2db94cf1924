"""Samples of products of powers of diffusion models and rewards, with weights that make them right.

    q = ScoreModel.fit(draws, key=0)
    result = sample(q ** 3.0, key=1)                     # the same distribution, cooled
    result = sample(q * Reward(log_likelihood), key=1)   # a posterior whose prior is a diffusion model

Weights correct what velocities leave out, not what scores have wrong: where the final density is known, pass it as
`final` and both are corrected. Every interval is of the Monte Carlo error alone.

Reference:
    Skreta et al. (2025), Feynman-Kac correctors in diffusion: annealing, guidance, and product of experts, ICML, arXiv
    2503.02819.
"""

import importlib
from typing import TYPE_CHECKING, Any

from uqkit.diffusion.control import RegressionControl
from uqkit.diffusion.estimates import Estimate
from uqkit.diffusion.experts import GaussianMixture, ScoreModel
from uqkit.diffusion.learn import ScoreTraining
from uqkit.diffusion.observations import LinearObservations
from uqkit.diffusion.polish import MetropolisPolish
from uqkit.diffusion.rates import (
    ExactDivergence,
    HutchinsonDivergence,
    MeanExpertTransport,
    TargetTransport,
)
from uqkit.diffusion.resampling import (
    ActiveIntervalResampling,
    MultinomialResampling,
    ResidualResampling,
    StratifiedResampling,
    SystematicResampling,
)
from uqkit.diffusion.result import WeightedParticles, restore
from uqkit.diffusion.run import sample, transport_gap
from uqkit.diffusion.sampler import EulerMaruyamaSampler, HeunSampler
from uqkit.diffusion.schedules import EDM, VE, VP, Schedule
from uqkit.diffusion.targets import Product, Reward, Target

if TYPE_CHECKING:
    from uqkit.diffusion.plots import plot_log_normalizer, plot_moments, plot_particles, plot_path

__all__ = [
    "EDM",
    "VE",
    "VP",
    "ActiveIntervalResampling",
    "Estimate",
    "EulerMaruyamaSampler",
    "ExactDivergence",
    "GaussianMixture",
    "HeunSampler",
    "HutchinsonDivergence",
    "LinearObservations",
    "MeanExpertTransport",
    "MetropolisPolish",
    "MultinomialResampling",
    "Product",
    "RegressionControl",
    "ResidualResampling",
    "Reward",
    "Schedule",
    "ScoreModel",
    "ScoreTraining",
    "StratifiedResampling",
    "SystematicResampling",
    "Target",
    "TargetTransport",
    "WeightedParticles",
    "plot_log_normalizer",
    "plot_moments",
    "plot_particles",
    "plot_path",
    "restore",
    "sample",
    "transport_gap",
]


def __getattr__(name: str) -> Any:
    """Load the plots, and matplotlib with them, when they are first used."""
    if name.startswith("plot_") and name in __all__:
        return getattr(importlib.import_module("uqkit.diffusion.plots"), name)
    raise AttributeError(f"module 'uqkit.diffusion' has no attribute {name!r}")
