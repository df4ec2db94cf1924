"""Which of several methods is better, judged on the same replicates or problems: paired differences and mean ranks."""

from dataclasses import dataclass
from itertools import permutations
from math import factorial
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy import stats
from scipy.special import gammaln

from uqkit.errors import InputError
from uqkit.keys import as_key, numpy_generator

__all__ = [
    "PairedDifference",
    "RankTest",
    "SignedRankTest",
    "friedman",
    "groups_not_apart",
    "holm",
    "paired_difference",
    "wilcoxon_signed_rank",
]

# Below it a bootstrap interval of 95% covers the mean of normal differences 92% of the time or less (83% with five),
# Student's 95%; above it the bootstrap nearly catches up, and it follows skewness.
_FEWEST_RESAMPLED = 20
_FEWEST_RESAMPLES = 100
# Resampled values in memory at once; 2^22 doubles are 32 MB.
_VALUES_AT_ONCE = 1 << 22
# Most differences whose signs are counted; scipy too takes the normal law above.
_MOST_COUNTED = 50
# Most arrangements of ranks that are counted at once. With three blocks of three treatments F at a level of 0.05 would
# give a false alarm in one of five comparisons; where there are more arrangements than these, in about one of 14 over
# three blocks of six and one of 19 over ten (by simulation).
_MOST_ARRANGEMENTS = 50_000


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Mean of paired differences, first minus second.

    Attributes:
        mean: Of the differences.
        standard_error: Of the mean; zero where all differences are equal.
        lower: Lower end of an interval for the expected difference.
        upper: Its upper end.
        probability: That the interval states.
        n_replicates: Pairs.
        interval: "bca" for the bootstrap's, "student" where there are too few replicates to resample.
    """

    mean: Float[np.ndarray, "*task"]
    standard_error: Float[np.ndarray, "*task"]
    lower: Float[np.ndarray, "*task"]
    upper: Float[np.ndarray, "*task"]
    probability: float
    n_replicates: int
    interval: Literal["bca", "student"]


def paired_difference(
    first: Num[np.ndarray, " replicate *task"],
    second: Num[np.ndarray, " replicate *task"],
    *,
    key: object,
    probability: float = 0.95,
    n_resamples: int = 9_999,
) -> PairedDifference:
    """Mean difference of two methods that saw the same replicates, with an interval.

    The interval is the bias-corrected and accelerated bootstrap's from 20 replicates on, and Student's below. Where all
    differences are equal, to rounding, both ends are that difference: so few distinct values tell nothing of how far
    the next may lie.

    Args:
        first: Scores of one method; each replicate (seed, data set) independent of the others.
        second: Scores of the other, replicate by replicate on the same.
        key: A JAX key or an int. All tasks share the resamples.
        probability: Of the interval.
        n_resamples: Of the bootstrap.

    Raises:
        InputError: If shapes differ, an entry is not finite, there are fewer than two replicates, or the probability
            or the number of resamples is out of range.

    Reference:
        Efron (1987), Better bootstrap confidence intervals, JASA 82; for small samples Hesterberg (2015), The American
        Statistician 69.
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape or first.ndim == 0 or len(first) < 2 or first.size == 0:
        raise InputError(
            f"`first` of shape {first.shape} and `second` of shape {second.shape} must be equal in shape, with at "
            "least two replicates along the first axis; with one there is no standard error."
        )
    _check_probability("probability", probability)
    if n_resamples < max(_FEWEST_RESAMPLES, 2 / (1 - probability)):
        raise InputError(
            f"`n_resamples` is {n_resamples}, too few for an interval of probability {probability}; pass at least "
            f"{_FEWEST_RESAMPLES}, and more than 2 / (1 - probability)."
        )
    for name, scores in (("first", first), ("second", second)):
        _check_entries(name, scores, "replicate", ~np.isfinite(scores), "finite numbers")
    generator = numpy_generator(as_key(key))
    difference = first - second
    n_replicates = len(difference)
    mean = difference.mean(axis=0)
    # A constant offset of two floating-point columns is constant only up to the rounding of the larger.
    rounding = 4 * np.finfo(float).eps * np.maximum(np.abs(first), np.abs(second)).max(axis=0)
    constant = np.ptp(difference, axis=0) <= rounding
    standard_error = np.where(constant, 0.0, difference.std(axis=0, ddof=1) / np.sqrt(n_replicates))
    half_width = stats.t.ppf(0.5 * (1 + probability), n_replicates - 1) * standard_error
    lower, upper = np.array(mean - half_width), np.array(mean + half_width)
    enough = n_replicates >= _FEWEST_RESAMPLED
    if enough and not constant.all():
        # Constant columns have no acceleration: they keep the ends above.
        varied = difference[:, ~constant]
        found = stats.bootstrap(
            (varied,),
            np.mean,
            axis=0,
            method="BCa",
            confidence_level=probability,
            n_resamples=n_resamples,
            batch=max(1, _VALUES_AT_ONCE // varied.size),
            rng=generator,
        ).confidence_interval
        lower[~constant], upper[~constant] = found.low, found.high
    return PairedDifference(
        mean=np.asarray(mean),
        standard_error=standard_error,
        lower=lower,
        upper=upper,
        probability=probability,
        n_replicates=n_replicates,
        interval="bca" if enough else "student",
    )


@dataclass(frozen=True, kw_only=True)
class SignedRankTest:
    """Wilcoxon's test of paired differences that are symmetric about zero.

    Attributes:
        p_value: Two-sided.
        least_p_value: That so many replicates can give, all differences of one sign; a level below it cannot be
            reached, whichever method is better.
        n_replicates: Differences, zeros included.
        sign: 1 where positive differences have the larger sum of ranks, -1 where negative ones do, 0 where neither.
    """

    p_value: float
    least_p_value: float
    n_replicates: int
    sign: int


def wilcoxon_signed_rank(differences: Num[np.ndarray, " replicate"]) -> SignedRankTest:
    """Wilcoxon's signed-rank test, two-sided.

    Zero differences are ranked and then left out (Pratt), equal sizes share their mean rank. Up to 50 differences that
    are not zero the p-value is exact given zeros and ties, by counting signs; above, the normal law's.

    Args:
        differences: One a replicate, independent; infinite where one method failed.

    Returns:
        The test; its p-value is 1 where all differences are zero.

    Raises:
        InputError: If there are no differences, or one is NaN.

    Reference:
        Wilcoxon (1945), Biometrics Bulletin 1; Pratt (1959), JASA 54; for methods over data sets Demsar (2006), Journal
        of Machine Learning Research 7, section 3.1.3.
    """
    differences = np.asarray(differences, dtype=float)
    if differences.ndim != 1 or len(differences) == 0:
        raise InputError(f"`differences` has shape {differences.shape}; pass one axis of at least one replicate.")
    _check_entries("differences", differences, "replicate", np.isnan(differences), "no NaN")
    kept = differences != 0
    # Twice a mean rank is an integer, so that sums are compared exactly.
    twice_rank = np.rint(2 * stats.rankdata(np.abs(differences))).astype(int)[kept]
    positive = int(twice_rank[differences[kept] > 0].sum())
    if len(twice_rank) <= _MOST_COUNTED:
        chance = _chance_of_sums(twice_rank)
        tail = float(min(chance[: positive + 1].sum(), chance[positive:].sum()))
    else:
        deviation = abs(positive - 0.5 * twice_rank.sum()) / (0.5 * np.sqrt((twice_rank.astype(float) ** 2).sum()))
        tail = float(stats.norm.sf(deviation))
    return SignedRankTest(
        p_value=min(1.0, 2 * tail),
        least_p_value=2.0 ** (1 - len(differences)),
        n_replicates=len(differences),
        sign=int(np.sign(2 * positive - twice_rank.sum())),
    )


def _chance_of_sums(rank: Int[np.ndarray, " replicate"]) -> Float[np.ndarray, " total"]:
    """Chance of each sum of the ranks whose sign is positive, where signs are fair coins."""
    chance = np.zeros(rank.sum() + 1)
    chance[0] = 1.0
    for step in rank:
        chance *= 0.5
        chance[step:] = chance[step:] + chance[: len(chance) - step]
    return chance


def holm(p: Float[np.ndarray, "*hypothesis"]) -> Float[np.ndarray, "*hypothesis"]:
    """P-values adjusted by Holm's step-down rule, for however many hypotheses were tested together.

    Args:
        p: P-values, in any shape. NaN marks a hypothesis that was not tested: it stays NaN and is not counted.

    Returns:
        Adjusted p-values. Rejecting those of at most a level keeps the chance of any false rejection below the level,
        however the tests depend on each other.

    Raises:
        InputError: If a p-value is outside [0, 1].

    Reference:
        Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6.
    """
    p = np.asarray(p, dtype=float)
    _check_entries(
        "p", p, "hypothesis", np.asarray((p < 0) | (p > 1)), "p-values within [0, 1], or NaN where nothing was tested"
    )
    adjusted = p.ravel().copy()
    # NaN sorts last.
    order = np.argsort(adjusted)[: np.isfinite(adjusted).sum()]
    scaled = adjusted[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted.reshape(p.shape)


@dataclass(frozen=True, kw_only=True)
class RankTest:
    """Are some treatments ranked better than others over the blocks?

    Attributes:
        mean_rank: Over blocks; 1 is best.
        p_value: Of Friedman's test that all treatments are alike.
        critical_difference: Nemenyi's: mean ranks that differ by it or more are told apart at the level asked for, all
            pairs together.
        n_blocks: Over which ranks were averaged.
    """

    mean_rank: Float[np.ndarray, " treatment"]
    p_value: float
    critical_difference: float
    n_blocks: int


def friedman(scores: Num[np.ndarray, "block treatment"], *, level: float = 0.05) -> RankTest:
    """Friedman's test of treatments over blocks, and Nemenyi's critical difference of mean ranks.

    The p-value is exact where there are few enough orders within blocks to count them all. Otherwise it is of Iman
    & Davenport's F, the analysis of variance of the ranks, because the chi-squared law that Friedman's statistic tends
    to gives too large p-values; as F is infinite where all blocks agree, the p-value is kept from falling below the
    exact chance of that. Ties share their mean rank and are allowed for.

    Args:
        scores: Smaller is better; infinite where a treatment failed, which ranks last. Blocks are independent problems.
        level: Of the critical difference.

    Raises:
        InputError: If there are fewer than two treatments, no block, an entry is NaN, or the level is outside (0, 1).

    Reference:
        Friedman (1937), JASA 32; Iman & Davenport (1980), Communications in Statistics A9; Nemenyi (1963); Demsar
        (2006), Journal of Machine Learning Research 7, section 3.2.2.
    """
    scores = np.asarray(scores, dtype=float)
    _check_probability("level", level)
    if scores.ndim != 2 or scores.shape[0] < 1 or scores.shape[1] < 2:
        raise InputError(f"`scores` has shape {scores.shape}; pass (block, treatment), at least two treatments.")
    _check_entries("scores", scores, "(block, treatment)", np.isnan(scores), "no NaN; pass inf for a failure")
    n_blocks, n_treatments = scores.shape
    rank = stats.rankdata(scores, axis=1)
    mean_rank = rank.mean(axis=0)
    width = stats.studentized_range.ppf(1 - level, n_treatments, np.inf) / np.sqrt(2)
    return RankTest(
        mean_rank=mean_rank,
        p_value=_rank_p_value(rank),
        critical_difference=float(width * np.sqrt(n_treatments * (n_treatments + 1) / (6 * n_blocks))),
        n_blocks=n_blocks,
    )


def _rank_p_value(rank: Float[np.ndarray, "block treatment"]) -> float:
    exact = _counted(rank)
    return max(_f_test(rank), _chance_of_agreement(rank)) if exact is None else exact


def _counted(rank: Float[np.ndarray, "block treatment"]) -> float | None:
    """Chance that rank sums lie as far apart if orders within blocks are all as likely; None if there are too many."""
    n_treatments = rank.shape[1]
    n_orders = factorial(n_treatments)
    if n_orders > _MOST_ARRANGEMENTS:
        return None
    orders = np.array(list(permutations(range(n_treatments))))
    sums, chance = rank[:1], np.ones(1)
    for row in rank[1:]:
        if len(sums) * n_orders > _MOST_ARRANGEMENTS:
            return None
        # Which treatment has which sum does not matter to the blocks that follow: sorted, fewer are distinct.
        arranged = np.sort((sums[:, None] + row[orders]).reshape(-1, n_treatments), axis=1)
        sums, index = np.unique(arranged, axis=0, return_inverse=True)
        chance = np.bincount(index, np.repeat(chance, n_orders)) / n_orders
    # Halves and their squares are exact in floating point.
    as_far = (sums**2).sum(axis=1) >= (rank.sum(axis=0) ** 2).sum()
    return min(1.0, float(chance[as_far].sum()))


def _f_test(rank: Float[np.ndarray, "block treatment"]) -> float:
    """P-value of the two-way analysis of variance of ranks; Iman & Davenport (1980), with ties Conover (1999)."""
    n_blocks, n_treatments = rank.shape
    centred = rank - 0.5 * (n_treatments + 1)
    explained = n_blocks * (centred.mean(axis=0) ** 2).sum()
    left = ((centred - centred.mean(axis=0)) ** 2).sum()
    if n_blocks == 1 or explained == 0:
        return 1.0
    # Ranks are multiples of 1/2: what is left is zero, up to rounding, or at least 1/8.
    if left < 1e-9:
        return 0.0
    return float(stats.f.sf((n_blocks - 1) * explained / left, n_treatments - 1, (n_blocks - 1) * (n_treatments - 1)))


def _chance_of_agreement(rank: Float[np.ndarray, "block treatment"]) -> float:
    """Least p-value of a permutation within blocks: all orders, alike in the blocks, of those the blocks could take."""
    n_treatments = rank.shape[1]
    # Each of t tied entries adds its share of the logarithm of t!, the orders among them that cannot be told.
    n_tied = (rank[:, :, None] == rank[:, None, :]).sum(axis=2)
    log_orders = gammaln(n_treatments + 1) - (gammaln(n_tied + 1) / n_tied).sum(axis=1)
    return float(np.exp(log_orders.max() - log_orders.sum()))


def groups_not_apart(
    mean_rank: Float[np.ndarray, " treatment"], critical_difference: float
) -> tuple[tuple[int, ...], ...]:
    """Maximal runs of treatments whose mean ranks all differ by less than the critical difference.

    Args:
        mean_rank: As of `friedman`.
        critical_difference: As of `friedman`.

    Returns:
        Runs of at least two treatments, as indices from the best rank to the worst; the runs themselves in the order of
        their best. They may overlap. A treatment in none is apart from all others.

    Raises:
        InputError: If a mean rank is not finite, or the critical difference is not positive.
    """
    mean_rank = np.asarray(mean_rank, dtype=float)
    _check_entries("mean_rank", mean_rank, "treatment", ~np.isfinite(mean_rank), "finite numbers")
    if not critical_difference > 0:
        raise InputError(f"`critical_difference` must be positive, got {critical_difference}; see `friedman`.")
    order = np.argsort(mean_rank, kind="stable")
    ranked = mean_rank[order]
    runs: list[tuple[int, ...]] = []
    reached = 0
    for start, best in enumerate(ranked):
        end = start + int((ranked[start:] - best < critical_difference).sum())
        if end > reached and end - start > 1:
            runs.append(tuple(int(index) for index in order[start:end]))
        reached = max(reached, end)
    return tuple(runs)


def _check_entries(
    name: str, entries: Float[np.ndarray, "*place"], axes: str, wrong: Bool[np.ndarray, "*place"], wanted: str
) -> None:
    """Refuse an array by its first wrong entry."""
    if wrong.any():
        place = tuple(int(index) for index in np.argwhere(wrong)[0])
        shown = place[0] if len(place) == 1 else place
        raise InputError(
            f"`{name}` is {entries[place]} at {axes} {shown}, in {int(wrong.sum())} of {wrong.size} entries; "
            f"pass {wanted}."
        )


def _check_probability(name: str, probability: float) -> None:
    if not 0 < probability < 1:
        raise InputError(f"`{name}` must lie in (0, 1), got {probability}; 0.95 and 0.05 are usual.")
