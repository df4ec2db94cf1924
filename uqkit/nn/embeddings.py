"""Embeddings: waves of the coordinates that a network sees in their place."""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from uqkit._typing import PRNGKey
from uqkit.errors import InputError
from uqkit.keys import as_key
from uqkit.nn.layers import Fixed, standard_normal

__all__ = ["FourierEmbedding", "FourierWaves", "PeriodicEmbedding", "PeriodicWaves"]


@dataclass(frozen=True, kw_only=True)
class FourierEmbedding:
    """Random waves cos(B z), sin(B z) of the standardised point z, with B ~ Normal(0, scale).

    Attributes:
        scale: Standard deviation of the frequencies, in radians per unit of z; there is no factor 2 pi. 1 to 2 for
            smooth solutions, 10 for waves.
        n_frequencies: Rows of B; the network sees twice as many columns.
        trainable: Whether B is trained.

    Reference:
        Tancik et al. (2020), arXiv 2006.10739; for differential equations Wang, Wang & Perdikaris (2021), arXiv
        2012.10047.
    """

    scale: float = 1.0
    n_frequencies: int = 64
    trainable: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 0 < self.scale < np.inf or self.n_frequencies < 1:
            raise InputError(
                f"FourierEmbedding(scale={self.scale}, n_frequencies={self.n_frequencies}): pass a finite scale above "
                "zero and at least one frequency."
            )

    def build(self, n_inputs: int, *, key: PRNGKey) -> "FourierWaves":
        """The embedding of a point of `n_inputs` numbers.

        Args:
            n_inputs: Length of its argument.
            key: Source of the frequencies.
        """
        frequency = self.scale * standard_normal(as_key(key), (self.n_frequencies, n_inputs))
        return FourierWaves(frequency if self.trainable else Fixed(frequency), self.scale)


class FourierWaves(eqx.Module):
    """What `FourierEmbedding` builds.

    Attributes:
        frequency: B.
        scale: Standard deviation that B was drawn with, and its prior's.
    """

    frequency: Float[Array, "frequency input"] | Fixed
    scale: float = eqx.field(static=True)

    def __call__(self, point: Float[Array, " input"]) -> Float[Array, " wave"]:
        """All cosines, then all sines."""
        frequency = self.frequency.value if isinstance(self.frequency, Fixed) else self.frequency
        phase = frequency @ point
        return jnp.concatenate([jnp.cos(phase), jnp.sin(phase)])


@dataclass(frozen=True, kw_only=True)
class PeriodicEmbedding:
    """Makes a network exactly periodic in some coordinates, with all its derivatives; the others pass through.

    Attributes:
        coordinates: Names of the periodic ones.
        periods: Of each, in its unit.
        harmonics: Waves cos(2 pi k x / period), sin(2 pi k x / period) for k = 1 to this; the layers after them make
            the higher ones.

    Reference:
        Dong & Ni (2021), A method for representing periodic functions and enforcing exactly periodic boundary
        conditions with deep neural networks, Journal of Computational Physics 435.
    """

    coordinates: Sequence[str]
    periods: Sequence[float]
    harmonics: int = 1

    def __post_init__(self) -> None:
        """Check that names and periods fit."""
        if isinstance(self.coordinates, str) or not self.coordinates or len(self.coordinates) != len(self.periods):
            raise InputError(
                f"PeriodicEmbedding(coordinates={self.coordinates!r}, periods={self.periods}): pass a tuple of names "
                "and one period for each."
            )
        if len(set(self.coordinates)) < len(self.coordinates):
            raise InputError(f"PeriodicEmbedding(coordinates={self.coordinates!r}) names one twice; leave one out.")
        if not all(0 < period < np.inf for period in self.periods) or self.harmonics < 1:
            raise InputError(
                f"PeriodicEmbedding(periods={self.periods}, harmonics={self.harmonics}): pass finite periods above "
                "zero and at least one harmonic."
            )

    def build(self, coordinates: Sequence[str]) -> "PeriodicWaves":
        """The embedding of a point with these coordinates.

        Args:
            coordinates: Names of all coordinates, in order.

        Raises:
            InputError: If a periodic coordinate is not among them.
        """
        unknown = [name for name in self.coordinates if name not in coordinates]
        if unknown:
            raise InputError(
                f"PeriodicEmbedding names {', '.join(unknown)}, but the coordinates are {', '.join(coordinates)}."
            )
        periodic = tuple(coordinates.index(name) for name in self.coordinates)
        return PeriodicWaves(
            periodic=periodic,
            passing=tuple(i for i in range(len(coordinates)) if i not in periodic),
            periods=tuple(float(period) for period in self.periods),
            harmonics=self.harmonics,
        )


class PeriodicWaves(eqx.Module):
    """What `PeriodicEmbedding` builds.

    Attributes:
        periodic: Positions of the periodic coordinates.
        passing: Positions of the others.
        periods: Of the periodic ones.
        harmonics: Number of waves of each.
    """

    periodic: tuple[int, ...] = eqx.field(static=True)
    passing: tuple[int, ...] = eqx.field(static=True)
    periods: tuple[float, ...] = eqx.field(static=True)
    harmonics: int = eqx.field(static=True)

    @property
    def n_waves(self) -> int:
        """Columns after those that pass through."""
        return 2 * self.harmonics * len(self.periodic)

    def __call__(self, point: Float[Array, " input"]) -> Float[Array, " column"]:
        """The coordinates that pass through, then all cosines, then all sines."""
        turns = point[np.array(self.periodic)] / np.array(self.periods, dtype=point.dtype)
        phase = (2.0 * np.pi * np.arange(1, self.harmonics + 1, dtype=point.dtype)[:, None] * turns).ravel()
        passing = point[np.array(self.passing, dtype=int)]
        return jnp.concatenate([passing, jnp.cos(phase), jnp.sin(phase)])
