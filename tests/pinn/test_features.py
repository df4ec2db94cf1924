"""Random features: derivatives against nested automatic ones, covariances against the process that they stand for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.statistical import assert_within_error
from uqkit import InputError
from uqkit.pinn.features import Basis, GaussianPairs, RandomFeatures, Sine, Tanh, UniformBand
from uqkit.problems import Box

LINE = Box(x=(-0.5, 2.0))
PLANE = Box(x=(0.0, 1.0), t=(-2.0, 4.0))
ORDERS = {
    1: [(0,), (1,), (2,), (3,), (4,)],
    2: [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (1, 2), (0, 3), (2, 2), (4, 0), (3, 1)],
}
ACTIVATIONS = {Sine: jnp.sin, Tanh: jnp.tanh}


def along(function, axis):
    return lambda point, k: jax.grad(function)(point, k)[axis]


def by_automatic_differentiation(basis, points, orders):
    """The same features written out, differentiated one coordinate at a time."""
    function = ACTIVATIONS[type(basis.activation)]
    norm = np.sqrt((2.0 if isinstance(basis.activation, Sine) else 1.0) / len(basis.phase))

    def value(point, k):
        scaled = (point - basis.centre) / basis.half_width
        return norm * function(jnp.asarray(basis.frequency)[k] @ scaled + jnp.asarray(basis.phase)[k])

    for axis, order in enumerate(orders):
        for _ in range(order):
            value = along(value, axis)
    with jax.enable_x64(True):
        each = jax.vmap(jax.vmap(value, in_axes=(None, 0)), in_axes=(0, None))
        return np.asarray(jax.jit(each)(jnp.asarray(points), jnp.arange(len(basis.phase))))


@pytest.mark.parametrize("activation", [Sine(), Tanh()])
@pytest.mark.parametrize("box", [LINE, PLANE])
def test_derivatives_of_all_orders_are_those_of_automatic_differentiation(box, activation):
    basis = RandomFeatures(n_features=5, activation=activation).basis(box, 4.0, key=jax.random.key(0))
    points = np.random.default_rng(0).uniform(box.lower, box.upper, size=(3, len(box)))
    wanted = ORDERS[len(box)]
    found = basis.matrices(points, wanted)
    assert list(found) == wanted
    for orders in wanted:
        np.testing.assert_allclose(
            found[orders], by_automatic_differentiation(basis, points, orders), rtol=1e-9, atol=1e-9
        )


def covariance_error(length_scale, n_keys=100):
    """Prior covariance of pairs against the squared exponential with length scale 0.4, mean and standard error."""
    half_widths = np.array([[0.0], [0.1], [0.3], [0.8]])
    points = 0.75 + 1.25 * half_widths
    field = RandomFeatures(n_features=32, frequencies=GaussianPairs(length_scale=length_scale))
    found = []
    for key in jax.random.split(jax.random.key(0), n_keys):
        design = field.basis(LINE, length_scale, key=key).matrices(points, [(0,), (1,)])
        np.testing.assert_allclose((design[0,] ** 2).sum(axis=1), 1.0, rtol=1e-12)
        found.append((design[0,] @ design[0,].T)[0, 1:])
    wanted = np.exp(-0.5 * (half_widths[1:, 0] / 0.4) ** 2)
    return np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(n_keys), wanted


def test_pairs_have_the_covariance_of_the_squared_exponential():
    mean, error, wanted = covariance_error(0.4)
    assert_within_error(mean, error, wanted, max_error=0.02)
    with pytest.raises(AssertionError):
        assert_within_error(*covariance_error(0.48), max_error=0.02)


def test_slopes_of_pairs_have_their_variance():
    # Of the squared exponential, amplitude over length scale, the length in the coordinate's own unit.
    field = RandomFeatures(n_features=64, frequencies=GaussianPairs(length_scale=0.4))
    square = [
        (field.basis(LINE, 0.4, key=key).matrices(np.array([[0.1]]), [(1,)])[(1,)] ** 2).sum()
        for key in jax.random.split(jax.random.key(0), 50)
    ]
    assert_within_error(np.mean(square), np.std(square) / np.sqrt(50), 1 / (0.4 * 1.25) ** 2, max_error=0.2)


def test_waves_of_uniform_phase_have_the_amplitude_of_their_weights():
    points = np.random.default_rng(0).uniform(PLANE.lower, PLANE.upper, size=(4, 2))
    field = RandomFeatures(n_features=64, frequencies=UniformBand(limit=9.0))
    variance = [
        (field.basis(PLANE, 9.0, key=key).matrices(points, [(0, 0)])[0, 0] ** 2).sum(axis=1)
        for key in jax.random.split(jax.random.key(0), 50)
    ]
    error = np.std(variance, axis=0, ddof=1) / np.sqrt(50)
    assert_within_error(np.mean(variance, axis=0), error, np.ones(4), max_error=0.03)


def test_uniform_frequencies_fill_their_band():
    frequency, phase = UniformBand(limit=7.0).draw(64, 2, 7.0, key=jax.random.key(0))
    assert frequency.shape == (64, 2)
    assert np.abs(frequency).max() < 7.0
    # A net of 64 points has one in each sixty-fourth of every coordinate.
    for column in (0.5 + frequency[:, 0] / 14.0, 0.5 + frequency[:, 1] / 14.0, phase / (2 * np.pi)):
        np.testing.assert_array_equal(np.sort(np.floor(64 * column)), np.arange(64))


@pytest.mark.parametrize("n_features", [2, 3, 6, 7])
def test_pairs_share_their_frequency(n_features):
    frequency, phase = GaussianPairs(length_scale=0.5).draw(n_features, 2, 0.5, key=jax.random.key(0))
    half = (n_features + 1) // 2
    np.testing.assert_array_equal(frequency[half:], frequency[: n_features - half])
    np.testing.assert_array_equal(phase, [0.0] * half + [0.5 * np.pi] * (n_features - half))


def test_the_key_decides():
    field = RandomFeatures(n_features=8)
    first, again, other = (field.basis(LINE, 5.0, key=jax.random.key(seed)).frequency for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).min() > 0


def test_the_number_left_open_is_one_of_the_grid_or_the_one_given():
    assert UniformBand(limit=3.0).candidates == (3.0,)
    assert UniformBand(grid=(1.0, 2.0)).candidates == (1.0, 2.0)
    assert GaussianPairs(length_scale=0.3).candidates == (0.3,)
    assert GaussianPairs(grid=(0.1, 0.2)).candidates == (0.1, 0.2)


def test_features_are_on_the_box():
    basis = RandomFeatures(n_features=4).basis(PLANE, 2.0, key=jax.random.key(0))
    assert isinstance(basis, Basis)
    np.testing.assert_array_equal(basis.centre, [0.5, 1.0])
    np.testing.assert_array_equal(basis.half_width, [0.5, 3.0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UniformBand(limit=0.0), r"UniformBand\(limit=0.0\): pass a number above zero, or None"),
        (lambda: UniformBand(limit=np.nan), r"UniformBand\(limit=nan\)"),
        (lambda: UniformBand(grid=()), r"UniformBand\(grid=\(\)\): pass at least one number, all above zero"),
        (lambda: GaussianPairs(length_scale=-1.0), r"GaussianPairs\(length_scale=-1.0\): pass a number above zero"),
        (lambda: GaussianPairs(grid=(0.1, 0.0)), r"GaussianPairs\(grid=\(0.1, 0.0\)\): pass at least one number"),
        (lambda: RandomFeatures(n_features=1), r"n_features=1: pass at least 2"),
        (
            lambda: RandomFeatures(frequencies=GaussianPairs(), activation=Tanh()),
            r"pairs of a sine and a cosine; use them with activation=Sine\(\)",
        ),
        (lambda: RandomFeatures(amplitude=0.0), r"amplitude=0.0: pass numbers above zero, or None to have it learned"),
        (lambda: RandomFeatures(amplitude={"u": 1.0, "v": -1.0}), r"amplitude=.*pass numbers above zero"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
