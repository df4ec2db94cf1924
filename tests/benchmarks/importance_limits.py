"""Claims of `expectations` where importance sampling breaks: many inputs, heavy tails, rare events, dependence."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tests.benchmarks.comparison import Row, measured, share_within
from tests.benchmarks.integrands import correlated_inputs, exponentials, half_spaces, student_magnitudes
from tests.benchmarks.repeated_expectations import Runs, bias, gain
from uqkit.sensitivity import AdaptiveImportanceSampling, Physical

__all__ = ["rows"]

_CALLS = 10_000
_GAINS = {2: 1_000.0, 5: 100.0, 10: 10.0, 20: 1.0, 40: 1.0}  # least gain for each number of inputs


@dataclass(frozen=True, kw_only=True)
class Repetitions:
    """Numbers of keys, which are 0, 1, 2, ..."""

    exponentials: int
    heavy_tails: int
    rare: int
    correlated: int


SHORT = Repetitions(exponentials=20, heavy_tails=40, rare=20, correlated=60)
LONG = Repetitions(exponentials=200, heavy_tails=400, rare=200, correlated=200)


def rows(long: bool) -> Iterator[Row]:
    """Every claim, as it is measured."""
    repetitions = LONG if long else SHORT
    for n_inputs, least in _GAINS.items():
        yield _exponentials(n_inputs, least, repetitions.exponentials)
    yield from _heavy_tails(repetitions.heavy_tails)
    yield from _rare_events(repetitions.rare)
    yield from _correlated(repetitions.correlated)


def _exponentials(n_inputs: int, least: float, n_keys: int) -> Row:
    ours, theirs = (
        Runs.of(lambda key: exponentials(n_inputs, key).model, method, _CALLS, n_keys)
        for method in (AdaptiveImportanceSampling(), AdaptiveImportanceSampling.published())
    )
    what = f"five exp(theta.x) of {n_inputs} normal inputs, |theta| = 1.5"
    return gain(what, exponentials(n_inputs, 0), ours, _CALLS, theirs=theirs, at_least=least)


def _heavy_tails(n_keys: int) -> Iterator[Row]:
    integrals = student_magnitudes()
    methods = {
        "in normal coordinates": AdaptiveImportanceSampling(),
        "in physical coordinates": AdaptiveImportanceSampling(coordinates=Physical()),
        "published()": AdaptiveImportanceSampling.published(),
    }
    runs = {name: Runs.of(lambda _: integrals.model, method, _CALLS, n_keys) for name, method in methods.items()}
    published = runs.pop("published()")
    for name, ours in runs.items():
        what = f"|x_j| of five t3 inputs, {name}"
        yield from bias(what, ours, integrals)
        yield gain(what, integrals, ours, _CALLS, theirs=published, at_least=0.9)
    for name, ours in runs.items():
        what = f"share of runs whose verdict is not ok, |x_j| of five t3 inputs, {name}; {n_keys} keys"
        yield share_within(what, ours.flagged[:, None], at_most=0.1)
    yield share_within(
        f"share of runs whose verdict is not ok, |x_j| of five t3 inputs, published(); {n_keys} keys",
        published.flagged[:, None],
        at_least=0.9,
    )


def _rare_events(n_keys: int) -> Iterator[Row]:
    for n_inputs in (10, 30):
        runs = Runs.of(lambda key, n=n_inputs: half_spaces(n, key).model, AdaptiveImportanceSampling(), _CALLS, n_keys)
        integrals = half_spaces(n_inputs, 0)
        what = f"four half-spaces at 3.5 standard deviations, {n_inputs} normal inputs"
        yield measured(
            f"estimates that are not finite, {what}, {_CALLS:,} calls; {n_keys} keys",
            float((~np.isfinite(runs.value)).sum()),
            at_most=0.0,
        )
        if n_inputs == 10:
            yield gain(what, integrals, runs, _CALLS, at_least=30.0)
        right = (np.abs(runs.value - integrals.known) <= 5 * runs.standard_error).all(axis=1)
        yield share_within(
            f"share of runs whose verdict is not ok or whose errors are all within 5 standard errors, {what}, "
            f"{_CALLS:,} calls; {n_keys} keys, {runs.flagged.sum()} not ok, {right.sum()} right",
            (runs.flagged | right)[:, None],
            at_least=1.0,
        )


def _correlated(n_keys: int) -> Iterator[Row]:
    integrals = correlated_inputs()
    runs = Runs.of(lambda _: integrals.model, AdaptiveImportanceSampling(), _CALLS, n_keys)
    what = f"closed forms of correlated inputs, 6 expectations, {_CALLS:,} calls; {n_keys} keys"
    yield measured(
        f"largest error / its own standard error, {what}",
        float(np.abs((runs.value - integrals.known) / runs.standard_error).max()),
        at_most=5.0,
    )
    covered = np.abs(runs.value - integrals.known) <= 1.96 * runs.standard_error
    yield share_within(
        f"coverage of 95% intervals, {what}; lowest of 6 cells {covered.mean(axis=0).min():.3f}",
        covered,
        at_least=0.91,
    )
    yield measured(
        f"largest standard error / value, {what}",
        float(np.abs(runs.standard_error / integrals.known).max()),
        at_most=0.01,
    )
