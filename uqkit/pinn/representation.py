"""What fields are made of, and the residuals that follow."""

from collections.abc import Sequence

from uqkit.pinn.feature_stack import FeatureStack, feature_stack
from uqkit.pinn.features import Basis
from uqkit.pinn.network_stack import FieldNetwork, NetworkStack, network_stack
from uqkit.pinn.operators import Operator
from uqkit.pinn.stack import Nodes
from uqkit.pinn.trained import TrainedBasis
from uqkit.problems import BoundaryValueProblem

__all__ = ["Representation", "stack_of"]

type Representation = Basis | TrainedBasis | FieldNetwork


def stack_of(
    problem: BoundaryValueProblem,
    operators: Sequence[Operator],
    nodes: Sequence[Nodes],
    representation: Representation,
    *,
    names: tuple[str, ...],
) -> FeatureStack | NetworkStack:
    """The stacked residual of operators on their nodes, one named block each."""
    if isinstance(representation, FieldNetwork):
        return network_stack(problem, operators, nodes, representation, names=names)
    return feature_stack(problem, operators, nodes, representation, names=names)
