"""A forward model: uncertain inputs, named outputs, and how a batch of points is run."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from uqkit.errors import InputError
from uqkit.inputs import Inputs, as_inputs
from uqkit.problems.call import Call
from uqkit.problems.callables import function_version
from uqkit.problems.outputs import Outputs
from uqkit.results import Reference

__all__ = ["ForwardModel"]


class ForwardModel:
    """A model with uncertain inputs.

    Args:
        function: What is run. A function written in JAX is vectorised and compiled; any other is called as it is.
            Whether it is JAX is read off its code, never found out by calling it; `jax.jit(function)` says so outright,
            and one that JAX cannot trace (it branches on values) is looped.
        inputs: A dict of name -> distribution, a SALib problem, or `Inputs`.
        outputs: Names of the outputs; or name -> unit; or name -> (unit, dims, coords) for fields.
        takes: "point": one array over inputs; "batch": one array (draw, input) for many points at once; "named": one
            keyword argument an input.
        name: Name in results; the function's own by default.
        version: Names this state of the model in a store of evaluations; by default a hash of its code.
        batch_size: Points a call, where a call takes many; bounds the memory.
        references: Name of an estimate -> its known value.

    Raises:
        InputError: If an argument cannot be used.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        inputs: Inputs | Mapping[str, Any],
        outputs: Sequence[str] | Mapping[str, Any] = ("y",),
        takes: Literal["point", "batch", "named"] = "point",
        name: str | None = None,
        version: str | None = None,
        batch_size: int = 1_024,
        references: Mapping[str, Reference] | None = None,
    ) -> None:
        """See the class."""
        if not callable(function):
            raise InputError(f"the model is {function!r}, which cannot be called; pass a function.")
        if takes not in ("point", "batch", "named"):
            raise InputError(f"`takes` is {takes!r}; pass 'point', 'batch' or 'named'.")
        if batch_size < 1:
            raise InputError(f"`batch_size` is {batch_size}; pass at least 1.")
        self.function = function
        self.inputs = as_inputs(inputs)
        self.outputs = Outputs(outputs)
        self.takes = takes
        own_name = getattr(function, "__name__", "model")
        self.name = name if name is not None else "model" if own_name == "<lambda>" else own_name
        self.batch_size = batch_size
        self.references = dict(references or {})
        self._version = version
        self.call = Call(function=function, takes=takes, input_names=self.inputs.names, outputs=self.outputs)
        if takes == "named":
            bad = [name for name in self.inputs.names if not name.isidentifier()]
            if bad:
                raise InputError(
                    f"inputs {', '.join(map(repr, bad))} cannot be keyword arguments; rename them or use takes='point'."
                )
        self._check_signature()

    def _check_signature(self) -> None:
        """Refuse a function that cannot be called as `takes` says, before it is called thousands of times."""
        try:
            signature = inspect.signature(self.function)
        except (TypeError, ValueError):  # some compiled functions do not say
            return
        names = self.inputs.names
        try:
            if self.takes == "named":
                signature.bind(**dict.fromkeys(names))
            else:
                signature.bind(None)
        except TypeError as error:
            given = ", ".join(signature.parameters)
            way = f"keyword arguments {', '.join(names)}" if self.takes == "named" else "one array"
            hint = "pass takes='named' if it takes one argument an input" if self.takes != "named" else "rename either"
            raise InputError(
                f"the function takes ({given}), but takes={self.takes!r} calls it with {way}: {error}; {hint}."
            ) from None

    def __repr__(self) -> str:
        """Name, inputs and outputs."""
        return f"ForwardModel({self.name}: {', '.join(self.inputs.names)} -> {', '.join(self.outputs.labels)})"

    @cached_property
    def version(self) -> str | None:
        """Name of this state of the model, or None if its function cannot be hashed."""
        return self._version if self._version is not None else function_version(self.function)

    @property
    def is_jax(self) -> bool:
        """Whether points are vectorised and compiled by JAX."""
        return self.call.is_jax

    @property
    def points_per_call(self) -> int:
        """How many points one call of `run` should be given: 1 for a function that is looped."""
        return self.batch_size if self.takes == "batch" or self.is_jax else 1

    def run(self, points: Float[np.ndarray, "point input"]) -> Float[np.ndarray, "point output"]:
        """Run the model at one batch of points, in double precision; what the function raises comes through.

        Raises:
            InputError: If what the function returns does not have the shape of the declared outputs.
        """
        return self.call.run(points)
