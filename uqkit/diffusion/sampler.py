"""Weighted particles along the path of a target, all islands at once: the step that is repeated."""

from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from numpyro.distributions import MultivariateNormal

from uqkit.diffusion.control import RegressionControl, regressed
from uqkit.diffusion.rates import Divergence, MeanExpertTransport, Rates, Transport, rates, velocity
from uqkit.diffusion.resampling import ActiveIntervalResampling, Resampling, SystematicResampling, resampled
from uqkit.diffusion.targets import Target
from uqkit.errors import InputError
from uqkit.stats import log_mean_weight, particle_share

__all__ = ["EulerMaruyamaSampler", "HeunSampler", "Particles", "Passage", "Sampler", "Step", "first_particles"]


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """Settings of every sampler.

    Attributes:
        n_steps: Steps from noise to data.
        transport: How particles move; weights make every choice consistent, but not equally precise.
        langevin: xi over g^2 / 2: Langevin noise that leaves the path's densities as they are; it lets particles of
            one ancestor part and settles errors.
        divergence: How divergences of scores are found; None takes `ExactDivergence()` for at most 16 coordinates or
            where all experts have them in closed form, and `HutchinsonDivergence()` beyond.
        resampling: When particles are resampled, and how.
        control: A velocity that evens out weights; None adds none.
    """

    n_steps: int = 64
    transport: Transport = MeanExpertTransport()
    langevin: float = 1.0
    divergence: Divergence | None = None
    resampling: Resampling = field(default_factory=SystematicResampling)
    control: RegressionControl | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not isinstance(self.n_steps, (int, np.integer)) or self.n_steps < 1:
            raise InputError(f"n_steps={self.n_steps!r}: pass a whole number, at least 1.")
        if not 0 <= self.langevin < np.inf:
            raise InputError(f"langevin={self.langevin}: pass a finite number that is not negative.")
        parts = (
            ("transport", self.transport, Transport),
            ("divergence", self.divergence, Divergence | None),
            ("resampling", self.resampling, Resampling),
            ("control", self.control, RegressionControl | None),
        )
        for name, value, kind in parts:
            if not isinstance(value, kind):
                raise InputError(f"{name}={value!r}: pass one of uqkit.diffusion, with brackets.")
        if self.langevin == 0 and self.resampling.threshold > 0:
            raise InputError(
                "langevin=0 with resampling: particles of one ancestor would never part. Pass a positive langevin, or "
                "SystematicResampling(threshold=0.0)."
            )


@dataclass(frozen=True, kw_only=True)
class HeunSampler(Sampler):
    """Two scores a step, weights by the trapezoid rule: errors fall with the square of the step.

    Reference:
        Karras et al. (2022), algorithm 1, with noise in both stages, which is of weak order 2 since it does not depend
        on the position (Kloeden & Platen 1992, section 15.1).
    """


@dataclass(frozen=True, kw_only=True)
class EulerMaruyamaSampler(Sampler):
    """One score a step, weights by the left end: errors fall with the step.

    Its steps have densities, so that weights can be made exact where the density at the end is known.
    """


class Particles(eqx.Module):
    """All islands' particles at one time.

    Attributes:
        position: In the data's units.
        log_weight: In nats; its mean on the natural scale estimates the normaliser.
        rates: At the positions.
        log_expert: Log density of every expert, for moving exponents; else empty.
        root: The first particle that each descends from.
        log_ratio: Log of backward over forward densities of all steps and of the start, along the lineage.
        log_growth: Sum of the growth of log weights along the lineage.
    """

    position: Float[Array, "island particle dim"]
    log_weight: Float[Array, "island particle"]
    rates: Rates
    log_expert: Float[Array, "island particle moving"]
    root: Int[Array, "island particle"]
    log_ratio: Float[Array, "island particle"]
    log_growth: Float[Array, "island particle"]


