"""One batch of points to rows: the one place where whatever a model raises is caught."""

import time

import numpy as np
from jaxtyping import Float

from uqkit.errors import InputError
from uqkit.evaluate.evaluations import Status
from uqkit.evaluate.journal import Row
from uqkit.problems import Call

__all__ = ["run_batch", "timed_batch"]


def timed_batch(call: Call, points: Float[np.ndarray, "point input"], shapes_may_fail: bool) -> tuple[list[Row], float]:
    """`run_batch` and the seconds it took; what a worker is sent."""
    started = time.perf_counter()
    return run_batch(call, points, shapes_may_fail=shapes_may_fail), time.perf_counter() - started


def run_batch(call: Call, points: Float[np.ndarray, "point input"], *, shapes_may_fail: bool) -> list[Row]:
    """One row a point; a batch that raises is run again point by point, so that only the guilty ones fail."""
    try:
        # A copy: what a model writes into its points before it raises must not reach the second attempt.
        values = call.run(points.copy())
    # The one place where any exception is caught: what a user's model may raise is not ours to list.
    except Exception as error:  # noqa: BLE001
        if isinstance(error, InputError) and not shapes_may_fail:
            raise
        if len(points) > 1:
            return [row for point in points for row in run_batch(call, point[None], shapes_may_fail=shapes_may_fail)]
        text = f"{type(error).__name__}: {error}".strip().rstrip(".")
        return [Row(np.full(len(call.outputs), np.nan), int(Status.ERROR), text)]
    return [_row(call, value) for value in values]


def _row(call: Call, value: Float[np.ndarray, " output"]) -> Row:
    finite = np.isfinite(value)
    if finite.all():
        return Row(value, int(Status.OK), "")
    first = int(np.flatnonzero(~finite)[0])
    message = f"output {call.outputs.labels[first]!r} is {value[first]}"
    return Row(value, int(Status.NON_FINITE), message)
