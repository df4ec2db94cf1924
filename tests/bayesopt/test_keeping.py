"""Surrogates as recipes, in files, in torch alone, and as labelled results."""

import json
import re
from dataclasses import dataclass
from typing import Any

import arviz as az
import jax
import numpy as np
import pytest
import torch
from botorch.models.transforms import Normalize, Standardize
from botorch.models.transforms.outcome import Log

from tests.bayesopt.networks import (
    RECIPES,
    SETTINGS,
    PriorNetwork,
    fitted,
    inputs,
    outputs,
    prior_network,
    surrogate,
    uniform,
)
from uqkit import results
from uqkit.bayesopt import Embedding, EnsembleNetwork, HMCNetwork, InfiniteWidthGP, VariationalNetwork
from uqkit.bayesopt.network import WeightPrior
from uqkit.errors import InputError
from uqkit.nn import SineUnit, SwishUnit
from uqkit.results.validate import validate

X, Y = inputs(12), outputs(inputs(12))
AT = inputs(6, seed=4).reshape(3, 2, 3)
each = pytest.mark.parametrize("name", RECIPES)


def assert_same(one: Any, other: Any, tolerance: float = 0.0) -> None:
    values = one if isinstance(one, torch.Tensor) else one.posterior(AT).values
    torch.testing.assert_close(values, other.posterior(AT).values, rtol=tolerance, atol=tolerance)


@each
def test_a_recipe_makes_a_fitted_surrogate(name):
    cls, own = RECIPES[name]
    recipe = cls.factory(**SETTINGS, **own)
    assert recipe.name == cls.__name__
    made = recipe(X, Y, key=0)
    assert type(made) is cls
    assert_same(made, fitted(name))


def test_a_recipe_copies_its_transforms_for_every_call():
    transforms = {"input_transform": Normalize(3, indices=[0, 1]), "outcome_transform": Standardize(2)}
    recipe = PriorNetwork.factory(**SETTINGS, **transforms)
    first, second = recipe(X, Y, key=0), recipe(X, 10 * Y, key=0)
    torch.testing.assert_close(second.outcome_transform.stdvs, 10 * first.outcome_transform.stdvs)
    torch.testing.assert_close(second.posterior(AT).values, 10 * first.posterior(AT).values)
    assert_same(first, prior_network(), 1e-9)


def test_a_recipe_passes_known_noise():
    recipe = PriorNetwork.factory(**SETTINGS)
    assert recipe(X, Y, 0.1 * torch.ones_like(Y), key=0).network.known_noise


@pytest.mark.parametrize(
    ("cls", "own"), [(HMCNetwork, "sampler"), (EnsembleNetwork, "training"), (VariationalNetwork, "sampler")]
)
def test_settings_that_a_surrogate_does_not_have_are_named(cls, own):
    message = re.escape(f"{cls.__name__} has no setting colour, train_X; its settings are activation, categorical")
    with pytest.raises(InputError, match=f"{message}.*{own}.*widths"):
        cls.factory(colour="red", train_X=X)
    with pytest.raises(InputError, match="no setting key"):
        cls.factory(key=0)


@each
def test_a_saved_surrogate_gives_the_same_posterior(name, tmp_path):
    model = fitted(name)
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model")
    assert_same(loaded, model)
    assert loaded._settings == model._settings
    noisy = model.posterior(AT, observation_noise=True).values
    torch.testing.assert_close(loaded.posterior(AT, observation_noise=True).values, noisy, rtol=0, atol=0)
    assert loaded.chain_diagnosis() == model.chain_diagnosis()
    # It can be fitted again, to the same.
    if name != "microcanonical":
        assert_same(loaded.fit(progress=False), model)


def embedded() -> Any:
    return prior_network(
        Yvar=0.1 * uniform(12, 2) + 0.1,
        encoding=Embedding(n_dims=2),
        activation=SwishUnit(),
        input_transform=Normalize(3, indices=[0, 1]),
        outcome_transform=Log(),
    )


def test_transforms_embeddings_and_known_noise_are_saved(tmp_path):
    model = embedded()
    model.save(tmp_path / "model")
    own = {"input_transform": Normalize(3, indices=[0, 1]), "outcome_transform": Log()}
    loaded = PriorNetwork.load(tmp_path / "model", **own)
    assert_same(loaded, model)
    torch.testing.assert_close(loaded.train_Yvar, model.train_Yvar)
    for wrong, message in (
        ({}, "`input_transform` is None, but .* was saved with Normalize"),
        (own | {"outcome_transform": Standardize(2)}, "`outcome_transform` is Standardize, but .* was saved with Log"),
    ):
        with pytest.raises(InputError, match=message):
            PriorNetwork.load(tmp_path / "model", **wrong)  # pyright: ignore[reportArgumentType]


