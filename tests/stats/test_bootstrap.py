import numpy as np
import pytest

from tests.statistical import assert_within_error
from uqkit.stats import bootstrap_means


@pytest.fixture(scope="module")
def columns():
    generator = np.random.default_rng(0)
    independent = generator.standard_normal(400)
    return np.column_stack([independent, generator.exponential(size=400), 2 * independent])


def test_moments_are_those_of_dirichlet_weights(columns):
    # Under flat Dirichlet weights the mean's expectation is the sample mean, its covariance the sample's / (n + 1).
    n_resamples = 20_000
    means = bootstrap_means(columns, n_resamples, key=0)
    covariance = np.cov(columns.T, bias=True) / (len(columns) + 1)
    assert_within_error(
        means.mean(axis=0), np.sqrt(np.diag(covariance) / n_resamples), columns.mean(axis=0), max_error=1e-2
    )
    observed = np.cov(means.T)
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    # A sample covariance of normal-like draws has a relative error of about sqrt(2 / n).
    assert_within_error(observed / scale, np.full((3, 3), np.sqrt(2 / n_resamples)), covariance / scale, max_error=0.02)


def test_equal_weights_would_fail_the_moments(columns):
    means = np.repeat(columns.mean(axis=0)[None], 100, axis=0)
    assert np.cov(means.T)[0, 0] < 1e-6 * np.var(columns[:, 0]) / len(columns)


def test_same_key_same_means_other_key_other_means(columns):
    first, again, other = (bootstrap_means(columns, 50, key=key) for key in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.isclose(first, other).any()


def test_slices_of_resamples_do_not_change_the_numbers(columns, monkeypatch):
    whole = bootstrap_means(columns, 30, key=0)
    monkeypatch.setattr("uqkit.stats.bootstrap._WEIGHTS_AT_ONCE", 7 * len(columns))
    assert np.allclose(bootstrap_means(columns, 30, key=0), whole, rtol=1e-12)
