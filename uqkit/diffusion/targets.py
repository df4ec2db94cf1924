"""Targets as algebra: powers and products of experts, times rewards, along the path from noise to data."""

from collections.abc import Callable
from itertools import product as tuples
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from uqkit.diffusion.schedules import NoiseSchedule, Scalar
from uqkit.errors import InputError

__all__ = ["Exponent", "Expert", "Product", "Reward", "Target"]

# A number, or a function of t in JAX.
type Exponent = float | int | Callable[[Scalar], Scalar]
# Products of tails that are looked at in the check of a path.
_MOST_TAILS = 256


class Expert:
    """A density that is known by the scores of its noised versions; a factor of a target.

    Methods are pure and written for one point. An expert that knows its log density has `log_density`, too.
    """

    schedule: NoiseSchedule

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        raise NotImplementedError

    @property
    def has_log_density(self) -> bool:
        """Whether `log_density` is known."""
        return False

    @property
    def has_divergence(self) -> bool:
        """Whether `score_and_divergence` costs no more than the score."""
        return False

    def moments(self) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, "dim dim"]]:
        """Mean and covariance of the data."""
        raise NotImplementedError

    def tails(self) -> Float[np.ndarray, "tail dim dim"]:
        """Covariances of the Gaussians that its density falls off like."""
        return self.moments()[1][None]

    def score(self, x: Float[Array, " dim"], t: Scalar) -> Float[Array, " dim"]:
        """Gradient of the log density of the noised data at t."""
        raise NotImplementedError

    def score_and_divergence(self, x: Float[Array, " dim"], t: Scalar) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        """The score, and its divergence by as many derivatives as there are coordinates."""
        score, derivative = jax.linearize(lambda point: self.score(point, t), x)
        return score, jnp.trace(jax.vmap(derivative)(jnp.eye(x.shape[0], dtype=x.dtype)))

    def log_density(self, x: Float[Array, " dim"], t: Scalar) -> Float[Array, ""]:
        """Log density of the noised data at t, in nats."""
        raise NotImplementedError

    def noised_moments(self, t: Scalar) -> tuple[Float[Array, " dim"], Float[Array, "dim dim"]]:
        """Mean and covariance of the noised data at t."""
        mean, covariance = self.moments()
        alpha, variance = self.schedule.alpha(t), self.schedule.variance(t)
        return alpha * mean, alpha**2 * covariance + variance * jnp.eye(self.dim)

    def __pow__(self, exponent: Exponent) -> "Target":
        """The density to a power: a number, or a function of t."""
        return Target.of([(self, exponent)])

    def __mul__(self, other: "Expert | Target | Reward") -> "Target":
        """The product of densities, or of a density and a reward."""
        return Target.of([(self, 1.0)]) * other

    def __rmul__(self, other: "Reward") -> "Target":
        """The product of a reward and a density."""
        return self * other


