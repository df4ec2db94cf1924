"""Many expectations from one sample: the shell of the importance samplers."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from uqkit._typing import PRNGKey
from uqkit.errors import InputError
from uqkit.evaluate import FailurePolicy
from uqkit.evaluate.labelled import check_same_version, checked_budget, stored_evaluations
from uqkit.inputs import Inputs, as_inputs
from uqkit.keys import as_key, key_from_label, key_label
from uqkit.problems import ForwardModel
from uqkit.results import as_record, schema
from uqkit.sensitivity.campaign import Asker, Campaign, targets_of
from uqkit.sensitivity.expectations_result import assemble_expectations
from uqkit.sensitivity.importance import (
    AdaptiveImportanceSampling,
    ImportanceMethod,
    MixtureImportanceSampling,
    Sampled,
)
from uqkit.sensitivity.record import from_record

__all__ = ["expectations", "extend_expectations", "function_model"]

type Functions = ForwardModel | Callable[..., Any] | Sequence[Callable[..., Any]] | Mapping[str, Callable[..., Any]]

_PROBABILITY = 0.95
# Exploration fits components and shares: below this there is nothing to fit to.
_FEWEST_DRAWS = 100
# With a tolerance the start is cautious: this share of the budget, if that is enough to explore with.
_FIRST_SHARE, _FIRST_DRAWS = 0.1, 1_000


def expectations(
    functions: Functions,
    inputs: Any = None,
    *,
    laws: Mapping[str, Any] | None = None,
    method: ImportanceMethod | None = None,
    budget: int,
    key: PRNGKey,
    tolerance: float | None = None,
    failures: FailurePolicy | None = None,
    store: str | Path | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> xr.DataTree:
    """Expectations of many functions, under one law or many, from one sample.

    Args:
        functions: Name -> function of one point, an array over inputs; a sequence of such functions; one of them; or a
            `ForwardModel`, whose outputs are the functions. Signed functions may be.
        inputs: Law of the inputs, a dict of distributions or `Inputs`; not needed beside a `ForwardModel`. Where there
            are `laws` it is the law whose standard normal coordinates are used, and must have mass wherever they do.
        laws: Name -> another law of the same inputs; every function's expectation under each of them is estimated.
        method: AdaptiveImportanceSampling() by default, MixtureImportanceSampling() where there are laws.
        budget: Most evaluations of all functions together at one point.
        key: A JAX key or an int; the same key gives the same numbers.
        tolerance: Stop as soon as every 95% interval reaches at most this share of its estimate to each side.
        failures: What to do about points where a function fails; by default up to a tenth are left out.
        store: A SQLite file that keeps every finished evaluation; the same call with it resumes a stopped run.
        executor: A concurrent.futures executor that runs the points: threads, spawned processes, or Dask's
            `client.get_executor(pure=False)`.
        progress: Whether to show progress on stderr; None shows it only on a terminal.

    Returns:
        A tree with `estimates` (expectation with _se, _lower, _upper on function, and law), `posterior` (draws of the
        expectations, correlated as one sample makes them), `weighted_sample` (the final draws with their log_weight,
        log f/g), `diagnostics` with a verdict, and `evaluations`.

    Raises:
        InputError: If an argument cannot be used; before any evaluation.
        EvaluationError: If a function fails at too many points.
        StoreError: If the store cannot be used.

    Reference:
        Demange-Chryst, Bachoc & Morio (2023), Statistics and Computing 33.
    """
    started = time.perf_counter()
    model = function_model(functions, inputs)
    other_laws = _checked_laws(model.inputs, laws)
    if method is None:
        method = AdaptiveImportanceSampling() if other_laws is None else MixtureImportanceSampling()
    if not isinstance(method, ImportanceMethod):
        raise InputError(f"`method` is {method!r}; pass AdaptiveImportanceSampling() or MixtureImportanceSampling().")
    _check_weights(method, len(model.outputs) * (1 if other_laws is None else len(other_laws)))
    allowed = checked_budget(budget)
    if allowed < _FEWEST_DRAWS:
        raise InputError(f"`budget` is {allowed}; importance sampling needs at least {_FEWEST_DRAWS} evaluations.")
    if tolerance is not None and not tolerance > 0:
        raise InputError(f"`tolerance` is {tolerance}; pass a share of the estimates above zero, such as 0.01.")
    first = allowed if tolerance is None else min(allowed, max(int(_FIRST_SHARE * allowed), _FIRST_DRAWS))
    asker = Asker(model, failures, store, executor, progress)
    campaign = Campaign(targets_of(model, other_laws, method, asker), method, asker, as_key(key), 1, first)
    sampled = campaign.extend_within(allowed, None if tolerance is None else lambda s: _excess(s, tolerance))
    return _result(campaign, sampled, model, other_laws, allowed, started)


def extend_expectations(
    result: xr.DataTree,
    functions: Functions,
    inputs: Any,
    laws: Mapping[str, Any] | None,
    *,
    budget: int,
    failures: FailurePolicy | None,
    store: str | Path | None,
    executor: Executor | None,
    progress: bool | None,
) -> xr.DataTree:
    """More draws for a result of `expectations`; see `uqkit.sensitivity.extend`."""
    started = time.perf_counter()
    model = function_model(functions, inputs)
    other_laws = _checked_laws(model.inputs, laws)
    known = stored_evaluations(result, model)
    record = json.loads(result.attrs[schema.METHOD])
    if record["laws"] != (None if other_laws is None else list(other_laws)):
        raise InputError(f"the result has the laws {record['laws']}; pass the same `laws`.")
    check_same_version(record["model_version"], model)
    asker = Asker(model, failures, store, executor, progress, known)
    method = from_record(record["sampler"])
    campaign = Campaign(
        targets_of(model, other_laws, method, asker),
        method,
        asker,
        key_from_label(result.attrs[schema.KEY]),
        1,
        record["exploration_budget"],
        tuple(record["blocks"]),
    )
    allowed = asker.n_points + checked_budget(budget)
    return _result(campaign, campaign.extend_within(allowed, None), model, other_laws, allowed, started)


def _check_weights(method: ImportanceMethod, n_expectations: int) -> None:
    weights = getattr(method, "expectation_weights", None)
    if weights is not None and len(weights) not in (1, n_expectations):
        raise InputError(
            f"the method has {len(weights)} `expectation_weights` but there are {n_expectations} expectations; pass "
            "one each, functions first and their laws within, or a single one."
        )


def _result(
    campaign: Campaign,
    sampled: Sampled,
    model: ForwardModel,
    laws: Mapping[str, Inputs] | None,
    budget: int,
    started: float,
) -> xr.DataTree:
    method = {
        "type": type(campaign.method).__name__,
        "sampler": as_record(campaign.method),
        "exploration_budget": campaign.exploration_budget,
        "blocks": list(campaign.blocks),
        "laws": None if laws is None else list(laws),
        "model_version": model.version,
    }
    return assemble_expectations(
        campaign,
        sampled,
        model=model,
        law_names=None if laws is None else list(laws),
        budget=budget,
        probability=_PROBABILITY,
        method=method,
        key=campaign.key,
        key_text=key_label(campaign.key),
        started=started,
    )


def _excess(sampled: Sampled, tolerance: float) -> float:
    """By what factor the widest interval, relative to its estimate, is too wide."""
    half = stats.norm.ppf(0.5 + _PROBABILITY / 2) * sampled.estimate.standard_error
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = half / (tolerance * np.abs(sampled.estimate.mean))
    # An estimate of zero with no error is exact; one with an error can never be known to a share of itself.
    return float(np.max(np.where(half == 0, 0.0, excess)))


def function_model(functions: Functions, inputs: Any = None) -> ForwardModel:
    """One model whose outputs are the functions; a `ForwardModel` is one already.

    Raises:
        InputError: If there are no functions, one cannot be called, or the inputs are missing or given twice.
    """
    if isinstance(functions, ForwardModel):
        if inputs is not None:
            raise InputError("the model has its own inputs; leave `inputs` out, or pass functions.")
        return functions
    if inputs is None:
        raise InputError("`inputs` is missing; pass a dict of name -> distribution, or uq.Inputs.")
    if callable(functions):
        functions = [functions]
    if not isinstance(functions, Mapping):
        names = [getattr(function, "__name__", "<lambda>") for function in functions]
        plain = len(set(names)) == len(names) and "<lambda>" not in names
        labels = names if plain else [f"f{i + 1}" for i in range(len(names))]
        functions = dict(zip(labels, functions, strict=True))
    law = as_inputs(inputs)
    models = [ForwardModel(function, inputs=law, name=name) for name, function in functions.items()]
    if len(models) == 1:
        (only,) = models
        return ForwardModel(only.function, inputs=law, outputs=tuple(functions), name=only.name)
    if not models:
        raise InputError("no functions given; pass at least one.")
    versions = [model.version for model in models]

    def all_functions(points: Any) -> list[Any]:
        return [model.run(points)[:, 0] for model in models]

    return ForwardModel(
        all_functions,
        inputs=law,
        outputs=tuple(functions),
        takes="batch",
        name="functions",
        version=None if None in versions else "+".join(map(str, versions)),
        # A function that is looped may be expensive: its rows are to be kept one by one.
        batch_size=min(model.points_per_call for model in models),
    )


def _checked_laws(inputs: Inputs, laws: Mapping[str, Any] | None) -> dict[str, Inputs] | None:
    if laws is None:
        return None
    if not isinstance(laws, Mapping) or not laws:
        raise InputError(f"`laws` is {laws!r}; pass a dict of at least one name -> law of the inputs.")
    checked = {str(name): as_inputs(law) for name, law in laws.items()}
    for name, law in checked.items():
        if law.names != inputs.names:
            raise InputError(
                f"law {name!r} is of {', '.join(law.names)}, the inputs are {', '.join(inputs.names)}; "
                "give every law the same inputs in the same order."
            )
    return checked
