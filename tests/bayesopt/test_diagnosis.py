"""Diagnoses: scores against closed forms, refits by hand, and faults that must be found."""

import copy
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy import stats

from tests.bayesopt.networks import QUICK_HMC, fitted, inputs, outputs, prior_network, surrogate
from uqkit.bayesopt import ChainDiagnosis, EnsembleNetwork
from uqkit.bayesopt.diagnosis import diagnosis_of
from uqkit.bayesopt.held_out import HeldOut, folds, gaussian_held_out
from uqkit.errors import InputError, UqkitWarning
from uqkit.inference import HMC, Draws

X, Y = inputs(12), outputs(inputs(12))
AGREED = ChainDiagnosis(
    r_hat_median=1.0,
    r_hat_95=1.05,
    ess_median=100.0,
    r_hat_scales=1.3,
    weight_norm_ratio=1.02,
    n_diverging=0,
    n_gradients=1_000,
)


def predicted(n_rows: int = 400, sd: float = 1.0) -> HeldOut:
    """Predictions with standard normal errors, told to have the standard deviation `sd`."""
    rng = np.random.default_rng(0)
    mean = 2 * rng.normal(size=(n_rows, 2))
    return gaussian_held_out(mean + rng.normal(size=mean.shape), mean, np.full_like(mean, sd**2))


def test_scores_are_those_of_normal_laws():
    held_out = predicted(sd=1.3)
    error = held_out.value - held_out.mean[0]
    found, z = diagnosis_of("Surrogate", held_out), error / 1.3
    np.testing.assert_allclose(found.log_score, -stats.norm(0, 1.3).logpdf(error).mean(axis=0))  # pyright: ignore[reportAttributeAccessIssue]
    crps = 1.3 * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - np.pi**-0.5)
    np.testing.assert_allclose(found.crps, crps.mean(axis=0))
    np.testing.assert_allclose(found.rmse, np.sqrt((error**2).mean(axis=0)))
    inside = [np.abs(z) <= stats.norm.ppf(0.5 + level / 2) for level in found.levels]
    np.testing.assert_allclose(found.coverage, np.mean(inside, axis=1))


@pytest.mark.parametrize(("sd", "verdict"), [(1.0, "ok"), (2.0, "ok"), (0.7, "warn")])
def test_overconfidence_is_found(sd, verdict):
    found = diagnosis_of("Surrogate", predicted(sd=sd))
    assert found.verdict == verdict
    assert all("overconfident" in finding for finding in found.findings)
    assert len(found.findings) == (2 if verdict == "warn" else 0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"r_hat_95": 1.2}, "The chains do not agree on the function: R-hat is 1.2"),
        ({"r_hat_95": float("nan")}, "R-hat is nan"),
        ({"weight_norm_ratio": 0.5}, "The mean squared weight is 0.5 of its prior variance"),
        ({"weight_norm_ratio": 1.2}, "The mean squared weight is 1.2"),
        ({"n_diverging": 3}, "3 draws diverged"),
    ],
)
def test_faults_of_chains_are_found(wrong, words):
    assert diagnosis_of("Surrogate", predicted(), AGREED).findings == ()
    found = diagnosis_of("Surrogate", predicted(), replace(AGREED, **wrong))
    assert len(found.findings) == 1
    assert words in found.findings[0]
    with pytest.warns(UqkitWarning, match="^Surrogate: ") as caught:
        found.warn(stacklevel=1)
    assert words in str(caught[0].message)
    assert words in str(found)


def test_predictions_no_better_than_the_mean_are_found():
    value = np.random.default_rng(0).normal(size=(50, 1))
    found = diagnosis_of("Surrogate", gaussian_held_out(value, np.full_like(value, 0.3), np.ones_like(value)))
    assert len(found.findings) == 1
    assert "no better than by their mean" in found.findings[0]


def test_the_table_says_all():
    found = diagnosis_of("Surrogate", predicted(), AGREED)
    lines = str(found).splitlines()
    assert lines[0] == "Surrogate: ok (400 rows predicted by all other rows, at the same scales)"
    assert lines[1].split() == ["output", "RMSE", "CRPS", "-log", "p", "in", "50%", "in", "90%"]
    for output in (0, 1):
        numbers = [float(word) for word in lines[2 + output].split()]
        expected = [output, found.rmse[output], found.crps[output], found.log_score[output], *found.coverage[:, output]]
        np.testing.assert_allclose(numbers, expected, atol=0.006)
    assert "R-hat of the function 1.000 (median), 1.050 (95%)" in lines[4]
    assert "1,000 gradients" in lines[4]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.warn()


def test_folds_leave_every_row_out_once():
    parts = list(folds(11, 4, key=0))
    assert sorted(np.concatenate([left for _, left, _ in parts])) == list(range(11))
    for kept, left, _ in parts:
        assert sorted([*kept, *left]) == list(range(11))
        assert len(left) in (2, 3)
    assert len({str(jax.random.key_data(key)) for *_, key in parts}) == 4
    # No more folds than rows.
    assert len(list(folds(3, 5, key=0))) == 3


