"""The shell of the workflow: checks what was asked, runs the model, assembles the result."""

import dataclasses
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Key

from uqkit._typing import PRNGKey
from uqkit.errors import EvaluationError, InputError, StoreError, UqkitWarning
from uqkit.evaluate import Evaluations, FailurePolicy, evaluate
from uqkit.inputs import Design, LatinHypercube, check_groups
from uqkit.keys import as_key, key_from_label, key_label
from uqkit.problems import ForwardModel
from uqkit.results import schema
from uqkit.sensitivity.campaign import Asker
from uqkit.sensitivity.groups import check_same_version, checked_budget, stored_evaluations
from uqkit.sensitivity.importance import ImportanceMethod
from uqkit.sensitivity.intervals import BayesianBootstrap, InfluenceFunction, Interval
from uqkit.sensitivity.pick_freeze import (
    FIRST,
    ORDERS,
    SECOND,
    TOTAL,
    Layout,
    PickFreeze,
    factor_columns,
    index_statistic,
)
from uqkit.sensitivity.record import as_record, from_record
from uqkit.sensitivity.result import Convergence, OutputIndices, assemble, pick_freeze_diagnostics
from uqkit.sensitivity.sobol_importance import sobol_by_importance

__all__ = ["PickFreezeSample", "extend_sobol_indices", "restore", "sobol_indices"]

PROBABILITY = 0.95
N_DRAWS = 1_000
# With a tolerance, intervals of fewer rows than these are not believed.
_FEWEST_ROWS_JUDGED = 128
# Rows of the smallest part of a design that the convergence is shown for.
_FEWEST_ROWS_SHOWN = 32


