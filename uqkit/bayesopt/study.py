"""Surrogates compared on the same problems, initial designs and keys, with the tests that a claim needs."""

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Key

from uqkit._typing import PRNGKey
from uqkit.bayesopt.candidates import Acquisition, modelled, to_physical, to_unit, whole_number
from uqkit.bayesopt.predictions import Scores, predict, scores_of
from uqkit.bayesopt.recipes import Maker
from uqkit.bayesopt.rounds import History, Loop
from uqkit.bayesopt.run import checked_loop, maker_or_search
from uqkit.bayesopt.search import RandomSearch, Search, SobolSearch, initial_points
from uqkit.bayesopt.study_result import Cell, assemble_study
from uqkit.errors import EvaluationError, InputError, RunInterrupted
from uqkit.evaluate import FailurePolicy, evaluate
from uqkit.keys import as_key, key_label
from uqkit.problems import Objective
from uqkit.running.chunks import progress_bar

__all__ = ["compare"]

# Folded into a replicate's key: the points that surrogates are judged on.
_TEST = 2**20
# Of a run, kept with the study's result.
_SIZES = ("budget", "n_initial", "batch_size")


def compare(
    objectives: Objective | Sequence[Objective],
    surrogates: Mapping[str, Any] | Sequence[Any],
    *,
    budget: int | Mapping[str, int],
    keys: Iterable[PRNGKey],
    n_initial: int | Mapping[str, int] | None = None,
    batch_size: int | Mapping[str, int] = 1,
    n_test: int = 0,
    acquisition: Acquisition | None = None,
    failures: FailurePolicy | None = None,
    store: str | Path | None = None,
    progress: bool | None = None,
) -> xr.DataTree:
    """Optimisations by several surrogates on several problems, with common random numbers and paired tests.

    For every problem and key all surrogates begin with the same initial design and have the same seeds. Random and
    Sobol' search are always among them. A surrogate is called better than another on a problem only where Wilcoxon's
    test of the final values says so at 5% after Holm's correction for all pairs and problems of the study.

    Args:
        objectives: The problems; their names must differ.
        surrogates: As of `optimize`; a mapping gives them names for the result.
        budget: Evaluations of a run; one number, or problem -> number.
        keys: One a replicate.
        n_initial: As of `optimize`; one number, or problem -> number.
        batch_size: As of `optimize`; one number, or problem -> number.
        n_test: Points besides, at which each problem is evaluated once a replicate and each fitted surrogate is judged.
        acquisition: How points are chosen.
        failures: What to do about failed points, of runs.
        store: Folder that keeps each run in a file of its own. The same call with it resumes a stopped study, and
            several processes may fill one folder with different keys.
        progress: Whether to show progress on stderr; None shows it only on a terminal.

    Returns:
        A tree with `optimisation` and `diagnostics` over (study_problem, surrogate, replicate, iteration), and
        `estimates` of paired differences over (study_problem, surrogate, surrogate_other).

    Raises:
        InputError: If an argument cannot be used; before any evaluation.
        EvaluationError: If a run fails; with a store, what is finished is kept.

    Reference:
        Demsar (2006), Statistical comparisons of classifiers over multiple data sets, JMLR 7; Li, Rudner & Wilson
        (2024), arXiv 2305.20028, for the question.
    """
    started = time.perf_counter()
    problems = _named_problems(objectives)
    makers = _named_makers(surrogates)
    typed = _replicates(keys)
    n_test = whole_number("n_test", n_test, 0)
    if n_test == 1:
        raise InputError("`n_test` is 1; pass 0, or at least 2 points.")
    folder = None if store is None else Path(store)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise InputError(f"`store` is {str(store)!r}, which is a file; pass a folder for the files of a study.")
    loops: dict[tuple[str, str, int], Loop] = {}
    for replicate, key in enumerate(typed):
        for problem, objective in problems.items():
            for label, maker in makers.items():
                loops[problem, label, replicate] = checked_loop(
                    objective,
                    maker,
                    acquisition=acquisition,
                    budget=_own(budget, problem, "budget"),
                    n_initial=_own(n_initial, problem, "n_initial"),
                    batch_size=_own(batch_size, problem, "batch_size"),
                    key=key,
                    failures=failures,
                    store=None if folder is None else folder / _file_name(key, problem, label),
                    n_test=n_test if isinstance(maker, Maker) else 0,
                    last_fit=n_test > 0,
                )
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    cells = {}
    judges: dict[tuple[str, int], Callable[[Any], Scores]] = {}
    with progress_bar(len(loops), "runs", progress) as bar:
        for (problem, label, replicate), loop in loops.items():
            bar.set_postfix_str(f"{problem}, {label}, key {replicate}")
            try:
                if loop.n_test:
                    if (problem, replicate) not in judges:
                        judges[problem, replicate] = _judge(loop, folder)
                    loop = replace(loop, score=judges[problem, replicate])
                cells[problem, label, replicate] = _cell(loop.run(False))
            except RunInterrupted as stop:
                raise RunInterrupted(_interrupted(len(cells), len(loops), store), stop.evaluations) from None
            bar.update()
    return assemble_study(
        cells,
        problems=problems,
        surrogates={label: isinstance(maker, Maker) for label, maker in makers.items()},
        keys=[key_label(key) for key in typed],
        settings={
            "surrogates": {label: getattr(maker, "description", repr(maker)) for label, maker in makers.items()},
            **{name: {problem: getattr(loop, name) for (problem, _, _), loop in loops.items()} for name in _SIZES},
            "n_test": n_test,
            "maximise": {problem: objective.maximise for problem, objective in problems.items()},
            "acquisition": repr(Acquisition() if acquisition is None else acquisition),
        },
        key=typed[0],
        n_test_evaluations=n_test * len(judges),
        wall_time=time.perf_counter() - started,
    )


