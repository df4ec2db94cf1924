"""The shell of the workflow: checks what was asked, runs the model, assembles the result."""

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float, Key

from uqkit._typing import PRNGKey
from uqkit.errors import InputError, StoreError
from uqkit.evaluate import FailurePolicy, evaluate
from uqkit.evaluate.labelled import check_same_version, checked_budget
from uqkit.inputs import Design, LatinHypercube, check_groups
from uqkit.keys import as_key, key_from_label, key_label
from uqkit.problems import ForwardModel
from uqkit.results import schema
from uqkit.sensitivity.campaign import Asker
from uqkit.sensitivity.importance import ImportanceMethod
from uqkit.sensitivity.pick_freeze import (
    FIRST,
    SECOND,
    TOTAL,
    Layout,
    PickFreeze,
    factor_columns,
)
from uqkit.sensitivity.sample import PROBABILITY, PickFreezeSample, checked_order, needs_ba, restore
from uqkit.sensitivity.sobol_importance import sobol_by_importance

__all__ = ["extend_sobol_indices", "sobol_indices"]

# With a tolerance, intervals of fewer rows than these are not believed.
_FEWEST_ROWS_JUDGED = 128


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
    order = checked_order(order)
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
        result = sample.analyse(method, order, analysis_key, started)
        if tolerance is not None and _widest(result) <= tolerance:
            break
    assert result is not None
    return result


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
    return longer.analyse(longer.method, longer.order, analysis_key, started)


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
    one_row = Layout(n_rows=1, blocks=blocks, with_ba=needs_ba(method, order))
    n_rows = method.design.usable_rows(budget // one_row.points_per_row)
    if n_rows < 2:
        raise InputError(
            f"`budget` is {budget}, but one row of this design costs {one_row.points_per_row} evaluations "
            f"({len(blocks)} {'groups' if groups else 'inputs'}, order {', '.join(order)}) and two rows are the least; "
            f"raise the budget to at least {2 * one_row.points_per_row}, or group the inputs."
        )
    return dataclasses.replace(one_row, n_rows=n_rows)