class Passage(eqx.Module):
    """What is kept of each step, of each island.

    Attributes:
        share: Effective share of the particles, before resampling.
        log_normalizer: Estimate so far, in nats.
        resampled: Whether particles were resampled.
        stein: Weighted mean of dim + <x - centre, S>, which is zero where particles follow the target's path.
        conflict: Weighted mean of sum beta_i |s_i - mean score|^2.
        stiffness: Langevin step times curvature, exceeded by a tenth of the particles.
        n_roots: First particles that have descendants.
        theta: Coefficients of the control.
    """

    share: Float[Array, " island"]
    log_normalizer: Float[Array, " island"]
    resampled: Int[Array, " island"]
    stein: Float[Array, " island"]
    conflict: Float[Array, " island"]
    stiffness: Float[Array, " island"]
    n_roots: Int[Array, " island"]
    theta: Float[Array, "island control"]


def first_particles(
    target: Target,
    sampler: Sampler,
    divergence: Divergence | None,
    moving: tuple[int, ...],
    n_islands: int,
    n_particles: int,
    key: Key[Array, ""],
) -> Particles:
    """Draws from the product of the experts as Gaussians at t = 1, weighted to the target there."""
    moments = [expert.noised_moments(1.0) for expert in target.experts]
    return _first_particles(target, moments, sampler, divergence, moving, n_islands, n_particles, key)


@eqx.filter_jit
def _first_particles(
    target: Target,
    moments: list[tuple[Float[Array, " dim"], Float[Array, "dim dim"]]],
    sampler: Sampler,
    divergence: Divergence | None,
    moving: tuple[int, ...],
    n_islands: int,
    n_particles: int,
    key: Key[Array, ""],
) -> Particles:
    exponents = target.exponents_at(1.0)
    inverses = [jnp.linalg.inv(covariance) for _, covariance in moments]
    precision = sum(beta * inverse for beta, inverse in zip(exponents, inverses, strict=True))
    linear = sum(beta * inverse @ mean for beta, inverse, (mean, _) in zip(exponents, inverses, moments, strict=True))
    proposal = MultivariateNormal(jnp.linalg.solve(precision, linear), precision_matrix=precision)
    normal_key, probe_key = jax.random.split(key)
    position = jax.vmap(lambda k: proposal.sample(k, (n_particles,)))(jax.random.split(normal_key, n_islands))
    log_start = jnp.stack(
        [
            _batched(lambda x, e=expert: e.log_density(x, 1.0))(position)
            if expert.has_log_density
            else MultivariateNormal(mean, covariance).log_prob(position)
            for expert, (mean, covariance) in zip(target.experts, moments, strict=True)
        ],
        axis=-1,
    )
    reward = _batched(lambda x: sum((r.value(x, 1.0) for r in target.rewards), start=jnp.zeros(())))(position)
    log_weight = log_start @ exponents + reward - proposal.log_prob(position)
    one = jnp.asarray(1.0)
    return Particles(
        position=position,
        log_weight=log_weight,
        rates=_all_rates(target, sampler, divergence, position, one, probe_key),
        log_expert=log_start[..., jnp.array(moving, dtype=int)],
        root=jnp.broadcast_to(jnp.arange(n_particles), log_weight.shape),
        log_ratio=-proposal.log_prob(position),
        log_growth=log_weight,
    )


def _batched(function: Any) -> Any:
    return jax.vmap(jax.vmap(function))


def _all_rates(
    target: Target,
    sampler: Sampler,
    divergence: Divergence | None,
    position: Float[Array, "island particle dim"],
    t: Float[Array, ""],
    key: Key[Array, ""],
) -> Rates:
    keys = jax.vmap(lambda k: jax.random.split(k, position.shape[1]))(jax.random.split(key, position.shape[0]))
    level = jnp.asarray(sampler.langevin)
    return _batched(lambda x, k: rates(target, sampler.transport, divergence, level, x, t, k))(position, keys)


