"""Pictures of optimisations and of studies; each function draws one axes and returns it."""

import itertools
import json
from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes

from uqkit.errors import InputError
from uqkit.plots import STYLES, interval_band, interval_points, new_axes
from uqkit.results import schema, some_of

__all__ = [
    "plot_best",
    "plot_coverage",
    "plot_differences",
    "plot_front",
    "plot_predictions",
    "plot_progress",
    "plot_ranks",
    "plot_regret",
]

_COLOUR = STYLES[0].colour
_LEVEL = 0.05
# Where the tests of a study stop telling regrets apart.
_LEAST_REGRET = 1e-8


def plot_progress(result: xr.DataTree, *, ax: Axes | None = None) -> Axes:
    """Best value or hypervolume against evaluations; with one objective every evaluation too.

    Args:
        result: What `optimize` returned.
        ax: Where to draw; a new figure by default.
    """
    trace, rows = _run(result)
    ax = new_axes(ax)
    sizes = trace[schema.N_EVALUATIONS_SO_FAR].values
    several = schema.HYPERVOLUME in trace
    name = schema.HYPERVOLUME if several else schema.BEST_VALUE
    if not several:
        (objective,) = _objectives(result)
        values, feasible = rows[schema.OUTPUT_VALUE].sel(output=objective).values, rows[schema.FEASIBLE].values == 1
        number = np.arange(1, len(values) + 1)
        ax.plot(number[feasible], values[feasible], "o", color="grey", markersize=3, label="evaluations")
        if not feasible.all():
            ax.plot(number[~feasible], values[~feasible], "x", color="grey", markersize=4, label="not feasible")
    ax.axvspan(0, float(sizes[0]), color="grey", alpha=0.12, linewidth=0, label="initial design")
    ax.step(sizes, trace[name].values, where="post", color=_COLOUR, linewidth=2, label=name.replace("_", " "))
    ax.set(
        title=result.attrs[schema.PROBLEM],
        xlabel="evaluations",
        ylabel=f"{name.replace('_', ' ')} [{trace[name].attrs['units']}]",
        xlim=(0, float(sizes[-1]) + 0.5),
    )
    ax.legend(fontsize="small")
    return ax


def plot_best(result: xr.DataTree, *, output: str | None = None, ax: Axes | None = None) -> Axes:
    """What the last surrogate knows of an output at the best points: intervals, and the value evaluated there.

    Args:
        result: What `optimize` returned, with a surrogate.
        output: Which output; the first objective where not given.
        ax: Where to draw; a new figure by default.
    """
    trace, _ = _run(result)
    if schema.ESTIMATES not in result.children:
        raise InputError("the result has no estimates: it is of a search without a surrogate, or no point is feasible.")
    estimates = result[schema.ESTIMATES].to_dataset()
    # Of what the surrogate learned the objectives come first.
    label = _one(output, [str(each) for each in estimates[schema.OUTPUT].values], "output")
    chosen = estimates.sel(output=label)
    names = (schema.OBJECTIVE_VALUE, schema.lower(schema.OBJECTIVE_VALUE), schema.upper(schema.OBJECTIVE_VALUE))
    value, lower, upper = (chosen[name].values for name in names)
    places = np.arange(len(value), dtype=float)
    ax = new_axes(ax, height=1.6 + 0.3 * len(value))
    interval_points(ax, places, value, lower, upper, STYLES[0], "surrogate, 95% interval")
    evaluated = trace[schema.BEST_OUTPUT].sel(output=label).values
    ax.plot(evaluated, places, STYLES[1].marker, color=STYLES[1].colour, fillstyle="none", label="evaluated")
    ax.set(yticks=places, ylabel="best point", xlabel=f"{label} [{chosen['output_units'].item()}]")
    ax.invert_yaxis()
    ax.legend(fontsize="small")
    return ax


