"""How a problem is solved, and how its unknown noise scales are treated."""

from collections.abc import Sequence
from dataclasses import dataclass

from uqkit.errors import InputError

__all__ = ["AttainedTolerance", "Exact", "HeldOutTolerance", "Sampled"]


@dataclass(frozen=True, kw_only=True)
class Exact:
    """The closed-form Gaussian posterior of a linear problem; refuses one that is not linear."""


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """Unknown noise scales are sampled with everything else; for the samplers."""


@dataclass(frozen=True, kw_only=True)
class AttainedTolerance:
    """Tolerances of laws on regions as large as the residual that is left at points that were not fitted.

    Fields that cannot meet a law to its stated tolerance leave a residual r; a posterior that goes on as if they did is
    far too narrow. With g the number of parameters that the law determines, its residual varies over about g cells of
    the domain, so that a white noise as strong as r has the tolerance sqrt(integral of r^2 / g). The tolerance is set
    to that, but never below the stated one, and found anew until it no longer changes. Scales with a prior are
    learned as by `MacKay()`.

    Attributes:
        max_rounds: Most updates.
        change: Relative change of a tolerance that is negligible.

    Reference:
        The update is that of MacKay (1992), Neural Computation 4, section 4.3, with twice as many observations as
        parameters that they determine.
    """

    max_rounds: int = 10
    change: float = 0.05

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.max_rounds < 1 or not self.change > 0:
            raise InputError(f"{self}: pass at least one round and a change above zero.")


@dataclass(frozen=True, kw_only=True)
class HeldOutTolerance:
    """The tolerance of one law relative to the others, chosen by residuals at points that were not fitted.

    Where a solution is singular, a law that is enforced too strictly spoils its boundary values. Each factor is
    tried; the largest whose residual held out is within a factor `slack` of the best is taken, so that what is known
    exactly, the boundary, stays exact.

    Attributes:
        constraint: The law whose tolerance is multiplied.
        factors: What it is multiplied by, at each try.
        slack: How much worse than the best is as good.
    """

    constraint: str
    factors: Sequence[float] = (1.0, 1e1, 1e2, 1e3, 1e4, 1e5)
    slack: float = 2.0

    def __post_init__(self) -> None:
        """Check the settings."""
        if not self.factors or min(self.factors) <= 0 or not self.slack >= 1:
            raise InputError(f"{self}: pass at least one factor, all above zero, and a slack of at least 1.")
