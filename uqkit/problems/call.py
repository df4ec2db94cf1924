"""How a function is run at a batch of points: what a worker needs of a model, and no more."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Float

from uqkit.problems.callables import uses_jax
from uqkit.problems.outputs import Outputs

__all__ = ["Call"]

_NOT_TRACEABLE = (
    jax.errors.TracerBoolConversionError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.ConcretizationTypeError,
)


@dataclass
class Call:
    """A function, how it takes points, and what it returns.

    Attributes:
        function: What is run.
        takes: "point", "batch" or "named", as of `ForwardModel`.
        input_names: Of the columns of a batch of points.
        outputs: What the function returns.
    """

    function: Callable[..., Any]
    takes: Literal["point", "batch", "named"]
    input_names: tuple[str, ...]
    outputs: Outputs

    def __getstate__(self) -> dict[str, Any]:
        """Everything but what is compiled, which no other process can use."""
        return {name: value for name, value in self.__dict__.items() if name != "_compiled"}

    @cached_property
    def is_jax(self) -> bool:
        """Whether points are vectorised and compiled by JAX."""
        return self.takes != "batch" and uses_jax(self.function)

    @cached_property
    def _compiled(self) -> Callable[[Float[np.ndarray, "point input"]], Any]:
        return jax.jit(jax.vmap(self._call_point))

    def _call_point(self, point: Any) -> Any:
        if self.takes == "named":
            return self.function(**{name: point[i] for i, name in enumerate(self.input_names)})
        return self.function(point)

    def run(self, points: Float[np.ndarray, "point input"]) -> Float[np.ndarray, "point output"]:
        """Run the model at one batch of points, in double precision; what the function raises comes through.

        Raises:
            InputError: If what the function returns does not have the shape of the declared outputs.
        """
        with jax.enable_x64(True):
            if self.takes == "batch":
                returned = self.function(points)
            elif self.is_jax:
                try:
                    returned = self._compiled(points)
                except _NOT_TRACEABLE:
                    # It names JAX and yet branches on values or leaves it: plain Python after all.
                    self.__dict__["is_jax"] = False
                    return self.run(points)
            else:
                return np.concatenate([self._run_one(point) for point in points])
            return self.outputs.columns(returned, len(points))

    def _run_one(self, point: Float[np.ndarray, " input"]) -> Float[np.ndarray, "1 output"]:
        returned = self._call_point(point)
        if isinstance(returned, Mapping):
            batch = {name: _first_axis(part) for name, part in returned.items()}
        elif isinstance(returned, (tuple, list)) and len(self.outputs.fields) > 1:
            batch = [_first_axis(part) for part in returned]
        else:
            batch = _first_axis(returned)
        return self.outputs.columns(batch, 1)


def _first_axis(value: Any) -> Any:
    try:
        return np.asarray(value)[None]
    except ValueError:  # a ragged sequence: the outputs' own check words the error
        return value
