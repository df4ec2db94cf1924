"""Pictures of a result: solution and band, error against its prediction, noise, parameters, residuals."""

import itertools

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes

from uqkit.errors import InputError
from uqkit.plots import STYLES, new_axes
from uqkit.results import schema

__all__ = [
    "plot_error",
    "plot_evidence",
    "plot_gradients",
    "plot_noise",
    "plot_parameter",
    "plot_residual",
    "plot_solution",
    "plot_training",
]

# A range of residuals beyond this factor is drawn on a logarithmic axis.
_LOG_FROM = 30.0
# Least ratio of the ends of a logarithmic axis.
_LEAST_SPAN = 30.0
# Labelled ticks on either side of zero.
_N_TICKS = 3


def _coordinates(estimates: xr.Dataset, name: str) -> tuple[str, ...]:
    return tuple(str(dim) for dim in estimates[name].dims)


def _label(variable: xr.DataArray, name: str) -> str:
    unit = variable.attrs["units"]
    return name if unit == "1" else f"{name} [{unit}]"


def _field_name(estimates: xr.Dataset, name: str | None) -> str:
    fields = [
        str(entry)
        for entry, variable in estimates.data_vars.items()
        if variable.ndim and schema.standard_error(str(entry)) in estimates
    ]
    if name is not None and name not in fields:
        raise InputError(f"no field {name!r} in this result; there are {', '.join(fields)}.")
    return fields[0] if name is None else name


def plot_solution(
    result: xr.DataTree, field: str | None = None, *, at: dict[str, float] | None = None, ax: Axes | None = None
) -> Axes:
    """A field with its 95% band, over one coordinate; over two, as a map of its mean.

    Args:
        result: Of `uqkit.pinn.infer`.
        field: An output or derived quantity; the first by default.
        at: Coordinates held at a value (the nearest of the grid), to draw a cut with its band.
        ax: Where to draw; a new figure by default.

    Raises:
        InputError: If there is no such field, or more than two coordinates are left.
    """
    estimates = result[schema.ESTIMATES].to_dataset()
    name = _field_name(estimates, field)
    cut = estimates.sel(at or {}, method="nearest") if at else estimates
    left = _coordinates(cut, name)
    where = ", ".join(f"{dim} = {float(cut[dim]):.3g}" for dim in at or {})
    if len(left) > 2 or not left:
        raise InputError(
            f"{name} has the coordinates {', '.join(_coordinates(estimates, name))}; hold all but one or two of them "
            "with "
            "`at`, as in at={'t': 0.5}."
        )
    ax = new_axes(ax)
    if len(left) == 2:
        first, second = left
        image = ax.pcolormesh(
            cut[first], cut[second], cut[name].transpose(second, first), cmap="viridis", shading="auto"
        )
        ax.figure.colorbar(image, ax=ax, label=_label(cut[name], name))
        ax.set(xlabel=_label(cut[first], first), ylabel=_label(cut[second], second), title=where)
        return ax
    (along,) = left
    axis = np.asarray(cut[along])
    ends = cut[schema.lower(name)].values, cut[schema.upper(name)].values
    ax.fill_between(axis, *ends, color=STYLES[0].colour, alpha=0.25, linewidth=0, label="95% band")
    ax.plot(axis, cut[name], STYLES[0].line, color=STYLES[0].colour, label="posterior mean")
    known = _reference(result, name)
    if known is not None:
        exact = known.sel(at or {}, method="nearest") if at else known
        ax.plot(axis, exact, STYLES[1].line, color=STYLES[2].colour, linewidth=1, label="reference")
    if not at:
        _draw_sensors(result, name, along, ax)
    ax.set(xlabel=_label(cut[along], along), ylabel=_label(cut[name], name), title=where)
    ax.legend(frameon=False)
    return ax


def _reference(result: xr.DataTree, name: str) -> xr.DataArray | None:
    constant = result[schema.CONSTANT_DATA].to_dataset()
    return constant.get(f"{name}_reference")


def _draw_sensors(result: xr.DataTree, name: str, along: str, ax: Axes) -> None:
    """Measured values of the field itself, where a constraint is named to be that."""
    constant = result[schema.CONSTANT_DATA].to_dataset()
    sensors = [str(label).removesuffix("_target") for label in constant if constant[label].attrs.get("field") == name]
    for sensor, style in zip(sensors, itertools.cycle(STYLES[4:]), strict=False):
        points = constant[f"{sensor}_coordinates"].sel({schema.COORDINATE: along})
        values = constant[f"{sensor}_target"]
        ax.plot(points, values, style.marker, color=style.colour, markersize=5, label=f"data: {sensor}")


