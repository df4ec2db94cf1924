"""Regression control variates: closed-form variances, unbiased by cross-fitting, intervals that cover."""

import numpy as np
import pytest

from tests.statistical import assert_within_error
from uqkit.stats import (
    cross_fitted_estimate,
    diagonal_coefficient,
    fold_slices,
    frozen_estimate,
    truncated_solve,
)

N_REPETITIONS = 400


def linear_toy(n_draws, rng, noise=0.5):
    """Two expectations, 1 and 2, of y = mean + c b + noise; the controls explain 1/(1 + noise^2) of the variance."""
    control = rng.standard_normal((n_draws, 2))
    own = noise * rng.standard_normal((n_draws, 2))
    return np.array([1.0, 2.0]) + control + own, control


def test_variance_falls_by_the_share_that_the_controls_explain():
    ratio, control = linear_toy(40_000, np.random.default_rng(0))
    with_controls = cross_fitted_estimate(ratio, control)
    without = cross_fitted_estimate(ratio, control[:, :0])
    # Var y = 1 + 0.25, of which 0.25 is left; a sample variance of n draws is right to sqrt(2 / n).
    tolerance = 5 * 2 * np.sqrt(2 / 40_000)
    np.testing.assert_allclose((with_controls.standard_error / without.standard_error) ** 2, 0.2, rtol=tolerance)
    assert_within_error(with_controls.mean, with_controls.standard_error, np.array([1.0, 2.0]), max_error=0.003)
    assert_within_error(without.mean, without.standard_error, np.array([1.0, 2.0]), max_error=0.006)


def test_controls_that_follow_exactly_leave_no_error():
    _, control = linear_toy(200, np.random.default_rng(0))
    estimate = cross_fitted_estimate(3.0 + control @ np.array([[2.0], [-1.0]]), control)
    np.testing.assert_allclose(estimate.mean, 3.0, rtol=1e-12)
    assert estimate.standard_error[0] < 1e-12


def test_covariance_is_that_of_the_residuals_means():
    ratio, control = linear_toy(300, np.random.default_rng(0))
    estimate = cross_fitted_estimate(ratio, control)
    np.testing.assert_allclose(estimate.mean, estimate.residual.mean(axis=0))
    np.testing.assert_allclose(estimate.covariance, np.cov(estimate.residual.T) / 300)
    np.testing.assert_allclose(estimate.standard_error**2, np.diag(estimate.covariance))


def skewed_toy(rng, n_draws=60, n_controls=8):
    """A lognormal with controls that have nothing to say, then one that is correlated with it: mean 1."""
    normal = rng.standard_normal((n_draws, n_controls))
    ratio = np.exp(0.5 * normal[:, :1] + 0.3 * rng.standard_normal((n_draws, 1)) - 0.5 * 0.34)
    return ratio, normal


@pytest.fixture(scope="module")
def repetitions():
    """Cross-fitted estimates, and in-sample least squares of the same draws, the twin that knows its own noise."""
    rows = []
    for seed in range(N_REPETITIONS):
        ratio, control = skewed_toy(np.random.default_rng(seed))
        design = np.column_stack([np.ones(len(control)), control])
        coefficient, residual, *_ = np.linalg.lstsq(design, ratio[:, 0])
        fitted = cross_fitted_estimate(ratio, control)
        in_sample = np.sqrt(residual[0] / len(ratio) ** 2)
        rows.append((fitted.mean[0], fitted.standard_error[0], coefficient[0], in_sample))
    return np.array(rows).T


def coverage(mean, standard_error):
    return np.mean(np.abs(mean - 1.0) <= 1.96 * standard_error)


def test_cross_fitting_is_unbiased(repetitions):
    mean, _, _, _ = repetitions
    assert_within_error(mean.mean(), mean.std() / np.sqrt(N_REPETITIONS), 1.0, max_error=0.005)


def test_intervals_of_small_samples_cover(repetitions):
    mean, standard_error, in_sample_mean, in_sample_error = repetitions
    shortfall = 5 * np.sqrt(0.95 * 0.05 / N_REPETITIONS)
    assert abs(coverage(mean, standard_error) - 0.95) <= shortfall
    # The spread of in-sample residuals hides the price of the coefficients.
    assert coverage(in_sample_mean, in_sample_error) < coverage(mean, standard_error) - 0.02


def test_frozen_coefficients():
    ratio, control = linear_toy(1_000, np.random.default_rng(0))
    estimate = frozen_estimate(ratio, control, np.eye(2))
    np.testing.assert_allclose(estimate.residual, ratio - control)
    assert_within_error(estimate.mean, estimate.standard_error, np.array([1.0, 2.0]), max_error=0.02)


def test_diagonal_coefficient_is_covariance_over_variance():
    rng = np.random.default_rng(0)
    control = rng.standard_normal((50, 3))
    control[:, 2] = 4.0
    ratio = control * np.array([2.0, -3.0, 1.0]) + rng.standard_normal((50, 3)) + 5
    coefficient = diagonal_coefficient(ratio, control)
    expected = [np.cov(control[:, j], ratio[:, j])[0, 1] / control[:, j].var(ddof=1) for j in range(2)]
    np.testing.assert_allclose(coefficient, [*expected, 0.0])


def test_folds_are_a_partition():
    folds = fold_slices(103, 10)
    assert np.concatenate([np.arange(103)[fold] for fold in folds]).tolist() == list(range(103))
    assert {fold.stop - fold.start for fold in folds} == {10, 11}


def test_solve_leaves_out_directions_without_variance():
    vectors = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    gram = vectors @ np.diag([1.0, 0.5, 0.1, 1e-9]) @ vectors.T
    right_side = np.ones((4, 1))
    expected = np.linalg.pinv(gram, rcond=1e-6, hermitian=True) @ right_side
    np.testing.assert_allclose(truncated_solve(gram, right_side), expected, rtol=1e-7)
    full = truncated_solve(gram, right_side, relative_cutoff=1e-12)
    np.testing.assert_allclose(gram @ full, right_side, rtol=1e-5)


def test_controls_that_are_copies_of_each_other_do_no_harm():
    ratio, control = linear_toy(500, np.random.default_rng(0))
    once = cross_fitted_estimate(ratio, control)
    twice = cross_fitted_estimate(ratio, np.column_stack([control, control, np.zeros(500)]))
    np.testing.assert_allclose(twice.mean, once.mean, rtol=1e-10)
    np.testing.assert_allclose(twice.standard_error, once.standard_error, rtol=1e-8)
