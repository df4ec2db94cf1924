"""Gaussian mixtures in closed form: density, score, divergence, powers, products, and what noise makes of them."""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Key
from scipy.special import gammaln

from uqkit.errors import InputError

__all__ = ["GaussianMixture"]


class GaussianMixture(eqx.Module):
    """A normalised mixture of Gaussians; made by `GaussianMixture.of`.

    Covariances are kept as eigenvalues and eigenvectors, since added noise changes the former alone. Methods with `x`
    are pure and written for one point.

    Attributes:
        log_weight: Of each component, in nats; they sum to one.
        mean: Of each component.
        eigenvalue: Of each component's covariance.
        eigenvector: Of each component's covariance, in columns.
    """

    # NumPy's in a mixture that is made by `of`: JAX takes them in the precision that it is in, without a warning.
    log_weight: Float[Any, " component"]
    mean: Float[Any, "component dim"]
    eigenvalue: Float[Any, "component dim"]
    eigenvector: Float[Any, "component dim dim"]

    @classmethod
    def of(
        cls,
        weight: Float[np.ndarray, " component"],
        mean: Float[np.ndarray, "component dim"],
        covariance: Float[np.ndarray, "component dim dim"],
    ) -> "GaussianMixture":
        """A mixture from its arrays.

        Args:
            weight: Positive; made to sum to one.
            mean: Of each component.
            covariance: Of each component, positive definite.

        Raises:
            InputError: If shapes do not fit, a weight is not positive, or a covariance is not positive definite.
        """
        weight, mean, covariance = (np.asarray(array, dtype=float) for array in (weight, mean, covariance))
        n, dim = mean.shape if mean.ndim == 2 else (-1, -1)
        if weight.shape != (n,) or covariance.shape != (n, dim, dim):
            raise InputError(
                f"weight has the shape {weight.shape}, mean {mean.shape}, covariance {covariance.shape}; pass "
                "(component,), (component, dim) and (component, dim, dim)."
            )
        if not (np.isfinite(weight).all() and weight.min() > 0):
            raise InputError(f"weights are {weight}; pass positive ones, and leave out components that have none.")
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise InputError("a mean or covariance is not finite.")
        value, vector = np.linalg.eigh(covariance)
        if value.min() <= 0 or not np.allclose(covariance, covariance.transpose(0, 2, 1)):
            worst = int(value.min(axis=1).argmin())
            raise InputError(
                f"the covariance of component {worst} has the smallest eigenvalue {value.min():.3g}; "
                "covariances must be symmetric and positive definite."
            )
        return cls(np.log(weight / weight.sum()), mean, value, vector)

    @property
    def n_components(self) -> int:
        """Number of components."""
        return self.mean.shape[0]

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.mean.shape[1]

    @property
    def weight(self) -> Float[np.ndarray, " component"]:
        """Share of each component."""
        return np.exp(np.asarray(self.log_weight))

    @property
    def covariance(self) -> Float[np.ndarray, "component dim dim"]:
        """Of each component."""
        value, vector = np.asarray(self.eigenvalue), np.asarray(self.eigenvector)
        return np.einsum("kij,kj,klj->kil", vector, value, vector)

    def moments(self) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, "dim dim"]]:
        """Mean and covariance of the whole."""
        weight, mean = self.weight, np.asarray(self.mean)
        centre = weight @ mean
        spread = np.einsum("k,ki,kj->ij", weight, mean - centre, mean - centre)
        return centre, spread + np.einsum("k,kij->ij", weight, self.covariance)

    def diffused(self, scale: Float[Array, ""] | float, variance: Float[Array, ""] | float) -> "GaussianMixture":
        """The law of `scale` x + noise of this variance in every coordinate."""
        return GaussianMixture(
            self.log_weight, scale * self.mean, scale**2 * self.eigenvalue + variance, self.eigenvector
        )

    def log_density(self, x: Float[Array, " dim"]) -> Float[Array, ""]:
        """Log density, in nats."""
        return logsumexp(self._parts(x)[0])

    def score(self, x: Float[Array, " dim"]) -> Float[Array, " dim"]:
        """Gradient of the log density."""
        part, scaled = self._parts(x)
        return self._turned(jax.nn.softmax(part)[:, None] * scaled)

    def score_and_divergence(self, x: Float[Array, " dim"]) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        """The score and its divergence, the Laplacian of the log density."""
        part, scaled = self._parts(x)
        share = jax.nn.softmax(part)
        score = self._turned(share[:, None] * scaled)
        own = (scaled**2).sum(axis=1) - (1.0 / self.eigenvalue).sum(axis=1)
        return score, share @ own - score @ score

    def responsibilities(self, x: Float[Array, " dim"]) -> Float[Array, " component"]:
        """Posterior probability of each component at a point."""
        return jax.nn.softmax(self._parts(x)[0])

    def _parts(self, x: Float[Array, " dim"]) -> tuple[Float[Array, " component"], Float[Array, "component dim"]]:
        """Of every component: log weight times density, and the score in the axes of its covariance."""
        centre = jnp.einsum("kji,kj->ki", self.eigenvector, self.mean)
        constant = -0.5 * jnp.log(2 * jnp.pi * self.eigenvalue).sum(axis=1) + self.log_weight
        z = centre - (x @ self._axes()).reshape(centre.shape)
        scaled = z / self.eigenvalue
        return constant - 0.5 * (z * scaled).sum(axis=1), scaled

    def _turned(self, vectors: Float[Array, "component dim"]) -> Float[Array, " dim"]:
        """Sum over components of vectors given in the axes of their covariances."""
        return self._axes() @ vectors.ravel()

    def _axes(self) -> Float[Array, "dim axis"]:
        # All components' axes side by side: for many points at once, one product of two matrices.
        return jnp.asarray(self.eigenvector).transpose(1, 0, 2).reshape(self.dim, -1)

    def draw(self, n: int, *, key: Key[Array, ""]) -> Float[Array, "draw dim"]:
        """Independent draws."""
        component_key, normal_key = jax.random.split(key)
        component = jax.random.categorical(component_key, self.log_weight, shape=(n,))
        mean, value, vector = (jnp.asarray(each)[component] for each in (self.mean, self.eigenvalue, self.eigenvector))
        z = jax.random.normal(normal_key, (n, self.dim)) * jnp.sqrt(value)
        return mean + jnp.einsum("nij,nj->ni", vector, z)

    def power(self, exponent: int, *, least: float = 1e-14) -> tuple[float, "GaussianMixture"]:
        """The density to a whole power, a mixture again.

        Args:
            exponent: 1, 2, 3, ...; the number of components grows as the binomial coefficient (k + exponent - 1 over
                exponent).
            least: Components of a smaller share are left out.

        Returns:
            Log of its integral, in nats, and the normalised mixture.
        """
        if exponent < 1 or exponent != int(exponent):
            raise InputError(f"exponent={exponent}: only whole positive powers of a mixture are mixtures.")
        chosen = np.array(list(combinations_with_replacement(range(self.n_components), int(exponent))))
        counts = (chosen[:, :, None] == np.arange(self.n_components)).sum(axis=1)
        multiplicity = gammaln(exponent + 1) - gammaln(counts + 1).sum(axis=1)
        return _multiplied([self] * int(exponent), chosen, multiplicity, least)

    def product(self, *others: "GaussianMixture", least: float = 1e-14) -> tuple[float, "GaussianMixture"]:
        """The product with other mixtures, a mixture again.

        Returns:
            Log of its integral, in nats, and the normalised mixture; components of a share below `least` are left out.
        """
        log_integral, found = 0.0, self
        for other in others:
            pairs = np.indices((found.n_components, other.n_components)).reshape(2, -1).T
            more, found = _multiplied([found, other], pairs, np.zeros(len(pairs)), least)
            log_integral += more
        return log_integral, found