def plot_predictions(result: xr.DataTree, *, output: str | None = None, ax: Axes | None = None) -> Axes:
    """What proposals gave against what was predicted for them, with 95% intervals.

    Args:
        result: What `optimize` returned, with a surrogate.
        output: Which output; the first objective where not given.
        ax: Where to draw; a new figure by default.
    """
    _, rows = _run(result)
    label = _one(output, _outputs(result, rows), "output")
    chosen = rows.sel(output=label)
    known = np.isfinite(chosen[schema.PREDICTED].values) & np.isfinite(chosen[schema.OUTPUT_VALUE].values)
    if not known.any():
        raise InputError(f"no evaluation of {label!r} was predicted: the result is of a search without a surrogate.")
    value = chosen[schema.OUTPUT_VALUE].values[known]
    names = (schema.PREDICTED, schema.lower(schema.PREDICTED), schema.upper(schema.PREDICTED))
    mean, lower, upper = (chosen[name].values[known] for name in names)
    ax = new_axes(ax)
    ax.vlines(value, lower, upper, color=_COLOUR, alpha=0.5)
    ax.plot(value, mean, "o", color=_COLOUR, markersize=4, label="predicted before evaluation, 95% interval")
    ends = [min(value.min(), mean.min()), max(value.max(), mean.max())]
    ax.plot(ends, ends, "--", color="black", linewidth=0.8, label="equal")
    inside = int(((lower <= value) & (value <= upper)).sum())
    unit = chosen["output_units"].item()
    ax.set(
        title=f"{inside} of {len(value)} within their intervals",
        xlabel=f"{label} evaluated [{unit}]",
        ylabel=f"{label} predicted [{unit}]",
    )
    ax.legend(fontsize="small")
    return ax