@pytest.mark.parametrize("name", ["plain", "hmc", "variational"])
def test_held_out_rows_are_predicted_by_fits_to_the_others(name):
    model = fitted(name)
    found = model.held_out(3, progress=False)
    np.testing.assert_allclose(found.value, ((Y - Y.mean(0)) / Y.std(0)).numpy())
    assert found.how == "3-fold refits"
    for kept, left, key in folds(12, 3, key=model.key):
        data = model.data(kept.tolist())
        assert (np.asarray(data.present) == np.isin(np.arange(16), kept)).all()
        refit = copy.copy(model)
        refit.members = model._infer(data, key, None, False)[0]
        values = (refit.posterior(X[left]).values - model.output_mean) / model.output_sd
        np.testing.assert_allclose(found.mean[:, left], values, rtol=1e-9, atol=1e-12)
        noise = np.sqrt(np.asarray(refit.members["noise_variance"]))[:, None]
        np.testing.assert_allclose(found.sd[:, left], np.broadcast_to(noise, values.shape))
    # Rows that were seen are predicted better.
    seen = ((model.posterior(X).mean - Y) / Y.std(0)).square().mean()
    assert ((found.mean.mean(axis=0) - found.value) ** 2).mean() > float(seen)


def test_a_fold_does_not_see_the_rows_left_out():
    model = surrogate("plain")
    kept = [row for row in range(12) if row not in (3, 5)]
    data = model.data(kept)
    with jax.enable_x64(True):
        other = replace(data, outputs=data.outputs.at[jnp.array([3, 5])].add(10.0))
        seen = replace(data, outputs=data.outputs.at[jnp.array([3, 4])].add(10.0))
    expected, found, moved = (model._infer(each, model.key, None, False)[0]["weight_0"] for each in (data, other, seen))
    np.testing.assert_array_equal(found, expected)
    assert np.abs(np.asarray(moved) - np.asarray(expected)).max() > 0.1


def test_known_noise_is_that_of_the_rows_left_out():
    variance = torch.linspace(0.2, 0.6, 24, dtype=torch.double).reshape(12, 2)
    found = prior_network(Yvar=variance).held_out(4, progress=False)
    expected = np.broadcast_to((variance.sqrt() / Y.std(0)).numpy(), found.sd.shape)
    np.testing.assert_allclose(found.sd, expected)


def test_fewer_than_two_folds_are_refused():
    with pytest.raises(InputError, match="n_folds=1: pass at least two"):
        fitted("plain").held_out(1)


def test_noise_told_far_too_small_is_found_overconfident():
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=Y.shape))
    model = EnsembleNetwork(X, noise, torch.full_like(noise, 1e-6), **fitted("plain")._settings, key=0)
    with pytest.warns(UqkitWarning, match="hold . of 12 left-out rows: it is overconfident"):
        found = model.fit(progress=False).diagnose(3, progress=False)
    assert found.chains is None
    assert found.verdict == "warn"


def test_numbers_of_the_chains_are_arvizs():
    model = fitted("hmc")
    found = model.chain_diagnosis()
    points = torch.cat([model.encoder(X), model.encoder.points_between(128)])
    with jax.enable_x64(True):
        columns, sites = jnp.asarray(points.numpy()), dict(model.members)
        values = np.asarray(jax.vmap(lambda one: model.network.values(one, columns))(sites))
    tree = az.convert_to_datatree({"f": values.reshape(4, 100, *values.shape[1:])})
    r_hat, ess = az.rhat(tree)["f"].values, az.ess(tree)["f"].values
    np.testing.assert_allclose(found.r_hat_median, np.median(r_hat), rtol=1e-6)
    np.testing.assert_allclose(found.r_hat_95, np.quantile(r_hat, 0.95, method="higher"), rtol=1e-6)
    np.testing.assert_allclose(found.ess_median, np.median(ess), rtol=1e-6)
    scales = {name: np.asarray(values).reshape(4, 100, *values.shape[1:]) for name, values in sites.items()}
    sampled = az.rhat(az.convert_to_datatree({k: v for k, v in scales.items() if k[:5] in ("scale", "noise")}))
    np.testing.assert_allclose(found.r_hat_scales, max(float(v.max()) for v in sampled.values()), rtol=1e-6)
    white = np.concatenate([np.asarray(sites[name]).ravel() for name in model.network.shapes])
    np.testing.assert_allclose(found.weight_norm_ratio, (white**2).mean())


def test_chains_without_warm_up_are_found_not_to_agree():
    short = surrogate("hmc", sampler=replace(QUICK_HMC, n_warmup=2, n_draws=10)).fit(progress=False)
    with pytest.warns(UqkitWarning, match="HMCNetwork: The chains do not agree on the function: R-hat is"):
        found = short.diagnose(2, progress=False)
    assert found.chains is not None
    assert found.chains.r_hat_95 > 1.1
    assert found.verdict == "warn"


@dataclass(frozen=True, kw_only=True)
class NearZero:
    """A sampler whose chains begin at small weights, as networks that are trained do, and move little."""

    sampler: HMC = replace(QUICK_HMC, n_warmup=2, n_draws=10)
    n_draws: int = 10
    n_chains: int = 4

    def sample(
        self,
        target: Any,
        *,
        key: Any,
        initial: Any = None,
        store: str | Path | None = None,
        progress: bool | None = None,
        warn: bool = True,
    ) -> Draws:
        initial = 1e-2 * np.random.default_rng(0).normal(size=(4, target.n_dims))
        return self.sampler.sample(target, key=key, initial=initial, store=store, progress=progress, warn=warn)


def test_chains_still_near_their_start_are_found_by_the_norm_of_the_weights():
    # The noise is small, and the steps with it: what keeps chains where they began.
    model = surrogate("hmc", sampler=NearZero()).fit(progress=False)
    chains = model.chain_diagnosis()
    assert chains.weight_norm_ratio < 0.8
    assert any("The mean squared weight is" in finding for finding in diagnosis_of("", predicted(), chains).findings)
    long = surrogate("hmc", sampler=replace(QUICK_HMC, n_draws=500)).fit(progress=False).chain_diagnosis()
    assert abs(long.weight_norm_ratio - 1) < abs(chains.weight_norm_ratio - 1)