class Step(eqx.Module):
    """One step of all islands, for `uqkit.running.run_scan`.

    Attributes:
        target: What is sampled.
        times: n_steps + 1 values of t from noise to data.
        key: Of all steps.
        sampler: Settings.
        divergence: As resolved; None where nothing needs one.
        moving: Places of experts with moving exponents.
    """

    target: Target
    times: Float[Array, " step"]
    key: Key[Array, ""]
    sampler: Sampler = eqx.field(static=True)
    divergence: Divergence | None = eqx.field(static=True)
    moving: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, particles: Particles, number: Int[Array, ""]) -> tuple[Particles, Passage]:
        """Particles after step `number`, and what is kept of it."""
        target, sampler, x = self.target, self.sampler, particles.position
        heun, last = isinstance(sampler, HeunSampler), len(self.times) - 1
        start, stop = self.times[number], self.times[number + 1]
        h = start - stop
        noise_key, probe_key, choice_key = jax.random.split(jax.random.fold_in(self.key, number), 3)
        theta = self._theta(particles, start)
        old = particles.rates
        old_velocity = old.velocity + jnp.einsum("ic,ipcd->ipd", theta, old.control_field)
        variance = sampler.langevin * self._noise_integral(start, stop)
        normal = jax.vmap(lambda k: jax.random.normal(k, x.shape[1:], x.dtype))(jax.random.split(noise_key, x.shape[0]))
        predicted = x + h * old_velocity + jnp.sqrt(variance) * normal
        if heun:
            level = jnp.asarray(sampler.langevin)
            there, score, fields = _batched(lambda y: velocity(target, sampler.transport, level, y, stop))(predicted)
            there = there + jnp.einsum("ic,ipcd->ipd", theta, fields)
            moved = predicted + 0.5 * h * (there - old_velocity)
            apart, by = moved - predicted, score
        else:
            moved, apart, by = predicted, predicted - x, old.score
        new = _all_rates(target, sampler, self.divergence, moved, stop, probe_key)
        log_expert = self._log_experts(particles, new, moved, stop, h)
        # An estimated divergence counts in the steps before and after it; in a sampler of left ends in one.
        earlier, later = self.times[jnp.maximum(number - 1, 0)], self.times[jnp.minimum(number + 2, last)]
        before = self._growth(old, particles.log_expert, theta, start, 0.5 * (earlier - stop) if heun else h)
        after = self._growth(new, log_expert, theta, stop, 0.5 * (start - later))
        growth = 0.5 * h * (before + after) if heun else h * before
        growth = self._counted(growth + new.log_reward - old.log_reward, stop)
        log_ratio = particles.log_ratio
        if sampler.langevin > 0:
            xi = 0.5 * sampler.langevin * target.schedule.diffusion(stop)
            new_velocity = new.velocity + jnp.einsum("ic,ipcd->ipd", theta, new.control_field)
            backward = x - moved - h * (2 * xi * new.score - new_velocity)
            log_ratio = log_ratio + 0.5 * ((jnp.sqrt(variance) * normal) ** 2 - backward**2).sum(axis=-1) / variance
        grown = Particles(
            position=moved,
            log_weight=particles.log_weight + growth,
            rates=new,
            log_expert=log_expert,
            root=particles.root,
            log_ratio=log_ratio,
            log_growth=particles.log_growth + growth,
        )
        bend = jnp.linalg.norm(new.score - by, axis=-1) / jnp.maximum(jnp.linalg.norm(apart, axis=-1), 1e-300)
        curvature = jnp.quantile(bend, 0.9, axis=1)
        stiffness = 0.5 * sampler.langevin * h * target.schedule.diffusion(stop) * curvature
        coming = 0.5 * (stop - later) * after
        return _after_resampling(sampler.resampling, grown, coming, stiffness, theta, choice_key)

    def _theta(self, particles: Particles, t: Float[Array, ""]) -> Float[Array, "island control"]:
        n_islands, _, n_fields, _ = particles.rates.control_field.shape
        none = jnp.zeros((n_islands, n_fields))
        if self.sampler.control is None:
            return none
        growth = self._growth(particles.rates, particles.log_expert, none, t, jnp.zeros(()))
        return regressed(growth, particles.rates.control_growth, jax.nn.softmax(particles.log_weight, axis=1))

    def _noise_integral(self, start: Float[Array, ""], stop: Float[Array, ""]) -> Float[Array, ""]:
        """Of g^2 over the step, by Simpson's rule."""
        diffusion, h = self.target.schedule.diffusion, start - stop
        return h / 6 * (diffusion(start) + 4 * diffusion(0.5 * (start + stop)) + diffusion(stop))

    def _growth(
        self,
        rates: Rates,
        log_expert: Float[Array, "island particle moving"],
        theta: Float[Array, "island control"],
        t: Float[Array, ""],
        length: Float[Array, ""],
    ) -> Float[Array, "island particle"]:
        """Rate of the log weights at t, where it counts for a length of time."""
        growth = rates.growth + jnp.einsum("ic,ipc->ip", theta, rates.control_growth)
        if self.moving:
            slopes = -jax.jacfwd(self.target.exponents_at)(t)[jnp.array(self.moving)]
            growth = growth + log_expert @ slopes
        # An error inside an exponential raises the mean weight by half the variance of what it adds.
        share = rates.trace_share + theta[:, None, 0]
        return growth - 0.5 * length * share**2 * rates.trace_variance

    def _log_experts(
        self,
        particles: Particles,
        new: Rates,
        moved: Float[Array, "island particle dim"],
        t: Float[Array, ""],
        h: Float[Array, ""],
    ) -> Float[Array, "island particle moving"]:
        """Log density of experts with moving exponents: where not known, by the midpoint rule along each lineage."""
        columns = []
        for column, place in enumerate(self.moving):
            expert = self.target.experts[place]
            if expert.has_log_density:
                columns.append(_batched(lambda x, e=expert: e.log_density(x, t))(moved))
                continue
            old, step = particles.rates, moved - particles.position
            growth = 0.5 * h * (old.expert_growth[..., place] + new.expert_growth[..., place])
            slope = 0.5 * (old.expert_score[..., place, :] + new.expert_score[..., place, :])
            columns.append(particles.log_expert[..., column] + growth + (slope * step).sum(axis=-1))
        return jnp.stack(columns, axis=-1) if columns else particles.log_expert

    def _counted(self, growth: Float[Array, "island particle"], t: Float[Array, ""]) -> Float[Array, "island particle"]:
        scheme = self.sampler.resampling
        if not isinstance(scheme, ActiveIntervalResampling):
            return growth
        return jnp.where((1 - t > scheme.start) & (1 - t <= scheme.stop), growth, 0.0)


