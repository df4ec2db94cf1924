"""Gaussian mixtures: against SciPy, automatic differentiation, quadrature, and the moments of their draws."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from tests.callers import without_type_hook
from tests.statistical import assert_within_error
from uqkit import InputError
from uqkit.stats import GaussianMixture

# SciPy's stubs take the shape for a number, all frozen laws for discrete ones, and sums for pairs.
multivariate_normal: Any = stats.multivariate_normal
logsumexp: Any = special.logsumexp

WEIGHT = np.array([0.5, 0.3, 0.2])
MEAN = np.array([[-2.0, 0.5], [1.0, 1.5], [0.5, -2.0]])
COVARIANCE = np.array([[[0.8, 0.3], [0.3, 0.4]], [[0.3, -0.1], [-0.1, 0.6]], [[1.2, 0.2], [0.2, 0.25]]])
POINTS = np.random.default_rng(0).normal(scale=2.0, size=(20, 2))
GRID = np.linspace(-11.0, 11.0, 441)
CELL = (GRID[1] - GRID[0]) ** 2
PLANE = np.stack(np.meshgrid(GRID, GRID, indexing="ij"), axis=-1).reshape(-1, 2)


def mixture(weight: Any = WEIGHT, mean: Any = MEAN, covariance: Any = COVARIANCE):
    return GaussianMixture.of(np.asarray(weight), np.asarray(mean), np.asarray(covariance))


def other():
    return mixture([0.6, 0.4], [[0.0, 0.0], [-1.0, 2.0]], [[[1.0, 0.5], [0.5, 2.0]], [[0.7, 0.0], [0.0, 0.9]]])


def in_double(function, points=POINTS):
    """A function of one point at many, in double precision."""
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, jax.jit(jax.vmap(lambda x: function(x)))(jnp.asarray(points)))


def by_scipy(points, weight=WEIGHT, mean=MEAN, covariance=COVARIANCE):
    parts = [
        np.log(w) + multivariate_normal(m, c).logpdf(points) for w, m, c in zip(weight, mean, covariance, strict=True)
    ]
    return np.stack(parts, axis=-1)


def test_log_density_and_responsibilities():
    parts = by_scipy(POINTS)
    np.testing.assert_allclose(in_double(mixture().log_density), logsumexp(parts, axis=1), rtol=1e-12)
    shares = np.exp(parts - logsumexp(parts, axis=1, keepdims=True))
    np.testing.assert_allclose(in_double(mixture().responsibilities), shares, rtol=1e-10)


def test_weights_are_made_to_sum_to_one():
    np.testing.assert_allclose(mixture(10 * WEIGHT).weight, WEIGHT, rtol=1e-14)
    np.testing.assert_allclose(mixture().covariance, COVARIANCE, rtol=1e-13, atol=1e-15)
    assert (mixture().n_components, mixture().dim) == (3, 2)


@pytest.mark.parametrize("dim", [1, 2, 7])
def test_score_and_divergence_by_automatic_differentiation(dim):
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, dim, dim))
    covariance = root @ root.transpose(0, 2, 1) + 0.1 * np.eye(dim)
    some = mixture(rng.uniform(0.5, 1.5, 4), rng.normal(size=(4, dim)), covariance)
    points = rng.normal(size=(10, dim))
    score = in_double(jax.grad(some.log_density), points)
    laplacian = in_double(lambda x: jnp.trace(jax.hessian(some.log_density)(x)), points)
    both = in_double(some.score_and_divergence, points)
    np.testing.assert_allclose(in_double(some.score, points), score, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(both[0], score, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(both[1], laplacian, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("exponent", [1, 2, 3])
def test_a_power_is_the_power_at_every_point_and_its_integral_that_of_a_grid(exponent):
    log_integral, raised = mixture().power(exponent)
    expected = exponent * logsumexp(by_scipy(POINTS), axis=1) - log_integral
    np.testing.assert_allclose(in_double(raised.log_density), expected, rtol=1e-10, atol=1e-10)
    on_grid = exponent * logsumexp(by_scipy(PLANE), axis=1)
    assert log_integral == pytest.approx(logsumexp(on_grid) + np.log(CELL), abs=1e-10)
    assert raised.weight.sum() == pytest.approx(1.0, abs=1e-13)


def test_a_product_is_the_product_at_every_point_and_its_integral_that_of_a_grid():
    third = mixture([1.0], [[0.3, 0.3]], [[[2.0, -0.4], [-0.4, 1.5]]])
    log_integral, found = mixture().product(other(), third)
    factors = [mixture().log_density, other().log_density, third.log_density]
    expected = np.sum([in_double(factor) for factor in factors], axis=0) - log_integral
    np.testing.assert_allclose(in_double(found.log_density), expected, rtol=1e-10, atol=1e-10)
    on_grid = np.sum([in_double(factor, PLANE) for factor in factors], axis=0)
    assert log_integral == pytest.approx(logsumexp(on_grid) + np.log(CELL), abs=1e-10)
    alone, same = mixture().product()
    assert alone == 0.0
    assert same.n_components == 3


def test_a_power_is_a_product_with_itself():
    assert mixture().power(3)[0] == pytest.approx(mixture().product(mixture(), mixture())[0], abs=1e-12)
    # Ten unordered triples of three components, against 27 ordered ones.
    assert mixture().power(3)[1].n_components == 10


def test_components_of_a_negligible_share_are_left_out():
    apart = mixture(WEIGHT, 10 * MEAN)
    assert apart.power(2)[1].n_components == 3
    assert apart.power(2, least=1e-300)[1].n_components > 3
    assert apart.power(2)[0] == pytest.approx(apart.power(2, least=1e-300)[0], abs=1e-12)
    assert apart.product(apart)[1].n_components == 3


def test_diffused_is_the_law_of_the_scaled_point_with_noise():
    with jax.enable_x64(True):
        moved = mixture().diffused(0.6, 0.35)
    expected = by_scipy(POINTS, WEIGHT, 0.6 * MEAN, 0.36 * COVARIANCE + 0.35 * np.eye(2))
    np.testing.assert_allclose(in_double(moved.log_density), logsumexp(expected, axis=1), rtol=1e-12)


def test_moments_by_quadrature():
    mean, covariance = mixture().moments()
    density = np.exp(logsumexp(by_scipy(PLANE), axis=1)) * CELL
    np.testing.assert_allclose(mean, density @ PLANE, atol=1e-10)
    np.testing.assert_allclose(covariance, ((PLANE - mean).T * density) @ (PLANE - mean), atol=1e-10)


def assert_draws_fit(draws, log_density):
    """First and second moments, and the mean log density, which tells mixtures of equal moments apart."""
    features = np.column_stack([draws, draws**2, draws.prod(axis=1), logsumexp(by_scipy(draws), axis=1)])
    on_grid = np.column_stack([PLANE, PLANE**2, PLANE.prod(axis=1), log_density])
    truth = (np.exp(log_density) * CELL) @ on_grid
    error = features.std(axis=0) / np.sqrt(len(draws))
    assert_within_error(features.mean(axis=0), error, truth, max_error=0.04)


def test_draws_have_the_moments_of_the_density():
    with jax.enable_x64(True):
        draws = np.asarray(mixture().draw(20_000, key=jax.random.key(0)))
        wrong = np.asarray(mixture(covariance=1.1 * COVARIANCE).draw(20_000, key=jax.random.key(0)))
    assert draws.shape == (20_000, 2)
    assert draws.dtype == np.float64
    log_density = logsumexp(by_scipy(PLANE), axis=1)
    assert_draws_fit(draws, log_density)
    with pytest.raises(AssertionError):
        assert_draws_fit(wrong, log_density)


def test_where_jax_is_in_single_precision_so_are_the_methods():
    """Without the warnings of JAX, which are errors here; mixtures keep their double precision."""
    some = mixture()
    with jax.enable_x64(False):
        for name in ("log_density", "score", "score_and_divergence", "responsibilities"):
            single = jax.jit(jax.vmap(lambda x, name=name: getattr(some, name)(x)))(jnp.asarray(POINTS))
            double = in_double(getattr(some, name))
            for one, other in zip(jax.tree.leaves(single), jax.tree.leaves(double), strict=True):
                assert one.dtype == np.float32
                np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)
        assert some.draw(3, key=jax.random.key(0)).dtype == np.float32
        assert some.diffused(0.6, 0.35).log_density(jnp.asarray(POINTS[0])).dtype == np.float32
        squared = some.diffused(0.6, 0.35).power(2)[0]
    assert squared == mixture().diffused(0.6, 0.35).power(2)[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": [0.5, 0.5]}, r"weight has the shape \(2,\).*pass \(component,\)"),
        ({"mean": MEAN[:, 0]}, r"mean \(3,\).*pass"),
        ({"covariance": COVARIANCE[:, 0]}, r"covariance \(3, 2\).*pass"),
        ({"weight": [0.5, 0.5, 0.0]}, "pass positive ones"),
        ({"weight": [0.5, 0.5, np.nan]}, "pass positive ones"),
        ({"mean": MEAN * np.inf}, "mean or covariance is not finite"),
        ({"covariance": -COVARIANCE}, "smallest eigenvalue -.*positive definite"),
        ({"covariance": COVARIANCE + np.triu(np.ones((2, 2)), 1)}, "symmetric"),
    ],
)
def test_what_cannot_be_a_mixture_is_refused(arguments, message):
    with without_type_hook(), pytest.raises(InputError, match=message):
        mixture(**arguments)


@pytest.mark.parametrize("exponent", [0, -1, 1.5])
def test_only_whole_powers_are_mixtures(exponent):
    with without_type_hook(), pytest.raises(InputError, match=f"exponent={exponent}: only whole positive powers"):
        mixture().power(exponent)
