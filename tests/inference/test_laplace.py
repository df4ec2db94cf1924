"""Laplace approximations: of linear models against SciPy's multivariate normal, of a nonlinear one by quadrature."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from tests.inference.residuals import Nonlinear, blocks_of, linear
from tests.statistical import assert_within_error
from uqkit.inference import GaussNewton, Laplace, Scales

# SciPy's stubs take the shape for a number, and all frozen laws for discrete ones.
multivariate_normal: Any = stats.multivariate_normal
normal: Any = stats.norm
SCALES = Scales(noise={"a": 0.3, "b": 2.0}, prior={"v": 1.5, "w": 0.4})
SHAPES = [({"a": 10, "b": 15}, {"v": 6, "w": 4}), ({"a": 4, "b": 3}, {"v": 6, "w": 14})]


def solved(sizes, dims):
    problem = linear(sizes, dims)
    return problem, Laplace(problem, GaussNewton().mode(problem, SCALES, np.zeros(problem.design.shape[1])))


@pytest.mark.parametrize("shape", SHAPES)
def test_evidence_is_the_density_of_the_marginal(shape):
    problem, laplace = solved(*shape)
    noise, prior = SCALES.rows(problem.row_blocks), SCALES.dims(problem.dim_blocks)
    marginal = np.diag(noise**2) + (problem.design * prior**2) @ problem.design.T
    wanted = multivariate_normal(np.zeros(len(noise)), marginal).logpdf(problem.observed)
    assert laplace.log_evidence == pytest.approx(wanted, rel=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
def test_moments_are_those_of_the_posterior(shape):
    problem, laplace = solved(*shape)
    mean, covariance = problem.posterior(SCALES)
    n_dims = len(mean)
    some, others = np.random.default_rng(1).normal(size=(2, 3, n_dims))
    np.testing.assert_allclose(laplace.mode.position, mean, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(laplace.covariance(some, others[:2]), some @ covariance @ others[:2].T, atol=1e-12)
    np.testing.assert_allclose(
        laplace.standard_deviation(some), np.sqrt(np.einsum("ri,ij,rj->r", some, covariance, some)), rtol=1e-9
    )
    whitening = laplace.whitening()
    np.testing.assert_allclose(whitening @ whitening.T, covariance, atol=1e-12)
    np.testing.assert_array_equal(laplace.draws(np.zeros((1, n_dims)))[0], laplace.mode.position)
    unit = laplace.draws(np.eye(n_dims)) - laplace.mode.position
    np.testing.assert_allclose(unit.T @ unit, covariance, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_effective_parameters_and_dimensions_add_up_to_the_same(shape):
    problem, laplace = solved(*shape)
    _, covariance = problem.posterior(SCALES)
    prior = SCALES.dims(problem.dim_blocks)
    learned = 1.0 - np.diag(covariance) / prior**2
    for name, part in problem.dim_blocks.items():
        assert laplace.effective_dims[name] == pytest.approx(learned[part].sum(), rel=1e-9)
    for name, rows in problem.row_blocks.items():
        assert 0 < laplace.effective_parameters[name] < rows.stop - rows.start
    assert sum(laplace.effective_parameters.values()) == pytest.approx(learned.sum(), rel=1e-9)


def scaled_twice(laplace, white):
    """The broken twin: the prior scale left out."""
    return laplace.mode.position + laplace.mode.factor.scaled(white)


@pytest.mark.parametrize("shape", SHAPES)
def test_draws_have_the_posterior_covariance(shape):
    problem, laplace = solved(*shape)
    mean, covariance = problem.posterior(SCALES)
    white = np.random.default_rng(2).standard_normal((4000, len(mean)))

    def check(draws):
        variance = np.diag(covariance)
        assert_within_error(draws.mean(axis=0), np.sqrt(variance / 4000), mean, max_error=0.05)
        assert_within_error(draws.var(axis=0), variance * np.sqrt(2 / 4000), variance, max_error=0.06)

    check(laplace.draws(white))
    with pytest.raises(AssertionError):
        check(scaled_twice(laplace, white))


@pytest.mark.parametrize("noise", [0.05, 0.01])
def test_evidence_of_a_nonlinear_model_tends_to_the_integral(noise):
    times = np.linspace(0.0, 2.0, 8)
    observed = np.exp(-0.7 * times) + noise * np.random.default_rng(0).normal(size=8)
    problem = Nonlinear(
        lambda x: jnp.exp(-x[0] * jnp.asarray(times)) - jnp.asarray(observed),
        blocks_of({"data": 8}),
        blocks_of({"k": 1}),
    )
    scales = Scales(noise={"data": noise}, prior={"k": 1.0})
    laplace = Laplace(problem, GaussNewton().mode(problem, scales, np.zeros(1), nonlinear=["data"]))

    def density(k):
        log_likelihood = normal(np.exp(-k * times), noise).logpdf(observed).sum()
        return np.exp(log_likelihood + stats.norm.logpdf(k) - laplace.log_evidence)

    centre, width = laplace.mode.position[0], 12 * laplace.standard_deviation(np.eye(1))[0]
    ratio = integrate.quad(density, centre - width, centre + width)[0]
    assert ratio == pytest.approx(1.0, abs=noise)
