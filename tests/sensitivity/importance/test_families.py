"""Every family finds a known weighted target; shrinkage goes where it must when draws are few."""

from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from uqkit import InputError
from uqkit.sensitivity import DiagonalGaussian, FullGaussian, GaussianMixture, ShrunkGaussian, StudentT
from uqkit.sensitivity.importance.families import Moments

# SciPy's stubs take the shape for a number.
multivariate_normal: Any = stats.multivariate_normal
multivariate_t: Any = stats.multivariate_t
NOMINAL = Moments(mean=np.zeros(2), covariance=np.diag([4.0, 4.0]))
MEAN, COVARIANCE = np.array([1.0, -0.5]), np.array([[0.8, 0.5], [0.5, 1.2]])
every_family = pytest.mark.parametrize(
    "family",
    [FullGaussian(), DiagonalGaussian(), ShrunkGaussian(), GaussianMixture(), StudentT()],
    ids=lambda family: type(family).__name__,
)


def weighted(target, n_draws=20_000, dim=2, deviation=2.0, seed=0):
    """Draws of a wide Gaussian with the log weights that make them speak for the target."""
    proposal = multivariate_normal(np.zeros(dim), deviation**2 * np.eye(dim))
    x = np.random.default_rng(seed).normal(0.0, deviation, (n_draws, dim))
    return x, target(x) - proposal.logpdf(x)


GAUSSIAN = multivariate_normal(MEAN, COVARIANCE).logpdf


def moments(stack):
    share = stack.share[:, None]
    mean = (share * stack.mean).sum(axis=0)
    inflation = 1.0 if np.isinf(stack.degrees_of_freedom) else stack.degrees_of_freedom / (stack.degrees_of_freedom - 2)
    scales = inflation * stack.cholesky @ stack.cholesky.transpose(0, 2, 1)
    outer = stack.mean[:, :, None] * stack.mean[:, None, :]
    return mean, (share[..., None] * (scales + outer)).sum(axis=0) - np.outer(mean, mean)


@pytest.mark.parametrize("family", [FullGaussian(), ShrunkGaussian(), GaussianMixture()])
def test_a_gaussian_target_is_recovered(family):
    x, log_weight = weighted(GAUSSIAN)
    mean, covariance = moments(family.fit(x, log_weight, NOMINAL))
    # About 6,000 effective draws: five standard errors of a variance near one.
    np.testing.assert_allclose(mean, MEAN, atol=5 * np.sqrt(1.2 / 6_000))
    np.testing.assert_allclose(covariance, COVARIANCE, atol=5 * 1.2 * np.sqrt(2 / 6_000))


def test_a_diagonal_gaussian_has_the_variances_alone():
    x, log_weight = weighted(GAUSSIAN)
    mean, covariance = moments(DiagonalGaussian().fit(x, log_weight, NOMINAL))
    np.testing.assert_allclose(mean, MEAN, atol=0.07)
    np.testing.assert_allclose(covariance, np.diag(np.diag(COVARIANCE)), atol=0.11)
    assert covariance[0, 1] == 0.0


@every_family
def test_weights_count_up_to_a_factor_and_draws_without_weight_not_at_all(family):
    x, log_weight = weighted(GAUSSIAN, n_draws=500)
    stack = family.fit(x, log_weight, NOMINAL)
    scaled = family.fit(x, log_weight - 5_000.0, NOMINAL)
    with_strays = family.fit(np.vstack([x, np.full((3, 2), 50.0)]), np.append(log_weight, np.full(3, -np.inf)), NOMINAL)
    for other in (scaled, with_strays):
        np.testing.assert_allclose(other.mean, stack.mean, rtol=1e-8)
        np.testing.assert_allclose(other.cholesky, stack.cholesky, rtol=1e-7, atol=1e-10)
    assert stack.n_components == 1
    assert np.isclose(stack.share.sum(), 1.0)


def test_shrinkage_goes_to_the_law_where_draws_are_few():
    dim = 20
    nominal = Moments(mean=np.zeros(dim), covariance=np.eye(dim))
    distances = []
    for n_draws in (12, 60, 6_000):
        x, log_weight = weighted(multivariate_normal(np.zeros(dim), np.eye(dim)).logpdf, n_draws, dim, 1.0)
        _, covariance = moments(ShrunkGaussian().fit(x, log_weight, nominal))
        _, plain = moments(FullGaussian().fit(x, log_weight, nominal))
        assert np.linalg.eigvalsh(covariance).min() > 0.5
        distances.append((np.linalg.norm(covariance - np.eye(dim)), np.linalg.norm(plain - np.eye(dim))))
    (few, few_plain), (some, some_plain), (many, _) = distances
    assert few < 0.5 * few_plain
    assert some < 0.5 * some_plain
    assert many < 0.5


def test_a_single_draw_leaves_the_law_s_covariance():
    x = np.array([[3.0, 3.0], [0.0, 0.0]])
    mean, covariance = moments(ShrunkGaussian().fit(x, np.array([0.0, -np.inf]), NOMINAL))
    np.testing.assert_allclose(mean, [3.0, 3.0])
    np.testing.assert_allclose(covariance, NOMINAL.covariance, rtol=1e-5)


@pytest.mark.parametrize("degrees", [3.0, 8.0])
def test_student_t_targets_are_recovered(degrees):
    target = multivariate_t(MEAN, COVARIANCE, df=degrees)
    x = target.rvs(20_000, random_state=0)
    stack = StudentT(degrees_of_freedom=degrees).fit(x, np.zeros(len(x)), NOMINAL)
    np.testing.assert_allclose(stack.mean[0], MEAN, atol=0.06)
    np.testing.assert_allclose(stack.cholesky[0] @ stack.cholesky[0].T, COVARIANCE, atol=0.1)
    assert stack.degrees_of_freedom == degrees
    # The Gaussian of those draws is wider: with three degrees its variance is three times the scale.
    gaussian = FullGaussian().fit(x, np.zeros(len(x)), NOMINAL)
    assert (np.diagonal(gaussian.cholesky[0]) > 1.1 * np.diagonal(stack.cholesky[0])).all()


def test_a_mixture_finds_two_modes():
    modes, variance = np.array([[2.5, 0.5], [-2.0, -1.0]]), 0.3

    def target(x):
        parts = [multivariate_normal(mode, variance * np.eye(2)).logpdf(x) for mode in modes]
        return logsumexp(np.log([[0.7], [0.3]]) + np.array(parts), axis=0)

    x, log_weight = weighted(target)
    stack = GaussianMixture().fit(x, log_weight, NOMINAL)
    order = np.argsort(-stack.mean[:, 0])
    np.testing.assert_allclose(stack.mean[order], modes, atol=0.1)
    np.testing.assert_allclose(stack.share[order], [0.7, 0.3], atol=0.05)
    covariances = stack.cholesky @ stack.cholesky.transpose(0, 2, 1)
    np.testing.assert_allclose(covariances, np.tile(variance * np.eye(2), (2, 1, 1)), atol=0.06)
    one = FullGaussian().fit(x, log_weight, NOMINAL)
    assert np.diag(one.cholesky[0] @ one.cholesky[0].T)[0] > 10 * variance


def test_settings_that_make_no_sense():
    with pytest.raises(InputError, match=r"n_parts is 1; pass at least 2, or ShrunkGaussian\(\)"):
        GaussianMixture(n_parts=1)
    for degrees in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(InputError, match="pass a positive finite number"):
            StudentT(degrees_of_freedom=degrees)
