"""Are stated probabilities right? Coverage of intervals, ranks among draws, and tests of their uniformity."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy.special import gammaln
from scipy.stats import binom, chi2

from uqkit.errors import InputError

__all__ = ["Coverage", "RankUniformity", "calibration_ranks", "central_coverage", "ecdf_band", "rank_uniformity"]

# Fewest ranks expected in a bin, for the chi-squared law to hold (Cochran 1954), and most bins.
_LEAST_EXPECTED = 5.0
_MOST_BINS = 20
# Most values at which an empirical distribution function is compared.
_MOST_POINTS = 100
# Halvings of the logarithm of a pointwise level.
_N_HALVINGS = 30


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How often central intervals held what was observed.

    Attributes:
        probability: That the intervals stated.
        share: Of the points whose interval held it.
        standard_error: Of `share` if points are independent; positive even where all or none were held.
    """

    probability: float
    share: float
    standard_error: float


def central_coverage(pit: Float[np.ndarray, "*point"], probability: float) -> Coverage:
    """Share of points whose PIT lies in the central interval of a probability.

    Args:
        pit: Predictive distribution functions at what was observed, as of `gaussian_mixture_cdf`.
        probability: Of the interval between the quantiles (1 - probability) / 2 and (1 + probability) / 2.

    Returns:
        The share with its standard error. Points predicted by one fitted model are not independent, and then the
        share's scatter over fits is larger: compute shares fit by fit and compare those.

    Raises:
        InputError: If there are no points, a PIT is outside [0, 1], or the probability outside (0, 1).
    """
    pit = np.asarray(pit, dtype=float)
    _check_probability(probability)
    if pit.size == 0 or not ((pit >= 0) & (pit <= 1)).all():
        raise InputError(f"`pit` must hold numbers within [0, 1], at least one, got {pit.size} of them.")
    share = float((np.abs(pit - 0.5) <= 0.5 * probability).mean())
    # The standard deviation of a Beta(held + 1/2, missed + 1/2) is not zero where none or all were held.
    smooth = (share * pit.size + 0.5) / (pit.size + 1)
    return Coverage(
        probability=probability,
        share=share,
        standard_error=float(np.sqrt(smooth * (1 - smooth) / (pit.size + 2))),
    )


def calibration_ranks(
    truth: Num[np.ndarray, "*replicate"], draws: Num[np.ndarray, " draw *replicate"], *, rng: np.random.Generator
) -> Int[np.ndarray, "*replicate"]:
    """Rank of each truth among draws of the posterior given data that it made.

    Args:
        truth: Drawn from the prior, one a replicate (any further axes are kept).
        draws: Independent draws of the posterior; thin a chain to its effective number first.
        rng: Breaks ties: among draws equal to the truth, each place is as likely.

    Returns:
        Numbers of draws below, from 0 to `draw`; uniform over the replicates where the sampler is right.

    Raises:
        InputError: If shapes do not fit or an entry is NaN.

    Reference:
        Talts, Betancourt, Simpson, Vehtari & Gelman (2018), arXiv:1804.06788; ties as in Modrak, Moon, Kim, Buerkner,
        Huurre, Faltejskova, Gelman & Vehtari (2023), Bayesian Analysis.
    """
    truth, draws = np.asarray(truth), np.asarray(draws)
    if draws.ndim == 0 or len(draws) == 0 or draws.shape[1:] != truth.shape:
        raise InputError(
            f"`truth` of shape {truth.shape} and `draws` of shape {draws.shape} do not fit; "
            "pass draws over (draw, *replicate) and truths over (*replicate)."
        )
    if np.isnan(truth).any() or np.isnan(draws).any():
        raise InputError("`truth` or `draws` holds NaN, which has no rank; leave such replicates out.")
    return np.asarray((draws < truth).sum(axis=0) + rng.integers(0, (draws == truth).sum(axis=0), endpoint=True))


@dataclass(frozen=True, kw_only=True)
class RankUniformity:
    """Tests of uniform ranks; both p-values are uniform where ranks are.

    Attributes:
        n_replicates: Ranks.
        n_bins: Of the chi-squared test.
        chi_squared_p: P-value of counts in bins: sees any shape, with less power against smooth ones.
        ecdf_p: Exact p-value of the largest departure of the empirical distribution function, each value judged by its
            own binomial law: sees shifts, and laws too narrow or too wide.
        largest_deviation: Largest distance of the empirical distribution function from the uniform one (Kolmogorov).
        point: Shares of the ranks' range at which the functions are compared.
        ecdf: Empirical distribution function there.
        lower: Simultaneous band: a uniform sample leaves it nowhere with at least the probability asked for.
        upper: Its upper end.
    """

    n_replicates: int
    n_bins: int
    chi_squared_p: float
    ecdf_p: float
    largest_deviation: float
    point: Float[np.ndarray, " point"]
    ecdf: Float[np.ndarray, " point"]
    lower: Float[np.ndarray, " point"]
    upper: Float[np.ndarray, " point"]


