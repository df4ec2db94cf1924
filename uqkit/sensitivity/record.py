"""The settings that a result of this workflow can have been made with."""

from typing import Any

from uqkit import results
from uqkit.inputs import LatinHypercube, MonteCarlo, ScrambledSobol
from uqkit.sensitivity import estimators, importance, intervals
from uqkit.sensitivity.pick_freeze import PickFreeze

__all__ = ["from_record"]

_KNOWN = {
    cls.__name__: cls
    for cls in (
        PickFreeze,
        *(estimators.Azzini, estimators.Janon, estimators.Jansen, estimators.Martinez, estimators.Saltelli2010),
        *(intervals.BayesianBootstrap, intervals.InfluenceFunction, intervals.SubNets),
        *(LatinHypercube, MonteCarlo, ScrambledSobol),
        *(importance.AdaptiveImportanceSampling, importance.PublishedImportanceSampling),
        *(importance.MixtureImportanceSampling, importance.PolynomialSurrogate, importance.Tempering),
        *(importance.DiagonalGaussian, importance.FullGaussian, importance.ShrunkGaussian),
        *(importance.GaussianMixture, importance.StudentT, importance.Physical, importance.StandardNormal),
    )
}


def from_record(record: Any) -> Any:
    """The settings object that `as_record` wrote.

    Raises:
        StoreError: If its class is not known here.
    """
    return results.from_record(record, _KNOWN)
