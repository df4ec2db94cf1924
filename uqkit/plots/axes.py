"""Axes, colours and the two ways an interval is drawn."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

__all__ = ["STYLES", "Style", "interval_band", "interval_points", "new_axes"]


@dataclass(frozen=True)
class Style:
    """How one series is drawn: told apart by marker and line in grey, by colour otherwise."""

    colour: str
    marker: str
    line: str


# Okabe & Ito's colours, ordered so that neighbours differ in lightness too.
STYLES = (
    Style("#0072B2", "o", "-"),
    Style("#E69F00", "s", "--"),
    Style("#000000", "^", "-."),
    Style("#56B4E9", "D", ":"),
    Style("#D55E00", "v", "-"),
    Style("#009E73", "P", "--"),
    Style("#CC79A7", "X", "-."),
    Style("#8B8B00", "*", ":"),
)


def new_axes(ax: Axes | None, *, width: float = 6.0, height: float = 4.0) -> Axes:
    """The axes given, or those of a new figure of the given size in inches."""
    return plt.subplots(figsize=(width, height), layout="constrained")[1] if ax is None else ax


def interval_points(
    ax: Axes,
    positions: Float[np.ndarray, " entry"],
    value: Float[np.ndarray, " entry"],
    lower: Float[np.ndarray, " entry"],
    upper: Float[np.ndarray, " entry"],
    style: Style,
    label: str,
) -> None:
    """Points with horizontal intervals, one a position on the vertical axis."""
    ax.hlines(positions, lower, upper, color=style.colour, linewidth=2)
    ax.plot(value, positions, style.marker, color=style.colour, markersize=6, markeredgecolor="white", label=label)


def interval_band(
    ax: Axes,
    positions: Float[np.ndarray, " entry"],
    value: Float[np.ndarray, " entry"],
    lower: Float[np.ndarray, " entry"],
    upper: Float[np.ndarray, " entry"],
    style: Style,
    label: str,
) -> None:
    """A line with markers in a band, over positions on the horizontal axis."""
    ax.fill_between(positions, lower, upper, color=style.colour, alpha=0.2, linewidth=0)
    ax.plot(positions, value, style.line, marker=style.marker, markersize=4, color=style.colour, label=label)
