"""Scores of Gaussian mixtures against quadrature, simulation and hand-made formulae, with twins that must fail."""

import numpy as np
import pytest
from scipy import integrate, stats

from tests.statistical import assert_within_error
from uqkit.errors import InputError
from uqkit.stats import (
    gaussian_mixture_cdf,
    gaussian_mixture_crps,
    gaussian_mixture_log_score,
    gaussian_mixture_quantile,
)

FUNCTIONS = [gaussian_mixture_crps, gaussian_mixture_log_score, gaussian_mixture_cdf]


def mixtures(n_members=4, n_points=6):
    rng = np.random.default_rng(0)
    mean, sd = rng.normal(size=(n_members, n_points)), rng.gamma(2.0, 0.5, size=(n_members, n_points))
    return rng.normal(scale=2.0, size=n_points), mean, sd, rng.gamma(1.0, size=n_members)


def by_quadrature(value, mean, sd, share):
    """The definition of the CRPS."""

    def squared(t, reached):
        return (share @ stats.norm.cdf(t, mean, sd) - reached) ** 2

    below, above = (mean - 12 * sd).min(), (mean + 12 * sd).max()
    left = integrate.quad(squared, min(below, value), value, args=(0.0,), limit=400, epsabs=1e-12)[0]
    return left + integrate.quad(squared, value, max(above, value), args=(1.0,), limit=400, epsabs=1e-12)[0]


@pytest.mark.parametrize("weighted", [False, True])
def test_crps_is_its_integral(weighted):
    value, mean, sd, weight = mixtures()
    share = weight / weight.sum() if weighted else np.full(4, 0.25)
    expected = [by_quadrature(y, m, s, share) for y, m, s in zip(value, mean.T, sd.T, strict=True)]
    crps = gaussian_mixture_crps(value, mean, sd, weight if weighted else None)
    np.testing.assert_allclose(crps, expected, rtol=1e-8)


def test_crps_of_one_gaussian():
    value, mean, sd, _ = mixtures(n_members=1)
    z = (value - mean[0]) / sd[0]
    expected = sd[0] * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
    np.testing.assert_allclose(gaussian_mixture_crps(value, mean, sd), expected, rtol=1e-12)


@pytest.mark.parametrize("repeated", [False, True])
def test_crps_of_point_masses_is_that_of_the_ensemble(repeated):
    value, mean, _, weight = mixtures(n_members=7)
    if repeated:
        mean[3], value = mean[2], mean[2].copy()
    share = weight / weight.sum()
    between = np.einsum("m,n,mnp->p", share, share, np.abs(mean[:, None] - mean))
    expected = share @ np.abs(value - mean) - 0.5 * between
    np.testing.assert_allclose(gaussian_mixture_crps(value, mean, 0 * mean, weight), expected, rtol=1e-12)
    # A tiny sd is no other case.
    np.testing.assert_allclose(gaussian_mixture_crps(value, mean, 0 * mean + 1e-13, weight), expected, rtol=1e-10)


def test_crps_by_simulation_and_a_twin_without_spread():
    value, mean, sd, weight = mixtures(n_points=1)
    rng, n = np.random.default_rng(0), 200_000
    part = rng.choice(4, size=(2, n), p=weight / weight.sum())
    first, second = mean[part, 0] + sd[part, 0] * rng.standard_normal((2, n))
    sample = np.abs(first - value) - 0.5 * np.abs(first - second)
    estimate, error = sample.mean(), sample.std() / np.sqrt(n)
    assert_within_error(estimate, error, gaussian_mixture_crps(value, mean, sd, weight)[0], max_error=0.005)
    with pytest.raises(AssertionError, match="standard errors away"):
        assert_within_error(estimate, error, gaussian_mixture_crps(value, mean, 0 * sd, weight)[0], max_error=0.005)


@pytest.mark.parametrize("score", [gaussian_mixture_crps, gaussian_mixture_log_score])
def test_scores_are_proper(score):
    """Values drawn from a mixture: stating it scores best on average, against a shift and against either width."""
    _, mean, sd, weight = mixtures(n_points=1)
    rng, n = np.random.default_rng(0), 20_000
    part = rng.choice(4, size=n, p=weight / weight.sum())
    value = mean[part, 0] + sd[part, 0] * rng.standard_normal(n)
    every = np.ones(n)
    honest = score(value, mean * every, sd * every, weight)
    for shift, stretch in ((0.3, 1.0), (0.0, 0.6), (0.0, 1.6)):
        loss = score(value, mean * every + shift, sd * every * stretch, weight) - honest
        assert loss.mean() > 5 * loss.std() / np.sqrt(n)


