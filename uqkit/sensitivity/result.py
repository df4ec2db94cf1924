"""Arrays to a result, and a result to what others expect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from uqkit.evaluate import Evaluations
from uqkit.evaluate.labelled import (
    common_output_unit,
    diagnostics_group,
    evaluation_counts,
    evaluations_group,
    input_coords,
    output_coords,
)
from uqkit.problems import ForwardModel
from uqkit.results import Provenance, build, schema, some_of
from uqkit.sensitivity.intervals import Assessment, Statistic
from uqkit.sensitivity.pick_freeze import FIRST, MEAN, SECOND, TOTAL, VARIANCE, Layout, pairs
from uqkit.stats import pareto_tail_index

__all__ = ["Convergence", "OutputIndices", "assemble", "pick_freeze_diagnostics"]

_VARIABLE = {
    FIRST: (schema.SOBOL_FIRST, "first-order Sobol' index"),
    TOTAL: (schema.SOBOL_TOTAL, "total Sobol' index"),
    SECOND: (schema.SOBOL_SECOND, "second-order Sobol' index"),
    MEAN: (schema.OUTPUT_MEAN, "mean of the output"),
    VARIANCE: (schema.OUTPUT_VARIANCE, "variance of the output"),
}
_N_CHAINS = 4
# An interval wider than this to each side says little about an index that lies in [0, 1].
_WIDE = 0.1
# A tail is told from this many values on.
_FEWEST_FOR_TAIL = 200


@dataclass(frozen=True)
class OutputIndices:
    """Estimates of one output by name (an order, `MEAN`, `VARIANCE`); rows value, se, lower, upper; and their draws."""

    estimates: dict[str, Float[np.ndarray, "4 value"]]
    draws: dict[str, Float[np.ndarray, "draw value"]]
    constant: bool = False

    @classmethod
    def of(
        cls, statistic: Statistic, assessment: Assessment, where: Mapping[str, slice], centre: float, scale: float
    ) -> "OutputIndices":
        """Estimates in the output's own units, from those of the standardised output."""
        place = {MEAN: centre}
        stretch = {MEAN: scale, VARIANCE: scale**2}
        table = np.stack([statistic.value, assessment.standard_error, assessment.lower, assessment.upper])
        estimates = {}
        for name, part in where.items():
            shift = np.array([1.0, 0.0, 1.0, 1.0])[:, None] * place.get(name, 0.0)
            estimates[name] = table[:, part] * stretch.get(name, 1.0) + shift
        draws = {name: assessment.draws[:, part] for name, part in where.items() if name not in (MEAN, VARIANCE)}
        return cls(estimates, draws)

    @classmethod
    def undefined(cls, mean: float, layout: Layout, order: Sequence[str], n_draws: int) -> "OutputIndices":
        """An output without variance: its indices are 0/0."""
        n_factors = len(layout.blocks)
        length = {kind: len(pairs(n_factors)[0]) if kind == SECOND else n_factors for kind in order}
        estimates = {kind: np.full((4, n), np.nan) for kind, n in length.items()}
        estimates[MEAN] = np.array([[mean], [0.0], [mean], [mean]])
        estimates[VARIANCE] = np.zeros((4, 1))
        return cls(estimates, {kind: np.full((n_draws, n), np.nan) for kind, n in length.items()}, constant=True)


@dataclass(frozen=True)
class Convergence:
    """Estimates from the first rows only: for each output, one entry a number of evaluations."""

    n_evaluations: list[int]
    outputs: list[list[OutputIndices]]


def assemble(
    outputs: Sequence[OutputIndices],
    *,
    problem: ForwardModel,
    factors: tuple[str, ...],
    grouped: bool,
    evaluations: Evaluations,
    diagnostics: xr.Dataset,
    probability: float,
    interval_kind: str,
    method: Mapping[str, Any],
    key_text: str,
    wall_time: float,
    convergence: Convergence | None = None,
) -> xr.DataTree:
    """The result of `sobol_indices`."""
    labels = _Labels(problem, factors, grouped)
    interval = {schema.PROBABILITY: probability, schema.INTERVAL_KIND: f"equal-tailed, {interval_kind}"}
    groups = {
        schema.ESTIMATES: _estimates([one.estimates for one in outputs], labels, interval),
        schema.POSTERIOR: _draws([one.draws for one in outputs], labels),
        schema.DIAGNOSTICS: diagnostics,
        schema.EVALUATIONS: evaluations_group(evaluations, problem),
    }
    if convergence is not None:
        groups[schema.CONVERGENCE] = _convergence(convergence, labels, interval)
    provenance = Provenance(
        workflow="sensitivity",
        problem=problem.name,
        method=method,
        key=key_text,
        n_model_evaluations=len(evaluations.points),
        wall_time=wall_time,
    )
    return build(groups, provenance)


