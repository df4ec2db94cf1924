"""Linear inverse problem in ten dimensions with a prior of six Gaussians: three noisy sums for what has six shapes.

    x ~ sum_k w_k Normal(mean_k, s_k^2 r_k^|i-j|),    y = H x + noise,    noise ~ Normal(0, R)

The data come from the first component, of prior weight 0.05. Its posterior weight is 0.85; the third has 0.12, others
0.016 and 0.014, so that a method must find the rare shape and keep the others. The posterior is a Gaussian mixture, and
its normaliser the evidence p(y), both in closed form.

`prior()`, `log_likelihood(x)`, `OPERATOR` (H), `NOISE_COVARIANCE` (R) and `DATA` (y) are the problem's parts.

Source: uqkit, after the Gaussian-mixture inverse problems in Cardoso, Janati El Idrissi, Le Corff & Moulines (2024),
Monte Carlo guided denoising diffusion models for Bayesian linear inverse problems, ICLR. Means, H and y were drawn once
and rounded.
"""

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from uqkit.problems import Density
from uqkit.results import Reference
from uqkit.stats import GaussianMixture

_WEIGHT = np.array([0.05, 0.10, 0.15, 0.20, 0.25, 0.25])
_MEAN = np.array(
    [
        [2.7, 0.1, 2.9, -2.5, 0.6, -0.7, 1.8, -2.0, 2.2, 0.3],
        [2.4, -0.1, -0.4, 1.7, 2.9, -0.8, 2.8, 2.6, -1.9, 0.7],
        [1.2, 2.7, 1.0, -2.2, 0.0, 0.0, 0.0, 2.8, -0.9, -1.7],
        [0.1, 0.8, 2.6, 0.5, -1.4, 2.6, 0.0, 1.1, -0.1, -1.7],
        [1.2, 1.6, -1.9, -0.2, -0.8, -2.0, -1.7, 2.8, 2.3, -0.7],
        [1.4, -2.7, 2.5, 0.2, 1.9, -1.3, -0.7, -0.9, 2.8, -0.4],
    ]
)
_SPREAD = np.array([0.6, 0.7, 0.8, 0.5, 0.9, 0.7])
_CORRELATION = np.array([0.5, -0.4, 0.3, 0.6, 0.0, -0.3])

OPERATOR = np.array(
    [
        [-0.2, 0.1, 0.4, 0.3, 0.5, 0.1, 0.0, 0.2, -0.5, 0.6],
        [-0.4, -0.6, 1.0, -0.1, -0.6, 0.9, -0.2, 0.5, -0.4, -0.1],
        [-0.8, -1.0, -0.5, 0.0, 0.4, 1.2, -0.5, 0.5, -0.3, -0.1],
    ]
)
NOISE_COVARIANCE = np.array([[0.25, 0.10, 0.00], [0.10, 0.25, 0.00], [0.00, 0.00, 0.16]])
DATA = np.array([-1.07, -1.34, -5.82])


def prior() -> GaussianMixture:
    """The law of x before the data."""
    lag = np.abs(np.subtract.outer(np.arange(_MEAN.shape[1]), np.arange(_MEAN.shape[1])))
    return GaussianMixture.of(_WEIGHT, _MEAN, _SPREAD[:, None, None] ** 2 * _CORRELATION[:, None, None] ** lag)


def log_likelihood(x):
    """Log density of the data given x, in nats."""
    operator, data, precision = (
        jnp.asarray(each, x.dtype) for each in (OPERATOR, DATA, np.linalg.inv(NOISE_COVARIANCE))
    )
    residual = data - operator @ x
    constant = -0.5 * float(np.linalg.slogdet(2 * np.pi * NOISE_COVARIANCE)[1])
    return constant - 0.5 * residual @ precision @ residual


def _posterior():
    """Log evidence and the posterior: each component is conditioned on the data, and weighted by its evidence."""
    parts = prior()
    mean, covariance = np.asarray(parts.mean), parts.covariance
    predicted = OPERATOR @ covariance @ OPERATOR.T + NOISE_COVARIANCE
    gain = covariance @ OPERATOR.T @ np.linalg.inv(predicted)
    residual = DATA - mean @ OPERATOR.T
    misfit = np.einsum("ki,kij,kj->k", residual, np.linalg.inv(predicted), residual)
    log_weight = np.log(parts.weight) - 0.5 * (np.linalg.slogdet(2 * np.pi * predicted)[1] + misfit)
    log_evidence = float(np.logaddexp.reduce(log_weight))
    left = covariance - gain @ OPERATOR @ covariance
    return log_evidence, GaussianMixture.of(
        np.exp(log_weight - log_evidence),
        mean + np.einsum("kij,kj->ki", gain, residual),
        0.5 * (left + left.transpose(0, 2, 1)),
    )


def _log_density(before, x):
    return before.log_density(x) + log_likelihood(x)


def make() -> Density:
    """The posterior, unnormalised: prior times likelihood."""
    log_evidence, posterior = _posterior()
    mean, covariance = posterior.moments()

    def closed_form(values) -> Reference:
        return Reference(
            values=tuple(float(value) for value in values),
            kind="closed form",
            source="each component of the prior conditioned on the data is Gaussian",
        )

    return Density(
        name="inverse_problem",
        coordinates=[f"x{i}" for i in range(1, len(mean) + 1)],
        log_density=Partial(_log_density, prior()),
        mixture=posterior,
        references={
            "log_normalizer": closed_form((log_evidence,)),
            "mean": closed_form(mean),
            "variance": closed_form(np.diag(covariance)),
        },
        start=2.0,
    )


problem = make()
