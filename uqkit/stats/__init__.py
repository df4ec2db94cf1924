"""Numerics on arrays: resampling, errors of means, mixtures, weights, control variates, scores of predictions."""

from uqkit.stats.bootstrap import bootstrap_means
from uqkit.stats.calibration import (
    Coverage,
    RankUniformity,
    calibration_ranks,
    central_coverage,
    ecdf_band,
    rank_uniformity,
)
from uqkit.stats.control_variates import (
    Estimate,
    cross_fitted_estimate,
    diagonal_coefficient,
    fold_slices,
    frozen_estimate,
    truncated_solve,
)
from uqkit.stats.delta_method import influence_rows, linearised
from uqkit.stats.gaussian_mixture import GaussianMixture
from uqkit.stats.log_weights import effective_sample_size, pareto_tail_index
from uqkit.stats.mixtures import MixtureStack, concatenate, gaussian_stack, n_scores, scores
from uqkit.stats.nets import net_standard_error
from uqkit.stats.paired import (
    PairedDifference,
    RankTest,
    SignedRankTest,
    friedman,
    groups_not_apart,
    holm,
    paired_difference,
    wilcoxon_signed_rank,
)
from uqkit.stats.predictive_scores import (
    gaussian_mixture_cdf,
    gaussian_mixture_crps,
    gaussian_mixture_log_score,
    gaussian_mixture_quantile,
)
from uqkit.stats.resampling import (
    log_mean_weight,
    multinomial_ancestors,
    particle_share,
    residual_ancestors,
    stratified_ancestors,
    systematic_ancestors,
)

__all__ = [
    "Coverage",
    "Estimate",
    "GaussianMixture",
    "MixtureStack",
    "PairedDifference",
    "RankTest",
    "RankUniformity",
    "SignedRankTest",
    "bootstrap_means",
    "calibration_ranks",
    "central_coverage",
    "concatenate",
    "cross_fitted_estimate",
    "diagonal_coefficient",
    "ecdf_band",
    "effective_sample_size",
    "fold_slices",
    "friedman",
    "frozen_estimate",
    "gaussian_mixture_cdf",
    "gaussian_mixture_crps",
    "gaussian_mixture_log_score",
    "gaussian_mixture_quantile",
    "gaussian_stack",
    "groups_not_apart",
    "holm",
    "influence_rows",
    "linearised",
    "log_mean_weight",
    "multinomial_ancestors",
    "n_scores",
    "net_standard_error",
    "paired_difference",
    "pareto_tail_index",
    "particle_share",
    "rank_uniformity",
    "residual_ancestors",
    "scores",
    "stratified_ancestors",
    "systematic_ancestors",
    "truncated_solve",
    "wilcoxon_signed_rank",
]
