"""What is integrated: functions under laws, in the coordinates that proposals live in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from uqkit.errors import InputError
from uqkit.inputs import Inputs

__all__ = ["Coordinates", "Law", "Physical", "StandardNormal", "Targets"]

_LOG_TWO_PI = np.log(2 * np.pi)


@dataclass(frozen=True, kw_only=True)
class Law:
    """A law of the coordinates.

    Attributes:
        log_density: In nats.
        from_unit: Maps points of the open unit cube to draws.
    """

    log_density: Callable[[Float[np.ndarray, "draw dim"]], Float[np.ndarray, " draw"]]
    from_unit: Callable[[Float[np.ndarray, "draw dim"]], Float[np.ndarray, "draw dim"]]


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The expectations wanted: of every function under every law, functions first.

    Attributes:
        values: Coordinates (draw, dim) to function values (draw, function); NaN rows are draws that failed.
        laws: At least one.
        names: Of the functions.
        law_names: Of the laws; None where there is the inputs' own alone.
        dim: Number of coordinates.
    """

    values: Callable[[Float[np.ndarray, "draw dim"]], Float[np.ndarray, "draw function"]]
    laws: tuple[Law, ...]
    names: tuple[str, ...]
    law_names: tuple[str, ...] | None
    dim: int

    @property
    def n_functions(self) -> int:
        """Number of functions."""
        return len(self.names)

    @property
    def n_expectations(self) -> int:
        """Functions times laws."""
        return self.n_functions * len(self.laws)

    def name(self, expectation: int) -> str:
        """What an expectation is called in messages."""
        function, law = divmod(expectation, len(self.laws))
        return self.names[function] if self.law_names is None else f"{self.names[function]} under {self.law_names[law]}"


@runtime_checkable
class Coordinates(Protocol):
    """Where proposals are fitted."""

    def laws(self, inputs: Inputs, laws: Mapping[str, Inputs] | None) -> tuple[Law, ...]:
        """The laws in these coordinates; that of `inputs` where there are no others."""
        ...

    def to_physical(self, inputs: Inputs, x: Float[np.ndarray, "draw dim"]) -> Float[np.ndarray, "draw input"]:
        """Physical input values."""
        ...


@dataclass(frozen=True, kw_only=True)
class StandardNormal:
    """Independent standard normal coordinates of the inputs' law: bounded and skewed inputs become Gaussian."""

    def laws(self, inputs: Inputs, laws: Mapping[str, Inputs] | None) -> tuple[Law, ...]:
        """See `Coordinates`."""
        if laws is None:
            return (Law(log_density=_standard_normal_log_density, from_unit=ndtri),)
        shared = _SharedByLaws(inputs)
        return tuple(self._other_law(shared, law, name) for name, law in laws.items())

    def _other_law(self, shared: "_SharedByLaws", law: Inputs, name: str) -> Law:
        inputs = shared.inputs

        def log_density(x: Float[np.ndarray, "draw dim"]) -> Float[np.ndarray, " draw"]:
            physical, log_jacobian = shared(x)
            return law.log_density(physical) + log_jacobian

        def from_unit(unit: Float[np.ndarray, "draw dim"]) -> Float[np.ndarray, "draw dim"]:
            x = inputs.to_normal(law.from_unit(unit))
            if not np.isfinite(x).all():
                outside = inputs.names[int(np.argwhere(~np.isfinite(x))[0, 1])]
                raise InputError(
                    f"law {name!r} puts {outside!r} where the law of `inputs` has no mass, so no sample of the one can "
                    "speak for the other; widen that input's distribution in `inputs`."
                )
            return x

        return Law(log_density=log_density, from_unit=from_unit)

    def to_physical(self, inputs: Inputs, x: Float[np.ndarray, "draw dim"]) -> Float[np.ndarray, "draw input"]:
        """See `Coordinates`."""
        return inputs.from_normal(x)


@dataclass(frozen=True, kw_only=True)
class Physical:
    """The inputs in their own units."""

    def laws(self, inputs: Inputs, laws: Mapping[str, Inputs] | None) -> tuple[Law, ...]:
        """See `Coordinates`."""
        chosen = (inputs,) if laws is None else tuple(laws.values())
        return tuple(Law(log_density=law.log_density, from_unit=law.from_unit) for law in chosen)

    def to_physical(self, inputs: Inputs, x: Float[np.ndarray, "draw dim"]) -> Float[np.ndarray, "draw input"]:
        """See `Coordinates`."""
        return x


class _SharedByLaws:
    """What the densities of all laws at the same points have in common, computed once."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self._last: tuple[Any, Any, Any] = (None, None, None)

    def __call__(
        self, x: Float[np.ndarray, "draw dim"]
    ) -> tuple[Float[np.ndarray, "draw input"], Float[np.ndarray, " draw"]]:
        """Physical values, and the log Jacobian: the standard normal density over the inputs' own."""
        if self._last[0] is not x:
            physical = self.inputs.from_normal(x)
            self._last = (x, physical, _standard_normal_log_density(x) - self.inputs.log_density(physical))
        return self._last[1], self._last[2]


def _standard_normal_log_density(x: Float[np.ndarray, "draw dim"]) -> Float[np.ndarray, " draw"]:
    return -0.5 * (np.sum(x**2, axis=1) + x.shape[1] * _LOG_TWO_PI)
