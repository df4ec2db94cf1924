"""Handwritten digits, 8 x 8, whose pixels every task permutes anew.

The first task has the pixels as they are. All tasks share rows and classes.

Source: the test part of the Optical Recognition of Handwritten Digits set, UCI Machine Learning Repository (Alpaydin &
Kaynak 1998), as scikit-learn carries it.
"""

import importlib

import jax
import numpy as np

from uqkit.errors import InputError
from uqkit.problems import Task, TaskStream


def make(*, n_tasks: int = 5, key: int = 0) -> TaskStream:
    """Permuted digits; the key draws the permutations and which quarter of the rows is for testing."""
    inputs, labels = rows()
    split_key, *keys = jax.random.split(jax.random.key(key), n_tasks)
    order = np.asarray(jax.random.permutation(split_key, len(labels)))
    test, train = order[: len(order) // 4], order[len(order) // 4 :]
    columns = [None, *(np.asarray(jax.random.permutation(one, inputs.shape[1])) for one in keys)]
    tasks = [
        Task(
            name=f"permutation {number}",
            inputs=inputs[train],
            labels=labels[train],
            test_inputs=inputs[test],
            test_labels=labels[test],
            columns=one,
        )
        for number, one in enumerate(columns)
    ]
    return TaskStream(name="permuted_digits", tasks=tasks, n_classes=10)


def rows() -> tuple[np.ndarray, np.ndarray]:
    """All 1,797 digits, and what they are."""
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ModuleNotFoundError as error:
        raise InputError(
            "the digits come with scikit-learn, which is not installed: pip install scikit-learn."
        ) from error
    digits = datasets.load_digits()
    return digits.data, digits.target
