"""Microcanonical Monte Carlo: Langevin without a Metropolis step (biased), and Hamiltonian with one (exact)."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import blackjax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.adaptation.mclmc_adaptation import MCLMCAdaptationState
from blackjax.mcmc.adjusted_mclmc_dynamic import make_random_trajectory_length_fn
from blackjax.mcmc.dynamic_hmc import DynamicHMCState
from blackjax.mcmc.hmc import HMCState
from blackjax.mcmc.integrators import IntegratorState
from jaxtyping import Array, Float, Int, Key

from uqkit._typing import PRNGKey
from uqkit.errors import InputError
from uqkit.inference.chains import check_counts, find_starts, identity_of, log_density, map_chains
from uqkit.inference.draws import Draws
from uqkit.keys import as_key
from uqkit.problems.target import TargetDensity
from uqkit.running.scan import run_scan

__all__ = ["MCLMC", "AdjustedMCLMC"]

# Draws between two looks at Ctrl-C, the bar and the store.
_CHUNK = 50
# McLachlan's integrator moves the position, and so asks for a gradient, twice a step.
_GRADIENTS_PER_STEP = 2
# An energy variance this many times the wanted one makes a remark; tuning by a noisy estimate lands within it.
_EXCESS = 10.0


@dataclass(frozen=True, kw_only=True)
class MCLMC:
    """Microcanonical Langevin Monte Carlo, unadjusted: cheap in many dimensions, and biased.

    No Metropolis step corrects the integrator's error, so that the draws follow a law that differs from the posterior
    (variances above all) by an amount that shrinks with the step size, not with the number of draws. The step size is
    tuned until the variance of the energy error a step and dimension is `energy_variance_per_dim`; the draws state the
    value reached, as `facts["energy_variance_per_dim"]`, one a chain. R-hat does not see this bias: repeat with a tenth
    of the variance to see it, or use `AdjustedMCLMC`.

    Attributes:
        n_warmup: Tuning steps of each chain, thrown away.
        n_draws: Draws kept of each chain.
        n_chains: Chains; four show whether they agree.
        steps_per_draw: Steps, of two gradients each, from one draw to the next.
        energy_variance_per_dim: Variance of the energy error that is wanted, in nats squared.

    Reference:
        Robnik, De Luca, Silverstein & Seljak (2023), JMLR 24; Robnik & Seljak (2023), arXiv:2303.18221; computed by
        BlackJAX.
    """

    n_warmup: int = 2_000
    n_draws: int = 1_000
    n_chains: int = 4
    steps_per_draw: int = 10
    energy_variance_per_dim: float = 5e-4

    def __post_init__(self) -> None:
        """Check the settings."""
        check_counts(n_draws=self.n_draws, n_chains=self.n_chains, steps_per_draw=self.steps_per_draw)
        _check_warmup(self.n_warmup)
        if not self.energy_variance_per_dim > 0:
            raise InputError(
                f"`energy_variance_per_dim` must be positive, got {self.energy_variance_per_dim}; 5e-4 is usual."
            )

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
        """Draw from a target of at least two dimensions; see `Sampler.sample`."""
        chains, outcome = _run(
            self,
            _Langevin(self.n_warmup, self.steps_per_draw),
            [self.energy_variance_per_dim],
            target,
            key,
            initial,
            store,
            progress,
        )
        variance = outcome.pop("energy_change_squared").mean(axis=1) / target.n_dims
        remarks = []
        if (variance > _EXCESS * self.energy_variance_per_dim).any():
            remarks.append(
                f"The energy varies by {variance.max():.2g} a step and dimension where "
                f"{self.energy_variance_per_dim:.2g} was wanted, so that the bias may be large: raise `n_warmup`, or "
                "use AdjustedMCLMC."
            )
        return _draws(chains, outcome, {"energy_variance_per_dim": variance}, remarks, warn)


@dataclass(frozen=True, kw_only=True)
class AdjustedMCLMC:
    """Microcanonical Hamiltonian Monte Carlo with a Metropolis-Hastings step, and trajectories of random length: exact.

    Attributes:
        n_warmup: Tuning steps of each chain, thrown away.
        n_draws: Draws kept of each chain.
        n_chains: Chains; four show whether they agree.
        target_acceptance: Acceptance that the step size is tuned to.
        n_integration_steps: Mean number of integration steps, of two gradients each, in a trajectory.

    Reference:
        Robnik, Cohn-Gordon & Seljak (2025), arXiv:2503.01707; computed by BlackJAX.
    """

    n_warmup: int = 1_000
    n_draws: int = 1_000
    n_chains: int = 4
    target_acceptance: float = 0.9
    n_integration_steps: float = 4.0

    def __post_init__(self) -> None:
        """Check the settings."""
        check_counts(n_draws=self.n_draws, n_chains=self.n_chains)
        _check_warmup(self.n_warmup)
        if not 0 < self.target_acceptance < 1:
            raise InputError(f"`target_acceptance` must lie in (0, 1), got {self.target_acceptance}; 0.9 is usual.")
        if not self.n_integration_steps >= 1.2:
            # Below, the tuner's own floor on the length drives the step size to zero.
            raise InputError(f"`n_integration_steps` must be at least 1.2, got {self.n_integration_steps}.")

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
        """Draw from a target of at least two dimensions; see `Sampler.sample`."""
        aims = [self.target_acceptance, self.n_integration_steps]
        chains, outcome = _run(self, _Adjusted(self.n_warmup), aims, target, key, initial, store, progress)
        return _draws(chains, outcome, {}, [], warn)


def _check_warmup(n_warmup: int) -> None:
    # Thirds of it estimate variances and an autocorrelation time.
    if isinstance(n_warmup, bool) or not isinstance(n_warmup, int) or n_warmup < 100:
        raise InputError(f"`n_warmup` must be an integer of at least 100, got {n_warmup!r}.")


class _Chain(eqx.Module):
    """One chain: where it is, and what tuning found."""

    point: Any
    tuned: MCLMCAdaptationState
    n_gradients: Int[Array, "*chain"]


@dataclass(frozen=True)
class _Langevin:
    """Tuning and steps of the unadjusted sampler."""

    n_warmup: int
    steps_per_draw: int

    def tune(
        self, density: Any, position: Float[Array, " dim"], key: Key[Array, ""], aims: Float[Array, " aim"]
    ) -> _Chain:
        init_key, tune_key = jax.random.split(key)
        point, tuned, n_steps = blackjax.mclmc_find_L_and_step_size(
            mclmc_kernel=blackjax.mclmc.build_kernel(),
            num_steps=self.n_warmup,
            state=blackjax.mclmc.init(position, density, init_key),
            rng_key=tune_key,
            logdensity_fn=density,
            # With the steps that settle the step size after preconditioning these add up to `n_warmup`.
            frac_tune1=0.3,
            frac_tune2=0.3,
            frac_tune3=0.3,
            desired_energy_var=aims[0],  # pyright: ignore[reportArgumentType]
        )
        return _Chain(point, _fixed(tuned), jnp.asarray(_GRADIENTS_PER_STEP * n_steps))

    def __call__(self, density: Any, chain: _Chain, key: Key[Array, ""]) -> tuple[_Chain, dict[str, Array]]:
        kernel, tuned = blackjax.mclmc.build_kernel(), chain.tuned

        def step(point: IntegratorState, key: Key[Array, ""]) -> tuple[IntegratorState, Any]:
            return kernel(key, point, density, tuned.inverse_mass_matrix, tuned.L, tuned.step_size)

        n_steps = self.steps_per_draw
        point, info = jax.lax.scan(step, chain.point, jax.random.split(key, n_steps))
        n_gradients = _GRADIENTS_PER_STEP * n_steps
        outcome = {
            "position": point.position,
            "lp": point.logdensity,
            "step_size": jnp.asarray(tuned.step_size),
            "n_steps": jnp.asarray(n_gradients),
            "diverging": (~info.nonans.all()).astype(jnp.int8),
            "energy_change_squared": jnp.square(info.energy_change).mean(),
        }
        return _Chain(point, tuned, chain.n_gradients + n_gradients), outcome


@dataclass(frozen=True)
class _Adjusted:
    """Tuning and steps of the adjusted sampler."""

    n_warmup: int

    def _kernel(self) -> Any:
        kernel = blackjax.adjusted_mclmc_dynamic.build_kernel(make_random_trajectory_length_fn(True))

        def tuned_kernel(
            rng_key: Any, state: Any, logdensity_fn: Any, step_size: Any, inverse_mass_matrix: Any, **lengths: Any
        ) -> tuple[Any, Any]:
            return kernel(rng_key, state, logdensity_fn, step_size, inverse_mass_matrix=inverse_mass_matrix, **lengths)

        return tuned_kernel

    def tune(
        self, density: Any, position: Float[Array, " dim"], key: Key[Array, ""], aims: Float[Array, " aim"]
    ) -> _Chain:
        init_key, tune_key = jax.random.split(key)
        point, tuned, n_steps = blackjax.adjusted_mclmc_find_L_and_step_size(
            mclmc_kernel=self._kernel(),
            logdensity_fn=density,
            num_steps=self.n_warmup,
            state=blackjax.adjusted_mclmc_dynamic.init(position, density, init_key),
            rng_key=tune_key,
            target=aims[0],
            # The first is run twice, before and after preconditioning: together `n_warmup`.
            frac_tune1=0.3,
            frac_tune2=0.4,
            target_num_integration_steps=aims[1],  # pyright: ignore[reportArgumentType]
        )
        point = HMCState(point.position, point.logdensity, point.logdensity_grad)
        return _Chain(point, _fixed(tuned), jnp.asarray(_GRADIENTS_PER_STEP * n_steps, dtype=int))

    def __call__(self, density: Any, chain: _Chain, key: Key[Array, ""]) -> tuple[_Chain, dict[str, Array]]:
        move_key, length_key = jax.random.split(key)
        tuned, point = chain.tuned, chain.point
        # The length's key is made anew at each step: a state in a store holds numbers only.
        state = DynamicHMCState(point.position, point.logdensity, point.logdensity_grad, length_key)
        state, info = self._kernel()(
            move_key,
            state,
            density,
            tuned.step_size,
            tuned.inverse_mass_matrix,
            integration_steps_params=(tuned.L / tuned.step_size,),
        )
        n_gradients = _GRADIENTS_PER_STEP * jnp.asarray(info.num_integration_steps, dtype=int)
        outcome = {
            "position": state.position,
            "lp": state.logdensity,
            "acceptance_rate": info.acceptance_rate,
            "step_size": jnp.asarray(tuned.step_size),
            "n_steps": n_gradients,
            "diverging": jnp.asarray(info.is_divergent, dtype=jnp.int8),
        }
        point = HMCState(state.position, state.logdensity, state.logdensity_grad)
        return _Chain(point, tuned, chain.n_gradients + n_gradients), outcome


def _fixed(tuned: MCLMCAdaptationState) -> MCLMCAdaptationState:
    # Arrays in place of Python numbers, which would change their type at the first step of a loop.
    return jax.tree.map(lambda value: jnp.asarray(value, dtype=float), tuned)


class _Step(eqx.Module):
    """A draw of all chains."""

    target: TargetDensity
    key: Key[Array, ""]
    n_chains: int = eqx.field(static=True)
    engine: _Langevin | _Adjusted = eqx.field(static=True)

    def __call__(self, chains: _Chain, number: Int[Array, ""]) -> tuple[_Chain, dict[str, Array]]:
        density = log_density(self.target)
        keys = jax.random.split(jax.random.fold_in(self.key, number), self.n_chains)
        return map_chains(lambda chain, key: self.engine(density, chain, key), chains, keys)


@eqx.filter_jit
def _tune(
    engine: _Langevin | _Adjusted,
    target: TargetDensity,
    start: Float[Array, "chain dim"],
    key: Key[Array, ""],
    aims: Float[Array, " aim"],
) -> _Chain:
    density = log_density(target)
    keys = jax.random.split(key, len(start))
    return map_chains(lambda position, key: engine.tune(density, position, key, aims), start, keys)


def _run(
    settings: MCLMC | AdjustedMCLMC,
    engine: _Langevin | _Adjusted,
    aims: list[float],
    target: TargetDensity,
    key: PRNGKey,
    initial: Float[np.ndarray, "chain dim"] | None,
    store: str | Path | None,
    progress: bool | None,
) -> tuple[_Chain, dict[str, np.ndarray]]:
    if target.n_dims < 2:
        raise InputError(
            f"microcanonical dynamics needs at least 2 dimensions, but the target has {target.n_dims}; use NUTS."
        )
    with jax.enable_x64(True):
        # The number of draws is no part of a run's identity: a longer one goes on from a shorter one.
        identity = identity_of(replace(settings, n_draws=4), target, as_key(key), initial)
        start_key, tune_key, run_key = jax.random.split(as_key(key), 3)
        start = find_starts(target, settings.n_chains, key=start_key, initial=initial)
        chains, outcome = run_scan(
            _Step(target=target, key=run_key, n_chains=settings.n_chains, engine=replace(engine, n_warmup=0)),
            lambda: _tune(engine, target, start, tune_key, jnp.asarray(aims)),
            settings.n_draws,
            chunk_size=_CHUNK,
            label="draws",
            progress=progress,
            store=store,
            identity=identity,
        )
    return chains, {name: np.swapaxes(values, 0, 1) for name, values in outcome.items()}


def _draws(
    chains: _Chain, outcome: dict[str, np.ndarray], facts: dict[str, np.ndarray], remarks: list[str], warn: bool
) -> Draws:
    position = outcome.pop("position")
    n_gradients = int(np.asarray(chains.n_gradients).sum())
    draws = Draws.of(position, outcome, n_gradients=n_gradients, independent=False, facts=facts, remarks=remarks)
    if warn:
        draws.warn_of_faults(stacklevel=4)
    return draws
