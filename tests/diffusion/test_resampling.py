"""Resampling along the path: what is not spent stays in the weights, so that every setting is unbiased."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.statistical import assert_within_error
from uqkit.diffusion import (
    VP,
    ActiveIntervalResampling,
    GaussianMixture,
    HeunSampler,
    MultinomialResampling,
    ResidualResampling,
    StratifiedResampling,
    SystematicResampling,
    sample,
)
from uqkit.diffusion.resampling import resampled
from uqkit.errors import InputError
from uqkit.stats import GaussianMixture as Mixture
from uqkit.stats import log_mean_weight, particle_share

N, N_KEYS = 16, 4000
RANDOM = np.random.default_rng(0)
LOG_WEIGHT = RANDOM.normal(scale=1.5, size=N) - 3.0
COMING = RANDOM.normal(size=N)
VALUES = RANDOM.normal(size=(N, 3)) + 1.0
SCHEMES = {
    "systematic": SystematicResampling,
    "stratified": StratifiedResampling,
    "residual": ResidualResampling,
    "multinomial": MultinomialResampling,
}


@cache
def chosen(scheme):
    """Ancestors, log weights and whether there was resampling, for many keys."""
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), N_KEYS)
        weight, coming = jnp.asarray(LOG_WEIGHT), jnp.asarray(COMING)
        found = jax.jit(jax.vmap(lambda key: resampled(scheme, weight, coming, key)))(keys)
    return tuple(np.asarray(each) for each in found)


def assert_unbiased(ancestors, log_weight):
    """Sums of weighted values, and of weights, are those before on average."""
    columns = np.column_stack([VALUES, np.ones(N)])
    before = np.exp(LOG_WEIGHT) @ columns
    after = np.einsum("kp,kpc->kc", np.exp(log_weight), columns[ancestors])
    error = after.std(axis=0, ddof=1) / np.sqrt(len(after))
    # Where all weights are spent, their sum is the same for every key.
    random = error > 1e-12
    np.testing.assert_allclose(after.mean(axis=0)[~random], before[~random], rtol=1e-10)
    assert_within_error(after.mean(axis=0)[random], error[random], before[random], max_error=0.02 * before[-1])


@pytest.mark.parametrize(
    "settings",
    [{}, {"power": 0.5}, {"look_ahead": 0.8}, {"power": 0.6, "look_ahead": 1.0}],
    ids=["plain", "power", "look ahead", "both"],
)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_weighted_sums_are_kept_on_average(scheme, settings):
    ancestors, log_weight, due = chosen(SCHEMES[scheme](threshold=1.0, **settings))
    assert due.all()
    assert_unbiased(ancestors, log_weight)


@pytest.mark.parametrize("settings", [{"power": 0.5}, {"look_ahead": 0.8}])
def test_dropping_what_is_not_spent_is_biased(settings):
    """As the published filter does that resamples by tempered weights."""
    ancestors, log_weight, _ = chosen(SystematicResampling(threshold=1.0, **settings))
    dropped = np.full_like(log_weight, np.log(np.exp(LOG_WEIGHT).mean()))
    with pytest.raises(AssertionError):
        assert_unbiased(ancestors, dropped)


def test_all_weights_are_spent_by_plain_resampling():
    _, log_weight, _ = chosen(SystematicResampling(threshold=1.0))
    with jax.enable_x64(True):
        mean = float(log_mean_weight(jnp.asarray(LOG_WEIGHT)))
    np.testing.assert_allclose(log_weight, mean, rtol=1e-12)


def test_a_power_below_one_spares_diversity_and_look_ahead_prefers_what_will_grow():
    plain, spared = (chosen(SystematicResampling(threshold=1.0, power=power))[0] for power in (1.0, 0.4))
    assert len(set(plain[0])) < len(set(spared[0]))
    ahead = chosen(SystematicResampling(threshold=1.0, look_ahead=1.0))[0]
    assert COMING[ahead].mean() > COMING[plain].mean() + 0.2


def test_there_is_resampling_below_the_threshold_alone():
    with jax.enable_x64(True):
        share = float(particle_share(jnp.asarray(LOG_WEIGHT)))
    for threshold, due in ((share - 0.01, False), (share + 0.01, True), (0.0, False)):
        ancestors, log_weight, found = chosen(SystematicResampling(threshold=threshold))
        assert (found == due).all()
        if not due:
            np.testing.assert_array_equal(ancestors, np.tile(np.arange(N), (N_KEYS, 1)))
            np.testing.assert_array_equal(log_weight, np.tile(LOG_WEIGHT, (N_KEYS, 1)))


def test_an_active_interval_leaves_out_what_weights_would_say_outside_of_it():
    """A Gaussian's weights are constant, so that the normaliser at every t is known, and what is left out of it."""
    expert = GaussianMixture(Mixture.of(np.ones(1), np.array([[1.0]]), np.array([[[0.5]]])), VP(0.1, 12.0))
    scheme = ActiveIntervalResampling(start=0.25, stop=0.75)
    result = sample(expert**3.0, method=HeunSampler(n_steps=32, resampling=scheme), islands=2, particles=32, key=0)

    def exact(t):
        with jax.enable_x64(True):
            return expert.noised(t).power(3)[0]

    times = expert.schedule.times(32)
    # Of the times after steps, those that count have 1 - t within the interval.
    inside = np.flatnonzero((1 - times[1:] > 0.25) & (1 - times[1:] <= 0.75)) + 1
    counted = exact(times[0]) + exact(times[inside[-1]]) - exact(times[inside[0] - 1])
    value = result["path"].to_dataset()["island_log_normalizer"].values[-1]
    np.testing.assert_allclose(value, counted, atol=0.01)
    assert abs(counted - exact(times[-1])) > 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SystematicResampling(threshold=1.5), "threshold=1.5: pass a number from 0 to 1"),
        (lambda: ResidualResampling(power=0.0), "power=0.0: pass a number from 1e-06 to 1"),
        (lambda: StratifiedResampling(look_ahead=-0.1), "look_ahead=-0.1: pass a number from 0 to 1"),
        (lambda: ActiveIntervalResampling(start=0.9, stop=0.1), "start=0.9, stop=0.1: pass 0 <= start < stop <= 1"),
        (lambda: MultinomialResampling(threshold=np.nan), "threshold=nan"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
