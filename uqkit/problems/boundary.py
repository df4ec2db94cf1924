"""A boundary value problem as a probabilistic model: unknown fields, unknown parameters, and noisy constraints on them.

Constraint i observes y_ij ~ Normal(C_i[u; parameters](x_ij), sigma_i s_i(x_ij)): a differential equation in the
interior, its boundary and initial values, and sensors are all of this form.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from uqkit.errors import InputError
from uqkit.inputs import Inputs, Marginal, as_inputs, as_marginal
from uqkit.problems.domain import Box, Region
from uqkit.results import Reference

__all__ = ["BoundaryValueProblem", "Constraint", "FieldReference", "Integrated", "Measured"]

# Names of a result's own dimensions, which a coordinate, an output or a parameter would hide.
_TAKEN = frozenset({"chain", "draw", "constraint", "parameter", "feature", "output", "quantity", "noise_scale"})


@dataclass(frozen=True)
class Measured:
    """Noise of real sensors: each point is an observation of its own, and twice as many tell more.

    Attributes:
        sigma: Standard deviation, in the constraint's unit; or a distribution of it, a scale to be learned.
    """

    sigma: Any

    def __post_init__(self) -> None:
        """Check the scale."""
        if isinstance(self.sigma, (int, float, np.number)):
            _check_scale("Measured", "sigma", float(self.sigma))
        elif self.prior is not None and self.prior.support[0] < 0:
            raise InputError(
                f"Measured({type(self.sigma).__name__}) may be negative; pass a distribution on positive numbers, "
                "such as LogNormal or HalfNormal."
            )

    @property
    def prior(self) -> Marginal | None:
        """Law of an unknown scale; None where it is known."""
        return None if isinstance(self.sigma, (int, float, np.number)) else as_marginal("noise scale", self.sigma)


@dataclass(frozen=True)
class Integrated:
    """An exact law, enforced everywhere: log likelihood -1/(2 tolerance^2) times the integral of the squared residual.

    Collocation points are quadrature nodes here and not data: once they resolve the residual, more of them change
    nothing. The tolerance says how large a residual is negligible; it is no noise and cannot be learned, since the
    number of nodes would decide it.

    Attributes:
        tolerance: In the unit of the residual times length^(d/2), where d coordinates are free on the constraint's
            region. Given points share the volume of the domain among them.
    """

    tolerance: float

    def __post_init__(self) -> None:
        """Check the tolerance."""
        if not isinstance(self.tolerance, (int, float, np.number)):
            raise InputError(
                f"Integrated({type(self.tolerance).__name__}): a tolerance is a number, since the integral of a "
                "squared "
                "residual has no count of observations that could identify it; for an unknown scale use "
                "Measured(prior)."
            )
        _check_scale("Integrated", "tolerance", float(self.tolerance))


def _check_scale(kind: str, name: str, value: float) -> None:
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"{kind}({name}={value:g}): pass a finite number above zero.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Constraint:
    """One equation that the unknown fields satisfy, up to noise.

    Attributes:
        name: Label in results: "pde", "boundary", "sensors".
        operator: What is constrained, a JAX function whose argument names say what it wants: fields by the problem's
            output names, parameters and coordinates by theirs, as in `lambda u, k, x: u.d("x", 2) + k * u.value * x`.
            It works on all points at once and pointwise. A field has `value`, `d("x")`, `d("x", 2)`, `d("x", 1, "t",
            1)`, `laplacian()` and `biharmonic()`.
        points: A region of the domain, filled by the collocation rule, or an array (point, coordinate) of given points.
        target: Right-hand side, in `unit`: a number, an array over the given points, or a function of the coordinates
            by name.
        noise: `Measured` for sensors, `Integrated` for a law that holds exactly.
        shape: Function s of the coordinates by name: the scale at x is `sigma * s(x)`; it relaxes a law near a
            singularity.
        unit: Of the operator's value.
    """

    name: str
    operator: Callable[..., Any]
    points: Region | Float[np.ndarray, "point coordinate"] | Sequence[Sequence[float]]
    target: float | Sequence[float] | Float[np.ndarray, " point"] | Callable[..., Any] = 0.0
    noise: Measured | Integrated
    shape: Callable[..., Any] | None = None
    unit: str = "1"

    def __post_init__(self) -> None:
        """Check what can be checked without the problem."""
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise InputError(
                f"constraint name {self.name!r}: use a word of letters, digits and _ for it labels results."
            )
        if not callable(self.operator):
            raise InputError(
                f"`operator` of constraint {self.name!r} is {self.operator!r}; pass a function such as "
                "`lambda u: u.d('x', 2)`."
            )
        if not isinstance(self.noise, (Measured, Integrated)):
            raise InputError(
                f"`noise` of constraint {self.name!r} is {self.noise!r}; pass Measured(sigma) for sensors with that "
                "standard deviation, or Integrated(tolerance) for a law that holds exactly."
            )


@dataclass(frozen=True, kw_only=True)
class FieldReference:
    """A known solution.

    Attributes:
        function: Value of the output at coordinates given by name, arrays of one shape.
        kind: How it is known.
        source: Paper and equation, or how it was computed.
    """

    function: Callable[..., Any]
    kind: Literal["closed form", "numerical solution", "published"]
    source: str


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundaryValueProblem:
    """Unknown fields on a box, constrained by equations, boundary values and sensors.

    Attributes:
        name: Name in results.
        domain: The box.
        constraints: What holds, and how exactly.
        outputs: Unknown field -> its unit.
        parameters: Unknown parameters: a dict of name -> distribution (their prior), or `Inputs` with units.
        known_part: Output -> a JAX function of the coordinates by name that is added to the unknown field exactly: a
            singular part that no smooth field could follow, or values that hold where the envelope is zero.
        envelope: Output -> a JAX function of the coordinates by name that multiplies the unknown field: where it is
            zero the known part holds exactly, as an initial value does with `lambda t: t`.
        periodic: Coordinates in which the unknown fields repeat, exactly, with all their derivatives; the box is one
            period.
        quantities: Derived field -> (operator, unit), an operator as a constraint has it; predicted beside the outputs.
        references: Output or quantity -> `FieldReference`, parameter -> `Reference`.

    Raises:
        InputError: If names clash or are unknown, points and targets do not fit each other or the domain, or an
            operator asks for something that is not there.
    """

    name: str
    domain: Box
    constraints: Sequence[Constraint]
    outputs: Mapping[str, str] = field(default_factory=lambda: {"u": "1"})
    parameters: Mapping[str, Any] | Inputs | None = None
    known_part: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    envelope: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    periodic: Sequence[str] = ()
    quantities: Mapping[str, tuple[Callable[..., Any], str]] = field(default_factory=dict)
    references: Mapping[str, FieldReference | Reference] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the whole, before anything is computed."""
        if not self.outputs or not self.constraints:
            raise InputError(
                f"problem {self.name!r} has no {'outputs' if not self.outputs else 'constraints'}; give at least one."
            )
        self._check_names()
        for constraint in self.constraints:
            self._check_operator(f"the operator of constraint {constraint.name!r}", constraint.operator)
            self.given_points(constraint)
        for name, (operator, _) in self.quantities.items():
            self._check_operator(f"the quantity {name!r}", operator)

    @property
    def inputs(self) -> Inputs | None:
        """The unknown parameters with their prior."""
        return as_inputs(self.parameters) if self.parameters else None

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the unknown parameters."""
        inputs = self.inputs
        return inputs.names if inputs is not None else ()

    def _check_names(self) -> None:
        labels = [*self.outputs, *self.quantities, *self.parameter_names, *self.domain.names]
        for name in labels:
            if not name.isidentifier() or name in _TAKEN:
                raise InputError(f"{name!r} cannot name an output, parameter or coordinate here; rename it.")
        for kind, names in (
            ("output, parameter or coordinate", labels),
            ("constraint", [c.name for c in self.constraints]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise InputError(
                    f"{', '.join(twice)}: more than one {kind} of problem {self.name!r} has this name; "
                    "rename all but one."
                )
        if isinstance(self.periodic, str):
            raise InputError(f"periodic={self.periodic!r}: pass a tuple of names, as ({self.periodic!r},).")
        for what, names, known in (
            ("known_part", self.known_part, tuple(self.outputs)),
            ("envelope", self.envelope, tuple(self.outputs)),
            ("periodic", self.periodic, self.domain.names),
            ("references", self.references, (*self.outputs, *self.quantities, *self.parameter_names)),
        ):
            unknown = sorted(set(names) - set(known))
            if unknown:
                raise InputError(
                    f"`{what}` of problem {self.name!r} names {', '.join(unknown)}; known: {', '.join(known)}."
                )

    def _check_operator(self, what: str, operator: Callable[..., Any]) -> None:
        known = (*self.outputs, *self.parameter_names, *self.domain.names)
        wanted = inspect.signature(operator).parameters.values()
        unknown = [p.name for p in wanted if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) or p.name not in known]
        if unknown:
            raise InputError(
                f"{what} asks for {', '.join(unknown)}; its arguments must be named from the outputs "
                f"{', '.join(self.outputs)}"
                + (f", parameters {', '.join(self.parameter_names)}" if self.parameter_names else "")
                + f" and coordinates {', '.join(self.domain.names)}."
            )
        if not any(p.name in self.outputs for p in wanted):
            raise InputError(
                f"{what} takes none of the fields {', '.join(self.outputs)}, so it says nothing of them; name one "
                "among "
                "its arguments."
            )

    def given_points(self, constraint: Constraint) -> Float[np.ndarray, "point coordinate"] | None:
        """Points of a constraint that come with it, checked; None where the collocation rule fills a region."""
        if isinstance(constraint.points, Region):
            if constraint.points.box is not self.domain:
                raise InputError(
                    f"the region of constraint {constraint.name!r} is of another box than the problem's domain;"
                    " make it from the same Box."
                )
            if not callable(constraint.target) and np.ndim(constraint.target) > 0:
                raise InputError(
                    f"constraint {constraint.name!r} has an array as target but a region as points; give the points "
                    "that "
                    "the values belong to, or a function of the coordinates as target."
                )
            return None
        points = np.asarray(constraint.points, dtype=float)
        if points.ndim != 2 or points.shape[1] != len(self.domain) or not len(points):
            raise InputError(
                f"`points` of constraint {constraint.name!r} has shape {points.shape}; pass one row a point and one "
                "column a "
                f"coordinate, (point, {len(self.domain)}), in the order {', '.join(self.domain.names)}."
            )
        if not np.isfinite(points).all():
            raise InputError(
                f"`points` of constraint {constraint.name!r}: row {_first(~np.isfinite(points).all(axis=1))} "
                "is not finite."
            )
        outside = self.domain.outside(points)
        if outside.any():
            row = _first(outside > 0)
            where = ", ".join(f"{name}={value:g}" for name, value in zip(self.domain.names, points[row], strict=True))
            raise InputError(
                f"{np.count_nonzero(outside)} of {len(points)} points of constraint {constraint.name!r} lie outside "
                f"{self.domain}, the first is row {row} ({where}); enlarge the domain or drop them."
            )
        if not callable(constraint.target) and np.shape(constraint.target) not in ((), (len(points),)):
            raise InputError(
                f"constraint {constraint.name!r} has {len(points)} points but a target of shape "
                f"{np.shape(constraint.target)}; pass one value a point, one number for all, or a function."
            )
        return points

    def target_at(
        self, constraint: Constraint, points: Float[np.ndarray, "point coordinate"]
    ) -> Float[np.ndarray, " point"]:
        """Right-hand side of a constraint at points.

        Raises:
            InputError: If it is not finite somewhere, or has the wrong shape.
        """
        return self._at(constraint, "target", constraint.target, points)

    def shape_at(
        self, constraint: Constraint, points: Float[np.ndarray, "point coordinate"]
    ) -> Float[np.ndarray, " point"]:
        """Relative noise scale of a constraint at points, 1 where none is given.

        Raises:
            InputError: If it is not positive and finite everywhere.
        """
        values = self._at(constraint, "shape", 1.0 if constraint.shape is None else constraint.shape, points)
        if not (values > 0).all():
            raise InputError(
                f"`shape` of constraint {constraint.name!r} is {values.min():g} somewhere; it must be above 0."
            )
        return values

    def _at(
        self, constraint: Constraint, what: str, given: Any, points: Float[np.ndarray, "point coordinate"]
    ) -> Float[np.ndarray, " point"]:
        values = by_name(given, self.domain.columns(points)) if callable(given) else given
        values = np.asarray(values, dtype=float)
        if values.shape not in ((), (len(points),)):
            raise InputError(
                f"`{what}` of constraint {constraint.name!r} returns shape {values.shape} for {len(points)} points; "
                "return "
                "one value a point."
            )
        values = np.broadcast_to(values, (len(points),))
        if not np.isfinite(values).all():
            row = _first(~np.isfinite(values))
            where = ", ".join(f"{name}={value:g}" for name, value in zip(self.domain.names, points[row], strict=True))
            raise InputError(
                f"`{what}` of constraint {constraint.name!r} is {values[row]} at ({where}); leave such points out, or "
                "give "
                "the constraint a region without them."
            )
        return values


def by_name(function: Callable[..., Any], columns: Mapping[str, Any]) -> Any:
    """Call a function with those of the named arrays that its arguments ask for, in double precision."""
    wanted = inspect.signature(function).parameters
    unknown = [name for name in wanted if name not in columns]
    if unknown:
        raise InputError(
            f"a function of the coordinates asks for {', '.join(unknown)}; name its arguments {', '.join(columns)}."
        )
    return function(**{name: columns[name] for name in wanted})


def _first(flags: Any) -> int:
    return int(np.flatnonzero(flags)[0])
