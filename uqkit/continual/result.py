"""What was learned as a labelled result, and a result as a learner that goes on."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from uqkit.continual import baselines
from uqkit.continual.binary_weights import kl_of_fields, variance
from uqkit.continual.diagnose import verdict
from uqkit.continual.learner import Learner, Scaling
from uqkit.continual.methods import BinaryVariational, State
from uqkit.continual.network import Layers, shapes
from uqkit.continual.scores import PROBABILITY, Score, mean_of_rows
from uqkit.errors import InputError
from uqkit.problems.tasks import TaskStream
from uqkit.results import Provenance, as_record, build, from_record, schema

__all__ = ["Judged", "Passage", "Run", "assemble", "matrix_variables", "restore"]

_METHODS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        BinaryVariational,
        baselines.ElasticWeights,
        baselines.Metaplasticity,
        baselines.PublishedRule,
        baselines.StraightThrough,
    )
}
_Z = 1.959963984540054


@dataclass(frozen=True)
class Judged:
    """One decoder's predictions on one task.

    Attributes:
        scores: By name.
        correct: Whether each test row's likeliest class is its own.
    """

    scores: dict[str, Score]
    correct: Bool[np.ndarray, " point"]


@dataclass(frozen=True, kw_only=True)
class Passage:
    """One task's training.

    Attributes:
        before: Fields or weights of each layer before it.
        after: And after.
        loss: Log loss of each step's batch.
        judged: By task and decoder, after it.
    """

    before: list[np.ndarray]
    after: list[np.ndarray]
    loss: Float[np.ndarray, " step"]
    judged: list[list[Judged]]


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that a finished run has.

    Attributes:
        stream: What was learned.
        learner: After the last task.
        fresh: Judgements before the first task.
        passages: Of each task.
        calibration: Share of rows, confidence, accuracy in bins, after the last task.
        drawn: Accuracy of networks drawn from the posterior, or None.
    """

    stream: TaskStream
    learner: Learner
    fresh: list[list[Judged]]
    passages: list[Passage]
    calibration: Float[np.ndarray, "quantity task decoder bin"]
    drawn: Float[np.ndarray, "chain draw task"] | None


def assemble(run: Run, *, key_text: str, started: float) -> xr.DataTree:
    """The result of `learn`."""
    names = run.stream.names
    groups = {
        schema.ESTIMATES: _estimates(run),
        schema.VARIATIONAL: _variational(run.learner),
        schema.OPTIMISATION: _losses(run),
        schema.DIAGNOSTICS: _diagnostics(run),
    }
    if run.drawn is not None:
        n_chains, n_draws, _ = run.drawn.shape
        attributes = {
            "units": "1",
            "long_name": "accuracy of a network drawn from the posterior, on the first test rows",
        }
        groups[schema.POSTERIOR] = xr.Dataset(
            {schema.ACCURACY: ((schema.CHAIN, schema.DRAW, schema.TASK_EVALUATED), run.drawn, attributes)},
            {
                schema.CHAIN: np.arange(n_chains),
                schema.DRAW: np.arange(n_draws),
                schema.TASK_EVALUATED: names,
            },
            {schema.INDEPENDENT_DRAWS: 1},
        )
    learner = run.learner
    provenance = Provenance(
        workflow="continual",
        problem=run.stream.name,
        method={
            "method": as_record(learner.method),
            "scaling": as_record(learner.scaling),
            "n_inputs": learner.n_inputs,
            "n_classes": learner.n_classes,
            "tasks": list(learner.tasks),
        },
        key=key_text,
        n_model_evaluations=sum(len(p.loss) * min(learner.method.batch_size, len(t.labels)) for p, t in _pairs(run)),
        wall_time=time.perf_counter() - started,
    )
    return build(groups, provenance)


def _pairs(run: Run) -> zip:
    return zip(run.passages, run.stream.tasks, strict=True)


