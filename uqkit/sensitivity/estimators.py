"""Pick-freeze estimators of Sobol' indices: each a smooth function of means over rows.

A row holds the outputs y(A), y(B), and for every input or group i y(AB_i), the point A with i taken from B; some
estimators also use y(BA_i), the point B with i taken from A. An estimator says which products it averages (`columns`)
and how their means make the index (`index`). Everything else, resampling and error propagation, follows from these two
and is written once (`uqkit.sensitivity.intervals`).

One output at a time, standardised. Shapes: y(A), y(B): (row, 1); y(AB_i), y(BA_i): (row, input). Means may carry
leading axes and be complex: indices are resampled along the former and differentiated by the latter.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

__all__ = ["Azzini", "Estimator", "Janon", "Jansen", "Martinez", "Rows", "Saltelli2002", "Saltelli2010", "Shared"]

type Means = Any


@dataclass(frozen=True)
class Shared:
    """Means that do not depend on the input: of y(A), y(B) and their squares, each (..., 1)."""

    a: Means
    b: Means
    a_squared: Means
    b_squared: Means

    @property
    def variance(self) -> Means:
        """Variance of the output over the rows of A and B together."""
        mean = (self.a + self.b) / 2
        return (self.a_squared + self.b_squared) / 2 - mean**2


@dataclass(frozen=True)
class Rows:
    """Standardised outputs of the rows of a design; `ba` is None where the design has no such points."""

    a: Float[np.ndarray, "row 1"]
    b: Float[np.ndarray, "row 1"]
    ab: Float[np.ndarray, "row input"]
    ba: Float[np.ndarray, "row input"] | None = None


@runtime_checkable
class Estimator(Protocol):
    """How one kind of index follows from the rows."""

    # The kinds of index it estimates, of "first" and "total"; and whether it uses the points BA_i.
    kinds: ClassVar[tuple[str, ...]]
    needs_ba: ClassVar[bool]

    def columns(self, rows: Rows, kind: str) -> tuple[Float[np.ndarray, "row input"], ...]:
        """The products whose means are needed, for kind "first" or "total"."""
        ...

    def index(self, means: tuple[Means, ...], shared: Shared, kind: str) -> Means:
        """The index from the means of `columns`, (..., input)."""
        ...


def _ba(rows: Rows) -> Float[np.ndarray, "row input"]:
    assert rows.ba is not None
    return rows.ba


@dataclass(frozen=True, kw_only=True)
class Saltelli2010:
    """First order: mean of y(B) (y(AB_i) - y(A)) over the variance.

    Reference:
        Saltelli et al. (2010), Computer Physics Communications 181, table 2(b); SALib's choice.
    """

    needs_ba: ClassVar[bool] = False
    kinds: ClassVar[tuple[str, ...]] = ("first",)

    def columns(self, rows: Rows, kind: str) -> tuple[Float[np.ndarray, "row input"], ...]:
        """See `Estimator`."""
        return (rows.b * (rows.ab - rows.a),)

    def index(self, means: tuple[Means, ...], shared: Shared, kind: str) -> Means:
        """See `Estimator`."""
        return means[0] / shared.variance


@dataclass(frozen=True, kw_only=True)
class Jansen:
    """Half the mean squared difference that i alone makes (total), or all but i make (first), over the variance.

    Reference:
        Jansen (1999), Computer Physics Communications 117, eqs 8 and 9; Saltelli et al. (2010), table 2(c) and (f).
    """

    needs_ba: ClassVar[bool] = False
    kinds: ClassVar[tuple[str, ...]] = ("first", "total")

    def columns(self, rows: Rows, kind: str) -> tuple[Float[np.ndarray, "row input"], ...]:
        """See `Estimator`."""
        other = rows.b if kind == "first" else rows.a
        return (0.5 * (other - rows.ab) ** 2,)

    def index(self, means: tuple[Means, ...], shared: Shared, kind: str) -> Means:
        """See `Estimator`."""
        share = means[0] / shared.variance
        return 1 - share if kind == "first" else share


@dataclass(frozen=True, kw_only=True)
class Martinez:
    """Correlation of y(B) with y(AB_i) (first), one minus that of y(A) with y(AB_i) (total).

    Reference:
        Martinez (2011), Analyse de sensibilite globale par decomposition de la variance; Baudin et al. (2016).
    """

    needs_ba: ClassVar[bool] = False
    kinds: ClassVar[tuple[str, ...]] = ("first", "total")

    def columns(self, rows: Rows, kind: str) -> tuple[Float[np.ndarray, "row input"], ...]:
        """See `Estimator`."""
        other = rows.b if kind == "first" else rows.a
        return (other * rows.ab, rows.ab, rows.ab**2)

    def index(self, means: tuple[Means, ...], shared: Shared, kind: str) -> Means:
        """See `Estimator`."""
        product, mean, square = means
        other, other_square = (shared.b, shared.b_squared) if kind == "first" else (shared.a, shared.a_squared)
        spread = (square - mean**2) * (other_square - other**2)
        correlation = (product - mean * other) / spread**0.5
        return correlation if kind == "first" else 1 - correlation


@dataclass(frozen=True, kw_only=True)
class Janon:
    """Correlation with mean and variance pooled over the two outputs of each pair.

    Reference:
        Monod, Naud & Makowski (2006); Janon et al. (2014), ESAIM: Probability and Statistics 18, eq. 6.
    """

    needs_ba: ClassVar[bool] = False
    kinds: ClassVar[tuple[str, ...]] = ("first", "total")

    def columns(self, rows: Rows, kind: str) -> tuple[Float[np.ndarray, "row input"], ...]:
        """See `Estimator`."""
        other = rows.b if kind == "first" else rows.a
        return (other * rows.ab, rows.ab, rows.ab**2)

    def index(self, means: tuple[Means, ...], shared: Shared, kind: str) -> Means:
        """See `Estimator`."""
        product, mean, square = means
        other, other_square = (shared.b, shared.b_squared) if kind == "first" else (shared.a, shared.a_squared)
        pooled_mean = (mean + other) / 2
        correlation = (product - pooled_mean**2) / ((square + other_square) / 2 - pooled_mean**2)
        return correlation if kind == "first" else 1 - correlation


@dataclass(frozen=True, kw_only=True)
class Azzini:
    """Differences over all four points of a row; twice the calls of the others.

    Reference:
        Azzini, Mara & Rosati (2021), Environmental Modelling & Software 144, eqs 13 and 14.
    """

    needs_ba: ClassVar[bool] = True
    kinds: ClassVar[tuple[str, ...]] = ("first", "total")

    def columns(self, rows: Rows, kind: str) -> tuple[Float[np.ndarray, "row input"], ...]:
        """See `Estimator`."""
        ba = _ba(rows)
        four_variances = (rows.a - rows.b) ** 2 + (ba - rows.ab) ** 2
        if kind == "first":
            return (2 * (ba - rows.b) * (rows.a - rows.ab), four_variances)
        return ((rows.b - ba) ** 2 + (rows.a - rows.ab) ** 2, four_variances)

    def index(self, means: tuple[Means, ...], shared: Shared, kind: str) -> Means:
        """See `Estimator`."""
        return means[0] / means[1]


@dataclass(frozen=True, kw_only=True)
class Saltelli2002:
    """Second order: the closed index of a pair, mean of y(BA_i) y(AB_j) - y(A) y(B), less the two first-order ones.

    Reference:
        Saltelli (2002), Computer Physics Communications 145, theorem 2; SALib's choice.
    """

    def columns(self, rows: Rows, i: np.ndarray, j: np.ndarray) -> tuple[Float[np.ndarray, "row pair"], ...]:
        """The products of the pairs (i[k], j[k])."""
        return (_ba(rows)[:, i] * rows.ab[:, j] - rows.a * rows.b,)

    def index(self, means: tuple[Means, ...], shared: Shared, first_i: Means, first_j: Means) -> Means:
        """The second-order index of each pair from the means and the first-order indices of its two members."""
        return means[0] / shared.variance - first_i - first_j