def rank_uniformity(rank: Int[np.ndarray, " replicate"], n_draws: int, *, probability: float = 0.95) -> RankUniformity:
    """Test whether ranks of simulation-based calibration are uniform on 0, ..., n_draws.

    Args:
        rank: One a replicate (`calibration_ranks`), independent.
        n_draws: Draws that each was ranked among.
        probability: Of the simultaneous band.

    Raises:
        InputError: If a rank is outside its range, there are fewer than 10, or the probability is outside (0, 1).

    Reference:
        Saeilynoja, Buerkner & Vehtari (2022), Statistics and Computing 32, sections 2.1 and 2.2.
    """
    rank = np.asarray(rank)
    _check_probability(probability)
    if rank.ndim != 1 or len(rank) < 10 or not np.issubdtype(rank.dtype, np.integer):
        raise InputError(
            f"`rank` has shape {rank.shape} and type {rank.dtype}; pass one axis of at least 10 integers, or there is "
            "nothing to test."
        )
    if rank.min() < 0 or rank.max() > n_draws:
        raise InputError(f"`rank` runs from {rank.min()} to {rank.max()}, but among {n_draws} draws 0 to {n_draws}.")
    n, n_values = len(rank), n_draws + 1
    below = np.concatenate([[0], np.cumsum(np.bincount(rank, minlength=n_values))])
    n_bins = int(np.clip(n // _LEAST_EXPECTED, 2, min(_MOST_BINS, n_values)))
    edge = _edges(n_values, n_bins)
    expected = n * np.diff(edge) / n_values
    statistic = ((np.diff(below[edge]) - expected) ** 2 / expected).sum()
    inner = _edges(n_values, min(n_values, n, _MOST_POINTS))[1:-1]
    point, count = inner / n_values, below[inner]
    tails = _tails(n, point)
    pointwise = np.minimum(*tails)[np.arange(len(point)), count].min()
    lower, upper = ecdf_band(n, point, probability)
    return RankUniformity(
        n_replicates=n,
        n_bins=n_bins,
        chi_squared_p=float(chi2.sf(statistic, n_bins - 1)),
        ecdf_p=1.0 - _chance_within(*_more_likely(tails, float(pointwise)), n, point),
        largest_deviation=float(np.abs(below / n - np.arange(n_values + 1) / n_values).max()),
        point=point,
        ecdf=count / n,
        lower=lower,
        upper=upper,
    )


def ecdf_band(
    n_values: int, point: Float[np.ndarray, " point"], probability: float
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """Simultaneous band of the empirical distribution function of independent uniform numbers.

    Args:
        n_values: Of which the function is.
        point: Where the function is looked at, increasing, within (0, 1).
        probability: At least this likely the function is within the band at every point.

    Returns:
        Lower and upper ends, both within the band.

    Raises:
        InputError: If the points do not increase within (0, 1), or the probability is outside (0, 1).

    Reference:
        Saeilynoja, Buerkner & Vehtari (2022), Statistics and Computing 32: pointwise binomial intervals of one level,
        which is found by their exact recursion for the chance of staying within.
    """
    point = np.asarray(point, dtype=float)
    _check_probability(probability)
    if point.ndim != 1 or len(point) == 0 or not (np.diff(point, prepend=0.0, append=1.0) > 0).all():
        raise InputError("`point` must hold increasing numbers within (0, 1), at least one.")
    # Of the chance of either tail at one point: between that of one point alone and of all if none were correlated.
    tails = _tails(n_values, point)
    largest, least = np.log(0.5), np.log(0.5 * (1 - probability) / len(point))
    for _ in range(_N_HALVINGS):
        middle = 0.5 * (least + largest)
        if _chance_within(*_more_likely(tails, float(np.exp(middle))), n_values, point) >= probability:
            least = middle
        else:
            largest = middle
    lower, upper = _more_likely(tails, float(np.exp(least)))
    return lower / n_values, upper / n_values


def _tails(
    n: int, point: Float[np.ndarray, " point"]
) -> tuple[Float[np.ndarray, "point count"], Float[np.ndarray, "point count"]]:
    """Chance of as few, and of as many, as each count from 0 to n at each point."""
    count = np.arange(n + 1)
    return binom.cdf(count, n, point[:, None]), binom.sf(count - 1, n, point[:, None])


def _more_likely(
    tails: tuple[Float[np.ndarray, "point count"], Float[np.ndarray, "point count"]], least: float
) -> tuple[Int[np.ndarray, " point"], Int[np.ndarray, " point"]]:
    """First and last count at each point whose chances of as few and of as many both exceed `least`."""
    # A relative margin keeps a count whose chance equals it out, whichever way it was rounded.
    few, many = (tail > least * (1 + 1e-9) for tail in tails)
    return np.argmax(few, axis=1), many.shape[1] - 1 - np.argmax(many[:, ::-1], axis=1)


def _chance_within(
    lower: Int[np.ndarray, " point"], upper: Int[np.ndarray, " point"], n: int, point: Float[np.ndarray, " point"]
) -> float:
    """Chance that the counts of `n` uniform numbers up to each point all lie within `lower` to `upper`.

    Counts are a Markov chain: those not counted yet fall into the next interval independently of each other.
    """
    if (lower > upper).any():
        return 0.0
    log_factorial = gammaln(np.arange(n + 1) + 1.0)
    before, chance, last = np.zeros(1, dtype=int), np.ones(1), 0.0
    for least, most, now in zip(lower, upper, point, strict=True):
        after = np.arange(least, most + 1)
        share = (now - last) / (1 - last)
        step = after - before[:, None]
        possible: Bool[np.ndarray, "before after"] = step >= 0
        left, step = n - before[:, None], np.where(possible, step, 0)
        log_choices = log_factorial[left] - log_factorial[step] - log_factorial[np.maximum(left - step, 0)]
        log_chance = log_choices + step * np.log(share) + (left - step) * np.log1p(-share)
        chance = chance @ np.where(possible, np.exp(log_chance), 0.0)
        before, last = after, now
    return float(chance.sum())


def _edges(n_values: int, n_parts: int) -> Int[np.ndarray, " edge"]:
    """Ends of parts of 0, ..., n_values, as equal as integers can be."""
    return np.round(np.linspace(0, n_values, n_parts + 1)).astype(int)


def _check_probability(probability: float) -> None:
    if not 0 < probability < 1:
        raise InputError(f"`probability` must lie in (0, 1), got {probability}; 0.9 is usual.")
