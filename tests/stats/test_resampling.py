"""Choices of ancestors: each particle has as many children as its weight is worth, on average and nearly exactly."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.statistical import assert_within_error
from uqkit.stats import (
    effective_sample_size,
    log_mean_weight,
    multinomial_ancestors,
    particle_share,
    residual_ancestors,
    stratified_ancestors,
    systematic_ancestors,
)

SCHEMES = {
    "systematic": systematic_ancestors,
    "stratified": stratified_ancestors,
    "residual": residual_ancestors,
    "multinomial": multinomial_ancestors,
}
N, N_KEYS = 12, 4000
LOG_WEIGHT = np.random.default_rng(0).normal(scale=1.2, size=N) - 40.0
LOG_WEIGHT[[0, 7, 11]] = -np.inf
EXPECTED = N * np.exp(LOG_WEIGHT) / np.exp(LOG_WEIGHT).sum()


@cache
def children(scheme):
    """Numbers of children (key, particle)."""
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), N_KEYS)
        ancestors = jax.jit(jax.vmap(SCHEMES[scheme], (None, 0)))(jnp.asarray(LOG_WEIGHT), keys)
    return (np.asarray(ancestors)[:, :, None] == np.arange(N)).sum(axis=1)


def assert_unbiased(counts, expected):
    error = counts.std(axis=0, ddof=1) / np.sqrt(len(counts))
    random = error > 0
    np.testing.assert_allclose(counts.mean(axis=0)[~random], expected[~random], atol=1e-9)
    assert_within_error(counts.mean(axis=0)[random], error[random], expected[random], max_error=0.03)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_children_are_as_many_as_weights_are_worth(scheme):
    counts = children(scheme)
    assert_unbiased(counts, EXPECTED)
    with pytest.raises(AssertionError):
        assert_unbiased(counts, N * np.exp(0.9 * LOG_WEIGHT) / np.exp(0.9 * LOG_WEIGHT).sum())
    assert (counts.sum(axis=1) == N).all()
    assert not counts[:, [0, 7, 11]].any()


def test_schemes_are_as_noisy_as_they_say():
    assert set(np.unique(children("systematic") - np.floor(EXPECTED))) <= {0, 1}
    assert (children("residual") >= np.floor(EXPECTED)).all()
    assert (np.abs(children("stratified") - EXPECTED) < 2).all()
    share = EXPECTED / N
    variance = children("multinomial").var(axis=0, ddof=1)
    # The variance of a variance: fourth moments of a binomial are near a normal's.
    np.testing.assert_allclose(variance, N * share * (1 - share), rtol=5 * np.sqrt(3 / N_KEYS))
    for scheme in ("systematic", "stratified", "residual"):
        assert children(scheme).var(axis=0).sum() < 0.8 * variance.sum()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_one_particle_that_has_all_the_weight_has_all_the_children(scheme):
    for place in (0, 3, 6):
        log_weight = jnp.full(7, -jnp.inf).at[place].set(-1e4)
        assert jax.jit(SCHEMES[scheme])(log_weight, jax.random.key(0)).tolist() == [place] * 7


def test_equal_weights_have_one_child_each():
    for scheme in (systematic_ancestors, residual_ancestors, stratified_ancestors):
        np.testing.assert_array_equal(jax.jit(scheme)(jnp.full(64, 3.0), jax.random.key(0)), np.arange(64))


def test_many_single_precision_weights_lose_none_of_the_mass():
    """Adding them up one by one does: its last sums stop growing."""
    n = 1_000_000
    ancestors = np.asarray(jax.jit(systematic_ancestors)(jnp.zeros(n, jnp.float32), jax.random.key(0)))
    assert 0 <= ancestors.min() <= ancestors.max() < n
    counts = np.histogram(ancestors, bins=100, range=(0, n))[0]
    np.testing.assert_allclose(counts, n / 100, rtol=2e-4)
    one_by_one = np.cumsum(np.full(n, 1 / n, np.float32), dtype=np.float32)
    assert abs(one_by_one[-1] - 1) > 1e-4


@pytest.mark.parametrize("level", [0.0, 1e4, -1e4])
def test_shares_and_mean_weights(level):
    with jax.enable_x64(True):
        log_weight = jnp.asarray(LOG_WEIGHT + level)
        mean = np.log(np.exp(LOG_WEIGHT).mean()) + level
        assert float(log_mean_weight(log_weight)) == pytest.approx(mean, rel=1e-12)
        expected = effective_sample_size(LOG_WEIGHT + level) / N
        assert float(particle_share(log_weight)) == pytest.approx(expected, rel=1e-10)
        assert float(particle_share(jnp.full(9, level))) == pytest.approx(1.0, rel=1e-10)
