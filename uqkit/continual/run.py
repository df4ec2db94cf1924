"""The shell of the workflow: learns a stream, judges the learner after every task, assembles the result."""

import time
import warnings
from pathlib import Path

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float

from uqkit._typing import PRNGKey
from uqkit.continual.decoders import CentralLimit, WeightDraws
from uqkit.continual.learner import Learner, begin
from uqkit.continual.methods import BinaryVariational, Method
from uqkit.continual.result import Judged, Passage, Run, assemble
from uqkit.continual.scores import calibration, scores
from uqkit.errors import InputError, StoreError, UqkitWarning
from uqkit.keys import as_key, key_label
from uqkit.problems.tasks import TaskStream

__all__ = ["learn"]

# Networks drawn from the posterior in the result, in each chain, and the rows of a task that they are judged on.
_N_CHAINS, _N_DRAWS, _N_ROWS = 4, 100, 250


def learn(
    stream: TaskStream,
    *,
    method: Method | None = None,
    key: PRNGKey,
    store: str | Path | None = None,
    progress: bool | None = None,
) -> xr.DataTree:
    """Learn tasks one after another, and judge the learner on every task after each.

    Args:
        stream: Tasks, in order.
        method: `BinaryVariational()` by default, or a baseline (`StraightThrough`, `Metaplasticity`, `ElasticWeights`,
            `PublishedRule`).
        key: A JAX key or an int; the same key gives the same numbers.
        store: Folder that keeps the training of each task after each epoch; the same call goes on from there.
        progress: Whether to show progress on stderr; None shows it only on a terminal.

    Returns:
        A tree with `estimates` over (task_trained, task_evaluated, decoder): `accuracy` with binomial errors,
        `log_score` (nats), `brier`, `expected_calibration_error`; over (task_trained, decoder) `average_accuracy` of
        the tasks seen; over (decoder) `learning_accuracy`, `backward_transfer`, `forward_transfer`, `forgetting`.
        `variational` has the fields of the last posterior and of its prior, `posterior` the accuracies of networks
        drawn from it, `optimisation` the losses, and `diagnostics` a verdict with what each task did to the weights.

    Raises:
        InputError: If something cannot be used; before training starts.
        DivergedError: If weights are no longer finite; the message names task and steps.
        RunInterrupted: On Ctrl-C; finished epochs are in the store.

    Warns:
        UqkitWarning: If a task was not learned, or a posterior collapsed to its prior or saturated.

    Reference:
        Li, Huang, Zou & Huang (2023), Physical Review E 108, 014309; transfers as in Lopez-Paz & Ranzato (2017),
        Gradient episodic memory, NeurIPS.
    """
    started = time.perf_counter()
    method = BinaryVariational() if method is None else method
    if not isinstance(stream, TaskStream):
        raise InputError(f"`stream` is a {type(stream).__name__}; pass a uqkit.TaskStream.")
    if not isinstance(method, Method):
        raise InputError(f"`method` is {method!r}; pass BinaryVariational() or a baseline of uqkit.continual.")
    typed = as_key(key)
    folder = None if store is None else _folder(Path(store))
    start_key, *task_keys = jax.random.split(typed, len(stream.tasks) + 1)
    learner = begin(stream.tasks[0], n_classes=stream.n_classes, method=method, key=start_key)
    fresh = _judged(learner, stream, start_key)
    passages: list[Passage] = []
    for number, (task, task_key) in enumerate(zip(stream.tasks, task_keys, strict=True)):
        training_key, judging_key = jax.random.split(task_key)
        place = None if folder is None else folder / f"task_{number}.npz"
        before = learner
        learner, found = learner.trained(task, key=training_key, store=place, progress=progress)
        passages.append(
            Passage(
                before=[np.asarray(weight) for weight in before.state.weights],
                after=[np.asarray(weight) for weight in learner.state.weights],
                loss=np.asarray(found.outputs),
                judged=_judged(learner, stream, judging_key),
            )
        )
    result = assemble(
        Run(
            stream=stream,
            learner=learner,
            fresh=fresh,
            passages=passages,
            calibration=_calibrations(learner, stream, typed),
            drawn=_drawn(learner, stream, typed),
        ),
        key_text=key_label(typed),
        started=started,
    )
    diagnostics = result["diagnostics"].to_dataset()
    if diagnostics["verdict"].item() != "ok":
        warnings.warn(str(diagnostics["verdict_text"].item()), UqkitWarning, stacklevel=2)
    return result


def _judged(learner: Learner, stream: TaskStream, key: jax.Array) -> list[list[Judged]]:
    """By task and decoder."""
    found = []
    for task in stream.tasks:
        x, label = task.test()
        row = []
        for decoder in learner.decoders():
            probability = learner.predict(x, decoder=decoder, classes=task.classes, key=key)
            row.append(Judged(scores(probability, label), probability.argmax(axis=1) == label))
        found.append(row)
    return found


def _calibrations(
    learner: Learner, stream: TaskStream, key: jax.Array
) -> Float[np.ndarray, "quantity task decoder bin"]:
    found = []
    for task in stream.tasks:
        x, label = task.test()
        found.append(
            [
                calibration(learner.predict(x, decoder=decoder, classes=task.classes, key=key), label)
                for decoder in learner.decoders()
            ]
        )
    return np.moveaxis(np.array(found), 2, 0)


def _drawn(learner: Learner, stream: TaskStream, key: jax.Array) -> Float[np.ndarray, "chain draw task"] | None:
    """Accuracy of networks drawn from the posterior."""
    if not isinstance(learner.decoders()[0], CentralLimit):
        return None
    found = []
    for task in stream.tasks:
        x, label = (rows[:_N_ROWS] for rows in task.test())
        decoder = WeightDraws(n_draws=_N_CHAINS * _N_DRAWS)
        probability = learner.member_probabilities(x, decoder=decoder, classes=task.classes, key=key)
        found.append((probability.argmax(axis=2) == label).mean(axis=1))
    return np.stack(found, axis=-1).reshape(_N_CHAINS, _N_DRAWS, -1)


def _folder(path: Path) -> Path:
    if path.exists() and not path.is_dir():
        raise StoreError(f"the store {str(path)!r} is a file; pass a folder, which keeps one file a task.")
    if not path.absolute().parent.is_dir():
        raise StoreError(f"the folder of the store {str(path)!r} does not exist; create it first.")
    path.mkdir(exist_ok=True)
    return path
