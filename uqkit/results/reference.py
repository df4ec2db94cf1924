"""Known answers: what a published or closed-form value is, where it comes from, and how far a result is from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from uqkit.results import schema

__all__ = ["Reference", "compare"]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A known value of an estimate.

    Attributes:
        values: Along the estimate's own dimensions without `output`; nested sequences for several.
        kind: How it is known: "closed form", "quadrature", "monte carlo", or "published".
        source: Paper and equation, or how it was computed.
        standard_error: Of a value that is itself an estimate; 0 where exact.
        output: The output it belongs to.
    """

    values: Sequence[float]
    kind: Literal["closed form", "quadrature", "monte carlo", "published"]
    source: str
    standard_error: float = 0.0
    output: str = field(default="y")


def compare(result: xr.DataTree, references: Mapping[str, Reference]) -> pd.DataFrame:
    """Estimates beside their references.

    Args:
        result: With an `estimates` group.
        references: Name of an estimate -> its reference; names that the result does not have are passed over.

    Returns:
        One row an estimate and index: estimate, standard error, reference, and the difference in standard errors.
    """
    estimates = result[schema.ESTIMATES].to_dataset()
    rows = []
    for name, reference in references.items():
        if name not in estimates:
            continue
        estimate = estimates[name].sel({schema.OUTPUT: reference.output})
        error = estimates[schema.standard_error(name)].sel({schema.OUTPUT: reference.output})
        known = np.asarray(reference.values, dtype=float).reshape(estimate.shape)
        for index in np.ndindex(estimate.shape):
            labels = [str(estimate[dim].values[i]) for dim, i in zip(estimate.dims, index, strict=True)]
            difference = float(estimate.values[index]) - known[index]
            scale = float(np.hypot(error.values[index], reference.standard_error))
            rows.append(
                {
                    "estimate": name,
                    "of": ", ".join(labels),
                    "value": float(estimate.values[index]),
                    "standard_error": float(error.values[index]),
                    "reference": known[index],
                    "z": difference / scale if scale > 0 else np.inf * np.sign(difference) if difference else 0.0,
                }
            )
    return pd.DataFrame(rows)
