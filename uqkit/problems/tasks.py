"""Tasks of classification that come one after another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from uqkit._typing import PRNGKey
from uqkit.errors import InputError
from uqkit.keys import as_key

__all__ = ["Task", "TaskStream"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """One task: rows to learn from, and rows to be judged on.

    Attributes:
        name: In results and messages.
        inputs: Rows to learn from (point, input); kept in single precision.
        labels: Class of each, counted from 0.
        test_inputs: Rows to be judged on.
        test_labels: Class of each.
        columns: Order in which the columns of both are read, so that permuted tasks share one array; None as they are.
        classes: Classes that the task chooses between, where the learner is told so (a head a task); None for all.

    Raises:
        InputError: If arrays do not fit each other, hold what is not finite, or are empty.
    """

    name: str
    inputs: Any
    labels: Any
    test_inputs: Any
    test_labels: Any
    columns: Any = None
    classes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:  # noqa: D105
        if not isinstance(self.name, str) or not self.name:
            raise InputError(f"a task's `name` is {self.name!r}; pass a text, which labels results.")
        for part, label_part in (("inputs", "labels"), ("test_inputs", "test_labels")):
            object.__setattr__(self, part, _checked_inputs(self.name, part, getattr(self, part)))
            labels = _checked_labels(self.name, label_part, getattr(self, label_part), self.classes)
            object.__setattr__(self, label_part, labels)
            if len(labels) != len(getattr(self, part)):
                raise InputError(
                    f"task {self.name!r} has {len(getattr(self, part))} rows of `{part}` and {len(labels)} of "
                    f"`{label_part}`; pass one label a row."
                )
        if self.inputs.shape[1] != self.test_inputs.shape[1]:
            raise InputError(
                f"task {self.name!r} has {self.inputs.shape[1]} columns of `inputs` and {self.test_inputs.shape[1]} of "
                "`test_inputs`; pass the same."
            )
        if self.columns is not None:
            columns = np.asarray(self.columns)
            if not np.array_equal(np.sort(columns), np.arange(self.inputs.shape[1])):
                raise InputError(
                    f"`columns` of task {self.name!r} is no order of its {self.inputs.shape[1]} columns; pass each "
                    "number once."
                )
            object.__setattr__(self, "columns", columns)

    @property
    def n_inputs(self) -> int:
        """Number of columns."""
        return self.inputs.shape[1]

    def train(self) -> tuple[Float[np.ndarray, "point input"], Int[np.ndarray, " point"]]:
        """Rows to learn from and their classes, columns in the task's order."""
        return self._ordered(self.inputs), self.labels

    def test(self) -> tuple[Float[np.ndarray, "point input"], Int[np.ndarray, " point"]]:
        """Rows to be judged on and their classes, columns in the task's order."""
        return self._ordered(self.test_inputs), self.test_labels

    def _ordered(self, rows: Float[np.ndarray, "point input"]) -> Float[np.ndarray, "point input"]:
        return rows if self.columns is None else rows[:, self.columns]


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskStream:
    """Tasks in the order in which they are learned.

    Attributes:
        name: In results.
        tasks: In order.
        n_classes: Of all tasks together.

    Raises:
        InputError: If tasks do not fit each other; the message names the task.
    """

    name: str
    tasks: tuple[Task, ...]
    n_classes: int

    def __init__(self, *, name: str, tasks: Sequence[Task], n_classes: int) -> None:
        """See the class."""
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "tasks", tuple(tasks))
        object.__setattr__(self, "n_classes", n_classes)
        if not self.tasks or not all(isinstance(task, Task) for task in self.tasks):
            raise InputError(f"stream {name!r} has the tasks {self.tasks!r}; pass at least one uqkit.Task.")
        if not isinstance(n_classes, (int, np.integer)) or n_classes < 2:
            raise InputError(f"stream {name!r} has n_classes={n_classes}; pass 2 or more.")
        names = self.names
        for number, task in enumerate(self.tasks):
            check_fits(task, self.tasks[0].n_inputs, n_classes)
            if task.name in names[:number]:
                raise InputError(f"stream {name!r} has two tasks called {task.name!r}; give each its own name.")

    @property
    def names(self) -> list[str]:
        """Of the tasks, in order."""
        return [task.name for task in self.tasks]

    @property
    def n_inputs(self) -> int:
        """Number of columns."""
        return self.tasks[0].n_inputs

    def __repr__(self) -> str:
        """Name, tasks and sizes."""
        rows = ", ".join(str(n) for n in dict.fromkeys(len(task.labels) for task in self.tasks))
        return (
            f"TaskStream({self.name}, {len(self.tasks)} tasks of {rows} rows, {self.n_inputs} inputs, "
            f"{self.n_classes} classes)"
        )

    def validation(self, share: float = 0.2, *, key: PRNGKey) -> "TaskStream":
        """The stream for choosing settings: held-out training rows take the place of the test rows.

        Args:
            share: Of the training rows that are held out.
            key: Of the choice; the same rows of every task that has as many.
        """
        if not 0 < share < 1:
            raise InputError(f"share={share}: pass a part of the training rows, between 0 and 1.")
        tasks = []
        for task in self.tasks:
            order = np.asarray(jax.random.permutation(as_key(key), len(task.labels)))
            held = max(1, round(share * len(order)))
            out, kept = order[:held], order[held:]
            tasks.append(
                replace(
                    task,
                    inputs=task.inputs[kept],
                    labels=task.labels[kept],
                    test_inputs=task.inputs[out],
                    test_labels=task.labels[out],
                )
            )
        return TaskStream(name=f"{self.name}, validation", tasks=tasks, n_classes=self.n_classes)


