"""Expectations estimated over many keys, held against known values."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float

from tests.benchmarks.comparison import Row, measured, with_interval
from tests.benchmarks.integrands import Integrals
from uqkit.inputs import Inputs
from uqkit.problems import ForwardModel
from uqkit.results import schema
from uqkit.sensitivity import expectations
from uqkit.sensitivity.importance import ImportanceMethod

__all__ = ["Runs", "as_published", "bias", "error_row", "gain", "summed"]


@dataclass(frozen=True)
class Runs:
    """What one method made of one case, once a key.

    Attributes:
        value: Estimates.
        standard_error: Theirs.
        flagged: Where the verdict is not ok.
    """

    value: Float[np.ndarray, "key expectation"]
    standard_error: Float[np.ndarray, "key expectation"]
    flagged: Bool[np.ndarray, " key"]

    @classmethod
    def of(
        cls,
        model: Callable[[int], ForwardModel],
        method: ImportanceMethod,
        budget: int,
        n_keys: int,
        laws: dict[str, Inputs] | None = None,
    ) -> Self:
        """One run a key, which the model may depend on."""
        columns = ([], [], [])
        for key in range(n_keys):
            result = expectations(model(key), laws=laws, method=method, budget=budget, key=key)
            estimates = result[schema.ESTIMATES].to_dataset()
            columns[0].append(estimates[schema.EXPECTATION].values.ravel())
            columns[1].append(estimates[schema.standard_error(schema.EXPECTATION)].values.ravel())
            columns[2].append(result[schema.DIAGNOSTICS][schema.VERDICT].item() != "ok")
        return cls(*map(np.array, columns))


def summed(error: Float[np.ndarray, "key cell"], scale: Float[np.ndarray, " cell"] | float = 1.0) -> np.ndarray:
    """Sum of squared errors a key, each over the square of its scale."""
    return np.sum((error / scale) ** 2, axis=1)


def error_row(what: str, squared: Float[np.ndarray, " key"], **others: Any) -> Row:
    """Row of a mean squared error, required to be small."""
    ours, interval = with_interval(lambda mean: mean, squared)
    return Row(what=f"{what}; {len(squared)} keys", ours=ours, interval=interval, **others)


def as_published(what: str, squared: Float[np.ndarray, " key"], figure: float) -> Row:
    """Row of a mean squared error, required to be the paper's within a factor 1.6."""
    _, interval = with_interval(lambda mean: mean / figure, squared)
    return Row(
        what=f"{what}, published(); {len(squared)} keys",
        ours=float(squared.mean()),
        theirs=figure,
        opponent="the paper",
        judged="ratio",
        interval=interval,
        at_least=1 / 1.6,
        at_most=1.6,
    )


def gain(
    what: str, integrals: Integrals, ours: Runs, budget: int, *, theirs: Runs | None = None, at_least: float
) -> Row:
    """Row of plain Monte Carlo's exact variance over the mean squared error, both relative, at equal calls."""
    monte_carlo = float(np.sum(integrals.variance / integrals.known**2)) / budget
    value, interval = with_interval(
        lambda mean: monte_carlo / mean, summed(ours.value - integrals.known, integrals.known)
    )
    published = None if theirs is None else summed(theirs.value - integrals.known, integrals.known).mean()
    return Row(
        what=f"variance of plain Monte Carlo / ours, {what}, {budget:,} calls; {len(ours.value)} keys",
        ours=value,
        theirs=None if published is None else monte_carlo / published,
        opponent="" if theirs is None else f"published(), {len(theirs.value)} keys",
        interval=interval,
        at_least=at_least,
    )


def bias(what: str, runs: Runs, integrals: Integrals) -> Iterator[Row]:
    """Rows of the largest bias in its standard errors over keys, and of that standard error."""
    error = runs.value - integrals.known
    standard_error = error.std(axis=0, ddof=1) / np.sqrt(len(error))
    what = f"{what}; {len(error)} keys"
    yield measured(
        f"largest bias / its standard error, {what}",
        float(np.abs(error.mean(axis=0) / standard_error).max()),
        at_most=5.0,
    )
    yield measured(
        f"largest standard error of the bias / value, {what}",
        float(np.abs(standard_error / integrals.known).max()),
        at_most=0.01,
    )
