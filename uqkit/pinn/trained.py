"""Hidden layers of a trained network, frozen as features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from uqkit.nn import derivatives
from uqkit.pinn.field import Orders

__all__ = ["TrainedBasis"]

_AT_ONCE = 4_096


@dataclass(frozen=True)
class TrainedBasis:
    """The units of a network's last hidden layer, and a constant.

    Attributes:
        network: With `hidden_values`.
    """

    network: Any

    @property
    def n_features(self) -> int:
        """How many there are."""
        return self.network.last.weight.shape[1] + 1

    def matrices(
        self, points: Float[np.ndarray, "point coordinate"], wanted: Sequence[Orders]
    ) -> dict[Orders, Float[np.ndarray, "point feature"]]:
        """Every unit's derivatives at points, by their orders."""
        found: dict[Orders, list[Any]] = {orders: [] for orders in wanted}
        with jax.enable_x64(True):
            for start in range(0, len(points), _AT_ONCE):
                part = _matrices(self.network, jnp.asarray(points[start : start + _AT_ONCE]), tuple(wanted))
                for orders in wanted:
                    found[orders].append(np.asarray(part[orders]))
        return {orders: np.concatenate(parts) for orders, parts in found.items()}


@eqx.filter_jit
def _matrices(
    network: Any, points: Float[Array, "point coordinate"], wanted: tuple[Orders, ...]
) -> dict[Orders, Float[Array, "point feature"]]:
    return derivatives(lambda point: jnp.append(network.hidden_values(point), 1.0), points, wanted)