def _estimates(run: Run) -> xr.Dataset:
    names, decoders = run.stream.names, list(run.learner.method.decoders)
    kinds = {
        schema.ACCURACY: ("accuracy on test rows", "1"),
        schema.LOG_SCORE: ("mean log probability of the right class", "nat"),
        schema.BRIER: ("Brier score, summed over classes", "1"),
        schema.CALIBRATION_ERROR: ("expected calibration error", "1"),
    }
    variables: dict[str, Any] = {}
    for name, (text, units) in kinds.items():
        values = np.array([[[one.scores[name] for one in row] for row in p.judged] for p in run.passages])
        dims = (schema.TASK_TRAINED, schema.TASK_EVALUATED, schema.DECODER)
        variables |= matrix_variables(name, dims, np.moveaxis(values, -1, 0), units, text)
    correct = [[[one.correct for one in row] for row in p.judged] for p in run.passages]
    fresh = [[one.correct for one in row] for row in run.fresh]
    for name, (dims, values, text) in _summaries(correct, fresh, len(decoders)).items():
        variables |= matrix_variables(name, dims, values, "1", text)
    for name, values, text in zip(
        (schema.BIN_SHARE, schema.BIN_CONFIDENCE, schema.BIN_ACCURACY),
        run.calibration,
        ("share of test rows whose confidence lies in the bin", "their mean confidence", "their accuracy"),
        strict=True,
    ):
        variables |= _with_binomial(name, values, run, text)
    return xr.Dataset(variables, {schema.TASK_TRAINED: names, schema.TASK_EVALUATED: names, schema.DECODER: decoders})


def matrix_variables(
    name: str, dims: tuple[str, ...], values: Float[np.ndarray, "four ..."], units: str, text: str
) -> dict[str, Any]:
    """Value, standard error and interval along the first axis, as variables."""
    interval = {schema.PROBABILITY: PROBABILITY, schema.INTERVAL_KIND: "over test rows"}
    ends = (name, schema.standard_error(name), schema.lower(name), schema.upper(name))
    return {
        end: (dims, part, {"units": units, "long_name": text} | (interval if place > 1 else {}))
        for place, (end, part) in enumerate(zip(ends, values, strict=True))
    }


def _with_binomial(name: str, values: Float[np.ndarray, "task decoder bin"], run: Run, text: str) -> dict[str, Any]:
    n = np.array([len(task.test_labels) for task in run.stream.tasks])[:, None, None]
    rows = n if name == schema.BIN_SHARE else np.maximum(n * run.calibration[0], 1)
    error = np.sqrt(np.clip(values * (1 - values), 0, None) / rows)
    whole = np.array([values, error, np.clip(values - _Z * error, 0, 1), np.clip(values + _Z * error, 0, 1)])
    return matrix_variables(
        name, (schema.TASK_EVALUATED, schema.DECODER, schema.CONFIDENCE_BIN), whole, "1", f"{text}, after the last task"
    )


def _summaries(correct: list[Any], fresh: list[Any], n_decoders: int) -> dict[str, tuple[tuple[str, ...], Any, str]]:
    """Means over tasks of differences of correctness that are paired by test row.

    Tasks may share their test rows, as permuted ones do: the error of a mean over tasks is taken as if they moved
    together, the mean of their errors, which is never too small.
    """
    n = len(correct)

    def mean_over(rows: Sequence[np.ndarray]) -> Score:
        each = [mean_of_rows(row.astype(float)) for row in rows]
        value, error = float(np.mean([e.value for e in each])), float(np.mean([e.standard_error for e in each]))
        return Score(value, error, value - _Z * error, value + _Z * error)

    def stacked(one: Any) -> Float[np.ndarray, "four decoder"]:
        return np.array([one(d) for d in range(n_decoders)]).T

    average = [stacked(lambda d, t=t: mean_over([correct[t][s][d] for s in range(t + 1)])) for t in range(n)]
    found: dict[str, tuple[tuple[str, ...], Any, str]] = {
        schema.AVERAGE_ACCURACY: (
            (schema.TASK_TRAINED, schema.DECODER),
            np.stack(average, axis=1),
            "mean accuracy on the tasks seen so far",
        ),
        schema.LEARNING_ACCURACY: (
            (schema.DECODER,),
            stacked(lambda d: mean_over([correct[t][t][d] for t in range(n)])),
            "mean accuracy on each task right after it",
        ),
    }
    if n == 1:
        return found

    def signed(after: np.ndarray, before: np.ndarray) -> np.ndarray:
        return after.astype(float) - before

    def lost(d: int) -> list[np.ndarray]:
        best = [max((correct[t][s][d] for t in range(s, n)), key=np.mean) for s in range(n - 1)]
        return [signed(best[s], correct[-1][s][d]) for s in range(n - 1)]

    late = {
        schema.BACKWARD_TRANSFER: (
            lambda d: mean_over([signed(correct[-1][s][d], correct[s][s][d]) for s in range(n - 1)]),
            "mean change of accuracy from right after a task to the end; negative is forgetting",
        ),
        schema.FORWARD_TRANSFER: (
            lambda d: mean_over([signed(correct[s - 1][s][d], fresh[s][d]) for s in range(1, n)]),
            "mean accuracy on a task before it is learned, over that of the untrained network",
        ),
        schema.FORGETTING: (
            lambda d: mean_over(lost(d)),
            "mean fall of accuracy from its best to the end",
        ),
    }
    return found | {name: ((schema.DECODER,), stacked(one), text) for name, (one, text) in late.items()}


