"""Priors over weights: densities against SciPy, draws, and the field that they imply."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.statistical import assert_within_error
from uqkit import InputError
from uqkit.nn import MLP, FlatNetwork, FourierEmbedding, GatedMLP, GaussianPrior, Standardise, WeightFactorisation

BOX = Standardise.of_box(np.array([-1.0, 0.0]), np.array([1.0, 3.0]))


def test_scales_follow_the_fan_in_of_each_layer():
    network = MLP(widths=(3, 4)).build(("x", "t"), 1, standardise=BOX, key=0)
    found = GaussianPrior(weight_scale=2.0, bias_scale=0.5).scales(network)
    blocks = FlatNetwork(network).blocks
    expected = {"hidden.0": np.sqrt(2.0), "hidden.1": np.sqrt(3.0), "last": np.sqrt(4.0)}
    for layer, root in expected.items():
        np.testing.assert_allclose(found[blocks[f"{layer}.weight"]], 2.0 / root, rtol=1e-6)
        np.testing.assert_allclose(found[blocks[f"{layer}.bias"]], 0.5)
    assert found.shape == FlatNetwork(network).vector.shape


def test_constant_scales_and_trained_frequencies():
    settings = GatedMLP(widths=(4, 4), fourier=FourierEmbedding(scale=5.0, n_frequencies=3, trainable=True))
    network = settings.build(("x", "t"), 1, key=0)
    found = GaussianPrior(weight_scale=1.5, bias_scale=1.5, by_fan_in=False).scales(network)
    frequency = FlatNetwork(network).blocks["inputs.fourier.frequency"]
    np.testing.assert_array_equal(found[frequency], 5.0)
    np.testing.assert_array_equal(np.delete(np.asarray(found), frequency), 1.5)


@pytest.mark.parametrize("by_fan_in", [True, False])
def test_the_log_density_is_scipy_s(by_fan_in):
    prior = GaussianPrior(weight_scale=0.7, bias_scale=1.3, by_fan_in=by_fan_in)
    with jax.enable_x64(True):
        network = GatedMLP(widths=(4, 4)).build(("x", "t"), 2, standardise=BOX, key=0)
        flat = FlatNetwork(network)
        found = float(prior.log_density(network))
        vector = np.asarray(flat.vector)
    sd = np.concatenate(
        [
            np.full(part.stop - part.start, 1.3)
            if name.endswith("bias")
            else np.full(
                part.stop - part.start, 0.7 / (np.sqrt(2 if layer_sees_point(name) else 4) if by_fan_in else 1)
            )
            for name, part in flat.blocks.items()
        ]
    )
    np.testing.assert_allclose(found, stats.norm.logpdf(vector, 0.0, sd).sum(), rtol=1e-12)


def layer_sees_point(name):
    return name.startswith(("encoders", "hidden.0"))


def test_layers_without_bias_are_taken():
    network = eqx.nn.MLP(2, 1, 4, 1, use_bias=False, use_final_bias=False, key=jax.random.key(0))
    np.testing.assert_allclose(GaussianPrior().scales(network), [*[np.sqrt(0.5)] * 8, *[0.5] * 4], rtol=1e-6)


def test_draws_have_their_scales_and_keep_what_is_fixed():
    prior = GaussianPrior(weight_scale=2.0, bias_scale=0.3)
    network = MLP(widths=(50,), fourier=FourierEmbedding(n_frequencies=25)).build(("x", "t"), 1, standardise=BOX, key=0)
    drawn = prior.draw(network, key=1)
    z = np.asarray(FlatNetwork(drawn).vector / prior.scales(network), dtype=float)
    assert_within_error(z.mean(), 1.0 / np.sqrt(z.size), 0.0, max_error=0.02)
    assert_within_error((z**2).mean(), np.sqrt(2.0 / z.size), 1.0, max_error=0.03)
    assert eqx.tree_equal(drawn.inputs, network.inputs)
    assert eqx.tree_equal(prior.draw(network, key=1), drawn)
    sampled = prior.distribution(network).sample(jax.random.key(1))
    assert np.shape(sampled) == FlatNetwork(network).vector.shape


def field_variance(by_fan_in):
    """Mean square of prior fields at a point, and its standard error, over 2,000 draws."""
    network = MLP(widths=(50,)).build(("x",), 1, key=0)
    prior = GaussianPrior(by_fan_in=by_fan_in)
    keys = jax.random.split(jax.random.key(0), 2000)
    values = jax.jit(jax.vmap(lambda key: prior.draw(network, key=key)(jnp.array([0.5]))[0]))(keys)
    squares = np.asarray(values, dtype=float) ** 2
    return squares.mean(), squares.std() / np.sqrt(len(squares))


def test_the_prior_of_the_field_has_its_closed_form():
    # Var u = bias^2 + E tanh(h)^2 with h ~ Normal(0, weight^2 x^2 + bias^2).
    node, weight = np.polynomial.hermite_e.hermegauss(60)
    expected = 1.0 + (weight * np.tanh(np.sqrt(1.25) * node) ** 2).sum() / np.sqrt(2 * np.pi)
    assert_within_error(*field_variance(by_fan_in=True), expected, max_error=0.1)
    with pytest.raises(AssertionError):
        assert_within_error(*field_variance(by_fan_in=False), expected, max_error=1.0)


class Odd(eqx.Module):
    layer: eqx.nn.Linear
    slope: jax.Array


def test_weights_of_unknown_scale_are_refused_by_name():
    odd = Odd(eqx.nn.Linear(2, 1, key=jax.random.key(0)), jnp.ones(()))
    with pytest.raises(InputError, match="no scale for slope of Odd"):
        GaussianPrior().scales(odd)


def test_factorised_weights_are_refused_by_name():
    network = MLP(widths=(3,), factorisation=WeightFactorisation()).build(("x",), 1, key=0)
    with pytest.raises(InputError, match=r"hidden\.0 has factorised weights"):
        GaussianPrior().scales(network)


@pytest.mark.parametrize("name", ["weight_scale", "bias_scale"])
@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, np.nan])
def test_bad_scales_say_so(name, value):
    with pytest.raises(InputError, match=f"{name}={value}"):
        GaussianPrior(**{name: value})
