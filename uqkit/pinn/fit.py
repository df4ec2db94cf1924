"""From a problem to its Gaussian posterior: nodes, the choice of the basis, scales, and the mode."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Key
from scipy import optimize

from uqkit.errors import InputError
from uqkit.inference import GaussNewton, Laplace, MacKay, ScaleFit, ScalePrior, Scales
from uqkit.pinn.collocation import Collocation, random_points, region_points
from uqkit.pinn.features import Basis, GaussianPairs, RandomFeatures
from uqkit.pinn.methods import HeldOutTolerance
from uqkit.pinn.operators import Operator, compile_operator
from uqkit.pinn.stack import PARAMETERS, Nodes, Stack, nodes_of, nonlinear_blocks, stack_of
from uqkit.problems import BoundaryValueProblem, Constraint, Integrated, Measured, Region

__all__ = ["Choice", "Fit", "Setting", "fit", "prepare"]

# Points on which what was not fitted is looked at, in each constraint that holds on a region.
_N_HELD_OUT = 600
# A learned noise scale stays above this share of what it is the noise of.
_FLOOR = 1e-6
# Prior standard deviation of a field that laws determine, relative to its size. A prior that is learned from laws
# shrinks the field, and with it the parameters in the laws; this one leaves both free and only keeps the solution
# unique.
_FREE = 1e6
# Evaluations that refine a length scale between its neighbours on the grid.
_N_REFINE = 5


@dataclass(frozen=True)
class Setting:
    """What is fixed before anything is fitted.

    Attributes:
        problem: The problem.
        field: The prior of the fields.
        operators: One a constraint, in order.
        nodes: Likewise, where they are enforced.
        held_out: Likewise, random points of the constraints that hold on a region; None for given points.
        basis_key: Randomness of the features.
        relaxed: Factors on tolerances.
    """

    problem: BoundaryValueProblem
    field: RandomFeatures
    operators: tuple[Operator, ...]
    nodes: tuple[Nodes, ...]
    held_out: tuple[Nodes | None, ...]
    basis_key: Key[jax.Array, ""]
    relaxed: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the constraints."""
        return tuple(constraint.name for constraint in self.problem.constraints)

    def basis(self, value: float) -> Basis:
        """Features for one value of what the frequencies leave open."""
        return self.field.basis(self.problem.domain, value, key=self.basis_key)