def test_log_score_and_cdf_of_the_density():
    value, mean, sd, weight = mixtures()
    share = (weight / weight.sum())[:, None]
    density = (share * stats.norm.pdf(value, mean, sd)).sum(axis=0)
    np.testing.assert_allclose(gaussian_mixture_log_score(value, mean, sd, weight), -np.log(density), rtol=1e-12)
    reached = (share * stats.norm.cdf(value, mean, sd)).sum(axis=0)
    np.testing.assert_allclose(gaussian_mixture_cdf(value, mean, sd, weight), reached, rtol=1e-12)
    # Far out the density itself is zero.
    far = gaussian_mixture_log_score(np.array([1e3]), np.zeros((2, 1)), np.ones((2, 1)))
    np.testing.assert_allclose(far, 0.5e6 + 0.5 * np.log(2 * np.pi))


def test_quantiles_invert_the_distribution_function():
    _, mean, sd, weight = mixtures()
    for probability in (1e-6, 0.05, 0.5, 0.95):
        quantile = gaussian_mixture_quantile(probability, mean, sd, weight)
        np.testing.assert_allclose(gaussian_mixture_cdf(quantile, mean, sd, weight), probability, rtol=1e-9)
    one = gaussian_mixture_quantile(0.9, mean[:1], sd[:1])
    np.testing.assert_allclose(one, stats.norm.ppf(0.9, mean[0], sd[0]), rtol=1e-12)


def test_point_masses_step_at_their_means():
    mean = np.array([[1.0], [2.0], [4.0], [3.0]])
    for value, reached in ((0.9, 0.0), (1.0, 0.25), (2.5, 0.5), (4.0, 1.0)):
        assert gaussian_mixture_cdf(np.array([value]), mean, 0 * mean)[0] == reached
    assert np.isclose(gaussian_mixture_quantile(0.5, mean, 0 * mean)[0], 2.0)
    assert np.isclose(gaussian_mixture_quantile(0.51, mean, 0 * mean)[0], 3.0)


def test_units_do_not_matter():
    value, mean, sd, weight = mixtures()
    moved = 7.0 - 3.0 * value, 7.0 - 3.0 * mean, 3.0 * sd, 10 * weight
    plain = [function(value, mean, sd, weight) for function in FUNCTIONS]
    crps, log_score, cdf = (function(*moved) for function in FUNCTIONS)
    np.testing.assert_allclose(crps, 3.0 * plain[0], rtol=1e-10)
    np.testing.assert_allclose(log_score, plain[1] + np.log(3.0), rtol=1e-10)
    np.testing.assert_allclose(cdf, 1 - plain[2], rtol=1e-10)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_order_copies_and_idle_members_do_not_matter(function):
    value, mean, sd, weight = mixtures()
    plain = function(value, mean, sd, weight)
    np.testing.assert_allclose(function(value, mean[::-1], sd[::-1], weight[::-1]), plain)
    twice = (np.concatenate([each, each]) for each in (mean, sd, weight))
    np.testing.assert_allclose(function(value, *twice), plain)
    idle = np.concatenate([mean, mean[:1] + 50]), np.concatenate([sd, sd[:1]]), np.append(weight, 0.0)
    np.testing.assert_allclose(function(value, *idle), plain)
    in_two_axes = function(value.reshape(2, 3), mean.reshape(4, 2, 3), sd.reshape(4, 2, 3), weight)
    np.testing.assert_allclose(in_two_axes, plain.reshape(2, 3))


def test_what_does_not_fit_is_refused():
    value, mean, sd, weight = mixtures()
    with pytest.raises(InputError, match="`sd` is 0 at 24 of 24"):
        gaussian_mixture_log_score(value, mean, 0 * sd)
    with pytest.raises(InputError, match=r"`weight`.*one finite number a member"):
        gaussian_mixture_crps(value, mean, sd, -weight)
    with pytest.raises(InputError, match="`probability`"):
        gaussian_mixture_quantile(1.0, mean, sd)
    for function in FUNCTIONS:
        with pytest.raises(InputError, match="`sd` must not be negative"):
            function(value, mean, -sd)
