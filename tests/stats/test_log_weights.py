"""Effective sample size by its known values, Pareto k on samples of known tails."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from uqkit.stats import effective_sample_size, pareto_tail_index

# SciPy's stubs take a sample for a number.
genpareto: Any = stats.genpareto


@pytest.mark.parametrize("level", [0.0, -1e4, 1e4])
@pytest.mark.parametrize("n_draws", [1, 7, 1_000])
def test_equal_weights_are_worth_every_draw(n_draws, level):
    assert np.isclose(effective_sample_size(np.full(n_draws, level)), n_draws)


def test_one_weight_is_worth_one_draw():
    log_weight = np.full(50, -np.inf)
    log_weight[3] = 2.0
    assert np.isclose(effective_sample_size(log_weight), 1.0)
    log_weight[:] = -1e4
    log_weight[3] = 1e4
    assert np.isclose(effective_sample_size(log_weight), 1.0)


def test_no_weight_is_worth_nothing():
    assert effective_sample_size(np.full(10, -np.inf)) == 0.0


@pytest.mark.parametrize("level", [0.0, 1e4, -1e4])
def test_size_is_squared_sum_over_sum_of_squares(level):
    weight = np.random.default_rng(0).gamma(0.5, size=200)
    expected = weight.sum() ** 2 / (weight**2).sum()
    assert np.isclose(effective_sample_size(np.log(weight) + level), expected, rtol=1e-9)


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.3, 0.5, 0.8, 1.5])
def test_tail_index_of_generalised_pareto_samples(shape):
    n_draws, n_samples = 10_000, 20
    index = np.array(
        [pareto_tail_index(genpareto.rvs(shape, size=n_draws, random_state=seed) + 1.0) for seed in range(n_samples)]
    )
    # Least variance (1 + k)^2 / n_tail; the prior of Zhang & Stephens pulls a little towards its centre.
    spread = (1 + max(shape, 0.0)) / np.sqrt(3 * np.sqrt(n_draws))
    assert abs(index.mean() - shape) <= 5 * spread / np.sqrt(n_samples)
    assert index.std() <= 2 * spread


def test_tail_index_does_not_depend_on_scale():
    sample = genpareto.rvs(0.5, size=5_000, random_state=0) + 1.0
    assert np.isclose(pareto_tail_index(sample), pareto_tail_index(1e6 * sample), atol=1e-6)


def test_a_constant_tail_has_no_tail():
    assert pareto_tail_index(np.full(1_000, 3.0)) == -np.inf
    rounded = 3.0 + 1e-11 * np.random.default_rng(0).standard_normal(4_000)
    assert pareto_tail_index(rounded) == -np.inf
    bounded = np.minimum(genpareto.rvs(1.5, size=1_000, random_state=0), 2.0)
    assert pareto_tail_index(bounded) == -np.inf


def test_a_handful_of_hits_is_no_tail_to_trust():
    magnitude = np.zeros(1_000)
    assert pareto_tail_index(magnitude) == np.inf
    magnitude[:5] = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert pareto_tail_index(magnitude) == np.inf
    assert pareto_tail_index(np.ones(20)) == np.inf