class Reward(eqx.Module):
    """A factor exp(R(x, t)) of a target: a likelihood, a preference, a constraint.

    `Reward(log_reward)` rises along the path as R(x, t) = rate(t) log_reward(x); `Reward.moving(function)` takes
    R(x, t) as it is, such as a likelihood that knows how noisy x still is at t.

    Attributes:
        function: Of x, or of x and t, to nats; in JAX.
        rate: Of t; zero at 1 and one at 0. (1 - t)^2 by default.
        has_gradient: Whether particles follow its gradient. Without, it enters by weights alone: for rewards that step,
            or whose gradient is not known.
        moves: Whether `function` takes t.
        wall: What -inf counts as along the path, in nats: a reward without gradient may be -inf where no draw is to be,
            as the log of an indicator is. Particles may still pass there on their way; at the end they have no weight.

    Reference:
        Skreta et al. (2025), arXiv 2503.02819, proposition 3.3 (rewards without a Laplacian); Wu et al. (2023),
        arXiv 2306.17775 (rewards that know the noise).
    """

    function: Callable[..., Any]
    rate: Callable[[Scalar], Scalar] = eqx.field(static=True, default=lambda t: (1.0 - t) ** 2)
    has_gradient: bool = eqx.field(static=True, default=True, kw_only=True)
    moves: bool = eqx.field(static=True, default=False, kw_only=True)
    # Far below it, only particles would be kept that are on the right side of the wall all the way.
    wall: float = eqx.field(static=True, default=-6.0, kw_only=True)

    def __check_init__(self) -> None:  # noqa: D105
        if not callable(self.function):
            raise InputError(f"Reward({self.function!r}): pass a function of a point to a number in nats.")
        if not np.isfinite(self.wall):
            raise InputError(f"wall={self.wall}: pass a finite number of nats, well below the reward elsewhere.")
        if not (self.moves or (abs(float(self.rate(0.0)) - 1) < 1e-9 and abs(float(self.rate(1.0))) < 1e-9)):
            raise InputError(
                f"`rate` is {float(self.rate(0.0)):g} at t=0 and {float(self.rate(1.0)):g} at t=1; it must be 1 at the "
                "data and 0 at the noise."
            )

    @classmethod
    def moving(cls, function: Callable[..., Any], *, has_gradient: bool = True, wall: float = -6.0) -> "Reward":
        """A reward that is given as R(x, t); R(x, 0) is what is meant, and R(x, 1) should be nearly constant."""
        return cls(function, has_gradient=has_gradient, moves=True, wall=wall)

    def value(self, x: Float[Array, " dim"], t: Scalar) -> Float[Array, ""]:
        """R(x, t), in nats; where it is -inf, that of the wall."""
        given = self._given(x, t)
        finite = jnp.where(jnp.isneginf(given), self.wall, given)
        return finite if self.moves else self.rate(t) * finite

    def allows(self, x: Float[Array, " dim"], t: Scalar) -> Bool[Array, ""]:
        """Whether exp(R) is above zero."""
        return ~jnp.isneginf(self._given(x, t))

    def _given(self, x: Float[Array, " dim"], t: Scalar) -> Float[Array, ""]:
        return self.function(x, t) if self.moves else self.function(x)

    def __mul__(self, other: "Expert | Target | Reward") -> "Target":
        """The product with experts; a reward alone is no density."""
        if isinstance(other, Reward):
            raise InputError("a product of rewards alone is no density; multiply each onto an expert.")
        return other * self


