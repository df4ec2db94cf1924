"""Layers: standardisation, Glorot's variances, factorised weights against their product."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.statistical import assert_within_error
from uqkit import InputError
from uqkit.nn import (
    MLP,
    FactorisedLinear,
    Fixed,
    GatedMLP,
    SineUnit,
    Standardise,
    SwishUnit,
    TanhUnit,
    WeightFactorisation,
    glorot_linear,
    trainable,
    without_factorisation,
)


@pytest.mark.parametrize(
    ("unit", "formula"), [(TanhUnit(), np.tanh), (SineUnit(), np.sin), (SwishUnit(), lambda x: x / (1 + np.exp(-x)))]
)
def test_units_are_their_formulas(unit, formula):
    x = np.linspace(-3, 3, 7)
    with jax.enable_x64(True):
        np.testing.assert_allclose(unit(jnp.asarray(x)), formula(x), rtol=1e-13)


def test_a_uniform_box_is_standardised_by_its_own_moments():
    lower, upper = np.array([-1.0, 10.0]), np.array([3.0, 10.5])
    draws = np.random.default_rng(0).uniform(lower, upper, size=(20_000, 2))
    with jax.enable_x64(True):
        z = np.asarray(jax.vmap(Standardise.of_box(lower, upper))(jnp.asarray(draws)))
    root = np.sqrt(len(z))
    assert_within_error(z.mean(axis=0), z.std(axis=0) / root, np.zeros(2), max_error=0.01)
    assert_within_error((z**2).mean(axis=0), (z**2).std(axis=0) / root, np.ones(2), max_error=0.01)


def test_a_box_made_outside_double_precision_is_not_rounded():
    standardise = Standardise.of_box(np.array([0.1]), np.array([0.3]))
    with jax.enable_x64(True):
        np.testing.assert_allclose(standardise(jnp.array([0.3])), np.sqrt(3.0), rtol=1e-14)


def glorot_error(n_inputs, n_outputs, assumed_sum):
    """Mean square of the weights against 2 / (n_inputs + n_outputs), and its standard error."""
    weight = np.asarray(glorot_linear(n_inputs, n_outputs, key=jax.random.key(0)).weight, dtype=float)
    squares = weight.ravel() ** 2
    assert_within_error(
        squares.mean(), squares.std() / np.sqrt(squares.size), 2.0 / assumed_sum, max_error=0.05 * squares.mean()
    )


@pytest.mark.parametrize(("n_inputs", "n_outputs"), [(20, 300), (100, 100), (300, 20)])
def test_weights_have_glorot_s_variance(n_inputs, n_outputs):
    glorot_error(n_inputs, n_outputs, assumed_sum=n_inputs + n_outputs)


def test_the_check_of_the_variance_can_fail():
    with pytest.raises(AssertionError):
        glorot_error(20, 300, assumed_sum=2 * 20)  # the variance 1 / n_inputs of LeCun


def test_a_factorised_layer_is_its_product():
    with jax.enable_x64(True):
        layer = glorot_linear(3, 200, factorisation=WeightFactorisation(), bias_sd=0.5, key=jax.random.key(0))
        assert isinstance(layer, FactorisedLinear)
        x = jnp.array([0.3, -1.0, 2.0])
        scale, direction = np.exp(np.asarray(layer.log_scale)), np.asarray(layer.direction)
        product = np.diag(scale) @ direction
        np.testing.assert_allclose(layer(x), product @ np.asarray(x) + np.asarray(layer.bias), rtol=1e-12)
        np.testing.assert_allclose(layer.weight, product, rtol=1e-12)
        # The weights are those that the same key gives without factorisation: only their training differs.
        plain = glorot_linear(3, 200, bias_sd=0.5, key=jax.random.key(0))
        np.testing.assert_allclose(layer.weight, plain.weight, rtol=1e-12)
    log_scale = np.asarray(layer.log_scale)
    assert_within_error(log_scale.mean(), 0.1 / np.sqrt(200), 1.0, max_error=0.01)
    assert_within_error(log_scale.std(), 0.1 / np.sqrt(2 * 200), 0.1, max_error=0.01)


@pytest.mark.parametrize("architecture", [MLP, GatedMLP])
def test_a_network_without_its_factorisation_is_the_same_function(architecture):
    point = jnp.array([0.2, -0.7])
    settings = architecture(widths=(4, 4), factorisation=WeightFactorisation(mean=0.5))
    with jax.enable_x64(True):
        network = settings.build(("x", "t"), 2, key=0)
        plain = without_factorisation(network)
        np.testing.assert_allclose(plain(point), network(point), rtol=1e-12)
    is_layer = lambda node: isinstance(node, (FactorisedLinear, eqx.nn.Linear))  # noqa: E731
    kinds = {type(layer) for layer in jax.tree.leaves(plain, is_leaf=is_layer)}
    assert kinds == {eqx.nn.Linear}
    assert {type(layer) for layer in jax.tree.leaves(network, is_leaf=is_layer)} == {FactorisedLinear}


def test_fixed_numbers_have_no_gradient_and_are_not_trainable():
    tree = {"weight": jnp.ones(2), "rest": Fixed(jnp.full(2, 3.0)), "count": 4}
    gradient = jax.grad(lambda w, f: (w * f.value).sum(), argnums=(0, 1))(tree["weight"], tree["rest"])
    np.testing.assert_array_equal(gradient[0], 3.0)
    np.testing.assert_array_equal(gradient[1].array, 0.0)
    assert jax.tree.leaves(trainable(tree)) == [False, False, True]  # keys in alphabetic order


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Standardise(np.zeros(2), np.array([1.0, 0.0])), "above zero"),
        (lambda: Standardise(np.array([np.inf]), np.ones(1)), "finite"),
        # Where jaxtyping is on it speaks first.
        (lambda: Standardise(np.zeros(2), np.ones(3)), r"shape \(2,\)|Type-check error"),
        (lambda: Standardise.of_box(np.zeros(2), np.array([1.0, 0.0])), "below its upper"),
        (lambda: WeightFactorisation(sd=-0.1), "sd=-0.1"),
        (lambda: WeightFactorisation(mean=np.nan), "finite mean"),
    ],
)
def test_bad_settings_say_so(make, message):
    with pytest.raises((InputError, TypeError), match=message):
        make()
