"""Claims of `sobol_indices` with `PickFreeze()`: accuracy and speed against SALib, honest intervals."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import xarray as xr
from SALib.analyze import sobol as salib_analyze
from SALib.sample import sobol as salib_sample

from tests.benchmarks.analysis_cost import N_INPUTS, N_RESAMPLES, N_ROWS, cost_of
from tests.benchmarks.comparison import Row, measured, rmse_ratio, share_within, with_interval
from tests.benchmarks.coverage import INDICES, MOMENTS, Repeated
from uqkit.inputs import MonteCarlo
from uqkit.problems import ForwardModel, load
from uqkit.results import schema
from uqkit.sensitivity import BayesianBootstrap, InfluenceFunction, PickFreeze, sobol_indices

__all__ = ["rows"]

SALIB = f"SALib {metadata.version('SALib')}"
N_RUNS = 3
_FUNCTIONS = ("ishigami", "sobol_g", "borehole", "flood")
# The functions as SALib's own problems; it has no truncated Gumbel law, so flood is not among them.
_SALIB_PROBLEMS: dict[str, dict[str, Any]] = {
    "ishigami": {"bounds": [[-math.pi, math.pi]] * 3},
    "sobol_g": {"bounds": [[0.0, 1.0]] * 8},
    "borehole": {
        "dists": ["norm", "lognorm", *["unif"] * 6],
        "bounds": [
            [0.1, 0.0161812],
            [7.71, 1.0056],
            [63_070.0, 115_600.0],
            [990.0, 1_110.0],
            [63.1, 116.0],
            [700.0, 820.0],
            [1_120.0, 1_680.0],
            [9_855.0, 12_045.0],
        ],
    },
}


@dataclass(frozen=True, kw_only=True)
class Repetitions:
    """Numbers of keys, which are 0, 1, 2, ..."""

    accuracy: int
    same_points: int
    salib_widths: int
    intervals: int
    independent: int


SHORT = Repetitions(accuracy=40, same_points=10, salib_widths=30, intervals=150, independent=150)
LONG = Repetitions(accuracy=200, same_points=50, salib_widths=100, intervals=1_000, independent=1_000)


def rows(long: bool) -> Iterator[Row]:
    """Every claim, as it is measured."""
    repetitions = LONG if long else SHORT
    for name in _SALIB_PROBLEMS:
        for budget in (1_280, 10_240):
            yield from _accuracy(name, budget, repetitions.accuracy)
        yield _same_points(name, 1_280, repetitions.same_points)
    yield from _scrambled_intervals(repetitions)
    yield from _independent_intervals(repetitions.independent)
    yield from _speed(long)


def _salib_problem(problem: ForwardModel) -> dict[str, Any]:
    return {"num_vars": len(problem.inputs), "names": list(problem.inputs.names), **_SALIB_PROBLEMS[problem.name]}


def _salib_analysis(problem: ForwardModel, outputs: np.ndarray, key: int) -> dict[str, np.ndarray]:
    # A generator, because SALib takes seed=0 for no seed.
    return salib_analyze.analyze(
        _salib_problem(problem), outputs, calc_second_order=False, seed=np.random.default_rng(key)
    )


def _salib_indices(problem: ForwardModel, budget: int, key: int) -> np.ndarray:
    """First-order and total indices, (2, input)."""
    n_rows = budget // (len(problem.inputs) + 2)
    points = salib_sample.sample(_salib_problem(problem), n_rows, calc_second_order=False, seed=key)
    found = _salib_analysis(problem, problem.run(points)[:, 0], key)
    return np.stack([found["S1"], found["ST"]])


def _indices(result: xr.DataTree) -> np.ndarray:
    """First-order and total indices of the only output, (2, input)."""
    estimates = result[schema.ESTIMATES].to_dataset()
    return np.stack([estimates[name].values[0] for name in INDICES])


def _outputs(result: xr.DataTree) -> np.ndarray:
    """The only output at every point, in the order of the design, which is SALib's."""
    return result[schema.EVALUATIONS].to_dataset()[schema.OUTPUT_VALUE].values[:, 0]


def _accuracy(name: str, budget: int, n_keys: int) -> Iterator[Row]:
    problem = load(name)
    known = np.stack([problem.references[index].values for index in INDICES])
    ours = np.stack([_indices(sobol_indices(problem, budget=budget, key=key)) for key in range(n_keys)]) - known
    theirs = np.stack([_salib_indices(problem, budget, key) for key in range(n_keys)]) - known
    for i, kind in enumerate(("first", "total")):
        yield rmse_ratio(
            f"RMSE of {kind}, {name}, {budget:,} calls, PickFreeze(); {n_keys} keys",
            ours[:, i],
            theirs[:, i],
            f"{SALIB} sobol.sample (scrambled), sobol.analyze, equal calls",
        )


