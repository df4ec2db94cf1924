"""Ensembles of randomised modes: exact draws of linear models, too narrow where the prior is not perturbed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.inference.residuals import Nonlinear, blocks_of, linear
from tests.statistical import assert_within_error
from uqkit import InputError
from uqkit.inference import GaussNewton, Laplace, RandomisedMAP, Scales

SCALES = Scales(noise={"a": 0.5, "b": 2.0}, prior={"v": 1.5, "w": 0.4})
N_MEMBERS = 400


def solved():
    """Six coordinates, of which the data determine four."""
    problem = linear({"a": 3, "b": 5}, {"v": 4, "w": 4})
    return problem, GaussNewton().mode(problem, SCALES, np.zeros(8))


def assert_draws_of(members, mean, covariance):
    n = len(members)
    variance = np.diag(covariance)
    assert_within_error(members.mean(axis=0), np.sqrt(variance / n), mean, max_error=0.1)
    directions = np.linalg.qr(np.random.default_rng(1).normal(size=covariance.shape))[0]
    for along in (np.eye(len(mean)), directions):
        wanted = np.einsum("ri,ij,rj->r", along, covariance, along)
        squares = ((members - mean) @ along.T) ** 2
        assert_within_error(squares.mean(axis=0), wanted * np.sqrt(2 / n), wanted, max_error=0.2)


def test_members_of_a_linear_problem_are_draws_of_its_posterior():
    problem, mode = solved()
    members = RandomisedMAP(n_members=N_MEMBERS).members(
        problem, mode, nonlinear=(), key=jax.random.key(0), progress=False
    )
    assert members.shape == (N_MEMBERS, 8)
    assert_draws_of(members, *problem.posterior(SCALES))


def test_members_without_a_perturbed_prior_are_not():
    problem, mode = solved()
    generator = np.random.default_rng(0)
    noise = SCALES.rows(problem.row_blocks)
    members = [
        GaussNewton().mode(problem, SCALES, mode.position, offset=noise * generator.standard_normal(8)).position
        for _ in range(N_MEMBERS)
    ]
    with pytest.raises(AssertionError):
        assert_draws_of(np.stack(members), *problem.posterior(SCALES))


def test_a_nearly_linear_problem_gives_its_laplace_approximation():
    times = np.linspace(0.1, 2.0, 10)
    observed = np.exp(-0.7 * times) + 0.005 * np.random.default_rng(0).normal(size=10)
    problem = Nonlinear(
        jax.jit(lambda x: jnp.exp(-x[0] * jnp.asarray(times)) - jnp.asarray(observed)),
        blocks_of({"data": 10}),
        blocks_of({"k": 1}),
    )
    scales = Scales(noise={"data": 0.005}, prior={"k": 1.0})
    mode = GaussNewton().mode(problem, scales, np.zeros(1), nonlinear=["data"])
    members = RandomisedMAP(n_members=100).members(
        problem, mode, nonlinear=["data"], key=jax.random.key(0), progress=False
    )
    sd = Laplace(problem, mode).standard_deviation(np.eye(1))[0]
    assert_within_error(members.mean(), sd / np.sqrt(100), mode.position[0], max_error=0.001)
    assert_within_error(members.std(), sd / np.sqrt(200), sd, max_error=0.001)


def test_the_key_decides():
    problem, mode = solved()
    method = RandomisedMAP(n_members=3)
    first, again, other = (
        method.members(problem, mode, nonlinear=(), key=jax.random.key(seed), progress=False) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).min() > 1e-6


def test_one_member_is_no_ensemble():
    with pytest.raises(InputError, match="n_members=1: an ensemble has at least two members"):
        RandomisedMAP(n_members=1)