def check_fits(task: Task, n_inputs: int, n_classes: int) -> None:
    """Raise an `InputError` that names the task, where it has another width or a class that is not there."""
    if task.n_inputs != n_inputs:
        raise InputError(
            f"task {task.name!r} has {task.n_inputs} inputs, but the first task has {n_inputs}; a network keeps its "
            "width: pad or project the inputs."
        )
    for part in ("labels", "test_labels"):
        labels = getattr(task, part)
        wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
        if len(wrong):
            raise InputError(
                f"`{part}` of task {task.name!r} has the class {labels[wrong[0]]} at row {wrong[0]}; pass classes 0 to "
                f"{n_classes - 1}, or a larger n_classes."
            )
    outside = [] if task.classes is None else [one for one in task.classes if not 0 <= one < n_classes]
    if outside:
        raise InputError(f"`classes` of task {task.name!r} has {outside[0]}; pass classes 0 to {n_classes - 1}.")


def _checked_inputs(name: str, part: str, given: Any) -> Float[np.ndarray, "point input"]:
    try:
        array = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"`{part}` of task {name!r} are no numbers ({error}); pass an array (point, input)."
        ) from error
    if array.ndim != 2:
        raise InputError(f"`{part}` of task {name!r} has the shape {array.shape}; pass an array (point, input).")
    if 0 in array.shape:
        raise InputError(f"`{part}` of task {name!r} is empty, of shape {array.shape}; leave the task out.")
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        raise InputError(
            f"`{part}` of task {name!r} is {array[row, column]} at row {row}, column {column}; leave the row out or "
            "fill it."
        )
    return array


def _checked_labels(name: str, part: str, given: Any, classes: tuple[int, ...] | None) -> Int[np.ndarray, " point"]:
    array = np.asarray(given)
    if array.ndim != 1 or array.dtype.kind not in "iuf" or np.any(array != np.floor(array)):
        raise InputError(
            f"`{part}` of task {name!r} is of {array.dtype} and shape {array.shape}; pass one whole number a row, the "
            "class."
        )
    array = array.astype(np.int32)
    if classes is not None:
        wrong = np.flatnonzero(~np.isin(array, classes))
        if len(wrong):
            raise InputError(
                f"`{part}` of task {name!r} has the class {array[wrong[0]]} at row {wrong[0]}, which is not among its "
                f"`classes` {tuple(classes)}."
            )
    return array
