"""Networks drawn from their posterior by chains, or from a normal law fitted to it."""

from pathlib import Path
from typing import Any, ClassVar

import jax
from jaxtyping import Key

from uqkit.bayesopt.members import Members, MemberSurrogate, members_of
from uqkit.bayesopt.network import NetworkData
from uqkit.errors import InputError
from uqkit.inference import HMC, SGHMC, SVI, AdjustedMCLMC, Draws, NumpyroTarget, Sampler

__all__ = ["HMCNetwork", "MicrocanonicalNetwork", "SGHMCNetwork", "VariationalNetwork"]


class _SampledNetwork(MemberSurrogate):
    """Members drawn by a sampler."""

    default_sampler: ClassVar[Any]

    def __init__(self, *data: Any, sampler: Sampler | None = None, **settings: Any) -> None:
        """See the class; `sampler` draws the members."""
        super().__init__(*data, **settings)
        self.sampler = self.default_sampler if sampler is None else sampler
        if not isinstance(self.sampler, Sampler):
            raise InputError(f"sampler={sampler!r}: pass a sampler of uqkit.inference, say {self.default_sampler!r}.")
        self._settings["sampler"] = self.sampler

    def _infer(
        self, data: NetworkData, key: Key[jax.Array, ""], store: str | Path | None, progress: bool | None
    ) -> tuple[Members, Draws]:
        target = NumpyroTarget.of(self.network, data, key=0)
        # Weights of a network need not agree between chains: what they predict must, which `diagnose` judges.
        draws = self.sampler.sample(target, key=key, store=store, progress=progress, warn=False)
        return members_of(draws, target), draws


class HMCNetwork(_SampledNetwork):
    """A Bayesian network sampled by Hamiltonian Monte Carlo.

    The default setting is quick enough for the loop of an optimisation; `HMCNetwork.converged` is for when the answer
    is final. `diagnose` tells how far either got.

    Attributes:
        converged: A sampler whose chains agree on functions of the scale of an optimisation problem.

    Reference:
        Neal (1996), Bayesian Learning for Neural Networks, chapter 3.
    """

    default_sampler = HMC(n_leapfrog=24, n_warmup=60, n_draws=16, n_chains=8)
    converged = HMC(n_leapfrog=400, n_warmup=150, n_draws=100, n_chains=4, target_acceptance=0.9)


class SGHMCNetwork(_SampledNetwork):
    """A Bayesian network sampled by stochastic-gradient Hamiltonian Monte Carlo: a biased baseline.

    Without a Metropolis step it keeps away from where the likelihood is stiff, that is from little noise: chains agree,
    and on a noise that is too large.

    Reference:
        Springenberg, Klein, Falkner & Hutter (2016), Bayesian optimization with robust Bayesian neural networks.
    """

    default_sampler = SGHMC(n_chains=4, n_warmup=2_000, n_draws=32, steps_per_draw=50)


class MicrocanonicalNetwork(_SampledNetwork):
    """A Bayesian network sampled by adjusted microcanonical Hamiltonian Monte Carlo.

    Reference:
        Robnik, Cohn-Gordon & Seljak (2025), arXiv 2503.01707.
    """

    default_sampler = AdjustedMCLMC(n_chains=8, n_draws=16, n_warmup=200)


class VariationalNetwork(_SampledNetwork):
    """A Bayesian network with independent normal weights that are fitted to the posterior: quick, and too narrow.

    Reference:
        Blundell, Cornebise, Kavukcuoglu & Wierstra (2015), Weight uncertainty in neural networks, arXiv 1505.05424.
    """

    default_sampler = SVI(n_steps=3_000, n_particles=4, n_chains=4, n_draws=32)
