"""The network's prior and likelihood against closed forms and a network written out in NumPy."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers
from scipy import stats

from tests.statistical import assert_within_error
from uqkit.bayesopt.network import (
    NOISE_VARIANCE,
    SCALES,
    WHITE,
    Embedding,
    NetworkData,
    NetworkModel,
    OneHot,
    WeightPrior,
)
from uqkit.errors import InputError
from uqkit.inference import NumpyroTarget
from uqkit.nn import SineUnit, TanhUnit

POINTS = np.array([[0.3, -1.0], [0.1, 0.4], [-1.2, 0.8]])
FIXED: dict[str, Any] = {"scale_spread": 0.0, "noise_spread": 0.0}
MIXED: dict[str, Any] = {"n_inputs": 3, "n_columns": 6, "n_outputs": 2, "widths": (5, 4), "blocks": ((1, 3), (4, 2))}


def columns(n_rows: int, seed: int = 0) -> np.ndarray:
    """One continuous column, a category of three, a category of two."""
    rng = np.random.default_rng(seed)
    return np.hstack(
        [rng.normal(size=(n_rows, 1)), np.eye(3)[rng.integers(3, size=n_rows)], np.eye(2)[rng.integers(2, size=n_rows)]]
    )


def network_data(n_rows: int, length: int, *, known: bool = False, fill: float = 7.0) -> NetworkData:
    rng = np.random.default_rng(1)
    outputs, variance = rng.normal(size=(n_rows, 2)), rng.uniform(0.1, 1, size=(n_rows, 2))

    def padded(values: np.ndarray) -> Any:
        return jnp.asarray(np.vstack([values, np.full((length - n_rows, values.shape[1]), fill)]))

    with jax.enable_x64(True):
        present = jnp.asarray(np.arange(length) < n_rows, dtype=float)
        return NetworkData(padded(columns(n_rows)), padded(outputs), present, padded(variance) if known else None)


def written_out(network: NetworkModel, sites: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """The function in NumPy, as the docstring of `WeightPrior` has it."""
    values = rows
    if isinstance(network.encoding, Embedding):
        parts = [rows[:, :1], rows[:, 1:4] @ sites["embedding_0"], rows[:, 4:6] @ sites["embedding_1"]]
        values = np.hstack(parts)
    n_layers = len(network.widths) + 1
    for layer in range(n_layers):
        scale, fan_in = sites[f"scale_{layer}"], network.n_inputs if layer == 0 else values.shape[1]
        outer = layer in (0, n_layers - 1)
        weight, bias = scale * sites[f"weight_{layer}"], sites[f"bias_{layer}"]
        if network.prior.by_fan_in:
            weight, bias = weight / np.sqrt(fan_in), scale * bias if outer else bias
        else:
            bias = scale * bias
        values = values @ weight + bias
        if layer < n_layers - 1:
            values = np.tanh(values)
    return values


def prior_values(prior: WeightPrior, n_draws: int = 40_000, width: int = 6) -> np.ndarray:
    network = NetworkModel(n_inputs=2, n_columns=2, n_outputs=1, widths=(width,), activation=SineUnit(), prior=prior)
    with jax.enable_x64(True):
        white = jax.random.normal(jax.random.key(0), (n_draws, network.n_weights))
        scales = jnp.array([prior.scale, prior.output_scale])
        drawn = jax.vmap(lambda one: network.values(network.named(scales, one), jnp.asarray(POINTS)))(white)
        return np.asarray(drawn)[..., 0]


def sine_covariance(prior: WeightPrior, width: int = 6) -> np.ndarray:
    """E sin u sin v of normal u and v, summed over units: exact at any width."""
    inside = prior.scale**2 * (POINTS @ POINTS.T / (2 if prior.by_fan_in else 1) + 1)
    variance = np.diag(inside)
    unit = np.exp(-0.5 * (variance[:, None] + variance)) * np.sinh(inside)
    return prior.output_scale**2 * (unit * (1 if prior.by_fan_in else width) + 1)


def assert_second_moments(values: np.ndarray, covariance: np.ndarray) -> None:
    products = values[:, :, None] * values[:, None, :]
    error = products.std(axis=0) / np.sqrt(len(values))
    assert_within_error(products.mean(axis=0), error, covariance, max_error=0.02 * np.abs(covariance).max())


@pytest.mark.parametrize("by_fan_in", [True, False])
def test_prior_covariance_of_a_layer_of_sines_is_the_closed_form(by_fan_in):
    prior = WeightPrior(scale=0.8, output_scale=1.5, by_fan_in=by_fan_in, **FIXED)
    values = prior_values(prior)
    assert_second_moments(values, sine_covariance(prior))
    assert_within_error(values.mean(axis=0), values.std(axis=0) / np.sqrt(len(values)), 0.0, max_error=0.05)


@pytest.mark.parametrize("wrong", [{"output_scale": 1.6}, {"scale": 1.2}])
def test_the_check_of_the_covariance_can_fail(wrong):
    prior = WeightPrior(scale=0.8, output_scale=1.5, **FIXED)
    with pytest.raises(AssertionError):
        assert_second_moments(prior_values(prior), sine_covariance(dataclasses.replace(prior, **wrong)))


@pytest.mark.parametrize("encoding", [OneHot(), Embedding(n_dims=2)])
@pytest.mark.parametrize("by_fan_in", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_the_model_is_the_network_written_out_and_its_likelihood_that_of_the_rows_present(encoding, by_fan_in, known):
    rest = MIXED if isinstance(encoding, OneHot) else MIXED | {"encoding": encoding}
    network = NetworkModel(**rest, prior=WeightPrior(by_fan_in=by_fan_in), known_noise=known)
    data = network_data(7, 16, known=known)
    with jax.enable_x64(True), handlers.seed(rng_seed=0):
        trace = handlers.trace(network).get_trace(data)
    sites = {name: np.asarray(site["value"]) for name, site in trace.items()}
    assert sites[WHITE].shape == (network.n_weights,)
    assert (NOISE_VARIANCE in sites) != known
    outputs = written_out(network, sites, columns(7))
    with jax.enable_x64(True):
        named = {name: jnp.asarray(value) for name, value in sites.items()}
        np.testing.assert_allclose(network.values(named, jnp.asarray(columns(7))), outputs, rtol=1e-12)
    variance = np.asarray(data.noise_variance)[:7] if known else sites[NOISE_VARIANCE]
    expected = stats.norm(outputs, np.sqrt(variance)).logpdf(np.asarray(data.outputs)[:7]).sum()  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_allclose(trace["log_likelihood"]["fn"].log_factor, expected, rtol=1e-12)


def log_likelihood(network: NetworkModel, data: NetworkData) -> tuple[float, float]:
    target = NumpyroTarget.of(network, data, key=0)
    with jax.enable_x64(True):
        position = jax.random.normal(jax.random.key(0), (target.n_dims,)) / 3
        return float(target.log_likelihood(position)), float(target.log_prior(position))


def test_padding_does_not_count():
    network = NetworkModel(**MIXED)
    bare = log_likelihood(network, network_data(7, 7))
    np.testing.assert_allclose(log_likelihood(network, network_data(7, 16)), bare, rtol=1e-13)
    np.testing.assert_allclose(log_likelihood(network, network_data(7, 16, fill=-1e3)), bare, rtol=1e-13)
    # The check can fail: an eighth row moves it.
    assert abs(log_likelihood(network, network_data(8, 16))[0] - bare[0]) > 1e-3


def test_prior_density_is_that_of_its_parts():
    prior = WeightPrior(scale=3.0, output_scale=0.5, scale_spread=0.4, noise_sd=0.2, noise_spread=0.7)
    network = NetworkModel(n_inputs=6, n_columns=6, n_outputs=2, widths=(3,), prior=prior)
    target = NumpyroTarget.of(network, network_data(0, 4), key=0)
    rng = np.random.default_rng(0)
    # Unconstrained coordinates of scales and noise are their logarithms.
    log_scales, log_noise = np.log([3.0, 0.5]) + 0.3, 2 * np.log(0.2) + np.array([-0.1, 0.4])
    white = rng.normal(size=network.n_weights)
    position = {SCALES: np.exp(log_scales), NOISE_VARIANCE: np.exp(log_noise), WHITE: white}
    with jax.enable_x64(True):
        found = float(target.log_prior(target.unconstrain(position)))
    expected = (
        stats.norm(np.log([3.0, 0.5]), 0.4).logpdf(log_scales).sum()  # pyright: ignore[reportAttributeAccessIssue]
        + stats.norm(2 * np.log(0.2), 1.4).logpdf(log_noise).sum()  # pyright: ignore[reportAttributeAccessIssue]
        + stats.norm.logpdf(white).sum()
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_fixed_scales_and_noise_are_not_sampled():
    network = NetworkModel(**MIXED, prior=WeightPrior(scale=3.0, output_scale=0.5, noise_sd=0.2, **FIXED))
    target = NumpyroTarget.of(network, network_data(7, 16), key=0)
    assert [name for name, _ in target.layout] == [WHITE]
    with jax.enable_x64(True):
        sites = target.constrain(jnp.zeros(target.n_dims))
    assert [float(sites[name]) for name in network.scale_names] == [3.0, 3.0, 0.5]
    np.testing.assert_allclose(sites[NOISE_VARIANCE], [0.04, 0.04])


def test_an_embedding_of_unit_vectors_is_one_hot():
    one_hot = NetworkModel(**MIXED | {"blocks": ((1, 3),), "n_columns": 4})
    embedded = dataclasses.replace(one_hot, encoding=Embedding(n_dims=3))
    rng, rows = np.random.default_rng(0), jnp.asarray(columns(9)[:, :4])
    sites: dict[str, Any] = {name: jnp.asarray(rng.normal(size=shape)) for name, shape in one_hot.shapes.items()}
    sites |= {name: jnp.asarray(1.0) for name in one_hot.scale_names}
    found = embedded.values(sites | {"embedding_0": jnp.eye(3)}, rows)
    np.testing.assert_allclose(found, one_hot.values(sites, rows), rtol=1e-6)
    permuted = embedded.values(sites | {"embedding_0": jnp.eye(3)[::-1]}, rows)
    assert float(jnp.abs(permuted - found).max()) > 0.1


def test_equal_settings_make_equal_models():
    one, other = (NetworkModel(**MIXED, activation=TanhUnit(), prior=WeightPrior(scale=1.5)) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert dataclasses.replace(one, prior=WeightPrior()) != one
    assert dataclasses.replace(one, encoding=Embedding()) != one
    assert dataclasses.replace(one, activation=SineUnit()) != one


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": 0.0}, r"scale=0.0\): pass a finite number above zero"),
        ({"output_scale": float("inf")}, "output_scale=inf"),
        ({"noise_sd": float("nan")}, "noise_sd=nan"),
        ({"scale_spread": -0.1}, "scale_spread=-0.1.*zero to fix it"),
        ({"noise_spread": float("inf")}, "noise_spread=inf"),
    ],
)
def test_priors_that_cannot_be_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        WeightPrior(**settings)


def test_an_embedding_without_coordinates_is_refused():
    with pytest.raises(InputError, match="n_dims=0"):
        Embedding(n_dims=0)
