"""How the members of an ensemble are trained."""

from dataclasses import dataclass
from typing import Any

from uqkit.errors import InputError

__all__ = ["AnchoredTraining", "PlainTraining"]


def _check(setting: Any) -> None:
    if setting.n_members < 2 or setting.n_steps < 1 or not setting.learning_rate > 0:
        raise InputError(f"{setting}: pass two members or more, at least one step, and a learning rate above zero.")


@dataclass(frozen=True, kw_only=True)
class AnchoredTraining:
    """Each member fits data with noise of its own and is pulled towards a draw of the prior of its own.

    With a linear model the members are exact posterior draws; with a network their spread grows away from the data
    instead of collapsing. Scales and noise are those of the largest evidence (`EvidenceFit`), the same for all members.

    Attributes:
        n_members: How many.
        n_steps: Of Adam, for each.
        learning_rate: At first; it falls to a hundredth as a cosine.

    Reference:
        Pearce, Leibfried, Brintrup, Zaki & Neely (2020), Uncertainty in neural networks: approximately Bayesian
        ensembling, AISTATS; as randomised maximum likelihood: Kitanidis (1995), Oliver, He & Reynolds (1996).
    """

    n_members: int = 30
    n_steps: int = 500
    learning_rate: float = 0.05

    def __post_init__(self) -> None:
        """Check the numbers."""
        _check(self)


@dataclass(frozen=True, kw_only=True)
class PlainTraining:
    """Each member fits its own random part of the data from its own start: the common deep ensemble, overconfident.

    Scales and noise are the medians of the prior.

    Attributes:
        n_members: How many.
        share: Of the rows that each member is trained on.
        n_steps: Of Adam, for each.
        learning_rate: At first; it falls to a hundredth as a cosine.

    Reference:
        Lakshminarayanan, Pritzel & Blundell (2017), Simple and scalable predictive uncertainty estimation using deep
        ensembles, arXiv 1612.01474; with parts of the data as in Li, Rudner & Wilson (2024), arXiv 2305.20028.
    """

    n_members: int = 10
    share: float = 0.8
    n_steps: int = 1_000
    learning_rate: float = 0.05

    def __post_init__(self) -> None:
        """Check the numbers."""
        _check(self)
        if not 0 < self.share <= 1:
            raise InputError(f"PlainTraining(share={self.share}): pass a share in (0, 1].")
