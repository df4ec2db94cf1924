"""The stacked residual of fields that are a network: derivatives by nested forward differentiation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from uqkit.nn import FlatNetwork, derivatives
from uqkit.pinn.field import Orders
from uqkit.pinn.operators import Operator
from uqkit.pinn.stack import Nodes, Stack, Term, parameter_scores
from uqkit.problems import BoundaryValueProblem
from uqkit.problems.boundary import by_name

__all__ = ["FieldNetwork", "NetworkStack", "network_stack"]


class FieldNetwork(eqx.Module):
    """The fields of a problem as one network of all outputs, times their envelopes, plus their known parts.

    Attributes:
        flat: The network and its vector of weights.
        coordinates: Names of the inputs.
        outputs: Names of the outputs.
        amplitude: Factor of each output, in its unit.
        envelope: Output -> function of the coordinates.
        known_part: Likewise.
    """

    flat: FlatNetwork
    coordinates: tuple[str, ...] = eqx.field(static=True)
    outputs: tuple[str, ...] = eqx.field(static=True)
    amplitude: tuple[float, ...] = eqx.field(static=True)
    envelope: tuple[tuple[str, Callable[..., Any]], ...] = eqx.field(static=True)
    known_part: tuple[tuple[str, Callable[..., Any]], ...] = eqx.field(static=True)

    @staticmethod
    def of(problem: BoundaryValueProblem, network: Any, amplitude: Mapping[str, float]) -> "FieldNetwork":
        """The fields of a problem."""
        return FieldNetwork(
            FlatNetwork(network),
            problem.domain.names,
            tuple(problem.outputs),
            tuple(float(amplitude[name]) for name in problem.outputs),
            tuple(problem.envelope.items()),
            tuple(problem.known_part.items()),
        )

    def values(self, network: Any, point: Float[Array, " coordinate"]) -> Float[Array, " output"]:
        """All outputs at a point."""
        raw = network(point)
        at = dict(zip(self.coordinates, point, strict=True))
        envelope, known_part = dict(self.envelope), dict(self.known_part)
        values = []
        for i, output in enumerate(self.outputs):
            value = self.amplitude[i] * raw[i]
            if output in envelope:
                value = by_name(envelope[output], at) * value
            values.append(value + by_name(known_part[output], at) if output in known_part else value)
        return jnp.stack(values)

    def derivatives(
        self,
        weights: Float[Array, " weight"],
        points: Float[Array, "point coordinate"],
        wanted: Sequence[tuple[str, Orders]],
    ) -> dict[tuple[str, Orders], Float[Array, " point"]]:
        """Derivatives of the outputs at points."""
        network = self.flat.restore(weights)
        orders = sorted({entry[1] for entry in wanted})
        found = derivatives(lambda point: self.values(network, point), points, orders)
        return {entry: found[entry[1]][:, self.outputs.index(entry[0])] for entry in wanted}


class NetworkTerm(Term):
    """One constraint's arrays.

    Attributes:
        points: Where it is enforced.
    """

    points: Float[Array, "point coordinate"]


class NetworkStack(Stack):
    """The residuals of a problem whose fields are a network.

    Attributes:
        fields: The network.
        terms: Arrays of each constraint.
    """

    fields: FieldNetwork
    terms: tuple[NetworkTerm, ...]

    @property
    def weight_blocks(self) -> dict[str, slice]:
        """Layer's array of weights, as `hidden.0.weight` -> its coordinates."""
        return self.fields.flat.blocks

    def residual(self, position: Float[Any, " dim"]) -> Float[Array, " row"]:
        """Value minus target, over the relative scale of each row."""
        return _residual(self, jnp.asarray(position))

    def residual_and_jacobian(
        self, position: Float[Any, " dim"]
    ) -> tuple[Float[Array, " row"], Float[Array, "row dim"]]:
        """Residual and its derivatives."""
        return _residual_and_jacobian(self, jnp.asarray(position))

    def rows_of(self, term: NetworkTerm, position: Float[Array, " dim"]) -> Float[Array, " point"]:
        """Residuals of one constraint."""
        derived = self.fields.derivatives(position[: self.n_weights], term.points, term.operator.wanted)
        value = term.operator(derived, self.parameters(position), term.columns)
        return (value - term.target) / term.row_scale


@eqx.filter_jit
def _residual(stack: NetworkStack, position: Float[Array, " dim"]) -> Float[Array, " row"]:
    return jnp.concatenate([stack.rows_of(term, position) for term in stack.terms])


@eqx.filter_jit
def _residual_and_jacobian(
    stack: NetworkStack, position: Float[Array, " dim"]
) -> tuple[Float[Array, " row"], Float[Array, "row dim"]]:
    parts = []
    for term in stack.terms:
        arrays, rest = eqx.partition(term, eqx.is_array)

        def at_one(position: Any, arrays: Any, rest: Any = rest) -> Float[Array, ""]:
            one = jax.tree.map(lambda leaf: leaf[None], arrays)
            return stack.rows_of(eqx.combine(one, rest), position)[0]

        parts.append(jax.vmap(jax.value_and_grad(at_one), in_axes=(None, 0))(position, arrays))
    return jnp.concatenate([value for value, _ in parts]), jnp.concatenate([slope for _, slope in parts])


def network_stack(
    problem: BoundaryValueProblem,
    operators: Sequence[Operator],
    nodes: Sequence[Nodes],
    fields: FieldNetwork,
    *,
    names: tuple[str, ...],
) -> NetworkStack:
    """The stacked residual of operators on their nodes, one named block each."""
    terms = tuple(
        NetworkTerm(
            operator=operator,
            points=jnp.asarray(node.points),
            columns={name: jnp.asarray(column) for name, column in problem.domain.columns(node.points).items()},
            target=jnp.asarray(node.target),
            row_scale=jnp.asarray(node.row_scale),
        )
        for operator, node in zip(operators, nodes, strict=True)
    )
    return NetworkStack(
        names=names,
        outputs=tuple(problem.outputs),
        parameter_names=problem.parameter_names,
        scores=parameter_scores(problem),
        fields=fields,
        terms=terms,
    )