class Target(eqx.Module):
    """A density proportional to the product of experts to powers and of exp(rewards); made by `**` and `*`.

    Attributes:
        experts: Every expert once.
        exponents: Of each expert: a number, or a function of t.
        rewards: Every reward.
    """

    experts: tuple[Expert, ...]
    exponents: tuple[Any, ...]
    rewards: tuple[Reward, ...] = ()

    @classmethod
    def of(cls, factors: list[tuple[Expert, Exponent]], rewards: tuple[Reward, ...] = ()) -> "Target":
        """A target of (expert, exponent) pairs; exponents of the same object are added.

        Raises:
            InputError: If experts differ in their number of coordinates or in their schedule, or an exponent is not
                finite.
        """
        experts: list[Expert] = []
        exponents: list[Exponent] = []
        for expert, exponent in factors:
            if not isinstance(expert, Expert):
                raise InputError(
                    f"{expert!r} is no expert; pass a ScoreModel(...) or a GaussianMixture(...), and for a factor "
                    "known by its value Reward(...)."
                )
            if not callable(exponent) and not np.isfinite(exponent):
                raise InputError(f"the exponent of an expert is {exponent}; pass a finite number or a function of t.")
            same = next((i for i, known in enumerate(experts) if known is expert), None)
            if same is None:
                experts.append(expert)
                exponents.append(exponent)
            else:
                exponents[same] = _sum(exponents[same], exponent)
        first = experts[0]
        for expert in experts[1:]:
            if expert.dim != first.dim:
                raise InputError(f"experts of {first.dim} and of {expert.dim} coordinates have no product.")
            if expert.schedule != first.schedule:
                raise InputError(
                    f"experts are noised by {first.schedule} and by {expert.schedule}; their product needs the same."
                )
        return cls(tuple(experts), tuple(exponents), rewards)

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.experts[0].dim

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise that all experts share."""
        return self.experts[0].schedule

    def __mul__(self, other: "Expert | Target | Reward") -> "Target":
        """The product with more experts, or with a reward."""
        factors = list(zip(self.experts, self.exponents, strict=True))
        if isinstance(other, Reward):
            return Target.of(factors, (*self.rewards, other))
        if isinstance(other, Expert):
            other = Target.of([(other, 1.0)])
        if not isinstance(other, Target):
            raise InputError(f"a target was multiplied by {other!r}; multiply it by experts, targets or Reward(...).")
        more = list(zip(other.experts, other.exponents, strict=True))
        return Target.of(factors + more, (*self.rewards, *other.rewards))

    def __pow__(self, exponent: float | int) -> "Target":
        """All exponents times a number; rewards, too."""
        if callable(exponent) or not np.isfinite(exponent):
            raise InputError(f"a target to the power {exponent!r}: pass a number; functions of t are for experts.")
        exponents = [_times(own, exponent) for own in self.exponents]
        rewards = tuple(_scaled(reward, exponent) for reward in self.rewards)
        return Target.of(list(zip(self.experts, exponents, strict=True)), rewards)

    def exponents_at(self, t: Scalar) -> Float[Array, " expert"]:
        """Exponent of every expert."""
        return jnp.stack(
            [jnp.asarray(e(t) if callable(e) else e, dtype=jnp.result_type(float)) for e in self.exponents]
        )

    @property
    def moves(self) -> tuple[bool, ...]:
        """Whether each exponent is a function of t."""
        return tuple(callable(exponent) for exponent in self.exponents)

    def path_margin(self, t: float) -> float:
        """How surely the target is normalisable at t, rewards apart: above zero it is, for tails like Gaussians'.

        The precision of the target's tails is the sum of its experts', weighted by exponents. This is its smallest
        value over directions, relative to what positive exponents alone would give.
        """
        with jax.enable_x64(True):
            exponents = np.asarray(self.exponents_at(t))
            alpha, variance = float(self.schedule.alpha(t)), float(self.schedule.variance(t))
        precisions = [np.linalg.inv(alpha**2 * expert.tails() + variance * np.eye(self.dim)) for expert in self.experts]
        margin = np.inf
        for direction in _directions(exponents, precisions):
            slopes = np.array([(each @ direction @ direction).min() for each in precisions])
            bound = (np.maximum(exponents, 0) * slopes).sum()
            margin = min(margin, (exponents * slopes).sum() / max(bound, 1e-300))
        return float(margin)


def Product(experts: list[Expert], *, prior: Expert | None = None, prior_exponent: float | int | None = None) -> Target:  # noqa: N802
    """The product of posteriors of parts of the data, with the prior that each of them counted counted once.

    Args:
        experts: The parts' posteriors.
        prior: Their common prior.
        prior_exponent: 1 - number of experts by default.

    Reference:
        Neiswanger, Wang & Xing (2014), Asymptotically exact, embarrassingly parallel MCMC, equation 3, for a prior
        that is split among the parts; Scott et al. (2016), Bayes and big data, equation 1.
    """
    if not experts:
        raise InputError("Product([]): pass at least one expert.")
    factors: list[tuple[Expert, Exponent]] = [(expert, 1.0) for expert in experts]
    if prior is None and prior_exponent is not None:
        raise InputError(f"prior_exponent={prior_exponent} without a prior; pass prior=, too.")
    if prior is not None:
        exponent = 1.0 - len(experts) if prior_exponent is None else prior_exponent
        factors.append((prior, exponent))
    return Target.of(factors)


def _sum(one: Exponent, other: Exponent) -> Exponent:
    if not callable(one) and not callable(other):
        return one + other
    return lambda t: (one(t) if callable(one) else one) + (other(t) if callable(other) else other)


def _times(exponent: Exponent, factor: float | int) -> Exponent:
    return (lambda t: factor * exponent(t)) if callable(exponent) else factor * exponent


def _scaled(reward: Reward, factor: float | int) -> Reward:
    function = reward.function
    return eqx.tree_at(lambda r: r.function, reward, lambda *given: factor * function(*given))


def _directions(
    exponents: Float[np.ndarray, " expert"], precisions: list[Float[np.ndarray, "_ dim dim"]]
) -> Float[np.ndarray, "direction dim"]:
    """Where a sum of tails may be flattest: eigenvectors of sums of one tail of each expert."""
    found = []
    for chosen, _ in zip(tuples(*(range(len(each)) for each in precisions)), range(_MOST_TAILS), strict=False):
        total = sum(b * each[k] for b, each, k in zip(exponents, precisions, chosen, strict=True))
        found.append(np.linalg.eigh(total)[1].T)
    return np.concatenate(found)