def test_a_key_of_another_kind_is_saved(tmp_path):
    model = PriorNetwork(X, Y, **SETTINGS, key=jax.random.key(3, impl="rbg")).fit()
    model.save(tmp_path / "model")
    assert_same(PriorNetwork.load(tmp_path / "model"), model)


def test_files_of_another_class_are_refused(tmp_path):
    fitted("plain").save(tmp_path / "ensemble")
    with pytest.raises(InputError, match="holds a EnsembleNetwork of format 1; this reads a HMCNetwork"):
        HMCNetwork.load(tmp_path / "ensemble")
    InfiniteWidthGP(uniform(6, 2), uniform(6, 1), key=0).save(tmp_path / "process")
    with pytest.raises(InputError, match="cannot be read as a HMCNetwork"):
        HMCNetwork.load(tmp_path / "process")


def own_activation(argument: Any) -> Any:
    return argument


@dataclass(frozen=True, kw_only=True)
class OwnSampler:
    n_draws: int = 10
    n_chains: int = 4

    def sample(self, target: Any, *, key: Any, initial: Any = None, store: Any = None, progress: Any = None) -> Any:
        raise NotImplementedError


def test_settings_that_are_code_are_not_saved(tmp_path):
    model = prior_network(activation=own_activation)
    with pytest.raises(InputError, match="activation=<function own_activation.*cannot be written to a file"):
        model.save(tmp_path / "model")
    sampled = surrogate("hmc", sampler=OwnSampler())
    sampled.members = fitted("hmc").members
    with pytest.raises(InputError, match="sampler=OwnSampler.*cannot be written to a file"):
        sampled.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()
    with pytest.raises(InputError, match="activation=<function own_activation.*is not known to torch"):
        model.to_torch()


@each
def test_torch_alone_gives_the_values_of_the_posterior(name):
    assert_same(fitted(name).to_torch()(AT), fitted(name), 1e-10)


@pytest.mark.parametrize(
    "make",
    [
        embedded,
        lambda: prior_network(activation=SineUnit(), widths=(10, 10), prior=WeightPrior(by_fan_in=False)),
        lambda: prior_network().subset_output([1]),
    ],
)
def test_torch_alone_knows_embeddings_transforms_depth_and_outputs(make):
    model = make()
    module = model.to_torch()
    assert_same(module(AT), model, 1e-10)
    assert_same(module(AT), model, 1e-10)
    at = AT.clone().requires_grad_()
    module(at).sum().backward()
    mine = AT.clone().requires_grad_()
    model.posterior(mine).values.sum().backward()
    assert at.grad is not None
    torch.testing.assert_close(at.grad, mine.grad)


@each
def test_the_result_is_a_valid_tree_that_arviz_reads(name, tmp_path):
    model = fitted(name)
    tree = model.posterior_tree
    validate(tree)
    n_chains = 4 if name not in ("plain", "anchored") else 1
    assert tree["posterior"].sizes["chain"] == n_chains
    assert tree["posterior"].sizes["chain"] * tree["posterior"].sizes["draw"] == model.n_members
    weight = tree["posterior"]["weight_1"].values.reshape(model.n_members, 8, 2)
    np.testing.assert_array_equal(weight, model.members["weight_1"])
    np.testing.assert_array_equal(tree["observed_data"]["output_value"].values, Y)
    np.testing.assert_array_equal(tree["constant_data"]["input_value"].values, X)
    if name in ("hmc", "microcanonical", "sghmc"):
        assert float(tree["diagnostics"]["r_hat_95"]) == pytest.approx(model.chain_diagnosis().r_hat_95)
        assert tree["posterior"].attrs["independent_draws"] == 0
        assert tree["sample_stats"].sizes["chain"] == 4
    if n_chains == 4:
        assert "scale_0" in az.summary(tree, var_names=["scale_0", "noise_variance"]).index
    path = results.save(tree, tmp_path / "result.nc")
    again = results.load(path)
    np.testing.assert_array_equal(again["posterior"]["scale_1"], tree["posterior"]["scale_1"])


def test_the_tree_of_a_loaded_surrogate_is_that_of_the_saved_one(tmp_path):
    model = fitted("hmc")
    model.save(tmp_path / "model")
    tree = HMCNetwork.load(tmp_path / "model").posterior_tree
    assert tree["posterior"].attrs == model.posterior_tree["posterior"].attrs
    assert tree["posterior"].sizes == model.posterior_tree["posterior"].sizes
    assert tree["diagnostics"].equals(model.posterior_tree["diagnostics"])


def test_the_tree_says_how_it_was_made():
    attributes = json.dumps({key: str(value) for key, value in fitted("hmc").posterior_tree.attrs.items()})
    for words in ("bayesopt", "HMCNetwork", "n_leapfrog=10", "12 training rows"):
        assert words in attributes
