"""Small network surrogates that tests share: each is fitted once, since compiling is what takes time."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jaxtyping import Array, Float, Key
from torch import Tensor

from uqkit.bayesopt import (
    AnchoredTraining,
    EnsembleNetwork,
    HMCNetwork,
    MicrocanonicalNetwork,
    PlainTraining,
    SGHMCNetwork,
    VariationalNetwork,
    WeightPrior,
)
from uqkit.bayesopt.members import Members, MemberSurrogate
from uqkit.bayesopt.network import NOISE_VARIANCE, NetworkData, NetworkModel
from uqkit.inference import HMC, SGHMC, SVI, AdjustedMCLMC, Draws
from uqkit.keys import numpy_generator

N_CATEGORIES = 3
PRIOR = WeightPrior(noise_sd=0.2, noise_spread=0.3)
SETTINGS: dict[str, Any] = {"widths": (8,), "prior": PRIOR, "categorical": {2: N_CATEGORIES}}
QUICK_HMC = HMC(n_leapfrog=10, n_warmup=100, n_draws=100, n_chains=4)
PLAIN = PlainTraining(n_members=8, n_steps=200)
ANCHORED = AnchoredTraining(n_members=8, n_steps=200)

RECIPES: dict[str, tuple[type[MemberSurrogate], dict[str, Any]]] = {
    "hmc": (HMCNetwork, {"sampler": QUICK_HMC}),
    "sghmc": (SGHMCNetwork, {"sampler": SGHMC(n_warmup=200, n_draws=16, n_chains=4, steps_per_draw=20)}),
    "microcanonical": (MicrocanonicalNetwork, {"sampler": AdjustedMCLMC(n_warmup=200, n_draws=50, n_chains=4)}),
    "variational": (VariationalNetwork, {"sampler": SVI(n_steps=1_000, n_particles=1, n_draws=16, n_chains=4)}),
    "plain": (EnsembleNetwork, {"training": PLAIN}),
    "anchored": (EnsembleNetwork, {"training": ANCHORED}),
}


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(size=shape))


def inputs(n_rows: int, seed: int = 0) -> Tensor:
    """Two continuous inputs in [0, 1] and a category."""
    X = uniform(n_rows, 3, seed=seed)  # noqa: N806
    X[:, 2] = torch.arange(n_rows) % N_CATEGORIES
    return X


def outputs(X: Tensor) -> Tensor:  # noqa: N803
    """Two of them, the second positive."""
    return torch.stack([4 + torch.sin(3 * X[:, 0]) + X[:, 2], torch.exp(X[:, 1] * X[:, 0])], dim=-1)


def surrogate(name: str, n_rows: int = 12, *, key: int = 0, **settings: Any) -> Any:
    """Not fitted."""
    cls, own = RECIPES[name]
    X = inputs(n_rows)  # noqa: N806
    return cls(X, outputs(X), **(SETTINGS | own | settings), key=key)


@cache
def fitted(name: str) -> Any:
    """On twelve rows."""
    return surrogate(name).fit(progress=False)


class PriorNetwork(MemberSurrogate):
    """Members drawn from the prior, for what is the same however members were found."""

    n_drawn = 32

    def _infer(
        self, data: NetworkData, key: Key[jax.Array, ""], store: str | Path | None, progress: bool | None
    ) -> tuple[Members, Draws | None]:
        sites = prior_sites(self.network, self.n_drawn, numpy_generator(key))
        with jax.enable_x64(True):
            return {name: jnp.asarray(values) for name, values in sites.items()}, None


def prior_sites(
    network: NetworkModel, n_draws: int, rng: np.random.Generator
) -> Mapping[str, Float[Array | np.ndarray, "member ..."]]:
    """Draws of the prior, by NumPy."""
    prior = network.prior
    medians = [prior.scale] * len(network.widths) + [prior.output_scale]
    sites = {
        name: median * np.exp(prior.scale_spread * rng.normal(size=n_draws))
        for name, median in zip(network.scale_names, medians, strict=True)
    }
    sites |= {name: rng.normal(size=(n_draws, *shape)) for name, shape in network.shapes.items()}
    if not network.known_noise:
        noise_sd = prior.noise_sd * np.exp(prior.noise_spread * rng.normal(size=(n_draws, network.n_outputs)))
        sites[NOISE_VARIANCE] = noise_sd**2
    return sites


def prior_network(n_rows: int = 12, Yvar: Tensor | None = None, *, key: int = 0, **settings: Any) -> PriorNetwork:  # noqa: N803
    X = inputs(n_rows)  # noqa: N806
    found = PriorNetwork(X, outputs(X), Yvar, **(SETTINGS | settings), key=key).fit()
    assert isinstance(found, PriorNetwork)
    return found
