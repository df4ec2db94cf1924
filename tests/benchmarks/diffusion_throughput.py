"""Particle steps a second, against the same algorithm in eager, vectorised PyTorch."""

import math
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import torch
from jaxtyping import Float

from tests.benchmarks.comparison import Row
from uqkit.diffusion import VE, GaussianMixture, HeunSampler, sample
from uqkit.problems import load
from uqkit.stats import GaussianMixture as Mixture

__all__ = ["rows"]

_EXPONENT, _N_STEPS, _LOW, _HIGH = 3.0, 100, 0.01, 10.0


def rows(long: bool) -> Iterator[Row]:
    """Forty modes to the power 3, VE noise, Heun steps with exact divergences, in double precision."""
    model = load("gmm_40").mixture
    mean, variance = np.asarray(model.mean) / 50, model.covariance[:, 0, 0] / 2500
    mixture = Mixture.of(model.weight, mean, variance[:, None, None] * np.eye(2))
    target = GaussianMixture(mixture, VE(_LOW, _HIGH)) ** _EXPONENT
    for n_islands, n_particles in ((8, 1_250), *([(8, 12_500)] if long else [])):
        sizes: dict[str, Any] = {"islands": n_islands, "particles": n_particles}
        sample(target, method=HeunSampler(n_steps=_N_STEPS), **sizes, key=0)
        eager(mean, variance, n_islands, n_particles, n_steps=2)
        work = n_islands * n_particles * _N_STEPS
        ours, theirs, level = [], [], np.nan
        for key in range(5):
            started = time.perf_counter()
            sample(target, method=HeunSampler(n_steps=_N_STEPS), **sizes, key=key)
            ours.append(work / (time.perf_counter() - started))
            started = time.perf_counter()
            level = eager(mean, variance, n_islands, n_particles, n_steps=_N_STEPS)
            theirs.append(work / (time.perf_counter() - started))
        with jax.enable_x64(True):
            exact = mixture.diffused(1.0, _LOW**2).power(int(_EXPONENT))[0]
        assert abs(level - exact) < 0.2, "the opponent solves the same problem"
        ratios = np.array(ours) / np.array(theirs)
        yield Row(
            what=f"particle steps a second, 40 modes to the power 3, {n_islands} x {n_particles} particles, {_N_STEPS} "
            "Heun steps, the whole call with results, compiled before; range of 5 runs",
            ours=float(np.median(ours)),
            theirs=float(np.median(theirs)),
            opponent=f"PyTorch {torch.__version__}, eager, float64, {torch.get_num_threads()} threads, no gradients",
            judged="ratio",
            interval=(float(ratios.min()), float(ratios.max())),
            at_least=5.0,
        )


@torch.no_grad()
def eager(
    mean: Float[np.ndarray, "component dim"],
    variance: Float[np.ndarray, " component"],
    n_islands: int,
    n_particles: int,
    n_steps: int,
) -> float:
    """Log normaliser by the mean expert's transport, with Langevin noise, trapezoid weights and resampling."""
    centre, spread = torch.from_numpy(mean), torch.from_numpy(variance)
    beta, dim, log_ratio = _EXPONENT, mean.shape[1], math.log(_HIGH / _LOW)
    moment_mean, moment_variance = centre.mean(0), (spread[:, None] + (centre - centre.mean(0)) ** 2).mean(0)

    def score_and_divergence(x: torch.Tensor, t: float) -> tuple[torch.Tensor, torch.Tensor]:
        total = spread + _LOW**2 * math.exp(2 * t * log_ratio)
        apart = centre - x[..., None, :]
        share = torch.softmax(-0.5 * (apart**2).sum(-1) / total - 0.5 * dim * total.log(), dim=-1)
        slope = apart / total[:, None]
        score = (share[..., None] * slope).sum(-2)
        own = (slope**2).sum(-1) - dim / total
        return score, (share * own).sum(-1) - (score**2).sum(-1)

    def log_density(x: torch.Tensor, t: float) -> torch.Tensor:
        total = spread + _LOW**2 * math.exp(2 * t * log_ratio)
        squared = ((centre - x[..., None, :]) ** 2).sum(-1)
        parts = -0.5 * squared / total - 0.5 * dim * (2 * math.pi * total).log()
        return torch.logsumexp(parts, dim=-1) - math.log(len(spread))

    def rates(x: torch.Tensor, t: float) -> tuple[torch.Tensor, torch.Tensor]:
        half = _LOW**2 * math.exp(2 * t * log_ratio) * log_ratio
        score, divergence = score_and_divergence(x, t)
        growth = half * ((1 / beta - 1) * beta * divergence)
        return half * score * (1 + beta), growth

    start = moment_variance + _HIGH**2
    x = moment_mean + (start / beta).sqrt() * torch.randn(n_islands, n_particles, dim, dtype=torch.float64)
    proposal = -0.5 * (beta * (x - moment_mean) ** 2 / start + (2 * math.pi * start / beta).log()).sum(-1)
    log_weight = beta * log_density(x, 1.0) - proposal
    h = 1.0 / n_steps
    velocity, growth = rates(x, 1.0)
    for number in range(n_steps):
        t, stop = 1 - number * h, 1 - (number + 1) * h
        integral = _LOW**2 * (math.exp(2 * t * log_ratio) - math.exp(2 * stop * log_ratio))
        predicted = x + h * velocity + math.sqrt(integral) * torch.randn_like(x)
        there, _ = rates(predicted, stop)
        x = predicted + 0.5 * h * (there - velocity)
        velocity, after = rates(x, stop)
        log_weight = log_weight + 0.5 * h * (growth + after)
        growth = after
        share = torch.softmax(log_weight, dim=1)
        for island in torch.nonzero(1 / (share**2).sum(1) < 0.5 * n_particles)[:, 0]:
            places = (torch.arange(n_particles) + torch.rand(1)) / n_particles
            chosen = torch.searchsorted(share[island].cumsum(0), places.double()).clamp(max=n_particles - 1)
            level = torch.logsumexp(log_weight[island], 0) - math.log(n_particles)
            x[island], velocity[island], growth[island] = (
                x[island][chosen],
                velocity[island][chosen],
                growth[island][chosen],
            )
            log_weight[island] = level
    return float(torch.logsumexp(log_weight, dim=(0, 1)) - math.log(log_weight.numel()))
