"""Paired comparisons: published tables, exact small cases, rates of false alarm, and wrong tests that are seen."""

import itertools
from math import factorial

import numpy as np
import pytest
from scipy import stats

from tests.statistical import assert_within_error
from uqkit.errors import InputError
from uqkit.stats import friedman, groups_not_apart, holm, paired_difference, wilcoxon_signed_rank

# Demsar (2006), Table 6: ranks of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf by their areas under the curve on 14 data sets.
DEMSAR_RANKS = np.array(
    [
        [4, 3, 2, 1],
        [1, 2, 3, 4],
        [4, 1, 2, 3],
        [4, 1, 3, 2],
        [4, 2, 3, 1],
        [1, 2.5, 4, 2.5],
        [3, 2, 4, 1],
        [2.5, 2.5, 4, 1],
        [4, 3, 2, 1],
        [2.5, 2.5, 2.5, 2.5],
        [4, 2.5, 1, 2.5],
        [3, 2, 4, 1],
        [4, 1, 2, 3],
        [3, 1, 4, 2],
    ]
)
# His Table 2: C4.5+m less C4.5 on the same data sets, in thousandths.
DEMSAR_DIFFERENCES = np.array([5, -8, 17, 33, 6, -5, 7, 0, 63, 0, 22, 47, 9, 21]) / 1000


def use_f(monkeypatch):
    monkeypatch.setattr("uqkit.stats.paired._MOST_ARRANGEMENTS", 0)


def signed_rank_by_enumeration(differences):
    """All assignments of signs to Pratt's ranks."""
    rank = stats.rankdata(np.abs(differences))[differences != 0]
    centre = rank.sum() / 2
    sums = np.array(list(itertools.product([0, 1], repeat=len(rank)))) @ rank
    observed = abs(rank @ (differences[differences != 0] > 0) - centre)
    return (np.abs(sums - centre) >= observed - 1e-9).mean()


def test_paired_difference_has_the_standard_error_of_a_mean_and_student_interval_of_few_replicates():
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 10, 3))
    found = paired_difference(first, second, key=0, probability=0.9)
    expected = stats.ttest_rel(first, second).confidence_interval(0.9)
    np.testing.assert_allclose(found.mean, (first - second).mean(axis=0))
    np.testing.assert_allclose(found.standard_error, stats.sem(first - second))
    np.testing.assert_allclose(found.lower, expected.low)
    np.testing.assert_allclose(found.upper, expected.high)
    assert (found.interval, found.n_replicates, found.probability) == ("student", 10, 0.9)


def test_bootstrap_intervals_hold_the_expectation_as_often_as_stated_and_follow_skewness():
    n_tasks, n_replicates = 800, 60
    rng = np.random.default_rng(0)
    # What replicates share is ten times what tells the methods apart.
    shared = 10 * rng.standard_normal((n_replicates, n_tasks))
    first = shared + rng.standard_normal((n_replicates, n_tasks)) + 0.3
    second = shared + rng.standard_normal((n_replicates, n_tasks))

    def covered(first, second):
        found = paired_difference(first, second, key=0, n_resamples=1_000)
        assert found.interval == "bca"
        return ((found.lower <= 0.3) & (found.upper >= 0.3)).mean()

    error = np.sqrt(0.05 * 0.95 / n_tasks)
    # With 60 values the bootstrap's intervals are about a hundredth short of coverage.
    assert_within_error(covered(first, second), error, 0.94, max_error=0.01)
    # Unpaired, the other method's replicates do not cancel: intervals are ten times wider.
    together, apart = (paired_difference(first, one, key=0, n_resamples=200) for one in (second, second[::-1]))
    assert (apart.standard_error > 4 * together.standard_error).all()
    # Replicates entered twice are not independent: intervals are too narrow.
    with pytest.raises(AssertionError, match="standard errors away"):
        assert_within_error(covered(np.tile(first, (2, 1)), np.tile(second, (2, 1))), error, 0.94, max_error=0.01)
    skewed = paired_difference(rng.exponential(size=60), np.zeros(60), key=0)
    assert skewed.upper - skewed.mean > 1.1 * (skewed.mean - skewed.lower)


