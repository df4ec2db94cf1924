"""Elliptical mixtures against SciPy's densities, and against the moments and derivatives they must have."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from tests.statistical import assert_within_error
from uqkit.stats import MixtureStack, concatenate, gaussian_stack, n_scores, scores

# SciPy's stubs take the shape for a number.
multivariate_normal: Any = stats.multivariate_normal
multivariate_t: Any = stats.multivariate_t
# A single part, then a mixture of two.
STACK = MixtureStack(
    mean=np.array([[0.0, 1.0], [1.0, -1.0], [2.0, 0.0]]),
    cholesky=np.array([[[1.0, 0.0], [0.5, 2.0]], [[0.7, 0.0], [0.0, 1.0]], [[1.0, 0.0], [-0.6, 0.8]]]),
    share=np.array([1.0, 0.3, 0.7]),
    owner=np.array([0, 1, 1]),
)
SHAPES = STACK.cholesky @ STACK.cholesky.transpose(0, 2, 1)
DEGREES = [np.inf, 7.0]
every_tail = pytest.mark.parametrize("degrees", DEGREES, ids=["gaussian", "student"])


def of_scipy(part, degrees):
    if np.isinf(degrees):
        return multivariate_normal(STACK.mean[part], SHAPES[part])
    return multivariate_t(STACK.mean[part], SHAPES[part], df=degrees)


@every_tail
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_densities_are_scipy_s(degrees, scale):
    x = scale * np.random.default_rng(0).standard_normal((20, 2))
    parts = np.column_stack([of_scipy(p, degrees).logpdf(x) for p in range(3)])
    mixture = np.logaddexp(np.log(0.3) + parts[:, 1], np.log(0.7) + parts[:, 2])
    stack = replace(STACK, degrees_of_freedom=degrees)
    np.testing.assert_allclose(stack.log_density(x), np.column_stack([parts[:, 0], mixture]), rtol=1e-10)
    np.testing.assert_allclose(stack.parts.log_density(x), parts, rtol=1e-10)
    assert (stack.n_components, stack.parts.n_components, stack.dim) == (2, 3, 2)


@every_tail
def test_draws_have_the_moments_of_their_component(degrees):
    stack = replace(STACK, degrees_of_freedom=degrees)
    component = np.repeat([0, 1], 40_000)
    draws = stack.sample(component, np.random.default_rng(0))
    inflation = 1.0 if np.isinf(degrees) else degrees / (degrees - 2)
    for k, shares in enumerate(([1.0, 0.0, 0.0], [0.0, 0.3, 0.7])):
        own = draws[component == k]
        mean = shares @ STACK.mean
        second = np.einsum("p,pij->ij", shares, inflation * SHAPES + STACK.mean[:, :, None] * STACK.mean[:, None, :])
        products = own[:, :, None] * own[:, None, :]
        root = np.sqrt(len(own))
        assert_within_error(own.mean(axis=0), own.std(axis=0) / root, mean, max_error=0.015)
        assert_within_error(products.mean(axis=0), products.std(axis=0) / root, second, max_error=0.08)


def test_draws_of_another_component_fail_that_check():
    draws = STACK.sample(np.zeros(40_000, dtype=int), np.random.default_rng(0))
    with pytest.raises(AssertionError):
        assert_within_error(draws.mean(axis=0), draws.std(axis=0) / 200, np.array([1.7, -0.3]), max_error=0.015)


@pytest.mark.parametrize("degrees", [np.inf, 4.0])
@pytest.mark.parametrize("order", [1, 2])
def test_scores_integrate_to_zero_in_one_dimension(degrees, order):
    stack = replace(gaussian_stack(np.array([[0.7]]), np.array([[[1.69]]])), degrees_of_freedom=degrees)

    def integrand(x):
        point = np.array([[x]])
        return np.exp(stack.log_density(point)[0, 0]) * scores(stack, point, order)[0, 0]

    integral, _ = integrate.quad_vec(integrand, -np.inf, np.inf, epsabs=1e-10)
    np.testing.assert_allclose(integral, np.zeros(n_scores(1, order)), atol=1e-8)


@every_tail
def test_scores_have_mean_zero_under_their_own_part_alone(degrees):
    stack = replace(STACK, degrees_of_freedom=degrees)
    draws = stack.parts.sample(np.full(40_000, 2), np.random.default_rng(0))
    score = scores(stack, draws, 2)
    assert score.shape == (40_000, 3, n_scores(2, 2))
    own, other = score[:, 2], score[:, 1]
    assert_within_error(own.mean(axis=0), own.std(axis=0) / 200, np.zeros(5), max_error=0.01)
    with pytest.raises(AssertionError):
        assert_within_error(other.mean(axis=0), other.std(axis=0) / 200, np.zeros(5), max_error=0.1)


@every_tail
def test_scores_are_derivatives_of_the_log_density(degrees):
    stack = replace(STACK, degrees_of_freedom=degrees).parts
    x, step = np.random.default_rng(0).standard_normal((6, 2)), 1e-6
    for i in range(2):
        # Moving the mean along the factor's column i is the derivative in the standardised location.
        moved = replace(stack, mean=stack.mean + step * stack.cholesky[:, :, i])
        slope = (moved.log_density(x) - stack.log_density(x)) / step
        np.testing.assert_allclose(scores(stack, x, 1)[:, :, i], slope, atol=2e-5)
    for column, (i, j) in enumerate([(0, 0), (0, 1), (1, 1)], start=2):
        direction = np.zeros((2, 2))
        direction[j, i] = 1.0
        moved = replace(stack, cholesky=stack.cholesky @ (np.eye(2) + step * direction))
        slope = (moved.log_density(x) - stack.log_density(x)) / step
        np.testing.assert_allclose(scores(stack, x, 2)[:, :, column], slope, atol=2e-5)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_numbers_of_scores(dim):
    assert [n_scores(dim, order) for order in (0, 1, 2)] == [0, dim, dim + dim * (dim + 1) // 2]


def test_concatenated_stacks_keep_every_component():
    other = gaussian_stack(np.array([[3.0, 3.0], [-3.0, 0.0]]), np.tile(np.eye(2), (2, 1, 1)))
    both = concatenate([STACK, other, STACK])
    x = np.random.default_rng(0).standard_normal((5, 2))
    expected = np.column_stack([STACK.log_density(x), other.log_density(x), STACK.log_density(x)])
    np.testing.assert_allclose(both.log_density(x), expected, rtol=1e-12)
    assert both.owner.tolist() == [0, 1, 1, 2, 3, 4, 5, 5]
