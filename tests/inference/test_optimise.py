"""The mode: exact where it is known, and said where starts disagree or fail."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.inference.targets import N_TRACES, N_TRIALS, GaussianTarget, conjugate_model, correlated
from uqkit.errors import InputError
from uqkit.inference import MAP, NumpyroTarget
from uqkit.inference.optimise import ConvergenceError


def test_the_mode_of_a_gaussian():
    target = correlated()
    found = MAP().optimise(target, key=0)
    np.testing.assert_allclose(found.position, target.mean, atol=1e-7)
    residual = np.asarray(target.observed) - np.asarray(target.design) @ target.mean
    np.testing.assert_allclose(found.log_density, -0.5 * (residual @ residual + target.mean @ target.mean))
    assert found.agree
    assert found.converged.all()
    assert found.start_position.shape == (4, 3)
    assert (found.gradient_norm < 1e-5).all()


def test_new_data_do_not_compile_again():
    MAP().optimise(correlated(), key=0)
    before = N_TRACES["gaussian"]
    other = correlated(scale=3.0)
    np.testing.assert_allclose(MAP().optimise(other, key=1).position, other.mean, atol=1e-7)
    assert N_TRACES["gaussian"] == before
    assert not jax.config.jax_enable_x64


def test_the_mode_is_that_of_the_unconstrained_density():
    target = NumpyroTarget.of(conjugate_model, N_TRIALS, np.array([0, 1]), np.array([1.5]), 0.0, key=0)
    share = MAP().optimise(target, key=0).quantities(target)["share"]
    # Beta(3, 6): the Jacobian share (1 - share) moves the mode from 2/7 to 3/9.
    np.testing.assert_allclose(share, 3 / 9, atol=1e-6)


class TwoModes(eqx.Module):
    """Normal laws at -3 and at 3, the latter with twice the weight."""

    width: jax.Array
    n_dims: int = eqx.field(static=True, default=1)

    def log_prior(self, position):
        return jnp.sum(0.0 * position)

    def log_likelihood(self, position):
        return jnp.logaddexp(-0.5 * (position[0] + 3) ** 2, jnp.log(2.0) - 0.5 * (position[0] - 3) ** 2)

    def constrain(self, position):
        return {"x": position}

    def draw_prior(self, key):
        return self.width * jax.random.normal(key, (1,))


def test_two_modes_are_told_and_the_higher_is_taken():
    starts = np.array([[-2.0], [2.0], [4.0], [-4.0]])
    found = MAP().optimise(TwoModes(jnp.asarray(4.0)), key=0, initial=starts)
    assert not found.agree
    np.testing.assert_allclose(found.position, 3.0, atol=1e-4)
    np.testing.assert_allclose(found.start_position[:, 0], [-3, 3, 3, -3], atol=1e-4)


class Wall(GaussianTarget):
    """Defined below 1.5 only, with the mode near the wall."""

    def log_likelihood(self, position):
        return jnp.sum(20 * jnp.log(1.5 - position) + 100 * position)


def test_a_line_search_that_leaves_the_support_comes_back():
    found = MAP().optimise(Wall(np.eye(2), np.zeros(2)), key=0, initial=np.full((4, 2), [-3.0, 1.0]))
    mode = min(np.roots([1.0, -101.5, 130.0]).real)  # 100 - x = 20 / (1.5 - x)
    np.testing.assert_allclose(found.position, mode, atol=1e-6)


def test_no_convergence_is_an_error():
    with pytest.raises(ConvergenceError, match=r"none of 4 starts converged in 1 iterations.*raise `max_iterations`"):
        MAP(max_iterations=1).optimise(correlated(), key=0)
    wrong: dict[str, Any]
    for wrong in ({"n_starts": 0}, {"gradient_tolerance": 0.0}, {"agreement": -1.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            MAP(**wrong)
