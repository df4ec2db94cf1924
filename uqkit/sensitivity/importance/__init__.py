"""Importance samplers for many expectations from one sample.

Methods, Demange-Chryst, Bachoc & Morio (2023), Statistics and Computing 33: `AdaptiveImportanceSampling`, hardened,
`PublishedImportanceSampling`, the paper's own, and `MixtureImportanceSampling` for many laws. They pay where integrands
live far from the nominal law (skewed moments, tails, many perturbed laws); the verdict says when they do not.
"""

from uqkit.sensitivity.importance.adaptive import AdaptiveImportanceSampling, Tempering
from uqkit.sensitivity.importance.families import (
    DiagonalGaussian,
    FullGaussian,
    GaussianMixture,
    ShrunkGaussian,
    StudentT,
)
from uqkit.sensitivity.importance.many_laws import MixtureImportanceSampling
from uqkit.sensitivity.importance.method import Exploration, ImportanceMethod, Sampled
from uqkit.sensitivity.importance.proposals import join
from uqkit.sensitivity.importance.published import PublishedImportanceSampling
from uqkit.sensitivity.importance.surrogate import PolynomialSurrogate
from uqkit.sensitivity.importance.targets import Law, Physical, StandardNormal, Targets
from uqkit.sensitivity.importance.trust import Diagnosis, diagnose

__all__ = [
    "AdaptiveImportanceSampling",
    "DiagonalGaussian",
    "Diagnosis",
    "Exploration",
    "FullGaussian",
    "GaussianMixture",
    "ImportanceMethod",
    "Law",
    "MixtureImportanceSampling",
    "Physical",
    "PolynomialSurrogate",
    "PublishedImportanceSampling",
    "Sampled",
    "ShrunkGaussian",
    "StandardNormal",
    "StudentT",
    "Targets",
    "Tempering",
    "diagnose",
    "join",
]