def plot_error(result: xr.DataTree, field: str | None = None, *, ax: Axes | None = None) -> Axes:
    """The error of a field against the standard deviation that was predicted, point by point.

    Points on the dashed line err by one standard deviation, those above the dotted one by more than two.

    Args:
        result: Of `uqkit.pinn.infer`, for a problem whose solution is known.
        field: An output or derived quantity; the first by default.
        ax: Where to draw; a new figure by default.

    Raises:
        InputError: If there is no such field or no reference for it.
    """
    estimates = result[schema.ESTIMATES].to_dataset()
    name = _field_name(estimates, field)
    known = _reference(result, name)
    if known is None:
        raise InputError(
            f"the problem {result.attrs[schema.PROBLEM]!r} has no reference for {name}, so its error is unknown."
        )
    error = np.abs(estimates[name].values - known.values).ravel()
    deviation = estimates[schema.standard_error(name)].values.ravel()
    ax = new_axes(ax)
    ax.loglog(deviation, np.maximum(error, np.finfo(float).tiny), ".", color=STYLES[0].colour, markersize=3, alpha=0.5)
    ends = np.array([deviation.min(), deviation.max()])
    ax.loglog(ends, ends, STYLES[1].line, color=STYLES[2].colour, label="1 standard deviation")
    ax.loglog(ends, 1.96 * ends, STYLES[3].line, color=STYLES[4].colour, label="95%: 1.96 standard deviations")
    ax.set_ylim(bottom=max(1e-3 * float(np.median(error)), np.finfo(float).tiny))
    # A logarithmic axis of less than a decade would label its minor ticks, one over the other.
    widen = max(1.2, np.sqrt(_LEAST_SPAN * ends[0] / ends[1]))
    ax.set_xlim(ends[0] / widen, ends[1] * widen)
    unit = "" if known.attrs["units"] == "1" else f" [{known.attrs['units']}]"
    ax.set(xlabel=f"posterior standard deviation of {name}{unit}", ylabel=f"error of {name}{unit}")
    ax.legend(frameon=False)
    return ax


def plot_noise(result: xr.DataTree, *, ax: Axes | None = None) -> Axes:
    """What each constraint leaves: its residual at its points and at fresh ones, over its scale.

    Args:
        result: Of `uqkit.pinn.infer`.
        ax: Where to draw; a new figure by default.
    """
    noise = result[schema.NOISE].to_dataset()
    names = [str(name) for name in noise[schema.CONSTRAINT].values]
    positions = np.arange(len(names), dtype=float)[::-1]
    ax = new_axes(ax, height=1.2 + 0.6 * len(names))
    for variable, style, label in (
        (schema.RMS_RESIDUAL, STYLES[0], "at its own points"),
        (schema.HELD_OUT_RESIDUAL, STYLES[1], "at fresh points"),
    ):
        if noise[variable].isnull().all():
            continue
        ax.plot(noise[variable], positions, style.marker, color=style.colour, markersize=7, label=label)
    ax.axvline(1.0, color=STYLES[2].colour, linewidth=0.8, linestyle=":")
    shown = np.concatenate([noise[schema.RMS_RESIDUAL].values, noise[schema.HELD_OUT_RESIDUAL].values, [1.0]])
    shown = shown[np.isfinite(shown) & (shown > 0)]
    if shown.max() > _LOG_FROM * shown.min():
        ax.set_xscale("log")
    else:
        ax.set_xlim(left=0.0)
    labels = [
        f"{name}\nscale {scale:.2g}" + (f" ± {error:.1g}" if error > 0 else "")
        for name, scale, error in zip(
            names,
            noise[schema.NOISE_SCALE].values,
            noise[schema.standard_error(schema.NOISE_SCALE)].values,
            strict=True,
        )
    ]
    ax.set_yticks(positions, labels)
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set_xlabel("residual / noise scale or tolerance")
    ax.legend(frameon=False)
    return ax


