"""Stacked residuals of a problem on few nodes, whatever its fields are made of."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from uqkit.pinn.collocation import GaussGrid, region_points
from uqkit.pinn.operators import compile_operator
from uqkit.pinn.representation import stack_of
from uqkit.pinn.stack import nodes_of
from uqkit.problems import BoundaryValueProblem, Region


def stack_on_few_nodes(problem: BoundaryValueProblem, represent: Callable[[], Any]) -> tuple[Any, Any, list[Any]]:
    """The stack, what `represent` made its fields of (in double precision), and the nodes: 3 along a coordinate."""
    with jax.enable_x64(True):
        operators = [compile_operator(problem, c.name, c.operator) for c in problem.constraints]
        nodes = []
        for constraint in problem.constraints:
            if isinstance(constraint.points, Region):
                points, weights = region_points(constraint.points, GaussGrid(n=3), key=jax.random.key(0))
            else:
                points = problem.given_points(constraint)
                assert points is not None
                weights = np.ones(len(points))
            nodes.append(nodes_of(problem, constraint, points, weights))
        representation = represent()
        names = tuple(c.name for c in problem.constraints)
        return stack_of(problem, operators, nodes, representation, names=names), representation, nodes
