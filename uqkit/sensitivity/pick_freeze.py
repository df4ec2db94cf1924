"""Pick-freeze: the design that freezes one input at a time, and the indices that follow from its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from uqkit.errors import InputError
from uqkit.inputs import Design, Inputs, ScrambledSobol
from uqkit.sensitivity.estimators import Estimator, Jansen, Rows, Saltelli2002, Saltelli2010, Shared
from uqkit.sensitivity.intervals import InfluenceFunction, Interval, Statistic, SubNets

__all__ = ["FIRST", "MEAN", "ORDERS", "SECOND", "TOTAL", "VARIANCE", "Layout", "PickFreeze", "index_statistic"]

FIRST, TOTAL, SECOND = "first", "total", "second"
ORDERS = (FIRST, TOTAL, SECOND)
MEAN, VARIANCE = "mean", "variance"


@dataclass(frozen=True, kw_only=True)
class PickFreeze:
    """Sobol' indices from rows A and B of a design and the points between them, SALib's estimators by default.

    A row costs `2 + n_inputs` evaluations, or `2 + 2 n_inputs` with second order or `Azzini`.

    Attributes:
        first: Estimator of first-order indices.
        total: Estimator of total indices.
        design: Where the rows are: `ScrambledSobol` or `MonteCarlo`.
        interval: How errors are found; None takes `SubNets` for a scrambled net, `InfluenceFunction` otherwise.

    Reference:
        Saltelli et al. (2010), Computer Physics Communications 181.
    """

    first: Estimator = field(default_factory=Saltelli2010)
    total: Estimator = field(default_factory=Jansen)
    design: Design = field(default_factory=ScrambledSobol)
    interval: Interval | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit each other.

        Raises:
            InputError: If an estimator cannot do its kind of index, or `SubNets` meets a design that is no net.
        """
        for kind in (FIRST, TOTAL):
            estimator = getattr(self, kind)
            if kind not in getattr(estimator, "kinds", ()):
                raise InputError(
                    f"`{kind}` is {estimator!r}, which does not estimate {kind} indices; "
                    "Jansen, Martinez, Janon and Azzini do both, Saltelli2010 first order."
                )
        if isinstance(self.interval, SubNets) and not isinstance(self.design, ScrambledSobol):
            raise InputError(
                f"SubNets() needs a ScrambledSobol() design, got {self.design!r}; use InfluenceFunction()."
            )

    @property
    def assessed_by(self) -> Interval:
        """The interval in force."""
        if self.interval is not None:
            return self.interval
        return SubNets() if isinstance(self.design, ScrambledSobol) else InfluenceFunction()


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the points of a pick-freeze design are ordered: row after row, in a row A, all AB_i, all BA_i, B.

    It is the order of SALib's `sobol.sample`.

    Attributes:
        n_rows: Number of rows.
        blocks: Columns that are exchanged together, one array a factor (an input or a group).
        with_ba: Whether the points BA_i are there.
    """

    n_rows: int
    blocks: tuple[np.ndarray, ...]
    with_ba: bool

    @property
    def points_per_row(self) -> int:
        """Evaluations that a row costs."""
        return 2 + len(self.blocks) * (2 if self.with_ba else 1)

    @property
    def n_points(self) -> int:
        """Evaluations of the whole design."""
        return self.n_rows * self.points_per_row

    def points(
        self, a: Float[np.ndarray, "row input"], b: Float[np.ndarray, "row input"]
    ) -> Float[np.ndarray, "point input"]:
        """All points from the rows A and B."""
        n_factors = len(self.blocks)
        points = np.repeat(a[:, None, :], self.points_per_row, axis=1)
        points[:, 1 + n_factors :] = b[:, None, :]
        for factor, columns in enumerate(self.blocks):
            points[:, 1 + factor, columns] = b[:, columns]
            if self.with_ba:
                points[:, 1 + n_factors + factor, columns] = a[:, columns]
        return points.reshape(-1, a.shape[1])

    def rows(self, values: Float[np.ndarray, " point"]) -> Rows:
        """Outputs of the points by their place in a row."""
        n_factors = len(self.blocks)
        table = values.reshape(-1, self.points_per_row)
        return Rows(
            a=table[:, :1],
            ab=table[:, 1 : 1 + n_factors],
            ba=table[:, 1 + n_factors : 1 + 2 * n_factors] if self.with_ba else None,
            b=table[:, -1:],
        )


def factor_columns(inputs: Inputs, groups: Mapping[str, Sequence[str]] | None) -> tuple[np.ndarray, ...]:
    """Columns of each factor: of each group, or of each input where there are none."""
    position = {name: i for i, name in enumerate(inputs.names)}
    members = groups.values() if groups else ((name,) for name in inputs.names)
    return tuple(np.array([position[name] for name in names]) for names in members)


def pairs(n_factors: int) -> tuple[np.ndarray, np.ndarray]:
    """The pairs i < j of factors, in the order of their second-order indices."""
    return np.triu_indices(n_factors, k=1)


def index_statistic(
    values: Float[np.ndarray, " point"],
    used: Bool[np.ndarray, " row"],
    layout: Layout,
    method: PickFreeze,
    order: Sequence[str],
) -> tuple[Statistic, dict[str, slice]]:
    """Indices, mean and variance of one output as one function of means.

    Args:
        values: The output at every point of the layout, standardised, finite in the rows used.
        used: Rows without a failed point.
        layout: The order of the points.
        method: Supplies the estimators.
        order: Which of `ORDERS` are wanted.

    Returns:
        The statistic, and which of its values are which: orders, `MEAN` and `VARIANCE`.
    """
    n_factors = len(layout.blocks)
    rows = layout.rows(values.reshape(layout.n_rows, -1)[used].ravel())
    estimators = {FIRST: method.first, TOTAL: method.total}
    # Second-order indices are differences from first-order ones.
    kinds = [kind for kind in (FIRST, TOTAL) if kind in order or (kind == FIRST and SECOND in order)]
    second, (i, j) = Saltelli2002(), pairs(n_factors)

    parts: list[tuple[np.ndarray, ...]] = [(rows.a, rows.b, rows.a**2, rows.b**2)]
    parts += [estimators[kind].columns(rows, kind) for kind in kinds]
    if SECOND in order:
        parts.append(second.columns(rows, i, j))
    ends = np.cumsum([column.shape[1] for part in parts for column in part])

    def function(means: np.ndarray) -> np.ndarray:
        pieces = iter(np.split(means, ends[:-1], axis=-1))
        shared = Shared(*(next(pieces) for _ in parts[0]))
        index = {
            kind: estimators[kind].index(tuple(next(pieces) for _ in part), shared, kind)
            for kind, part in zip(kinds, parts[1:], strict=False)
        }
        if SECOND in order:
            first = index[FIRST]
            index[SECOND] = second.index(tuple(next(pieces) for _ in parts[-1]), shared, first[..., i], first[..., j])
        index[MEAN], index[VARIANCE] = (shared.a + shared.b) / 2, shared.variance
        return np.concatenate([index[name] for name in where], axis=-1)

    where: dict[str, slice] = {}
    start = 0
    for name in (*(kind for kind in ORDERS if kind in order), MEAN, VARIANCE):
        length = {SECOND: len(i), MEAN: 1, VARIANCE: 1}.get(name, n_factors)
        where[name] = slice(start, start + length)
        start += length
    columns = np.concatenate([column for part in parts for column in part], axis=1)
    # First-order and total indices are the ones that `net_standard_error` pools; the others settle at their own pace.
    main = [where[kind] for kind in (FIRST, TOTAL) if kind in where]
    alike = ([slice(main[0].start, main[-1].stop)] if main else []) + [
        where[name] for name in (SECOND, MEAN, VARIANCE) if name in where
    ]
    return Statistic(columns, function, used, tuple(alike)), where
