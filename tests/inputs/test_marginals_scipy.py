"""SciPy distributions of both families as inputs, against formulas."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from uqkit.inputs import as_marginal

UNIT = np.linspace(0.01, 0.99, 99)


def assert_same_law(marginal, quantile, density):
    values = marginal.quantile(UNIT)
    np.testing.assert_allclose(values, quantile(UNIT), rtol=1e-9)
    np.testing.assert_allclose(marginal.cdf(values), UNIT, rtol=1e-9)
    np.testing.assert_allclose(marginal.log_density(values), np.log(density(values)), rtol=1e-9)


def test_frozen_distribution():
    marginal = as_marginal("x", stats.expon(loc=2.0, scale=3.0))
    assert_same_law(marginal, lambda u: 2 - 3 * np.log1p(-u), lambda x: np.exp(-(x - 2) / 3) / 3)
    assert marginal.support == (2.0, np.inf)
    assert marginal.log_density(np.array([1.9]))[0] == -np.inf


def test_histogram_once_frozen():
    histogram = stats.rv_histogram((np.array([1, 3]), np.array([0.0, 1.0, 2.0])))
    marginal = as_marginal("x", histogram())
    np.testing.assert_allclose(marginal.quantile(np.array([0.125, 0.625])), [0.5, 1.5])


def test_newer_family():
    marginal = as_marginal("x", stats.Normal(mu=0.5, sigma=2.0))
    known: Any = stats.norm(0.5, 2.0)
    assert_same_law(marginal, known.ppf, lambda x: np.exp(known.logpdf(x)))
    assert marginal.support == (-np.inf, np.inf)


def test_truncate_of_the_newer_family():
    marginal = as_marginal("x", stats.truncate(stats.Normal(mu=0.5, sigma=2.0), -1.0, 3.0))
    known: Any = stats.truncnorm(-0.75, 1.25, loc=0.5, scale=2.0)
    assert_same_law(marginal, known.ppf, lambda x: np.exp(known.logpdf(x)))
    assert marginal.support == (-1.0, 3.0)


def test_make_distribution_shifted_scaled_and_truncated():
    # The flood's discharge: Gumbel(1013, 558) within [500, 3000].
    gumbel = 1013.0 + 558.0 * stats.make_distribution(stats.gumbel_r)()
    marginal = as_marginal("Q", stats.truncate(gumbel, 500.0, 3000.0))

    def cdf(x):
        return np.exp(-np.exp(-(x - 1013.0) / 558.0))

    low, mass = cdf(500.0), cdf(3000.0) - cdf(500.0)

    def density(x):
        return cdf(x) * np.exp(-(x - 1013.0) / 558.0) / 558.0 / mass

    assert_same_law(marginal, lambda u: 1013.0 - 558.0 * np.log(-np.log(low + u * mass)), density)


@pytest.mark.parametrize("distribution", [stats.norm(0, 1), stats.Normal()])
def test_arrays_of_any_shape(distribution):
    marginal = as_marginal("x", distribution)
    assert marginal.quantile(np.full((2, 3), 0.5)).shape == (2, 3)
