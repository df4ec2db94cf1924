"""Where constraints on a region are enforced: points that are nodes of a quadrature, with their weights."""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Float, Key

from uqkit.errors import InputError
from uqkit.inputs import MonteCarlo, ScrambledSobol
from uqkit.keys import numpy_generator
from uqkit.problems import Box, Region

__all__ = [
    "Collocation",
    "GaussGrid",
    "ResidualAdaptive",
    "SobolPoints",
    "adapted_points",
    "random_points",
    "region_points",
]

type Points = Float[np.ndarray, "point coordinate"]
type Weights = Float[np.ndarray, " point"]

# Candidates for each point that is drawn by the residual.
_CANDIDATES = 5


@runtime_checkable
class Collocation(Protocol):
    """A rule that fills a part of the domain with points."""

    def unit_points(self, names: tuple[str, ...], *, key: Key[jax.Array, ""]) -> tuple[Points, Weights]:
        """Points in the unit cube of the free coordinates named, and quadrature weights that add up to 1."""
        ...


@dataclass(frozen=True, kw_only=True)
class GaussGrid:
    """A tensor grid of Gauss-Legendre nodes: dense near the boundary, but never on it.

    Attributes:
        n: Nodes along each free coordinate; or coordinate -> nodes.
    """

    n: int | Mapping[str, int]

    def __post_init__(self) -> None:
        """Check the numbers."""
        counts = self.n.values() if isinstance(self.n, Mapping) else (self.n,)
        if any(count < 1 for count in counts):
            raise InputError(f"GaussGrid(n={self.n}): pass at least one node along each coordinate.")

    def unit_points(self, names: tuple[str, ...], *, key: Key[jax.Array, ""]) -> tuple[Points, Weights]:
        """The grid; the key is not used."""
        axes = []
        for name in names:
            if isinstance(self.n, Mapping) and name not in self.n:
                raise InputError(f"GaussGrid(n={dict(self.n)}) has no number of nodes for the coordinate {name!r}.")
            nodes, weights = np.polynomial.legendre.leggauss(self.n[name] if isinstance(self.n, Mapping) else self.n)
            axes.append((0.5 * (nodes + 1.0), 0.5 * weights))
        if not names:
            return np.zeros((1, 0)), np.ones(1)
        points = np.array(list(itertools.product(*(nodes for nodes, _ in axes))))
        weights = np.array(list(itertools.product(*(weights for _, weights in axes))))
        return points, weights.prod(axis=1)


@dataclass(frozen=True, kw_only=True)
class SobolPoints:
    """A scrambled Sobol' net, for three coordinates and more, where a grid has too many points.

    Attributes:
        n: Points in the interior of the domain, a power of two; a part with fewer free coordinates gets as many a
            length.
    """

    n: int

    def __post_init__(self) -> None:
        """Check the number."""
        if self.n < 2 or self.n & (self.n - 1):
            raise InputError(f"SobolPoints(n={self.n}): pass a power of two, 2 or more.")

    def unit_points(self, names: tuple[str, ...], *, key: Key[jax.Array, ""]) -> tuple[Points, Weights]:
        """The net."""
        if not names:
            return np.zeros((1, 0)), np.ones(1)
        points = ScrambledSobol().unit_points(self.n, len(names), key=key)
        return points, np.full(len(points), 1.0 / len(points))


@dataclass(frozen=True, kw_only=True)
class ResidualAdaptive:
    """Random points, dense where the residual is large, drawn anew while a network is trained.

    Half of them are uniform; the others have a density proportional to the absolute residual. Their weights are those
    of importance sampling from this mixture, so that sums of squares estimate the integral without bias, and the
    stated law is the one that is enforced. Before there is a residual all are uniform.

    Attributes:
        n: Points in the interior of the domain; a part with fewer free coordinates gets 2 n^(k/d) with k of d free.

    Reference:
        Wu, Zhu, Tan, Kartha & Lu (2023), Computer Methods in Applied Mechanics and Engineering 403, arXiv 2207.10289,
        for the density; they do not weigh the points.
    """

    n: int = 2_000

    def __post_init__(self) -> None:
        """Check the number."""
        if self.n < 2:
            raise InputError(f"ResidualAdaptive(n={self.n}): pass at least two points.")

    def unit_points(self, names: tuple[str, ...], *, key: Key[jax.Array, ""]) -> tuple[Points, Weights]:
        """Uniform points."""
        if not names:
            return np.zeros((1, 0)), np.ones(1)
        return MonteCarlo().unit_points(self.n, len(names), key=key), np.full(self.n, 1.0 / self.n)


