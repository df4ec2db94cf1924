"""Posterior of a Bayesian linear model, on the side of its rows or of its weights, whichever is shorter.

f(x) = mean(x) + Phi(x) w with w ~ Normal(0, I). A row is one output at one point.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["FunctionSpace", "Rows", "WeightSpace", "linear_posterior"]


@dataclass(frozen=True)
class Rows:
    """Features of rows as sums of outer products, which are never multiplied out on the side of the rows.

    Attributes:
        mean: Of the prior, `... x row`.
        blocks: Pairs of factors, `... x row x a` and `... x row x b`: a * b of the features are their outer product.
    """

    mean: Tensor
    blocks: Sequence[tuple[Tensor, Tensor]]

    @staticmethod
    def of(features: Tensor, mean: Tensor | None = None) -> "Rows":
        """Rows of plain features, `... x row x p`."""
        one = features.new_ones((*features.shape[:-1], 1))
        return Rows(features.new_zeros(features.shape[:-1]) if mean is None else mean, ((one, features),))

    @property
    def n_weights(self) -> int:
        """Features of a row."""
        return sum(left.shape[-1] * right.shape[-1] for left, right in self.blocks)

    def kernel(self, other: "Rows") -> Tensor:
        """Prior covariance with other rows, `... x row x other`."""
        parts = [
            (left @ its_left.mT) * (right @ its_right.mT)
            for (left, right), (its_left, its_right) in zip(self.blocks, other.blocks, strict=True)
        ]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]

    def features(self) -> Tensor:
        """Phi, `... x row x p`."""
        parts = [(left[..., :, None] * right[..., None, :]).flatten(-2) for left, right in self.blocks]
        return torch.cat(parts, dim=-1)

    def joined(self, other: "Rows") -> "Rows":
        """These rows and then others."""
        blocks = [
            (_joined(left, its_left, -2), _joined(right, its_right, -2))
            for (left, right), (its_left, its_right) in zip(self.blocks, other.blocks, strict=True)
        ]
        return Rows(_joined(self.mean, other.mean, -1), blocks)


@dataclass(frozen=True)
class FunctionSpace:
    """The posterior by the kernel of the rows, as of a Gaussian process.

    Attributes:
        rows: Conditioned on.
        targets: Observed, `batch x row`; the batch may be longer than that of the rows.
        triangle: Lower Cholesky factor of kernel and noise, `... x row x row`.

    Reference:
        Rasmussen & Williams (2006), sections 2.1 and 2.2.
    """

    rows: Rows
    targets: Tensor
    triangle: Tensor

    @staticmethod
    def of(rows: Rows, targets: Tensor, noise: Tensor) -> "FunctionSpace":
        """The posterior given rows, what was observed there, and noise variances."""
        return FunctionSpace(rows, targets, torch.linalg.cholesky(rows.kernel(rows) + torch.diag_embed(noise)))

    @property
    def batch_shape(self) -> torch.Size:
        """Of the posterior."""
        return torch.broadcast_shapes(self.targets.shape[:-1], self.triangle.shape[:-2])

    def moments(self, points: Rows) -> tuple[Tensor, Tensor]:
        """Mean, `... x row`, and covariance, `... x row x row`, of the function."""
        cross = _solved(self.triangle, points.kernel(self.rows).mT)
        white = _solved(self.triangle, (self.targets - self.rows.mean)[..., None])
        mean = points.mean + (cross.mT @ white)[..., 0]
        return mean, points.kernel(points) - cross.mT @ cross

    def conditioned(self, rows: Rows, targets: Tensor, noise: Tensor) -> "FunctionSpace":
        """The posterior given further rows: the factor grows, and what is there of it stays."""
        cross = _solved(self.triangle, rows.kernel(self.rows).mT)
        own = torch.linalg.cholesky(rows.kernel(rows) + torch.diag_embed(noise) - cross.mT @ cross)
        batch = torch.broadcast_shapes(own.shape[:-2], cross.shape[:-2], self.triangle.shape[:-2])
        n_old, n_new = self.triangle.shape[-1], own.shape[-1]
        upper = torch.cat([self.triangle.expand(*batch, n_old, n_old), own.new_zeros(*batch, n_old, n_new)], dim=-1)
        lower = torch.cat([cross.mT.expand(*batch, n_new, n_old), own.expand(*batch, n_new, n_new)], dim=-1)
        triangle = torch.cat([upper, lower], dim=-2)
        return FunctionSpace(self.rows.joined(rows), _joined(self.targets, targets, -1), triangle)

    def left_out(self, n_outputs: int) -> tuple[Tensor, Tensor]:
        """Prediction of each observation from the points other than its own: means and variances, `point x output`.

        Reference:
            Rasmussen & Williams (2006), equations 5.10 to 5.12, with a block for a point's outputs.
        """
        inverse = torch.cholesky_inverse(self.triangle)
        block = torch.linalg.inv(_diagonal_blocks(inverse, n_outputs))
        weight = (inverse @ (self.targets - self.rows.mean)).reshape(-1, n_outputs)
        residual = (block @ weight[..., None])[..., 0]
        return self.targets.reshape(-1, n_outputs) - residual, block.diagonal(dim1=-2, dim2=-1)


@dataclass(frozen=True)
class WeightSpace:
    """The posterior by the precision of the weights.

    Attributes:
        rows: Conditioned on.
        targets: Observed, `batch x row`.
        noise: Variances, `... x row`.
        triangle: Lower Cholesky factor of the precision, `... x p x p`.
        shift: Phi' R^-1 (y - mean), `batch x p`.

    Reference:
        Bishop (2006), section 3.3.
    """

    rows: Rows
    targets: Tensor
    noise: Tensor
    triangle: Tensor
    shift: Tensor

    @staticmethod
    def of(rows: Rows, targets: Tensor, noise: Tensor) -> "WeightSpace":
        """The posterior given rows, what was observed there, and noise variances."""
        features = rows.features()
        weighted = features / noise[..., None]
        unit = torch.eye(rows.n_weights, dtype=features.dtype)
        triangle = torch.linalg.cholesky(unit + features.mT @ weighted)
        shift = (weighted.mT @ (targets - rows.mean)[..., None])[..., 0]
        return WeightSpace(rows, targets, noise, triangle, shift)

    @property
    def batch_shape(self) -> torch.Size:
        """Of the posterior."""
        return torch.broadcast_shapes(self.shift.shape[:-1], self.triangle.shape[:-2])

    def moments(self, points: Rows) -> tuple[Tensor, Tensor]:
        """Mean, `... x row`, and covariance, `... x row x row`, of the function."""
        cross = _solved(self.triangle, points.features().mT)
        white = _solved(self.triangle, self.shift[..., None])
        return points.mean + (cross.mT @ white)[..., 0], cross.mT @ cross

    def conditioned(self, rows: Rows, targets: Tensor, noise: Tensor) -> "WeightSpace":
        """The posterior given further rows."""
        features = rows.features()
        weighted = features / noise[..., None]
        triangle = torch.linalg.cholesky(self.triangle @ self.triangle.mT + features.mT @ weighted)
        shift = self.shift + (weighted.mT @ (targets - rows.mean)[..., None])[..., 0]
        return replace(
            self,
            rows=self.rows.joined(rows),
            targets=_joined(self.targets, targets, -1),
            noise=_joined(self.noise, noise, -1),
            triangle=triangle,
            shift=shift,
        )

    def left_out(self, n_outputs: int) -> tuple[Tensor, Tensor]:
        """As of `FunctionSpace`, by the leverages H: the covariance without a point is R (R - H)^-1 R."""
        mean, covariance = self.moments(self.rows)
        noise = torch.diag_embed(self.noise.reshape(-1, n_outputs))
        gain = noise @ torch.linalg.inv(noise - _diagonal_blocks(covariance, n_outputs))
        residual = (gain @ (self.targets - mean).reshape(-1, n_outputs, 1))[..., 0]
        variance = (gain @ noise).diagonal(dim1=-2, dim2=-1)
        return self.targets.reshape(-1, n_outputs) - residual, variance


def linear_posterior(rows: Rows, targets: Tensor, noise: Tensor) -> FunctionSpace | WeightSpace:
    """The posterior on the shorter side."""
    shorter = WeightSpace if rows.n_weights <= rows.mean.shape[-1] else FunctionSpace
    return shorter.of(rows, targets, noise)


def _solved(triangle: Tensor, right: Tensor) -> Tensor:
    """Triangle^-1 right; one triangle for a batch is not copied for each of its members."""
    if triangle.ndim > 2 or right.ndim <= 2:
        return torch.linalg.solve_triangular(triangle, right, upper=False)
    flat = right.movedim(-2, 0)
    return torch.linalg.solve_triangular(triangle, flat.flatten(1), upper=False).reshape(flat.shape).movedim(0, -2)


def _joined(first: Tensor, second: Tensor, axis: int) -> Tensor:
    """Along an axis counted from the end, all dimensions before the last two (or the last) broadcast."""
    n_kept = -axis
    batch = torch.broadcast_shapes(first.shape[:-n_kept], second.shape[:-n_kept])
    parts = [part.expand(*batch, *part.shape[-n_kept:]) for part in (first, second)]
    return torch.cat(parts, dim=axis)


def _diagonal_blocks(matrix: Tensor, size: int) -> Tensor:
    n_blocks = matrix.shape[-1] // size
    blocks = matrix.reshape(n_blocks, size, n_blocks, size)
    return blocks.diagonal(dim1=0, dim2=2).movedim(-1, 0)
