"""SGHMC against normal posteriors and the law that its step has on them, with broken twins that must fail."""

import warnings
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from arviz_stats.base.array import array_stats

from tests.inference.targets import N_TRACES, GaussianTarget, assert_moments, correlated
from tests.statistical import assert_within_error
from uqkit.errors import InputError, RunInterrupted, StoreError, UqkitWarning
from uqkit.inference import SGHMC, Sampler
from uqkit.running.scan import DivergedError

SMALL = SGHMC(n_warmup=500, n_draws=40, n_chains=2, steps_per_draw=25, step_size=0.1)


@pytest.fixture
def quietly():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UqkitWarning)
        yield


def scales(*deviations):
    """Independent dimensions of these standard deviations, each below the prior's of 1."""
    return GaussianTarget(np.diag(np.sqrt(np.array(deviations) ** -2.0 - 1)), np.ones(len(deviations)))


def stretched(variance, step_size, friction=0.05):
    """Variances that the step has on independent dimensions.

    By hand, with v' = (1 - f) v - h^2 w^2 x + sqrt(2 f) h z and x' = x + v' of a stationary pair (x, v): the mean of
    x v' is -v^2 / 2, hence w^2 x^2 = (1 - f / 2) v^2 / h^2, and that of v'^2 gives the factor below. The frequency is
    w^2 = 1 / (mass * variance), where the mass is the root mean square of a gradient, sqrt(factor / variance) because
    it is learned from chains with the bias: the factor is a fixed point.
    """
    factor = np.ones_like(variance)
    for _ in range(100):
        factor = 1 / (1 - step_size**2 / np.sqrt(factor * variance) / (4 - 2 * friction))
    return variance * factor


def test_a_correlated_gaussian():
    target, sampler = correlated(), SGHMC(n_draws=1_000)
    draws = sampler.sample(target, key=0)
    assert_moments(draws.position, target.mean, np.diag(target.covariance), max_error=(0.03, 0.05))
    turn = np.array([[1.0, 1.0], [1.0, -1.0], [0.0, 1.0]])
    mixed = draws.position @ turn
    assert_moments(mixed, target.mean @ turn, np.diag(turn.T @ target.covariance @ turn), max_error=(0.03, 0.1))
    assert not draws.faults()
    assert draws.n_gradients == 4 * (1 + 3_000 + 100_000)
    assert (draws.statistics["n_steps"] == 100).all()
    with jax.enable_x64(True):
        last = target.log_prior(draws.position[0, -1]) + target.log_likelihood(jnp.asarray(draws.position[0, -1]))
    assert np.isclose(draws.statistics["lp"][0, -1], last)


def test_scales_one_to_ten():
    target = scales(0.1, 0.3, 0.9)
    draws = SGHMC(n_draws=1_000, step_size=0.03).sample(target, key=0)
    assert_moments(draws.position, target.mean, np.diag(target.covariance), max_error=(0.04, 0.04))


@pytest.mark.parametrize("step_size", [0.1, 0.2, 0.4])
def test_the_bias_is_the_steps_and_shrinks_with_its_square(step_size, quietly):
    target = scales(0.1, 0.1, 0.1, 0.1)
    variance = np.diag(target.covariance)
    expected = stretched(variance, step_size)
    draws = SGHMC(n_draws=4_000, steps_per_draw=50, step_size=step_size).sample(target, key=0)
    assert_moments(draws.position / 0.1, target.mean / 0.1, expected / variance, max_error=(0.02, 0.03))
    # The same factor, measured on velocities; the mass is known to the few percent of a chain's warm-up.
    temperature, error = draws.facts["kinetic_temperature"], draws.facts["kinetic_temperature_error"]
    excess = expected[0] / variance[0] - 1
    assert temperature.shape == error.shape == (4,)
    assert (error < 0.02).all()
    assert np.abs(temperature.mean() - 1 - excess) < 5 * np.sqrt((error**2).sum()) / 4 + 0.1 * excess
    assert ("kinetic temperature" in " ".join(draws.remarks)) == (step_size > 0.1)


def test_a_step_without_its_noise_is_seen(monkeypatch, quietly):
    target = correlated()
    # Half the noise: with none of it the chains would rest at the mode, with no error to judge them by.
    monkeypatch.setattr("uqkit.inference.sghmc._noise_sd", lambda friction: jnp.sqrt(friction / 2))
    # Of another length, or the step compiled before would be taken.
    draws = SGHMC(n_draws=1_000, steps_per_draw=98).sample(target, key=0)
    with pytest.raises(AssertionError, match="standard errors away"):
        assert_moments(draws.position, target.mean, np.diag(target.covariance), max_error=(0.03, 0.05))
    assert "kinetic temperature" in draws.remarks[0]


