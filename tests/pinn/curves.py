"""Noisy readings of a smooth curve, with what dense inverses say of them; functions made once are compiled once."""

from typing import Any

import numpy as np
import numpyro.distributions as dist
from scipy import stats

from uqkit import pinn
from uqkit.pinn.features import GaussianPairs, RandomFeatures
from uqkit.problems import BoundaryValueProblem, Box, Constraint, Measured

# Xarray's stubs let a tree be indexed once only.
infer: Any = pinn.infer
# SciPy's stubs take the shape for a number, and all frozen laws for discrete ones.
multivariate_normal: Any = stats.multivariate_normal
normal: Any = stats.norm
LINE = Box(x=(-1.0, 1.0))
X = np.linspace(-1.0, 1.0, 25)
READINGS = np.sin(2 * X) + 0.2 * np.random.default_rng(0).normal(size=25)
AMPLITUDE = 1.5
FIELD = RandomFeatures(n_features=12, frequencies=GaussianPairs(length_scale=0.7), amplitude=AMPLITUDE)
LAW = normal(np.log(0.1), 1.0)
PRIOR = dist.LogNormal(np.log(0.1), 1.0)


def value_of(u):
    return u.value


def curve(sigma: Any = 0.2, x=X, readings=READINGS, **changed: Any) -> BoundaryValueProblem:
    sensors = Constraint(
        name="sensors", operator=value_of, points=x[:, None], target=readings, noise=Measured(sigma), unit="K"
    )
    settings: dict[str, Any] = {"name": "curve", "domain": LINE, "constraints": (sensors,), "outputs": {"u": "K"}}
    return BoundaryValueProblem(**{**settings, **changed})


def design(tree, x):
    """The features of a result, written out again."""
    fitted = tree["variational"]
    frequency, phase = fitted["frequency"].to_numpy()[:, 0], fitted["phase"].to_numpy()
    return np.sqrt(2 / len(phase)) * np.sin(np.multiply.outer(x, frequency) + phase)


def log_evidence(tree, sigma):
    """Log density of the readings at a noise scale."""
    features = AMPLITUDE * design(tree, X)
    marginal = features @ features.T + sigma**2 * np.eye(len(X))
    return multivariate_normal(np.zeros(len(X)), marginal).logpdf(READINGS)


def field_moments(tree, sigma, at):
    """Mean and standard deviation of the field."""
    features, there = AMPLITUDE * design(tree, X), AMPLITUDE * design(tree, at)
    covariance = np.linalg.inv(np.eye(features.shape[1]) + features.T @ features / sigma**2)
    mean = there @ covariance @ features.T @ READINGS / sigma**2
    return mean, np.sqrt(np.einsum("ri,ij,rj->r", there, covariance, there))


def scale_posterior(tree):
    """A grid of log noise scales, and the posterior probability of each."""
    grid = np.linspace(np.log(0.05), np.log(0.8), 400)
    log_density = np.array([log_evidence(tree, np.exp(log_scale)) for log_scale in grid]) + LAW.logpdf(grid)
    weight = np.exp(log_density - log_density.max())
    return grid, weight / weight.sum()
