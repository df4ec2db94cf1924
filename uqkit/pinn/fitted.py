"""A solution: its posterior, and what residuals at points that were not fitted say of it."""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

from uqkit.inference import Laplace, ScaleFit
from uqkit.pinn.collocation import random_points
from uqkit.pinn.feature_stack import FeatureStack
from uqkit.pinn.network_stack import NetworkStack
from uqkit.pinn.representation import Representation, stack_of
from uqkit.pinn.setting import N_HELD_OUT, Setting
from uqkit.pinn.stack import Nodes
from uqkit.pinn.trained import Training
from uqkit.problems import Constraint, Integrated

__all__ = [
    "Choice",
    "Fit",
    "held_out_residuals",
    "held_out_score",
    "relative_held_out_score",
    "unexplained",
]


@dataclass(frozen=True)
class Choice:
    """How the basis was chosen: each value tried with what it was judged by, smaller criteria being better.

    Attributes:
        values: Limits or length scales.
        log_evidence: Of each, in nats.
        held_out: Residual at fresh points over the tolerances; NaN where all points are given.
        chosen: Index of the one taken.
        by_evidence: Whether the evidence was the judge, or the residual.
        meaning: What the values are.
        unit: Their unit.
    """

    values: Float[np.ndarray, " candidate"]
    log_evidence: Float[np.ndarray, " candidate"]
    held_out: Float[np.ndarray, " candidate"]
    chosen: int
    by_evidence: bool
    meaning: str
    unit: str


@dataclass(frozen=True)
class Fit:
    """A Gaussian posterior with what its fields are made of.

    Attributes:
        setting: What was fixed.
        representation: What the fields are made of.
        stack: The residuals.
        nonlinear: Constraints that are not linear in the position.
        scales: Mode, scales and Laplace approximation.
        choice: How the basis was chosen.
        held_out: Residual at fresh points over the tolerances; NaN where all points are given.
        n_evaluations: Evaluations of the stacked residual, those for other candidates included.
        training: How a network was trained.
        attained: Whether tolerances of laws were raised to what the fields attain.
    """

    setting: Setting
    representation: Representation
    stack: FeatureStack | NetworkStack
    nonlinear: tuple[str, ...]
    scales: ScaleFit
    choice: Choice
    held_out: float
    n_evaluations: int
    training: Training | None = None
    attained: bool = False

    @property
    def laplace(self) -> Laplace:
        """The Gaussian approximation."""
        return self.scales.laplace


def held_out_score(found: Fit) -> float:
    """Residuals at random points over the tolerances, root of the sum of squares; NaN where all points are given."""
    noise = found.laplace.mode.scales.noise
    return _together({name: _rms(part) / noise[name] for name, part in held_out_residuals(found).items()})


def relative_held_out_score(found: Fit) -> float:
    """Residuals at random points, each constraint's relative to its size: it compares fits with different tolerances.

    The size is that of the residual without a field; for a homogeneous constraint, that of its operator on the solution
    in the interior.
    """
    still = _held_out_at(found, np.zeros(found.stack.n_dims))
    inside = _operators_inside(found)
    sizes = {name: _rms(part) or _rms(inside[name]) for name, part in still.items()}
    residuals = held_out_residuals(found)
    return _together({name: _rms(part) / sizes[name] for name, part in residuals.items() if sizes[name] > 0})


def unexplained(found: Fit) -> dict[str, float]:
    """Constraint on a region -> its residual at random points over that without a field, where that is not zero."""
    still = _held_out_at(found, np.zeros(found.stack.n_dims))
    residuals = held_out_residuals(found)
    return {name: _rms(residuals[name]) / _rms(part) for name, part in still.items() if _rms(part) > 0}


def _together(parts: dict[str, float]) -> float:
    return float(np.sqrt(sum(part**2 for part in parts.values()))) if parts else np.nan


def _rms(values: Float[np.ndarray, " point"]) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _operators_inside(found: Fit) -> dict[str, Float[np.ndarray, " point"]]:
    """Values of every constraint's operator on the solution, at random points of the domain."""
    setting = found.setting
    points, weights = random_points(setting.problem.domain.interior, N_HELD_OUT, key=jax.random.key(0))
    nodes = [
        Nodes(points, np.zeros(len(points)), _integral_scale(constraint, weights))
        for constraint in setting.problem.constraints
    ]
    with jax.enable_x64(True):
        stack = stack_of(setting.problem, setting.operators, nodes, found.representation, names=setting.names)
        values = np.asarray(stack.residual(found.laplace.mode.position))
    return {name: values[rows] for name, rows in stack.row_blocks.items()}


def _integral_scale(constraint: Constraint, weights: Float[np.ndarray, " point"]) -> Float[np.ndarray, " point"]:
    return 1.0 / np.sqrt(weights) if isinstance(constraint.noise, Integrated) else np.ones(len(weights))


def held_out_residuals(found: Fit) -> dict[str, Float[np.ndarray, " point"]]:
    """Constraint -> its residual at random points, at unit noise scale; only of those that hold on a region."""
    return _held_out_at(found, found.laplace.mode.position)


def _held_out_at(found: Fit, position: Float[np.ndarray, " dim"]) -> dict[str, Float[np.ndarray, " point"]]:
    setting = found.setting
    kept = [
        (name, operator, nodes)
        for name, operator, nodes in zip(setting.names, setting.operators, setting.held_out, strict=True)
        if nodes is not None
    ]
    if not kept:
        return {}
    with jax.enable_x64(True):
        stack = stack_of(
            setting.problem,
            [operator for _, operator, _ in kept],
            [nodes for _, _, nodes in kept],
            found.representation,
            names=tuple(name for name, _, _ in kept),
        )
        residual = np.asarray(stack.residual(position))
    return {name: residual[rows] for name, rows in stack.row_blocks.items()}
