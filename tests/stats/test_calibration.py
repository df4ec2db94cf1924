"""Coverage, ranks and their uniformity: exact small cases, rates of false alarm, and wrong posteriors that are seen."""

import numpy as np
import pytest
from scipy import stats

from tests.statistical import assert_within_error
from uqkit.errors import InputError
from uqkit.stats import calibration_ranks, central_coverage, ecdf_band, rank_uniformity


def test_coverage_counts_central_values():
    pit = np.array([0.0, 0.04, 0.06, 0.5, 0.94, 0.96])
    coverage = central_coverage(pit, 0.9)
    assert coverage.share == 0.5
    assert coverage.probability == 0.9
    assert 0.15 < coverage.standard_error < 0.25
    for everything in (np.full(20, 0.5), np.zeros(20)):
        assert 0 < central_coverage(everything, 0.9).standard_error < 0.1


def test_coverage_of_calibrated_and_of_narrow_predictions():
    rng = np.random.default_rng(0)
    value = rng.standard_normal(20_000)
    for probability in (0.5, 0.9):
        right = central_coverage(stats.norm.cdf(value), probability)
        assert_within_error(right.share, right.standard_error, probability, max_error=0.004)
        assert np.isclose(right.standard_error, np.sqrt(probability * (1 - probability) / 20_000), rtol=0.03)
        narrow = central_coverage(stats.norm.cdf(value / 0.9), probability)
        with pytest.raises(AssertionError, match="standard errors away"):
            assert_within_error(narrow.share, narrow.standard_error, probability, max_error=0.004)


def test_ranks_count_draws_below():
    draws = np.array([[0.0, 5.0], [1.0, 6.0], [2.0, 7.0]])
    rank = calibration_ranks(np.array([1.5, 9.0]), draws, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(rank, [2, 3])


def test_ties_are_broken_evenly():
    n = 4_000
    draws = np.tile([[0.0], [1.0], [1.0], [1.0], [2.0]], n)
    rank = calibration_ranks(np.ones(n), draws, rng=np.random.default_rng(0))
    counts = np.bincount(rank, minlength=6)
    assert (counts[[0, 5]] == 0).all()
    assert stats.chisquare(counts[1:5]).pvalue > 1e-6


def normal_ranks(rng, n_replicates, n_draws, *, shift=0.0, stretch=1.0, decimals=None):
    """A normal mean with a standard normal prior and one observation of variance 1; the posterior may be wrong."""
    truth = rng.standard_normal(n_replicates)
    observed = truth + rng.standard_normal(n_replicates)
    draws = 0.5 * observed + shift + stretch * np.sqrt(0.5) * rng.standard_normal((n_draws, n_replicates))
    if decimals is not None:
        truth, draws = np.round(truth, decimals), np.round(draws, decimals)
    return calibration_ranks(truth, draws, rng=rng)


@pytest.mark.parametrize("n_draws", [7, 1_000])
def test_false_alarms_are_as_rare_as_stated(n_draws):
    rng, n_repetitions = np.random.default_rng(0), 200
    found = [rank_uniformity(rng.integers(0, n_draws + 1, size=60), n_draws) for _ in range(n_repetitions)]
    for level in (0.05, 0.3):
        # P-values of counts are not continuous: alarms may be rarer than the level, not more frequent.
        spread = 5 * np.sqrt(level * (1 - level) / n_repetitions)
        assert np.mean([one.chi_squared_p <= level for one in found]) < level + spread + 0.02
        share = np.mean([one.ecdf_p <= level for one in found])
        assert level / 3 - spread < share < level + spread
    outside = [((one.ecdf < one.lower - 1e-9) | (one.ecdf > one.upper + 1e-9)).any() for one in found]
    assert np.array_equal(outside, [one.ecdf_p <= 0.05 for one in found])


@pytest.mark.parametrize("wrong", [{"shift": 0.4}, {"stretch": 0.6}, {"stretch": 1.8}])
def test_wrong_posteriors_are_seen_and_the_right_one_is_not(wrong):
    right = rank_uniformity(normal_ranks(np.random.default_rng(0), 200, 99), 99)
    assert min(right.ecdf_p, right.chi_squared_p) > 1e-3
    assert (right.n_replicates, right.n_bins) == (200, 20)
    seen = rank_uniformity(normal_ranks(np.random.default_rng(0), 200, 99, **wrong), 99)
    assert seen.ecdf_p < 1e-4
    assert seen.largest_deviation > right.largest_deviation


def test_rounded_posteriors_pass_because_ties_are_broken():
    found = rank_uniformity(normal_ranks(np.random.default_rng(0), 400, 49, decimals=0), 49)
    assert min(found.ecdf_p, found.chi_squared_p) > 1e-3


def test_deviation_is_kolmogorovs():
    rank = np.array([0, 0, 0, 1, 1, 2, 3, 3, 3, 3])
    # Shares 0.3, 0.5, 0.6, 1 against 0.25, 0.5, 0.75, 1.
    assert np.isclose(rank_uniformity(rank, 3).largest_deviation, 0.15)


def test_band_at_one_point_is_the_binomial_interval():
    lower, upper = ecdf_band(50, np.array([0.3]), 0.9)
    inside = stats.binom.cdf(50 * upper[0] + 1e-9, 50, 0.3) - stats.binom.cdf(50 * lower[0] - 1 + 1e-9, 50, 0.3)
    assert 0.9 <= inside < 0.95


def test_band_holds_simultaneously_where_a_pointwise_one_does_not():
    n, n_repetitions, point = 80, 4_000, np.arange(1, 40) / 40
    sample = np.sort(np.random.default_rng(0).random((n_repetitions, n)), axis=1)
    ecdf = np.stack([np.searchsorted(one, point, side="right") for one in sample]) / n

    def share_within(lower, upper):
        return ((ecdf >= lower - 1e-9) & (ecdf <= upper + 1e-9)).all(axis=1).mean()

    share = share_within(*ecdf_band(n, point, 0.9))
    error = np.sqrt(0.09 / n_repetitions)
    # Counts are whole, so that the chance is a little more than asked for.
    assert 0.9 - 5 * error < share < 0.93 + 5 * error
    lower, upper = stats.binom.ppf([[0.05], [0.95]], n, point) / n
    assert share_within(lower, upper) < 0.9 - 5 * error


def test_what_does_not_fit_is_refused():
    rank = np.arange(12)
    with pytest.raises(InputError, match="among 5 draws 0 to 5"):
        rank_uniformity(rank, 5)
    with pytest.raises(InputError, match="at least 10 integers"):
        rank_uniformity(rank[:5], 20)
    with pytest.raises(InputError, match="`probability`"):
        rank_uniformity(rank, 20, probability=1.0)
    with pytest.raises(InputError, match="increasing"):
        ecdf_band(10, np.array([0.5, 0.2]), 0.9)
    with pytest.raises(InputError, match="NaN"):
        calibration_ranks(np.array([np.nan]), np.zeros((3, 1)), rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="`pit`"):
        central_coverage(np.array([1.2]), 0.9)
