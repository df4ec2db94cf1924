"""Stacks of elliptical mixtures on arrays: log densities, sampling, location and scale scores.

A stack holds `component` normalised densities g_k. Each is a mixture of one or more elliptical parts (Gaussian, or
Student t with one common number of degrees of freedom), so one array program serves every family.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaln

__all__ = ["MixtureStack", "concatenate", "gaussian_stack", "n_scores", "scores"]


@dataclass(frozen=True, kw_only=True)
class MixtureStack:
    """Densities g_k(x) = sum over the parts p owned by k of share_p * elliptical(x; mean_p, scale_p).

    Attributes:
        mean: Of each part.
        cholesky: Lower factor of each part's scale matrix (the covariance of a Gaussian part).
        share: Positive; sums to one over the parts of each component.
        owner: The component that each part belongs to, non-decreasing from 0.
        degrees_of_freedom: Of every part; inf means Gaussian.
    """

    mean: Float[np.ndarray, "part dim"]
    cholesky: Float[np.ndarray, "part dim dim"]
    share: Float[np.ndarray, " part"]
    owner: Int[np.ndarray, " part"]
    degrees_of_freedom: float = np.inf

    @property
    def n_components(self) -> int:
        """Number of densities."""
        return int(self.owner[-1]) + 1

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.mean.shape[1]

    @property
    def parts(self) -> "MixtureStack":
        """Every part as a component of its own."""
        n_parts = len(self.owner)
        return replace(self, share=np.ones(n_parts), owner=np.arange(n_parts))

    def log_density(self, x: Float[np.ndarray, "draw dim"]) -> Float[np.ndarray, "draw component"]:
        """Log density of every component."""
        part = self._part_log_density(_standardise(self, x)) + np.log(self.share)
        if self.n_components == len(self.owner):
            return part
        start = np.searchsorted(self.owner, np.arange(self.n_components))
        largest = np.maximum.reduceat(part, start, axis=1)
        return largest + np.log(np.add.reduceat(np.exp(part - largest[:, self.owner]), start, axis=1))

    def _part_log_density(self, z: Float[np.ndarray, "draw part dim"]) -> Float[np.ndarray, "draw part"]:
        squared = np.einsum("npd,npd->np", z, z)
        log_volume = np.log(np.diagonal(self.cholesky, axis1=1, axis2=2)).sum(axis=1)
        dim, dof = self.dim, self.degrees_of_freedom
        if np.isinf(dof):
            return -0.5 * squared - log_volume - 0.5 * dim * np.log(2 * np.pi)
        constant = gammaln(0.5 * (dof + dim)) - gammaln(0.5 * dof) - 0.5 * dim * np.log(dof * np.pi)
        return constant - log_volume - 0.5 * (dof + dim) * np.log1p(squared / dof)

    def sample(self, component: Int[np.ndarray, " draw"], rng: np.random.Generator) -> Float[np.ndarray, "draw dim"]:
        """One draw from the component that each entry names."""
        part = self._sample_part(component, rng)
        z = rng.standard_normal((len(part), self.dim))
        if np.isfinite(self.degrees_of_freedom):
            z /= np.sqrt(rng.chisquare(self.degrees_of_freedom, len(part)) / self.degrees_of_freedom)[:, None]
        x = np.empty_like(z)
        for p in np.unique(part):
            rows = part == p
            x[rows] = self.mean[p] + z[rows] @ self.cholesky[p].T
        return x

    def _sample_part(self, component: Int[np.ndarray, " draw"], rng: np.random.Generator) -> Int[np.ndarray, " draw"]:
        if self.n_components == len(self.owner):
            return component
        upper = np.cumsum(self.share)
        before = np.concatenate([[0.0], upper])[np.searchsorted(self.owner, component)]
        part = np.searchsorted(upper, before + rng.random(len(component)), side="right")
        last = np.searchsorted(self.owner, component, side="right") - 1
        return np.minimum(part, last)


def gaussian_stack(
    mean: Float[np.ndarray, "component dim"], covariance: Float[np.ndarray, "component dim dim"]
) -> MixtureStack:
    """One Gaussian a component."""
    n_components = len(mean)
    return MixtureStack(
        mean=np.asarray(mean, float),
        cholesky=np.linalg.cholesky(covariance),
        share=np.ones(n_components),
        owner=np.arange(n_components),
    )


def concatenate(stacks: list[MixtureStack]) -> MixtureStack:
    """The components of every stack, in order. All must have the same degrees of freedom."""
    offset = np.cumsum([0] + [stack.n_components for stack in stacks[:-1]])
    return MixtureStack(
        mean=np.concatenate([stack.mean for stack in stacks]),
        cholesky=np.concatenate([stack.cholesky for stack in stacks]),
        share=np.concatenate([stack.share for stack in stacks]),
        owner=np.concatenate([stack.owner + shift for stack, shift in zip(stacks, offset, strict=True)]),
        degrees_of_freedom=stacks[0].degrees_of_freedom,
    )


def _standardise(stack: MixtureStack, x: Float[np.ndarray, "draw dim"]) -> Float[np.ndarray, "draw part dim"]:
    """Standardised coordinates z = cholesky_p^{-1} (x - mean_p)."""
    n_parts, dim = stack.mean.shape
    whitening = np.linalg.inv(stack.cholesky)
    shift = np.einsum("pij,pj->pi", whitening, stack.mean)
    return (x @ whitening.reshape(n_parts * dim, dim).T).reshape(len(x), n_parts, dim) - shift


def scores(stack: MixtureStack, x: Float[np.ndarray, "draw dim"], order: int) -> Float[np.ndarray, "draw part score"]:
    """Relative derivatives of each part in its location and scale; g_p times any of them integrates to zero.

    Order 1: (u z_i)_i; order 2 adds (u z_i z_j - 1{i=j})_{i<=j}; u = 1 for Gaussian parts and
    (dof + dim)/(dof + |z|^2) for Student ones. If phi f = g at slightly different parameters, these controls remove
    the first-order misfit, so the residual is of second order.

    Returns:
        `n_scores(dim, order)` of them a part.
    """
    z = _standardise(stack, x)
    dof = stack.degrees_of_freedom
    downweighted = z
    if np.isfinite(dof):
        downweighted = z * ((dof + stack.dim) / (dof + np.einsum("npd,npd->np", z, z)))[..., None]
    if order == 1:
        return downweighted
    row, column = np.triu_indices(stack.dim)
    return np.concatenate([downweighted, downweighted[..., row] * z[..., column] - (row == column)], axis=-1)


def n_scores(dim: int, order: int) -> int:
    """How many score controls one part has."""
    return {0: 0, 1: dim, 2: dim + dim * (dim + 1) // 2}[order]
