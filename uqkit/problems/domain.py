"""Where a boundary value problem lives: a box with named coordinates, and the parts of it that constraints hold on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from uqkit.errors import InputError

__all__ = ["Box", "Region"]

# How far outside, as a share of the width, a given point may lie: the rounding of whoever wrote it down.
_SLACK = 1e-9


class Box:
    """A product of intervals, one a coordinate; time is a coordinate like the others.

    Args:
        units: Coordinate -> its unit; those left out are dimensionless, "1".
        coordinates: Name -> (lower end, upper end), as keywords: `Box(x=(-1, 1), t=(0, 2))`.

    Raises:
        InputError: If there is no coordinate, or an interval is not two finite numbers in order.
    """

    def __init__(
        self, *, units: Mapping[str, str] | None = None, **coordinates: tuple[float, float] | list[float]
    ) -> None:
        """See the class."""
        if not coordinates:
            raise InputError("a Box() without coordinates; name at least one, as in Box(x=(0, 1)).")
        for name, interval in coordinates.items():
            ends = np.asarray(interval, dtype=float)
            if ends.shape != (2,) or not np.isfinite(ends).all() or not ends[0] < ends[1]:
                raise InputError(
                    f"coordinate {name!r} of the Box is {interval!r}; pass (lower end, upper end), both finite, in "
                    "order."
                )
        unknown = set(units or ()) - set(coordinates)
        if unknown:
            raise InputError(f"`units` names {', '.join(sorted(unknown))}, no coordinate of {', '.join(coordinates)}.")
        self.names = tuple(coordinates)
        self.lower = np.array([interval[0] for interval in coordinates.values()], dtype=float)
        self.upper = np.array([interval[1] for interval in coordinates.values()], dtype=float)
        self.units = {name: (units or {}).get(name, "1") for name in self.names}

    def __len__(self) -> int:
        """Number of coordinates."""
        return len(self.names)

    def __repr__(self) -> str:
        """The intervals."""
        ends = zip(self.names, self.lower, self.upper, strict=True)
        return f"Box({', '.join(f'{name}=({low:g}, {high:g})' for name, low, high in ends)})"

    @property
    def interior(self) -> "Region":
        """The whole box."""
        return Region(self, ({},))

    @property
    def boundary(self) -> "Region":
        """All faces: both ends of every coordinate."""
        ends = zip(self.names, self.lower, self.upper, strict=True)
        return Region(self, tuple({name: float(end)} for name, low, high in ends for end in (low, high)))

    def face(self, **fixed: float) -> "Region":
        """The points where the coordinates named have the values given: `face(x=0)`, `face(t=0)`.

        Raises:
            InputError: If a coordinate is unknown or a value lies outside the box.
        """
        for name, value in fixed.items():
            if name not in self.names:
                raise InputError(f"face({name}={value:g}): the box has the coordinates {', '.join(self.names)}.")
            axis = self.names.index(name)
            if not self.lower[axis] <= value <= self.upper[axis]:
                raise InputError(f"face({name}={value:g}) lies outside {self}; give a value within its interval.")
        if not fixed:
            raise InputError("face() without a coordinate; fix at least one, as in face(x=0), or use `interior`.")
        return Region(self, ({name: float(value) for name, value in fixed.items()},))

    def outside(self, points: Float[np.ndarray, "point coordinate"]) -> Float[np.ndarray, " point"]:
        """How far each point lies outside, in widths of the box; 0 within."""
        width = self.upper - self.lower
        beyond = np.maximum(self.lower - points, points - self.upper) / width
        return np.where(beyond.max(axis=1) > _SLACK, beyond.max(axis=1), 0.0)

    def columns(self, points: Float[np.ndarray, "point coordinate"]) -> dict[str, Float[np.ndarray, " point"]]:
        """Coordinates by name."""
        return {name: points[:, axis] for axis, name in enumerate(self.names)}


@dataclass(frozen=True)
class Region:
    """A union of parts of a box; a part is what is left when some coordinates are held fixed.

    Attributes:
        box: The box it is a part of.
        parts: Of each part, the coordinates held fixed; none for the whole box.
    """

    box: Box
    parts: tuple[Mapping[str, float], ...]

    def __or__(self, other: "Region") -> "Region":
        """Union, without the parts that are there twice."""
        if other.box is not self.box:
            raise InputError("the union of regions of two boxes; make both from one Box.")
        return Region(self.box, (*self.parts, *(part for part in other.parts if part not in self.parts)))
