"""Pictures of sensitivity results; each function draws one axes and returns it."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from uqkit.errors import InputError
from uqkit.plots import STYLES, interval_band, interval_points, new_axes
from uqkit.results import schema, some_of

__all__ = [
    "plot_convergence",
    "plot_expectations",
    "plot_field_indices",
    "plot_indices",
    "plot_known_means",
    "plot_output",
    "plot_second_order",
    "plot_weights",
]

_NAMES = {"first": schema.SOBOL_FIRST, "total": schema.SOBOL_TOTAL}
_LABELS = {"first": "first-order index", "total": "total index"}
# More pairs than these do not fit one axes legibly.
_MOST_PAIRS = 20


def _one_output(dataset: xr.Dataset, output: str | None) -> xr.Dataset:
    known = [str(label) for label in dataset[schema.OUTPUT].values]
    if output is None and len(known) > 1:
        raise InputError(f"the result has the outputs {some_of(known)}; name one, output=...")
    if output is not None and output not in known:
        raise InputError(f"the result has no output {output!r}; it has {some_of(known)}.")
    return dataset.sel({schema.OUTPUT: output or known[0]})


def _elided(name: object, most: int = 24) -> str:
    """A label that leaves room for the picture."""
    text = str(name)
    return text if len(text) <= most else f"{text[: most // 2 - 1]}…{text[-(most // 2) :]}"


def _factor(dataset: xr.Dataset) -> str:
    return schema.GROUP if schema.GROUP in dataset.dims else schema.INPUT


def _interval(dataset: xr.Dataset, variable: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    names = (variable, schema.lower(variable), schema.upper(variable))
    value, lower, upper = (dataset[name].values for name in names)
    return value, lower, upper


def _percent(dataset: xr.Dataset, variable: str) -> str:
    return f"{dataset[schema.lower(variable)].attrs[schema.PROBABILITY]:.0%} intervals"


def _present(dataset: xr.Dataset) -> dict[str, str]:
    found = {short: variable for short, variable in _NAMES.items() if variable in dataset}
    if not found:
        raise InputError("the result has neither first-order nor total indices; ask for them with `order=`.")
    return found


def plot_indices(result: xr.DataTree, *, output: str | None = None, ax: Axes | None = None) -> Axes:
    """First-order and total indices of one output with their intervals, one line an input or group.

    Args:
        result: What `sobol_indices` returned.
        output: Which output; may be left out where there is one.
        ax: Where to draw; a new figure by default.
    """
    estimates = _one_output(result[schema.ESTIMATES].to_dataset(), output)
    found = _present(estimates)
    factor = _factor(estimates)
    names = [str(name) for name in estimates[factor].values]
    ax = new_axes(ax, height=1.2 + 0.42 * len(names))
    rows = np.arange(len(names), dtype=float)
    offsets = np.linspace(-0.15, 0.15, len(found)) if len(found) > 1 else [0.0]
    for (short, variable), style, offset in zip(found.items(), STYLES, offsets, strict=False):
        interval_points(ax, rows + offset, *_interval(estimates, variable), style, _LABELS[short])
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    ax.set_yticks(rows, [_elided(name) for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel(f"share of the variance ({_percent(estimates, next(iter(found.values())))})")
    ax.set_title(f"Sobol' indices: {result.attrs[schema.PROBLEM]}, {estimates[schema.OUTPUT].item()}")
    ax.legend(loc="best", framealpha=0.9)
    ax.grid(axis="x", alpha=0.3)
    return ax


def plot_convergence(
    result: xr.DataTree, *, output: str | None = None, order: str = "total", ax: Axes | None = None
) -> Axes:
    """Indices of one output from the first rows of the design, against the evaluations these cost.

    Args:
        result: What `sobol_indices` returned.
        output: Which output; may be left out where there is one.
        order: "first" or "total".
        ax: Where to draw; a new figure by default.
    """
    steps = _one_output(result[schema.CONVERGENCE].to_dataset(), output)
    found = _present(steps)
    if order not in found:
        raise InputError(f"`order` is {order!r}; the result has the convergence of {', '.join(found)}.")
    factor = _factor(steps)
    ax = new_axes(ax)
    positions = steps[schema.N_EVALUATIONS].values.astype(float)
    # The largest first, so that the legend reads like the picture; the smallest would only crowd the zero line.
    final = steps[found[order]].isel({schema.N_EVALUATIONS: -1}).values
    shown = np.argsort(-np.nan_to_num(final), kind="stable")[: len(STYLES)]
    for rank, place in enumerate(shown):
        # Where there are enough styles each input keeps its own in every picture.
        style = STYLES[int(place) if len(final) <= len(STYLES) else rank]
        one = steps.isel({factor: int(place)})
        interval_band(ax, positions, *_interval(one, found[order]), style, _elided(one[factor].item()))
    ax.set_xscale("log", base=2)
    ax.set_xticks(positions, [f"{int(n):,}" for n in positions], rotation=30)
    ax.minorticks_off()
    # The first steps' intervals may be far wider than an index can be.
    ax.set_ylim(max(ax.get_ylim()[0], -0.25), min(ax.get_ylim()[1], 1.25))
    ax.set_xlabel("model evaluations")
    ax.set_ylabel(_LABELS[order])
    left_out = len(final) - len(shown)
    note = f", {len(shown)} largest" if left_out else ""
    ax.set_title(f"Convergence of {steps[schema.OUTPUT].item()} ({_percent(steps, found[order])}{note})")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    ax.grid(alpha=0.3)
    return ax


def plot_second_order(result: xr.DataTree, *, output: str | None = None, ax: Axes | None = None) -> Axes:
    """Second-order indices of one output with their intervals, the largest pairs first.

    Args:
        result: What `sobol_indices` returned, with second order.
        output: Which output; may be left out where there is one.
        ax: Where to draw; a new figure by default.
    """
    estimates = _one_output(result[schema.ESTIMATES].to_dataset(), output)
    if schema.SOBOL_SECOND not in estimates:
        raise InputError(
            "the result has no second-order indices; ask for them with order=('first', 'total', 'second')."
        )
    names = [str(name) for name in estimates[_factor(estimates)].values]
    i, j = np.triu_indices(len(names), k=1)
    value, lower, upper = (part[i, j] for part in _interval(estimates, schema.SOBOL_SECOND))
    largest = np.argsort(-np.nan_to_num(value), kind="stable")[:_MOST_PAIRS]
    ax = new_axes(ax, height=1.2 + 0.3 * len(largest))
    rows = np.arange(len(largest), dtype=float)
    interval_points(ax, rows, value[largest], lower[largest], upper[largest], STYLES[0], "second order")
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    ax.set_yticks(rows, [f"{_elided(names[i[k]])} x {_elided(names[j[k]])}" for k in largest])
    ax.set_ylim(len(largest) - 0.5, -0.5)
    ax.set_xlabel(f"share of the variance ({_percent(estimates, schema.SOBOL_SECOND)})")
    some = f", {len(largest)} largest of {len(value)} pairs" if len(largest) < len(value) else ""
    ax.set_title(f"Interactions of {estimates[schema.OUTPUT].item()}{some}")
    ax.grid(axis="x", alpha=0.3)
    return ax


def plot_field_indices(result: xr.DataTree, dim: str, *, order: str = "total", ax: Axes | None = None) -> Axes:
    """Indices of a field-valued output along one of its dimensions, one line an input or group.

    Args:
        result: What `sobol_indices` returned, of a model with an output on dimensions.
        dim: The dimension to draw along, the output's only one.
        order: "first" or "total".
        ax: Where to draw; a new figure by default.
    """
    estimates = result[schema.ESTIMATES].to_dataset()
    found = _present(estimates)
    if order not in found:
        raise InputError(f"`order` is {order!r}; the result has {', '.join(found)}.")
    if dim not in estimates.coords or estimates[dim].dims != (schema.OUTPUT,) or estimates[dim].dtype.kind not in "iuf":
        raise InputError(f"no output of the result has the numeric dimension {dim!r}.")
    along = estimates.isel({schema.OUTPUT: np.flatnonzero(np.isfinite(estimates[dim].values))})
    positions = along[dim].values.astype(float)
    if len(np.unique(positions)) < len(positions):
        raise InputError(f"several outputs share values of {dim!r}; select one first, with result.sel on `output`.")
    factor = _factor(along)
    ax = new_axes(ax)
    for place, style in zip(range(along.sizes[factor]), STYLES * along.sizes[factor], strict=False):
        one = along.isel({factor: place})
        interval_band(ax, positions, *_interval(one, found[order]), style, _elided(one[factor].item()))
    ax.set_xlabel(dim)
    ax.set_ylabel(_LABELS[order])
    ax.set_title(f"Sobol' indices along {dim}: {result.attrs[schema.PROBLEM]}")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    ax.grid(alpha=0.3)
    return ax


def plot_output(result: xr.DataTree, *, output: str | None = None, ax: Axes | None = None) -> Axes:
    """What the model answered: a histogram of one output over the design, its mean and standard deviation marked.

    Args:
        result: What `sobol_indices` returned.
        output: Which output; may be left out where there is one.
        ax: Where to draw; a new figure by default.
    """
    estimates = _one_output(result[schema.ESTIMATES].to_dataset(), output)
    label = str(estimates[schema.OUTPUT].item())
    values = _one_output(result[schema.EVALUATIONS].to_dataset(), label)[schema.OUTPUT_VALUE].values
    ax = new_axes(ax)
    ax.hist(values[np.isfinite(values)], bins=60, density=True, color=STYLES[0].colour, alpha=0.35)
    mean, variance = (float(estimates[name]) for name in (schema.OUTPUT_MEAN, schema.OUTPUT_VARIANCE))
    ax.axvline(
        mean,
        color="black",
        label=f"mean {mean:.4g} ± {float(estimates[schema.standard_error(schema.OUTPUT_MEAN)]):.1g}",
    )
    for sign in (-1, 1):
        ax.axvline(
            mean + sign * variance**0.5,
            color="black",
            linestyle="--",
            label=f"± standard deviation {variance**0.5:.4g}" if sign == 1 else None,
        )
    units = str(estimates["output_units"].item())
    ax.set_xlabel(label if units == "1" else f"{label} ({units})")
    ax.set_ylabel("density")
    ax.set_title(f"Output of {result.attrs[schema.PROBLEM]}")
    ax.legend(loc="best", framealpha=0.9)
    return ax


def plot_expectations(result: xr.DataTree, *, function: str | None = None, ax: Axes | None = None) -> Axes:
    """Expectations with their intervals: of every function, or of one function under every law.

    Args:
        result: What `expectations` returned.
        function: Which function, where there are several and laws too.
        ax: Where to draw; a new figure by default.
    """
    estimates = result[schema.ESTIMATES].to_dataset()
    if schema.EXPECTATION not in estimates:
        raise InputError("the result has no expectations; use plot_indices for Sobol' indices.")
    known = [str(name) for name in estimates[schema.FUNCTION].values]
    if function is not None and function not in known:
        raise InputError(f"the result has no function {function!r}; it has {', '.join(known)}.")
    rows = schema.FUNCTION
    if schema.LAW in estimates.dims:
        if function is None and len(known) > 1:
            raise InputError(f"the result has the functions {', '.join(known)} under laws; name one, function=...")
        estimates, rows = estimates.sel({schema.FUNCTION: function or known[0]}), schema.LAW
    elif function is not None:
        estimates = estimates.sel({schema.FUNCTION: [function]})
    names = [str(name) for name in estimates[rows].values]
    value, lower, upper = _interval(estimates, schema.EXPECTATION)
    ax = new_axes(ax, height=1.2 + 0.22 * min(len(names), 40))
    interval_points(ax, np.arange(len(names), dtype=float), value, lower, upper, STYLES[0], "expectation")
    ax.set_ylim(len(names) - 0.5, -0.5)
    if len(names) <= 40:
        ax.set_yticks(np.arange(len(names)), names)
    else:
        ax.set_ylabel(f"{rows}, in order")
    if (lower > 0).all() and upper.max() > 100 * lower.min():
        ax.set_xscale("log")
    units = estimates[schema.EXPECTATION].attrs["units"]
    of = "" if units == "1" or units.startswith("see") else f", {units}"
    ax.set_xlabel(f"expectation{of} ({_percent(estimates, schema.EXPECTATION)})")
    what = f"{estimates[schema.FUNCTION].item()} under {len(names)} laws" if rows == schema.LAW else "expectations"
    ax.set_title(f"{result.attrs[schema.PROBLEM]}: {what}")
    ax.grid(axis="x", alpha=0.3)
    return ax


def plot_weights(result: xr.DataTree, *, law: str | None = None, ax: Axes | None = None) -> Axes:
    """How evenly the final sample speaks for a law: a histogram of the weights f/g on a logarithmic axis.

    Args:
        result: What `expectations` returned.
        law: Which law; may be left out where there is one.
        ax: Where to draw; a new figure by default.
    """
    if schema.WEIGHTED_SAMPLE not in result.children:
        raise InputError("the result has no weighted sample; it is of another method.")
    sample = result[schema.WEIGHTED_SAMPLE].to_dataset()
    if schema.LAW in sample.dims:
        known = [str(name) for name in sample[schema.LAW].values]
        if law not in known:
            raise InputError(f"the result has the laws {', '.join(known[:8])}; name one of them, law=...")
        sample = sample.sel({schema.LAW: law})
    log_weight = sample[schema.LOG_WEIGHT].values.ravel()
    shown = log_weight[np.isfinite(log_weight) & (log_weight > log_weight.max() - 50)] / np.log(10)
    weight = np.exp(log_weight - log_weight.max())
    effective = weight.sum() ** 2 / (weight**2).sum()
    ax = new_axes(ax)
    ax.hist(shown, bins=60, color=STYLES[0].colour, alpha=0.5)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlabel("weight f/g, power of ten")
    ax.set_ylabel("draws")
    ax.set_title(f"Weights: {effective:,.0f} effective of {len(log_weight):,} draws")
    return ax


def plot_known_means(result: xr.DataTree, *, ax: Axes | None = None) -> Axes:
    """Checks of the sampler: z-scores of means that are known, with the band that holds 95% of right ones.

    Args:
        result: What an importance sampler made.
        ax: Where to draw; a new figure by default.
    """
    diagnostics = result[schema.DIAGNOSTICS].to_dataset()
    if schema.CONTROL_Z not in diagnostics:
        raise InputError("the result has no known means; it is of another method.")
    control, law = (np.atleast_1d(diagnostics[name].values) for name in (schema.CONTROL_Z, schema.LAW_Z))
    ax = new_axes(ax)
    ax.axhspan(-1.96, 1.96, color="0.9", zorder=0)
    for values, style, label, start in (
        (law, STYLES[1], "mean of f/g", 0),
        (control, STYLES[0], "controls", len(law)),
    ):
        positions = start + np.arange(len(values))
        ax.plot(positions, values, style.marker, color=style.colour, markersize=4, label=label)
    largest = float(np.abs(np.concatenate([control, law])).max())
    ax.set_ylim(-max(4.0, 1.1 * largest), max(4.0, 1.1 * largest))
    ax.set_xlabel("known mean, in order")
    ax.set_ylabel("z-score")
    ax.set_title(f"Known means: verdict {diagnostics[schema.VERDICT].item()}")
    ax.legend(loc="best", framealpha=0.9)
    return ax
