"""A posterior by its residuals: what Gauss-Newton, Laplace, the evidence and the scales are computed from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Float

__all__ = ["Perturbed", "Scales", "WhitenedResidual", "not_finite"]


@runtime_checkable
class WhitenedResidual(Protocol):
    """Gaussian observations of a function m of a position with a Gaussian prior, whitened up to one scale a block.

    Row j of block i is r_ij(x) = (m_ij(x) - y_ij) / s_ij; the coordinates are in blocks too, each with its prior scale:

        log p(y, x) = -1/2 sum_i |r_i(x)|^2 / noise_i^2 - sum_i n_i log noise_i
                      -1/2 sum_b |x_b|^2 / prior_b^2 - sum_b m_b log prior_b + constant.
    """

    @property
    def row_blocks(self) -> Mapping[str, slice]:
        """Observed block -> its rows, in order and without gaps."""
        ...

    @property
    def dim_blocks(self) -> Mapping[str, slice]:
        """Block of coordinates with one prior scale -> its coordinates, in order and without gaps."""
        ...

    def residual(self, position: Float[Any, " dim"]) -> Float[jax.Array, " row"]:
        """r(x), at unit noise scales."""
        ...

    def residual_and_jacobian(
        self, position: Float[Any, " dim"]
    ) -> tuple[Float[jax.Array, " row"], Float[jax.Array, "row dim"]]:
        """r(x) and its derivatives, at unit noise scales."""
        ...


@dataclass(frozen=True, kw_only=True)
class Scales:
    """What the whitening of a residual leaves open.

    Attributes:
        noise: Observed block -> noise scale, in units of its rows.
        prior: Block of coordinates -> prior standard deviation.
    """

    noise: Mapping[str, float]
    prior: Mapping[str, float]

    def rows(self, blocks: Mapping[str, slice]) -> Float[np.ndarray, " row"]:
        """The noise scale of each row."""
        return _spread(self.noise, blocks)

    def dims(self, blocks: Mapping[str, slice]) -> Float[np.ndarray, " dim"]:
        """The prior standard deviation of each coordinate."""
        return _spread(self.prior, blocks)

    def relaxed(self, blocks: Mapping[str, float]) -> "Scales":
        """The noise of some blocks multiplied by a factor each."""
        return replace(self, noise={name: value * blocks.get(name, 1.0) for name, value in self.noise.items()})


@dataclass(frozen=True)
class Perturbed:
    """A problem with its data and the mean of its prior moved; on the host, in double precision."""

    problem: WhitenedResidual
    offset: Float[np.ndarray, " row"]
    centre: Float[np.ndarray, " dim"]

    def residual(self, position: Float[np.ndarray, " dim"]) -> Float[np.ndarray, " row"]:
        """r(x) of the perturbed data."""
        with jax.enable_x64(True):
            return np.asarray(self.problem.residual(position)) - self.offset

    def linearised(
        self, position: Float[np.ndarray, " dim"]
    ) -> tuple[Float[np.ndarray, " row"], Float[np.ndarray, "row dim"]]:
        """Residual of the perturbed data and its derivatives."""
        with jax.enable_x64(True):
            residual, jacobian = self.problem.residual_and_jacobian(position)
            return np.asarray(residual) - self.offset, np.asarray(jacobian)


def not_finite(
    problem: WhitenedResidual, residual: Float[np.ndarray, " row"], jacobian: Float[np.ndarray, "row dim"]
) -> str:
    """A message that names the blocks with rows that are not finite."""
    finite = np.isfinite(residual) & np.isfinite(jacobian).all(axis=1)
    where = {name: int((~finite[rows]).sum()) for name, rows in problem.row_blocks.items()}
    bad = ", ".join(f"{n} rows of {name!r}" for name, n in where.items() if n)
    return (
        f"the residual or its derivative is not finite in {bad}; check the operators there for "
        "divisions by zero, logarithms and roots of what is zero or negative."
    )


def _spread(scale: Mapping[str, float], blocks: Mapping[str, slice]) -> Float[np.ndarray, " entry"]:
    return np.concatenate([np.full(part.stop - part.start, float(scale[name])) for name, part in blocks.items()])
