"""Pictures of a run of particles; each function draws one axes and returns it."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from uqkit.diffusion.diagnose import off_path, too_stiff
from uqkit.errors import InputError
from uqkit.plots import STYLES, interval_points, new_axes
from uqkit.results import schema, some_of

__all__ = ["plot_log_normalizer", "plot_moments", "plot_particles", "plot_path"]

_POSITION = "x"
_MOST_DRAWS = 4_000
# Places along each coordinate at which a log density is evaluated.
_N_GRID = 160
# Shares of the density's mass within its contours.
_MASSES = (0.99, 0.9, 0.5)
# Room for the ticks and the label of the axis.
_LEGEND_INCHES = -0.48

type GridValues = tuple[Any, Any, Any]


def plot_particles(
    result: xr.DataTree,
    coordinates: str | Sequence[str] | None = None,
    *,
    density: Callable[..., Any] | GridValues | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The equally weighted draws by two coordinates, or the histogram of one.

    Copies of one particle are one circle, as large in area as they are many.

    Args:
        result: What `sample` returned.
        coordinates: One or two names; the first two by default.
        density: What the draws should be of, to be drawn in contours that enclose 50, 90 and 99% of its mass. Of a
            target of two coordinates a JAX function of one point to its log density, up to a constant; of any other,
            values on a grid: (places along the first coordinate, along the second, log density (first, second)).
        ax: Where to draw; a new figure by default.

    Raises:
        InputError: If there is no such coordinate, or the density does not fit.
    """
    draws = _group(result, schema.POSTERIOR)[_POSITION]
    names = _coordinates(draws, coordinates)
    labels = [f"{name} [{draws['coordinate_units'].sel(coordinate=name).item()}]" for name in names]
    points = np.stack([draws.sel(coordinate=name).values for name in names], axis=-1)
    ax = new_axes(ax, width=5.4, height=4.4)
    ax.set(title=result.attrs[schema.PROBLEM], xlabel=labels[0])
    if len(names) == 1:
        if density is not None:
            raise InputError("`density` is drawn over two coordinates; name two, or leave it out.")
        ax.hist(points.ravel(), bins=60, density=True, color=STYLES[0].colour)
        unit = draws["coordinate_units"].sel(coordinate=names[0]).item()
        ax.set_ylabel(f"probability density [{unit if unit == '1' else f'1/({unit})'}]")
        return ax
    step = -(-points.shape[0] * points.shape[1] // _MOST_DRAWS)
    # Draws stand in random order, so that every so many-th of an island is a sample, too.
    shown, copies = np.unique(points[:, ::step].reshape(-1, 2), axis=0, return_counts=True)
    dots = ax.scatter(
        *shown.T, s=5.0 * copies, color=STYLES[0].colour, alpha=0.4, linewidths=0, zorder=1, label="draws"
    )
    ax.set_ylabel(labels[1])
    ax.margins(0.12)
    if density is not None:
        _draw_contours(ax, density, n_target=draws.sizes[schema.COORDINATE])
        masses = ", ".join(f"{mass:.0%}" for mass in _MASSES)
        _legend_below(ax, [dots, Line2D([], [], color="black", linewidth=0.8, label=f"{masses} of the density's mass")])
    return ax


def plot_path(result: xr.DataTree, *, ax: Axes | None = None) -> Axes:
    """Effective share of every island from noise to data, and the log normaliser so far of all of them.

    Triangles are resampling events. Steps that are shaded are those that the verdict complains of.

    Args:
        result: What `sample` returned.
        ax: Where to draw; a new figure by default.
    """
    path = _group(result, schema.PATH)
    share, due = path[schema.EFFECTIVE_SHARE].values, path[schema.RESAMPLED].values.astype(bool)
    island = path[schema.ISLAND_LOG_NORMALIZER].values
    steps = path[schema.STEP].values + 1
    ax = new_axes(ax, height=4.4)
    handles = list(_shaded(ax, result, path, steps))
    lines = ax.plot(steps, share, color=STYLES[0].colour, linewidth=0.8, alpha=0.7)
    lines[0].set_label("effective share of each island")
    handles.append(lines[0])
    if due.any():
        places, islands = np.nonzero(due)
        handles += ax.plot(
            steps[places],
            share[places, islands],
            STYLES[4].marker,
            color=STYLES[4].colour,
            markersize=4,
            label="resampled",
        )
    other = ax.twinx()
    pooled = np.logaddexp.reduce(island, axis=1) - np.log(island.shape[1])
    handles += other.plot(
        steps, pooled, STYLES[2].line, color=STYLES[2].colour, linewidth=1.5, label="log normaliser so far (right)"
    )
    ax.set(
        title=result.attrs[schema.PROBLEM],
        xlabel="step, from noise to data",
        ylabel="effective share of the particles [1]",
        xlim=(0, float(steps[-1]) + 1),
        ylim=(0, 1.03),
    )
    other.set_ylabel("log normaliser so far [nat]")
    other.margins(y=0.1)
    _legend_below(ax, handles)
    return ax


def plot_log_normalizer(
    result: xr.DataTree, reference: float | None = None, *, estimate: str | None = None, ax: Axes | None = None
) -> Axes:
    """The log normaliser of every island, the estimate of all with its interval, and a known value.

    Args:
        result: What `sample` returned.
        reference: The known value, in nats.
        estimate: "log_normalizer" by default, or "renyi_entropy" of a power of one expert.
        ax: Where to draw; a new figure by default.
    """
    estimates = _group(result, schema.ESTIMATES)
    known = [name for name in (schema.LOG_NORMALIZER, schema.RENYI_ENTROPY) if name in estimates]
    name = _one(estimate, known, "estimate")
    value, lower, upper = (float(estimates[f"{name}{end}"]) for end in ("", "_lower", "_upper"))
    island = _island_log_normalizers(result)
    if name == schema.RENYI_ENTROPY:
        island = island / (1.0 - float(_method(result)["exponents"][0]))
    ax = new_axes(ax)
    numbers = np.arange(1, len(island) + 1)
    probability = estimates[schema.lower(name)].attrs[schema.PROBABILITY]
    handles = [
        *ax.plot(numbers, island, STYLES[0].marker, color=STYLES[0].colour, markersize=5, label="islands"),
        ax.axhline(value, color=STYLES[1].colour, linewidth=2, label="estimate"),
        ax.axhspan(lower, upper, color=STYLES[1].colour, alpha=0.25, linewidth=0, label=f"{probability:.0%} interval"),
    ]
    if reference is not None:
        handles.append(ax.axhline(float(reference), color="black", linestyle="--", linewidth=1.2, label="reference"))
    ax.set(
        title=result.attrs[schema.PROBLEM],
        xlabel="island",
        ylabel=f"{name.replace('_', ' ').replace('normalizer', 'normaliser')} [{estimates[name].attrs['units']}]",
    )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    # Values that differ in the fifth digit are still read off the axis.
    ax.ticklabel_format(axis="y", useOffset=False)
    _legend_below(ax, handles)
    return ax


def plot_moments(
    result: xr.DataTree,
    reference: Mapping[str, Any] | None = None,
    *,
    coordinates: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Mean and standard deviation of the target along each coordinate, with intervals.

    Args:
        result: What `sample` returned.
        reference: Known values: "target_mean", "target_sd" or both, each with a number for every coordinate of the
            target.
        coordinates: Which ones; all by default.
        ax: Where to draw; a new figure by default.
    """
    estimates = _group(result, schema.ESTIMATES)
    names = [str(name) for name in estimates[schema.COORDINATE].values]
    chosen = list(names if coordinates is None else coordinates)
    for name in chosen:
        _one(name, names, "coordinate")
    for name, values in (reference or {}).items():
        _one(name, [schema.TARGET_MEAN, schema.TARGET_SD], "reference")
        if np.shape(values) != (len(names),):
            raise InputError(f"reference {name!r} has the shape {np.shape(values)}; pass {len(names)} numbers.")
    picked = estimates.sel(coordinate=chosen)
    kept = [names.index(name) for name in chosen]
    places = np.arange(len(chosen), dtype=float)
    ax = new_axes(ax, height=2.1 + 0.36 * len(chosen))
    for name, style, label, shift in (
        (schema.TARGET_MEAN, STYLES[0], "mean", -0.14),
        (schema.TARGET_SD, STYLES[1], "standard deviation", 0.14),
    ):
        value, lower, upper = (picked[f"{name}{end}"].values for end in ("", "_lower", "_upper"))
        interval_points(ax, places + shift, value, lower, upper, style, f"{label}, 95% interval")
        if reference is not None and name in reference:
            known = np.asarray(reference[name], dtype=float)[kept]
            ax.plot(known, places + shift, "|", color="black", markersize=11, label="reference")
    units = [str(unit) for unit in picked["coordinate_units"].values]
    alike = len(set(units)) == 1
    ax.set(
        title=result.attrs[schema.PROBLEM],
        yticks=places,
        yticklabels=chosen if alike else [f"{name} [{unit}]" for name, unit in zip(chosen, units, strict=True)],
        xlabel=f"moment of the target [{units[0]}]" if alike else "moment of the target, in each coordinate's unit",
        ylabel="coordinate",
    )
    ax.set_ylim(len(chosen) - 0.5, -0.5)
    handles, labels = ax.get_legend_handles_labels()
    _legend_below(ax, list(dict(zip(labels, handles, strict=True)).values()))
    return ax


def _draw_contours(ax: Axes, density: Callable[..., Any] | GridValues, *, n_target: int) -> None:
    if callable(density):
        if n_target != 2:
            raise InputError(
                f"`density` is a function, but the target has {n_target} coordinates and a picture two; pass values "
                "of the marginal on a grid: (places along the first, along the second, log density)."
            )
        first, second = (np.linspace(*ends, _N_GRID) for ends in (ax.get_xlim(), ax.get_ylim()))
        grid = np.stack(np.meshgrid(first, second, indexing="ij"), axis=-1)
        with jax.enable_x64(True):
            values = np.asarray(jax.jit(jax.vmap(jax.vmap(density)))(jnp.asarray(grid)))
    else:
        first, second, values = (np.asarray(each, dtype=float) for each in density)
        if values.shape != (len(first), len(second)):
            raise InputError(
                f"`density` has {len(first)} and {len(second)} places but log densities of shape {values.shape}; pass "
                "one a pair of places."
            )
    mass = np.exp(values - np.nanmax(values))
    levels = _levels(mass)
    if len(levels):
        ax.contour(first, second, mass.T, levels=levels, colors="black", linewidths=0.8, zorder=2)


def _levels(mass: Float[np.ndarray, "first second"]) -> Float[np.ndarray, " level"]:
    """Heights above which the density has the shares of mass, on an even grid."""
    height = np.sort(mass.ravel())[::-1]
    height = height[np.isfinite(height)]
    within = np.cumsum(height) / height.sum()
    return np.unique([height[np.searchsorted(within, share)] for share in _MASSES])


def _shaded(ax: Axes, result: xr.DataTree, path: xr.Dataset, steps: Float[np.ndarray, " step"] | Any) -> list[Any]:
    """Steps that the verdict complains of, in the colours of their reason."""
    stiff = too_stiff(path[schema.STIFFNESS].values)
    dim = _group(result, schema.POSTERIOR).sizes[schema.COORDINATE]
    off = off_path(path[schema.STEIN].values, dim)
    reasons = [(stiff, STYLES[1].colour, "steps too long for the curvature")]
    # Weights to a known final density make up for particles that left the path.
    if not _method(result)["final_density"]:
        reasons.append((off, STYLES[6].colour, "particles off the path"))
    found = []
    for where, colour, label in reasons:
        bands = [ax.axvspan(k - 0.5, k + 0.5, color=colour, alpha=0.3, linewidth=0) for k in steps[where]]
        if bands:
            bands[0].set_label(label)
            found.append(bands[0])
    return found


def _island_log_normalizers(result: xr.DataTree) -> Float[np.ndarray, " island"]:
    if not _method(result)["final_density"]:
        return _group(result, schema.PATH)[schema.ISLAND_LOG_NORMALIZER].values[-1]
    log_weight = _group(result, schema.WEIGHTED_SAMPLE)[schema.LOG_WEIGHT].values
    return np.logaddexp.reduce(log_weight, axis=1) - np.log(log_weight.shape[1])


def _method(result: xr.DataTree) -> dict[str, Any]:
    return json.loads(result.attrs[schema.METHOD])


def _group(result: xr.DataTree, name: str) -> xr.Dataset:
    if result.attrs.get(schema.WORKFLOW) != "diffusion":
        workflow = result.attrs.get(schema.WORKFLOW)
        raise InputError(f"the result is of the workflow {workflow!r}; pass one of uqkit.diffusion.sample.")
    return result[name].to_dataset()


def _coordinates(draws: xr.DataArray, wanted: str | Sequence[str] | None) -> list[str]:
    known = [str(name) for name in draws[schema.COORDINATE].values]
    chosen = known[:2] if wanted is None else [wanted] if isinstance(wanted, str) else list(wanted)
    if not 1 <= len(set(chosen)) == len(chosen) <= 2:
        raise InputError(f"`coordinates` is {wanted!r}; name one or two of {some_of(known)}.")
    return [_one(name, known, "coordinate") for name in chosen]


def _one(wanted: str | None, known: list[str], what: str) -> str:
    if wanted is not None and wanted not in known:
        raise InputError(f"the result has no {what} {wanted!r}; it has {some_of(known)}.")
    return wanted or known[0]


def _legend_below(ax: Axes, handles: list[Any]) -> None:
    """Below the label of the axis, since data may be anywhere inside."""
    below = ScaledTranslation(0.0, _LEGEND_INCHES, ax.figure.dpi_scale_trans)
    ax.legend(
        handles=handles,
        fontsize="small",
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        bbox_transform=ax.transAxes + below,
        ncols=2,
        frameon=False,
    )
