"""The posterior precision I + J'J of a whitened linear model, factorised without ever forming it.

Forming J'J squares the condition number and loses half the digits; a QR of the stack [J; I], or of [J'; I] where
there are fewer rows than dimensions, keeps them. One factorisation gives the step, the covariance, draws, and the log
determinant.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy import linalg
from scipy.linalg.lapack import get_lapack_funcs

__all__ = ["DualFactor", "Factor", "PrimalFactor", "solve_stack"]

type Vector = Float[np.ndarray, " dim"]
type Directions = Float[np.ndarray, "row dim"]


@dataclass(frozen=True)
class PrimalFactor:
    """Factor of I + J'J = R'R from the QR of [J; I], for at least as many rows as dimensions.

    Attributes:
        triangle: The upper triangle R.
    """

    triangle: Float[np.ndarray, "dim dim"]

    @property
    def log_determinant(self) -> float:
        """Log determinant of the precision."""
        return 2.0 * float(np.log(np.abs(np.diag(self.triangle))).sum())

    @property
    def condition_number(self) -> float:
        """Estimate of the condition number of R (in the 1-norm, by LAPACK's trcon)."""
        return _condition_number(self.triangle)

    def variance(self, directions: Directions) -> Float[np.ndarray, " row"]:
        """Posterior variance of linear functions of the position, one a row of `directions`."""
        return (linalg.solve_triangular(self.triangle, directions.T, trans=1) ** 2).sum(axis=0)

    def covariance(
        self, directions: Directions, others: Float[np.ndarray, "other dim"]
    ) -> Float[np.ndarray, "row other"]:
        """Posterior covariance between linear functions of the position."""
        left = linalg.solve_triangular(self.triangle, directions.T, trans=1)
        return left.T @ linalg.solve_triangular(self.triangle, others.T, trans=1)

    def scaled(self, white: Float[np.ndarray, "draw dim"]) -> Float[np.ndarray, "draw dim"]:
        """Standard normal draws made draws of Normal(0, posterior covariance)."""
        return linalg.solve_triangular(self.triangle, white.T).T

    def matrix(self) -> Float[np.ndarray, "dim dim"]:
        """A square root S of the covariance, S S' = (I + J'J)^-1."""
        return linalg.solve_triangular(self.triangle, np.eye(len(self.triangle)))

    def effective_parameters(self, jacobian: Directions, blocks: Mapping[str, slice]) -> dict[str, float]:
        """Of each block of rows, the trace of J_i (I + J'J)^-1 J_i': how many parameters it determines."""
        variance = self.variance(jacobian)
        return {name: float(variance[rows].sum()) for name, rows in blocks.items()}


@dataclass(frozen=True)
class DualFactor:
    """Factor of I + J'J from the QR of [J'; I] = [Q; Q2] R, for fewer rows than dimensions.

    Attributes:
        basis: Q, the upper part of the orthonormal factor; (I + J'J)^-1 = I - Q Q'.
        triangle: R, with I + J J' = R'R.
    """

    basis: Float[np.ndarray, "dim row"]
    triangle: Float[np.ndarray, "row row"]

    @property
    def log_determinant(self) -> float:
        """Log determinant of the precision; that of I + J J' is the same."""
        return 2.0 * float(np.log(np.abs(np.diag(self.triangle))).sum())

    @property
    def condition_number(self) -> float:
        """Estimate of the condition number of R (in the 1-norm, by LAPACK's trcon)."""
        return _condition_number(self.triangle)

    def variance(self, directions: Directions) -> Float[np.ndarray, " row"]:
        """Posterior variance of linear functions of the position, one a row of `directions`."""
        # By the root: the difference between prior variance and what the data took off would be all rounding.
        return (self.scaled(directions) ** 2).sum(axis=1)

    def covariance(
        self, directions: Directions, others: Float[np.ndarray, "other dim"]
    ) -> Float[np.ndarray, "row other"]:
        """Posterior covariance between linear functions of the position."""
        return self.scaled(directions) @ self.scaled(others).T

    def scaled(self, white: Float[np.ndarray, "draw dim"]) -> Float[np.ndarray, "draw dim"]:
        """Standard normal draws made draws of Normal(0, posterior covariance)."""
        vectors, shrinkage = self._root
        return white + ((white @ vectors) * (shrinkage - 1.0)) @ vectors.T

    def matrix(self) -> Float[np.ndarray, "dim dim"]:
        """A square root S of the covariance, S S' = (I + J'J)^-1."""
        return self.scaled(np.eye(len(self.basis)))

    @cached_property
    def _root(self) -> tuple[Float[np.ndarray, "dim row"], Float[np.ndarray, " row"]]:
        """Directions in which the data tell something, and the posterior sd there; it is 1 in all others."""
        # With J' = Q R and R = U S V', a singular value c of Q goes with the posterior variance 1 - c^2, which is
        # lost to rounding near c = 1; Q2 = R^-1 has the singular values sqrt(1 - c^2) without that loss.
        left, small, _ = linalg.svd(linalg.solve_triangular(self.triangle, np.eye(len(self.triangle))).T)
        # The most certain directions first: one that is not certain at all is a column of rounding errors here.
        vectors, _ = np.linalg.qr((self.basis @ left)[:, ::-1])
        return vectors, small[::-1]

    def effective_parameters(self, jacobian: Directions, blocks: Mapping[str, slice]) -> dict[str, float]:
        """Of each block of rows, the trace of J_i (I + J'J)^-1 J_i': how many parameters it determines."""
        inverse = linalg.solve_triangular(self.triangle, np.eye(len(self.triangle)))
        kept = (inverse**2).sum(axis=1)
        return {name: float((1.0 - kept[rows]).sum()) for name, rows in blocks.items()}


type Factor = PrimalFactor | DualFactor


def _condition_number(triangle: Float[np.ndarray, "dim dim"]) -> float:
    (estimate,) = get_lapack_funcs(("trcon",), (triangle,))
    reciprocal, _ = estimate(triangle)
    return float(1.0 / reciprocal) if reciprocal > 0 else np.inf


def solve_stack(
    jacobian: Directions, residual: Float[np.ndarray, " row"], position: Vector, damping: float = 0.0
) -> tuple[Vector, Factor]:
    """The step d that minimises |J d + r|^2 + |z + d|^2 + damping |d|^2, and the factor of (1 + damping) I + J'J.

    Args:
        jacobian: J, of the residual whitened by its noise.
        residual: r.
        position: z, whose prior is Normal(0, I).
        damping: Levenberg's, 0 for the Gauss-Newton step; the factor is the posterior's only there.

    Reference:
        Bjorck (1996), Numerical Methods for Least Squares Problems, sections 2.4 and 2.6.
    """
    n_rows, n_dims = jacobian.shape
    root = np.sqrt(1.0 + damping)
    if n_rows >= n_dims:
        # The right-hand side rides along as one more column: what QR makes of it is all that is needed of Q.
        below = np.column_stack([root * np.eye(n_dims), -position / root])
        whole = np.linalg.qr(np.vstack([np.column_stack([jacobian, -residual]), below]), mode="r")
        triangle = whole[:n_dims, :n_dims]
        return linalg.solve_triangular(triangle, whole[:n_dims, n_dims]), PrimalFactor(triangle)
    orthonormal, triangle = np.linalg.qr(np.vstack([jacobian.T, root * np.eye(n_rows)]))
    basis = orthonormal[:n_dims]
    shifted = jacobian @ position / (1.0 + damping) - residual
    step = basis @ linalg.solve_triangular(triangle, shifted, trans=1) - position / (1.0 + damping)
    return step, DualFactor(basis, triangle)
