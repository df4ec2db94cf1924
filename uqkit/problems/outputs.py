"""What a model returns: named outputs with units and dimensions, laid out as the columns of one array."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from uqkit.errors import InputError

__all__ = ["Output", "Outputs"]


@dataclass(frozen=True, kw_only=True)
class Output:
    """One named output: a scalar, or a field on named dimensions.

    Attributes:
        name: Label in the result.
        units: Unit as text; "1" for none.
        coords: Dimension -> its coordinate values, in the order of the array's axes; empty for a scalar.
    """

    name: str
    units: str = "1"
    coords: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the output for one point."""
        return tuple(len(values) for values in self.coords.values())

    def labels(self) -> list[str]:
        """One label a column: the name, with the coordinates of a field in brackets."""
        if not self.coords:
            return [self.name]
        axes = list(self.coords.items())
        return [
            f"{self.name}[{', '.join(f'{dim}={_short(v[i])}' for (dim, v), i in zip(axes, index, strict=True))}]"
            for index in np.ndindex(self.shape)
        ]


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


class Outputs:
    """The outputs of a model in order.

    Args:
        outputs: Names of scalar outputs; or name -> unit; or name -> (unit, dims, coords) with one sequence of
            coordinate values a dimension, as in `{"head": ("m", ("time",), {"time": [0, 1, 2]})}`.

    Raises:
        InputError: If there are none, a name repeats or cannot be a label, or a dimension has no coordinates.
    """

    def __init__(self, outputs: Sequence[str] | Mapping[str, Any]) -> None:
        """See the class."""
        if isinstance(outputs, str):
            raise InputError(f"`outputs` is the text {outputs!r}; pass a sequence of names, ({outputs!r},).")
        if isinstance(outputs, Mapping):
            self.fields = tuple(_output(name, spec) for name, spec in outputs.items())
        else:
            self.fields = tuple(Output(name=name) for name in outputs)
        names = [output.name for output in self.fields]
        if not names or len(set(names)) < len(names):
            raise InputError(f"`outputs` are {names}; pass at least one name, each once.")
        for name in names:
            if not isinstance(name, str) or not name.strip() or "/" in name:
                raise InputError(f"output name {name!r} cannot label a result; use a non-empty text without '/'.")
        self.labels = tuple(label for output in self.fields for label in output.labels())
        self.units = tuple(output.units for output in self.fields for _ in output.labels())

    def __len__(self) -> int:
        """Number of columns: 1 a scalar, the number of cells a field."""
        return len(self.labels)

    def coordinates(self) -> dict[str, np.ndarray]:
        """For every dimension of a field, its coordinate in each column; missing (NaN or "") in other columns."""
        dims = dict.fromkeys(dim for output in self.fields for dim in output.coords)
        return {dim: self._coordinate(dim) for dim in dims}

    def _coordinate(self, dim: str) -> np.ndarray:
        parts = []
        for output in self.fields:
            axes = list(output.coords)
            values = np.asarray(output.coords.get(dim, [np.nan]))
            shape = [len(values) if axis == dim else 1 for axis in axes]
            parts.append(np.broadcast_to(values.reshape(shape), output.shape).ravel())
        if any(part.dtype.kind in "US" for part in parts):
            parts = [part if part.dtype.kind in "US" else np.full(part.shape, "") for part in parts]
        return np.concatenate(parts)

    def columns(self, returned: Any, n_points: int) -> Float[np.ndarray, "point output"]:
        """One row a point and one column a label, from what a batch of points returned.

        Args:
            returned: An array with the points first; a mapping of output name to such arrays; or, where there are
                several outputs, a tuple or list of them.
            n_points: Number of points in the batch.

        Raises:
            InputError: If names are missing or a shape is not that of the declared outputs.
        """
        return np.concatenate(
            [
                self._column(output, part, n_points)
                for output, part in zip(self.fields, self._parts(returned, n_points), strict=True)
            ],
            axis=1,
        )

    def _parts(self, returned: Any, n_points: int) -> list[Any]:
        names = [output.name for output in self.fields]
        if isinstance(returned, Mapping):
            missing = [name for name in names if name not in returned]
            if missing:
                raise InputError(
                    f"the model returned {', '.join(map(str, returned)) or 'no outputs'} but not {', '.join(missing)}; "
                    f"declare `outputs=` as what it returns."
                )
            return [returned[name] for name in names]
        if len(names) == 1:
            return [returned]
        if isinstance(returned, (tuple, list)):
            # A list of rows would be taken for a list of outputs whenever there are as many points as outputs.
            if len(returned) != len(names):
                raise InputError(
                    f"the model returned a list or tuple of {len(returned)} for the {len(names)} outputs "
                    f"{', '.join(names)}; return one entry an output, in that order, a dict by name, or an array."
                )
            return list(returned)
        array = np.asarray(returned)
        if array.shape != (n_points, len(names)) or any(output.coords for output in self.fields):
            raise InputError(
                f"the model returned shape {array.shape[1:]} a point for the {len(names)} outputs {', '.join(names)}; "
                "return one value an output, in that order, or a dict by name."
            )
        return [array[:, i] for i in range(len(names))]

    def _column(self, output: Output, part: Any, n_points: int) -> Float[np.ndarray, "point column"]:
        try:
            given = np.asarray(part)
            # NumPy would drop an imaginary part with a warning, and make NaN of a forgotten `return`.
            if given.dtype.kind in "US":
                raise TypeError("it holds text")
            if given.dtype.kind == "c" or (given.dtype.kind == "O" and None in given.ravel().tolist()):
                raise TypeError(f"it holds {'complex numbers' if given.dtype.kind == 'c' else 'None'}")
            array = given.astype(float)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"the model's output {output.name!r} is no array of real numbers: {error}; "
                "return numbers, one a point or one array a point of the declared shape."
            ) from error
        # A scalar that comes as an array of one element is still that scalar.
        if array.shape not in {(n_points, *output.shape), (n_points, 1, *output.shape)}:
            raise InputError(
                f"the model's output {output.name!r} has shape {array.shape} for {n_points} "
                f"point{'s' * (n_points != 1)}, declared is {(n_points, *output.shape)}; return that, or declare what "
                "it returns: several scalars as outputs=('u', 'v'), a field as {name: (unit, dims, coords)}."
            )
        return array.reshape(n_points, -1)


def _output(name: str, spec: Any) -> Output:
    if isinstance(spec, str):
        return Output(name=name, units=spec)
    try:
        units, dims, coords = spec
    except (TypeError, ValueError):
        raise InputError(
            f"output {name!r}: expected a unit or (unit, dims, coords), got {spec!r}; "
            f"for a scalar write {{{name!r}: 'm'}}, for a field ('m', ('time',), {{'time': times}})."
        ) from None
    if not isinstance(units, str) or isinstance(dims, str) or not isinstance(coords, Mapping):
        raise InputError(
            f"output {name!r}: expected (unit as text, tuple of dimension names, dict of coordinates), got {spec!r}."
        )
    missing = [dim for dim in dims if dim not in coords]
    if missing:
        raise InputError(f"output {name!r}: no coordinates for {', '.join(missing)}; pass one sequence a dimension.")
    return Output(name=name, units=units, coords={dim: list(np.asarray(coords[dim]).tolist()) for dim in dims})
