"""Variational inference: the best normal law on the unconstrained coordinates, by the evidence lower bound."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from jaxtyping import Array, Float, Int, Key
from numpyro import handlers
from numpyro.distributions import constraints
from numpyro.infer import Trace_ELBO

from uqkit._typing import PRNGKey
from uqkit.errors import InputError
from uqkit.inference.chains import check_counts, find_starts, identity_of, log_density
from uqkit.inference.draws import Draws
from uqkit.inference.guides import FullRankNormal, LowRankNormal, MeanFieldNormal
from uqkit.keys import as_key
from uqkit.problems.target import TargetDensity
from uqkit.running.scan import run_scan
from uqkit.stats import pareto_tail_index

__all__ = ["SVI", "VariationalFit"]

# Steps between two looks at Ctrl-C, the bar and the store.
_CHUNK = 250


@dataclass(frozen=True, kw_only=True)
class VariationalFit:
    """A fitted guide.

    Attributes:
        draws: Independent draws of the guide; `facts["pareto_k"]` is the tail index of their importance weights
            against the posterior: above 0.7 the guide is too far from it to be trusted (Yao et al. 2018).
        mean: Of the guide.
        covariance: Of the guide.
        elbo_trace: One estimate a step, in nats; noisy, and of the annealed bound while the KL weight is below 1.
        elbo: Evidence lower bound of the final guide, in nats, estimated by the draws.
        elbo_se: Its Monte Carlo standard error.
    """

    draws: Draws
    mean: Float[np.ndarray, " dim"]
    covariance: Float[np.ndarray, "dim dim"]
    elbo_trace: Float[np.ndarray, " step"]
    elbo: float
    elbo_se: float


@dataclass(frozen=True, kw_only=True)
class SVI:
    """Stochastic variational inference: Adam on NumPyro's reparametrised evidence lower bound.

    A guide of too small a family is too narrow: the mean-field optimum of a normal posterior has the variances
    1 / diag(precision), not those of the margins.

    Attributes:
        guide: The family of normal laws.
        n_steps: Steps of Adam.
        learning_rate: At the start; it falls to a hundredth along a cosine, so that the noise dies out.
        n_particles: Draws of the guide behind each gradient.
        annealing: Steps over which the weight of the KL term from the prior rises linearly to 1; 0 for a weight of 1
            throughout. It keeps the guide from collapsing onto the prior early; the optimum is the same.
        n_draws: Draws of the fitted guide for each chain.
        n_chains: Rows that the independent draws are put in.

    Reference:
        Kucukelbir, Tran, Ranganath, Gelman & Blei (2017), JMLR 18; Kingma & Ba (2015); Bowman et al. (2016) for the
        annealing; Yao, Vehtari, Simpson & Gelman (2018) for the tail index.
    """

    guide: MeanFieldNormal | FullRankNormal | LowRankNormal = MeanFieldNormal()
    n_steps: int = 5_000
    learning_rate: float = 0.02
    n_particles: int = 8
    annealing: int = 0
    n_draws: int = 1_000
    n_chains: int = 4

    def __post_init__(self) -> None:
        """Check the settings."""
        check_counts(n_steps=self.n_steps, n_particles=self.n_particles, n_draws=self.n_draws, n_chains=self.n_chains)
        if not self.learning_rate > 0:
            raise InputError(f"`learning_rate` must be positive, got {self.learning_rate}; 0.02 is usual.")
        if not 0 <= self.annealing < self.n_steps:
            raise InputError(
                f"`annealing` must lie in [0, {self.n_steps}), the number of steps, got {self.annealing}; "
                "the steps after it are those that fit the posterior."
            )

    def kl_weight(self, number: Int[Array, ""]) -> Float[Array, ""]:
        """Weight of the KL term at a step; 1 from step `annealing` on."""
        return jnp.minimum((number + 1.0) / (self.annealing + 1.0), 1.0)

    def fit(
        self,
        target: TargetDensity,
        *,
        key: PRNGKey,
        initial: Float[np.ndarray, "chain dim"] | None = None,
        store: str | Path | None = None,
        progress: bool | None = None,
    ) -> VariationalFit:
        """Fit the guide.

        Args:
            target: Whose posterior is approximated.
            key: All randomness.
            initial: One row: where the guide's mean starts; a draw of the prior where not given.
            store: See `Sampler.sample`.
            progress: See `Sampler.sample`.
        """
        return self._fit(target, key, initial, store, progress)

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
        """The draws of `fit`; see `Sampler.sample`."""
        draws = self._fit(target, key, initial, store, progress).draws
        if warn:
            draws.warn_of_faults()
        return draws

    def _fit(
        self,
        target: TargetDensity,
        key: PRNGKey,
        initial: Float[np.ndarray, "chain dim"] | None,
        store: str | Path | None,
        progress: bool | None,
    ) -> VariationalFit:
        with jax.enable_x64(True):
            identity = identity_of(self, target, as_key(key), initial)
            start_key, run_key, draw_key = jax.random.split(as_key(key), 3)
            start = find_starts(target, 1, key=start_key, initial=initial)[0]
            parameters = self.guide.initial(start)
            (parameters, _), elbo_trace = run_scan(
                _Step(target=target, key=run_key, settings=self),
                (parameters, self.optimiser().init(parameters)),
                self.n_steps,
                chunk_size=_CHUNK,
                label="steps",
                progress=progress,
                store=store,
                identity=identity,
            )
            shape = (self.n_chains, self.n_draws)
            position, log_target, log_guide = (
                np.asarray(each) for each in _draw(self.guide, target, parameters, draw_key, shape)
            )
            law = self.guide.law(parameters)
            mean, covariance = np.asarray(law.mean), np.asarray(self.guide.covariance(parameters))
        log_weight = (log_target - log_guide).ravel()
        scaled = np.exp(log_weight - np.quantile(log_weight, 0.9))
        draws = Draws.of(
            position,
            {"lp": log_target},
            n_gradients=self.n_steps * self.n_particles,
            independent=True,
            facts={"pareto_k": np.asarray(pareto_tail_index(scaled))},
        )
        return VariationalFit(
            draws=draws,
            mean=mean,
            covariance=covariance,
            elbo_trace=elbo_trace,
            elbo=float(log_weight.mean()),
            elbo_se=float(log_weight.std(ddof=1) / np.sqrt(log_weight.size)),
        )

    def optimiser(self) -> optax.GradientTransformation:
        """Adam with the falling learning rate."""
        return optax.adam(optax.cosine_decay_schedule(self.learning_rate, self.n_steps, alpha=0.01))


class _Step(eqx.Module):
    """A step of Adam."""

    target: TargetDensity
    key: Key[Array, ""]
    settings: SVI = eqx.field(static=True)

    def __call__(self, state: tuple[Any, Any], number: Int[Array, ""]) -> tuple[tuple[Any, Any], Float[Array, ""]]:
        parameters, adam = state
        kl_weight, guide = self.settings.kl_weight(number), self.settings.guide

        # The weight of the KL term is that of both its parts: the prior here, the guide's own density there.
        def model() -> None:
            improper = dist.ImproperUniform(constraints.real_vector, (), (self.target.n_dims,))
            position = numpyro.sample("position", improper)
            assert isinstance(position, jax.Array)
            with handlers.scale(scale=kl_weight):
                numpyro.factor("log_prior", self.target.log_prior(position))
            numpyro.factor("log_likelihood", self.target.log_likelihood(position))

        def loss(parameters: Any) -> Float[Array, ""]:
            def drawn() -> None:
                with handlers.scale(scale=kl_weight):
                    numpyro.sample("position", guide.law(parameters))

            elbo = Trace_ELBO(num_particles=self.settings.n_particles)
            return jnp.asarray(elbo.loss(jax.random.fold_in(self.key, number), {}, model, drawn))

        value, gradient = jax.value_and_grad(loss)(parameters)
        change, adam = self.settings.optimiser().update(gradient, adam, parameters)
        return (optax.apply_updates(parameters, change), adam), -value


@eqx.filter_jit
def _draw(
    guide: MeanFieldNormal | FullRankNormal | LowRankNormal,
    target: TargetDensity,
    parameters: Any,
    key: Key[Array, ""],
    shape: tuple[int, int],
) -> tuple[Float[Array, "chain draw dim"], Float[Array, "chain draw"], Float[Array, "chain draw"]]:
    law = guide.law(parameters)
    position = jnp.asarray(law.sample(key, shape))
    return position, jax.lax.map(jax.vmap(log_density(target)), position), jnp.asarray(law.log_prob(position))
