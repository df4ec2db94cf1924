"""Fashion-MNIST, whose pixels every task permutes anew.

60,000 pictures to learn from and 10,000 to be judged on, 28 x 28, ten kinds of clothing. The first task has the pixels
as they are; all tasks share rows and classes.

Source: Xiao, Rasul & Vollgraf (2017), Fashion-MNIST, arXiv 1708.07747 (MIT licence), as Debian and Ubuntu package it:
apt install dataset-fashion-mnist.
"""

import gzip
from pathlib import Path

import jax
import numpy as np

from uqkit.errors import InputError
from uqkit.problems import Task, TaskStream

FOLDER = "/usr/share/datasets/fashion-mnist"


def make(
    *, n_tasks: int = 5, n_train: int = 20_000, n_test: int = 10_000, folder: str = FOLDER, key: int = 0
) -> TaskStream:
    """Permuted Fashion-MNIST.

    Args:
        n_tasks: Permutations.
        n_train: Pictures to learn from, the first ones.
        n_test: Pictures to be judged on, the first ones.
        folder: Where the four files *-ubyte.gz are.
        key: Of the permutations.
    """
    inputs, labels = rows(folder, "train")
    test_inputs, test_labels = rows(folder, "t10k")
    keys = jax.random.split(jax.random.key(key), max(n_tasks - 1, 1))[: n_tasks - 1]
    columns = [None, *(np.asarray(jax.random.permutation(one, inputs.shape[1])) for one in keys)]
    tasks = [
        Task(
            name=f"permutation {number}",
            inputs=inputs[:n_train],
            labels=labels[:n_train],
            test_inputs=test_inputs[:n_test],
            test_labels=test_labels[:n_test],
            columns=one,
        )
        for number, one in enumerate(columns)
    ]
    return TaskStream(name="permuted_fashion", tasks=tasks, n_classes=10)


def rows(folder: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures as rows of numbers from 0 to 255, and their kinds: part "train" or "t10k"."""
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