def _multiplied(
    factors: Sequence[GaussianMixture],
    chosen: np.ndarray,
    log_multiplicity: Float[np.ndarray, " component"],
    least: float,
) -> tuple[float, GaussianMixture]:
    """Products of one component of each factor; `chosen` (component, factor) says of which."""
    dim = factors[0].dim
    log_weight, constant = log_multiplicity.copy(), np.zeros(len(chosen))
    precision, linear = np.zeros((len(chosen), dim, dim)), np.zeros((len(chosen), dim))
    for place, factor in enumerate(factors):
        value, vector, mean = (np.asarray(each) for each in (factor.eigenvalue, factor.eigenvector, factor.mean))
        inverse = np.einsum("kij,kj,klj->kil", vector, 1 / value, vector)
        shift = np.einsum("kij,kj->ki", inverse, mean)
        own = -0.5 * np.log(2 * np.pi * value).sum(axis=1) - 0.5 * np.einsum("ki,ki->k", shift, mean)
        index = chosen[:, place]
        precision += inverse[index]
        linear += shift[index]
        constant += own[index]
        log_weight += np.asarray(factor.log_weight)[index]
    covariance = np.linalg.inv(precision)
    mean = np.einsum("kij,kj->ki", covariance, linear)
    sign_log = np.linalg.slogdet(covariance)[1]
    log_weight += constant + 0.5 * (dim * np.log(2 * np.pi) + sign_log + np.einsum("ki,ki->k", linear, mean))
    log_integral = float(np.logaddexp.reduce(log_weight))
    kept = log_weight - log_integral > np.log(least)
    symmetric = 0.5 * (covariance + covariance.transpose(0, 2, 1))
    return log_integral, GaussianMixture.of(np.exp(log_weight[kept] - log_integral), mean[kept], symmetric[kept])
