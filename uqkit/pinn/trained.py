"""What a training leaves: its record, and the hidden layers frozen as features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from uqkit.nn import derivatives
from uqkit.pinn.field import Orders

__all__ = ["FrozenLayers", "TrainedBasis", "Training"]

_AT_ONCE = 4_096


@dataclass(frozen=True)
class Training:
    """What happened while a network was trained.

    Attributes:
        objective: Minus the log joint density before each iteration, in nats; empty after Adam.
        n_evaluations: Evaluations of the stacked residual, with and without derivatives.
        step: Steps of Adam at which the following was recorded.
        loss: Of each constraint there, before balancing.
        balance: Weight of each constraint there.
    """

    objective: Float[np.ndarray, " iteration"]
    n_evaluations: int
    step: Int[np.ndarray, " record"] | None = None
    loss: Float[np.ndarray, "record constraint"] | None = None
    balance: Float[np.ndarray, "record constraint"] | None = None


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


@dataclass(frozen=True)
class FrozenLayers:
    """Hidden layers that were trained for a problem, and what they were trained with.

    Attributes:
        basis: The features.
        start: Weights of the last layer that they were trained with, and scores of the parameters.
        training: How it went.
    """

    basis: TrainedBasis
    start: Float[np.ndarray, " dim"]
    training: Training | None


@eqx.filter_jit
def _matrices(
    network: Any, points: Float[Array, "point coordinate"], wanted: tuple[Orders, ...]
) -> dict[Orders, Float[Array, "point feature"]]:
    return derivatives(lambda point: jnp.append(network.hidden_values(point), 1.0), points, wanted)
