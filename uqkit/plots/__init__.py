"""Shared axes and styles of the plots; each workflow's own plots stand in its folder."""

from uqkit.plots.axes import STYLES, Style, interval_band, interval_points, new_axes

__all__ = ["STYLES", "Style", "interval_band", "interval_points", "new_axes"]
