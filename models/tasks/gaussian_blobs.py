"""Two classes of Gaussian points in the plane, at places that turn from task to task.

Task t has its classes at +-2 (cos a, sin a), a = 2 pi t / n_tasks / 4, with covariance identity: the best boundary
turns by up to a quarter circle over the stream, and the best accuracy is Phi(2) = 0.977 in every task.

Source: uqkit; a stream small enough to look at.
"""

import jax
import numpy as np

from uqkit.problems import Task, TaskStream


def make(*, n_tasks: int = 4, n_train: int = 512, n_test: int = 1_000, key: int = 0) -> TaskStream:
    """Gaussian blobs; the key draws the points."""
    tasks = []
    for number, one in enumerate(jax.random.split(jax.random.key(key), n_tasks)):
        angle = 0.5 * np.pi * number / n_tasks
        place = 2 * np.array([np.cos(angle), np.sin(angle)])
        label_key, point_key = jax.random.split(one)
        n = n_train + n_test
        labels = np.asarray(jax.random.bernoulli(label_key, shape=(n,))).astype(np.int32)
        points = np.asarray(jax.random.normal(point_key, (n, 2))) + (2 * labels[:, None] - 1) * place
        tasks.append(
            Task(
                name=f"angle {np.degrees(angle):.0f}",
                inputs=points[:n_train],
                labels=labels[:n_train],
                test_inputs=points[n_train:],
                test_labels=labels[n_train:],
            )
        )
    return TaskStream(name="gaussian_blobs", tasks=tasks, n_classes=2)


problem = make()
