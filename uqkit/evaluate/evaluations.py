"""The rows that an evaluation leaves: values where the model answered, a status and a message where it did not."""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from jaxtyping import Bool, Float, Int8

__all__ = ["Evaluations", "Status"]


class Status(IntEnum):
    """What became of one evaluation."""

    OK = 0
    ERROR = 1
    NON_FINITE = 2
    PENDING = 3


@dataclass(frozen=True, kw_only=True)
class Evaluations:
    """Evaluations of a model, one row a point.

    Attributes:
        points: Physical input values.
        values: Outputs; NaN in rows that have none.
        status: A `Status` a row.
        messages: Row -> what went wrong there.
        n_run: Evaluations done by this call, failed ones included.
        n_reused: Evaluations taken from a store.
    """

    points: Float[np.ndarray, "point input"]
    values: Float[np.ndarray, "point output"]
    status: Int8[np.ndarray, " point"]
    messages: dict[int, str] = field(default_factory=dict)
    n_run: int = 0
    n_reused: int = 0

    @property
    def ok(self) -> Bool[np.ndarray, " point"]:
        """Rows with finite values."""
        return self.status == Status.OK

    @property
    def n_failed(self) -> int:
        """Rows that were evaluated and have no finite values."""
        return int(np.sum((self.status == Status.ERROR) | (self.status == Status.NON_FINITE)))

    @property
    def n_finished(self) -> int:
        """Rows that were evaluated, whatever became of them."""
        return int(np.sum(self.status != Status.PENDING))