@dataclass(frozen=True)
class Choice:
    """How the basis was chosen: each value tried with what it was judged by, smaller criteria being better.

    Attributes:
        values: Limits or length scales.
        log_evidence: Of each, in nats.
        held_out: Residual at fresh points, relative; NaN where all points are given.
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
    """A Gaussian posterior with the basis that it is on.

    Attributes:
        setting: What was fixed.
        basis: The features.
        stack: The residuals.
        nonlinear: Constraints that are not linear in the position.
        scales: Mode, scales and Laplace approximation.
        choice: How the basis was chosen.
        held_out: Residual at fresh points relative to the size of each constraint; NaN where all points are given.
        n_evaluations: Evaluations of the stacked residual, those for other candidates included.
    """

    setting: Setting
    basis: Basis
    stack: Stack
    nonlinear: tuple[str, ...]
    scales: ScaleFit
    choice: Choice
    held_out: float
    n_evaluations: int

    @property
    def laplace(self) -> Laplace:
        """The Gaussian approximation."""
        return self.scales.laplace


def prepare(
    problem: BoundaryValueProblem, field: RandomFeatures, collocation: Collocation, *, key: Key[jax.Array, ""]
) -> Setting:
    """Check operators and place points.

    Raises:
        InputError: If an operator, a target or a noise shape cannot be used.
    """
    basis_key, node_key, held_out_key = jax.random.split(key, 3)
    operators, nodes, held_out = [], [], []
    for i, constraint in enumerate(problem.constraints):
        given = problem.given_points(constraint)
        what = f"the operator of constraint {constraint.name!r}"
        operators.append(compile_operator(problem, what, constraint.operator, None if given is None else given[0]))
        region = constraint.points
        if given is None:
            assert isinstance(region, Region)
            points, weights = region_points(region, collocation, key=jax.random.fold_in(node_key, i))
            fresh = random_points(region, _N_HELD_OUT, key=jax.random.fold_in(held_out_key, i))
            held_out.append(nodes_of(problem, constraint, *fresh))
        else:
            points, weights = (
                given,
                np.full(len(given), np.prod(problem.domain.upper - problem.domain.lower) / len(given)),
            )
            held_out.append(None)
        nodes.append(nodes_of(problem, constraint, points, weights))
    return Setting(problem, field, tuple(operators), tuple(nodes), tuple(held_out), basis_key)


def fit(
    setting: Setting, method: GaussNewton, noise: MacKay | HeldOutTolerance, *, require_linear: bool = False
) -> Fit:
    """Choose what is left open, then solve.

    Raises:
        InputError: If `require_linear` and a constraint is not.
    """
    search = _Search(setting, method, noise if isinstance(noise, MacKay) else MacKay(), require_linear)
    by_evidence = isinstance(setting.field.frequencies, GaussianPairs) or all(part is None for part in setting.held_out)
    found = search.by_evidence() if by_evidence else search.by_held_out()
    if not isinstance(noise, HeldOutTolerance):
        return found
    value = float(found.choice.values[found.choice.chosen])
    tried = []
    for factor in sorted(noise.factors):
        relaxed = replace(search, setting=replace(setting, relaxed={noise.constraint: float(factor)}))
        tried.append(relaxed.solved(value))
    scores = np.array([one.held_out for one in tried])
    taken = int(np.flatnonzero(scores <= noise.slack * np.nanmin(scores))[-1])
    spent = found.n_evaluations + sum(one.n_evaluations for one in tried)
    return replace(tried[taken], choice=found.choice, n_evaluations=spent)


@dataclass(frozen=True)
class _Search:
    """The choice of the one number that the frequencies leave open."""

    setting: Setting
    method: GaussNewton
    noise: MacKay
    require_linear: bool

    def by_evidence(self) -> Fit:
        """The largest evidence on the grid, refined between its neighbours; amplitudes are learned with it."""
        values = [float(value) for value in self.setting.field.frequencies.candidates]
        tried: dict[float, Fit] = {}

        def minus_log_evidence(log_value: float) -> float:
            value = float(np.exp(log_value))
            tried[value] = self._fitted(value, learn_amplitude=True)
            return -tried[value].laplace.log_evidence

        scores = [minus_log_evidence(np.log(value)) for value in values]
        if len(values) > 2:
            # Evidence has several maxima in a length scale: a grid first, never one descent.
            place = int(np.argmin(scores))
            ends = (np.log(values[max(place - 1, 0)]), np.log(values[min(place + 1, len(values) - 1)]))
            optimize.minimize_scalar(
                minus_log_evidence, bounds=ends, method="bounded", options={"maxiter": _N_REFINE, "xatol": 0.02}
            )
        return _taken(tried, min(tried, key=lambda value: -tried[value].laplace.log_evidence))

    def by_held_out(self) -> Fit:
        """The smallest residual at fresh points."""
        values = [float(value) for value in self.setting.field.frequencies.candidates]
        tried = {value: self._fitted(value) for value in values}
        scores = {value: one.held_out for value, one in tried.items() if np.isfinite(one.held_out)}
        best = min(scores, key=lambda value: scores[value])
        return replace(_taken(tried, best), **_solution(self.solved(best, start=tried[best])))

    def solved(self, value: float, start: Fit | None = None) -> Fit:
        """At one value, with amplitudes that leave the fields free at the size they turn out to have."""
        first = self._fitted(value) if start is None else start
        amplitude = {name: _FREE * float(np.sqrt(np.mean(part**2))) for name, part in _fields_at_nodes(first).items()}
        free = {name: value for name, value in amplitude.items() if value > 0}
        final = self._fitted(value, amplitude=free)
        return replace(final, n_evaluations=first.n_evaluations + final.n_evaluations)

    def _fitted(
        self, value: float, *, learn_amplitude: bool = False, amplitude: Mapping[str, float] | None = None
    ) -> Fit:
        setting = self.setting
        with jax.enable_x64(True):
            basis = setting.basis(value)
            stack = stack_of(setting.problem, setting.operators, setting.nodes, basis, names=setting.names)
            nonlinear = nonlinear_blocks(stack)
        if self.require_linear and nonlinear:
            raise InputError(
                f"Exact() solves linear problems, but the constraint {', '.join(nonlinear)} of "
                f"{setting.problem.name!r} is "
                "not linear in the fields and parameters; use GaussNewton()."
            )
        first, priors, unknown = _first_scales(setting, 1.0 if learn_amplitude else _FREE)
        scales = Scales(
            noise=first.noise,
            prior={
                name: (amplitude or {}).get(name, scale) if name in unknown else scale
                for name, scale in first.prior.items()
            },
        )
        found = self.noise.fit(
            stack,
            scales,
            np.zeros(stack.n_dims),
            noise_priors=priors,
            free_priors=unknown if learn_amplitude else (),
            nonlinear=nonlinear,
            method=self.method,
        )
        frequencies = setting.field.frequencies
        alone = Choice(
            np.array([value]),
            np.array([found.laplace.log_evidence]),
            np.array([np.nan]),
            0,
            learn_amplitude,
            frequencies.meaning,
            frequencies.unit,
        )
        made = Fit(setting, basis, stack, nonlinear, found, alone, np.nan, found.n_evaluations)
        return replace(made, held_out=_held_out_score(made))


def _solution(found: Fit) -> dict[str, Any]:
    return {"scales": found.scales, "held_out": found.held_out, "stack": found.stack}


def _taken(tried: Mapping[float, Fit], best: float) -> Fit:
    """One of the fits tried, with the record of all."""
    order = sorted(tried)
    choice = replace(
        tried[best].choice,
        values=np.array(order),
        log_evidence=np.array([tried[value].laplace.log_evidence for value in order]),
        held_out=np.array([tried[value].held_out for value in order]),
        chosen=order.index(best),
    )
    return replace(tried[best], choice=choice, n_evaluations=sum(one.n_evaluations for one in tried.values()))


def _first_scales(
    setting: Setting, amplitude_if_unknown: float
) -> tuple[Scales, dict[str, ScalePrior], tuple[str, ...]]:
    """Known scales, first values of the unknown ones, and which amplitudes are unknown."""
    problem = setting.problem
    noise, priors = {}, {}
    for constraint, nodes in zip(problem.constraints, setting.nodes, strict=True):
        prior = scale_prior(constraint, nodes)
        if prior is not None:
            priors[constraint.name] = prior
            noise[constraint.name] = prior.start
        elif isinstance(constraint.noise, Integrated):
            noise[constraint.name] = float(constraint.noise.tolerance) * setting.relaxed.get(constraint.name, 1.0)
        else:
            noise[constraint.name] = float(constraint.noise.sigma)
    amplitude = setting.field.amplitude
    given = dict(amplitude) if isinstance(amplitude, Mapping) else dict.fromkeys(problem.outputs, amplitude)
    unknown = set(given) - set(problem.outputs)
    if unknown:
        raise InputError(
            f"`amplitude` names {', '.join(sorted(unknown))}; the outputs are {', '.join(problem.outputs)}."
        )
    size = {name: given.get(name) for name in problem.outputs}
    dims = {name: amplitude_if_unknown if value is None else float(value) for name, value in size.items()}
    if problem.parameter_names:
        dims[PARAMETERS] = 1.0
    return Scales(noise=noise, prior=dims), priors, tuple(name for name, value in size.items() if value is None)


def scale_prior(constraint: Constraint, nodes: Nodes) -> ScalePrior | None:
    """Prior of an unknown noise scale, bounded below by a share of what it is the noise of."""
    if not isinstance(constraint.noise, Measured) or constraint.noise.prior is None:
        return None
    marginal = constraint.noise.prior
    start = float(marginal.quantile(np.array(0.5)))
    size = float(np.sqrt(np.mean((nodes.target / nodes.row_scale) ** 2)))
    return ScalePrior(
        log_density=lambda log_scale: float(marginal.log_density(np.exp(log_scale)) + log_scale),
        start=start,
        floor=min(_FLOOR * (size if size > 0 else start), start),
    )


def _held_out_score(found: Fit) -> float:
    """Residuals at random points, each constraint's relative to its size; NaN where all points are given.

    The size is that of the residual without a field; for a homogeneous constraint, that of its operator on the
    solution in the interior. Unlike a sum weighted by the tolerances it compares fits with different ones.
    """
    fresh = held_out_residuals(found)
    if not fresh:
        return np.nan
    still = _held_out_at(found, np.zeros(found.stack.n_dims))
    inside = None
    total = 0.0
    for name, residual in fresh.items():
        size = _rms(still[name])
        if not size > 0:
            inside = _operators_inside(found) if inside is None else inside
            size = _rms(inside[name])
        total += (_rms(residual) / size) ** 2 if size > 0 else 0.0
    return float(np.sqrt(total))


def _rms(values: Float[np.ndarray, " point"]) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _operators_inside(found: Fit) -> dict[str, Float[np.ndarray, " point"]]:
    """Values of every constraint's operator on the solution, at random points of the domain."""
    setting = found.setting
    points, weights = random_points(setting.problem.domain.interior, _N_HELD_OUT, key=jax.random.key(0))
    nodes = [
        Nodes(points, np.zeros(len(points)), _integral_scale(constraint, weights))
        for constraint in setting.problem.constraints
    ]
    with jax.enable_x64(True):
        stack = stack_of(setting.problem, setting.operators, nodes, found.basis, names=setting.names)
        values = np.asarray(stack.residual(found.laplace.mode.position))
    return {name: values[rows] for name, rows in stack.row_blocks.items()}


def _integral_scale(constraint: Constraint, weights: Float[np.ndarray, " point"]) -> Float[np.ndarray, " point"]:
    return 1.0 / np.sqrt(weights) if isinstance(constraint.noise, Integrated) else np.ones(len(weights))


def _fields_at_nodes(found: Fit) -> dict[str, Float[np.ndarray, " point"]]:
    """Values of each output, without its known part, at all collocation points."""
    points = np.concatenate([nodes.points for nodes in found.setting.nodes])
    still = (0,) * len(found.setting.problem.domain)
    design = found.basis.matrices(points, [still])[still]
    blocks = found.stack.dim_blocks
    return {name: design @ found.laplace.mode.position[blocks[name]] for name in found.stack.outputs}


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
            found.basis,
            names=tuple(name for name, _, _ in kept),
        )
        residual = np.asarray(stack.residual(position))
    return {name: residual[rows] for name, rows in stack.row_blocks.items()}