class _Labels:
    """Coordinates and dimension names of a result."""

    def __init__(self, problem: ForwardModel, factors: tuple[str, ...], grouped: bool) -> None:
        self.factor = schema.GROUP if grouped else schema.INPUT
        self.other = schema.GROUP_OTHER if grouped else schema.INPUT_OTHER
        self.factors = factors
        self.output_labels = list(problem.outputs.labels)
        self.output = output_coords(problem)
        self.input_columns = input_coords(problem)
        self.factor_coords: dict[str, Any] = {schema.GROUP: list(factors)} if grouped else self.input_columns
        self.output_unit = common_output_unit(problem)

    def dims(self, name: str) -> tuple[str, ...]:
        """Dimensions of an estimate after `output`."""
        return {MEAN: (), VARIANCE: (), SECOND: (self.factor, self.other)}.get(name, (self.factor,))

    def coords(self, names: Sequence[str]) -> dict[str, Any]:
        """Coordinates that estimates of these names need."""
        other = {self.other: list(self.factors)} if SECOND in names else {}
        return {**self.output, **self.factor_coords, **other}

    def shaped(self, name: str, values: np.ndarray) -> np.ndarray:
        """Values with their last axis folded onto the dimensions of the estimate."""
        if name in (MEAN, VARIANCE):
            return values[..., 0]
        if name != SECOND:
            return values
        # A pair's index stands in both triangles; the diagonal is undefined.
        n_factors = len(self.factors)
        square = np.full((*values.shape[:-1], n_factors, n_factors), np.nan)
        i, j = pairs(n_factors)
        square[..., i, j] = square[..., j, i] = values
        return square

    def units(self, name: str) -> str:
        """Unit of an estimate."""
        if name == MEAN:
            return self.output_unit
        if name == VARIANCE:
            return {"1": "1", "see output_units": "square of output_units"}.get(
                self.output_unit, f"({self.output_unit})^2"
            )
        return "1"


def _estimates(outputs: Sequence[Mapping[str, np.ndarray]], labels: _Labels, interval: Mapping[str, Any]) -> xr.Dataset:
    names = list(outputs[0])
    variables = {}
    for name in names:
        table = labels.shaped(name, np.stack([one[name] for one in outputs], axis=1))
        variables |= _with_errors(name, table, (schema.OUTPUT, *labels.dims(name)), labels, interval)
    return xr.Dataset(variables, labels.coords(names))


def _with_errors(
    name: str, table: np.ndarray, dims: tuple[str, ...], labels: _Labels, interval: Mapping[str, Any]
) -> dict[str, Any]:
    """Value, standard error and interval of one estimate; `table` has the four of them on its first axis."""
    variable, long_name = _VARIABLE[name]
    units = labels.units(name)
    ends = {"units": units, **interval}
    return {
        variable: (dims, table[0], {"units": units, "long_name": long_name}),
        schema.standard_error(variable): (
            dims,
            table[1],
            {"units": units, "long_name": f"standard error of the {long_name}"},
        ),
        schema.lower(variable): (dims, table[2], {"long_name": f"lower end for the {long_name}", **ends}),
        schema.upper(variable): (dims, table[3], {"long_name": f"upper end for the {long_name}", **ends}),
    }


def _convergence(convergence: Convergence, labels: _Labels, interval: Mapping[str, Any]) -> xr.Dataset:
    names = [name for name in (FIRST, TOTAL) if name in convergence.outputs[0][0].estimates]
    variables = {}
    for name in names:
        # (4, n_evaluations, output, ...)
        table = np.stack(
            [np.stack([step.estimates[name] for step in one], axis=1) for one in convergence.outputs], axis=2
        )
        dims = (schema.N_EVALUATIONS, schema.OUTPUT, *labels.dims(name))
        variables |= _with_errors(name, labels.shaped(name, table), dims, labels, interval)
    return xr.Dataset(variables, {schema.N_EVALUATIONS: convergence.n_evaluations, **labels.coords(names)})


