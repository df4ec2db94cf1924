"""When particles are resampled, and by which weights: what is not spent stays in the log weights."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from uqkit.errors import InputError
from uqkit.stats import (
    log_mean_weight,
    multinomial_ancestors,
    particle_share,
    residual_ancestors,
    stratified_ancestors,
    systematic_ancestors,
)

__all__ = [
    "ActiveIntervalResampling",
    "MultinomialResampling",
    "Resampling",
    "ResidualResampling",
    "StratifiedResampling",
    "SystematicResampling",
    "resampled",
]


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """Settings of every scheme.

    Weights that are not used up are carried on, so that every setting leaves the estimates consistent.

    Attributes:
        threshold: Resample where the effective share of particles is below this; 1 at every step, 0 never.
        power: Resample by weights to this power and keep the rest; below 1 it spares diversity (Giannone et al. 2025
            drop the rest, which is biased).
        look_ahead: Share of the next step's half-known growth by which promising particles are chosen.
    """

    threshold: float = 0.5
    power: float = 1.0
    look_ahead: float = 0.0
    ancestors: ClassVar[Callable[..., Int[Array, " particle"]]]

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, value, low in (("threshold", self.threshold, 0), ("power", self.power, 1e-6)):
            if not low <= value <= 1:
                raise InputError(f"{name}={value}: pass a number from {low:g} to 1.")
        if not 0 <= self.look_ahead <= 1:
            raise InputError(f"look_ahead={self.look_ahead}: pass a number from 0 to 1.")


@dataclass(frozen=True, kw_only=True)
class SystematicResampling(Resampling):
    """One uniform number for all particles."""

    ancestors = staticmethod(systematic_ancestors)


@dataclass(frozen=True, kw_only=True)
class StratifiedResampling(Resampling):
    """One uniform number in each of as many strata as there are particles."""

    ancestors = staticmethod(stratified_ancestors)


@dataclass(frozen=True, kw_only=True)
class ResidualResampling(Resampling):
    """Certain children first, the rest at random."""

    ancestors = staticmethod(residual_ancestors)


@dataclass(frozen=True, kw_only=True)
class MultinomialResampling(Resampling):
    """Independent choices."""

    ancestors = staticmethod(multinomial_ancestors)


@dataclass(frozen=True, kw_only=True)
class ActiveIntervalResampling(SystematicResampling):
    """Weights count only between two values of the reverse clock 1 - t; biased, here to reproduce published runs.

    Attributes:
        start: Where weights begin to count.
        stop: Where they cease to.

    Reference:
        Skreta et al. (2025), arXiv 2503.02819, appendix on implementation.
    """

    start: float = 0.1
    stop: float = 0.9

    def __post_init__(self) -> None:
        """Check the interval."""
        super().__post_init__()
        if not 0 <= self.start < self.stop <= 1:
            raise InputError(f"start={self.start}, stop={self.stop}: pass 0 <= start < stop <= 1.")


def resampled(
    scheme: Resampling,
    log_weight: Float[Array, " particle"],
    coming: Float[Array, " particle"],
    key: Key[Array, ""],
) -> tuple[Int[Array, " particle"], Float[Array, " particle"], Array]:
    """Ancestors and log weights after a step.

    Args:
        scheme: The settings.
        log_weight: In nats; their scale is kept, since it is the estimate of the normaliser.
        coming: Known part of the next growth, in nats.
        key: For the choice.

    Returns:
        Ancestor of each particle, its log weight, and whether there was resampling.
    """
    n = log_weight.shape[0]
    choice = scheme.power * log_weight + scheme.look_ahead * coming
    due = particle_share(log_weight) < scheme.threshold if scheme.threshold < 1 else jnp.asarray(True)

    def chosen() -> tuple[Int[Array, " particle"], Float[Array, " particle"]]:
        ancestors = scheme.ancestors(choice, key)
        return ancestors, (log_weight - choice)[ancestors] + log_mean_weight(choice)

    ancestors, kept = chosen()
    stay = jnp.arange(n, dtype=ancestors.dtype)
    return jnp.where(due, ancestors, stay), jnp.where(due, kept, log_weight), due