def _same_points(name: str, budget: int, n_keys: int) -> Row:
    problem, largest = load(name), 0.0
    for key in range(n_keys):
        result = sobol_indices(problem, budget=budget, key=key)
        found = _salib_analysis(problem, _outputs(result), key)
        difference = _indices(result) - np.stack([found["S1"], found["ST"]])
        largest = max(largest, float(np.abs(difference).max()))
    return measured(
        f"largest difference from {SALIB} on the same outputs, {name}, {budget:,} calls; {n_keys} keys",
        largest,
        at_most=1e-12,
    )


def _scrambled_intervals(repetitions: Repetitions) -> Iterator[Row]:
    n_keys = repetitions.intervals
    for name in _FUNCTIONS:
        problem = load(name)
        for n_rows in (256, 2_048):
            budget = n_rows * (len(problem.inputs) + 2)
            repeated = Repeated.of(problem, (sobol_indices(problem, budget=budget, key=key) for key in range(n_keys)))
            where = f"{name}, {n_rows:,} scrambled rows"
            if name == "ishigami" and n_rows == 2_048:
                for estimate in INDICES:
                    yield repeated.only([estimate]).coverage(f"{estimate}, {where}", at_least=0.94)
                yield from _widths_against_salib(problem, budget, repetitions.salib_widths)
            yield repeated.only(INDICES).coverage(f"indices, {where}", at_least=0.94)
            yield repeated.only(INDICES).width(f"indices, {where}", at_most=3.0)
            for moment in MOMENTS:
                yield repeated.only([moment]).coverage(f"{moment}, {where}", at_least=0.90)


def _widths_against_salib(problem: ForwardModel, budget: int, n_keys: int) -> Iterator[Row]:
    half_widths = []
    for key in range(n_keys):
        result = sobol_indices(problem, budget=budget, key=key)
        found = _salib_analysis(problem, _outputs(result), key)
        estimates = result[schema.ESTIMATES].to_dataset()
        ours = [(estimates[schema.upper(name)] - estimates[schema.lower(name)]).values.mean() / 2 for name in INDICES]
        half_widths.append([ours, [found["S1_conf"].mean(), found["ST_conf"].mean()]])
    table = np.array(half_widths)  # (key, ours or theirs, first or total)
    for i, name in enumerate(INDICES):
        mine, theirs = table[:, 0, i], table[:, 1, i]
        _, interval = with_interval(np.divide, mine, theirs)
        yield Row(
            what=f"mean half-width, {name}, {problem.name}, {budget:,} calls, SubNets(); {n_keys} keys, same points",
            ours=float(mine.mean()),
            theirs=float(theirs.mean()),
            opponent=f"{SALIB} sobol.analyze, 100 resamples",
            judged="ratio",
            interval=interval,
            at_most=0.5,
        )


def _independent_intervals(n_keys: int) -> Iterator[Row]:
    for interval in (InfluenceFunction(), BayesianBootstrap()):
        covered, cells = [], []
        for name in _FUNCTIONS:
            problem = load(name)
            method = PickFreeze(design=MonteCarlo(), interval=interval)
            budget = 1_000 * (len(problem.inputs) + 2)
            results = (sobol_indices(problem, method=method, budget=budget, key=key) for key in range(n_keys))
            repeated = Repeated.of(problem, results).only(INDICES)
            covered.append(repeated.covered)
            cells.append(f"{name}: {repeated.cells}")
        yield share_within(
            f"coverage of 95% intervals, indices, 1,000 independent rows, {type(interval).__name__}; "
            f"{n_keys} keys; {'; '.join(cells)}",
            np.concatenate(covered, axis=1),
            at_least=0.93,
            at_most=0.97,
        )


def _speed(long: bool) -> Iterator[Row]:
    for second in (False, True):
        # With second order SALib takes half an hour.
        theirs = cost_of("salib", second=second) if long or not second else None
        opponent = f"{SALIB} sobol.analyze(num_resamples={N_RESAMPLES}), one run" if theirs else ""
        for interval in ("bootstrap", "sub-nets"):
            costs = [cost_of(interval, second=second) for _ in range(N_RUNS)]
            what = (
                f"analysis of {N_INPUTS} inputs, {N_ROWS:,} rows, {N_RESAMPLES:,} resamples"
                f"{', second order' if second else ''}, {interval}; median of {N_RUNS} runs"
            )
            for part, (unit, at_most) in enumerate(
                (("CPU s", 5.0),) if second else (("CPU s", 0.5), ("peak MB", 300.0))
            ):
                yield measured(
                    f"{unit}, {what}",
                    *(cost[part] for cost in costs),
                    theirs=theirs[part] if theirs else None,
                    opponent=opponent,
                    at_most=at_most,
                )
