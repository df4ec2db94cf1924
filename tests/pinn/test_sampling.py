"""Samplers on the whole model: the same density as NumPyro's, the same posterior as closed forms and quadrature."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from arviz_stats.base.array import array_stats
from numpyro import handlers
from numpyro.infer.util import log_density

from tests.pinn.curves import FIELD, PRIOR, READINGS, X, curve, design, field_moments, infer, scale_posterior
from tests.pinn.test_stack import stack_for, system
from tests.statistical import assert_within_error
from uqkit import UqkitWarning
from uqkit.inference import NUTS, GaussNewton, Laplace, MacKay, Scales, Whitened
from uqkit.pinn.target import FieldTarget
from uqkit.problems.target import TargetDensity

METHOD = NUTS(n_chains=2, n_warmup=150, n_draws=350)
AT = np.linspace(-1.0, 1.0, 5)


def target_of(sampled):
    stack, _, _ = stack_for(system())
    noise = {"law": 0.3, "other_law": 0.5, "sensors": 0.1, "start": 2.0}
    return FieldTarget.of(stack, Scales(noise=noise, prior={"u": 1.5, "v": 0.7, "parameters": 1.0}), sampled)


@pytest.mark.parametrize("sampled", [{}, {"sensors": dist.HalfNormal(0.5), "start": dist.LogNormal(0.0, 1.0)}])
def test_numpyro_model_has_the_same_density(sampled):
    with jax.enable_x64(True):
        target = target_of(sampled)
        assert isinstance(target, TargetDensity)
        scale = jnp.concatenate([target.prior, jnp.ones(len(sampled))])
        whites = 0.3 * np.random.default_rng(0).standard_normal((4, target.n_dims))
        one = jax.jit(lambda position: target.log_prior(position) + target.log_likelihood(position))
        other = jax.jit(lambda white: log_density(target.numpyro_model, (), {}, {"white": white})[0])
        own, theirs = [], []
        for white in whites:
            position = scale * white
            own.append(float(one(position)))
            theirs.append(float(other(jnp.asarray(white))))
    np.testing.assert_allclose(np.diff(own), np.diff(theirs), rtol=1e-9)
    assert np.abs(np.diff(own)).min() > 1e-3


def test_numpyro_model_names_what_a_user_asks_for():
    with jax.enable_x64(True):
        target = target_of({"sensors": dist.HalfNormal(0.5)})
        trace = handlers.trace(handlers.seed(target.numpyro_model, jax.random.key(0))).get_trace()
        position = trace["position"]["value"]
        for name, value in target.constrain(position).items():
            np.testing.assert_allclose(trace[name]["value"], value, rtol=1e-12)
        assert set(target.constrain(position)) == {"k", "c", "noise_scale_sensors"}
    observed = {name for name, site in trace.items() if site["type"] == "sample" and site["is_observed"]}
    assert observed == {"law", "other_law", "sensors", "start"}


def test_prior_draws_are_spread_like_the_prior():
    with jax.enable_x64(True):
        target = target_of({"sensors": dist.HalfNormal(0.5)})
        draws = np.asarray(jax.vmap(target.draw_prior)(jax.random.split(jax.random.key(0), 1000)))
    scale = np.concatenate([np.full(7, 1.5), np.full(7, 0.7), np.ones(3)])
    assert_within_error((draws**2).mean(axis=0), scale**2 * np.sqrt(2 / 1000), scale**2, max_error=0.2)


def sampled(noise=None, sigma=0.2):
    with warnings.catch_warnings():
        # So few draws leave R-hat above what is wanted for real work.
        warnings.simplefilter("ignore", UqkitWarning)
        return infer(curve(sigma), field=FIELD, method=METHOD, noise=noise, key=0, grid=len(AT), progress=False)


@pytest.fixture(scope="module")
def known_scale():
    return sampled()


@pytest.fixture(scope="module")
def unknown_scale():
    return sampled(sigma=PRIOR)


def assert_moments(draws, mean, sd):
    """Means of draws and of their squares within five Monte Carlo errors; (chain, draw, number)."""
    for values, truth in ((draws, mean), ((draws - mean) ** 2, sd**2)):
        error = np.array([array_stats.mcse(values[..., i], 0, 1) for i in range(values.shape[-1])])
        assert_within_error(values.mean(axis=(0, 1)), error, truth, max_error=0.2 * np.max(sd))


def test_nuts_agrees_with_the_closed_form_of_a_linear_problem(known_scale):
    draws = known_scale["posterior_predictive"]["u"].to_numpy()
    mean, sd = field_moments(known_scale, 0.2, AT)
    assert_moments(draws, mean, sd)
    with pytest.raises(AssertionError):
        assert_moments(draws, mean, 1.4 * sd)
    np.testing.assert_allclose(known_scale["estimates"]["u"], draws.mean(axis=(0, 1)), rtol=1e-10)
    np.testing.assert_allclose(known_scale["estimates"]["u_se"], draws.std(axis=(0, 1)), rtol=2e-3)


def test_a_sampler_says_what_it_did(known_scale):
    assert known_scale["posterior_predictive"].attrs["independent_draws"] == 0
    assert known_scale["sample_stats"]["diverging"].sum() == 0
    assert known_scale["sample_stats"].sizes == {"chain": 2, "draw": 350}
    assert float(known_scale["diagnostics"]["r_hat"]) < 1.1
    assert float(known_scale["diagnostics"]["ess_bulk"]) > 50


def test_sampled_noise_scale_agrees_with_quadrature(unknown_scale):
    grid, weight = scale_posterior(unknown_scale)
    mean = weight @ grid
    sd = np.sqrt(weight @ (grid - mean) ** 2)
    draws = np.log(unknown_scale["posterior"]["noise_scale_sensors"].to_numpy())
    assert_moments(draws[:, :, None], np.array([mean]), np.array([sd]))
    assert unknown_scale["posterior"]["noise_scale_sensors"].attrs["units"] == "K"


def test_sampled_and_maximised_noise_scales_agree(unknown_scale):
    maximised = infer(curve(PRIOR), field=FIELD, noise=MacKay(), key=0, grid=len(AT), n_draws=4)
    one, other = unknown_scale["noise"].isel(constraint=0), maximised["noise"].isel(constraint=0)
    assert abs(float(one["noise_scale"] - other["noise_scale"])) < 0.5 * float(other["noise_scale_se"])
    assert float(one["noise_scale_se"]) == pytest.approx(float(other["noise_scale_se"]), rel=0.2)
    assert float(one["noise_scale_se"]) > 0


def test_fields_under_a_sampled_scale_are_averages_over_it(unknown_scale):
    grid, weight = scale_posterior(unknown_scale)
    moments = [field_moments(unknown_scale, np.exp(log_scale), AT) for log_scale in grid[::10]]
    weight = weight[::10] / weight[::10].sum()
    mean = weight @ np.array([m for m, _ in moments])
    square = weight @ np.array([(m - mean) ** 2 + s**2 for m, s in moments])
    assert_moments(unknown_scale["posterior_predictive"]["u"].to_numpy(), mean, np.sqrt(square))


def test_log_likelihood_is_at_the_scale_of_each_draw(unknown_scale):
    found = unknown_scale["log_likelihood"]["sensors"].to_numpy()
    assert found.shape == (2, 350, len(X))
    scale = unknown_scale["posterior"]["noise_scale_sensors"].to_numpy()[..., None]
    weights = unknown_scale["variational"]["weight_draw"].to_numpy()[:, :, 0]
    residual = weights @ design(unknown_scale, X).T - READINGS
    wanted = -0.5 * (residual / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


def test_whitened_posterior_of_a_linear_problem_is_a_standard_normal():
    tree = infer(curve(), field=FIELD, key=0, grid=2, n_draws=4)
    assert tree["variational"]["weight"].shape == (1, 12)
    stack, _, _ = stack_for(curve(), n_features=12)
    scales = Scales(noise={"sensors": 0.2}, prior={"u": 1.5})
    laplace = Laplace(stack, GaussNewton().mode(stack, scales, np.zeros(12)))
    with jax.enable_x64(True):
        white = Whitened(FieldTarget.of(stack, scales, {}), laplace.mode.position, laplace.whitening())
        points = np.random.default_rng(0).standard_normal((3, 12))
        found = np.array([float(white.log_prior(z) + white.log_likelihood(z)) for z in jnp.asarray(points)])
    np.testing.assert_allclose(np.diff(found), -0.5 * np.diff((points**2).sum(axis=1)), rtol=1e-8)


def test_sampling_scales_is_what_samplers_do_by_default(unknown_scale):
    assert "Sampled" in unknown_scale.attrs["method"]