def plot_front(result: xr.DataTree, *, objectives: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Evaluations by two objectives, and those that no other feasible one dominates.

    Args:
        result: What `optimize` returned, of several objectives.
        objectives: Two outputs; the first two objectives by default.
        ax: Where to draw; a new figure by default.
    """
    trace, rows = _run(result)
    if schema.HYPERVOLUME not in trace:
        raise InputError("the result is of one objective, which has no front; use plot_progress.")
    known = _outputs(result, rows)
    chosen = list(objectives or known[:2])
    if len(chosen) != 2 or not set(chosen) <= set(known):
        raise InputError(f"`objectives` is {objectives!r}; name two of {', '.join(known)}.")
    x, y = (rows[schema.OUTPUT_VALUE].sel(output=name).values for name in chosen)
    ax = new_axes(ax)
    ax.plot(x, y, "o", color="grey", markersize=3, label="evaluations")
    best = [trace[schema.BEST_OUTPUT].sel(output=name).values for name in chosen]
    ax.plot(*best, STYLES[0].marker, color=_COLOUR, markersize=6, label="not dominated")
    units = [rows["output_units"].sel(output=name).item() for name in chosen]
    ax.set(xlabel=f"{chosen[0]} [{units[0]}]", ylabel=f"{chosen[1]} [{units[1]}]", title=result.attrs[schema.PROBLEM])
    ax.legend(fontsize="small")
    return ax


def plot_regret(result: xr.DataTree, problem: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Median regret by evaluations with the band of the middle half, a line for each surrogate.

    Best values or hypervolumes take its place where no best value is known.

    Args:
        result: What `compare` returned.
        problem: Which one; may be left out where there is one.
        ax: Where to draw; a new figure by default.
    """
    traces = _study(result, schema.OPTIMISATION)
    chosen = traces.sel({schema.STUDY_PROBLEM: _problem(traces, problem)})
    names = (schema.REGRET, schema.HYPERVOLUME, schema.BEST_VALUE)
    name = next((each for each in names if each in chosen and chosen[each].notnull().any()), None)
    if name is None:
        raise InputError("no run has a feasible point; there is nothing to draw.")
    ax = new_axes(ax)
    for label, style in zip(_labels(chosen), itertools.cycle(STYLES), strict=False):
        one = chosen.sel(surrogate=label)
        sizes = one[schema.N_EVALUATIONS_SO_FAR].isel(replicate=0).values
        there = np.isfinite(sizes)
        quartiles = _quartiles(one[name].values[:, there], _worst(result, chosen, name))
        # A regret of nothing, or below where the best known is rounded, has no place on a logarithmic axis.
        lower, middle, upper = quartiles if name != schema.REGRET else np.maximum(quartiles, _LEAST_REGRET)
        interval_band(ax, sizes[there], middle, lower, upper, style, label)
    if name == schema.REGRET:
        ax.set_yscale("log")
    ax.set(
        title=str(chosen[schema.STUDY_PROBLEM].item()),
        xlabel="evaluations",
        ylabel=f"{name.replace('_', ' ')}, median and middle half of {chosen.sizes[schema.REPLICATE]} runs",
    )
    ax.legend(fontsize="small")
    return ax


def _worst(result: xr.DataTree, chosen: xr.Dataset, name: str) -> float:
    """What a run without a feasible point counts as."""
    if name == schema.REGRET:
        return np.inf
    if name == schema.HYPERVOLUME:
        return -np.inf
    maximise = json.loads(result.attrs[schema.METHOD])["study"]["maximise"][str(chosen[schema.STUDY_PROBLEM].item())]
    return -np.inf if next(iter(maximise.values())) else np.inf


def _quartiles(values: Float[np.ndarray, "replicate iteration"], worst: float) -> Float[np.ndarray, "3 iteration"]:
    """Over runs; NaN where it is that of a run without a feasible point."""
    shares, none = [0.25, 0.5, 0.75], np.isnan(values)
    if none.all():
        return np.full((len(shares), values.shape[1]), np.nan)
    counted = np.where(none, worst, values)
    ends = [np.quantile(counted, shares, axis=0, method=method) for method in ("lower", "higher")]
    # Any number in the place of none that keeps the order: quantiles with one at an end are left out.
    filled = np.where(none, np.nanmax(values) if worst > 0 else np.nanmin(values), values)
    return np.where(np.isfinite(ends).all(axis=0), np.quantile(filled, shares, axis=0), np.nan)


def plot_ranks(result: xr.DataTree, *, ax: Axes | None = None) -> Axes:
    """Mean ranks over problems; bars join surrogates that Nemenyi's test does not tell apart.

    Args:
        result: What `compare` returned, of at least two problems.
        ax: Where to draw; a new figure by default.

    Reference:
        Demsar (2006), Statistical comparisons of classifiers over multiple data sets, JMLR 7, figure 1.
    """
    tests = _study(result, schema.DIAGNOSTICS)
    ranks, critical = tests[schema.MEAN_RANK], float(tests[schema.CRITICAL_DIFFERENCE])
    if not np.isfinite(critical):
        raise InputError("ranks are over problems, and the study has one; compare on at least two.")
    order = np.argsort(ranks.values, kind="stable")
    ordered, labels = ranks.values[order], [_labels(tests)[i] for i in order]
    ax = new_axes(ax, height=1.2 + 0.35 * len(labels))
    places = np.arange(len(labels), dtype=float)
    ax.plot(ordered, places, "o", color=_COLOUR)
    # From each, a bar to the last that is not told apart from it, unless an earlier bar already reaches there: the
    # runs of `uqkit.stats.groups_not_apart`, of which pictures, made of results alone, know nothing.
    reached = 0
    for first in range(len(ordered)):
        last = int(np.flatnonzero(ordered - ordered[first] < critical).max())
        if last > max(first, reached):
            x = ordered[first] - 0.08 * (len(labels) - 1) / 4
            ax.plot([x, x], [places[first], places[last]], color="black", linewidth=3, solid_capstyle="butt")
        reached = max(reached, last)
    ax.set(
        yticks=places,
        yticklabels=labels,
        xlabel="mean rank, 1 the best",
        title=f"Friedman p = {float(tests[schema.FRIEDMAN_P_VALUE]):.2g}, critical difference {critical:.2f}",
    )
    ax.invert_yaxis()
    return ax


def plot_differences(
    result: xr.DataTree, surrogate: str, other: str, *, variable: str | None = None, ax: Axes | None = None
) -> Axes:
    """Mean paired differences of two surrogates with intervals, one line a problem; filled where they are told apart.

    Args:
        result: What `compare` returned.
        surrogate: The one.
        other: What is taken from it.
        variable: "log_regret_difference" (by default, where there is one: less is better), "final_difference" (in units
            of the problem: more is better), or "log_crps_difference".
        ax: Where to draw; a new figure by default.
    """
    estimates, tests = _study(result, schema.ESTIMATES), _study(result, schema.DIAGNOSTICS)
    for name in (surrogate, other):
        _one(name, _labels(estimates), "surrogate")
    known = [name for name in estimates if f"{name}_se" in estimates]
    chosen = _one(variable, [str(name) for name in sorted(known, key=lambda name: name != _PREFERRED)], "variable")
    pair = estimates.sel(surrogate=surrogate, surrogate_other=other)
    value, lower, upper = (pair[f"{chosen}{end}"].values for end in ("", "_lower", "_upper"))
    p = tests[schema.P_VALUE_HOLM].sel(surrogate=surrogate, surrogate_other=other).values
    labels = [str(name) for name in estimates[schema.STUDY_PROBLEM].values]
    places = np.arange(len(labels), dtype=float)
    ax = new_axes(ax, height=1.2 + 0.4 * len(labels))
    interval_points(ax, places, value, lower, upper, STYLES[0], "")
    apart = p < _LEVEL
    ax.plot(value[~apart], places[~apart], "o", color="white", markeredgecolor=_COLOUR, markersize=6)
    ax.axvline(0.0, color="black", linewidth=0.8)
    ax.set(yticks=places, yticklabels=labels, xlabel=f"{surrogate} less {other}: {chosen.replace('_', ' ')}")
    ax.invert_yaxis()
    return ax


_PREFERRED = schema.LOG_REGRET_DIFFERENCE


def plot_coverage(result: xr.DataTree, *, ax: Axes | None = None) -> Axes:
    """Share of test values in 90% intervals after the last iteration, mean over replicates, for each problem.

    Args:
        result: What `compare` returned, with `n_test`.
        ax: Where to draw; a new figure by default.
    """
    coverage = _study(result, schema.OPTIMISATION)[schema.COVERAGE]
    if not coverage.notnull().any():
        raise InputError("the study has no test points; compare with n_test=..., say 256.")
    judged = coverage.notnull().sum(schema.ITERATION) - 1
    last = coverage.isel({schema.ITERATION: judged.clip(min=0)}).mean(schema.REPLICATE)
    problems = [str(name) for name in last[schema.STUDY_PROBLEM].values]
    places = np.arange(len(problems), dtype=float)
    ax = new_axes(ax, height=1.4 + 0.4 * len(problems))
    for label, style in zip(_labels(last), itertools.cycle(STYLES), strict=False):
        values = last.sel(surrogate=label).values
        if np.isfinite(values).any():
            ax.plot(values, places, style.marker, color=style.colour, label=label)
    ax.axvline(0.9, color="black", linewidth=0.8)
    ax.set(yticks=places, yticklabels=problems, xlabel="share of test values in 90% intervals", xlim=(0, 1.02))
    ax.invert_yaxis()
    ax.legend(fontsize="small")
    return ax


def _run(result: xr.DataTree) -> tuple[xr.Dataset, xr.Dataset]:
    if schema.EVALUATIONS not in result.children or schema.OPTIMISATION not in result.children:
        raise InputError("the result is not one of optimize; pass one, or use plot_regret for one of compare.")
    return result[schema.OPTIMISATION].to_dataset(), result[schema.EVALUATIONS].to_dataset()


def _objectives(result: xr.DataTree) -> list[str]:
    return list(json.loads(result.attrs[schema.METHOD])["maximise"])


def _outputs(result: xr.DataTree, rows: xr.Dataset) -> list[str]:
    """All outputs, the objectives first."""
    return list(dict.fromkeys([*_objectives(result), *(str(each) for each in rows[schema.OUTPUT].values)]))


def _study(result: xr.DataTree, group: str) -> xr.Dataset:
    if group not in result.children or schema.SURROGATE not in result[group].to_dataset().coords:
        raise InputError("the result is not one of compare; pass one, or use plot_progress for one of optimize.")
    return result[group].to_dataset()


def _labels(dataset: xr.Dataset | xr.DataArray) -> list[str]:
    return [str(label) for label in dataset[schema.SURROGATE].values]


def _problem(dataset: xr.Dataset, problem: str | None) -> str:
    known = [str(name) for name in dataset[schema.STUDY_PROBLEM].values]
    if problem is None and len(known) > 1:
        raise InputError(f"the study has the problems {some_of(known)}; name one.")
    return _one(problem, known, "problem")


def _one(wanted: str | None, known: list[str], what: str) -> str:
    if wanted is not None and wanted not in known:
        raise InputError(f"the result has no {what} {wanted!r}; it has {some_of(known)}.")
    return wanted or known[0]
