"""What is optimised: which outputs of a forward model are to be large or small, and which must stay within limits."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from uqkit.errors import InputError
from uqkit.inputs import Inputs
from uqkit.problems.forward import ForwardModel
from uqkit.results import Reference

__all__ = ["Objective"]


class Objective:
    """An optimisation problem over the inputs of a forward model.

    Bounds are the ends of the inputs' supports; how probable a value is between them plays no part. Inputs with
    categories (`Inputs(categories=...)`) take the codes 0, 1, ....

    Args:
        forward: The model; its inputs must have finite supports.
        maximise: Whether the objectives are to be large: one answer for all of them, or output -> answer, which also
            says which outputs are objectives. Every output without a constraint is one otherwise.
        constraints: Output -> (lower, upper) limit that a point must keep; -inf or inf where there is none.
        reference_point: Objective -> the worst value that still counts, from which the hypervolume of several
            objectives is measured; needed where there are several.
        best: Best value known, or largest hypervolume known of several objectives: regret is the distance from it.

    Raises:
        InputError: If an argument names no output, an input is unbounded, or the reference point is missing.
    """

    def __init__(
        self,
        forward: ForwardModel,
        *,
        maximise: bool | Mapping[str, bool] = False,
        constraints: Mapping[str, tuple[float, float]] | None = None,
        reference_point: Mapping[str, float] | None = None,
        best: Reference | None = None,
    ) -> None:
        """See the class."""
        if not isinstance(forward, ForwardModel):
            raise InputError(f"`forward` is a {type(forward).__name__}; pass a uqkit.ForwardModel.")
        self.forward = forward
        if not isinstance(constraints, Mapping | None):
            raise InputError(f"`constraints` is {constraints!r}; pass a mapping of outputs to (lower, upper).")
        self.constraints = {name: _limits(name, limits) for name, limits in (constraints or {}).items()}
        self._known("constraints", self.constraints)
        if isinstance(maximise, Mapping):
            self._known("maximise", maximise)
            self.maximise = {name: _answer(answer) for name, answer in maximise.items()}
        else:
            names = [name for name in forward.outputs.labels if name not in self.constraints]
            self.maximise = dict.fromkeys(names, _answer(maximise))
        if not self.maximise:
            raise InputError("every output is a constraint; name what is optimised, as in maximise={'yield': True}.")
        self.reference_point = self._checked_reference(reference_point)
        if not isinstance(best, Reference | None):
            raise InputError(
                f"`best` is {best!r}; pass uqkit.Reference(values=(...,), kind=..., source=...), which says how it is "
                "known."
            )
        self.best = best
        self._check_inputs()

    def __repr__(self) -> str:
        """Name, inputs and what is wanted of the outputs."""
        wanted = [f"{'maximise' if answer else 'minimise'} {name}" for name, answer in self.maximise.items()]
        limits = [f"{low:g} <= {name} <= {high:g}" for name, (low, high) in self.constraints.items()]
        return f"Objective({self.name}, {len(self.inputs)} inputs: {', '.join(wanted + limits)})"

    @property
    def name(self) -> str:
        """Of the forward model."""
        return self.forward.name

    @property
    def inputs(self) -> Inputs:
        """What is chosen."""
        return self.forward.inputs

    @property
    def bounds(self) -> Float[np.ndarray, "end input"]:
        """Lower and upper ends; 0 and the last code for an input with categories."""
        ends = np.array([self.inputs.marginals[name].support for name in self.inputs.names], dtype=float).T
        for column, n_categories in self.categorical.items():
            ends[:, column] = 0, n_categories - 1
        return ends

    @property
    def categorical(self) -> dict[int, int]:
        """Column -> number of categories."""
        categories = self.inputs.categories
        return {i: len(categories[name]) for i, name in enumerate(self.inputs.names) if name in categories}

    def utilities(self, values: Float[np.ndarray, "point output"]) -> Float[np.ndarray, "point objective"]:
        """Objectives so signed that larger is better."""
        columns = [self.forward.outputs.labels.index(name) for name in self.maximise]
        return values[:, columns] * self.signs

    @property
    def signs(self) -> Float[np.ndarray, " objective"]:
        """1 of an objective that is maximised, -1 of one that is minimised."""
        return np.where(list(self.maximise.values()), 1.0, -1.0)

    def feasible(self, values: Float[np.ndarray, "point output"]) -> Bool[np.ndarray, " point"]:
        """Whether all limits are kept; a point without values keeps none."""
        kept = np.isfinite(values).all(axis=1)
        for name, (low, high) in self.constraints.items():
            column = values[:, self.forward.outputs.labels.index(name)]
            kept &= (column >= low) & (column <= high)
        return kept

    def _known(self, what: str, names: Mapping[str, object]) -> None:
        unknown = [name for name in names if name not in self.forward.outputs.labels]
        if unknown:
            raise InputError(
                f"`{what}` names {', '.join(map(repr, unknown))}; the outputs of {self.name} are "
                f"{', '.join(self.forward.outputs.labels)}."
            )

    def _checked_reference(self, given: Mapping[str, float] | None) -> dict[str, float] | None:
        if len(self.maximise) == 1:
            if given is not None:
                raise InputError("a reference point is of several objectives, and there is one; leave it out.")
            return None
        if isinstance(given, Mapping) and set(given) == set(self.maximise):
            ends = _numbers(list(given.values()))
            if ends is not None and ends.shape == (len(given),) and np.isfinite(ends).all():
                return {name: float(given[name]) for name in self.maximise}
        raise InputError(
            f"`reference_point` is {given!r}; for several objectives pass the worst value of each that still counts, a "
            f"finite number: {', '.join(self.maximise)}."
        )

    def _check_inputs(self) -> None:
        for name in self.inputs.names:
            support = self.inputs.marginals[name].support
            if not np.isfinite(support).all():
                raise InputError(
                    f"input {name!r} lies on [{support[0]:g}, {support[1]:g}]; an optimisation needs finite bounds: "
                    "pass a Uniform, or truncate the distribution."
                )


def _answer(given: object) -> bool:
    if not isinstance(given, bool | np.bool_):
        raise InputError(
            f"`maximise` is {given!r}; pass True or False, or a mapping of outputs to one of them: True for an output "
            "that is to be large."
        )
    return bool(given)


def _limits(name: str, limits: object) -> tuple[float, float]:
    ends = _numbers(limits)
    if (
        ends is None
        or ends.shape != (2,)
        or np.isnan(ends).any()
        or not ends[0] <= ends[1]
        or not np.isfinite(ends).any()
    ):
        raise InputError(f"the constraint of {name!r} is {limits!r}; pass (lower, upper), -inf or inf for no limit.")
    return float(ends[0]), float(ends[1])


def _numbers(given: object) -> Float[np.ndarray, "*shape"] | None:
    """What was given as an array of numbers; None where it is none."""
    try:
        return np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        return None
