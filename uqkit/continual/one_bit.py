"""A network of signs, one bit a weight."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from uqkit.continual.network import logits
from uqkit.errors import InputError, StoreError

__all__ = ["OneBitNetwork"]


@dataclass(frozen=True, kw_only=True, eq=False)
class OneBitNetwork:
    """Signs of all layers, packed eight to a byte, and the scaling of the inputs.

    Attributes:
        shapes: Of each layer's weights (unit below, unit).
        bits: Layer after layer, row by row; 1 stands for +1.
        centre: Subtracted from inputs.
        scale: That they are then divided by.
    """

    shapes: tuple[tuple[int, int], ...]
    bits: UInt8[np.ndarray, " byte"]
    centre: float
    scale: float

    @classmethod
    def of(cls, weights: Sequence[np.ndarray], centre: float, scale: float) -> "OneBitNetwork":
        """From fields or hidden weights, whose signs are kept."""
        up = np.concatenate([weight.ravel() >= 0 for weight in weights])
        return cls(
            shapes=tuple((int(w.shape[0]), int(w.shape[1])) for w in weights),
            bits=np.packbits(up),
            centre=centre,
            scale=scale,
        )

    @property
    def n_weights(self) -> int:
        """Of all layers."""
        return sum(a * b for a, b in self.shapes)

    @property
    def n_bytes(self) -> int:
        """Of the weights: their number over eight, rounded up."""
        return len(self.bits)

    def predict(self, inputs: Any) -> Float[np.ndarray, "point class"]:
        """Probability of each class at given rows, as of the learner's `SignNetwork`."""
        rows = np.asarray(inputs, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.shapes[0][0]:
            raise InputError(f"`inputs` has the shape {rows.shape}; pass rows of {self.shapes[0][0]} inputs.")
        x = jnp.asarray((rows - np.float32(self.centre)) / np.float32(self.scale))
        return np.asarray(_probabilities(self._weights(), x))

    def save(self, path: str | Path) -> Path:
        """Write the file (.npz)."""
        path = Path(path)
        with path.open("wb") as file:
            np.savez(file, shapes=self.shapes, bits=self.bits, scaling=[self.centre, self.scale])
        return path

    @classmethod
    def load(cls, path: str | Path) -> "OneBitNetwork":
        """Read what `save` wrote.

        Raises:
            StoreError: If the file holds something else.
        """
        try:
            with np.load(path) as file:
                centre, scale = file["scaling"].tolist()
                return cls(
                    shapes=tuple((int(a), int(b)) for a, b in file["shapes"]),
                    bits=file["bits"],
                    centre=centre,
                    scale=scale,
                )
        except (OSError, KeyError, ValueError) as error:
            raise StoreError(
                f"{str(path)!r} holds no one-bit network ({error}); pass a file that `save` wrote."
            ) from error

    def _weights(self) -> tuple[Any, ...]:
        up = np.unpackbits(self.bits, count=self.n_weights)
        ends = np.cumsum([a * b for a, b in self.shapes])[:-1]
        parts = np.split(2 * up.astype(np.float32) - 1, ends)
        return tuple(jnp.asarray(part.reshape(shape)) for part, shape in zip(parts, self.shapes, strict=True))


@jax.jit
def _probabilities(weights: tuple[Any, ...], x: Any) -> Any:
    return jax.nn.softmax(logits(weights, x))
