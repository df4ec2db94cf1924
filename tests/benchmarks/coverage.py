"""Estimates with intervals over many keys, held against known values."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from tests.benchmarks.comparison import Row, share_within, with_interval
from uqkit.problems import ForwardModel
from uqkit.results import schema

__all__ = ["Repeated"]

INDICES = (schema.SOBOL_FIRST, schema.SOBOL_TOTAL)
MOMENTS = (schema.OUTPUT_MEAN, schema.OUTPUT_VARIANCE)

# A known value decides coverage only where its own error is this small a share of the interval's half-width.
_RESOLVED_SHARE = 0.1


@dataclass(frozen=True)
class Repeated:
    """Numbers that were estimated, one a cell, once a key.

    Attributes:
        estimate: The variable that each cell belongs to.
        label: Its name.
        known: Its known value.
        known_error: Standard error of that.
        value: Estimates.
        half_width: Of the intervals.
        centre: Of the intervals.
        too_coarse: Labels of cells left out because their known value is too coarse to judge by.
    """

    estimate: np.ndarray
    label: np.ndarray
    known: Float[np.ndarray, " cell"]
    known_error: Float[np.ndarray, " cell"]
    value: Float[np.ndarray, "key cell"]
    half_width: Float[np.ndarray, "key cell"]
    centre: Float[np.ndarray, "key cell"]
    too_coarse: tuple[str, ...] = ()

    @classmethod
    def of(cls, problem: ForwardModel, results: Iterable[xr.DataTree]) -> Self:
        """Cells of all references of a problem; results may be a generator, only their estimates are kept."""
        references = problem.references
        sizes = [len(reference.values) for reference in references.values()]
        label = [
            f"{name.removeprefix('sobol_')} {problem.inputs.names[i] if n > 1 else ''}".strip()
            for name, n in zip(references, sizes, strict=True)
            for i in range(n)
        ]
        tables = np.stack([_table(result, list(references)) for result in results])
        return cls(
            estimate=np.repeat(list(references), sizes),
            label=np.array(label),
            known=np.concatenate([np.asarray(reference.values, dtype=float) for reference in references.values()]),
            known_error=np.repeat([reference.standard_error for reference in references.values()], sizes),
            value=tables[:, 0],
            half_width=(tables[:, 2] - tables[:, 1]) / 2,
            centre=(tables[:, 2] + tables[:, 1]) / 2,
        )

    def only(self, estimates: Iterable[str]) -> Self:
        """The cells of some estimates, without those whose known value is too coarse to judge by."""
        chosen = np.isin(self.estimate, list(estimates))
        fine = self.known_error <= _RESOLVED_SHARE * np.median(self.half_width, axis=0)
        cells = chosen & fine
        return type(self)(
            self.estimate[cells],
            self.label[cells],
            self.known[cells],
            self.known_error[cells],
            self.value[:, cells],
            self.half_width[:, cells],
            self.centre[:, cells],
            tuple(self.label[chosen & ~fine]),
        )

    @property
    def covered(self) -> Bool[np.ndarray, "key cell"]:
        """Which intervals hold the known value."""
        return np.abs(self.centre - self.known) <= self.half_width

    @property
    def cells(self) -> str:
        """How many cells there are, which is covered least, and which were left out, in words."""
        share = self.covered.mean(axis=0)
        words = (
            [f"lowest of {len(share)} cells {self.label[share.argmin()]} {share.min():.3f}"] if len(share) > 1 else []
        )
        words += [f"without {', '.join(self.too_coarse)} (reference too coarse)"] if self.too_coarse else []
        return ", ".join(words)

    def coverage(self, what: str, **required: Any) -> Row:
        """Row of the coverage averaged over the cells."""
        text = "; ".join(filter(None, (f"coverage of 95% intervals, {what}", f"{len(self.value)} keys", self.cells)))
        return share_within(text, self.covered, **required)

    def width(self, what: str, *, at_most: float) -> Row:
        """Row of the mean half-width over what it would be if the root mean squared error were known."""
        ours, interval = with_interval(
            lambda half_width, squared_error: half_width / (1.96 * np.sqrt(squared_error)),
            self.half_width.mean(axis=1),
            ((self.value - self.known) ** 2).mean(axis=1),
        )
        return Row(
            what=f"mean half-width / (1.96 RMSE), {what}; {len(self.value)} keys",
            ours=ours,
            interval=interval,
            at_most=at_most,
        )


def _table(result: xr.DataTree, names: list[str]) -> Float[np.ndarray, "3 cell"]:
    """Values, lower and upper ends of all estimates of a problem with one output."""
    estimates = result[schema.ESTIMATES].to_dataset().isel({schema.OUTPUT: 0})
    return np.stack(
        [
            np.concatenate([np.ravel(estimates[variable(name)].values) for name in names])
            for variable in (str, schema.lower, schema.upper)
        ]
    )
