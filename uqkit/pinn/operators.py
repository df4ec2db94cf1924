"""Operators checked before anything is solved: which derivatives they take, and that they are pointwise."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from uqkit.errors import InputError
from uqkit.pinn.field import Field, Orders
from uqkit.problems import BoundaryValueProblem

__all__ = ["Operator", "compile_operator", "outputs_and_quantities"]

# A place, and a standard normal score, where nothing vanishes by symmetry.
_GENERIC = 0.38

# Values of one output's derivatives at points.
type Derivatives = Mapping[tuple[str, Orders], Float[Array, " point"]]


@dataclass(frozen=True)
class Operator:
    """A constraint's operator as a function of arrays; hashable, so that compiled code is shared between data sets.

    Attributes:
        function: What the user wrote.
        arguments: Its argument names.
        outputs: The problem's outputs.
        coordinates: The problem's coordinates.
        wanted: The derivatives it takes: (output, orders).
    """

    function: Callable[..., Any]
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    coordinates: tuple[str, ...]
    wanted: tuple[tuple[str, Orders], ...]

    def __call__(
        self,
        derivatives: Derivatives,
        parameters: Mapping[str, Float[Array, ""]],
        columns: Mapping[str, Float[Array, " point"]],
    ) -> Float[Array, " point"]:
        """Values at the points."""

        def field(name: str) -> Field:
            return Field(name, self.coordinates, lambda orders: derivatives[name, orders])

        known = {**parameters, **columns}
        arguments = {name: field(name) if name in self.outputs else known[name] for name in self.arguments}
        return self.function(**arguments)


def compile_operator(
    problem: BoundaryValueProblem,
    what: str,
    function: Callable[..., Any],
    at: Float[np.ndarray, " coordinate"] | None = None,
) -> Operator:
    """An operator with the list of derivatives that it takes.

    Args:
        problem: Whose fields, parameters and coordinates it takes.
        what: What it is, for messages.
        function: What the user wrote.
        at: A point where it can be evaluated; the middle of the domain by default.

    Raises:
        InputError: If it does not return one number a point, mixes points, or does not depend on a field.
    """
    outputs, coordinates = tuple(problem.outputs), problem.domain.names
    arguments = tuple(inspect.signature(function).parameters)
    taken: dict[tuple[str, Orders], None] = {}
    n_points = 3
    generator = np.random.default_rng(0)
    # No special place: a coefficient may vanish in the middle of the domain, or at a parameter's median.
    generic = problem.domain.lower + _GENERIC * (problem.domain.upper - problem.domain.lower)
    place = generic if at is None else at
    columns = {name: jnp.full(n_points, value) for name, value in zip(coordinates, place, strict=True)}
    parameters = {name: jnp.asarray(value) for name, value in _typical(problem).items()}

    def values_at(derivatives: Derivatives) -> Any:
        def field(name: str) -> Field:
            def derivative(orders: Orders) -> Float[Array, " point"]:
                taken[name, orders] = None
                return derivatives.get((name, orders), jnp.zeros(n_points))

            return Field(name, coordinates, derivative)

        known = {**parameters, **columns}
        return function(**{name: field(name) if name in outputs else known[name] for name in arguments})

    first = _told(what, problem, values_at, {})
    if np.shape(first) != (n_points,):
        raise InputError(
            f"{what} returns "
            + (
                f"shape {np.shape(first)}"
                if isinstance(first, (jax.Array, np.ndarray))
                else f"a {type(first).__name__}"
            )
            + f" at {n_points} points; return one number a point, as an array of shape ({n_points},) made from the "
            "fields."
        )
    typical = {entry: jnp.asarray(generator.uniform(0.5, 1.5, n_points)) for entry in taken}
    at_first = jnp.zeros(n_points).at[0].set(1.0)
    depends = False
    for entry in typical:
        _, slope = jax.jvp(
            lambda values, entry=entry: _told(what, problem, values_at, {**typical, entry: values}),
            (typical[entry],),
            (at_first,),
        )
        if bool(jnp.any(jnp.nan_to_num(slope[1:]) != 0)):
            raise InputError(
                f"{what} mixes points: its value at one depends on "
                f"{entry[0]} at another; write an operator that works on each point alone."
            )
        depends = depends or bool(jnp.any(slope != 0))
    if not depends:
        raise InputError(
            f"{what} does not depend on {', '.join(outputs)}, so it constrains "
            "nothing; use the field's value or its derivatives."
        )
    return Operator(function, arguments, outputs, coordinates, tuple(sorted(taken)))


def _told(what: str, problem: BoundaryValueProblem, function: Callable[[Any], Any], argument: Any) -> Any:
    """Call a user's function; what it raises says whose it is."""
    try:
        return function(argument)
    except TypeError as error:
        if "'Field'" in str(error) or "field.Field'" in str(error):
            raise InputError(
                f"{what}: a field was used as an array; write {'.value or '.join(problem.outputs)}.value."
            ) from error
        error.add_note(f"This was raised by {what} of problem {problem.name!r}.")
        raise
    except InputError:
        raise
    except Exception as error:
        error.add_note(f"This was raised by {what} of problem {problem.name!r}.")
        raise


def outputs_and_quantities(problem: BoundaryValueProblem) -> dict[str, Operator]:
    """Operators of everything that is predicted: each output itself, then the derived quantities."""
    still = (0,) * len(problem.domain)
    values = {
        name: Operator(_value_of(name), (name,), tuple(problem.outputs), problem.domain.names, ((name, still),))
        for name in problem.outputs
    }
    derived = {
        name: compile_operator(problem, f"the quantity {name!r}", operator)
        for name, (operator, _) in problem.quantities.items()
    }
    return {**values, **derived}


@functools.cache
def _value_of(name: str) -> Callable[..., Any]:
    # One function a name, so that compiled code is found again.
    return lambda **fields: fields[name].value


def _typical(problem: BoundaryValueProblem) -> dict[str, float]:
    """Values of the parameters, none of them special."""
    inputs = problem.inputs
    if inputs is None:
        return {}
    return dict(zip(inputs.names, inputs.from_normal(np.full((1, len(inputs)), _GENERIC))[0].tolist(), strict=True))
