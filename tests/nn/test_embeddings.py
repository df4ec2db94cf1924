"""Embeddings: waves against their formulas, exact periodicity of networks and of their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.statistical import assert_within_error
from uqkit import InputError
from uqkit.nn import (
    MLP,
    Fixed,
    FlatNetwork,
    FourierEmbedding,
    GatedMLP,
    PeriodicEmbedding,
    Standardise,
    derivatives,
)

COORDINATES = ("x", "t", "y")
BOX = Standardise.of_box(np.array([-1.0, 0.0, 2.0]), np.array([1.0, 5.0, 2.5]))
PERIODIC = PeriodicEmbedding(coordinates=("y", "x"), periods=(0.5, 2.0), harmonics=2)


def test_waves_of_the_periodic_coordinates_follow_the_others():
    with jax.enable_x64(True):
        found = PERIODIC.build(COORDINATES)(jnp.array([0.3, 1.7, 2.1]))
    phase = 2 * np.pi * np.array([2.1 / 0.5, 0.3 / 2.0, 2 * 2.1 / 0.5, 2 * 0.3 / 2.0])
    np.testing.assert_allclose(found, [1.7, *np.cos(phase), *np.sin(phase)], rtol=1e-12)


def test_every_coordinate_can_be_periodic():
    waves = PeriodicEmbedding(coordinates=("x",), periods=(1.0,)).build(("x",))
    np.testing.assert_allclose(waves(jnp.array([0.25])), [0.0, 1.0], atol=1e-6)


@pytest.mark.parametrize("architecture", [MLP, GatedMLP])
def test_networks_are_periodic_with_their_derivatives(architecture):
    settings = architecture(widths=(4, 4), periodic=PERIODIC)
    with jax.enable_x64(True):
        network = settings.build(COORDINATES, 1, standardise=BOX, key=0)
        points = jnp.asarray(np.random.default_rng(0).random((10, 3)))
        wanted = [(0, 0, 0), (1, 0, 0), (0, 0, 1), (2, 0, 0)]
        at = jax.jit(lambda shift: derivatives(network, points + shift, wanted))
        here, there, moved = (at(jnp.array(shift)) for shift in ([0.0, 0.0, 0.0], [-2.0, 0.0, 1.5], [0.0, 2.0, 0.0]))
    for orders in wanted:
        # A derivative of order n brings the n-th power of the frequency with its rounding.
        size = np.abs(np.asarray(here[orders])).max()
        np.testing.assert_allclose(there[orders], here[orders], rtol=0, atol=1e-12 * max(1.0, size))
    assert np.abs(np.asarray(moved[0, 0, 0] - here[0, 0, 0])).min() > 1e-4  # t passes through


def test_coordinates_that_pass_a_periodic_embedding_are_standardised():
    settings = MLP(widths=(4,), periodic=PERIODIC)
    with jax.enable_x64(True):
        network = settings.build(COORDINATES, 1, standardise=BOX, key=0)
        point = jnp.array([0.3, 1.7, 2.1])
        seen = network.inputs(point)
        waves = PERIODIC.build(COORDINATES)(point)
        np.testing.assert_allclose(seen, [(1.7 - 2.5) / (2.5 / np.sqrt(3)), *waves[1:]], rtol=1e-12)


def as_array(frequency):
    return np.asarray(frequency.array if isinstance(frequency, Fixed) else frequency, dtype=float)


@pytest.mark.parametrize("trainable", [False, True])
def test_random_waves_are_their_formula_and_are_weights_if_trainable(trainable):
    settings = FourierEmbedding(scale=2.0, n_frequencies=4, trainable=trainable)
    with jax.enable_x64(True):
        network = MLP(widths=(4,), fourier=settings).build(("x", "t"), 1, key=0)
        waves = network.inputs.fourier
        assert waves is not None
        frequency = as_array(waves.frequency)
        assert np.shape(frequency) == (4, 2)
        point = jnp.array([0.4, -1.1])
        phase = np.asarray(frequency) @ np.asarray(point)
        np.testing.assert_allclose(network.inputs(point), np.concatenate([np.cos(phase), np.sin(phase)]), rtol=1e-12)
        assert FlatNetwork(network).n_weights == 4 * 8 + 4 + 4 + 1 + 8 * trainable
        gradient = jax.grad(lambda network: network(point)[0])(network).inputs.fourier.frequency
    size = np.abs(as_array(gradient)).max()
    assert size > 0 if trainable else size == 0


def test_frequencies_are_normal_with_their_scale():
    frequency = FourierEmbedding(scale=3.0, n_frequencies=2000).build(2, key=0).frequency
    values = as_array(frequency).ravel()
    assert_within_error(values.mean(), 3.0 / np.sqrt(4000), 0.0, max_error=0.05)
    assert_within_error((values**2).mean(), 9.0 * np.sqrt(2.0 / 4000), 9.0, max_error=0.3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FourierEmbedding(scale=0.0), "scale=0.0"),
        (lambda: FourierEmbedding(n_frequencies=0), "at least one frequency"),
        (lambda: PeriodicEmbedding(coordinates=("x", "y"), periods=(1.0,)), "one period for each"),
        (lambda: PeriodicEmbedding(coordinates="x", periods=(1.0,)), "tuple of names"),
        (lambda: PeriodicEmbedding(coordinates=("x", "x"), periods=(1.0, 2.0)), "twice"),
        (lambda: PeriodicEmbedding(coordinates=("x",), periods=(-1.0,)), "above"),
        (lambda: PeriodicEmbedding(coordinates=("x",), periods=(1.0,), harmonics=0), "harmonic"),
        (lambda: PeriodicEmbedding(coordinates=("z",), periods=(1.0,)).build(("x", "t")), "names z"),
    ],
)
def test_bad_settings_say_so(make, message):
    with pytest.raises(InputError, match=message):
        make()
