"""Every sampler against closed forms, with broken targets that must fail."""

import warnings
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer import MCMC
from numpyro.infer import NUTS as NumpyroNUTS

from tests.inference.targets import (
    HEIGHT,
    HEIGHTS,
    N_TRACES,
    N_TRIALS,
    SHARE,
    SUCCESSES,
    GaussianTarget,
    assert_moments,
    conjugate_model,
    correlated,
)
from uqkit.errors import InputError, RunInterrupted, StoreError, UqkitWarning
from uqkit.inference import HMC, MCLMC, NUTS, SVI, AdjustedMCLMC, FullRankNormal, NumpyroTarget, Sampler, Whitened
from uqkit.problems.target import TargetDensity

CHAINS = {
    "nuts": NUTS(),
    "hmc": HMC(n_leapfrog=6),
    "hmc-dense": HMC(n_leapfrog=6, dense_mass=True),
    "mclmc": MCLMC(energy_variance_per_dim=5e-5),
    "adjusted-mclmc": AdjustedMCLMC(),
}
ENGINES = CHAINS | {"svi": SVI(guide=FullRankNormal(), n_steps=500, n_particles=2)}
chains = pytest.mark.parametrize("sampler", CHAINS.values(), ids=CHAINS.keys())
engines = pytest.mark.parametrize("sampler", ENGINES.values(), ids=ENGINES.keys())
PRECISE = (0.03, 0.05)


@pytest.fixture(scope="module")
def conjugate():
    return NumpyroTarget.of(conjugate_model, N_TRIALS, SUCCESSES, HEIGHTS, 0.0, key=0)


@chains
def test_a_correlated_gaussian(sampler):
    target = correlated()
    draws = sampler.sample(target, key=0)
    assert_moments(draws.position, target.mean, np.diag(target.covariance), max_error=PRECISE)
    # Correlations through the variances of two combinations.
    turn = np.array([[1.0, 1.0], [1.0, -1.0], [0.0, 1.0]])
    mixed = draws.position @ turn
    assert_moments(mixed, target.mean @ turn, np.diag(turn.T @ target.covariance @ turn), max_error=(0.03, 0.1))
    assert draws.r_hat.max() < 1.01
    assert draws.ess_bulk.min() > 400
    assert not draws.faults()


@chains
def test_a_wrong_prior_is_seen(sampler):
    truth = correlated()
    draws = sampler.sample(correlated(shift=1.0), key=0)
    with pytest.raises(AssertionError, match="standard errors away"):
        assert_moments(draws.position, truth.mean, np.diag(truth.covariance), max_error=PRECISE)


@pytest.mark.parametrize("name", ["nuts", "hmc", pytest.param("mclmc", marks=pytest.mark.slow), "adjusted-mclmc"])
def test_a_conjugate_numpyro_model(name, conjugate):
    draws = CHAINS[name].sample(conjugate, key=0)
    named = draws.quantities(conjugate)
    both = np.stack([named["share"], named["height"]], axis=-1)
    moments = np.array([SHARE.mean(), HEIGHT.mean()]), np.array([SHARE.var(), HEIGHT.var()])
    assert_moments(both, *moments, max_error=PRECISE)


def test_a_forgotten_jacobian_is_seen(conjugate):
    target = conjugate.with_data(N_TRIALS, SUCCESSES, HEIGHTS, 1.0)
    share = CHAINS["hmc"].sample(target, key=0).quantities(target)["share"][..., None]
    with pytest.raises(AssertionError, match="standard errors away"):
        assert_moments(share, np.array([SHARE.mean()]), np.array([SHARE.var()]), max_error=PRECISE)


def test_numpyros_own_sampler_agrees(conjugate):
    with jax.enable_x64(True), warnings.catch_warnings():
        # NumPyro warns that it has one device for four chains.
        warnings.simplefilter("ignore")
        peer = MCMC(NumpyroNUTS(conjugate_model), num_warmup=500, num_samples=2_000, num_chains=1, progress_bar=False)
        peer.run(jax.random.key(1), N_TRIALS, jnp.asarray(SUCCESSES), jnp.asarray(HEIGHTS), 0.0)
        theirs = {name: np.asarray(values) for name, values in peer.get_samples().items()}
    ours = NUTS().sample(conjugate, key=0).quantities(conjugate)
    for name in ("share", "height"):
        both = ours[name].mean(), theirs[name].mean()
        error = np.hypot(ours[name].std() / np.sqrt(1_000), theirs[name].std() / np.sqrt(400))
        assert abs(both[0] - both[1]) < 5 * error
        assert error < 0.05


