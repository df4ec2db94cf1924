"""Evaluations on a pick-freeze design: analysed once they are there, and again whenever asked."""

import dataclasses
import json
import time
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Key

from uqkit._typing import PRNGKey
from uqkit.errors import EvaluationError, InputError, StoreError, UqkitWarning
from uqkit.evaluate import Evaluations
from uqkit.evaluate.labelled import stored_evaluations
from uqkit.keys import as_key
from uqkit.problems import ForwardModel
from uqkit.results import as_record, schema
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
from uqkit.sensitivity.record import from_record
from uqkit.sensitivity.result import Convergence, OutputIndices, assemble, pick_freeze_diagnostics

__all__ = ["PROBABILITY", "PickFreezeSample", "checked_order", "needs_ba", "restore"]

PROBABILITY = 0.95
_N_DRAWS = 1_000
# Rows of the smallest part of a design that the convergence is shown for.
_FEWEST_ROWS_SHOWN = 32


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
        order = self.order if order is None else checked_order(order)
        if method.design != self.method.design:
            raise InputError(
                f"`method.design` is {method.design!r} but the evaluations are on {self.method.design!r}; pass that."
            )
        if needs_ba(method, order) and not self.layout.with_ba:
            raise InputError(
                "second-order indices and Azzini() need the points BA_i, which this run did not evaluate; "
                "call sobol_indices with order=('first', 'total', 'second')."
            )
        return self.analyse(method, order, as_key(key), started)

    def analyse(
        self, method: PickFreeze, order: tuple[str, ...], key: Key[jax.Array, ""], started: float
    ) -> xr.DataTree:
        """Indices with this method, from these rows; `started` is when the run began (`time.perf_counter`)."""
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
            outputs.append(self._assess(values, used, self.layout, method.assessed_by, method, order, _N_DRAWS, key))
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


def checked_order(order: Sequence[str]) -> tuple[str, ...]:
    """The orders asked for, in their own order.

    Raises:
        InputError: If there are none, or one is unknown.
    """
    wanted = (order,) if isinstance(order, str) else tuple(order)
    unknown = [entry for entry in wanted if entry not in ORDERS]
    if unknown or not wanted:
        raise InputError(f"`order` is {order!r}; pass some of {', '.join(ORDERS)}, as in order=('first', 'total').")
    return tuple(kind for kind in ORDERS if kind in wanted)


def needs_ba(method: PickFreeze, order: tuple[str, ...]) -> bool:
    """Whether the points BA_i are needed."""
    used = [method.first] * (FIRST in order or SECOND in order) + [method.total] * (TOTAL in order)
    return SECOND in order or any(estimator.needs_ba for estimator in used)
