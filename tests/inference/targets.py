"""Targets with known posteriors, and the comparison of draws with them."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from arviz_stats.base.array import array_stats
from scipy import stats

from tests.statistical import assert_within_error

N_TRACES = {"gaussian": 0, "conjugate": 0}


def as_double(values: Any) -> jax.Array:
    with jax.enable_x64(True):
        return jnp.asarray(values, dtype=float)


class GaussianTarget(eqx.Module):
    """A linear model with a standard normal prior: the posterior is normal, its moments in closed form."""

    design: jax.Array = eqx.field(converter=as_double)
    observed: jax.Array = eqx.field(converter=as_double)
    # Of the prior's mean: not zero in the broken twin.
    shift: jax.Array = eqx.field(converter=as_double, default=0.0)

    @property
    def n_dims(self):
        return self.design.shape[1]

    def log_prior(self, position):
        N_TRACES["gaussian"] += 1
        return -0.5 * jnp.sum((position - self.shift) ** 2)

    def log_likelihood(self, position):
        return -0.5 * jnp.sum((self.observed - self.design @ position) ** 2)

    def constrain(self, position):
        return {"first": position[0], "rest": position[1:]}

    def draw_prior(self, key):
        return jax.random.normal(key, (self.n_dims,))

    @property
    def precision(self):
        design = np.asarray(self.design)
        return np.eye(self.n_dims) + design.T @ design

    @property
    def covariance(self):
        return np.linalg.inv(self.precision)

    @property
    def mean(self):
        return self.covariance @ np.asarray(self.design).T @ np.asarray(self.observed)

    @property
    def log_evidence(self):
        """Of the unnormalised density."""
        design, observed = np.asarray(self.design), np.asarray(self.observed)
        exponent = -0.5 * (observed @ observed - self.mean @ design.T @ observed)
        return exponent + 0.5 * self.n_dims * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(self.precision)[1]


def correlated(shift=0.0, scale=1.0):
    """Three dimensions, correlations up to 0.8."""
    design = np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.5], [0.0, 0.5, 1.0]])
    return GaussianTarget(design, scale * np.array([1.0, 2.0, -1.0]), shift)


def conjugate_model(n_trials, successes, heights, forgotten):
    """Beta-Binomial and a normal mean of known variance, independent of each other.

    At `forgotten` = 1 it is as if the Jacobian of the transformation of `share` were missing.
    """
    N_TRACES["conjugate"] += 1
    share = numpyro.sample("share", dist.Beta(2.0, 3.0))
    height = numpyro.sample("height", dist.Normal(1.0, 2.0))
    numpyro.sample("successes", dist.Binomial(n_trials, share), obs=successes)
    numpyro.sample("heights", dist.Normal(height, 0.5), obs=heights)
    numpyro.factor("forgotten", -forgotten * (jnp.log(share) + jnp.log1p(-jnp.asarray(share))))


N_TRIALS, SUCCESSES, HEIGHTS = 2, np.array([0, 1]), np.array([1.5, 2.5, 2.0])
SHARE = stats.beta(2 + 1, 3 + 3)
HEIGHT = stats.norm(
    (1.0 / 2.0**2 + HEIGHTS.sum() / 0.5**2) / (1 / 2.0**2 + 3 / 0.5**2), (1 / 2.0**2 + 3 / 0.5**2) ** -0.5
)


def assert_moments(draws, mean, variance, *, max_error):
    """Mean and variance of each dimension of (chain, draw, dim) within 5 Monte Carlo standard errors of the truth."""
    largest_of_mean, largest_of_variance = max_error
    squares = (draws - mean) ** 2
    for values, truth, largest in ((draws, mean, largest_of_mean), (squares, variance, largest_of_variance)):
        error = np.array([array_stats.mcse(values[..., d], 0, 1) for d in range(draws.shape[-1])])
        assert_within_error(values.mean(axis=(0, 1)), error, truth, max_error=largest)