def _draws(outputs: Sequence[Mapping[str, np.ndarray]], labels: _Labels) -> xr.Dataset:
    names = [name for name in outputs[0] if name != SECOND]
    variables = {}
    for name in names:
        draws = np.stack([one[name] for one in outputs], axis=1)
        chains = draws.reshape(_N_CHAINS, -1, *draws.shape[1:])
        variable, long_name = _VARIABLE[name]
        variables[variable] = (
            (schema.CHAIN, schema.DRAW, schema.OUTPUT, *labels.dims(name)),
            chains,
            {"units": "1", "long_name": long_name},
        )
    coords = {
        schema.CHAIN: np.arange(_N_CHAINS),
        schema.DRAW: np.arange(next(iter(variables.values()))[1].shape[1]) if variables else [],
        **labels.coords(names),
    }
    return xr.Dataset(variables, coords, {schema.INDEPENDENT_DRAWS: 1})


def pick_freeze_diagnostics(
    outputs: Sequence[OutputIndices],
    output_labels: Sequence[str],
    evaluations: Evaluations,
    n_rows: int,
    n_rows_used: int,
    budget: int,
) -> xr.Dataset:
    """Counts of rows and evaluations, and what they and the intervals' widths say."""
    verdict, text = _verdict(outputs, output_labels, evaluations, n_rows, n_rows_used)
    spent = len(evaluations.points)
    if budget > spent:
        text += f"; {budget - spent:,} of the budget were not spent, the design grows next at {2 * spent:,}"
    return diagnostics_group(
        {
            **evaluation_counts(evaluations, budget),
            schema.N_ROWS: (n_rows, "rows of the design"),
            schema.N_ROWS_USED: (n_rows_used, "rows without a failed evaluation"),
        },
        verdict,
        text,
    )


def _verdict(
    outputs: Sequence[OutputIndices],
    output_labels: Sequence[str],
    evaluations: Evaluations,
    n_rows: int,
    n_rows_used: int,
) -> tuple[str, str]:
    remarks = []
    if n_rows_used < n_rows:
        remarks.append(
            f"{n_rows - n_rows_used} of {n_rows} rows left out because {evaluations.n_failed} evaluation"
            f"{'s' * (evaluations.n_failed > 1)} failed; the indices describe the inputs where the model answers"
        )
    widest = max(
        (
            float(np.nanmax(one.estimates[kind][3] - one.estimates[kind][2])) / 2
            for one in outputs
            for kind in (FIRST, TOTAL, SECOND)
            if kind in one.estimates and not one.constant
        ),
        default=0.0,
    )
    if widest > _WIDE:
        remarks.append(f"intervals reach {widest:.2g} to each side; raise the budget before ranking inputs")
    heavy = [label for label, column in zip(output_labels, evaluations.values.T, strict=True) if _heavy_tailed(column)]
    if heavy:
        remarks.append(
            f"the tail of {some_of(heavy)} is so heavy that it may have no variance to share out, and indices would "
            "mean nothing: look at its largest values, or take a bounded function of it"
        )
    constant = [label for label, one in zip(output_labels, outputs, strict=True) if one.constant]
    if constant:
        remarks.append(f"no variance in {some_of(constant)}: indices undefined")
    fail = widest > 0.5 or n_rows_used < n_rows / 2 or bool(heavy)
    verdict = "fail" if fail else "warn" if remarks else "ok"
    return verdict, "; ".join(remarks) or "intervals are short and every evaluation succeeded"


def _heavy_tailed(values: Float[np.ndarray, " point"]) -> bool:
    """Whether squares of the output seem to have no mean: Pareto k of their tail at 1 or above."""
    finite = values[np.isfinite(values)]
    scale = finite.std()
    if len(finite) < _FEWEST_FOR_TAIL or not scale > 0:
        return False
    return 1 <= pareto_tail_index(((finite - finite.mean()) / scale) ** 2) < np.inf
