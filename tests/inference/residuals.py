"""Whitened residuals that the tests of Gauss-Newton, Laplace, the evidence and the ensembles share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from uqkit.inference import Scales


def blocks_of(sizes: Mapping[str, int]) -> dict[str, slice]:
    ends = np.cumsum([0, *sizes.values()]).tolist()
    return {name: slice(first, last) for name, first, last in zip(sizes, ends, ends[1:], strict=False)}


@dataclass(frozen=True)
class Linear:
    """r(x) = design x - observed."""

    design: np.ndarray
    observed: np.ndarray
    row_blocks: Mapping[str, slice]
    dim_blocks: Mapping[str, slice]

    def residual(self, position: Any) -> jax.Array:
        return jnp.asarray(self.design @ np.asarray(position) - self.observed)

    def residual_and_jacobian(self, position: Any) -> tuple[jax.Array, jax.Array]:
        return self.residual(position), jnp.asarray(self.design)

    def posterior(self, scales: Scales) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance by dense inverses."""
        noise, prior = scales.rows(self.row_blocks), scales.dims(self.dim_blocks)
        covariance = np.linalg.inv(np.diag(prior**-2.0) + self.design.T @ (self.design / noise[:, None] ** 2))
        return covariance @ self.design.T @ (self.observed / noise**2), covariance


@dataclass(frozen=True)
class Nonlinear:
    """Residuals by a JAX function of the position."""

    function: Callable[[Any], jax.Array]
    row_blocks: Mapping[str, slice]
    dim_blocks: Mapping[str, slice]
    positions: list[np.ndarray] = field(default_factory=list)

    def residual(self, position: Any) -> jax.Array:
        return self.function(jnp.asarray(position))

    def residual_and_jacobian(self, position: Any) -> tuple[jax.Array, jax.Array]:
        self.positions.append(np.asarray(position))
        return self.residual(position), self._jacobian(jnp.asarray(position))

    @cached_property
    def _jacobian(self) -> Callable[[Any], jax.Array]:
        return jax.jit(jax.jacfwd(self.function))


def linear(sizes: Mapping[str, int], dims: Mapping[str, int], *, seed: int = 0) -> Linear:
    """Design and data of standard normal entries."""
    generator = np.random.default_rng(seed)
    shape = (sum(sizes.values()), sum(dims.values()))
    return Linear(generator.normal(size=shape), generator.normal(size=shape[0]), blocks_of(sizes), blocks_of(dims))
