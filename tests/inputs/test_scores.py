"""Physical values of standard normal scores by JAX, against the quantile functions on the host."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from uqkit import GaussianCopula, Inputs
from uqkit.inputs import NormalScores

LAWS: dict[str, Any] = {
    "normal": dist.Normal(3.0, 0.5),
    "log_normal": dist.LogNormal(-2.0, 0.7),
    "half_normal": dist.HalfNormal(2.0),
    "gamma": dist.Gamma(2.0, 3.0),
    "beta": dist.Beta(2.0, 5.0),
    "student_t": dist.StudentT(5.0, 1.0, 2.0),
    "uniform": dist.Uniform(-1.0, 4.0),
    "scipy_weibull": stats.weibull_min(1.7, scale=2.0),
    "scipy_triangle": stats.triang(0.3, loc=1.0, scale=2.0),
    "scipy_gumbel": stats.gumbel_r(2.0, 3.0),
}
NORMAL = np.random.default_rng(0).standard_normal((300, len(LAWS)))


def evaluated(inputs, normal):
    with jax.enable_x64(True):
        return np.asarray(jax.jit(jax.vmap(NormalScores.of(inputs)))(jnp.asarray(normal)))


@pytest.mark.parametrize("name", LAWS)
def test_agrees_with_the_quantiles(name):
    inputs = Inputs({name: LAWS[name]})
    scores = np.concatenate([np.linspace(-6.0, 6.0, 97), NORMAL[:, 0]])[:, None]
    wanted = inputs.from_normal(scores)
    # The corner of a triangle's density is no spline's.
    tolerance = 1e-5 if name == "scipy_triangle" else 1e-8
    np.testing.assert_allclose(evaluated(inputs, scores), wanted, rtol=tolerance, atol=tolerance * wanted.std())


def test_correlated_inputs_are_correlated_in_the_same_way():
    names = list(LAWS)
    pairs = {(names[0], names[1]): 0.8, (names[1], names[2]): -0.3, (names[5], names[9]): 0.5}
    inputs = Inputs(LAWS, copula=GaussianCopula(pairs))
    wanted = inputs.from_normal(NORMAL)
    np.testing.assert_allclose(evaluated(inputs, NORMAL), wanted, rtol=1e-4, atol=1e-6)
    independent = evaluated(Inputs(LAWS), NORMAL)
    assert np.abs(independent - wanted).max(axis=0)[[1, 2, 9]].min() > 0.1


@pytest.mark.parametrize("name", LAWS)
def test_derivative_is_that_of_the_quantiles(name):
    inputs = Inputs({name: LAWS[name]})
    at, step = np.linspace(-3.1, 3.2, 15), 1e-4
    ends = inputs.from_normal(np.concatenate([at + step, at - step])[:, None])[:, 0]
    with jax.enable_x64(True):
        scores = NormalScores.of(inputs)
        slope = np.asarray(jax.vmap(jax.grad(lambda z: scores(z[None])[0]))(jnp.asarray(at)))
    np.testing.assert_allclose(slope, (ends[: len(at)] - ends[len(at) :]) / (2 * step), rtol=2e-4)


def test_derivative_is_that_of_its_own_values():
    with jax.enable_x64(True):
        scores = NormalScores.of(Inputs(LAWS))
        at = jnp.asarray(NORMAL[0])
        found = np.asarray(jax.jacfwd(scores)(at))
        step = 1e-6
        sides = [[np.asarray(scores(at.at[i].add(sign * step))) for i in range(len(at))] for sign in (1, -1)]
    np.testing.assert_allclose(found, (np.array(sides[0]) - np.array(sides[1])).T / (2 * step), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found[~np.eye(len(LAWS), dtype=bool)], 0.0)


def test_scores_beyond_all_probability_stay_finite_and_in_order():
    inputs = Inputs({"a": dist.LogNormal(0.0, 1.0), "b": dist.Normal(0.0, 1.0)})
    values = evaluated(inputs, np.array([[-9.0, -9.0], [-8.0, -8.0], [8.0, 8.0], [9.0, 9.0]]))
    assert np.isfinite(values).all()
    assert (np.diff(values, axis=0) > 0).all()
    np.testing.assert_allclose(values[:, 1], [-9.0, -8.0, 8.0, 9.0], rtol=1e-6)