def test_noise_that_keeps_the_velocities_variance_makes_positions_too_narrow(monkeypatch, quietly):
    target, friction = scales(0.3, 0.3, 0.3, 0.3), 0.3
    sampler = SGHMC(n_draws=1_000, step_size=0.05, friction=friction)
    right = sampler.sample(target, key=0).position / 0.3
    monkeypatch.setattr("uqkit.inference.sghmc._noise_sd", lambda friction: jnp.sqrt(friction * (2 - friction)))
    wrong = replace(sampler, steps_per_draw=99).sample(target, key=0).position / 0.3
    assert_moments(right, target.mean / 0.3, np.ones(4), max_error=(0.1, 0.1))
    with pytest.raises(AssertionError, match="standard errors away"):
        assert_moments(wrong, target.mean / 0.3, np.ones(4), max_error=(0.1, 0.1))
    squares = (wrong - target.mean / 0.3).reshape(4, -1) ** 2
    error = np.asarray(array_stats.mcse(squares, 0, 1))
    assert_within_error(squares.mean(), error, 1 - friction / 2, max_error=0.05)


def test_friction_one_is_unadjusted_langevin(quietly):
    target = scales(0.2, 0.2)
    draws = SGHMC(n_draws=4_000, steps_per_draw=50, step_size=0.2, friction=1.0).sample(target, key=0)
    expected = stretched(np.diag(target.covariance), 0.2, friction=1.0)
    assert_moments(draws.position / 0.2, target.mean / 0.2, expected / 0.2**2, max_error=(0.05, 0.05))


def test_same_key_same_numbers_and_the_callers_precision(quietly):
    first, again, as_key = (SMALL.sample(correlated(), key=key) for key in (3, 3, jax.random.key(3)))
    assert not jax.config.jax_enable_x64
    assert first.position.dtype == np.float64
    assert first.position.shape == (2, 40, 3)
    assert np.array_equal(first.position, again.position)
    assert np.array_equal(first.position, as_key.position)
    assert not np.array_equal(first.position[0], first.position[1])
    assert isinstance(SMALL, Sampler)


def test_new_data_keys_and_steps_do_not_compile_again(quietly):
    SMALL.sample(correlated(), key=0)
    before = N_TRACES["gaussian"]
    SMALL.sample(correlated(scale=2.0), key=1)
    replace(SMALL, step_size=0.05, friction=0.1, n_draws=20, n_warmup=600).sample(correlated(), key=0)
    assert N_TRACES["gaussian"] == before


def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path, monkeypatch, quietly):
    store, chunks = tmp_path / "run.npz", []

    def stop_at_second(*_):
        chunks.append(1)
        if len(chunks) == 4:
            raise KeyboardInterrupt

    whole = SMALL.sample(correlated(), key=0)
    # The counter of traces is a global that the density names, and so a part of what identifies the run.
    count = N_TRACES["gaussian"]
    monkeypatch.setattr("uqkit.running.scan._check", stop_at_second)
    with pytest.raises(RunInterrupted, match=r"run\.npz"):
        SMALL.sample(correlated(), key=0, store=store)
    monkeypatch.undo()
    resumed = SMALL.sample(correlated(), key=0, store=store)
    assert np.array_equal(whole.position, resumed.position)
    assert whole.n_gradients == resumed.n_gradients
    for name, values in whole.facts.items():
        assert np.array_equal(values, resumed.facts[name])
    N_TRACES["gaussian"] = count
    longer = replace(SMALL, n_draws=60).sample(correlated(), key=0, store=store)
    assert np.array_equal(whole.position, longer.position[:, :40])
    N_TRACES["gaussian"] = count
    with pytest.raises(StoreError, match="another run"):
        replace(SMALL, friction=0.1).sample(correlated(), key=0, store=store)


def test_chains_that_start_far_away_arrive():
    target = scales(0.1, 0.3, 0.9)
    start = target.mean + 10 * np.ones((4, 1)) * np.array([1.0, -1.0, 1.0])
    draws = SGHMC(n_draws=1_000, step_size=0.03).sample(target, key=0, initial=start)
    assert_moments(draws.position, target.mean, np.diag(target.covariance), max_error=(0.04, 0.05))


def test_a_large_step_is_remarked_and_a_larger_one_refused():
    with pytest.warns(UqkitWarning, match=r"kinetic temperature is .* where 1 is right.*lower `step_size`"):
        draws = SGHMC(step_size=0.5).sample(scales(0.1, 0.1), key=0)
    assert draws.faults() == SGHMC(step_size=0.5).sample(scales(0.1, 0.1), key=0, warn=False).faults()
    with pytest.raises(DivergedError, match="try smaller steps"):
        SGHMC(step_size=2.0).sample(scales(0.01, 0.01), key=0)


def test_settings_that_make_no_sense():
    wrong: dict[str, Any]
    for wrong in (
        {"n_draws": 2},
        {"n_chains": 0},
        {"n_warmup": 10},
        {"steps_per_draw": 0},
        {"step_size": 0.0},
        {"step_size": float("inf")},
        {"friction": 0.0},
        {"friction": 1.5},
    ):
        with pytest.raises(InputError, match=next(iter(wrong))):
            SGHMC(**wrong)
