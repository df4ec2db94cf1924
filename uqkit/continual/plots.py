"""Pictures of what was learned and kept; each function draws one axes and returns it."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from uqkit.errors import InputError
from uqkit.plots import STYLES, interval_band, interval_points, new_axes
from uqkit.results import schema

__all__ = ["plot_accuracy", "plot_accuracy_matrix", "plot_calibration", "plot_transfer", "plot_weights"]

_MATRICES = (schema.ACCURACY, schema.LOG_SCORE, schema.BRIER, schema.CALIBRATION_ERROR)
_SUMMARIES = (
    schema.LEARNING_ACCURACY,
    schema.AVERAGE_ACCURACY,
    schema.BACKWARD_TRANSFER,
    schema.FORWARD_TRANSFER,
    schema.FORGETTING,
)


def plot_accuracy_matrix(
    result: xr.DataTree, estimate: str = "accuracy", *, decoder: str | None = None, ax: Axes | None = None
) -> Axes:
    """Every task's accuracy after every task, as a matrix with its numbers; below the diagonal is what was kept.

    Args:
        result: What `learn` returned, or a theory's prediction.
        estimate: "accuracy", "log_score", "brier" or "expected_calibration_error".
        decoder: The result's first by default.
        ax: Where to draw; a new figure by default.
    """
    values = _matrix(result, estimate, decoder)[0]
    n, names = len(values), list(values[schema.TASK_EVALUATED].values)
    ax = new_axes(ax, width=1.6 + 0.75 * n, height=1.4 + 0.6 * n)
    shown = values.values
    image = ax.imshow(shown, cmap="cividis", aspect="auto")
    low, high = image.get_clim()
    for row in range(n):
        for column in range(n):
            share = (shown[row, column] - low) / (high - low) if high > low else 0.0
            ax.text(
                column,
                row,
                f"{shown[row, column]:.2f}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if share < 0.55 else "black",
                fontweight="bold" if row == column else "normal",
            )
    ax.set_xticks(range(n), names, rotation=30, ha="right")
    ax.set_yticks(range(n), list(values[schema.TASK_TRAINED].values))
    ax.set(title=_title(result, values), xlabel="judged on", ylabel="after learning")
    return ax


def plot_accuracy(
    result: xr.DataTree,
    estimate: str = "accuracy",
    *,
    theory: xr.DataTree | None = None,
    decoder: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Each task's accuracy from the moment it is learned to the end, and the average over the tasks seen.

    Args:
        result: What `learn` returned, or a simulation's.
        estimate: "accuracy", "log_score", "brier" or "expected_calibration_error"; the average goes with the first.
        theory: A prediction of the same tasks, drawn as lines under the result's points.
        decoder: The result's first by default.
        ax: Where to draw; a new figure by default.
    """
    value, lower, upper = _matrix(result, estimate, decoder)
    names = list(value[schema.TASK_EVALUATED].values)
    places = np.arange(1.0, len(names) + 1)
    ax = new_axes(ax, width=6.4, height=4.2)
    predicted = None if theory is None else _matrix(theory, estimate, decoder)[0].values
    if predicted is not None and predicted.shape != value.shape:
        raise InputError(
            f"the theory is of {len(predicted)} tasks, the result of {len(value)}; pass the same stream's."
        )
    for number, name in enumerate(names):
        style = STYLES[number % len(STYLES)]
        from_it = slice(number, None)
        middle, low, high = (part.values[from_it, number] for part in (value, lower, upper))
        if predicted is None:
            interval_band(ax, places[from_it], middle, low, high, style, str(name))
            continue
        ax.plot(places[from_it], predicted[from_it, number], style.line, color=style.colour, linewidth=1.2)
        error = np.abs(np.stack([low, high]) - middle)
        ax.errorbar(places[from_it], middle, error, fmt=style.marker, color=style.colour, label=str(name), capsize=2)
    if estimate == schema.ACCURACY and predicted is None:
        average = result[schema.ESTIMATES].to_dataset()[schema.AVERAGE_ACCURACY]
        ax.plot(
            places,
            average.sel(decoder=value[schema.DECODER].item()).values,
            color="black",
            linewidth=2,
            label="average of those seen",
        )
    ax.set(
        title=_title(result, value) + ("" if theory is None else "; lines: theory"),
        xlabel="tasks learned",
        ylabel=f"{value.attrs['long_name']} [{value.attrs['units']}]",
    )
    ax.set_xticks(places)
    ax.legend(fontsize=8)
    return ax