def test_same_key_same_interval_other_key_other_interval():
    first, second = np.random.default_rng(0).standard_normal((2, 30))
    one, again, other = (paired_difference(first, second, key=key) for key in (1, 1, 2))
    assert one.lower == again.lower
    assert one.lower != other.lower
    assert np.isclose(one.lower, other.lower, atol=0.05)


def test_equal_differences_collapse_the_interval_and_leave_other_tasks_alone():
    rng = np.random.default_rng(0)
    for n_replicates in (2, 40):
        second = rng.standard_normal((n_replicates, 2))
        first = second + 0.1
        first[:, 1] += rng.standard_normal(n_replicates)
        found = paired_difference(first, second, key=0)
        assert found.lower[0] == found.upper[0] == found.mean[0]
        assert found.standard_error[0] == 0
        alone = paired_difference(first[:, 1], second[:, 1], key=0)
        assert (found.lower[1], found.upper[1]) == (alone.lower, alone.upper)
        assert found.lower[1] < found.mean[1] < found.upper[1]


def test_signed_rank_agrees_with_scipy_without_ties_and_with_enumeration_with_them():
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 20, 50):
        differences = rng.standard_normal(n) + 0.3
        expected = np.asarray(stats.wilcoxon(differences, method="exact"))[1]
        np.testing.assert_allclose(wilcoxon_signed_rank(differences).p_value, expected, rtol=1e-9)
    for _ in range(10):
        tied = rng.integers(-2, 5, size=10)
        np.testing.assert_allclose(wilcoxon_signed_rank(tied).p_value, signed_rank_by_enumeration(tied))
    demsar = wilcoxon_signed_rank(DEMSAR_DIFFERENCES)
    np.testing.assert_allclose(demsar.p_value, signed_rank_by_enumeration(DEMSAR_DIFFERENCES))
    # His sum of 12 is below the 21 that the level of 0.05 needs with 14 data sets.
    assert demsar.p_value < 0.05


def test_signed_rank_of_many_differences_joins_the_exact_law():
    rng = np.random.default_rng(0)
    fifty = np.round(rng.standard_normal(50) + 0.25, 1) + 0.01
    more = np.append(fifty, [0.01, -0.01])
    assert np.isclose(wilcoxon_signed_rank(fifty).p_value, wilcoxon_signed_rank(more).p_value, rtol=0.2)
    tied = np.append(more, np.zeros(5))
    expected = np.asarray(stats.wilcoxon(tied, zero_method="pratt", method="asymptotic"))[1]
    np.testing.assert_allclose(wilcoxon_signed_rank(tied).p_value, expected, rtol=1e-9)
    failed = np.where(more == more.max(), np.inf, more)
    assert wilcoxon_signed_rank(failed).p_value == wilcoxon_signed_rank(more).p_value


def test_the_sign_is_that_of_the_larger_sum_of_ranks():
    for differences, expected in (
        ([0.0, 0.0, 0.0, 1.0], 1),
        ([1.0, -2.0, -4.0], -1),
        ([1.0, 2.0, -3.0], 0),
        ([0.0], 0),
    ):
        assert wilcoxon_signed_rank(np.array(differences)).sign == expected
        assert wilcoxon_signed_rank(-np.array(differences)).sign == -expected


def test_least_p_value_is_that_of_one_sign():
    for n in (1, 2, 5, 8):
        found = wilcoxon_signed_rank(np.arange(1, n + 1))
        assert found.p_value == found.least_p_value == 2.0 ** (1 - n)
        assert found.n_replicates == n
    # Zeros leave less to tell, and nothing where all are zero.
    assert wilcoxon_signed_rank(np.array([0.0, 0.0, 1.0])).p_value == 1.0
    none = wilcoxon_signed_rank(np.zeros(6))
    assert (none.p_value, none.least_p_value) == (1.0, 2.0**-5)