def _after_resampling(
    scheme: Resampling,
    particles: Particles,
    coming: Float[Array, "island particle"],
    stiffness: Float[Array, " island"],
    theta: Float[Array, "island control"],
    key: Key[Array, ""],
) -> tuple[Particles, Passage]:
    def one(island: Particles, ahead: Float[Array, " particle"], key: Key[Array, ""]) -> tuple[Particles, tuple]:
        share = jax.nn.softmax(island.log_weight)
        centred = island.position - share @ island.position
        dim = island.position.shape[-1]
        stein = share @ (dim + (centred * island.rates.score).sum(axis=-1))
        conflict = share @ island.rates.conflict
        ancestors, log_weight, due = resampled(scheme, island.log_weight, ahead, key)
        after = jax.tree.map(lambda leaf: leaf[ancestors], island)
        after = eqx.tree_at(lambda p: p.log_weight, after, log_weight)
        n_roots = (jnp.zeros(len(ancestors)).at[after.root].set(1.0)).sum().astype(int)
        return after, (
            particle_share(island.log_weight),
            log_mean_weight(island.log_weight),
            due.astype(int),
            stein,
            conflict,
            n_roots,
        )

    keys = jax.random.split(key, particles.position.shape[0])
    after, (share, log_normalizer, due, stein, conflict, n_roots) = jax.vmap(one)(particles, coming, keys)
    return after, Passage(
        share=share,
        log_normalizer=log_normalizer,
        resampled=due,
        stein=stein,
        conflict=conflict,
        stiffness=stiffness,
        n_roots=n_roots,
        theta=theta,
    )
