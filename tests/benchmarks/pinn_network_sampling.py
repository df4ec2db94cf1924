"""Effective draws a CPU second: NUTS on whitened features against NUTS on the raw weights of the B-PINN network.

The network and its priors are those of Yang, Meng & Karniadakis (2021), Journal of Computational Physics 425: two
hidden layers of 50 tanh units, every weight and bias Normal(0, 1). The opponent is that model in plain NumPyro, on the
same data and in the same process.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.infer import MCMC, NUTS, init_to_sample

from models.pdes import bpinn_inverse_1d
from tests.benchmarks.comparison import Row, measured
from uqkit import pinn
from uqkit.problems import BoundaryValueProblem, Measured
from uqkit.results import schema

__all__ = ["rows"]

_OURS = pinn.NUTS(n_warmup=300, n_draws=500, n_chains=4)
_WARMUP, _DRAWS, _DEPTH = 500, 1_000, 10
_WIDTH = 50


@dataclass(frozen=True, kw_only=True)
class _Sampled:
    """How well one run sampled the parameter k, and at what cost."""

    r_hat: float
    ess: float
    leapfrogs: float
    seconds: float

    @property
    def rate(self) -> float:
        """Effective draws of k a CPU second."""
        return self.ess / self.seconds


def rows(long: bool) -> Iterator[Row]:
    """Every claim, as it is measured."""
    for noise in (0.1, 0.01):
        yield from _against_weights(noise, n_keys=3 if long else 1, n_chains=2 if long else 1)


def _against_weights(noise: float, *, n_keys: int, n_chains: int) -> Iterator[Row]:
    problems = [bpinn_inverse_1d.make(noise=noise, key=key) for key in range(n_keys)]
    ours = [_whitened(problem, key) for key, problem in enumerate(problems)]
    theirs = [_raw(problem, key, n_chains=n_chains) for key, problem in enumerate(problems)]
    what = (
        f"NUTS on 400 whitened features, {_OURS.n_chains} chains of {_OURS.n_warmup} + {_OURS.n_draws}, reaction in "
        f"1-D, noise {noise}; {n_keys} data set{'s' * (n_keys > 1)}"
    )
    opponent = (
        f"NumPyro {numpyro.__version__} NUTS on the weights of the B-PINN network, 2x{_WIDTH} tanh, {n_chains} "
        f"chain{'s' * (n_chains > 1)} of {_WARMUP} + {_DRAWS:,}, depth {_DEPTH}"
    )
    yield measured(
        f"R-hat of k, {what}",
        *(run.r_hat for run in ours),
        theirs=float(np.median([run.r_hat for run in theirs])),
        opponent=opponent,
        at_most=1.01,
    )
    ratios = [mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True)]
    sizes = "; ".join(f"{run.ess:.0f} in {run.seconds:.0f} s, {run.leapfrogs:.0f} leapfrogs a draw" for run in theirs)
    yield Row(
        what=f"effective draws of k a CPU second, warm-up and compilation included, {what}",
        ours=float(np.median([run.rate for run in ours])),
        theirs=float(np.median([run.rate for run in theirs])),
        opponent=f"{opponent} ({sizes})",
        judged="ratio",
        interval=(min(ratios), max(ratios)),
        at_least=50.0,
    )


def _whitened(problem: BoundaryValueProblem, key: int) -> _Sampled:
    started = time.process_time()
    result = pinn.infer(problem, method=_OURS, key=key)
    seconds = time.process_time() - started
    leapfrogs = float(result[schema.SAMPLE_STATS].to_dataset()["n_steps"].mean())
    return _summary(result[schema.POSTERIOR].to_dataset()["k"].values, leapfrogs, seconds)


def _raw(problem: BoundaryValueProblem, key: int, *, n_chains: int) -> _Sampled:
    started = time.process_time()
    with jax.enable_x64(True):
        kernel = NUTS(_model, max_tree_depth=_DEPTH, init_strategy=init_to_sample)
        sampler = MCMC(
            kernel,
            num_warmup=_WARMUP,
            num_samples=_DRAWS,
            num_chains=n_chains,
            chain_method="sequential",
            progress_bar=False,
        )
        sampler.run(jax.random.key(key), problem, extra_fields=("num_steps",))
        k = np.asarray(sampler.get_samples(group_by_chain=True)["k"])
        leapfrogs = float(np.mean(sampler.get_extra_fields()["num_steps"]))
    return _summary(k, leapfrogs, time.process_time() - started)


def _summary(k: Float[np.ndarray, "chain draw"], leapfrogs: float, seconds: float) -> _Sampled:
    # ArviZ has no R-hat of a single chain, which is split here as it splits several.
    chains = k if len(k) > 1 else k.reshape(2, -1)
    return _Sampled(
        r_hat=float(np.asarray(az.rhat(chains))), ess=float(np.asarray(az.ess(k))), leapfrogs=leapfrogs, seconds=seconds
    )


def _model(problem: BoundaryValueProblem) -> None:
    """The B-PINN: weights, k, and what every sensor of the problem observed."""
    layers = []
    for i, (n_inputs, n_outputs) in enumerate(((1, _WIDTH), (_WIDTH, _WIDTH), (_WIDTH, 1))):
        weight = numpyro.sample(f"weight_{i}", dist.Normal(0, 1).expand((n_inputs, n_outputs)).to_event(2))
        bias = numpyro.sample(f"bias_{i}", dist.Normal(0, 1).expand((n_outputs,)).to_event(1))
        layers.append((weight, bias))
    k = numpyro.sample("k", dist.Normal(0.5, 1.0))  # the prior of `bpinn_inverse_1d`

    def u(x: Float[Array, " point"]) -> Float[Array, " point"]:
        hidden = x[:, None]
        for weight, bias in layers[:-1]:
            hidden = jnp.tanh(hidden @ weight + bias)
        weight, bias = layers[-1]
        return (hidden @ weight + bias)[:, 0]

    def u_x(x: Float[Array, " point"]) -> Float[Array, " point"]:
        return jax.jvp(u, (x,), (jnp.ones_like(x),))[1]

    for constraint in problem.constraints:
        assert isinstance(constraint.noise, Measured)
        x = jnp.asarray(constraint.points)[:, 0]
        mean = u(x)
        if constraint.name == "pde":
            mean = 0.01 * jax.jvp(u_x, (x,), (jnp.ones_like(x),))[1] + k * jnp.tanh(mean)
        numpyro.sample(constraint.name, dist.Normal(mean, constraint.noise.sigma), obs=jnp.asarray(constraint.target))