def test_signed_rank_false_alarms_are_as_rare_as_stated_and_a_one_sided_test_of_the_better_is_seen():
    rng, n_repetitions = np.random.default_rng(0), 2_000
    shared = 10 * rng.standard_normal((n_repetitions, 10))
    first, second = shared + rng.standard_normal((2, n_repetitions, 10))
    alarms = np.mean([wilcoxon_signed_rank(row).p_value <= 0.05 for row in first - second])
    # The largest level up to 0.05 that ten signs can give: 25 of 2^9 assignments have a sum of at most 8.
    level = 25 / 2**9
    error = np.sqrt(level * (1 - level) / n_repetitions)
    assert_within_error(alarms, error, level, max_error=0.01)
    one_sided = np.mean([wilcoxon_signed_rank(row).p_value <= 0.1 for row in first - second])
    unpaired = np.mean(np.asarray(stats.mannwhitneyu(first, second, axis=1))[1] <= 0.05)
    for wrong in (one_sided, unpaired):
        with pytest.raises(AssertionError, match="standard errors away"):
            assert_within_error(wrong, error, level, max_error=0.01)


def test_holm_steps_down():
    # By hand: 4 * 0.005, 3 * 0.01, 2 * 0.03, then the last is raised to the one before it.
    p = np.array([[0.01, 0.04], [0.03, 0.005]])
    np.testing.assert_allclose(holm(p), [[0.03, 0.06], [0.06, 0.02]], rtol=1e-12)
    np.testing.assert_array_equal(holm(np.array([0.5, 0.5, 0.9])), [1.0, 1.0, 1.0])
    assert holm(np.array(0.03)) == 0.03
    assert holm(np.empty((0, 2))).shape == (0, 2)


def test_holm_does_not_count_what_was_not_tested():
    p = np.array([np.nan, 0.01, 0.04, np.nan, 0.03])
    found = holm(p)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(p))
    np.testing.assert_array_equal(found[[1, 2, 4]], holm(p[[1, 2, 4]]))
    assert np.isnan(holm(np.full(2, np.nan))).all()


def test_holm_bounds_the_chance_of_any_false_rejection():
    rng, n_repetitions = np.random.default_rng(0), 4_000
    p = rng.uniform(size=(n_repetitions, 6))
    any_rejected = np.mean([(holm(row) <= 0.05).any() for row in p])
    # Of independent tests, exactly: the least of six is at most 0.05 / 6.
    chance = 1 - (1 - 0.05 / 6) ** 6
    error = np.sqrt(chance * (1 - chance) / n_repetitions)
    assert_within_error(any_rejected, error, chance, max_error=0.01)
    with pytest.raises(AssertionError, match="standard errors away"):
        assert_within_error((p <= 0.05).any(axis=1).mean(), error, chance, max_error=0.01)


def test_mean_ranks_and_critical_differences_of_demsar(monkeypatch):
    use_f(monkeypatch)
    found = friedman(DEMSAR_RANKS)
    np.testing.assert_allclose(found.mean_rank, [3.143, 2.000, 2.893, 1.964], atol=5e-4)
    assert np.isclose(found.critical_difference, 1.25, atol=5e-3)
    assert np.isclose(friedman(DEMSAR_RANKS, level=0.1).critical_difference, 1.12, atol=5e-3)
    assert found.n_blocks == 14
    # His statistics are without the correction for ties.
    chi_squared = 12 * 14 / (4 * 5) * ((found.mean_rank**2).sum() - 4 * 5**2 / 4)
    assert np.isclose(chi_squared, 9.28, atol=1e-2)
    uncorrected = 13 * chi_squared / (14 * 3 - chi_squared)
    assert np.isclose(uncorrected, 3.69, atol=1e-2)
    corrected = stats.friedmanchisquare(*DEMSAR_RANKS.T).statistic
    assert np.isclose(found.p_value, stats.f.sf(13 * corrected / (14 * 3 - corrected), 3, 39), rtol=1e-9)
    assert found.p_value < stats.f.sf(uncorrected, 3, 39)