def _variational(learner: Learner) -> xr.Dataset:
    layers = [np.asarray(weight) for weight in learner.state.weights]
    dims = (schema.NETWORK_WEIGHT,)
    variational = isinstance(learner.method, (BinaryVariational, baselines.PublishedRule))
    text = "field of each weight's law" if variational else "weight, or the hidden number whose sign it is"
    variables: dict[str, Any] = {schema.WEIGHT_FIELD: (dims, _flat(layers), {"units": "1", "long_name": text})}
    if variational:
        read = [np.tanh(np.asarray(field)) for field in learner.method.readout(learner.state.weights)]
        variables[schema.MAGNETISATION] = (dims, _flat(read), {"units": "1", "long_name": "mean of each weight"})
    for name, memory in learner.state.memory.items():
        attributes = {"units": "1", "long_name": f"what the learner remembers: {name.replace('_', ' ')}"}
        if name == schema.PRIOR_FIELD:
            variables[name] = (dims, _flat(memory), attributes | {"long_name": "field of the next task's prior"})
        elif memory[0].size == 1:
            variables[f"{schema.MEMORY}_{name}"] = ((), np.asarray(memory[0]).item(), attributes)
        else:
            variables[f"{schema.MEMORY}_{name}"] = (dims, _flat(memory), attributes)
    place = np.concatenate([np.full(layer.size, number) for number, layer in enumerate(layers)])
    return xr.Dataset(variables, {schema.LAYER: (dims, place, {"units": "1", "long_name": "layer of the weight"})})


def _flat(layers: Sequence[Any]) -> Float[np.ndarray, " weight"]:
    return np.concatenate([np.asarray(layer).ravel() for layer in layers])


def _losses(run: Run) -> xr.Dataset:
    n_steps = max(len(passage.loss) for passage in run.passages)
    # Tasks with fewer rows have fewer steps; NaN fills the rest.
    loss = np.full((len(run.passages), n_steps), np.nan)
    for number, passage in enumerate(run.passages):
        loss[number, : len(passage.loss)] = passage.loss
    return xr.Dataset(
        {
            schema.LOSS: (
                (schema.TASK_TRAINED, schema.STEP),
                loss,
                {"units": "nat", "long_name": "mean log loss of the step's batch"},
            )
        },
        {schema.TASK_TRAINED: run.stream.names, schema.STEP: np.arange(n_steps)},
    )