def adapted_points(
    region: Region,
    rule: ResidualAdaptive,
    residual: Callable[[Points], Float[np.ndarray, " point"]] | None,
    *,
    key: Key[jax.Array, ""],
) -> tuple[Points, Weights]:
    """Points of a region by a rule, with weights that integrate over it.

    Args:
        region: Where.
        rule: How many.
        residual: Absolute residual at points; None for uniform points.
        key: Source of the points.
    """
    generator = numpy_generator(key)
    placed, weights = [], []
    for fixed in region.parts:
        free = tuple(name for name in region.box.names if name not in fixed)
        n = 1 if not free else rule.n
        if 0 < len(free) < len(region.box):
            n = math.ceil(2 * rule.n ** (len(free) / len(region.box)))
        size = _size(region.box, free)
        if residual is None or not free:
            placed.append(_placed(region.box, fixed, free, generator.random((n, len(free))))[0])
            weights.append(np.full(n, size / n))
            continue
        candidates, _ = _placed(region.box, fixed, free, generator.random((_CANDIDATES * n, len(free))))
        height = residual(candidates)
        # Where it is not finite, or zero throughout, there is nothing to follow; the search itself says what is wrong.
        follow = np.isfinite(height).all() and height.mean() > 0
        density = height / height.mean() if follow else np.ones(len(height))
        n_adapted = n // 2
        chosen = generator.choice(len(density), n_adapted, p=density / density.sum())
        # A prefix of the candidates is as uniform as any other points, and its residual is known.
        rest = np.arange(n - n_adapted)
        taken = np.concatenate([rest, chosen])
        share = n_adapted / n
        placed.append(candidates[taken])
        weights.append(size / n / ((1.0 - share) + share * density[taken]))
    return np.concatenate(placed), np.concatenate(weights)


def region_points(region: Region, rule: Collocation, *, key: Key[jax.Array, ""]) -> tuple[Points, Weights]:
    """Points of a region and weights that integrate over it, in the coordinates' own units."""
    parts = []
    for fixed, part_key in zip(region.parts, jax.random.split(key, len(region.parts)), strict=True):
        free = tuple(name for name in region.box.names if name not in fixed)
        unit, weights = rule.unit_points(free, key=part_key)
        points, size = _placed(region.box, fixed, free, unit)
        parts.append((points, weights * size))
    return np.concatenate([points for points, _ in parts]), np.concatenate([weights for _, weights in parts])


def random_points(region: Region, n_points: int, *, key: Key[jax.Array, ""]) -> tuple[Points, Weights]:
    """Independent uniform points of a region, for checks on what was not fitted; each part gets its share by size."""
    free = [tuple(name for name in region.box.names if name not in fixed) for fixed in region.parts]
    sizes = np.array([_size(region.box, names) for names in free])
    counts = np.maximum(1, np.round(n_points * sizes / sizes.sum())).astype(int)
    points, weights = [], []
    keys = jax.random.split(key, len(counts))
    for fixed, names, count, size, part_key in zip(region.parts, free, counts, sizes, keys, strict=True):
        unit = MonteCarlo().unit_points(int(count), len(names), key=part_key) if names else np.zeros((1, 0))
        points.append(_placed(region.box, fixed, names, unit)[0])
        weights.append(np.full(len(unit), size / len(unit)))
    return np.concatenate(points), np.concatenate(weights)


def _size(box: Box, free: tuple[str, ...]) -> float:
    return float(np.prod([box.upper[box.names.index(name)] - box.lower[box.names.index(name)] for name in free]))


def _placed(
    box: Box, fixed: Mapping[str, float], free: tuple[str, ...], unit: Float[np.ndarray, "point free"]
) -> tuple[Points, float]:
    points = np.empty((len(unit), len(box)))
    for axis, name in enumerate(box.names):
        if name in fixed:
            points[:, axis] = fixed[name]
        else:
            points[:, axis] = box.lower[axis] + (box.upper[axis] - box.lower[axis]) * unit[:, free.index(name)]
    return points, _size(box, free)