def plot_parameter(result: xr.DataTree, parameter: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Posterior of a parameter with its 95% interval, and the reference where there is one.

    Args:
        result: Of `uqkit.pinn.infer`.
        parameter: Its name; the first by default.
        ax: Where to draw; a new figure by default.

    Raises:
        InputError: If the problem has no such parameter.
    """
    posterior = result[schema.POSTERIOR].to_dataset() if schema.POSTERIOR in result.children else xr.Dataset()
    names = [str(name) for name in posterior.data_vars]
    if not names or (parameter is not None and parameter not in names):
        raise InputError(f"no parameter {parameter!r} in this result; there are {', '.join(names) or 'none'}.")
    name = names[0] if parameter is None else parameter
    values = posterior[name].values.ravel()
    ax = new_axes(ax)
    ax.hist(values, bins=40, density=True, color=STYLES[0].colour, alpha=0.35, label="posterior")
    estimates = result[schema.ESTIMATES].to_dataset()
    if name in estimates:
        ends = [float(estimates[end(name)]) for end in (schema.lower, schema.upper)]
    else:
        ends = np.quantile(values, [0.025, 0.975]).tolist()
    for end in ends:
        ax.axvline(end, color=STYLES[0].colour, linewidth=1, linestyle=STYLES[3].line)
    known = result[schema.CONSTANT_DATA].to_dataset().get(f"{name}_reference")
    if known is not None:
        ax.axvline(float(known), color=STYLES[4].colour, linestyle=STYLES[1].line, label="reference")
    ax.set(xlabel=_label(posterior[name], name), ylabel="density", title=f"95% interval [{ends[0]:.4g}, {ends[1]:.4g}]")
    ax.legend(frameon=False)
    return ax


def plot_residual(result: xr.DataTree, constraint: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Residual of a constraint at its points, in units of its noise scale.

    Args:
        result: Of `uqkit.pinn.infer`.
        constraint: Its name; the first by default.
        ax: Where to draw; a new figure by default.

    Raises:
        InputError: If there is no such constraint, or it has more than two coordinates.
    """
    names = [str(name) for name in result[schema.NOISE].to_dataset()[schema.CONSTRAINT].values]
    if constraint is not None and constraint not in names:
        raise InputError(f"no constraint {constraint!r} in this result; there are {', '.join(names)}.")
    name = names[0] if constraint is None else constraint
    constant = result[schema.CONSTANT_DATA].to_dataset()
    points, residual = constant[f"{name}_coordinates"], constant[f"{name}_residual"]
    labels = [str(label) for label in points[schema.COORDINATE].values]
    ax = new_axes(ax)
    if len(labels) == 1:
        ax.plot(points.values[:, 0], residual, STYLES[0].marker, color=STYLES[0].colour, markersize=3)
        ax.axhline(0.0, color=STYLES[2].colour, linewidth=0.8)
        ax.set(xlabel=labels[0], ylabel=f"residual of {name} / scale")
        return ax
    if len(labels) > 2:
        raise InputError(f"{name} has {len(labels)} coordinates; residual maps are drawn for one or two.")
    reach = _largest(residual.values)
    dots = ax.scatter(*points.values.T, c=residual, cmap="RdBu_r", vmin=-reach, vmax=reach, s=12)
    ax.figure.colorbar(dots, ax=ax, label=f"residual of {name} / scale")
    ax.set(xlabel=labels[0], ylabel=labels[1])
    return ax


def _largest(values: Float[np.ndarray, "..."]) -> float:
    return float(np.max(np.abs(values))) or 1.0


def plot_evidence(result: xr.DataTree, *, ax: Axes | None = None) -> Axes:
    """How the basis was chosen: what each candidate was judged by.

    Args:
        result: Of `uqkit.pinn.infer`.
        ax: Where to draw; a new figure by default.
    """
    evidence = result[schema.EVIDENCE].to_dataset()
    by_evidence = evidence.attrs[schema.CRITERION] == schema.LOG_EVIDENCE
    name = schema.LOG_EVIDENCE if by_evidence else schema.HELD_OUT_RESIDUAL
    ax = new_axes(ax)
    axis = evidence[schema.CANDIDATE].values
    ax.plot(axis, evidence[name], STYLES[0].line, marker=STYLES[0].marker, color=STYLES[0].colour)
    taken = evidence[schema.CHOSEN].values == 1
    ax.plot(
        axis[taken],
        evidence[name].values[taken],
        STYLES[4].marker,
        color=STYLES[4].colour,
        markersize=10,
        label="taken",
    )
    if by_evidence:
        finite = evidence[name].values[np.isfinite(evidence[name].values)]
        ax.set_ylim(bottom=max(float(finite.min()), float(finite.max()) - 50.0), top=float(finite.max()) + 5.0)
        ax.set_xscale("log")
    else:
        ax.set_yscale("log")
    ax.set(xlabel=evidence[schema.CANDIDATE].attrs["long_name"], ylabel=evidence[name].attrs["long_name"])
    ax.legend(frameon=False)
    return ax


def plot_training(result: xr.DataTree, *, ax: Axes | None = None) -> Axes:
    """How a network was trained: each constraint's loss and its weight over the steps of Adam, or the objective.

    Args:
        result: Of `uqkit.pinn.infer` with a `Network`.
        ax: Where to draw; a new figure by default.

    Raises:
        InputError: If nothing was trained.
    """
    optimisation = result[schema.OPTIMISATION].to_dataset()
    if schema.LOSS not in optimisation and schema.TRAINING_OBJECTIVE not in optimisation:
        raise InputError("this result holds no training; it is of features that are solved for at once.")
    ax = new_axes(ax)
    ax.set_yscale("log")
    if schema.LOSS not in optimisation:
        objective = optimisation[schema.TRAINING_OBJECTIVE]
        ax.plot(objective, STYLES[0].line, color=STYLES[0].colour)
        ax.set(xlabel="iteration", ylabel=f"{schema.OBJECTIVE} [nats]")
        return ax
    names = [str(name) for name in optimisation[schema.CONSTRAINT].values]
    balanced = bool((optimisation[schema.BALANCE] != 1.0).any())
    for style, name in zip(itertools.cycle(STYLES), names, strict=False):
        part = optimisation.sel({schema.CONSTRAINT: name})
        ax.plot(part[schema.STEP], part[schema.LOSS], style.line, color=style.colour, linewidth=1.0, label=name)
        if balanced and bool((part[schema.BALANCE] != 1.0).any()):
            label = f"weight of {name}"
            ax.plot(part[schema.STEP], part[schema.BALANCE], ":", color=style.colour, linewidth=1.5, label=label)
    ax.set(xlabel="step", ylabel="loss and weight" if balanced else "loss")
    ax.legend(frameon=False)
    return ax


def plot_gradients(result: xr.DataTree, layer: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Histograms of each constraint's gradient by the weights of one layer: whether all constraints are heard.

    Losses that were balanced while training are drawn with the weights that they ended with.

    Args:
        result: Of `uqkit.pinn.infer` with a `Network`.
        layer: Name of its array of weights, as "hidden.1.weight"; the last hidden layer by default.
        ax: Where to draw; a new figure by default.

    Raises:
        InputError: If the fields are no network, or it has no such layer.

    Reference:
        Wang, Teng & Perdikaris (2021), SIAM Journal on Scientific Computing 43(5), A3055, figures 2 and 3.
    """
    optimisation = result[schema.OPTIMISATION].to_dataset()
    if schema.GRADIENT not in optimisation:
        raise InputError("this result holds no gradients; they are those of field=Network(...).")
    layers = list(dict.fromkeys(str(name) for name in optimisation[schema.LAYER].values))
    hidden = [name for name in layers if name.startswith("hidden") and name.endswith("weight")]
    name = hidden[-1] if layer is None and hidden else layer
    if name not in layers:
        raise InputError(f"no layer {name!r} in this network; there are {', '.join(layers)}.")
    gradient = optimisation[schema.GRADIENT].isel({schema.NETWORK_WEIGHT: optimisation[schema.LAYER].values == name})
    ax = new_axes(ax)
    reach = _largest(gradient.values)
    smallest = max(float(np.quantile(np.abs(gradient.values), 0.05)), 1e-9 * reach)
    # Linear around zero, where the gradients of a constraint that is not heard pile up.
    ax.set_xscale("symlog", linthresh=smallest)
    positive = np.geomspace(smallest, reach, 25)
    edges = np.concatenate([-positive[::-1], [0.0], positive])
    powers = np.arange(np.floor(np.log10(reach)), np.log10(smallest), -1.0)
    ticks = 10.0 ** powers[:: max(1, -(-len(powers) // _N_TICKS))]
    ax.set_xticks([*-ticks, 0.0, *ticks[::-1]])
    for style, constraint in zip(itertools.cycle(STYLES), gradient[schema.CONSTRAINT].values, strict=False):
        values = gradient.sel({schema.CONSTRAINT: constraint}).values
        ax.hist(
            values, edges.tolist(), histtype="step", color=style.colour, linestyle=style.line, label=str(constraint)
        )
    ax.set(xlabel=f"derivative of the loss by {name}", ylabel="weights")
    ax.legend(frameon=False)
    return ax