def _diagnostics(run: Run) -> xr.Dataset:
    learner, names = run.learner, run.stream.names
    dims = (schema.TASK_TRAINED, schema.NETWORK_LAYER)
    variables: dict[str, Any] = {}
    spread = None
    if isinstance(learner.method, BinaryVariational):
        after = [[jnp.asarray(layer) for layer in p.after] for p in run.passages]
        before = [[jnp.zeros_like(layer) for layer in after[0]], *after[:-1]]
        spread = np.array([[float(variance(layer).mean()) for layer in row] for row in after])
        information = [
            [float(kl_of_fields(new, learner.method.memory * old).sum()) for new, old in zip(*pair, strict=True)]
            for pair in zip(after, before, strict=True)
        ]
        entropy = [[float(_entropy(layer).mean()) for layer in row] for row in after]
        variables |= {
            schema.MEAN_VARIANCE: (dims, spread, {"units": "1", "long_name": "mean of 1 - m^2 after the task"}),
            schema.KL_TO_PREVIOUS: (
                dims,
                np.array(information),
                {"units": "nat", "long_name": "divergence of the posterior from the task's prior, what it taught"},
            ),
            schema.ENTROPY_PER_WEIGHT: (
                dims,
                np.array(entropy),
                {"units": "nat", "long_name": "entropy a weight after the task, log 2 at most"},
            ),
        }
    flips = [[int(((a >= 0) != (b >= 0)).sum()) for a, b in zip(p.before, p.after, strict=True)] for p in run.passages]
    travel = [[float(np.abs(b - a).mean()) for a, b in zip(p.before, p.after, strict=True)] for p in run.passages]
    variables |= {
        schema.N_FLIPS: (dims, np.array(flips), {"units": "1", "long_name": "weights whose sign the task changed"}),
        schema.FIELD_TRAVEL: (
            dims,
            np.array(travel),
            {"units": "1", "long_name": "mean distance that the task moved fields or hidden weights"},
        ),
    }
    own = [p.judged[t][0].scores["accuracy"] for t, p in enumerate(run.passages)]
    level, text = verdict(
        tasks=names,
        learned=np.array([score.value for score in own]),
        error=np.array([score.standard_error for score in own]),
        chance=np.array([np.bincount(t.test_labels).max() / len(t.test_labels) for t in run.stream.tasks]),
        mean_variance=spread,
        n_epochs=learner.method.n_epochs,
    )
    variables[schema.VERDICT] = ((), level, {"units": "1", "long_name": "ok, warn or fail"})
    variables[schema.VERDICT_TEXT] = ((), text, {"units": "1", "long_name": "the verdict in words"})
    return xr.Dataset(
        variables, {schema.TASK_TRAINED: names, schema.NETWORK_LAYER: np.arange(len(learner.state.weights))}
    )


def _entropy(field: Any) -> Any:
    share = 1 / (1 + jnp.exp(-2 * jnp.abs(field)))
    other = jnp.exp(-2 * jnp.abs(field)) * share
    return -(share * jnp.log(share) + other * jnp.log(jnp.maximum(other, 1e-37)))


def restore(result: xr.DataTree, stream: TaskStream | None = None) -> Learner:
    """The learner of a result, to predict with and to teach more tasks.

    Args:
        result: Of `learn`, or loaded from a file.
        stream: What was learned; where given, its tasks and width must be the result's.

    Raises:
        InputError: If the result is of another workflow or of other tasks.
    """
    workflow = result.attrs.get(schema.WORKFLOW)
    if workflow != "continual":
        raise InputError(f"the result is of the workflow {workflow!r}; pass one of uqkit.continual.learn.")
    kept = json.loads(result.attrs[schema.METHOD])
    if "scaling" not in kept:
        raise InputError("the result is a theory's; only a result of uqkit.continual.learn has a learner.")
    if stream is not None and (stream.names != kept["tasks"] or stream.n_inputs != kept["n_inputs"]):
        raise InputError(
            f"the result is of the tasks {', '.join(kept['tasks'])} with {kept['n_inputs']} inputs, the stream has "
            f"{', '.join(stream.names)} with {stream.n_inputs}; pass the stream that was learned."
        )
    method = from_record(kept["method"], _METHODS)
    group = result[schema.VARIATIONAL].to_dataset()
    sizes = shapes(kept["n_inputs"], method.widths, kept["n_classes"])
    memory: dict[str, Layers] = {}
    for name, variable in group.data_vars.items():
        if name == schema.PRIOR_FIELD or str(name).startswith(f"{schema.MEMORY}_"):
            own = str(name).removeprefix(f"{schema.MEMORY}_")
            scalar = not variable.dims
            memory[own] = (
                (jnp.full((1, 1), variable.item(), np.float32),) if scalar else _layers(variable.values, sizes)
            )
    return Learner(
        method=method,
        state=State(_layers(group[schema.WEIGHT_FIELD].values, sizes), memory),
        scaling=Scaling(centre=kept["scaling"]["centre"], scale=kept["scaling"]["scale"]),
        n_inputs=kept["n_inputs"],
        n_classes=kept["n_classes"],
        tasks=tuple(kept["tasks"]),
    )


def _layers(flat: Float[np.ndarray, " weight"], sizes: Sequence[tuple[int, int]]) -> Layers:
    ends = np.cumsum([a * b for a, b in sizes])[:-1]
    return tuple(jnp.asarray(part.reshape(size)) for part, size in zip(np.split(flat, ends), sizes, strict=True))