def sobol_indices(
    problem: ForwardModel,
    *,
    method: PickFreeze | ImportanceMethod | None = None,
    budget: int,
    key: PRNGKey,
    order: Sequence[str] = (FIRST, TOTAL),
    groups: Mapping[str, Sequence[str]] | None = None,
    tolerance: float | None = None,
    failures: FailurePolicy | None = None,
    store: str | Path | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> xr.DataTree:
    """Sobol' indices of a model's inputs, with 95% intervals.

    Args:
        problem: The model and its uncertain inputs.
        method: `PickFreeze()` by default, with its estimators, design and interval; or `AdaptiveImportanceSampling()`,
            for a model of one output whose variance comes from rare places.
        budget: Most model evaluations to spend. A row of the design costs `2 + n_inputs` of them, `2 + 2 n_inputs`
            with second order; whole rows are run, a power of two for a Sobol' design, and the rest is reported.
        key: A JAX key or an int; the same key gives the same numbers.
        order: Which indices: "first", "total", "second".
        groups: Group -> its inputs, to be taken together; an input that no group names stands alone. By default the
            groups of the inputs, if they have any.
        tolerance: Stop as soon as every 95% interval of an index reaches at most this far to each side.
        failures: What to do about points where the model fails; by default up to a tenth are left out, row-wise.
        store: A SQLite file that keeps every finished evaluation; the same call with it resumes a stopped run.
        executor: A concurrent.futures executor that runs the points: threads, spawned processes, or Dask's
            `client.get_executor(pure=False)`.
        progress: Whether to show progress on stderr; None shows it only on a terminal.

    Returns:
        A tree with `estimates` (sobol_first, sobol_total, sobol_second, output_mean, output_variance, each with _se,
        _lower and _upper), `posterior` (draws of the indices, as wide as the intervals), `convergence`, `diagnostics`
        with a verdict, and `evaluations`.

    Raises:
        InputError: If an argument cannot be used; before any evaluation.
        EvaluationError: If the model fails at too many points; the finished ones are its `evaluations`.
        StoreError: If the store cannot be used.

    Reference:
        Sobol' (2001), Mathematics and Computers in Simulation 55; Saltelli et al. (2010), Computer Physics
        Communications 181.
    """
    started = time.perf_counter()
    if not isinstance(problem, ForwardModel):
        raise InputError(f"the problem is a {type(problem).__name__}; pass a uqkit.ForwardModel, or uqkit.load(name).")
    method = PickFreeze() if method is None else method
    if not isinstance(method, (PickFreeze, ImportanceMethod)):
        raise InputError(f"`method` is {method!r}; pass PickFreeze(...) or AdaptiveImportanceSampling(...).")
    order = _checked_order(order)
    complete = check_groups(groups, problem.inputs.names) if groups else problem.inputs.groups
    _check_independence(problem, complete)
    allowed = checked_budget(budget)
    if tolerance is not None and not tolerance > 0:
        raise InputError(f"`tolerance` is {tolerance}; pass a half-width of the indices above zero, such as 0.02.")
    typed = as_key(key)
    if not isinstance(method, PickFreeze):
        if tolerance is not None:
            raise InputError("`tolerance` goes with PickFreeze(); importance sampling spends its whole budget here.")
        asker = Asker(problem, failures, store, executor, progress)
        return sobol_by_importance(problem, method, order, complete, allowed, typed, asker, PROBABILITY)
    layout = _layout(problem, method, order, complete, allowed)
    sizes = _sizes(layout.n_rows, tolerance, method.design)
    sampling_key, analysis_key = jax.random.split(typed)
    points = _points(problem, method, layout, sampling_key)
    evaluations = None
    result = None
    for n_rows in sizes:
        part = dataclasses.replace(layout, n_rows=n_rows)
        shorter = evaluations
        evaluations = evaluate(
            problem,
            points[: part.n_points],
            failures=failures,
            store=store,
            known=shorter,
            executor=executor,
            progress=progress,
        )
        if shorter is not None:  # what this very call evaluated before was not reused from anywhere
            n_reused = evaluations.n_reused - len(shorter.points) + shorter.n_reused
            evaluations = dataclasses.replace(evaluations, n_reused=n_reused)
        sample = PickFreezeSample(
            problem=problem,
            method=method,
            order=order,
            groups=complete,
            layout=part,
            evaluations=evaluations,
            budget=allowed,
            key_text=key_label(typed),
        )
        result = sample._analyse(method, order, analysis_key, started)
        if tolerance is not None and _widest(result) <= tolerance:
            break
    assert result is not None
    return result


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PickFreezeSample:
    """Evaluations on a pick-freeze design, to be analysed again without running the model.

    Attributes:
        problem: The model.
        method: How the design was made and analysed.
        order: The orders first asked for.
        groups: Group -> inputs that were frozen together, or None.
        layout: The order of the points.
        evaluations: The rows.
        budget: Evaluations that were allowed.
        key_text: Label of the key of the run.
    """

    problem: ForwardModel
    method: PickFreeze
    order: tuple[str, ...]
    groups: dict[str, tuple[str, ...]] | None
    layout: Layout
    evaluations: Evaluations
    budget: int
    key_text: str

    def indices(
        self, *, method: PickFreeze | None = None, order: Sequence[str] | None = None, key: PRNGKey
    ) -> xr.DataTree:
        """Indices from these evaluations by other estimators, intervals, or orders.

        Args:
            method: Estimators and interval; those of the run by default. Its design must be the run's.
            order: Which indices; those of the run by default.
            key: For the draws.

        Raises:
            InputError: If the design differs, or points that the indices need were not evaluated.
        """
        started = time.perf_counter()
        method = self.method if method is None else method
        order = self.order if order is None else _checked_order(order)
        if method.design != self.method.design:
            raise InputError(
                f"`method.design` is {method.design!r} but the evaluations are on {self.method.design!r}; pass that."
            )
        if _needs_ba(method, order) and not self.layout.with_ba:
            raise InputError(
                "second-order indices and Azzini() need the points BA_i, which this run did not evaluate; "
                "call sobol_indices with order=('first', 'total', 'second')."
            )
        return self._analyse(method, order, as_key(key), started)

    def _analyse(
        self, method: PickFreeze, order: tuple[str, ...], key: Key[jax.Array, ""], started: float
    ) -> xr.DataTree:
        used = self.evaluations.ok.reshape(self.layout.n_rows, -1).all(axis=1)
        if used.sum() < 2:
            raise EvaluationError(
                f"{int(used.sum())} of {self.layout.n_rows} rows have no failed point and two are needed; "
                f"first failure: {next(iter(self.evaluations.messages.values()), '')}. Raise the budget or mend the "
                "model.",
                self.evaluations,
            )
        labels = self.problem.outputs.labels
        outputs: list[OutputIndices] = []
        convergence: list[list[OutputIndices]] = []
        shown = self._rows_shown()
        # Resampling at every step of the convergence would cost more than the analysis itself.
        bootstrapped = isinstance(method.assessed_by, BayesianBootstrap)
        quick = InfluenceFunction() if bootstrapped else method.assessed_by
        for column in range(len(labels)):
            values = self.evaluations.values[:, column]
            outputs.append(self._assess(values, used, self.layout, method.assessed_by, method, order, N_DRAWS, key))
            steps = []
            for n_rows in shown:
                part = dataclasses.replace(self.layout, n_rows=n_rows)
                steps.append(self._assess(values[: part.n_points], used[:n_rows], part, quick, method, order, 0, key))
            convergence.append(steps)
        constant = [label for label, one in zip(labels, outputs, strict=True) if one.constant]
        if len(constant) == len(labels):
            raise EvaluationError(
                f"{self.problem.name} gave the same {', '.join(labels)} at every point, so there is no variance to "
                "share out; check that the model uses its inputs.",
                self.evaluations,
            )
        if constant:
            warnings.warn(
                f"output {', '.join(constant)} is the same at every point; its indices are undefined and given as NaN.",
                UqkitWarning,
                stacklevel=3,
            )
        return assemble(
            outputs,
            problem=self.problem,
            factors=self.factors,
            grouped=self.groups is not None,
            evaluations=self.evaluations,
            diagnostics=pick_freeze_diagnostics(
                outputs, labels, self.evaluations, self.layout.n_rows, int(used.sum()), self.budget
            ),
            convergence=Convergence([n * self.layout.points_per_row for n in shown], convergence),
            probability=PROBABILITY,
            interval_kind=type(method.assessed_by).__name__,
            method=self._method_record(method, order),
            key_text=self.key_text,
            wall_time=time.perf_counter() - started,
        )

    @property
    def factors(self) -> tuple[str, ...]:
        """Names of what the indices are of: groups, or inputs."""
        return tuple(self.groups) if self.groups else self.problem.inputs.names

    def _rows_shown(self) -> list[int]:
        halvings = [self.layout.n_rows >> k for k in range(self.layout.n_rows.bit_length())]
        return sorted(n for n in halvings if n >= min(_FEWEST_ROWS_SHOWN, self.layout.n_rows))

    def _assess(
        self,
        values: Float[np.ndarray, " point"],
        used: Bool[np.ndarray, " row"],
        layout: Layout,
        interval: Interval,
        method: PickFreeze,
        order: tuple[str, ...],
        n_draws: int,
        key: Key[jax.Array, ""],
    ) -> OutputIndices:
        kept = values.reshape(layout.n_rows, -1)[used]
        # Indices do not depend on place and scale; standardised values keep squares from cancelling or overflowing.
        centre, scale = (kept.mean(), kept.std()) if len(kept) >= 2 else (0.0, 0.0)
        if not scale > 8 * np.finfo(float).eps * np.abs(kept).max(initial=0.0):
            return OutputIndices.undefined(float(centre), layout, order, n_draws)
        statistic, where = index_statistic((values - centre) / scale, used, layout, method, order)
        assessment = interval.assess(statistic, PROBABILITY, n_draws, key=key)
        return OutputIndices.of(statistic, assessment, where, float(centre), float(scale))

    def _method_record(self, method: PickFreeze, order: tuple[str, ...]) -> dict[str, Any]:
        return {
            **as_record(method),
            "assessed_by": as_record(method.assessed_by),
            "order": list(order),
            "groups": {name: list(members) for name, members in self.groups.items()} if self.groups else None,
            "n_rows": self.layout.n_rows,
            "with_ba": self.layout.with_ba,
            "budget": self.budget,
            "model_version": self.problem.version,
        }


def extend_sobol_indices(
    result: xr.DataTree,
    problem: ForwardModel,
    *,
    budget: int,
    failures: FailurePolicy | None,
    store: str | Path | None,
    executor: Executor | None,
    progress: bool | None,
) -> xr.DataTree:
    """More rows for a result of `sobol_indices` by `PickFreeze`; see `uqkit.sensitivity.extend`."""
    started = time.perf_counter()
    sample = restore(result, problem)
    check_same_version(json.loads(result.attrs[schema.METHOD])["model_version"], problem)
    spent, more = sample.layout.n_points, checked_budget(budget)
    layout = _layout(problem, sample.method, sample.order, sample.groups, spent + more)
    if layout.n_rows <= sample.layout.n_rows:
        raise InputError(
            f"`budget` is {more}, but the design of {sample.layout.n_rows} rows grows next to "
            f"{2 * sample.layout.n_rows}, {spent} evaluations more; raise the budget to that."
        )
    _check_continuable(sample.method.design)
    sampling_key, analysis_key = jax.random.split(key_from_label(sample.key_text))
    points = _points(problem, sample.method, layout, sampling_key)
    if not np.array_equal(points[:spent], sample.evaluations.points):
        raise StoreError(
            "the design came out differently this time; pass the problem that the result is of, and use the versions "
            "of uqkit, NumPy and SciPy in its attributes."
        )
    evaluations = evaluate(
        problem, points, failures=failures, store=store, known=sample.evaluations, executor=executor, progress=progress
    )
    longer = dataclasses.replace(sample, layout=layout, evaluations=evaluations, budget=spent + more)
    return longer._analyse(longer.method, longer.order, analysis_key, started)


def restore(result: xr.DataTree, problem: ForwardModel) -> PickFreezeSample:
    """Evaluations of an earlier result, to be analysed again by other estimators without running the model.

    Args:
        result: What `sobol_indices` returned, or `uqkit.results.load` read.
        problem: The model it was of.

    Raises:
        InputError: If the problem has other inputs or outputs than the result.
        StoreError: If the result is no result of `sobol_indices`.
    """
    if result.attrs.get(schema.WORKFLOW) != "sensitivity":
        raise StoreError(
            f"the result is of the workflow {result.attrs.get(schema.WORKFLOW)!r}; pass one of sobol_indices."
        )
    record = json.loads(result.attrs[schema.METHOD])
    if record["type"] != "PickFreeze":
        raise StoreError(
            f"the result was made by {record['type']}, whose sample is continued by `extend`, not restored."
        )
    evaluations = stored_evaluations(result, problem)
    groups = {name: tuple(members) for name, members in record["groups"].items()} if record["groups"] else None
    return PickFreezeSample(
        problem=problem,
        method=from_record({name: record[name] for name in ("type", "first", "total", "design", "interval")}),
        order=tuple(record["order"]),
        groups=groups,
        layout=Layout(
            n_rows=record["n_rows"], blocks=factor_columns(problem.inputs, groups), with_ba=record["with_ba"]
        ),
        evaluations=evaluations,
        budget=record["budget"],
        key_text=result.attrs[schema.KEY],
    )


def _checked_order(order: Sequence[str]) -> tuple[str, ...]:
    wanted = (order,) if isinstance(order, str) else tuple(order)
    unknown = [entry for entry in wanted if entry not in ORDERS]
    if unknown or not wanted:
        raise InputError(f"`order` is {order!r}; pass some of {', '.join(ORDERS)}, as in order=('first', 'total').")
    return tuple(kind for kind in ORDERS if kind in wanted)


def _check_independence(problem: ForwardModel, groups: dict[str, tuple[str, ...]] | None) -> None:
    """Pick-freeze exchanges one factor without the others, so factors must not depend on each other."""
    correlation = problem.inputs.correlation.copy()
    for block in factor_columns(problem.inputs, groups):
        correlation[np.ix_(block, block)] = 0.0
    linked = [name for name, row in zip(problem.inputs.names, correlation, strict=True) if row.any()]
    if linked:
        raise InputError(
            f"the inputs {', '.join(linked)} of {problem.name} depend on each other, and pick-freeze exchanges "
            f"one without the other; put them in one group, as in groups={{'together': {linked}}}."
        )


def _points(
    problem: ForwardModel, method: PickFreeze, layout: Layout, key: Key[jax.Array, ""]
) -> Float[np.ndarray, "point input"]:
    n_inputs = len(problem.inputs)
    unit = method.design.unit_points(layout.n_rows, 2 * n_inputs, key=key)
    return layout.points(problem.inputs.from_unit(unit[:, :n_inputs]), problem.inputs.from_unit(unit[:, n_inputs:]))


def _sizes(n_rows: int, tolerance: float | None, design: Design) -> list[int]:
    """Rows after which to look: all of them, or with a tolerance every doubling from a start that can be judged."""
    if tolerance is None:
        return [n_rows]
    _check_continuable(design)
    doublings = [n_rows >> k for k in range(n_rows.bit_length()) if n_rows >> k >= _FEWEST_ROWS_JUDGED]
    return sorted(doublings) or [n_rows]


def _check_continuable(design: Design) -> None:
    if isinstance(design, LatinHypercube):
        raise InputError("a LatinHypercube() design cannot be continued; use ScrambledSobol() or MonteCarlo().")


def _widest(result: xr.DataTree) -> float:
    """The largest half-width of an index."""
    estimates = result[schema.ESTIMATES].to_dataset()
    indices = (name for name in (schema.SOBOL_FIRST, schema.SOBOL_TOTAL, schema.SOBOL_SECOND) if name in estimates)
    return max(
        float((estimates[schema.upper(name)] - estimates[schema.lower(name)]).max(skipna=True)) / 2 for name in indices
    )


def _needs_ba(method: PickFreeze, order: tuple[str, ...]) -> bool:
    used = [method.first] * (FIRST in order or SECOND in order) + [method.total] * (TOTAL in order)
    return SECOND in order or any(estimator.needs_ba for estimator in used)


def _layout(
    problem: ForwardModel,
    method: PickFreeze,
    order: tuple[str, ...],
    groups: dict[str, tuple[str, ...]] | None,
    budget: int,
) -> Layout:
    blocks = factor_columns(problem.inputs, groups)
    if SECOND in order and len(blocks) < 2:
        raise InputError(f"second-order indices need two inputs or groups, {problem.name} has {len(blocks)}.")
    one_row = Layout(n_rows=1, blocks=blocks, with_ba=_needs_ba(method, order))
    n_rows = method.design.usable_rows(budget // one_row.points_per_row)
    if n_rows < 2:
        raise InputError(
            f"`budget` is {budget}, but one row of this design costs {one_row.points_per_row} evaluations "
            f"({len(blocks)} {'groups' if groups else 'inputs'}, order {', '.join(order)}) and two rows are the least; "
            f"raise the budget to at least {2 * one_row.points_per_row}, or group the inputs."
        )
    return dataclasses.replace(one_row, n_rows=n_rows)
