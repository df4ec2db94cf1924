"""What is fixed before anything is fitted: operators, points, and the prior of the fields."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Key

from uqkit.errors import InputError
from uqkit.pinn.collocation import (
    Collocation,
    GaussGrid,
    ResidualAdaptive,
    SobolPoints,
    adapted_points,
    random_points,
    region_points,
)
from uqkit.pinn.features import Basis, GaussianPairs, RandomFeatures
from uqkit.pinn.network import Network, TrainedFeatures
from uqkit.pinn.operators import Operator, compile_operator
from uqkit.pinn.stack import Nodes, nodes_of
from uqkit.pinn.trained import FrozenLayers, TrainedBasis
from uqkit.problems import BoundaryValueProblem, Region

__all__ = ["N_HELD_OUT", "FieldPrior", "Setting", "adapted", "prepare"]

type FieldPrior = RandomFeatures | Network | TrainedFeatures

# Points on which what was not fitted is looked at, in each constraint that holds on a region.
N_HELD_OUT = 600
# A tensor grid up to this many coordinates, a net beyond.
_MOST_GRID_COORDINATES = 3
# Features by the number of coordinates.
_N_FEATURES = {1: 100, 2: 400}
_MOST_FEATURES = 1_000


@dataclass(frozen=True)
class Setting:
    """What is fixed before anything is fitted.

    Attributes:
        problem: The problem.
        prior: The prior of the fields.
        operators: One a constraint, in order.
        nodes: Likewise, where they are enforced.
        held_out: Likewise, random points of the constraints that hold on a region; None for given points.
        collocation: How regions were filled.
        key: All randomness of the setting.
        basis_key: Randomness of the features.
        relaxed: Factors on tolerances.
        trained: Features that were trained for it.
    """

    problem: BoundaryValueProblem
    prior: FieldPrior
    operators: tuple[Operator, ...]
    nodes: tuple[Nodes, ...]
    held_out: tuple[Nodes | None, ...]
    collocation: Collocation
    key: Key[jax.Array, ""]
    basis_key: Key[jax.Array, ""]
    relaxed: Mapping[str, float] = field(default_factory=dict)
    trained: FrozenLayers | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the constraints."""
        return tuple(constraint.name for constraint in self.problem.constraints)

    def coarser(self, n_features: int) -> "Setting":
        """The same problem with no more than this many features, and collocation to match: for searches."""
        if not isinstance(self.prior, RandomFeatures) or self.prior.n_features <= n_features:
            return self
        return prepare(self.problem, replace(self.prior, n_features=n_features), None, key=self.key)

    @property
    def candidates(self) -> tuple[float, ...]:
        """Values of the number that the features leave open; one where nothing is."""
        return (
            tuple(map(float, self.prior.frequencies.candidates)) if isinstance(self.prior, RandomFeatures) else (1.0,)
        )

    def basis(self, value: float) -> Basis | TrainedBasis:
        """Features for one value of what is left open."""
        if self.trained is not None:
            return self.trained.basis
        assert isinstance(self.prior, RandomFeatures)
        return self.prior.basis(self.problem.domain, value, periodic=self.problem.periodic, key=self.basis_key)


def prepare(
    problem: BoundaryValueProblem,
    prior: FieldPrior | None,
    collocation: Collocation | None,
    *,
    key: Key[jax.Array, ""],
) -> Setting:
    """Check operators and place points; what is None is chosen.

    Raises:
        InputError: If an operator, a target or a noise shape cannot be used.
    """
    if not isinstance(problem, BoundaryValueProblem):
        raise InputError(
            f"the problem is a {type(problem).__name__}; pass a uqkit.BoundaryValueProblem, or uqkit.load(name)."
        )
    prior = _default_field(problem) if prior is None else prior
    if not isinstance(prior, (RandomFeatures, Network, TrainedFeatures)):
        raise InputError(f"`field` is {prior!r}; pass RandomFeatures(...), Network(...) or TrainedFeatures(...).")
    collocation = _default_collocation(problem, prior) if collocation is None else collocation
    with jax.enable_x64(True):
        return _placed(problem, prior, collocation, key)


def _placed(
    problem: BoundaryValueProblem, prior: FieldPrior, collocation: Collocation, key: Key[jax.Array, ""]
) -> Setting:
    basis_key, node_key, held_out_key = jax.random.split(key, 3)
    operators, nodes, held_out = [], [], []
    for i, constraint in enumerate(problem.constraints):
        given = problem.given_points(constraint)
        what = f"the operator of constraint {constraint.name!r}"
        operators.append(compile_operator(problem, what, constraint.operator, None if given is None else given[0]))
        region = constraint.points
        if given is None:
            assert isinstance(region, Region)
            points, weights = _points_of(region, collocation, None, jax.random.fold_in(node_key, i))
            fresh = random_points(region, N_HELD_OUT, key=jax.random.fold_in(held_out_key, i))
            held_out.append(nodes_of(problem, constraint, *fresh))
        else:
            points, weights = (
                given,
                np.full(len(given), np.prod(problem.domain.upper - problem.domain.lower) / len(given)),
            )
            held_out.append(None)
        nodes.append(nodes_of(problem, constraint, points, weights))
    return Setting(problem, prior, tuple(operators), tuple(nodes), tuple(held_out), collocation, key, basis_key)


def _points_of(
    region: Region,
    rule: Collocation,
    residual: Callable[[Any], Float[np.ndarray, " point"]] | None,
    key: Key[jax.Array, ""],
) -> tuple[Float[np.ndarray, "point coordinate"], Float[np.ndarray, " point"]]:
    if isinstance(rule, ResidualAdaptive):
        return adapted_points(region, rule, residual, key=key)
    return region_points(region, rule, key=key)


def adapted(
    setting: Setting,
    residual: Callable[[int, Float[np.ndarray, "point coordinate"]], Float[np.ndarray, " point"]],
    *,
    key: Key[jax.Array, ""],
) -> tuple[Nodes, ...]:
    """New nodes by the residual of each constraint (number, points -> absolute values), where they hold on a region."""
    nodes = []
    for i, (constraint, old) in enumerate(zip(setting.problem.constraints, setting.nodes, strict=True)):
        region = constraint.points
        if isinstance(region, Region):
            placed = _points_of(region, setting.collocation, partial(residual, i), jax.random.fold_in(key, i))
            old = nodes_of(setting.problem, constraint, *placed)
        nodes.append(old)
    return tuple(nodes)


def _default_field(problem: BoundaryValueProblem) -> RandomFeatures:
    n_features = _N_FEATURES.get(len(problem.domain), _MOST_FEATURES)
    if any(isinstance(constraint.points, Region) for constraint in problem.constraints):
        return RandomFeatures(n_features=n_features)
    return RandomFeatures(frequencies=GaussianPairs())


def _default_collocation(problem: BoundaryValueProblem, prior: FieldPrior) -> Collocation:
    if not isinstance(prior, RandomFeatures):
        return ResidualAdaptive()
    n_points = 2 * prior.n_features * len(problem.outputs)
    if len(problem.domain) > _MOST_GRID_COORDINATES:
        return SobolPoints(n=2 ** math.ceil(math.log2(n_points)))
    return GaussGrid(n=math.ceil(n_points ** (1 / len(problem.domain))))
