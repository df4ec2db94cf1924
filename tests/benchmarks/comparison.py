"""A measured claim, and the statistics that decide it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import binomtest, norm

__all__ = ["PROBABILITY", "Row", "measured", "rmse_ratio", "share_within", "with_interval"]

type Interval = tuple[float, float]

_N_RESAMPLES = 10_000
# Some sixty rows are judged in one run, several of them true ties: at 95% one or two would be missed by chance.
PROBABILITY = 0.99


@dataclass(frozen=True, kw_only=True)
class Row:
    """One claim: what was measured, against whom, and what is required of it.

    Attributes:
        what: The claim with its settings and repetition counts.
        ours: Our figure.
        theirs: The opponent's figure, if there is one.
        opponent: Who that is, and at which settings.
        judged: Whether the requirement is on the ratio of the two figures or on ours alone.
        interval: 99% interval of what is judged; a point where it is no random quantity, or measured once.
        at_least: Lower end of the requirement.
        at_most: Upper end of the requirement.
    """

    what: str
    ours: float
    theirs: float | None = None
    opponent: str = ""
    judged: Literal["ratio", "ours"] = "ours"
    interval: Interval
    at_least: float = -math.inf
    at_most: float = math.inf

    @property
    def ratio(self) -> float | None:
        """Ours over theirs."""
        return self.ours / self.theirs if self.theirs else None

    @property
    def verdict(self) -> Literal["met", "missed", "undecided"]:
        """Met or missed where the whole interval is inside or outside the requirement, else undecided."""
        low, high = self.interval
        if self.at_least <= low and high <= self.at_most:
            return "met"
        return "missed" if high < self.at_least or low > self.at_most else "undecided"

    @property
    def required(self) -> str:
        """The requirement in words."""
        if math.isinf(self.at_least):
            return f"{self.judged} <= {self.at_most:g}"
        if math.isinf(self.at_most):
            return f"{self.judged} >= {self.at_least:g}"
        return f"{self.judged} in {self.at_least:g}..{self.at_most:g}"

    def record(self) -> dict[str, Any]:
        """The row as JSON types."""
        return {
            "what": self.what,
            "ours": self.ours,
            "theirs": self.theirs,
            "opponent": self.opponent,
            "ratio": self.ratio,
            "interval": list(self.interval),
            "required": self.required,
            "verdict": self.verdict,
        }


def measured(what: str, *ours: float, **others: Any) -> Row:
    """Row of a figure that depends on no key: the median of what was measured, its range as interval."""
    return Row(what=what, ours=float(np.median(ours)), interval=(min(ours), max(ours)), **others)


def with_interval(statistic: Callable[..., Any], *per_key: Float[np.ndarray, " key"]) -> tuple[float, Interval]:
    """A function of means over keys with its 99% interval, by the bootstrap of the keys, paired across arguments."""
    columns = np.stack(per_key, axis=1)
    chosen = np.random.default_rng(0).integers(len(columns), size=(_N_RESAMPLES, len(columns)))
    low, high = np.quantile(statistic(*columns[chosen].mean(axis=1).T), [0.5 - PROBABILITY / 2, 0.5 + PROBABILITY / 2])
    return float(statistic(*columns.mean(axis=0))), (float(low), float(high))


def rmse_ratio(
    what: str, ours: Float[np.ndarray, "key cell"], theirs: Float[np.ndarray, "key cell"], opponent: str
) -> Row:
    """Row of the root mean squared error over keys and cells, required to be no larger than the opponent's."""
    squared = [(errors**2).mean(axis=1) for errors in (ours, theirs)]
    _, interval = with_interval(lambda mine, other: np.sqrt(mine / other), *squared)
    our_rmse, their_rmse = (float(np.sqrt(part.mean())) for part in squared)
    return Row(
        what=what,
        ours=our_rmse,
        theirs=their_rmse,
        opponent=opponent,
        judged="ratio",
        interval=interval,
        at_most=1.0,
    )


def share_within(what: str, covered: Bool[np.ndarray, "key cell"], **required: Any) -> Row:
    """Row of a coverage, averaged over cells.

    Cells of one key share their points and are not independent, so the binomial standard error is generalised to that
    of the mean over keys of each key's own share. For a single cell, and where all keys agree, which shows no spread,
    the interval is Wilson's, a key counting as one trial.
    """
    of_key = covered.mean(axis=1)
    share, half = float(of_key.mean()), float(norm.ppf(0.5 + PROBABILITY / 2) * of_key.std() / np.sqrt(len(of_key)))
    if covered.shape[1] == 1 or half == 0.0:
        wilson = binomtest(round(share * len(of_key)), len(of_key)).proportion_ci(PROBABILITY, method="wilson")
        return Row(what=what, ours=share, interval=(float(wilson.low), float(wilson.high)), **required)
    return Row(what=what, ours=share, interval=(share - half, share + half), **required)
