"""Inverse problems by `pinn.infer`: is the posterior of the parameter, and of the field, as wide as its error?

"B-PINN" is Yang, Meng & Karniadakis (2021), Journal of Computational Physics 425: networks of 2,701 weights sampled by
Hamiltonian Monte Carlo, one data set each, about 20 minutes a run.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float
from scipy.stats import binomtest

from models.pdes import bpinn_inverse_1d, bpinn_inverse_2d
from tests.benchmarks.comparison import PROBABILITY, Row, measured, share_within, with_interval
from uqkit import pinn
from uqkit.problems import BoundaryValueProblem
from uqkit.results import schema

__all__ = ["rows"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One problem at one noise.

    Attributes:
        what: Its name.
        make: Makes a data set.
        noise: Of the sensors.
        known: The parameter that the data were drawn with.
        width: Posterior standard deviation to expect.
        published: Mean and standard deviation by B-PINN.
    """

    what: str
    make: Callable[..., BoundaryValueProblem]
    noise: float
    known: float
    width: float
    published: tuple[float, float]


_ONE = [
    Case(
        what="reaction in 1-D",
        make=bpinn_inverse_1d.make,
        noise=noise,
        known=0.7,
        width=width,
        published=published,
    )
    for noise, width, published in ((0.01, 0.0056, (0.705, 5.75e-3)), (0.1, 0.055, (0.665, 5.63e-2)))
]
_TWO = [
    Case(
        what="reaction in 2-D",
        make=bpinn_inverse_2d.make,
        noise=noise,
        known=1.0,
        width=width,
        published=published,
    )
    for noise, width, published in ((0.01, 5.0e-3, (1.003, 5.75e-3)), (0.1, 5.0e-2, (0.978, 4.98e-2)))
]


@dataclass(frozen=True)
class Posteriors:
    """What came out for each data set.

    Attributes:
        mean: Of the parameter.
        width: Posterior standard deviation of it.
        covered: Whether its interval holds the known value.
        field_covered: Likewise of the field, at every point of the grid.
        seconds: CPU time.
    """

    mean: Float[np.ndarray, " key"]
    width: Float[np.ndarray, " key"]
    covered: Bool[np.ndarray, "key 1"]
    field_covered: Bool[np.ndarray, "key point"]
    seconds: Float[np.ndarray, " key"]

    @classmethod
    def of(cls, case: Case, n_keys: int) -> Self:
        """Data sets 0, 1, 2, ... with default settings."""
        columns: tuple[list, ...] = ([], [], [], [], [])
        for key in range(n_keys):
            problem = case.make(noise=case.noise, key=key)
            started = time.process_time()
            result = pinn.infer(problem, key=key, n_draws=4)
            columns[4].append(time.process_time() - started)
            estimates = result[schema.ESTIMATES].to_dataset()
            columns[0].append(float(estimates["k"]))
            columns[1].append(float(estimates[schema.standard_error("k")]))
            columns[2].append([bool(_inside(estimates, "k", case.known))])
            columns[3].append(
                _inside(estimates, "u", result[schema.CONSTANT_DATA].to_dataset()["u_reference"].values).ravel()
            )
        return cls(*map(np.array, columns))


def _inside(estimates: xr.Dataset, name: str, known: Float[np.ndarray, "..."] | float) -> Bool[np.ndarray, "..."]:
    """Whether the 95% interval holds the known value."""
    return (estimates[schema.lower(name)].values <= known) & (known <= estimates[schema.upper(name)].values)


def rows(long: bool) -> Iterator[Row]:
    """Every claim, as it is measured."""
    for case in _ONE:
        yield from _one_dimension(case, 400 if long else 20)
    for case in _TWO:
        yield from _two_dimensions(case, 20 if long else 4)


def _one_dimension(case: Case, n_keys: int) -> Iterator[Row]:
    found = Posteriors.of(case, n_keys)
    what = f"{case.what}, noise {case.noise}; {n_keys} data sets"
    yield _coverage_of_k(found, what)
    yield share_within(f"95% band of u covers, {what}", found.field_covered, at_least=0.90, at_most=0.98)
    yield _width(case, found, what, share=0.15)
    bias, interval = with_interval(
        lambda mean, width: np.abs(mean - case.known) / width,
        found.mean,
        found.width,
    )
    yield Row(
        what=f"bias of k / mean posterior sd, {what}",
        ours=bias,
        theirs=abs(case.published[0] - case.known) / case.published[1],
        opponent="B-PINN, one data set",
        interval=interval,
        at_most=0.5,
    )
    yield _cost(found, what)


def _two_dimensions(case: Case, n_keys: int) -> Iterator[Row]:
    found = Posteriors.of(case, n_keys)
    what = f"{case.what}, noise {case.noise}; {n_keys} data sets"
    squared = ((found.mean - case.known) / found.width) ** 2
    distance, interval = with_interval(np.sqrt, squared)
    yield Row(
        what=f"rms distance of k from its true value in posterior sd, {what}",
        ours=distance,
        theirs=abs(case.published[0] - case.known) / case.published[1],
        opponent="B-PINN, one data set",
        interval=interval,
        at_most=2.0,
    )
    yield _width(case, found, what, share=0.2)
    yield share_within(f"95% band of u covers, {what}", found.field_covered, at_least=0.90, at_most=0.98)
    yield _cost(found, what)


def _coverage_of_k(found: Posteriors, what: str) -> Row:
    """Row with the exact binomial interval: one cell a data set, and a share of 1 has no spread to judge it by."""
    counted = binomtest(int(found.covered.sum()), len(found.covered))
    interval = counted.proportion_ci(PROBABILITY, method="exact")
    return Row(
        what=f"95% interval of k covers, {what}",
        ours=float(counted.statistic),
        interval=(float(interval.low), float(interval.high)),
        at_least=0.88,
        at_most=0.99,
    )


def _width(case: Case, found: Posteriors, what: str, *, share: float) -> Row:
    """Row of the mean posterior standard deviation, required to be near what is to be expected."""
    width, interval = with_interval(lambda mean: mean, found.width)
    return Row(
        what=f"mean posterior sd of k, {what}",
        ours=width,
        theirs=case.published[1],
        opponent="B-PINN, one data set",
        interval=interval,
        at_least=(1 - share) * case.width,
        at_most=(1 + share) * case.width,
    )


def _cost(found: Posteriors, what: str) -> Row:
    return measured(
        f"CPU seconds a data set, choice of the length scale and compilation included, {what}",
        *found.seconds,
        theirs=1_200.0,
        opponent="B-PINN as published, another machine",
    )
