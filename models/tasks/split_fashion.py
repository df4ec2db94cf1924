"""Fashion-MNIST, two kinds of clothing a task.

With a head a task the learner is told which two kinds a picture is of. With one head it is not, and every method
without replay forgets the old kinds; that is here to be seen.

Source: Xiao, Rasul & Vollgraf (2017), Fashion-MNIST, arXiv 1708.07747 (MIT licence), as Debian and Ubuntu package it:
apt install dataset-fashion-mnist.
"""

import gzip
from pathlib import Path

import numpy as np

from uqkit.errors import InputError
from uqkit.problems import Task, TaskStream

FOLDER = "/usr/share/datasets/fashion-mnist"
KINDS = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def make(*, a_head_a_task: bool = True, n_train: int = 60_000, folder: str = FOLDER) -> TaskStream:
    """Split Fashion-MNIST.

    Args:
        a_head_a_task: Whether each task chooses between its own two kinds alone.
        n_train: Pictures to learn from in all tasks together, the first ones.
        folder: Where the four files *-ubyte.gz are.
    """
    inputs, labels = (one[:n_train] for one in _rows(folder, "train"))
    test_inputs, test_labels = _rows(folder, "t10k")
    tasks = []
    for first in range(0, 10, 2):
        pair = (first, first + 1)
        mine, judged = np.isin(labels, pair), np.isin(test_labels, pair)
        tasks.append(
            Task(
                name=f"{KINDS[first]} or {KINDS[first + 1]}",
                inputs=inputs[mine],
                labels=labels[mine],
                test_inputs=test_inputs[judged],
                test_labels=test_labels[judged],
                classes=pair if a_head_a_task else None,
            )
        )
    return TaskStream(name="split_fashion", tasks=tasks, n_classes=10)


def _rows(folder: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    found = []
    for kind, header in ((f"{part}-images-idx3", 16), (f"{part}-labels-idx1", 8)):
        path = Path(folder) / f"{kind}-ubyte.gz"
        if not path.is_file():
            raise InputError(
                f"no Fashion-MNIST at {str(path)!r}: on Debian and Ubuntu `apt install dataset-fashion-mnist`; or pass "
                "the folder of its four files *-ubyte.gz as folder=."
            )
        with gzip.open(path) as file:
            found.append(np.frombuffer(file.read(), np.uint8, offset=header))
    return found[0].reshape(len(found[1]), -1).astype(np.float32), found[1].astype(np.int32)
