"""A loop over many items in chunks: progress between them, nothing finished lost when it stops."""

import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

from tqdm.auto import tqdm

__all__ = ["progress_bar", "run_in_chunks"]


def run_in_chunks(
    step: Callable[[slice], None], n_items: int, *, chunk_size: int, label: str, progress: bool | None
) -> None:
    """Call `step` on consecutive slices of `range(n_items)`.

    A step makes its own work durable before it returns (that is the checkpoint), so that an exception in a later
    step, Ctrl-C among them, costs at most the chunk in hand.

    Args:
        step: Does the items of one slice and keeps what it did.
        n_items: How many items there are.
        chunk_size: Items a call; the last may have fewer.
        label: What the progress bar counts.
        progress: Whether to show a bar on stderr; None shows it only on a terminal.
    """
    with progress_bar(n_items, label, progress) as bar:
        for chunk in _slices(n_items, chunk_size):
            step(chunk)
            bar.update(chunk.stop - chunk.start)


def progress_bar(n_items: int, label: str, progress: bool | None) -> "tqdm[NoReturn]":
    """A bar on stderr: shown on a terminal, or as told."""
    shown = sys.stderr.isatty() if progress is None else progress
    return tqdm(total=n_items, desc=label, disable=not shown, leave=False)


def _slices(n_items: int, chunk_size: int) -> Iterator[slice]:
    for start in range(0, n_items, chunk_size):
        yield slice(start, min(start + chunk_size, n_items))
