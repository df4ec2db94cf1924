"""A loop over many items on workers: results are taken as they come, and chunks grow until a task is worth sending."""

import math
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from uqkit.errors import UqkitError
from uqkit.running.chunks import progress_bar

__all__ = ["WorkerLost", "run_in_parallel"]

# Seconds that a task should take at least: sending one costs about a tenth of that.
_WORTH_SENDING = 0.05
# Tasks in flight for each worker, so that none waits for the driver.
_TASKS_PER_WORKER = 4
_WORKERS_IF_UNKNOWN = 16


class WorkerLost(UqkitError):  # noqa: N818 - the event, not the program's fault
    """A task ended without a result: its worker died, or it could not be sent."""


def run_in_parallel[Result](
    submit: Callable[[slice], "Future[tuple[Result, float]]"],
    take: Callable[[slice, Result], None],
    n_items: int,
    *,
    n_workers: int | None,
    first_chunk: int,
    largest_chunk: int,
    label: str,
    progress: bool | None,
) -> None:
    """Send consecutive slices of `range(n_items)` to workers and take each result at once.

    Args:
        submit: Sends the items of a slice; the future gives their result and the seconds it took.
        take: Keeps a result, in the calling thread; what it raises stops the loop.
        n_items: How many items there are.
        n_workers: How many work at once, if known.
        first_chunk: Items a task before the first one came back.
        largest_chunk: Most items a task.
        label: What the progress bar counts.
        progress: Whether to show a bar on stderr; None shows it only on a terminal.

    Raises:
        WorkerLost: If a task ends without a result.
    """
    window = _TASKS_PER_WORKER * (n_workers or _WORKERS_IF_UNKNOWN)
    flying: dict[Future[Any], slice] = {}
    sent, chunk = 0, first_chunk
    with progress_bar(n_items, label, progress) as bar:
        try:
            while sent < n_items or flying:
                while sent < n_items and len(flying) < window:
                    # Near the end smaller tasks, so that all workers finish together.
                    share = math.ceil((n_items - sent) / window)
                    part = slice(sent, min(sent + max(1, min(chunk, share)), n_items))
                    flying[submit(part)] = part
                    sent = part.stop
                done, _ = wait(flying, return_when=FIRST_COMPLETED)
                # What is finished is taken before a lost task ends the loop.
                for future in sorted(done, key=lambda one: one.exception() is not None):
                    part = flying.pop(future)
                    error = future.exception()
                    if isinstance(error, UqkitError):
                        raise error
                    if error is not None:
                        raise WorkerLost(f"{type(error).__name__}: {error}") from error
                    result, seconds = future.result()
                    n_done = part.stop - part.start
                    chunk = min(largest_chunk, max(1, math.ceil(_WORTH_SENDING * n_done / max(seconds, 1e-6))))
                    take(part, result)
                    bar.update(n_done)
        finally:
            for future, part in flying.items():
                if not future.cancel() and future.done() and future.exception() is None:
                    take(part, future.result()[0])
