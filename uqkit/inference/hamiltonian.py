"""Hamiltonian Monte Carlo: NUTS, and HMC with a fixed number of leapfrog steps."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import blackjax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.adaptation.mass_matrix import MassMatrixAdaptationState, mass_matrix_adaptation
from blackjax.adaptation.step_size import (
    DualAveragingAdaptationState,
    dual_averaging_adaptation,
    find_reasonable_step_size,
)
from blackjax.adaptation.window_adaptation import build_schedule
from blackjax.mcmc.hmc import HMCState
from jaxtyping import Array, Float, Int, Key

from uqkit._typing import PRNGKey
from uqkit.errors import InputError
from uqkit.inference.chains import check_counts, find_starts, identity_of, log_density, map_chains
from uqkit.inference.draws import Draws
from uqkit.keys import as_key
from uqkit.problems.target import TargetDensity
from uqkit.running.scan import run_scan

__all__ = ["HMC", "NUTS"]

# Steps between two looks at Ctrl-C, the bar and the store.
_CHUNK = 50


@dataclass(frozen=True, kw_only=True)
class NUTS:
    """The No-U-Turn sampler, with Stan's windowed warm-up of the step size and the mass matrix; exact.

    Attributes:
        n_warmup: Warm-up steps of each chain, thrown away.
        n_draws: Draws kept of each chain.
        n_chains: Chains; four show whether they agree.
        target_acceptance: Acceptance that the step size is tuned to; 0.95 helps against divergences.
        max_tree_depth: Most doublings of a trajectory: at most 2^depth gradients a draw.
        dense_mass: Whether the mass matrix is full; worth it where parameters are correlated and few.

    Reference:
        Hoffman & Gelman (2014), JMLR 15; Betancourt (2017), arXiv:1701.02434; computed by BlackJAX.
    """

    n_warmup: int = 500
    n_draws: int = 1_000
    n_chains: int = 4
    target_acceptance: float = 0.8
    max_tree_depth: int = 10
    dense_mass: bool = False

    def __post_init__(self) -> None:
        """Check the settings."""
        check_counts(n_warmup=self.n_warmup, n_draws=self.n_draws, n_chains=self.n_chains)
        check_counts(max_tree_depth=self.max_tree_depth)
        _check_acceptance(self.target_acceptance)

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
        return _sample(self, target, _Tree(self.max_tree_depth), key, initial, store, progress, warn)


@dataclass(frozen=True, kw_only=True)
class HMC:
    """Hamiltonian Monte Carlo with trajectories of a fixed number of leapfrog steps, and the warm-up of NUTS; exact.

    Cheap where the posterior is near a standard normal (`Whitened`), where few steps cross it.

    Attributes:
        n_leapfrog: Leapfrog steps, that is gradients, of each draw.
        n_warmup: Warm-up steps of each chain, thrown away.
        n_draws: Draws kept of each chain.
        n_chains: Chains; four show whether they agree.
        target_acceptance: Acceptance that the step size is tuned to; optimal for long trajectories is 0.65 to 0.8.
        dense_mass: Whether the mass matrix is full.
        step_jitter: Each draw scales the step size by a uniform number within this of 1, because trajectories of one
            length return to where they started in some directions.

    Reference:
        Neal (2011), Handbook of Markov Chain Monte Carlo, chapter 5; section 3.2 for the jitter. Computed by BlackJAX.
    """

    n_leapfrog: int
    n_warmup: int = 500
    n_draws: int = 1_000
    n_chains: int = 4
    target_acceptance: float = 0.8
    dense_mass: bool = False
    step_jitter: float = 0.2

    def __post_init__(self) -> None:
        """Check the settings."""
        check_counts(n_warmup=self.n_warmup, n_draws=self.n_draws, n_chains=self.n_chains, n_leapfrog=self.n_leapfrog)
        _check_acceptance(self.target_acceptance)
        if not 0 <= self.step_jitter < 1:
            raise InputError(f"`step_jitter` must lie in [0, 1), got {self.step_jitter}; 0.2 is usual.")

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
        trajectory = _Path(self.n_leapfrog, self.step_jitter)
        return _sample(self, target, trajectory, key, initial, store, progress, warn)


def _check_acceptance(target_acceptance: float) -> None:
    if not 0 < target_acceptance < 1:
        raise InputError(f"`target_acceptance` must lie in (0, 1), got {target_acceptance}; 0.8 is usual.")


@dataclass(frozen=True)
class _Tree:
    """Trajectories of NUTS."""

    max_depth: int

    def __call__(self, density: Any, state: HMCState, step_size: Array, mass: Array, key: Array) -> tuple[Any, Any]:
        state, info = blackjax.nuts.build_kernel()(key, state, density, step_size, mass, self.max_depth)
        return state, _outcome(state, info, step_size) | {"tree_depth": info.num_trajectory_expansions}


@dataclass(frozen=True)
class _Path:
    """Trajectories of a fixed number of steps."""

    n_leapfrog: int
    jitter: float

    def __call__(self, density: Any, state: HMCState, step_size: Array, mass: Array, key: Array) -> tuple[Any, Any]:
        jitter_key, move_key = jax.random.split(key)
        step_size = step_size * jax.random.uniform(jitter_key, minval=1 - self.jitter, maxval=1 + self.jitter)
        state, info = blackjax.hmc.build_kernel()(move_key, state, density, step_size, mass, self.n_leapfrog)
        return state, _outcome(state, info, step_size)


def _outcome(state: HMCState, info: Any, step_size: Array) -> dict[str, Array]:
    return {
        "position": jnp.asarray(state.position),
        "lp": jnp.asarray(state.logdensity),
        "acceptance_rate": info.acceptance_rate,
        "step_size": step_size,
        "n_steps": jnp.asarray(info.num_integration_steps),
        "diverging": jnp.asarray(info.is_divergent, dtype=jnp.int8),
        "energy": info.energy,
    }


class _Chain(eqx.Module):
    """One chain, and what its warm-up has learned."""

    point: HMCState
    tuning: DualAveragingAdaptationState
    mass: MassMatrixAdaptationState
    step_size: Float[Array, "*chain"]
    n_gradients: Int[Array, "*chain"]


class _Step(eqx.Module):
    """A step of all chains: a transition, and while warming up the tuning by it (Stan's schedule)."""

    target: TargetDensity
    key: Key[Array, ""]
    schedule: Int[Array, "warmup 2"]
    n_warmup: Int[Array, ""]
    target_acceptance: Float[Array, ""]
    n_chains: int = eqx.field(static=True)
    trajectory: _Tree | _Path = eqx.field(static=True)
    dense_mass: bool = eqx.field(static=True)

    def __call__(self, chains: _Chain, number: Int[Array, ""]) -> tuple[_Chain, dict[str, Array]]:
        density = log_density(self.target)

        def one(chain: _Chain, key: Key[Array, ""]) -> tuple[_Chain, dict[str, Array]]:
            mass = chain.mass.inverse_mass_matrix
            point, outcome = self.trajectory(density, chain.point, chain.step_size, mass, key)
            n_gradients = chain.n_gradients + outcome["n_steps"]
            chain = _Chain(point, chain.tuning, chain.mass, chain.step_size, n_gradients)
            chain = jax.lax.cond(
                number < self.n_warmup,
                # A bound method of a module cannot be hashed while it is traced, a function can.
                lambda chain: self._tuned(chain, outcome["acceptance_rate"], number),
                lambda chain: chain,
                chain,
            )
            return chain, outcome

        return map_chains(one, chains, jax.random.split(jax.random.fold_in(self.key, number), self.n_chains))

    def _tuned(self, chain: _Chain, acceptance_rate: Array, number: Int[Array, ""]) -> _Chain:
        init, update, final = dual_averaging_adaptation(self.target_acceptance)  # pyright: ignore[reportArgumentType]
        _, learn_mass, finish_mass = mass_matrix_adaptation(not self.dense_mass)
        in_window, window_ends = self.schedule[number][0] == 1, self.schedule[number][1] == 1
        tuning = update(chain.tuning, acceptance_rate)
        mass = jax.lax.cond(in_window, learn_mass, lambda same, _: same, chain.mass, chain.point.position)
        # A window's end changes the metric, so that the step size is learned anew from where it is.
        mass, tuning = jax.lax.cond(
            window_ends, lambda m, t: (finish_mass(m), init(final(t))), lambda m, t: (m, t), mass, tuning
        )
        step_size = jnp.where(number == self.n_warmup - 1, final(tuning), jnp.exp(tuning.log_step_size))
        return _Chain(chain.point, tuning, mass, step_size, chain.n_gradients)


def _schedule(n_warmup: int) -> Int[Array, "warmup 2"]:
    """Stan's stages of each step and the ends of its windows, filled up to a thousand: one length, compiled once."""
    stages = np.zeros((max(1, -(-n_warmup // 1_000)) * 1_000, 2), dtype=int)
    if n_warmup:
        stages[:n_warmup] = np.asarray(build_schedule(n_warmup))
    return jnp.asarray(stages)


@eqx.filter_jit
def _first_state(
    target: TargetDensity, start: Float[Array, "chain dim"], key: Key[Array, ""], dense_mass: bool
) -> _Chain:
    """Chains at their starts, with a step size that about half of single leapfrog steps accept."""
    density = log_density(target)
    kernel = blackjax.hmc.build_kernel()

    def one(position: Float[Array, " dim"], key: Key[Array, ""]) -> _Chain:
        point = blackjax.hmc.init(position, density)
        mass = mass_matrix_adaptation(not dense_mass)[0](target.n_dims)
        step_size = find_reasonable_step_size(
            key,
            lambda size: lambda key, state: kernel(key, state, density, size, mass.inverse_mass_matrix, 1),
            point,
            jnp.asarray(1.0),  # pyright: ignore[reportArgumentType]
            0.8,
        )
        tuning = dual_averaging_adaptation(0.8)[0](step_size)
        return _Chain(point, tuning, mass, jnp.asarray(step_size), jnp.asarray(0))

    return map_chains(one, start, jax.random.split(key, len(start)))


def _sample(
    settings: NUTS | HMC,
    target: TargetDensity,
    trajectory: _Tree | _Path,
    key: PRNGKey,
    initial: Float[np.ndarray, "chain dim"] | None,
    store: str | Path | None,
    progress: bool | None,
    warn: bool,
) -> Draws:
    with jax.enable_x64(True):
        # The number of draws is no part of a run's identity: a longer one goes on from a shorter one.
        identity = identity_of(replace(settings, n_draws=4), target, as_key(key), initial)
        start_key, tune_key, run_key = jax.random.split(as_key(key), 3)
        start = find_starts(target, settings.n_chains, key=start_key, initial=initial)
        step = _Step(
            target=target,
            key=run_key,
            schedule=_schedule(settings.n_warmup),
            n_warmup=jnp.asarray(settings.n_warmup),
            target_acceptance=jnp.asarray(settings.target_acceptance, dtype=float),
            n_chains=settings.n_chains,
            trajectory=trajectory,
            dense_mass=settings.dense_mass,
        )
        chains, outcome = run_scan(
            step,
            lambda: _first_state(target, start, tune_key, settings.dense_mass),
            settings.n_warmup + settings.n_draws,
            chunk_size=_CHUNK,
            label="steps",
            progress=progress,
            store=store,
            identity=identity,
            keep_from=settings.n_warmup,
        )
    by_chain = {name: np.swapaxes(values, 0, 1) for name, values in outcome.items()}
    position = by_chain.pop("position")
    n_gradients = int(np.asarray(chains.n_gradients).sum())
    draws = Draws.of(position, by_chain, n_gradients=n_gradients, independent=False)
    if warn:
        draws.warn_of_faults(stacklevel=4)
    return draws
