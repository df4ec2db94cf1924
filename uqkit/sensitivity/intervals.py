"""Standard errors, intervals and draws of indices: three ways to see how far an estimate may be off."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from uqkit.errors import InputError
from uqkit.keys import as_key, numpy_generator
from uqkit.stats import bootstrap_means, influence_rows, linearised, net_standard_error
from uqkit.stats.delta_method import FunctionOfMeans

__all__ = ["Assessment", "BayesianBootstrap", "InfluenceFunction", "Interval", "Statistic", "SubNets"]


@dataclass(frozen=True)
class Statistic:
    """A vector of estimates as a function of the means of columns.

    Attributes:
        columns: What is averaged, rows without a failure only.
        function: Means (..., column) to values (..., value).
        used: Which rows of the design those are.
        alike: Groups of values whose means over nets may be expected to settle alike.
    """

    columns: Float[np.ndarray, "row column"]
    function: FunctionOfMeans
    used: Bool[np.ndarray, " design_row"]
    alike: tuple[slice, ...]

    @property
    def value(self) -> Float[np.ndarray, " value"]:
        """The estimates."""
        return self.function(self.columns.mean(axis=0))


@dataclass(frozen=True)
class Assessment:
    """How far estimates may be off.

    Attributes:
        standard_error: Of each estimate.
        lower: Lower ends of the intervals.
        upper: Upper ends.
        draws: Values as likely as the interval says, for summaries and forest plots.
    """

    standard_error: Float[np.ndarray, " value"]
    lower: Float[np.ndarray, " value"]
    upper: Float[np.ndarray, " value"]
    draws: Float[np.ndarray, "draw value"]


@runtime_checkable
class Interval(Protocol):
    """A way to assess the estimates of one design."""

    def assess(self, statistic: Statistic, probability: float, n_draws: int, *, key: object) -> Assessment:
        """Standard errors, intervals of the given probability, and draws; `n_draws=0` spares them."""
        ...


def _student_interval(
    value: Float[np.ndarray, " value"], error: Float[np.ndarray, " value"], degrees: float, probability: float
) -> tuple[Float[np.ndarray, " value"], Float[np.ndarray, " value"]]:
    half = stats.t.ppf(0.5 + probability / 2, degrees) * error
    return value - half, value + half


@dataclass(frozen=True, kw_only=True)
class InfluenceFunction:
    """Delta method for independent rows: the spread of each row's influence, no resampling."""

    def assess(self, statistic: Statistic, probability: float, n_draws: int, *, key: object) -> Assessment:
        """See `Interval`."""
        value = statistic.value
        n_rows = len(statistic.columns)
        influence = influence_rows(statistic.function, statistic.columns)
        error = influence.std(axis=0, ddof=1) / np.sqrt(n_rows)
        lower, upper = _student_interval(value, error, float(n_rows - 1), probability)
        means = bootstrap_means(statistic.columns, n_draws, key=key)
        centre = statistic.columns.mean(axis=0)
        draws = value + linearised(statistic.function, centre, means - centre)
        return Assessment(error, lower, upper, draws)


@dataclass(frozen=True, kw_only=True)
class BayesianBootstrap:
    """Quantiles over random weightings of independent rows; follows the skewness of small samples.

    Attributes:
        n_resamples: Weightings that the quantiles are taken over.
    """

    n_resamples: int = 1_000

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            InputError: If there are too few resamples for a quantile.
        """
        if self.n_resamples < 100:
            raise InputError(f"n_resamples is {self.n_resamples}; quantiles need at least 100, usually 1,000.")

    def assess(self, statistic: Statistic, probability: float, n_draws: int, *, key: object) -> Assessment:
        """See `Interval`."""
        means = bootstrap_means(statistic.columns, max(self.n_resamples, n_draws), key=key)
        values = statistic.function(means)
        lower, upper = np.quantile(values, [0.5 - probability / 2, 0.5 + probability / 2], axis=0)
        return Assessment(values.std(axis=0, ddof=1), lower, upper, values[:n_draws])


@dataclass(frozen=True, kw_only=True)
class SubNets:
    """For scrambled Sobol' designs: the estimate from the whole net, the error from the nets inside it.

    Taking the rows of a net as independent gives intervals several times too wide, since its means converge faster.
    These follow the convergence seen inside the net (`uqkit.stats.net_standard_error`); they are conservative on
    average over the indices, and remain an extrapolation.
    """

    def assess(self, statistic: Statistic, probability: float, n_draws: int, *, key: object) -> Assessment:
        """See `Interval`."""
        value = statistic.value
        influence = influence_rows(statistic.function, statistic.columns)
        n_rows, n_used = len(statistic.used), len(influence)
        # A failed row has no influence; the others count for it, so that the mean over the net stays the estimate's.
        in_net = np.zeros((n_rows, influence.shape[1]))
        in_net[statistic.used] = influence * (n_rows / n_used)
        parts = [net_standard_error(in_net[:, part]) for part in statistic.alike]
        error, degrees = np.concatenate([part[0] for part in parts]), parts[0][1]
        # Leaving out rows costs the balance of the net: to first order, their share of the error of independent rows.
        lost_share = 1 - n_used / n_rows
        error = np.sqrt(error**2 + lost_share * influence.var(axis=0) / n_used)
        lower, upper = _student_interval(value, error, degrees, probability)
        return Assessment(error, lower, upper, self._draws(value, in_net, (lower, upper), probability, n_draws, key))

    def _draws(
        self,
        value: Float[np.ndarray, " value"],
        influence: Float[np.ndarray, "row value"],
        interval: tuple[Float[np.ndarray, " value"], Float[np.ndarray, " value"]],
        probability: float,
        n_draws: int,
        key: object,
    ) -> Float[np.ndarray, "draw value"]:
        """Normal draws as wide as the interval, correlated between indices as the blocks of the net are."""
        n_blocks = max(2, 1 << ((len(influence).bit_length() - 1) // 2))
        blocks = influence.reshape(n_blocks, -1, influence.shape[1]).mean(axis=1)
        scale = np.sqrt((blocks**2).sum(axis=0))
        blocks = np.divide(blocks, scale, out=np.zeros_like(blocks), where=scale > 0)
        spread = (interval[1] - interval[0]) / (2 * stats.norm.ppf(0.5 + probability / 2))
        normal = numpy_generator(as_key(key)).standard_normal((n_draws, n_blocks))
        return value + spread * (normal @ blocks)
