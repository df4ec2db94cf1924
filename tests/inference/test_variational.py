"""Variational inference against the exact optimum of each family."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from tests.inference.targets import correlated
from tests.statistical import assert_within_error
from uqkit.errors import InputError
from uqkit.inference import SVI, FullRankNormal, LowRankNormal, MeanFieldNormal, NumpyroTarget

FITTING = SVI(n_steps=3_000, learning_rate=0.03, n_particles=16)


@pytest.mark.parametrize("annealing", [0, 1_000])
def test_the_mean_field_optimum(annealing):
    target = correlated()
    fit = replace(FITTING, annealing=annealing).fit(target, key=0)
    np.testing.assert_allclose(fit.mean, target.mean, atol=0.02)
    variance = 1 / np.diag(target.precision)
    np.testing.assert_allclose(np.diag(fit.covariance), variance, rtol=0.05)
    # Far from the margins' variances, which a guide of this family cannot have.
    assert (np.diag(fit.covariance) < 0.8 * np.diag(target.covariance)).any()
    gap = 0.5 * (np.linalg.slogdet(target.precision)[1] + np.log(variance).sum())
    assert_within_error(fit.elbo, fit.elbo_se, target.log_evidence + gap, max_error=0.05)


@pytest.mark.parametrize("guide", [FullRankNormal(), LowRankNormal(rank=2)], ids=["full", "low"])
def test_a_family_that_holds_the_posterior(guide):
    target = correlated()
    fit = replace(FITTING, guide=guide).fit(target, key=0)
    np.testing.assert_allclose(fit.mean, target.mean, atol=0.02)
    np.testing.assert_allclose(fit.covariance, target.covariance, atol=0.03 * np.diag(target.covariance).max())
    # The bound is tight up to the square of the fit's error.
    assert 0 < target.log_evidence - fit.elbo + 5 * fit.elbo_se < 0.02
    assert float(fit.draws.facts["pareto_k"]) < 0.7


def test_the_draws_are_of_the_guide_and_independent():
    fit = replace(FITTING, n_steps=500).fit(correlated(), key=0)
    flat = fit.draws.position.reshape(-1, 3)
    deviation = np.sqrt(np.diag(fit.covariance))
    assert_within_error(flat.mean(axis=0), deviation / np.sqrt(len(flat)), fit.mean, max_error=0.02)
    assert fit.draws.independent
    assert fit.draws.position.shape == (4, 1_000, 3)
    assert fit.draws.statistics["lp"].shape == (4, 1_000)
    assert not fit.draws.faults()
    assert fit.elbo_trace.shape == (500,)


def test_the_annealed_weight_reaches_one():
    settings = SVI(annealing=100)
    weight = np.array([float(settings.kl_weight(jnp.asarray(number))) for number in range(0, 300, 10)])
    assert 0 < weight[0] < 0.05
    assert (np.diff(weight) >= 0).all()
    assert (weight[10:] == 1).all()
    assert float(SVI().kl_weight(jnp.asarray(0))) == 1


def model_of(observed: Any) -> None:
    mean = numpyro.sample("mean", dist.Normal(0.0, 2.0))
    numpyro.sample("observed", dist.Normal(mean, 0.5), obs=observed)


def test_a_numpyro_model_is_counted_once():
    observed = np.array([0.3, 1.1, 0.4])
    fit = SVI(n_steps=2_000, n_draws=10).fit(NumpyroTarget.of(model_of, observed, key=0), key=0)
    precision = 1 / 2.0**2 + 3 / 0.5**2
    np.testing.assert_allclose(fit.mean, observed.sum() / 0.5**2 / precision, atol=0.02)
    np.testing.assert_allclose(fit.covariance, 1 / precision, rtol=0.05)


def test_settings_that_make_no_sense():
    settings: dict[str, Any]
    for settings in ({"n_steps": 0}, {"learning_rate": 0.0}, {"annealing": 5_000}, {"n_particles": 0}):
        with pytest.raises(InputError, match=next(iter(settings))):
            SVI(**settings)
    with pytest.raises(InputError, match="rank"):
        LowRankNormal(rank=0)
    with pytest.raises(InputError, match="initial_scale"):
        MeanFieldNormal(initial_scale=0.0)
