"""Handwritten digits, two classes a task: 0 or 1, 2 or 3, and so on.

With a head a task the learner is told which two classes a row is of. With one head it is not: each new task then
teaches that nothing is ever an old digit, and every method without replay forgets them all; that is here to be seen.

Source: the test part of the Optical Recognition of Handwritten Digits set, UCI Machine Learning Repository (Alpaydin &
Kaynak 1998), as scikit-learn carries it.
"""

import importlib

import jax
import numpy as np

from uqkit.errors import InputError
from uqkit.problems import Task, TaskStream


def make(*, a_head_a_task: bool = True, key: int = 0) -> TaskStream:
    """Split digits; the key draws which quarter of the rows is for testing."""
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ModuleNotFoundError as error:
        raise InputError(
            "the digits come with scikit-learn, which is not installed: pip install scikit-learn."
        ) from error
    digits = datasets.load_digits()
    inputs, labels = digits.data, digits.target
    order = np.asarray(jax.random.permutation(jax.random.key(key), len(labels)))
    test, train = order[: len(order) // 4], order[len(order) // 4 :]
    tasks = []
    for first in range(0, 10, 2):
        pair = (first, first + 1)
        mine, judged = (rows[np.isin(labels[rows], pair)] for rows in (train, test))
        tasks.append(
            Task(
                name=f"{first} or {first + 1}",
                inputs=inputs[mine],
                labels=labels[mine],
                test_inputs=inputs[judged],
                test_labels=labels[judged],
                classes=pair if a_head_a_task else None,
            )
        )
    return TaskStream(name="split_digits", tasks=tasks, n_classes=10)