@pytest.mark.parametrize(("n_treatments", "width"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_critical_differences_have_the_tabled_widths(n_treatments, width):
    scores = np.random.default_rng(0).standard_normal((14, n_treatments))
    found = friedman(scores).critical_difference / np.sqrt(n_treatments * (n_treatments + 1) / (6 * 14))
    assert np.isclose(found, width, atol=1e-3)


def test_friedman_without_ties_has_the_statistic_of_scipy(monkeypatch):
    use_f(monkeypatch)
    scores = np.random.default_rng(0).standard_normal((12, 5)) + 0.3 * np.arange(5)
    chi_squared = stats.friedmanchisquare(*scores.T).statistic
    found = friedman(scores)
    assert np.isclose(found.p_value, stats.f.sf(11 * chi_squared / (12 * 4 - chi_squared), 4, 44), rtol=1e-9)
    # Any increasing transformation of a block's scores leaves the ranks.
    assert friedman(np.exp(3 * scores) + np.arange(12)[:, None]).p_value == found.p_value


def test_friedman_over_few_blocks_has_the_tabled_chances():
    # Friedman (1937), Tables V and VI, three ranks: statistics of 4.667 and 2.667 from three blocks, 6.5 from four.
    for blocks, chance in (
        ([[1, 2, 3], [1, 2, 3], [1, 3, 2]], 0.194),
        ([[1, 2, 3], [1, 3, 2], [2, 1, 3]], 0.361),
        ([[1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 3, 2]], 0.042),
    ):
        assert np.isclose(friedman(np.array(blocks)).p_value, chance, atol=5e-4)


def test_two_treatments_are_a_sign_test_and_ties_are_counted_as_they_fall():
    scores = np.array([[0.0, 1.0]] * 12 + [[1.0, 0.0]] * 4)
    assert np.isclose(friedman(scores).p_value, stats.binomtest(4, 16).pvalue)
    tied = np.array([[1.0, 2.0, 2.0], [1.0, 1.0, 2.0], [0.0, 3.0, 1.0], [4.0, 4.0, 4.0]])
    rank = stats.rankdata(tied, axis=1)
    arranged = itertools.product(*(itertools.permutations(row) for row in rank))
    spread = np.array([np.var(np.sum(blocks, axis=0)) for blocks in arranged])
    assert np.isclose(friedman(tied).p_value, (spread >= np.var(rank.sum(axis=0)) - 1e-9).mean())


def test_counted_chances_join_those_of_f(monkeypatch):
    scores = np.random.default_rng(0).standard_normal((30, 3)) + 0.2 * np.arange(3)
    exact = friedman(scores).p_value
    use_f(monkeypatch)
    assert exact != friedman(scores).p_value
    assert np.isclose(exact, friedman(scores).p_value, atol=0.01)


@pytest.mark.parametrize("counted", [True, False])
def test_friedman_false_alarms_are_as_rare_as_stated_and_repeated_blocks_are_seen(counted, monkeypatch):
    rng, n_repetitions = np.random.default_rng(0), 300
    # The chance of a p-value of at most 0.05 with eight blocks of three is 0.047 (Friedman 1937, Table V).
    size, level = ((8, 3), 0.047) if counted else ((14, 5), 0.05)
    if not counted:
        use_f(monkeypatch)
    scores = rng.standard_normal((n_repetitions, *size))
    alarms = np.mean([friedman(one).p_value <= 0.05 for one in scores])
    error = np.sqrt(level * (1 - level) / n_repetitions)
    assert_within_error(alarms, error, level, max_error=0.015)
    # Blocks entered twice are not independent.
    twice = np.mean([friedman(np.tile(one, (2, 1))).p_value <= 0.05 for one in scores])
    with pytest.raises(AssertionError, match="standard errors away"):
        assert_within_error(twice, error, level, max_error=0.015)


def test_friedman_of_full_agreement_and_of_none():
    # All blocks in one order: (1 / 3!) ** 3, and with the last two tied (1 / 3) ** 3.
    assert np.isclose(friedman(np.tile([1.0, 2.0, 3.0], (4, 1))).p_value, 6.0**-3)
    assert np.isclose(friedman(np.tile([1.0, 2.0, 2.0], (4, 1))).p_value, 3.0**-3)
    # The same where orders are too many to count.
    many = np.arange(10.0)
    assert np.isclose(friedman(np.tile(many, (3, 1))).p_value, float(factorial(10)) ** -2)
    assert np.isclose(friedman(np.tile(np.maximum(many, 1.0), (3, 1))).p_value, (factorial(10) / 2.0) ** -2)
    assert friedman(np.array([[0, 1], [0, 1]])).p_value == pytest.approx(0.5)
    for n_treatments in (3, 10):
        equal = friedman(np.ones((5, n_treatments)))
        assert equal.p_value == 1.0
        np.testing.assert_array_equal(equal.mean_rank, np.full(n_treatments, 0.5 * (n_treatments + 1)))
    assert friedman(np.array([[3.0, 1.0, 2.0]])).p_value == friedman(many[None]).p_value == 1.0
    # Failures rank last, and alike.
    np.testing.assert_array_equal(friedman(np.array([[np.inf, 1.0, np.inf]])).mean_rank, [2.5, 1, 2.5])


def test_groups_are_the_maximal_runs():
    assert groups_not_apart(np.array([3.0, 1.0, 2.0, 5.0]), 1.5) == ((1, 2), (2, 0))
    assert groups_not_apart(np.array([1.0, 2.0, 3.0]), 1.0) == ()
    assert groups_not_apart(np.array([2.0, 2.0, 2.0]), 0.1) == ((0, 1, 2),)
    assert groups_not_apart(np.array([1.0, 1.2, 1.4, 4.0, 4.1]), 0.5) == ((0, 1, 2), (3, 4))
    # Demsar: nothing is told apart at 0.05; at 0.1 C4.5 is worse than both with m, and C4.5+cf than none.
    for level, groups in ((0.05, ((3, 1, 2, 0),)), (0.1, ((3, 1, 2), (2, 0)))):
        found = friedman(DEMSAR_RANKS, level=level)
        assert groups_not_apart(found.mean_rank, found.critical_difference) == groups


HOLED = np.array([[1.0, 2.0], [3.0, np.nan], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: paired_difference(HOLED, np.zeros((3, 2)), key=0), r"`first` is nan at replicate \(1, 1\)"),
        (lambda: paired_difference(np.zeros(3), np.array([0, 1, np.inf]), key=0), "`second` is inf at replicate 2"),
        (lambda: paired_difference(np.zeros(1), np.zeros(1), key=0), "at least two replicates"),
        (lambda: paired_difference(np.zeros(3), np.zeros(3), key=0, probability=1.0), "must lie in"),
        (lambda: paired_difference(np.zeros(3), np.zeros(3), key=0, n_resamples=10), "pass at least 100"),
        (lambda: paired_difference(np.zeros(3), np.zeros(3), key="0"), "pass an int such as key=0"),
        (lambda: wilcoxon_signed_rank(HOLED[:, 1]), "`differences` is nan at replicate 1"),
        (lambda: wilcoxon_signed_rank(np.empty(0)), "at least one replicate"),
        (lambda: holm(np.array([0.1, -0.2, 1.2])), "`p` is -0.2 at hypothesis 1, in 2 of 3 entries"),
        (lambda: friedman(HOLED), r"`scores` is nan at \(block, treatment\) \(1, 1\)"),
        (lambda: friedman(np.ones((3, 1))), "at least two treatments"),
        (lambda: friedman(np.ones((3, 2)), level=0.0), "`level` must lie in"),
        (lambda: groups_not_apart(HOLED[:, 1], 1.0), "`mean_rank` is nan at treatment 1"),
        (lambda: groups_not_apart(np.ones(2), 0.0), "must be positive, got 0.0"),
    ],
)
def test_wrong_input_is_refused_by_its_place(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_shapes_that_differ_are_refused():
    # Where annotations are checked at the call they refuse first.
    with pytest.raises((InputError, TypeError), match="(?s)first.*second|shape"):
        paired_difference(np.zeros(3), np.zeros(4), key=0)
