"""Losses of constraints on random points of their regions, new at each step: what a network is trained on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from uqkit.inputs import NormalScores
from uqkit.keys import numpy_generator
from uqkit.pinn.network_stack import FieldNetwork
from uqkit.pinn.operators import Operator
from uqkit.pinn.stack import parameter_scores
from uqkit.problems import BoundaryValueProblem, Constraint, Region
from uqkit.problems.boundary import by_name

__all__ = ["Batch", "BatchLosses", "batch_losses"]

# Points from which mini-batches are drawn where a target is no JAX function; so many that a network cannot tell.
_POOL = 2**16
# Spacing of the uniform numbers that JAX makes in single precision.
_SPACING = 2.0**-23


class Batch(eqx.Module):
    """Points of one constraint.

    Attributes:
        points: In the domain.
        target: Right-hand side there.
        shape: Relative noise scale there.
    """

    points: Float[Array, "point coordinate"]
    target: Float[Array, " point"]
    shape: Float[Array, " point"]


class _Fresh(eqx.Module):
    """New uniform points of a part of the domain at each step.

    Attributes:
        lower: Corner of the part.
        width: Of the part; 0 where a coordinate is fixed.
        names: Of the coordinates.
        n: How many points.
        target: Number or JAX function of the coordinates by name.
        shape: Likewise.
    """

    lower: Float[Array, " coordinate"]
    width: Float[Array, " coordinate"]
    names: tuple[str, ...] = eqx.field(static=True)
    n: int = eqx.field(static=True)
    target: Any = eqx.field(static=True)
    shape: Any = eqx.field(static=True)

    @property
    def n_random(self) -> int:
        """How many points of the unit cube a batch is made from."""
        return self.n

    def batch(self, unit: Float[Array, "point coordinate"]) -> Batch:
        """The points, from points of the unit cube."""
        points = self.lower + self.width * unit
        columns = {name: points[:, axis] for axis, name in enumerate(self.names)}

        def at(given: Any) -> Float[Array, " point"]:
            values = by_name(given, columns) if callable(given) else given
            return jnp.broadcast_to(jnp.asarray(values, points.dtype), (self.n,))

        return Batch(points, at(self.target), at(self.shape))


class _Stored(eqx.Module):
    """Some of many points with their targets at each step, or all of a few.

    Attributes:
        pool: All of them.
        n: How many at each step.
    """

    pool: Batch
    n: int = eqx.field(static=True)

    @property
    def n_random(self) -> int:
        """How many points of the unit cube a batch is made from."""
        return 0 if self.n == len(self.pool.points) else self.n

    def batch(self, unit: Float[Array, "point coordinate"]) -> Batch:
        """The points, from points of the unit cube."""
        if not self.n_random:
            return self.pool
        chosen = (unit[:, 0] * len(self.pool.points)).astype(int)
        return jax.tree.map(lambda leaf: leaf[chosen], self.pool)


class BatchLosses(eqx.Module):
    """Loss of each constraint on a mini-batch: over the parts of its region, the sum of the mean squared residuals.

    Residuals are in the operator's unit and divided by the constraint's `shape`, but not by its noise scale: how laws
    are balanced is the optimiser's, and the noise is the posterior's. The position is the weights of the fields, then
    the standard normal scores of the parameters.

    Attributes:
        fields: The network.
        scores: Parameters as a function of their scores.
        parameter_names: Of the parameters.
        operators: One a constraint.
        parts: Of each constraint.
    """

    fields: FieldNetwork
    scores: NormalScores | None
    parameter_names: tuple[str, ...] = eqx.field(static=True)
    operators: tuple[Operator, ...] = eqx.field(static=True)
    parts: tuple[tuple[_Fresh | _Stored, ...], ...]

    def draw(self, key: Key[jax.Array, ""]) -> tuple[Batch, ...]:
        """A mini-batch of each constraint."""
        every = [part for parts in self.parts for part in parts]
        ends = np.cumsum([0, *(part.n_random for part in every)])
        # Half a spacing from the faces of the unit cube: a target may be infinite on those of the domain.
        unit = jax.random.uniform(key, (int(ends[-1]), len(self.fields.coordinates))) + 0.5 * _SPACING
        batches = iter([part.batch(unit[start:stop]) for part, start, stop in zip(every, ends, ends[1:], strict=False)])
        return tuple(_joined([next(batches) for _ in parts]) for parts in self.parts)

    def each(self, position: Float[Array, " dim"], batches: Sequence[Batch]) -> Float[Array, " constraint"]:
        """All losses; constraints that take the same derivatives have their points evaluated together."""
        alike: dict[tuple[Any, ...], list[int]] = {}
        for i, operator in enumerate(self.operators):
            alike.setdefault(tuple(sorted({orders for _, orders in operator.wanted})), []).append(i)
        losses = {}
        for group in alike.values():
            losses |= zip(group, self._of(group, position, [batches[i] for i in group]), strict=True)
        return jnp.stack([losses[i] for i in range(len(self.operators))])

    def one(self, i: int, position: Float[Array, " dim"], batch: Batch) -> Float[Array, ""]:
        """Loss of one constraint."""
        return self._of([i], position, [batch])[0]

    def _of(
        self, group: Sequence[int], position: Float[Array, " dim"], batches: Sequence[Batch]
    ) -> list[Float[Array, ""]]:
        n_weights = self.fields.flat.n_weights
        parameters = {}
        if self.scores is not None:
            parameters = dict(zip(self.parameter_names, self.scores(position[n_weights:]), strict=True))
        wanted = sorted({entry for i in group for entry in self.operators[i].wanted})
        points = jnp.concatenate([batch.points for batch in batches])
        derived = self.fields.derivatives(position[:n_weights], points, wanted)
        losses, start = [], 0
        for i, batch in zip(group, batches, strict=True):
            rows = slice(start, start + len(batch.points))
            columns = {name: batch.points[:, axis] for axis, name in enumerate(self.fields.coordinates)}
            value = self.operators[i]({entry: of[rows] for entry, of in derived.items()}, parameters, columns)
            share = np.concatenate([np.full(part.n, 1.0 / part.n) for part in self.parts[i]])
            losses.append(jnp.dot(jnp.asarray(share, value.dtype), ((value - batch.target) / batch.shape) ** 2))
            start = rows.stop
        return losses


def batch_losses(
    problem: BoundaryValueProblem,
    operators: Sequence[Operator],
    fields: FieldNetwork,
    *,
    n_points: int,
    key: Key[jax.Array, ""],
) -> BatchLosses:
    """Losses of a problem in single precision, which JAX is to be in.

    Each part of a region gets new uniform points at each step. Targets and shapes are evaluated there if JAX can trace
    them. Those that it cannot, such as functions of NumPy, are evaluated once, at 65,536 uniform points of each part,
    of which a mini-batch is a random choice. Of given points all are taken at each step.

    Args:
        problem: Whose constraints.
        operators: One a constraint.
        fields: The network.
        n_points: Points a part at each step.
        key: Source of the points that are drawn once.
    """
    network = jax.tree.map(
        lambda leaf: jnp.asarray(np.asarray(leaf, dtype=np.float32)) if eqx.is_inexact_array(leaf) else leaf,
        fields.flat.network,
    )
    parts = tuple(
        _parts(problem, constraint, n_points, jax.random.fold_in(key, i))
        for i, constraint in enumerate(problem.constraints)
    )
    return BatchLosses(
        replace(fields, flat=replace(fields.flat, network=network)),
        parameter_scores(problem),
        problem.parameter_names,
        tuple(operators),
        parts,
    )


def _parts(
    problem: BoundaryValueProblem, constraint: Constraint, n_points: int, key: Key[jax.Array, ""]
) -> tuple[_Fresh | _Stored, ...]:
    region, names = constraint.points, problem.domain.names
    given = problem.given_points(constraint)
    if given is not None:
        return (_Stored(_known(problem, constraint, given), len(given)),)
    assert isinstance(region, Region)
    shape = 1.0 if constraint.shape is None else constraint.shape
    traceable = all(_traceable(function, names) for function in (constraint.target, shape) if callable(function))
    generator = numpy_generator(key)
    parts: list[_Fresh | _Stored] = []
    for fixed in region.parts:
        lower, upper = _corners(problem, fixed)
        if len(fixed) == len(names):
            parts.append(_Stored(_known(problem, constraint, lower[None]), 1))
        elif traceable:
            corner, width = jnp.asarray(lower, jnp.float32), jnp.asarray(upper - lower, jnp.float32)
            parts.append(_Fresh(corner, width, names, n_points, constraint.target, shape))
        else:
            pool = lower + (upper - lower) * generator.random((max(_POOL, 2 * n_points), len(names)))
            parts.append(_Stored(_known(problem, constraint, pool), n_points))
    return tuple(parts)


def _corners(
    problem: BoundaryValueProblem, fixed: Mapping[str, float]
) -> tuple[Float[np.ndarray, " coordinate"], Float[np.ndarray, " coordinate"]]:
    lower, upper = problem.domain.lower.copy(), problem.domain.upper.copy()
    for name, value in fixed.items():
        axis = problem.domain.names.index(name)
        lower[axis] = upper[axis] = value
    return lower, upper


def _known(
    problem: BoundaryValueProblem, constraint: Constraint, points: Float[np.ndarray, "point coordinate"]
) -> Batch:
    arrays = (points, problem.target_at(constraint, points), problem.shape_at(constraint, points))
    return Batch(*(jnp.asarray(array, jnp.float32) for array in arrays))


def _traceable(function: Callable[..., Any], names: tuple[str, ...]) -> bool:
    """Whether JAX can compile a function of the coordinates."""
    column = jax.ShapeDtypeStruct((3,), jnp.float32)
    try:
        values = jax.eval_shape(lambda columns: by_name(function, columns), dict.fromkeys(names, column))
    # What NumPy and SciPy raise when they are given a tracer. An error that is not about tracing comes again when the
    # points of the pool are evaluated.
    except (TypeError, ValueError, IndexError, AttributeError):
        return False
    return getattr(values, "shape", None) in ((), (3,))


def _joined(batches: Sequence[Batch]) -> Batch:
    return batches[0] if len(batches) == 1 else jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *batches)
