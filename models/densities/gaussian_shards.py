"""Posteriors of parts of a data set that multiply to the posterior of all of it, each with two modes.

    p = prod_m q_m,    q_m = w_m Normal(mean_m1, C_m1) + (1 - w_m) Normal(mean_m2, C_m2),    m = 0..n_shards-1
    w_m = 1/2 + cos(m) / 5,    mean_mc = (-1)^c a + cos(m + 2 i + 3 c) / 2 in coordinate i,    a = (1, 1/2, 1/3, ...)
    C_mc = s_mc^2 r_mc^|i-j| in row i and column j,    s_mc = 1 + sin(2 m + c) / 5,    r_mc = cos(3 m + c) / 2

Parts of the data were given a flat prior each, so that their product needs no correction. It is a mixture of
2^n_shards Gaussians, in closed form with the log of its integral, the evidence that the parts have in common.

Source: after the combination of sub-posteriors in Neiswanger, Wang & Xing (2014), Asymptotically exact, embarrassingly
parallel MCMC, UAI; these shards are uqkit's.
"""

import functools

import numpy as np
from jax.tree_util import Partial

from uqkit.errors import InputError
from uqkit.problems import Density
from uqkit.results import Reference
from uqkit.stats import GaussianMixture

# Their product has 4,096 components.
_MOST_SHARDS = 12


def shards(*, n_shards: int = 8, dim: int = 5) -> tuple[GaussianMixture, ...]:
    """The parts' posteriors, normalised."""
    if not 2 <= n_shards <= _MOST_SHARDS or dim < 1:
        raise InputError(
            f"`n_shards` is {n_shards} and `dim` {dim}; pass 2 to {_MOST_SHARDS} shards and at least 1 dimension."
        )
    i = np.arange(dim)
    found = []
    for m in range(n_shards):
        means, covariances = [], []
        for c in (0, 1):
            means.append((-1) ** c / (1.0 + i) + 0.5 * np.cos(m + 2 * i + 3 * c))
            spread, correlation = 1 + 0.2 * np.sin(2 * m + c), 0.5 * np.cos(3 * m + c)
            covariances.append(spread**2 * correlation ** np.abs(i[:, None] - i))
        weight = 0.5 + 0.2 * np.cos(m)
        found.append(GaussianMixture.of(np.array([weight, 1 - weight]), np.stack(means), np.stack(covariances)))
    return tuple(found)


def _log_density(factors, x):
    return functools.reduce(lambda total, factor: total + factor.log_density(x), factors, 0.0)


def make(*, n_shards: int = 8, dim: int = 5) -> Density:
    """The product of `n_shards` shards in `dim` dimensions."""
    factors = shards(n_shards=n_shards, dim=dim)
    log_integral, product = factors[0].product(*factors[1:])
    mean, covariance = product.moments()

    def closed_form(values) -> Reference:
        return Reference(
            values=tuple(float(value) for value in values),
            kind="closed form",
            source="a product of Gaussian mixtures is a Gaussian mixture",
        )

    return Density(
        name="gaussian_shards",
        coordinates=[f"x{i}" for i in range(1, dim + 1)],
        log_density=Partial(_log_density, factors),
        mixture=product,
        references={
            "log_normalizer": closed_form((log_integral,)),
            "mean": closed_form(mean),
            "variance": closed_form(np.diag(covariance)),
        },
    )


problem = make()
