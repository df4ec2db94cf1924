"""The paper's own cases by `expectations`, and `sobol_indices` by importance sampling, at the paper's budgets.

"The paper" is Demange-Chryst, Bachoc & Morio (2023), Statistics and Computing 33: means over 200 repetitions.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tests.benchmarks.comparison import Row, with_interval
from tests.benchmarks.integrands import first_order, gaussian_moments, many_laws, pick_freeze_products
from tests.benchmarks.repeated_expectations import Runs, as_published, error_row, summed
from uqkit.problems import load
from uqkit.results import schema
from uqkit.sensitivity import (
    AdaptiveImportanceSampling,
    MixtureImportanceSampling,
    PickFreeze,
    PolynomialSurrogate,
    sobol_indices,
)
from uqkit.sensitivity.importance import ImportanceMethod

__all__ = ["rows"]

_N_LAWS = 100
_CALLS, _SOBOL_CALLS = 20_000, 8_192


@dataclass(frozen=True, kw_only=True)
class Repetitions:
    """Numbers of keys, which are 0, 1, 2, ..."""

    moments: int
    moments_hardened: int
    laws: int
    laws_surrogate: int
    products: int
    products_hardened: int
    indices: int


SHORT = Repetitions(
    moments=200, moments_hardened=50, laws=6, laws_surrogate=3, products=100, products_hardened=20, indices=30
)
LONG = Repetitions(
    moments=1_000, moments_hardened=200, laws=50, laws_surrogate=20, products=200, products_hardened=100, indices=200
)


def rows(long: bool) -> Iterator[Row]:
    """Every claim, as it is measured."""
    repetitions = LONG if long else SHORT
    yield from _moments(repetitions.moments, repetitions.moments_hardened)
    yield from _laws(repetitions.laws, repetitions.laws_surrogate)
    yield from _products(repetitions.products, repetitions.products_hardened)
    yield _indices(repetitions.indices)


def _moments(n_keys: int, n_hardened_keys: int) -> Iterator[Row]:
    integrals = gaussian_moments()
    what = f"squared relative errors summed over x^2..x^20 of a normal input, {_CALLS:,} calls"
    published = AdaptiveImportanceSampling.published(expectation_weights=tuple(1 / integrals.known**2))

    def squared(method: ImportanceMethod, n_keys: int) -> Float[np.ndarray, " key"]:
        runs = Runs.of(lambda _: integrals.model, method, _CALLS, n_keys)
        return summed(runs.value - integrals.known, integrals.known)

    yield as_published(what, squared(published, n_keys), 1.63e-3)
    yield error_row(
        f"{what}, AdaptiveImportanceSampling()",
        squared(AdaptiveImportanceSampling(), n_hardened_keys),
        theirs=float(np.sum(integrals.variance / integrals.known**2)) / _CALLS,
        opponent="plain Monte Carlo, exact",
        at_most=8e-4,
    )


def _laws(n_keys: int, n_surrogate_keys: int) -> Iterator[Row]:
    integrals = many_laws(_N_LAWS)

    def squared(method: ImportanceMethod, n_keys: int) -> Float[np.ndarray, " key"]:
        runs = Runs.of(lambda _: integrals.model, method, _CALLS, n_keys, integrals.laws)
        return summed(runs.value - integrals.known)

    what = (
        f"squared errors summed over {_N_LAWS} laws of the cantilever, {_CALLS:,} calls "
        f"(references to {integrals.relative_error:.1g})"
    )
    yield as_published(what, squared(AdaptiveImportanceSampling.published(), n_keys), 4.38e-6)
    monte_carlo = float(integrals.variance.sum()) * _N_LAWS / _CALLS
    for surrogate, repetitions, bar in ((None, n_keys, 2.5e-6), (PolynomialSurrogate(), n_surrogate_keys, 4e-8)):
        yield error_row(
            f"{what}, MixtureImportanceSampling({'' if surrogate is None else 'surrogate=PolynomialSurrogate()'})",
            squared(MixtureImportanceSampling(surrogate=surrogate), repetitions),
            theirs=monte_carlo,
            opponent=f"plain Monte Carlo, {_CALLS // _N_LAWS} calls a law, from the references' variances",
            at_most=bar,
        )


def _products(n_keys: int, n_hardened_keys: int) -> Iterator[Row]:
    model, known = pick_freeze_products(), np.asarray(load("cantilever").references[schema.SOBOL_FIRST].values)

    def squared(method: ImportanceMethod, n_keys: int) -> Float[np.ndarray, " key"]:
        return summed(first_order(Runs.of(lambda _: model, method, _CALLS, n_keys).value) - known)

    published = squared(AdaptiveImportanceSampling.published(), n_keys)
    hardened = squared(AdaptiveImportanceSampling(), n_hardened_keys)
    what = (
        "squared errors summed over six first-order indices of the cantilever from eight expectations in 12 inputs, "
        f"{_CALLS:,} draws of 7 calls"
    )
    yield as_published(what, published, 1.73e-4)
    _, interval = with_interval(np.divide, hardened, published[: len(hardened)])
    yield Row(
        what=f"{what}, AdaptiveImportanceSampling(); {n_hardened_keys} keys",
        ours=float(hardened.mean()),
        theirs=float(published[: len(hardened)].mean()),
        opponent="published(), same keys",
        judged="ratio",
        interval=interval,
        at_most=1.0,
    )


def _indices(n_keys: int) -> Row:
    beam = load("cantilever")
    known = np.asarray(beam.references[schema.SOBOL_FIRST].values)

    def squared(method: AdaptiveImportanceSampling | PickFreeze) -> Float[np.ndarray, " key"]:
        results = (sobol_indices(beam, method=method, budget=_SOBOL_CALLS, key=key) for key in range(n_keys))
        indices = [result[schema.ESTIMATES].to_dataset()[schema.SOBOL_FIRST].values[0] for result in results]
        return summed(np.array(indices) - known)

    return error_row(
        f"squared errors summed over six first-order indices of the cantilever, {_SOBOL_CALLS:,} calls, "
        "sobol_indices(method=AdaptiveImportanceSampling())",
        squared(AdaptiveImportanceSampling()),
        theirs=float(squared(PickFreeze()).mean()),
        opponent="PickFreeze(), equal calls and keys",
        at_most=1e-6,
    )
