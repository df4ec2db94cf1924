"""Running a forward model at the rows of an array."""

import warnings
from concurrent.futures import Executor, Future
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from uqkit.errors import EvaluationError, InputError, RunInterrupted, StoreError, UqkitWarning
from uqkit.evaluate.batches import run_batch, timed_batch
from uqkit.evaluate.evaluations import Evaluations, Status
from uqkit.evaluate.journal import Journal, Row
from uqkit.problems import ForwardModel
from uqkit.running import WorkerLost, run_in_chunks, run_in_parallel

__all__ = ["FailurePolicy", "evaluate"]

# So many failures at the start, and no success, mean that the model itself is broken; fewer may be one bad corner,
# since consecutive points of a design can be neighbours.
_HOPELESS = 100


@dataclass(frozen=True, kw_only=True)
class FailurePolicy:
    """What to do about points where the model raises or returns what is not finite.

    Attributes:
        on_error: "mask": keep the row with its status and message, and go on; "raise": stop at the first.
        max_failed_share: With "mask": the share of failed points above which the whole is refused.
    """

    on_error: Literal["mask", "raise"] = "mask"
    max_failed_share: float = 0.1

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            InputError: If a setting is out of its range.
        """
        if self.on_error not in ("mask", "raise"):
            raise InputError(f"`on_error` is {self.on_error!r}; pass 'mask' or 'raise'.")
        if not 0 <= self.max_failed_share < 1:
            raise InputError(f"`max_failed_share` is {self.max_failed_share}; pass a share of points in [0, 1).")


def evaluate(
    problem: ForwardModel,
    points: Float[np.ndarray, "point input"],
    *,
    failures: FailurePolicy | None = None,
    store: str | Path | None = None,
    known: Evaluations | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> Evaluations:
    """Run a model at every row of `points`.

    Args:
        problem: The model.
        points: Physical input values, one row a point.
        failures: What to do about failed points; by default they are masked, up to a tenth of them.
        store: A SQLite file: each finished row is committed there at once, and rows already there are not run again.
        known: Evaluations done before: rows at the same points are taken from there.
        executor: Where points are run: threads, spawned processes, or a cluster through
            `dask.distributed.Client(...).get_executor(pure=False)`. By default here, one after the other.
        progress: Whether to show progress on stderr; None shows it only on a terminal.

    Raises:
        InputError: If `points` has the wrong shape, or the model returns another shape than declared.
        EvaluationError: If a point fails under "raise", or too many do; finished rows are its `evaluations`.
        StoreError: If the store cannot be used, or the model has no version to find its rows by.
        RunInterrupted: On Ctrl-C; finished rows are its `evaluations`, and in the store.
    """
    failures = FailurePolicy() if failures is None else failures
    points = np.array(points, dtype=float, ndmin=1)
    if points.ndim != 2 or points.shape[1] != len(problem.inputs):
        raise InputError(
            f"`points` has shape {points.shape} but {problem.name} has {len(problem.inputs)} inputs "
            f"({', '.join(problem.inputs.names)}); pass one row a point and one column an input, in that order."
        )
    if not np.isfinite(points).all():
        row, column = np.argwhere(~np.isfinite(points))[0]
        raise InputError(
            f"`points` row {row}, input {problem.inputs.names[column]!r} is {points[row, column]}; pass finite values."
        )
    _check_executor(executor)
    version = _store_version(problem) if store is not None else ""
    with Journal(store) if store is not None else nullcontext() as journal:
        campaign = _Campaign(problem, points, failures, journal, version, keyed=bool(store or known))
        if known is not None:
            campaign.reuse_known(known)
        campaign.reuse_stored()
        try:
            campaign.run(progress, executor)
        except KeyboardInterrupt:
            raise RunInterrupted(campaign.interrupted_text(), campaign.evaluations()) from None
        return campaign.finish()


def _check_executor(executor: Executor | None) -> None:
    if executor is not None and not hasattr(executor, "submit"):
        raise InputError(f"`executor` is {executor!r}; pass a concurrent.futures executor, or None.")
    context = getattr(executor, "_mp_context", None)
    if context is not None and context.get_start_method() == "fork":
        raise InputError(
            "`executor` forks its processes, which can hang once JAX is running; pass ProcessPoolExecutor(..., "
            "mp_context=multiprocessing.get_context('spawn'))."
        )


def _store_version(problem: ForwardModel) -> str:
    if problem.version is None:
        raise StoreError(
            f"{problem.name} holds something that cannot be hashed, so a changed model could not be told from this "
            "one in the store; name its state yourself, ForwardModel(..., version='2026-11-a')."
        )
    return problem.version


class _Campaign:
    """The rows of one call of `evaluate` while they are filled."""

    def __init__(
        self,
        problem: ForwardModel,
        points: Float[np.ndarray, "point input"],
        failures: FailurePolicy,
        journal: Journal | None,
        version: str,
        *,
        keyed: bool,
    ) -> None:
        self.problem, self.points, self.failures = problem, points, failures
        self.journal, self.version = journal, version
        self.values = np.full((len(points), len(problem.outputs)), np.nan)
        self.status = np.full(len(points), Status.PENDING, dtype=np.int8)
        self.messages: dict[int, str] = {}
        self.n_reused = 0
        # What else the answer depends on: names and labels, so that a reordered model does not reuse its rows.
        self.config = repr((problem.inputs.names, problem.outputs.labels, problem.takes))
        self.keys = Journal.keys(version, self.config, points) if keyed else []

    def reuse_known(self, known: Evaluations) -> None:
        """Fill the rows that were evaluated before."""
        place = {key: i for i, key in enumerate(Journal.keys(self.version, self.config, known.points))}
        for index, key in enumerate(self.keys):
            if key in place and known.status[place[key]] != Status.PENDING:
                i = place[key]
                self._fill(index, Row(known.values[i], int(known.status[i]), known.messages.get(i, "")))
                self.n_reused += 1

    def reuse_stored(self) -> None:
        """Fill the rows that the store has."""
        if self.journal is None:
            return
        found = self.journal.finished(self.keys)
        for index, key in enumerate(self.keys):
            if key in found and self.status[index] == Status.PENDING:
                self._fill(index, found[key])
                self.n_reused += 1
        others = sum(n for version, n in self.journal.versions().items() if version != self.version)
        if others:
            warnings.warn(
                f"the store {str(self.journal.path)!r} holds {others} evaluations of another version of a model; they "
                "are not reused. If only its wording changed, name its state: ForwardModel(..., version=...).",
                UqkitWarning,
                stacklevel=4,
            )

    def run(self, progress: bool | None, executor: Executor | None) -> None:
        """Evaluate the rows still pending, in order or as workers finish them."""
        pending = np.flatnonzero(self.status == Status.PENDING)

        def step(chunk: slice) -> None:
            indices = pending[chunk]
            rows = run_batch(self.problem.call, self.points[indices], shapes_may_fail=self._shapes_may_fail())
            self._keep(indices, rows)

        def submit(chunk: slice) -> "Future[tuple[list[Row], float]]":
            assert executor is not None
            return executor.submit(timed_batch, self.problem.call, self.points[pending[chunk]], self._shapes_may_fail())

        size, label = self.problem.points_per_call, self.problem.name
        if executor is None:
            run_in_chunks(step, len(pending), chunk_size=size, label=label, progress=progress)
            return
        try:
            run_in_parallel(
                submit,
                lambda chunk, rows: self._keep(pending[chunk], rows),
                len(pending),
                n_workers=getattr(executor, "_max_workers", None),
                largest_chunk=max(size, 1_024),
                first_chunk=size,
                label=label,
                progress=progress,
            )
        except WorkerLost as lost:
            raise EvaluationError(
                f"a task of {label} did not come back from {type(executor).__name__}: {lost}. "
                f"{self.evaluations().n_finished} of {len(self.points)} evaluations are finished and kept. What is "
                "sent to processes must be importable there: define the function at the top of a module.",
                self.evaluations(),
            ) from lost

    def _shapes_may_fail(self) -> bool:
        """A wrong shape at the very first row is a wrong declaration; later it is one more way for a row to fail."""
        return bool((self.status == Status.OK).any())

    def _keep(self, indices: np.ndarray, rows: list[Row]) -> None:
        """Make finished rows durable, then see whether to go on."""
        if self.journal is not None:
            entries = [(self.keys[i], self.points[i], row) for i, row in zip(indices, rows, strict=True)]
            self.journal.write(self.version, entries)
        for index, row in zip(indices, rows, strict=True):
            self._fill(int(index), row)
        self._stop_on_error(indices)
        self._stop_hopeless()

    def finish(self) -> Evaluations:
        """All rows, unless too many failed."""
        # Rows of an earlier run may have failed under another policy.
        self._stop_on_error(np.arange(len(self.points)))
        evaluations = self.evaluations()
        if self._too_many_failed(evaluations.n_failed):
            raise self._refusal(evaluations)
        return evaluations

    def _too_many_failed(self, n_failed: int) -> bool:
        return n_failed > self.failures.max_failed_share * len(self.points)

    def _stop_hopeless(self) -> None:
        """Stop as soon as too many failed for the rest to matter, or when nothing at all works."""
        failed = np.isin(self.status, (Status.ERROR, Status.NON_FINITE))
        nothing_works = failed.sum() >= _HOPELESS and failed.sum() == np.sum(self.status != Status.PENDING)
        hopeless = self._too_many_failed(int(failed.sum())) and np.any(self.status == Status.PENDING)
        if nothing_works or hopeless:
            raise self._refusal(self.evaluations())

    def _refusal(self, evaluations: Evaluations) -> EvaluationError:
        first = min(self.messages)
        n_failed, n_done, allowed = evaluations.n_failed, evaluations.n_finished, self.failures.max_failed_share
        stopped = f", so the {len(self.points) - n_done} others were not started" if n_done < len(self.points) else ""
        if n_failed == n_done and (n_done >= _HOPELESS or n_done == len(self.points)):
            advice = "Every one failed: mend the model"
        else:
            advice = (
                "What is left would describe another law of the inputs: mend the model or narrow the inputs; to go on "
                "regardless raise `failures=FailurePolicy(max_failed_share=...)`"
            )
        kept = "; the store keeps failures too, a new `version` runs them again" if self.journal is not None else ""
        return EvaluationError(
            f"{n_failed} of {n_done} evaluations of {self.problem.name} failed ({n_failed / n_done:.1%}), allowed are "
            f"{allowed:.1%} of {len(self.points)}{stopped}. First failure: {self._where(first)}: "
            f"{self.messages[first]}. {advice}{kept}.",
            evaluations,
        )

    def evaluations(self) -> Evaluations:
        """The rows as they are now."""
        return Evaluations(
            points=self.points,
            values=self.values,
            status=self.status,
            messages=dict(self.messages),
            n_run=int(np.sum(self.status != Status.PENDING)) - self.n_reused,
            n_reused=self.n_reused,
        )

    def interrupted_text(self) -> str:
        """What is finished, and how to go on."""
        done = f"stopped after {self.evaluations().n_finished} of {len(self.points)} evaluations"
        if self.journal is None:
            return (
                f"{done}; they are this exception's `evaluations`. With a store (`store=`, --store) a run can resume."
            )
        path = str(self.journal.path)
        return (
            f"{done}; they are in {path!r}: run the same call again to go on, or `uqkit resume {path}` for a command."
        )

    def _fill(self, index: int, row: Row) -> None:
        self.values[index] = row.value
        self.status[index] = row.status
        if row.message:
            self.messages[index] = row.message

    def _stop_on_error(self, indices: np.ndarray) -> None:
        if self.failures.on_error == "mask":
            return
        failed = [int(i) for i in indices if self.status[i] in (Status.ERROR, Status.NON_FINITE)]
        if failed:
            raise EvaluationError(f"{self._where(failed[0])}: {self.messages[failed[0]]}.", self.evaluations())

    def _where(self, index: int) -> str:
        values = ", ".join(
            f"{name}={value:.6g}" for name, value in zip(self.problem.inputs.names, self.points[index], strict=True)
        )
        return f"{self.problem.name} at point {index} ({values})"
