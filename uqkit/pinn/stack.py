"""All constraints as one stacked, whitened residual of weights and parameters."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from uqkit.inputs import NormalScores
from uqkit.pinn.features import Basis
from uqkit.pinn.field import Orders
from uqkit.pinn.operators import Operator
from uqkit.problems import BoundaryValueProblem, Constraint, Integrated
from uqkit.problems.boundary import by_name

__all__ = ["PARAMETERS", "Nodes", "Stack", "known_derivatives", "nodes_of", "nonlinear_blocks", "stack_of"]

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


class _Term(eqx.Module):
    """One constraint's arrays."""

    operator: Operator = eqx.field(static=True)
    design: dict[Orders, Float[Array, "point feature"]]
    known: dict[tuple[str, Orders], Float[Array, " point"]]
    columns: dict[str, Float[Array, " point"]]
    target: Float[Array, " point"]
    row_scale: Float[Array, " point"]

    def derivatives(self, weights: Mapping[str, Float[Array, " feature"]]) -> dict[tuple[str, Orders], Any]:
        """Derivatives of the fields at the points."""
        values = {}
        for output, orders in self.operator.wanted:
            value = self.design[orders] @ weights[output]
            known = self.known.get((output, orders))
            values[output, orders] = value if known is None else value + known
        return values


class Stack(eqx.Module):
    """The residuals of a problem for one basis; implements `uqkit.inference.WhitenedResidual`.

    The position is the weights of each output in turn, then the standard normal scores of the parameters.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    outputs: tuple[str, ...] = eqx.field(static=True)
    parameter_names: tuple[str, ...] = eqx.field(static=True)
    n_features: int = eqx.field(static=True)
    terms: tuple[_Term, ...]
    scores: NormalScores | None

    @property
    def row_blocks(self) -> dict[str, slice]:
        """Constraint -> its rows."""
        ends = np.cumsum([0, *(len(term.target) for term in self.terms)]).tolist()
        return {name: slice(*rows) for name, rows in zip(self.names, zip(ends, ends[1:], strict=False), strict=True)}

    @property
    def dim_blocks(self) -> dict[str, slice]:
        """Output -> its weights; then the parameters' scores."""
        m = self.n_features
        blocks = {output: slice(i * m, (i + 1) * m) for i, output in enumerate(self.outputs)}
        if self.parameter_names:
            start = len(self.outputs) * m
            blocks[PARAMETERS] = slice(start, start + len(self.parameter_names))
        return blocks

    @property
    def n_dims(self) -> int:
        """Length of the position."""
        return len(self.outputs) * self.n_features + len(self.parameter_names)

    def weights(self, position: Float[Array, " dim"]) -> dict[str, Float[Array, " feature"]]:
        """Weights by output."""
        blocks = self.dim_blocks
        return {output: position[blocks[output]] for output in self.outputs}

    def parameters(self, position: Float[Array, " dim"]) -> dict[str, Float[Array, ""]]:
        """Parameters in their own units, by name."""
        return self._parameters(position[len(self.outputs) * self.n_features :])

    def _parameters(self, scores: Float[Array, " parameter"]) -> dict[str, Float[Array, ""]]:
        if self.scores is None:
            return {}
        return dict(zip(self.parameter_names, self.scores(scores), strict=True))

    def residual(self, position: Float[Any, " dim"]) -> Float[Array, " row"]:
        """Value minus target, over the relative scale of each row."""
        return _residual(self, jnp.asarray(position))

    def residual_and_jacobian(
        self, position: Float[Any, " dim"]
    ) -> tuple[Float[Array, " row"], Float[Array, "row dim"]]:
        """Residual and its derivatives."""
        return _residual_and_jacobian(self, jnp.asarray(position))


def _rows(stack: Stack, position: Float[Array, " dim"]) -> Float[Array, " row"]:
    weights, parameters = stack.weights(position), stack.parameters(position)
    parts = []
    for term in stack.terms:
        value = term.operator(term.derivatives(weights), parameters, term.columns)
        parts.append((value - term.target) / term.row_scale)
    return jnp.concatenate(parts)


_residual = eqx.filter_jit(_rows)


@eqx.filter_jit
def _residual_and_jacobian(
    stack: Stack, position: Float[Array, " dim"]
) -> tuple[Float[Array, " row"], Float[Array, "row dim"]]:
    weights = stack.weights(position)
    scores = position[len(stack.outputs) * stack.n_features :]
    residuals, jacobians = [], []
    for term in stack.terms:
        fields = term.derivatives(weights)

        def value_at(fields: Any, scores: Any, term: _Term = term) -> Float[Array, " point"]:
            return term.operator(fields, stack._parameters(scores), term.columns)

        # The operator is pointwise, so one directional derivative a field gives a whole diagonal of its Jacobian, and
        # the rest is a product with the design matrix: nothing is differentiated through the features.
        value, slope = jax.linearize(value_at, fields, scores)
        still = jax.tree.map(jnp.zeros_like, fields)
        blocks = []
        for output in stack.outputs:
            block = jnp.zeros((len(term.target), stack.n_features))
            for entry in term.operator.wanted:
                if entry[0] == output:
                    diagonal = slope({**still, entry: jnp.ones_like(fields[entry])}, jnp.zeros_like(scores))
                    block = block + diagonal[:, None] * term.design[entry[1]]
            blocks.append(block)
        if stack.parameter_names:
            along_scores = functools.partial(slope, still)
            blocks.append(jax.vmap(along_scores, out_axes=1)(jnp.eye(len(scores))))
        residuals.append((value - term.target) / term.row_scale)
        jacobians.append(jnp.concatenate(blocks, axis=1) / term.row_scale[:, None])
    return jnp.concatenate(residuals), jnp.concatenate(jacobians)


def known_derivatives(
    problem: BoundaryValueProblem, points: Float[np.ndarray, "point coordinate"], wanted: Sequence[tuple[str, Orders]]
) -> dict[tuple[str, Orders], Float[Array, " point"]]:
    """Derivatives of the known part at points, by nested forward differentiation; only of outputs that have one."""
    # Filled up to a common length: derivatives of fourth order are long to compile, so few shapes.
    filled = np.resize(points, (-len(points) // _LENGTH * -_LENGTH, points.shape[1]))
    found = {}
    for output, orders in wanted:
        if output in problem.known_part:
            derivative = _compiled_derivative(problem.known_part[output], problem.domain.names, orders)
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


def stack_of(
    problem: BoundaryValueProblem,
    operators: Sequence[Operator],
    nodes: Sequence[Nodes],
    basis: Basis,
    *,
    names: tuple[str, ...],
) -> Stack:
    """The stacked residual of operators on their nodes, one named block each."""
    terms = []
    for operator, node in zip(operators, nodes, strict=True):
        orders = sorted({entry[1] for entry in operator.wanted})
        terms.append(
            _Term(
                operator=operator,
                design={key: jnp.asarray(value) for key, value in basis.matrices(node.points, orders).items()},
                known=known_derivatives(problem, node.points, operator.wanted),
                columns={name: jnp.asarray(column) for name, column in problem.domain.columns(node.points).items()},
                target=jnp.asarray(node.target),
                row_scale=jnp.asarray(node.row_scale),
            )
        )
    inputs = problem.inputs
    return Stack(
        names=names,
        outputs=tuple(problem.outputs),
        parameter_names=problem.parameter_names,
        n_features=len(basis.phase),
        terms=tuple(terms),
        scores=None if inputs is None else NormalScores.of(inputs),
    )


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