def plot_calibration(
    result: xr.DataTree, *, task: str | None = None, decoder: str | None = None, ax: Axes | None = None
) -> Axes:
    """Accuracy against confidence after the last task, in bins whose area shows their share of rows.

    Args:
        result: What `learn` returned.
        task: One task; all by default.
        decoder: All of the result by default.
        ax: Where to draw; a new figure by default.
    """
    estimates = result[schema.ESTIMATES].to_dataset()
    if schema.BIN_ACCURACY not in estimates:
        raise InputError("the result has no bins of confidence; pass one of uqkit.continual.learn.")
    decoders = list(estimates[schema.DECODER].values) if decoder is None else [_decoder(estimates, decoder)]
    ax = new_axes(ax, width=4.8, height=4.6)
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="calibrated")
    for place, one in enumerate(decoders):
        chosen = estimates.sel(decoder=one)
        chosen = chosen if task is None else chosen.sel(task_evaluated=[task])
        share = chosen[schema.BIN_SHARE].values
        total = share.sum(axis=0)
        kept = total > 0
        # An empty bin's NaN has no weight.
        confidence, accuracy = (
            (share * np.nan_to_num(chosen[name].values)).sum(axis=0)[kept] / total[kept]
            for name in (schema.BIN_CONFIDENCE, schema.BIN_ACCURACY)
        )
        style = STYLES[place % len(STYLES)]
        ax.plot(confidence, accuracy, style.line, color=style.colour, linewidth=1)
        area = 10 + 300 * total[kept] / total.sum()
        ax.scatter(confidence, accuracy, s=area, color=style.colour, marker=style.marker, alpha=0.7, label=str(one))
    which = "all tasks" if task is None else task
    ax.set(
        title=f"{result.attrs[schema.PROBLEM]}, {which}, after the last",
        xlabel="confidence [1]",
        ylabel="accuracy [1]",
        xlim=(0, 1.02),
        ylim=(0, 1.02),
    )
    ax.legend(fontsize=8, loc="upper left")
    return ax


def plot_transfer(result: xr.DataTree, *, ax: Axes | None = None) -> Axes:
    """What is learned, kept and passed on, with intervals, by decoder.

    Args:
        result: What `learn` returned.
        ax: Where to draw; a new figure by default.
    """
    estimates = result[schema.ESTIMATES].to_dataset()
    names = [name for name in _SUMMARIES if name in estimates]
    decoders = list(estimates[schema.DECODER].values)
    ax = new_axes(ax, width=6.0, height=0.9 + 0.6 * len(names))
    for place, decoder in enumerate(decoders):
        chosen = estimates.sel(decoder=decoder).isel({schema.TASK_TRAINED: -1})
        value, low, high = (
            np.array([chosen[end].item() for end in ends]) for ends in zip(*map(_ends, names), strict=True)
        )
        positions = np.arange(len(names)) + 0.16 * (place - (len(decoders) - 1) / 2)
        interval_points(ax, positions, value, low, high, STYLES[place % len(STYLES)], str(decoder))
    ax.axvline(0, color="0.6", linewidth=0.8)
    ax.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    ax.invert_yaxis()
    ax.set(title=result.attrs[schema.PROBLEM], xlabel="accuracy, or its change [1]")
    ax.legend(fontsize=8)
    return ax


def plot_weights(result: xr.DataTree, *, ax: Axes | None = None) -> Axes:
    """How sure each layer's weights are of their signs: the distribution of magnetisations.

    Args:
        result: What `learn` returned for a variational learner.
        ax: Where to draw; a new figure by default.
    """
    group = result[schema.VARIATIONAL].to_dataset()
    if schema.MAGNETISATION not in group:
        raise InputError("the result's weights have no law; pass one of a variational learner.")
    ax = new_axes(ax)
    layer, mean = group[schema.LAYER].values, group[schema.MAGNETISATION].values
    for number in np.unique(layer):
        style = STYLES[int(number) % len(STYLES)]
        ax.hist(
            mean[layer == number],
            bins=np.linspace(-1, 1, 61).tolist(),
            density=True,
            histtype="step",
            color=style.colour,
            linestyle=style.line,
            linewidth=1.5,
            label=f"layer {number}",
        )
    ax.set(
        title=result.attrs[schema.PROBLEM],
        xlabel="magnetisation, the mean of a weight [1]",
        ylabel="probability density [1]",
    )
    ax.legend(fontsize=8)
    return ax


def _matrix(result: xr.DataTree, estimate: str, decoder: str | None) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    if estimate not in _MATRICES:
        raise InputError(f"no matrix {estimate!r}; the matrices are {', '.join(_MATRICES)}.")
    estimates = result[schema.ESTIMATES].to_dataset()
    if estimate not in estimates:
        raise InputError(f"the result has no {estimate!r}; it has {', '.join(n for n in _MATRICES if n in estimates)}.")
    chosen = estimates.sel(decoder=_decoder(estimates, decoder))
    value, _, lower, upper = (chosen[end] for end in (estimate, *_all_ends(estimate)))
    return value, lower, upper


def _decoder(estimates: xr.Dataset, decoder: str | None) -> str:
    known = [str(name) for name in estimates[schema.DECODER].values]
    if decoder is None:
        return known[0]
    if decoder not in known:
        raise InputError(f"no decoder {decoder!r}; the result has {', '.join(known)}.")
    return decoder


def _all_ends(name: str) -> tuple[str, str, str]:
    return schema.standard_error(name), schema.lower(name), schema.upper(name)


def _ends(name: str) -> tuple[str, str, str]:
    return name, schema.lower(name), schema.upper(name)


def _title(result: xr.DataTree, values: xr.DataArray) -> str:
    return f"{result.attrs[schema.PROBLEM]}, {str(values[schema.DECODER].item()).replace('_', ' ')}"
