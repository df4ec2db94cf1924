"""Theory and simulation of teacher and student as results, in the terms of a learner's."""

import time
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy import stats

from uqkit._typing import PRNGKey
from uqkit.continual.result import matrix_variables
from uqkit.continual.teacher_student import simulate, state_evolution
from uqkit.errors import InputError
from uqkit.keys import as_key, key_label
from uqkit.results import Provenance, build, schema

__all__ = ["predict_teacher_student", "simulate_teacher_student"]

# The posterior's mean is what averages over passes estimate.
_DECODERS = ("central_limit", "sign")
_MATRIX = (schema.TASK_TRAINED, schema.TASK_EVALUATED, schema.DECODER)


def predict_teacher_student(
    loads: tuple[float, ...],
    *,
    strength: float | tuple[float, ...] = 1.0,
    memory: float = 1.0,
    similarity: float = 0.0,
) -> xr.DataTree:
    """The accuracy of a perceptron with a posterior over signs on every task after every task, by mean-field theory.

    Args:
        loads: Rows over weights, of each task.
        strength: Of the divergence from the last posterior, for all tasks or for each.
        memory: Factor on that posterior's fields.
        similarity: Overlap of every later teacher with the first.

    Returns:
        A tree with `estimates` as those of `learn` (`accuracy` of the posterior's mean and of its signs, for infinitely
        many weights) and `theory`, the order parameters.

    Raises:
        InputError: If an argument is out of range.
        NotConvergedError: Where the theory has no solution that it vouches for.

    Reference:
        `uqkit.continual.teacher_student.state_evolution`.
    """
    started = time.perf_counter()
    found = state_evolution(loads, strength=strength, memory=memory, similarity=similarity)
    exact = np.stack([found.accuracy, found.sign_accuracy], axis=-1)
    values = np.stack([exact, np.zeros_like(exact), exact, exact])
    dims = (schema.TASK_TRAINED,)
    matrix = (schema.TASK_TRAINED, schema.TASK_EVALUATED)
    theory: dict[str, Any] = {
        schema.OVERLAP: (matrix, found.overlap, "R, mean of a teacher's sign times the magnetisation"),
        schema.SELF_OVERLAP: (dims, found.self_overlap, "Q, mean square magnetisation"),
        schema.SUSCEPTIBILITY: (dims, found.susceptibility, "chi, response of a magnetisation to its field"),
        schema.STABILITY: (dims, found.stability, "stability number, below 1 where replica symmetry holds"),
        schema.FREE_ENERGY: (dims, found.free_energy, "loss and strength times divergence, a weight"),
    }
    group = xr.Dataset(
        {
            name: (where, part, {"units": "nat" if name == schema.FREE_ENERGY else "1", "long_name": text})
            for name, (where, part, text) in theory.items()
        }
    )
    settings = {"loads": list(loads), "strength": strength, "memory": memory, "similarity": similarity}
    return _result(values, {schema.THEORY: group}, "theory", settings, "none", 0, started)


def simulate_teacher_student(
    loads: tuple[float, ...],
    *,
    strength: float | tuple[float, ...] = 1.0,
    memory: float = 1.0,
    similarity: float = 0.0,
    n_inputs: int = 1_001,
    n_seeds: int = 8,
    key: PRNGKey,
) -> xr.DataTree:
    """The same by gradient descent on finite perceptrons, with errors from seeds.

    Args:
        loads: As in `predict_teacher_student`.
        strength: As there.
        memory: As there.
        similarity: As there.
        n_inputs: Weights of the perceptron, odd.
        n_seeds: Independent teachers and rows, at least 2 for an error.
        key: A JAX key or an int.
    """
    started = time.perf_counter()
    if n_seeds < 2:
        raise InputError(f"n_seeds={n_seeds}: pass at least 2; errors come from how seeds differ.")
    found = simulate(
        loads,
        strength=strength,
        memory=memory,
        similarity=similarity,
        n_inputs=n_inputs,
        n_seeds=n_seeds,
        key=key,
    )
    each = np.stack([found.accuracy, found.sign_accuracy], axis=-1)
    mean, error = each.mean(axis=0), each.std(axis=0, ddof=1) / np.sqrt(n_seeds)
    half = stats.t.ppf(0.975, n_seeds - 1) * error
    values = np.stack([mean, error, mean - half, mean + half])
    dims = (schema.CHAIN, schema.TASK_TRAINED)
    group = xr.Dataset(
        {
            schema.OVERLAP: (
                (*dims, schema.TASK_EVALUATED),
                found.overlap,
                {"units": "1", "long_name": "R, mean of a teacher's sign times the magnetisation"},
            ),
            schema.SELF_OVERLAP: (
                dims,
                found.self_overlap,
                {"units": "1", "long_name": "Q, mean square magnetisation"},
            ),
        },
        {schema.CHAIN: np.arange(n_seeds)},
    )
    settings = {
        "loads": list(loads),
        "strength": strength,
        "memory": memory,
        "similarity": similarity,
        "n_inputs": n_inputs,
        "n_seeds": n_seeds,
    }
    rows = n_seeds * sum(round(load * n_inputs) for load in loads)
    return _result(values, {schema.THEORY: group}, "simulation", settings, key_label(as_key(key)), rows, started)


def _result(
    values: Float[np.ndarray, "four task_trained task_evaluated decoder"],
    groups: dict[str, xr.Dataset],
    kind: str,
    settings: dict[str, Any],
    key_text: str,
    n_rows: int,
    started: float,
) -> xr.DataTree:
    names = [f"teacher {number}" for number in range(values.shape[1])]
    coords = {schema.TASK_TRAINED: names, schema.TASK_EVALUATED: names}
    text = "accuracy on new rows" + (" of infinitely many weights" if kind == "theory" else "")
    estimates = xr.Dataset(
        matrix_variables(schema.ACCURACY, _MATRIX, values, "1", text), coords | {schema.DECODER: list(_DECODERS)}
    )
    labelled = {
        name: group.assign_coords({d: coords[d] for d in coords if d in group.dims}) for name, group in groups.items()
    }
    provenance = Provenance(
        workflow="continual",
        problem=f"teacher and student, {kind}",
        method={"method": kind, **settings},
        key=key_text,
        n_model_evaluations=n_rows,
        wall_time=time.perf_counter() - started,
    )
    return build({schema.ESTIMATES: estimates, **labelled}, provenance)
