"""The stacked residual of fields that are linear in their weights: derivatives of features are computed once."""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from uqkit.pinn.field import Orders
from uqkit.pinn.operators import Operator
from uqkit.pinn.stack import Nodes, Stack, Term, function_derivatives, parameter_scores
from uqkit.problems import BoundaryValueProblem

__all__ = ["FeatureStack", "LinearBasis", "feature_stack"]


@runtime_checkable
class LinearBasis(Protocol):
    """Functions of the coordinates whose weighted sum is a field."""

    @property
    def n_features(self) -> int:
        """How many there are."""
        ...

    def matrices(
        self, points: Float[np.ndarray, "point coordinate"], wanted: Sequence[Orders]
    ) -> dict[Orders, Float[np.ndarray, "point feature"]]:
        """Every function's derivatives at points, by their orders."""
        ...


class FeatureTerm(Term):
    """One constraint's arrays.

    Attributes:
        design: Derivatives of the features, with the output's envelope.
        known: Derivatives of the known parts.
    """

    design: dict[tuple[str, Orders], Float[Array, "point feature"]]
    known: dict[tuple[str, Orders], Float[Array, " point"]]

    def derivatives(self, weights: Mapping[str, Float[Array, " feature"]]) -> dict[tuple[str, Orders], Any]:
        """Derivatives of the fields at the points."""
        values = {}
        for output, orders in self.operator.wanted:
            value = self.design[output, orders] @ weights[output]
            known = self.known.get((output, orders))
            values[output, orders] = value if known is None else value + known
        return values


class FeatureStack(Stack):
    """The residuals of a problem for one basis.

    Attributes:
        n_features: Of each output.
        terms: Arrays of each constraint.
    """

    n_features: int = eqx.field(static=True)
    terms: tuple[FeatureTerm, ...]

    @property
    def weight_blocks(self) -> dict[str, slice]:
        """Output -> its weights."""
        m = self.n_features
        return {output: slice(i * m, (i + 1) * m) for i, output in enumerate(self.outputs)}

    def weights(self, position: Float[Array, " dim"]) -> dict[str, Float[Array, " feature"]]:
        """Weights by output."""
        return {output: position[part] for output, part in self.weight_blocks.items()}

    def residual(self, position: Float[Any, " dim"]) -> Float[Array, " row"]:
        """Value minus target, over the relative scale of each row."""
        return _residual(self, jnp.asarray(position))

    def residual_and_jacobian(
        self, position: Float[Any, " dim"]
    ) -> tuple[Float[Array, " row"], Float[Array, "row dim"]]:
        """Residual and its derivatives."""
        return _residual_and_jacobian(self, jnp.asarray(position))


@eqx.filter_jit
def _residual(stack: FeatureStack, position: Float[Array, " dim"]) -> Float[Array, " row"]:
    weights, parameters = stack.weights(position), stack.parameters(position)
    parts = []
    for term in stack.terms:
        value = term.operator(term.derivatives(weights), parameters, term.columns)
        parts.append((value - term.target) / term.row_scale)
    return jnp.concatenate(parts)


@eqx.filter_jit
def _residual_and_jacobian(
    stack: FeatureStack, position: Float[Array, " dim"]
) -> tuple[Float[Array, " row"], Float[Array, "row dim"]]:
    weights = stack.weights(position)
    scores = position[stack.n_weights :]
    residuals, jacobians = [], []
    for term in stack.terms:
        fields = term.derivatives(weights)

        def value_at(fields: Any, scores: Any, term: FeatureTerm = term) -> Float[Array, " point"]:
            return term.operator(fields, stack.parameters_of(scores), term.columns)

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
                    block = block + diagonal[:, None] * term.design[entry]
            blocks.append(block)
        if stack.parameter_names:
            along_scores = functools.partial(slope, still)
            blocks.append(jax.vmap(along_scores, out_axes=1)(jnp.eye(len(scores))))
        residuals.append((value - term.target) / term.row_scale)
        jacobians.append(jnp.concatenate(blocks, axis=1) / term.row_scale[:, None])
    return jnp.concatenate(residuals), jnp.concatenate(jacobians)


def feature_stack(
    problem: BoundaryValueProblem,
    operators: Sequence[Operator],
    nodes: Sequence[Nodes],
    basis: LinearBasis,
    *,
    names: tuple[str, ...],
) -> FeatureStack:
    """The stacked residual of operators on their nodes, one named block each."""
    terms = []
    for operator, node in zip(operators, nodes, strict=True):
        terms.append(
            FeatureTerm(
                operator=operator,
                design=_designs(problem, basis, node.points, operator.wanted),
                known=function_derivatives(problem.known_part, problem.domain.names, node.points, operator.wanted),
                columns={name: jnp.asarray(column) for name, column in problem.domain.columns(node.points).items()},
                target=jnp.asarray(node.target),
                row_scale=jnp.asarray(node.row_scale),
            )
        )
    return FeatureStack(
        names=names,
        outputs=tuple(problem.outputs),
        parameter_names=problem.parameter_names,
        scores=parameter_scores(problem),
        n_features=basis.n_features,
        terms=tuple(terms),
    )


def _designs(
    problem: BoundaryValueProblem,
    basis: LinearBasis,
    points: Float[np.ndarray, "point coordinate"],
    wanted: Sequence[tuple[str, Orders]],
) -> dict[tuple[str, Orders], Float[Array, "point feature"]]:
    """Derivatives of the features, times the envelope of the output where it has one."""
    plain = sorted({orders for output, orders in wanted if output not in problem.envelope})
    lower = {
        part for output, orders in wanted if output in problem.envelope for part in itertools.product(*_up_to(orders))
    }
    matrices = {
        key: jnp.asarray(value) for key, value in basis.matrices(points, sorted({*plain, *lower})).items()
    }  # fmt: skip
    factors = function_derivatives(
        problem.envelope,
        problem.domain.names,
        points,
        [(output, part) for output in problem.envelope for part in sorted(lower)],
    )
    designs = {}
    for output, orders in wanted:
        if output not in problem.envelope:
            designs[output, orders] = matrices[orders]
            continue
        total = jnp.zeros_like(next(iter(matrices.values())))
        for part in itertools.product(*_up_to(orders)):  # Leibniz's rule
            ways = math.prod(math.comb(order, taken) for order, taken in zip(orders, part, strict=True))
            left = tuple(order - taken for order, taken in zip(orders, part, strict=True))
            total = total + ways * factors[output, part][:, None] * matrices[left]
        designs[output, orders] = total
    return designs


def _up_to(orders: Orders) -> list[range]:
    return [range(order + 1) for order in orders]