@engines
def test_new_data_and_keys_do_not_compile_again(sampler):
    small = replace(sampler, n_draws=20)

    def run(scale, key):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UqkitWarning)
            return small.sample(correlated(scale=scale), key=key)

    run(1.0, 0)
    before = N_TRACES["gaussian"]
    other_data, other_key = run(2.0, 0), run(1.0, 1)
    assert N_TRACES["gaussian"] == before
    assert not np.array_equal(other_data.position, other_key.position)


def test_new_data_of_a_numpyro_model_do_not_compile_again(conjugate):
    sampler = CHAINS["hmc"]
    first = sampler.sample(conjugate, key=0).quantities(conjugate)["height"]
    before = N_TRACES["conjugate"]
    moved = conjugate.with_data(N_TRIALS, SUCCESSES, HEIGHTS + 10.0, 0.0)
    second = sampler.sample(moved, key=0).quantities(moved)["height"]
    assert N_TRACES["conjugate"] == before
    assert second.mean() - first.mean() > 5


@engines
def test_same_key_same_numbers_and_the_callers_precision(sampler):
    small = replace(sampler, n_draws=20)
    assert not jax.config.jax_enable_x64
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UqkitWarning)
        first, again, as_key = (small.sample(correlated(), key=key) for key in (3, 3, jax.random.key(3)))
    assert not jax.config.jax_enable_x64
    assert first.position.dtype == np.float64
    assert np.array_equal(first.position, again.position)
    assert np.array_equal(first.position, as_key.position)
    assert not np.array_equal(first.position[0], first.position[1])
    assert isinstance(small, Sampler)


@engines
def test_an_interrupted_run_goes_on_to_the_same_bits(sampler, tmp_path, monkeypatch):
    small = replace(sampler, n_draws=120)
    store, chunks = tmp_path / "run.npz", []

    def stop_at_second(*_):
        chunks.append(1)
        if len(chunks) == 2:
            raise KeyboardInterrupt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UqkitWarning)
        whole = small.sample(correlated(), key=0)
        monkeypatch.setattr("uqkit.running.scan._check", stop_at_second)
        with pytest.raises(RunInterrupted, match=r"run\.npz"):
            small.sample(correlated(), key=0, store=store)
        monkeypatch.undo()
        resumed = small.sample(correlated(), key=0, store=store)
        assert np.array_equal(whole.position, resumed.position)
        assert whole.n_gradients == resumed.n_gradients
        for name, values in whole.statistics.items():
            assert np.array_equal(values, resumed.statistics[name])
        with pytest.raises(StoreError, match="another run"):
            small.sample(correlated(), key=1, store=store)
        with pytest.raises(StoreError, match="another run"):
            small.sample(correlated(scale=2.0), key=0, store=store)


def test_a_longer_run_goes_on_from_a_shorter_one(conjugate, tmp_path):
    sampler, store = replace(CHAINS["hmc"], n_draws=800), tmp_path / "run.npz"
    short = sampler.sample(conjugate, key=0, store=store)
    # The counter of traces is a global that the model names, and so a part of what identifies the run.
    count = N_TRACES["conjugate"]
    long = replace(sampler, n_draws=900).sample(conjugate, key=0, store=store)
    assert np.array_equal(short.position, long.position[:, :800])
    N_TRACES["conjugate"] = count
    with pytest.raises(StoreError, match="holds 1400 steps, more than the 1300"):
        sampler.sample(conjugate, key=0, store=store)


