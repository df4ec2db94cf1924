"""Stochastic gradient Hamiltonian Monte Carlo, scale-adapted: one gradient a step, no Metropolis step, biased."""

from dataclasses import dataclass, replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from arviz_stats.base.array import array_stats
from jaxtyping import Array, Float, Int, Key

from uqkit._typing import PRNGKey
from uqkit.errors import InputError
from uqkit.inference.chains import check_counts, find_starts, identity_of, log_density, map_chains
from uqkit.inference.draws import Draws
from uqkit.keys import as_key
from uqkit.problems.target import TargetDensity
from uqkit.running.scan import run_scan

__all__ = ["SGHMC"]

# Steps, draws apart, between two looks at Ctrl-C, the bar and the store.
_CHUNK = 10
# The running mean square gives step t of warm-up a weight that grows as t^(this - 1): what chains met on their way from
# their starts, where gradients can be a thousand times larger, is forgotten.
_FORGETTING = 5
# Departure of the kinetic temperature from 1, beyond its own error, that makes a remark.
_EXCESS = 0.05


@dataclass(frozen=True, kw_only=True)
class SGHMC:
    """Stochastic gradient Hamiltonian Monte Carlo, scale-adapted, unadjusted: a gradient a step, and biased.

    Gradients are of all data. No Metropolis step corrects the integrator's error, so that the draws follow a law whose
    variances differ from the posterior's by an amount that shrinks with the square of the step size, not with the
    number of draws: on a Gaussian, in a direction that oscillates with frequency w, they are too large by the factor
    1 / (1 - (step_size * w)^2 / (4 - 2 * friction)). `facts["kinetic_temperature"]`, one a chain, is the mean of this
    factor over directions, of any target measured on its velocities, and `facts["kinetic_temperature_error"]` its Monte
    Carlo error. R-hat does not see this bias: repeat with half the step size to see it, or use `NUTS`.

    In warm-up the running root mean square of each coordinate's gradient is learned, and becomes the coordinate's mass
    (Springenberg et al.). Three things differ from that paper, because gradients of all data hold no noise: nothing is
    taken off the injected noise on their account; the mean square is over a window that grows with the steps taken,
    where the paper's own would shrink to a single step; and the default step is five times the paper's 0.01, with which
    a network of 2951 weights mixed six times slower, for a bias that was below one percent already.

    Attributes:
        n_warmup: Tuning steps of each chain, thrown away; rounded up to a multiple of `steps_per_draw`. From far off,
            a coordinate comes nearer by about step_size^2 / friction a step, however steep the density.
        n_draws: Draws kept of each chain.
        n_chains: Chains; four show whether they agree.
        steps_per_draw: Steps, of one gradient each, from one draw to the next.
        step_size: Step of a coordinate whose gradient has a root mean square of 1; another's is smaller by the square
            root of that. From about 2 / w on, dynamics are unstable.
        friction: Share of the velocity lost in a step, within (0, 1]; at 1 it is unadjusted Langevin.

    Reference:
        Chen, Fox & Guestrin (2014), arXiv:1402.4102, equation 15; Springenberg, Klein, Falkner & Hutter (2016),
        Bayesian optimization with robust Bayesian neural networks, NeurIPS 29, equation 10.
    """

    n_warmup: int = 3_000
    n_draws: int = 500
    n_chains: int = 4
    steps_per_draw: int = 100
    step_size: float = 0.05
    friction: float = 0.05

    def __post_init__(self) -> None:
        """Check the settings."""
        check_counts(n_draws=self.n_draws, n_chains=self.n_chains, steps_per_draw=self.steps_per_draw)
        if isinstance(self.n_warmup, bool) or not isinstance(self.n_warmup, int) or self.n_warmup < 100:
            raise InputError(f"`n_warmup` must be an integer of at least 100, got {self.n_warmup!r}.")
        if not 0 < self.step_size < np.inf:
            raise InputError(f"`step_size` must be positive, got {self.step_size}; 0.05 is usual.")
        if not 0 < self.friction <= 1:
            raise InputError(f"`friction` must lie in (0, 1], got {self.friction}; 0.05 is usual.")

    def sample(
        self,
        target: TargetDensity,
        *,
        key: PRNGKey,
        initial: Float[np.ndarray, "chain dim"] | None = None,
        store: str | Path | None = None,
        progress: bool | None = None,
        warn: bool = True,
    ) -> Draws:
        """Draw from a target; see `Sampler.sample`."""
        n_warmup = -(-self.n_warmup // self.steps_per_draw)
        with jax.enable_x64(True):
            # The number of draws is no part of a run's identity: a longer one goes on from a shorter one.
            identity = identity_of(replace(self, n_draws=4), target, as_key(key), initial)
            start_key, velocity_key, run_key = jax.random.split(as_key(key), 3)
            start = find_starts(target, self.n_chains, key=start_key, initial=initial)
            step = _Step(
                target=target,
                key=run_key,
                n_warmup=jnp.asarray(n_warmup),
                step_size=jnp.asarray(self.step_size, dtype=float),
                friction=jnp.asarray(self.friction, dtype=float),
                n_chains=self.n_chains,
                steps_per_draw=self.steps_per_draw,
            )
            chains, outcome = run_scan(
                step,
                lambda: _first_state(target, start, velocity_key),
                n_warmup + self.n_draws,
                chunk_size=_CHUNK,
                label="draws",
                progress=progress,
                store=store,
                identity=identity,
                keep_from=n_warmup,
            )
        by_chain = {name: np.swapaxes(values, 0, 1) for name, values in outcome.items()}
        position, temperature = by_chain.pop("position"), by_chain.pop("kinetic_temperature")
        error = np.array([array_stats.mcse(one[None], 0, 1) for one in temperature])
        draws = Draws.of(
            position,
            by_chain,
            n_gradients=int(np.asarray(chains.n_gradients).sum()),
            independent=False,
            facts={"kinetic_temperature": temperature.mean(axis=1), "kinetic_temperature_error": error},
            remarks=_remarks(float(temperature.mean()), float(np.sqrt((error**2).sum()) / len(error))),
        )
        if warn:
            draws.warn_of_faults(stacklevel=2)
        return draws


def _remarks(temperature: float, error: float) -> list[str]:
    if abs(temperature - 1) <= _EXCESS + 2 * error:
        return []
    # Too cold it can only be before the velocities have settled, too hot also where chains still fall.
    advice = "lower `step_size`, or raise `n_warmup`" if temperature > 1 else "raise `n_warmup`"
    return [
        f"The kinetic temperature is {temperature:.3g} +- {error:.1g} where 1 is right, so that variances are about as "
        f"wrong: {advice}."
    ]


class _Chain(eqx.Module):
    """One chain, and what its warm-up has learned.

    Attributes:
        velocity: In units of its standard deviation as steps become small and friction too.
        mean_square: Of each coordinate's gradient.
    """

    position: Float[Array, "*chain dim"]
    velocity: Float[Array, "*chain dim"]
    lp: Float[Array, "*chain"]
    gradient: Float[Array, "*chain dim"]
    mean_square: Float[Array, "*chain dim"]
    n_gradients: Int[Array, "*chain"]


class _Step(eqx.Module):
    """All chains from one draw to the next."""

    target: TargetDensity
    key: Key[Array, ""]
    n_warmup: Int[Array, ""]
    step_size: Float[Array, ""]
    friction: Float[Array, ""]
    n_chains: int = eqx.field(static=True)
    steps_per_draw: int = eqx.field(static=True)

    def __call__(self, chains: _Chain, number: Int[Array, ""]) -> tuple[_Chain, dict[str, Array]]:
        density = jax.value_and_grad(log_density(self.target))
        before = number * self.steps_per_draw

        def step(chain: _Chain, noise: Float[Array, " dim"], place: Int[Array, ""]) -> tuple[_Chain, Array]:
            rate = _FORGETTING / (before + place + 2.0 * _FORGETTING)
            rate = jnp.where(number < self.n_warmup, rate, 0.0)
            mean_square = chain.mean_square + rate * (chain.gradient**2 - chain.mean_square)
            # Velocity v = scale * velocity, mass root mean square: Springenberg et al. (2016), equation 10.
            scale = self.step_size / jnp.sqrt(jnp.sqrt(mean_square))
            velocity = (1 - self.friction) * chain.velocity + scale * chain.gradient + _noise_sd(self.friction) * noise
            position = chain.position + scale * velocity
            lp, gradient = density(position)
            moved = _Chain(position, velocity, lp, gradient, mean_square, chain.n_gradients + 1)
            return moved, jnp.mean(velocity**2)

        def one(chain: _Chain, key: Key[Array, ""]) -> tuple[_Chain, dict[str, Array]]:
            # Drawn in one go, and in single precision: of a network of 2951 weights on 60 rows (one core), a step took
            # 75 microseconds, 51 of them without noise; drawn step by step it took 130, in double precision more.
            noise = jax.random.normal(key, (self.steps_per_draw, chain.position.size), jnp.float32)
            given = noise, jnp.arange(self.steps_per_draw)
            chain, squares = jax.lax.scan(lambda chain, given: step(chain, *given), chain, given)
            outcome = {
                "position": chain.position,
                "lp": chain.lp,
                "step_size": self.step_size,
                "n_steps": jnp.asarray(self.steps_per_draw),
                # Velocities of a small step have the variance 1 / (1 - friction / 2), positions the right one.
                "kinetic_temperature": (1 - 0.5 * self.friction) * jnp.mean(squares),
            }
            return chain, outcome

        return map_chains(one, chains, jax.random.split(jax.random.fold_in(self.key, number), self.n_chains))


def _noise_sd(friction: Float[Array, ""]) -> Float[Array, ""]:
    # Not sqrt(friction * (2 - friction)), which keeps the velocities' variance: positions follow the sums of velocities
    # of both sides of a step, and these are right with Chen et al.'s noise.
    return jnp.sqrt(2 * friction)


@eqx.filter_jit
def _first_state(target: TargetDensity, start: Float[Array, "chain dim"], key: Key[Array, ""]) -> _Chain:
    """Chains at their starts; the mean square of all coordinates, lest one begin with a gradient near zero."""
    density = jax.value_and_grad(log_density(target))

    def one(position: Float[Array, " dim"], key: Key[Array, ""]) -> _Chain:
        lp, gradient = density(position)
        velocity = jax.random.normal(key, position.shape)
        mean_square = jnp.full_like(position, jnp.mean(gradient**2))
        return _Chain(position, velocity, lp, gradient, mean_square, jnp.asarray(1))

    return map_chains(one, start, jax.random.split(key, len(start)))
