"""Velocities and weight rates along the path of a target: the Feynman-Kac formula that every target shares.

Written for one particle. The reverse clock tau runs from noise to data, d/dtau = -d/dt. Particles follow
dx = (u + xi S) dtau + sqrt(2 xi) dW, S the score of the target, and their log weights grow at the rate

    G = d/dtau log p + div u + <u, S>.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from uqkit.diffusion.schedules import Scalar
from uqkit.diffusion.targets import Expert, Target
from uqkit.errors import InputError

__all__ = [
    "Divergence",
    "ExactDivergence",
    "HutchinsonDivergence",
    "MeanExpertTransport",
    "Rates",
    "TargetTransport",
    "Transport",
    "rates",
    "velocity",
]


@dataclass(frozen=True, kw_only=True)
class MeanExpertTransport:
    """Particles move with the average expert's probability flow: u = -f + (g^2 / 2) (sum beta_i s_i) / (sum beta_i).

    Weights then carry only how much the experts disagree, and the divergence of their scores. For one Gaussian, or
    Gaussians of one covariance, they are constant.

    Attributes:
        factor: On the scores' part of u. Estimates must not depend on it, which `transport_gap` checks.
    """

    factor: float = 1.0

    def __post_init__(self) -> None:
        """Check the number."""
        if not np.isfinite(self.factor):
            raise InputError(f"factor={self.factor}: pass a finite number.")

    def coefficient(self, total_exponent: Float[Array, ""]) -> Float[Array, ""]:
        """Of (g^2 / 2) sum beta_i s_i in the transport."""
        return self.factor / total_exponent


@dataclass(frozen=True, kw_only=True)
class TargetTransport:
    """Particles move with the whole sum of scores, which spares the divergence: u = -f + (g^2 / 2) sum beta_i s_i.

    Weights then carry squared scores, whose spread grows with the number of coordinates.

    Reference:
        Skreta et al. (2025), arXiv 2503.02819, propositions 3.1 to 3.3.
    """

    def coefficient(self, total_exponent: Float[Array, ""]) -> Float[Array, ""]:
        """One."""
        return jnp.ones_like(total_exponent)


Transport = MeanExpertTransport | TargetTransport


@dataclass(frozen=True, kw_only=True)
class ExactDivergence:
    """Divergences of scores in closed form, or by one derivative a coordinate."""

    def of(
        self, expert: Expert, x: Float[Array, " dim"], t: Scalar, key: Key[Array, ""]
    ) -> tuple[Float[Array, " dim"], Float[Array, ""], Float[Array, ""]]:
        """Score, divergence, and the variance of the latter: none."""
        score, divergence = expert.score_and_divergence(x, t)
        return score, divergence, jnp.zeros_like(divergence)


@dataclass(frozen=True, kw_only=True)
class HutchinsonDivergence:
    """Divergences estimated by random probes, fresh at every step.

    An error inside an exponential raises its mean; so the estimated variance is taken off, to first order.

    Attributes:
        n_probes: Probes a particle and step, two at least, since their spread is needed.

    Reference:
        Hutchinson (1990), Communications in Statistics 19, with signs as probes.
    """

    n_probes: int = 2

    def __post_init__(self) -> None:
        """Check the number."""
        if self.n_probes < 2:
            raise InputError(f"n_probes={self.n_probes}: pass at least 2, or the bias of weights cannot be removed.")

    def of(
        self, expert: Expert, x: Float[Array, " dim"], t: Scalar, key: Key[Array, ""]
    ) -> tuple[Float[Array, " dim"], Float[Array, ""], Float[Array, ""]]:
        """Score, divergence, and the variance of the latter."""
        score, derivative = jax.linearize(lambda point: expert.score(point, t), x)
        probes = jax.random.rademacher(key, (self.n_probes, x.shape[0]), dtype=x.dtype)
        each = jax.vmap(lambda probe: probe @ derivative(probe))(probes)
        return score, each.mean(), each.var(ddof=1) / self.n_probes


Divergence = ExactDivergence | HutchinsonDivergence


class Rates(eqx.Module):
    """What a particle needs to know at one place.

    Attributes:
        velocity: u + xi S, without control.
        score: S, of the target.
        growth: G, without control, and without what moving exponents add.
        log_reward: Sum of the rewards that have no gradient; it enters as a difference.
        control_field: Fields that may be added to the velocity.
        control_growth: What each adds to the growth: its divergence plus its product with the score.
        trace_share: Of (g^2 / 2) sum beta_i div s_i in G, without control.
        trace_variance: Variance of the estimate of that sum.
        conflict: sum beta_i |s_i - mean score|^2.
        expert_score: Of each expert.
        expert_growth: d/dtau log q_i at a fixed point, of each expert; for moving exponents.
    """

    velocity: Float[Array, " dim"]
    score: Float[Array, " dim"]
    growth: Float[Array, ""]
    log_reward: Float[Array, ""]
    control_field: Float[Array, "control dim"]
    control_growth: Float[Array, " control"]
    trace_share: Float[Array, ""]
    trace_variance: Float[Array, ""]
    conflict: Float[Array, ""]
    expert_score: Float[Array, "expert dim"]
    expert_growth: Float[Array, " expert"]


def _reward(target: Target, x: Float[Array, " dim"], t: Scalar, has_gradient: bool) -> Float[Array, ""]:
    values = [reward.value(x, t) for reward in target.rewards if reward.has_gradient == has_gradient]
    return jnp.asarray(sum(values, start=jnp.zeros((), x.dtype)), dtype=x.dtype)


def _reward_gradients(
    target: Target, x: Float[Array, " dim"], t: Float[Array, ""]
) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
    if not any(reward.has_gradient for reward in target.rewards):
        return jnp.zeros_like(x), jnp.zeros((), x.dtype)
    return jax.grad(lambda point, time: _reward(target, point, time, True), argnums=(0, 1))(x, t)


def velocity(
    target: Target, transport: Transport, langevin: Float[Array, ""], x: Float[Array, " dim"], t: Float[Array, ""]
) -> tuple[Float[Array, " dim"], Float[Array, " dim"], Float[Array, "control dim"]]:
    """Velocity, score of the target, and the fields of a control: what a predictor needs."""
    beta = target.exponents_at(t)
    expert_score = jnp.stack([expert.score(x, t) for expert in target.experts])
    slope, _ = _reward_gradients(target, x, t)
    return _moved(target, transport, langevin, x, t, beta @ expert_score, slope)


def _moved(
    target: Target,
    transport: Transport,
    langevin: Float[Array, ""],
    x: Float[Array, " dim"],
    t: Float[Array, ""],
    summed: Float[Array, " dim"],
    slope: Float[Array, " dim"],
) -> tuple[Float[Array, " dim"], Float[Array, " dim"], Float[Array, "control dim"]]:
    half = 0.5 * target.schedule.diffusion(t)
    coefficient = transport.coefficient(target.exponents_at(t).sum())
    transported = -target.schedule.drift_rate(t) * x + coefficient * half * summed
    score = summed + slope
    return transported + langevin * half * score, score, jnp.stack([half * summed, x])


def rates(
    target: Target,
    transport: Transport,
    divergence: Divergence | None,
    langevin: Float[Array, ""],
    x: Float[Array, " dim"],
    t: Float[Array, ""],
    key: Key[Array, ""],
) -> Rates:
    """All rates at one particle.

    Args:
        target: What is sampled.
        transport: How particles move.
        divergence: How divergences are found; None where nothing needs them.
        langevin: xi over g^2 / 2.
        x: The particle.
        t: Time.
        key: For probes.
    """
    schedule, dim = target.schedule, x.shape[0]
    half, rate = 0.5 * schedule.diffusion(t), schedule.drift_rate(t)
    beta = target.exponents_at(t)
    total = beta.sum()
    coefficient = transport.coefficient(total)
    found = [
        (expert.score(x, t), jnp.zeros((), x.dtype), jnp.zeros((), x.dtype))
        if divergence is None
        else divergence.of(expert, x, t, jax.random.fold_in(key, i))
        for i, expert in enumerate(target.experts)
    ]
    expert_score, trace, variance = (jnp.stack(each) for each in zip(*found, strict=True))
    summed = beta @ expert_score
    slope, reward_rate = _reward_gradients(target, x, t)
    moved, score, fields = _moved(target, transport, langevin, x, t, summed, slope)
    squared = (expert_score**2).sum(axis=1)
    growth = (
        (total - 1.0) * rate * dim
        + half * (coefficient * summed @ summed - beta @ squared)
        + (coefficient - 1.0) * half * (beta @ trace)
        - reward_rate
        + (coefficient * half * summed - rate * x) @ slope
    )
    return Rates(
        velocity=moved,
        score=score,
        growth=growth,
        log_reward=_reward(target, x, t, False),
        control_field=fields,
        control_growth=jnp.stack([half * (beta @ trace), jnp.asarray(dim, x.dtype)]) + fields @ score,
        trace_share=coefficient - 1.0,
        trace_variance=half**2 * (beta**2 @ variance),
        conflict=beta @ ((expert_score - summed / total) ** 2).sum(axis=1),
        expert_score=expert_score,
        expert_growth=rate * dim - half * trace + rate * (expert_score @ x) - half * squared,
    )
