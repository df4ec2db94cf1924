"""Ensembles: what their members are trained on, and how far they spread."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from tests.bayesopt.networks import ANCHORED, N_CATEGORIES, PLAIN, fitted, inputs, outputs, surrogate
from tests.statistical import assert_within_error
from uqkit.bayesopt import AnchoredTraining, PlainTraining
from uqkit.bayesopt.ensemble import _Misfit
from uqkit.bayesopt.network import NOISE_VARIANCE
from uqkit.errors import InputError, StoreError

X, Y = inputs(12), outputs(inputs(12))


def misfit(setting: AnchoredTraining | PlainTraining, n_rows: int = 12) -> tuple[Any, Any]:
    """Objective of the members, and what is fixed."""
    model = surrogate("plain", n_rows)
    with jax.enable_x64(True):
        fixed = {"scale_0": jnp.asarray(1.5), "scale_1": jnp.asarray(0.8), NOISE_VARIANCE: jnp.array([0.1, 0.4])}
        anchor = jax.random.normal(jax.random.key(1), (setting.n_members, model.network.n_weights))
        return _Misfit(model.network, setting, model.data(), fixed, anchor, jax.random.key(0)), anchor


@pytest.mark.parametrize(("share", "n_kept"), [(1.0, 12), (0.8, 10), (0.5, 6), (0.01, 1)])
def test_plain_members_are_trained_on_random_parts_of_the_rows(share, n_kept):
    present = np.asarray(misfit(PlainTraining(n_members=50, share=share))[0].present)
    assert (present.sum(axis=1) == n_kept).all()
    # Padding never counts, and no row is left out by all.
    assert (present[:, 12:] == 0).all()
    assert (present[:, :12].sum(axis=0) > 0).all()
    assert (len(np.unique(present, axis=0)) == 1) == (share == 1.0)


def test_anchored_members_are_trained_on_all_rows_with_noise_of_their_own():
    objective, anchor = misfit(AnchoredTraining(n_members=200))
    assert (np.asarray(objective.present) == (np.arange(16) < 12)).all()
    np.testing.assert_array_equal(objective.anchor, anchor)
    noise = np.asarray(objective.outputs - objective.data.outputs)[:, :12]
    ratio = (noise**2 / np.array([0.1, 0.4])).reshape(-1, 2)
    assert_within_error(ratio.mean(axis=0), np.full(2, np.sqrt(2 / len(ratio))), 1.0, max_error=0.05)
    plain = misfit(PlainTraining())[0]
    assert (np.asarray(plain.outputs) == np.asarray(plain.data.outputs)).all()
    assert (np.asarray(plain.anchor) == 0).all()


@pytest.mark.parametrize("setting", [AnchoredTraining(n_members=2), PlainTraining(n_members=2, share=0.5)])
def test_members_descend_the_negative_log_posterior_of_their_data(setting):
    objective, _ = misfit(setting)
    network, rng = objective.network, np.random.default_rng(0)

    def written_out(white: np.ndarray, member: int) -> float:
        sites = network.named(jnp.array([1.5, 0.8]), jnp.asarray(white))
        values = np.asarray(network.values(sites, objective.data.columns))
        squares = (values - np.asarray(objective.outputs)[member]) ** 2 / np.array([0.1, 0.4])
        kept = np.asarray(objective.present)[member].astype(bool)
        return 0.5 * squares[kept].sum() + 0.5 * ((white - np.asarray(objective.anchor)[member]) ** 2).sum()

    with jax.enable_x64(True):
        white, direction = rng.normal(size=(2, 2, network.n_weights))
        gradient = np.asarray(objective(jnp.asarray(white), (), jax.random.key(0), 0)[0])
        for member in (0, 1):
            step = 1e-5 * direction[member]
            slope = written_out(white[member] + step, member) - written_out(white[member] - step, member)
            np.testing.assert_allclose(gradient[member] @ direction[member], slope / 2e-5, rtol=1e-7)


def test_anchored_members_spread_away_from_the_data_and_plain_ones_less():
    # Around the middle of the data, twice and four times as far as they reach.
    direction = inputs(60, seed=3) - 0.5

    def spread(name: str, reach: float) -> float:
        far = 0.5 + reach * direction / direction[:, :2].norm(dim=-1, keepdim=True)
        far[:, 2] = torch.arange(60) % N_CATEGORIES
        model = fitted(name)
        return float((model.posterior(far).variance.sqrt() / model.output_sd).mean())

    near = fitted("anchored").posterior(X).variance.sqrt() / fitted("anchored").output_sd
    assert spread("anchored", 3.0) > 3 * float(near.mean())
    assert spread("anchored", 3.0) > spread("plain", 3.0)


@pytest.mark.parametrize("name", ["plain", "anchored"])
def test_members_differ_and_fit_the_data(name):
    model = fitted(name)
    values = model.posterior(X).values
    assert model.n_members == PLAIN.n_members == ANCHORED.n_members
    assert values.std(0).min() > 1e-4
    assert ((values - Y).square().mean((0, 1)).sqrt() / model.output_sd).max() < 0.5
    assert model.chains is None


@pytest.mark.parametrize("name", ["plain", "anchored"])
def test_a_stored_training_goes_on(name, tmp_path):
    store = tmp_path / "training.npz"
    surrogate(name).fit(progress=False, store=store)
    again = surrogate(name).fit(progress=False, store=store)
    torch.testing.assert_close(again.posterior(X).values, fitted(name).posterior(X).values, rtol=0, atol=0)
    for other in (surrogate(name, key=1), surrogate(name, n_rows=11)):
        with pytest.raises(StoreError):
            other.fit(progress=False, store=store)


@pytest.mark.parametrize("wrong", [{"n_members": 1}, {"n_steps": 0}, {"learning_rate": 0.0}])
def test_settings_that_cannot_be_are_refused(wrong):
    for setting in (AnchoredTraining, PlainTraining):
        with pytest.raises(InputError, match="pass two members or more"):
            setting(**wrong)


@pytest.mark.parametrize("share", [0.0, 1.1])
def test_shares_that_cannot_be_are_refused(share):
    with pytest.raises(InputError, match=r"pass a share in \(0, 1\]"):
        PlainTraining(share=share)
