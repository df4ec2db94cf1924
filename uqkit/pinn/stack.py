"""All constraints as one stacked, whitened residual of weights and parameters, whatever the fields are made of."""

import functools
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from uqkit.inputs import NormalScores
from uqkit.pinn.field import Orders
from uqkit.pinn.operators import Operator
from uqkit.problems import BoundaryValueProblem, Constraint, Integrated
from uqkit.problems.boundary import by_name

__all__ = ["PARAMETERS", "Nodes", "Stack", "Term", "function_derivatives", "nodes_of", "nonlinear_blocks"]

# The block of coordinates that are the parameters' standard normal scores.
PARAMETERS = "parameters"
# Points at which a known part is evaluated together.
_LENGTH = 512


@dataclass(frozen=True)
class Nodes:
    """Where a constraint is enforced, and with what weight.

    Attributes:
        points: In the domain.
        target: Right-hand side there.
        row_scale: Noise scale of each row, relative to the constraint's sigma or tolerance.
    """

    points: Float[np.ndarray, "point coordinate"]
    target: Float[np.ndarray, " point"]
    row_scale: Float[np.ndarray, " point"]


def nodes_of(
    problem: BoundaryValueProblem,
    constraint: Constraint,
    points: Float[np.ndarray, "point coordinate"],
    weights: Float[np.ndarray, " point"],
) -> Nodes:
    """Target and relative scale of a constraint at points; weights count for laws that are integrated."""
    shape = problem.shape_at(constraint, points)
    relative = shape / np.sqrt(weights) if isinstance(constraint.noise, Integrated) else shape
    return Nodes(points, problem.target_at(constraint, points), relative)


class Term(eqx.Module):
    """One constraint's arrays.

    Attributes:
        operator: What is constrained.
        columns: Coordinates of its points, by name.
        target: Right-hand side.
        row_scale: Relative noise scale of each row.
    """

    operator: Operator = eqx.field(static=True)
    columns: dict[str, Float[Array, " point"]]
    target: Float[Array, " point"]
    row_scale: Float[Array, " point"]


class Stack(eqx.Module):
    """The residuals of a problem; implements `uqkit.inference.WhitenedResidual`.

    The position is the weights of the fields, then the standard normal scores of the parameters.

    Attributes:
        names: Of the constraints.
        outputs: Of the fields.
        parameter_names: Of the parameters.
        scores: Parameters as a function of their scores.
        terms: Arrays of each constraint.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    outputs: tuple[str, ...] = eqx.field(static=True)
    parameter_names: tuple[str, ...] = eqx.field(static=True)
    scores: NormalScores | None
    terms: eqx.AbstractVar[tuple[Any, ...]]

    @property
    @abstractmethod
    def weight_blocks(self) -> dict[str, slice]:
        """Block of weights with one prior scale -> its coordinates, in order and without gaps."""

    @abstractmethod
    def residual(self, position: Float[Any, " dim"]) -> Float[Array, " row"]:
        """Value minus target, over the relative scale of each row."""

    @abstractmethod
    def residual_and_jacobian(
        self, position: Float[Any, " dim"]
    ) -> tuple[Float[Array, " row"], Float[Array, "row dim"]]:
        """Residual and its derivatives."""

    @property
    def row_blocks(self) -> dict[str, slice]:
        """Constraint -> its rows."""
        ends = np.cumsum([0, *(len(term.target) for term in self.terms)]).tolist()
        return {name: slice(*rows) for name, rows in zip(self.names, zip(ends, ends[1:], strict=False), strict=True)}

    @property
    def dim_blocks(self) -> dict[str, slice]:
        """The blocks of weights; then the parameters' scores."""
        blocks = self.weight_blocks
        if self.parameter_names:
            start = self.n_weights
            blocks[PARAMETERS] = slice(start, start + len(self.parameter_names))
        return blocks

    @property
    def n_weights(self) -> int:
        """Weights of all fields."""
        return max(part.stop for part in self.weight_blocks.values())

    @property
    def n_dims(self) -> int:
        """Length of the position."""
        return self.n_weights + len(self.parameter_names)

    def parameters(self, position: Float[Array, " dim"]) -> dict[str, Float[Array, ""]]:
        """Parameters in their own units, by name."""
        return self.parameters_of(position[self.n_weights :])

    def parameters_of(self, scores: Float[Array, " parameter"]) -> dict[str, Float[Array, ""]]:
        """Parameters by their scores."""
        if self.scores is None:
            return {}
        return dict(zip(self.parameter_names, self.scores(scores), strict=True))


def parameter_scores(problem: BoundaryValueProblem) -> NormalScores | None:
    """The parameters of a problem as a function of standard normal scores."""
    inputs = problem.inputs
    return None if inputs is None else NormalScores.of(inputs)


def function_derivatives(
    functions: Mapping[str, Callable[..., Any]],
    coordinates: tuple[str, ...],
    points: Float[np.ndarray, "point coordinate"],
    wanted: Sequence[tuple[str, Orders]],
) -> dict[tuple[str, Orders], Float[Array, " point"]]:
    """Derivatives at points of functions of the coordinates, by output, where there is one for it."""
    # Filled up to a common length: derivatives of fourth order are long to compile, so few shapes.
    filled = np.resize(points, (-len(points) // _LENGTH * -_LENGTH, points.shape[1]))
    found = {}
    for output, orders in wanted:
        if output in functions:
            derivative = _compiled_derivative(functions[output], coordinates, orders)
            found[output, orders] = derivative(jnp.asarray(filled))[: len(points)]
    return found


@functools.lru_cache(maxsize=256)
def _compiled_derivative(part: Callable[..., Any], names: tuple[str, ...], orders: Orders) -> Callable[..., Any]:
    """A derivative of a function of the coordinates by name, at many points; compiled once for each function."""

    def derivative(point: Float[Array, " coordinate"]) -> Float[Array, ""]:
        return by_name(part, dict(zip(names, point, strict=True)))

    for axis, order in enumerate(orders):
        for _ in range(order):
            derivative = _along(derivative, np.eye(len(names))[axis])
    return jax.jit(jax.vmap(derivative))


def _along(function: Any, direction: Float[np.ndarray, " coordinate"]) -> Any:
    return lambda point: jax.jvp(function, (point,), (jnp.asarray(direction, dtype=point.dtype),))[1]


def nonlinear_blocks(stack: Stack) -> tuple[str, ...]:
    """Constraints whose derivatives depend on the position."""
    generator = np.random.default_rng(0)
    slopes = [np.asarray(stack.residual_and_jacobian(generator.standard_normal(stack.n_dims))[1]) for _ in range(2)]
    scale = np.abs(slopes[0]).max()
    return tuple(
        name
        for name, rows in stack.row_blocks.items()
        if not np.allclose(slopes[0][rows], slopes[1][rows], rtol=1e-10, atol=1e-13 * scale)
    )
