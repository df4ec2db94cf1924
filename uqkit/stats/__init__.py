"""Numerics on arrays: resampling and errors of functions of means."""

from uqkit.stats.bootstrap import bootstrap_means
from uqkit.stats.delta_method import influence_rows, linearised
from uqkit.stats.nets import net_standard_error

__all__ = ["bootstrap_means", "influence_rows", "linearised", "net_standard_error"]
