"""Settings of a method as JSON types, and back: a result says how it was made."""

import dataclasses
from typing import Any

from uqkit.errors import StoreError
from uqkit.inputs import LatinHypercube, MonteCarlo, ScrambledSobol
from uqkit.sensitivity import estimators, importance, intervals
from uqkit.sensitivity.pick_freeze import PickFreeze

__all__ = ["as_record", "from_record"]

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


def as_record(setting: Any) -> Any:
    """A settings object as its class's name and its fields."""
    if not dataclasses.is_dataclass(setting):
        return list(setting) if isinstance(setting, tuple) else setting
    fields = {field.name: as_record(getattr(setting, field.name)) for field in dataclasses.fields(setting)}
    return {"type": type(setting).__name__, **fields}


def from_record(record: Any) -> Any:
    """The settings object that `as_record` wrote.

    Raises:
        StoreError: If its class is not known here.
    """
    if isinstance(record, list):
        return tuple(record)
    if not isinstance(record, dict):
        return record
    if record["type"] not in _KNOWN:
        raise StoreError(f"the result was made with {record['type']!r}, which this uqkit does not know.")
    return _KNOWN[record["type"]](**{name: from_record(value) for name, value in record.items() if name != "type"})
