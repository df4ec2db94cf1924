"""Resampling of weighted particles: which ancestor each new particle has."""

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int, Key

__all__ = [
    "log_mean_weight",
    "multinomial_ancestors",
    "particle_share",
    "residual_ancestors",
    "stratified_ancestors",
    "systematic_ancestors",
]


def log_mean_weight(log_weight: Float[Array, " particle"]) -> Float[Array, ""]:
    """Log of the mean weight, in nats."""
    return logsumexp(log_weight) - jnp.log(log_weight.shape[0])


def particle_share(log_weight: Float[Array, " particle"]) -> Float[Array, ""]:
    """Kish effective sample size over the number of particles."""
    return jnp.exp(2 * logsumexp(log_weight) - logsumexp(2 * log_weight)) / log_weight.shape[0]


def systematic_ancestors(log_weight: Float[Array, " particle"], key: Key[Array, ""]) -> Int[Array, " particle"]:
    """One uniform number for all: particle i has floor or ceiling of N w_i children.

    Reference:
        Kitagawa (1996), Journal of Computational and Graphical Statistics 5.
    """
    n = log_weight.shape[0]
    return _invert(jax.nn.softmax(log_weight), (jnp.arange(n) + jax.random.uniform(key)) / n)


def stratified_ancestors(log_weight: Float[Array, " particle"], key: Key[Array, ""]) -> Int[Array, " particle"]:
    """One uniform number in each of N equal strata.

    Reference:
        Kitagawa (1996); Douc & Cappe (2005), Comparison of resampling schemes for particle filtering.
    """
    n = log_weight.shape[0]
    return _invert(jax.nn.softmax(log_weight), (jnp.arange(n) + jax.random.uniform(key, (n,))) / n)


def multinomial_ancestors(log_weight: Float[Array, " particle"], key: Key[Array, ""]) -> Int[Array, " particle"]:
    """Independent choices; the noisiest.

    Reference:
        Gordon, Salmond & Smith (1993), IEE Proceedings F 140.
    """
    uniform = jnp.sort(jax.random.uniform(key, log_weight.shape))
    return _invert(jax.nn.softmax(log_weight), uniform)


def residual_ancestors(log_weight: Float[Array, " particle"], key: Key[Array, ""]) -> Int[Array, " particle"]:
    """floor(N w_i) children for certain, the rest by independent choices.

    Reference:
        Liu & Chen (1998), Journal of the American Statistical Association 93.
    """
    n = log_weight.shape[0]
    expected = n * jax.nn.softmax(log_weight)
    certain = jnp.floor(expected)
    n_certain = certain.sum()
    rest = expected - certain
    free = _invert(rest / jnp.maximum(rest.sum(), jnp.finfo(rest.dtype).tiny), jnp.sort(jax.random.uniform(key, (n,))))
    # Places below n_certain belong to the certain children. Of n sorted uniform numbers, a random choice of those that
    # are left is again a sorted sample: so choices are shuffled before some are dropped.
    shuffled = jax.random.permutation(jax.random.fold_in(key, 1), free)
    place = jnp.arange(n)
    of_certain = jnp.searchsorted(jnp.cumsum(certain), place, side="right").clip(max=n - 1)
    return jnp.where(place < n_certain, of_certain, shuffled)


def _invert(share: Float[Array, " particle"], uniform: Float[Array, " place"]) -> Int[Array, " place"]:
    """The particle in whose part of [0, 1] each number falls; rounding never leads past the last one of any weight."""
    # JAX adds up in a tree: one by one, 0.6% of ten million single-precision weights would be lost.
    upper = jnp.cumsum(share)
    last = share.shape[0] - 1 - jnp.argmax(share[::-1] > 0)
    return jnp.searchsorted(upper / upper[-1], uniform, side="right").clip(max=last)