def ill_conditioned(n_dims=20):
    """Standard deviations over three decades, so a condition number of a million, in rotated directions."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(n_dims, n_dims)))[0]
    design = np.diag(np.logspace(0, 3, n_dims)) @ turn
    return GaussianTarget(design, design @ np.ones(n_dims))


@pytest.mark.parametrize("sampler", [NUTS(), HMC(n_leapfrog=3)], ids=["nuts", "hmc"])
def test_a_whitened_target_of_condition_number_a_million(sampler):
    target = ill_conditioned()
    factor = np.linalg.cholesky(target.covariance)
    white = Whitened(target, target.mean, factor)
    assert isinstance(white, TargetDensity)
    draws = sampler.sample(white, key=0)
    position = np.concatenate([draws.quantities(white)[name].reshape(4, 1_000, -1) for name in ("first", "rest")], -1)
    variance = np.diag(target.covariance)
    scaled = (position - target.mean) / np.sqrt(variance)
    assert_moments(scaled, np.zeros(20), np.ones(20), max_error=(0.1, 0.1))
    assert draws.statistics["n_steps"].mean() < 20
    assert draws.ess_bulk.min() > 400


def test_whitening_changes_no_moment_and_keeps_the_density():
    target = correlated()
    centre, diagonal = np.array([1.0, -1.0, 0.5]), np.array([2.0, 0.1, 1.0])
    white = Whitened(target, centre, diagonal)
    draws = CHAINS["hmc"].sample(white, key=0)
    position = centre + diagonal * draws.position
    assert_moments(position, target.mean, np.diag(target.covariance), max_error=PRECISE)
    full = Whitened(target, centre, np.diag(diagonal))
    with jax.enable_x64(True):
        z = jnp.array([0.3, -0.2, 0.7])
        density = white.log_prior(z) + white.log_likelihood(z)
        assert np.isclose(density, full.log_prior(z) + full.log_likelihood(z))
        x = centre + diagonal * z
        assert np.isclose(density, target.log_prior(x) + target.log_likelihood(x) + np.log(diagonal).sum())


class Half(GaussianTarget):
    """Finite nowhere."""

    def log_likelihood(self, position):
        return jnp.log(-1.0 - jnp.sum(position**2))


def test_starts_that_do_not_fit():
    target = correlated()
    with pytest.raises(InputError, match=r"shape \(2, 3\).*pass one row per chain"):
        NUTS().sample(target, key=0, initial=np.zeros((2, 3)))
    with pytest.raises(InputError, match="row 1"):
        NUTS(n_chains=2).sample(target, key=0, initial=np.array([[0.0] * 3, [np.inf] * 3]))
    with pytest.raises(InputError, match="none of 100 draws.*log likelihood nan"):
        NUTS().sample(Half(target.design, target.observed), key=0)


def test_settings_that_make_no_sense():
    wrong: dict[str, Any]
    for wrong in (
        {"n_draws": 2},
        {"n_chains": 0},
        {"target_acceptance": 1.0},
        {"max_tree_depth": 0},
        {"n_warmup": -1},
    ):
        with pytest.raises(InputError, match=next(iter(wrong))):
            NUTS(**wrong)
    with pytest.raises(InputError, match="n_leapfrog"):
        HMC(n_leapfrog=0)
    with pytest.raises(InputError, match="step_jitter"):
        HMC(n_leapfrog=3, step_jitter=1.0)
    with pytest.raises(InputError, match="n_warmup"):
        MCLMC(n_warmup=10)
    with pytest.raises(InputError, match="n_integration_steps"):
        AdjustedMCLMC(n_integration_steps=1.0)
    one = GaussianTarget(np.ones((1, 1)), np.ones(1))
    for sampler in (MCLMC(), AdjustedMCLMC()):
        with pytest.raises(InputError, match="at least 2 dimensions"):
            sampler.sample(one, key=0)


def test_a_short_run_warns_once_of_all_that_is_wrong():
    with pytest.warns(UqkitWarning, match=r"one chain.*effective number.*raise `n_draws`") as caught:
        draws = NUTS(n_chains=1, n_draws=50, n_warmup=50).sample(correlated(), key=0)
    assert len(caught) == 1
    assert np.isnan(draws.r_hat).all()


def test_a_cliff_makes_divergences():
    class Cliff(GaussianTarget):
        def log_likelihood(self, position):
            return jnp.where(position[0] > 0.5, -1e6, 0.0) + 0.0 * position[0]

    target = Cliff(np.eye(2), np.zeros(2))
    with pytest.warns(UqkitWarning, match=r"draws .* diverged"):
        HMC(n_leapfrog=6, n_warmup=100, n_draws=200).sample(target, key=0)


def test_mclmc_states_its_energy_error():
    target = correlated()
    coarse = MCLMC(energy_variance_per_dim=1e-3).sample(target, key=0).facts["energy_variance_per_dim"]
    fine = MCLMC(energy_variance_per_dim=5e-6).sample(target, key=0).facts["energy_variance_per_dim"]
    assert coarse.shape == (4,)
    assert fine.max() < 5e-5 < coarse.min() < coarse.max() < 5e-3
