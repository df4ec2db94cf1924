"""Numerics on arrays: resampling, errors of functions of means, mixtures, importance weights, control variates."""

from uqkit.stats.bootstrap import bootstrap_means
from uqkit.stats.control_variates import (
    Estimate,
    cross_fitted_estimate,
    diagonal_coefficient,
    fold_slices,
    frozen_estimate,
    truncated_solve,
)
from uqkit.stats.delta_method import influence_rows, linearised
from uqkit.stats.log_weights import effective_sample_size, pareto_tail_index
from uqkit.stats.mixtures import MixtureStack, concatenate, gaussian_stack, n_scores, scores
from uqkit.stats.nets import net_standard_error

__all__ = [
    "Estimate",
    "MixtureStack",
    "bootstrap_means",
    "concatenate",
    "cross_fitted_estimate",
    "diagonal_coefficient",
    "effective_sample_size",
    "fold_slices",
    "frozen_estimate",
    "gaussian_stack",
    "influence_rows",
    "linearised",
    "n_scores",
    "net_standard_error",
    "pareto_tail_index",
    "scores",
    "truncated_solve",
]
