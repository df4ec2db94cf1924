"""Networks against a few lines of NumPy, their weights at the start, keys and precision."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.statistical import assert_within_error
from uqkit import InputError
from uqkit.nn import (
    MLP,
    Architecture,
    FlatNetwork,
    FourierEmbedding,
    GatedMLP,
    Network,
    PeriodicEmbedding,
    SineUnit,
    Standardise,
    WeightFactorisation,
)

LOWER, UPPER = np.array([-1.0, 0.0]), np.array([1.0, 3.0])
BOX = Standardise.of_box(LOWER, UPPER)
both = pytest.mark.parametrize("settings", [MLP(widths=(4, 4)), GatedMLP(widths=(4, 4))], ids=["mlp", "gated"])


def standardised(point):
    return (point - 0.5 * (LOWER + UPPER)) / ((UPPER - LOWER) / np.sqrt(12.0))


def linear(layer, values):
    return np.asarray(layer.weight) @ values + np.asarray(layer.bias)


def mlp_by_hand(network, point):
    values = standardised(point)
    for layer in network.hidden:
        values = np.sin(linear(layer, values))
    return linear(network.last, values)


def gated_by_hand(network, point, swapped=False):
    values = standardised(point)
    u, v = (np.sin(linear(encoder, values)) for encoder in network.encoders)
    for layer in network.hidden:
        z = np.sin(linear(layer, values))
        values = z * u + (1 - z) * v if swapped else (1 - z) * u + z * v
    return linear(network.last, values)


@pytest.mark.parametrize(("architecture", "by_hand"), [(MLP, mlp_by_hand), (GatedMLP, gated_by_hand)])
def test_networks_are_their_equations(architecture, by_hand):
    settings = architecture(widths=(4, 4, 4), activation=SineUnit())
    points = np.random.default_rng(0).uniform(LOWER, UPPER, size=(5, 2))
    with jax.enable_x64(True):
        network = settings.build(("x", "t"), 3, standardise=BOX, key=0)
        found = np.asarray(jax.jit(jax.vmap(network))(jnp.asarray(points)))
        np.testing.assert_allclose(found, [by_hand(network, point) for point in points], rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(
            linear(network.last, np.asarray(network.hidden_values(jnp.asarray(points[0])))), found[0], rtol=1e-12
        )


def test_the_check_above_sees_swapped_gates():
    with jax.enable_x64(True):
        network = GatedMLP(widths=(4, 4), activation=SineUnit()).build(("x", "t"), 2, standardise=BOX, key=0)
        right, wrong = (gated_by_hand(network, LOWER, swapped=swapped) for swapped in (False, True))
    assert np.abs(right - wrong).max() > 0.01


def test_biases_of_encoders_are_normal_and_those_of_layers_zero():
    network = GatedMLP(widths=(1000,)).build(("x", "t"), 1, key=0)
    for layer in (*network.hidden, network.last):
        np.testing.assert_array_equal(layer.bias, 0.0)
    squares = np.concatenate([np.asarray(encoder.bias, dtype=float) ** 2 for encoder in network.encoders])
    assert_within_error(squares.mean(), squares.std() / np.sqrt(2000), 2.0 / 1001, max_error=1e-4)
    first, second = network.encoders
    assert np.abs(np.asarray(first.weight - second.weight)).max() > 0.01


@both
def test_the_same_key_gives_the_same_network_and_another_key_another(settings):
    one, same, other = (FlatNetwork(settings.build(("x", "t"), 2, key=key)).vector for key in (0, jax.random.key(0), 1))
    np.testing.assert_array_equal(one, same)
    assert np.all(np.asarray(one != other)[np.asarray(one != 0)])
    assert isinstance(settings, Architecture)
    assert isinstance(settings.build(("x",), 1, key=0), Network)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize(("architecture", "factorisation"), [(MLP, WeightFactorisation()), (GatedMLP, None)])
def test_networks_have_the_precision_that_jax_is_in(architecture, factorisation, double):
    settings = architecture(
        widths=(4, 4),
        periodic=PeriodicEmbedding(coordinates=("t",), periods=(3.0,)),
        fourier=FourierEmbedding(n_frequencies=3),
        factorisation=factorisation,
    )
    with jax.enable_x64(double):
        network = settings.build(("x", "t"), 2, standardise=BOX, key=0)
        dtype = jnp.zeros(()).dtype
        assert dtype == (np.float64 if double else np.float32)
        assert FlatNetwork(network).vector.dtype == dtype
        assert network(jnp.ones(2)).dtype == dtype
        assert jax.jit(jax.vmap(network))(jnp.ones((3, 2))).shape == (3, 2)


def test_an_ensemble_is_a_vmap_over_keys():
    def build(key):
        return MLP(widths=(4,)).build(("x", "t"), 2, standardise=BOX, key=key)

    keys, point = jax.random.split(jax.random.key(0), 2), jnp.array([0.2, 0.3])
    members = eqx.filter_vmap(build)(keys)
    found = eqx.filter_vmap(lambda network: network(point))(members)
    np.testing.assert_allclose(found, [build(key)(point) for key in keys], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLP(widths=()), "at least one hidden layer"),
        (lambda: MLP(widths=(5, 0)), "above zero"),
        (lambda: GatedMLP(widths=(5, 6)), "one width"),
        (lambda: MLP().build((), 1, key=0), "at least one output"),
        (lambda: MLP().build(("x",), 0, key=0), "n_outputs=0"),
        (lambda: MLP().build(("x",), 1, standardise=BOX, key=0), "for 2 coordinates"),
    ],
)
def test_bad_settings_say_so(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_biases_of_hidden_layers_have_the_spread_asked_for():
    network = MLP(widths=(400, 400), bias_sd=0.5).build(("x",), 2, key=0)
    for layer in network.hidden:
        # The standard error of a standard deviation of 400 draws is 0.5 / sqrt(800).
        assert abs(float(np.std(np.asarray(layer.bias))) - 0.5) < 5 * 0.5 / np.sqrt(800)
    assert not np.any(network.last.bias)
    assert not any(np.any(layer.bias) for layer in MLP(widths=(4,)).build(("x",), 2, key=0).hidden)
    with pytest.raises(InputError, match=r"MLP\(bias_sd=-1.0\): pass a finite number of zero or more"):
        MLP(bias_sd=-1.0)
