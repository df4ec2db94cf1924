"""Laws of evolution solved by the method of lines: the rate that a catalogue problem asks of a field at one time."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from uqkit.problems import BoundaryValueProblem


@dataclass(frozen=True)
class Snapshot:
    """A field that stands still, with the interface of an unknown one.

    Attributes:
        by_order: Order in x -> that derivative at the nodes.
    """

    by_order: Mapping[int, np.ndarray]

    @property
    def value(self) -> np.ndarray:
        return self.by_order[0]

    def d(self, name: str, order: int = 1) -> np.ndarray:
        assert name in ("x", "t")
        return self.by_order[order] if name == "x" else np.zeros_like(self.by_order[0])


def rate(problem: BoundaryValueProblem, by_order: Mapping[int, np.ndarray]) -> np.ndarray:
    """u_t by the problem's first constraint, u_t + F(u, u_x, u_xx) = 0: what is left without u_t, negated."""
    return -np.asarray(problem.constraints[0].operator(u=Snapshot(by_order)))
