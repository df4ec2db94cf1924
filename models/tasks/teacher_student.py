"""Labels of binary perceptrons: a teacher of signs a task, on random inputs.

    y = sign(sum_i W_i x_i),   W_i = -1 or +1,   x_i = -1 or +1

Each teacher but the first agrees with the first one in (1 + similarity) / 2 of its weights. The number of inputs is
odd, so that no sum is zero.

Source: Gyorgyi (1990), First-order transition to perfect generalization in a neural network with binary synapses,
Physical Review A 41, 7097; as a stream, Li, Huang, Zou & Huang (2023), Physical Review E 108, 014309.
"""

import jax
import numpy as np

from uqkit.errors import InputError
from uqkit.problems import Task, TaskStream


def make(
    *,
    n_tasks: int = 2,
    n_inputs: int = 201,
    load: float = 2.0,
    similarity: float = 0.0,
    n_test: int = 2_000,
    key: int = 0,
) -> TaskStream:
    """Teacher and student.

    Args:
        n_tasks: Teachers.
        n_inputs: N, odd.
        load: Rows to learn from, over N.
        similarity: Overlap of every later teacher with the first, from -1 to 1.
        n_test: Rows to be judged on.
        key: Of teachers and inputs.
    """
    if n_inputs % 2 == 0 or not -1 <= similarity <= 1 or load <= 0:
        raise InputError(
            f"n_inputs={n_inputs}, similarity={similarity}, load={load}: pass an odd number, a similarity from -1 to 1 "
            "and a load above zero."
        )
    teacher_key, *keys = jax.random.split(jax.random.key(key), n_tasks + 1)
    first = _signs(teacher_key, (n_inputs,))
    n_train = round(load * n_inputs)
    tasks = []
    for number, one in enumerate(keys):
        agree_key, input_key = jax.random.split(one)
        agree = np.asarray(jax.random.bernoulli(agree_key, (1 + similarity) / 2, (n_inputs,)))
        teacher = first if number == 0 else np.where(agree, first, -first)
        inputs = _signs(input_key, (n_train + n_test, n_inputs))
        labels = (inputs @ teacher > 0).astype(np.int32)
        tasks.append(
            Task(
                name=f"teacher {number}",
                inputs=inputs[:n_train],
                labels=labels[:n_train],
                test_inputs=inputs[n_train:],
                test_labels=labels[n_train:],
            )
        )
    return TaskStream(name="teacher_student", tasks=tasks, n_classes=2)


def _signs(key: jax.Array, shape: tuple[int, ...]) -> np.ndarray:
    return 2 * np.asarray(jax.random.bernoulli(key, shape=shape)).astype(np.float32) - 1


problem = make()