def _interrupted(n_done: int, n_runs: int, store: str | Path | None) -> str:
    done = f"stopped after {n_done} of {n_runs} runs"
    if store is None:
        return f"{done}; with a store (`store=`) a study can go on."
    return f"{done}; what is finished is in the folder {str(store)!r}: make the same call again to go on."


def _cell(history: History) -> Cell:
    return Cell(values=history.evaluations.values, sizes=history.sizes, states=history.states)


def _judge(loop: Loop, folder: Path | None) -> Callable[[Any], Scores]:
    """Scores of a fitted surrogate on points that no run sees, all in the same unit.

    Raises:
        EvaluationError: If fewer than two of the points have values.
    """
    objective = loop.objective
    key = jax.random.fold_in(loop.key, _TEST)
    points = to_physical(objective, initial_points(objective, loop.n_test, key))
    found = evaluate(
        objective.forward,
        points,
        failures=FailurePolicy(max_failed_share=0.5),
        store=None if folder is None else folder / _file_name(loop.key, objective.name),
        progress=False,
    )
    if found.ok.sum() < 2:
        raise EvaluationError(
            f"of {loop.n_test} test points of {objective.name} {found.ok.sum()} have values, and scores are in units "
            "of their standard deviation; pass a larger `n_test`.",
            found,
        )
    unit = to_unit(objective, found.points[found.ok])
    values = found.values[found.ok][:, modelled(objective)]
    spread = values.std(axis=0, ddof=1)
    scale = np.where(spread > 0, spread, 1.0)

    def judged(model: Any) -> Scores:
        return scores_of(predict(model, unit), values, scale)

    return judged


def _named_problems(objectives: Objective | Sequence[Objective]) -> dict[str, Objective]:
    if not isinstance(objectives, Objective | list | tuple):
        raise InputError(f"`objectives` is {objectives!r}; pass a list of uqkit.Objective.")
    given = [objectives] if isinstance(objectives, Objective) else list(objectives)
    for each in given:
        if not isinstance(each, Objective):
            raise InputError(f"an objective is a {type(each).__name__}; pass a list of uqkit.Objective.")
    names = [each.name for each in given]
    if not names or len(set(names)) < len(names):
        raise InputError(f"`objectives` are named {names}; pass at least one, each name once (ForwardModel(name=...)).")
    return dict(zip(names, given, strict=True))


def _named_makers(surrogates: Mapping[str, Any] | Sequence[Any]) -> dict[str, Maker | Search]:
    if isinstance(surrogates, Mapping):
        makers = {str(label): maker_or_search(each) for label, each in surrogates.items()}
    elif isinstance(surrogates, (list, tuple)):
        found = [maker_or_search(each) for each in surrogates]
        labels = [each.name if isinstance(each, Maker) else type(each).__name__ for each in found]
        if len(set(labels)) < len(labels):
            raise InputError(f"`surrogates` are named {labels}; pass a mapping of different names to them.")
        makers = dict(zip(labels, found, strict=True))
    else:
        raise InputError(
            f"`surrogates` is {surrogates!r}; pass a list of surrogates, or a mapping of name to surrogate."
        )
    if not any(isinstance(maker, Maker) for maker in makers.values()):
        raise InputError("`surrogates` has no surrogate; pass at least one, searches are added by themselves.")
    for search in (RandomSearch(), SobolSearch()):
        label = type(search).__name__
        if makers.get(label, search) != search:
            raise InputError(f"`surrogates` calls something else {label!r}, as a search of the study is; rename it.")
        if search not in makers.values():
            makers[label] = search
    return makers


def _replicates(keys: Iterable[PRNGKey]) -> list[Key[jax.Array, ""]]:
    try:
        given = list(keys)
    except TypeError:
        raise InputError(f"`keys` is {keys!r}; pass a list of one key a replicate, such as range(10).") from None
    typed = [as_key(key) for key in given]
    labels = [key_label(key) for key in typed]
    if not typed or len(set(labels)) < len(labels):
        raise InputError(f"`keys` has {len(typed)} keys, {len(set(labels))} of them different; pass each once.")
    return typed


def _own(value: Any, problem: str, name: str) -> Any:
    if not isinstance(value, Mapping):
        return value
    if problem not in value:
        raise InputError(f"`{name}` has no entry for {problem!r}; it has {', '.join(map(str, value))}.")
    return value[problem]


def _file_name(key: Key[jax.Array, ""], *names: str) -> str:
    """Of a run, by problem and label; of test points by the problem alone."""
    parts = [re.sub(r"[^\w.-]+", "-", part).strip("-") for part in (*names, key_label(key))]
    # Different names may have the same letters.
    digest = hashlib.sha256(repr(names).encode()).hexdigest()[:8]
    return "__".join([*parts, digest]) + ".sqlite"
