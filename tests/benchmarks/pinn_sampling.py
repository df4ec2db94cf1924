"""NUTS in coordinates whitened by the Laplace approximation: does it mix, what does it cost, do the two agree?

The problem is the inverse one of Yang, Meng & Karniadakis (2021), Journal of Computational Physics 425, who sample the
weights of networks by Hamiltonian Monte Carlo with 50 leapfrog steps a draw.
"""

import time
from collections.abc import Iterator

import arviz as az
import numpy as np

from models.pdes import bpinn_inverse_1d
from tests.benchmarks.comparison import Row, measured
from uqkit import pinn
from uqkit.results import schema

__all__ = ["rows"]

_SAMPLER = pinn.NUTS(n_warmup=300, n_draws=500, n_chains=4)
# B-PINN's trajectories.
_LEAPFROGS_PUBLISHED = 50.0


def rows(long: bool) -> Iterator[Row]:
    """Every claim, as it is measured."""
    for noise in (0.01, 0.1):
        yield from _sampled(noise, 10 if long else 1)


def _sampled(noise: float, n_keys: int) -> Iterator[Row]:
    columns: dict[str, list[float]] = {name: [] for name in ("r_hat", "ess", "leapfrogs", "shift", "seconds")}
    for key in range(n_keys):
        problem = bpinn_inverse_1d.make(noise=noise, key=key)
        started = time.process_time()
        result = pinn.infer(problem, method=_SAMPLER, key=key)
        columns["seconds"].append(time.process_time() - started)
        k = result[schema.POSTERIOR].to_dataset()["k"].values
        columns["r_hat"].append(float(np.asarray(az.rhat(k))))
        columns["ess"].append(float(np.asarray(az.ess(k))))
        columns["leapfrogs"].append(float(result[schema.SAMPLE_STATS].to_dataset()["n_steps"].mean()))
        columns["shift"].append(float(np.abs(result[schema.DIAGNOSTICS].to_dataset()[schema.LAPLACE_SHIFT].values[0])))
    n_draws = _SAMPLER.n_draws * _SAMPLER.n_chains
    what = f"NUTS on 400 whitened features, reaction in 1-D, noise {noise}; {n_keys} data set{'s' * (n_keys > 1)}"
    yield measured(f"R-hat of k, {what}", *columns["r_hat"], at_most=1.01)
    yield measured(f"effective sample size of k in {n_draws:,} draws, {what}", *columns["ess"], at_least=1_000.0)
    yield measured(
        f"leapfrog steps a draw, {what}",
        *columns["leapfrogs"],
        theirs=_LEAPFROGS_PUBLISHED,
        opponent="B-PINN as published, on weights",
        at_most=31.0,
    )
    if noise < 0.05:  # more noise skews the posterior, and the means part
        yield measured(f"|mean of k - Laplace's| in posterior sd, {what}", *columns["shift"], at_most=0.3)
    yield measured(
        f"effective draws of k a CPU second, warm-up and compilation included, {what}",
        *(ess / seconds for ess, seconds in zip(columns["ess"], columns["seconds"], strict=True)),
    )
