"""Claims of the surrogates: converged chains, calibration by simulation, coverage of predictions, limits, cost."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.test_functions import Ackley, Hartmann, Michalewicz
from gpytorch.mlls import ExactMarginalLogLikelihood
from jax.scipy.special import erf
from scipy.stats import qmc

from tests.benchmarks.comparison import Row, measured, share_within, with_interval
from uqkit.bayesopt import (
    DeepKernelGP,
    EnsembleNetwork,
    HMCNetwork,
    LaplaceNetwork,
    LastLayerNetwork,
    PlainTraining,
    WeightPrior,
)
from uqkit.bayesopt.members import MemberSurrogate, members_of
from uqkit.bayesopt.network import NetworkData, NetworkModel
from uqkit.bayesopt.training_data import Encoder, padded_length
from uqkit.inference import NUTS, NumpyroTarget
from uqkit.stats import calibration_ranks, gaussian_mixture_cdf, gaussian_mixture_crps, rank_uniformity

__all__ = ["rows"]

PROBLEMS = {"Hartmann-6": Hartmann(6), "Ackley-10": Ackley(10), "Michalewicz-5": Michalewicz(5)}
N_TRAIN, N_TEST = 60, 400
_SBC_SAMPLER = NUTS(n_warmup=200, n_draws=128, n_chains=2, max_tree_depth=8)


def rows(long: bool) -> Iterator[Row]:
    """Every claim, as it is measured."""
    yield from _converged(5 if long else 1)
    yield from _coverage(10 if long else 3)
    yield from _cost()
    yield _infinite_width()
    yield _simulation_based(100 if long else 20)


def problem_data(name: str, n_train: int, seed: int) -> tuple[Any, Any, Any, np.ndarray]:
    """Scrambled Sobol' points in the unit cube and values there; then 400 test points and their values."""
    function = PROBLEMS[name]
    low, high = function.bounds

    def values(unit: np.ndarray) -> torch.Tensor:
        return function(torch.from_numpy(unit) * (high - low) + low).double()

    train = qmc.Sobol(function.dim, rng=seed).random(256)[:n_train]
    test = qmc.Sobol(function.dim, rng=seed + 1_000).random(512)[:N_TEST]
    return torch.from_numpy(train), values(train).unsqueeze(-1), torch.from_numpy(test), values(test).numpy()


def _converged(n_keys: int) -> Iterator[Row]:
    r_hat, norm, seconds, quick, flagged = [], [], [], [], []
    for key in range(n_keys):
        X, Y, _, _ = problem_data("Hartmann-6", N_TRAIN, key)  # noqa: N806
        HMCNetwork(X, Y, sampler=HMCNetwork.converged, key=key + 100).fit(progress=False)
        started = time.process_time()
        surrogate = HMCNetwork(X, Y, sampler=HMCNetwork.converged, key=key).fit(progress=False)
        seconds.append(time.process_time() - started)
        chains = surrogate.chain_diagnosis()
        assert chains is not None
        r_hat.append(chains.r_hat_95)
        norm.append(chains.weight_norm_ratio)
        loop = HMCNetwork(X, Y, key=key).fit(progress=False).chain_diagnosis()
        paper = HMCNetwork(
            X,
            Y,
            prior=WeightPrior(by_fan_in=False, scale=1, output_scale=1, scale_spread=0, noise_sd=0.1, noise_spread=0),
            key=key,
        ).fit(progress=False)
        quick.append(loop.r_hat_95)  # pyright: ignore[reportOptionalMemberAccess]
        flagged.append(paper.chain_diagnosis().r_hat_95)  # pyright: ignore[reportOptionalMemberAccess]
    of = f"Hartmann-6, n={N_TRAIN}, 2x50, {n_keys} key(s)"
    yield measured(f"R-hat of the function, 95% quantile over points, converged setting, {of}", *r_hat, at_most=1.10)
    yield measured(f"mean squared weight over prior variance, same runs, {of}", *norm, at_least=0.9, at_most=1.1)
    yield measured(f"CPU s of a warm fit, same runs, {of}", *seconds, at_most=60)
    yield measured(f"R-hat of the default (loop) setting, {of}: flagged above 1.1", *quick)
    yield measured(f"R-hat with normal(0, 1) weights without fan-in and short chains, {of}", *flagged, at_least=1.1)


def _coverage(n_seeds: int) -> Iterator[Row]:
    makers: dict[str, tuple[Callable[..., Any], float, float]] = {
        "HMCNetwork": (HMCNetwork.factory(), 0.84, 0.95),
        "LaplaceNetwork": (LaplaceNetwork.factory(), 0.84, 0.95),
        "DeepKernelGP": (DeepKernelGP.factory(), 0.84, 0.95),
        "EnsembleNetwork": (EnsembleNetwork.factory(), 0.80, 1.0),
        "LastLayerNetwork": (LastLayerNetwork.factory(), 0.0, 1.0),
        "plain ensemble": (EnsembleNetwork.factory(training=PlainTraining()), 0.0, 1.0),
    }
    reference = np.array([[_scores(_gp, name, seed)[0] for name in PROBLEMS] for seed in range(n_seeds)])
    for label, (make, least, most) in makers.items():
        found = [[_scores(make, name, seed) for name in PROBLEMS] for seed in range(n_seeds)]
        inside = np.array([np.concatenate([cell[1] for cell in row]) for row in found])
        yield share_within(
            f"coverage of 90% intervals, {label}, {', '.join(PROBLEMS)}, n={N_TRAIN}, {n_seeds} seeds",
            inside,
            at_least=least,
            at_most=most,
        )
        crps = np.array([[cell[0] for cell in row] for row in found])
        ratio, interval = with_interval(np.exp, np.log(crps / reference).mean(axis=1))
        yield Row(
            what=f"CRPS, {label}, geometric mean over the same cells",
            ours=float(np.exp(np.log(crps).mean())),
            theirs=float(np.exp(np.log(crps).mean()) / ratio),
            opponent="SingleTaskGP",
            judged="ratio",
            interval=interval,
        )


def _scores(make: Callable[..., Any], name: str, seed: int) -> tuple[float, np.ndarray]:
    """CRPS in standard deviations of the training outputs, and whether test values lie in central 90% intervals."""
    X, Y, test, value = problem_data(name, N_TRAIN, seed)  # noqa: N806
    surrogate = make(X, Y, key=seed)
    with torch.no_grad():
        if isinstance(surrogate, MemberSurrogate):
            mean = surrogate.posterior(test).values.squeeze(-1).numpy()
            sd = np.sqrt(surrogate.noise_variance().reshape(-1, 1).numpy()) * np.ones_like(mean)
        else:
            posterior = surrogate.posterior(test, observation_noise=True)
            mean, sd = posterior.mean.mT.numpy(), posterior.variance.sqrt().mT.numpy()
    pit = gaussian_mixture_cdf(value, mean, sd)
    return float(gaussian_mixture_crps(value, mean, sd).mean() / Y.std()), np.abs(2 * pit - 1) <= 0.9


def _gp(X: Any, Y: Any, *, key: int) -> SingleTaskGP:  # noqa: N803
    model = SingleTaskGP(X, Y)
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return model


def _cost() -> Iterator[Row]:
    for label, make, most in (
        ("EnsembleNetwork", EnsembleNetwork, 2.5),
        ("LaplaceNetwork", LaplaceNetwork, 1.5),
        ("HMCNetwork, default setting", HMCNetwork, 3.0),
    ):
        for n_rows in (60, 200):
            X, Y, _, _ = problem_data("Hartmann-6", n_rows, 0)  # noqa: N806
            make(X, Y, key=1).fit(progress=False)
            seconds = []
            for key in range(3):
                started = time.process_time()
                make(X, Y, key=key).fit(progress=False)
                seconds.append(time.process_time() - started)
            yield measured(f"CPU s of a warm fit, {label}, n={n_rows}, 3 keys", *seconds, at_most=most)
        X, Y, _, _ = problem_data("Hartmann-6", 60, 0)  # noqa: N806
        yield measured(
            f"programs compiled as n grows from 58 to 60, {label}",
            float(_n_compiled(lambda n, make=make, X=X, Y=Y: make(X[:n], Y[:n], key=0).fit(progress=False))),
            at_most=0,
        )


def _n_compiled(fit: Callable[[int], Any]) -> int:
    fit(58)
    found = []

    def listen(event: str, duration: float, **metadata: Any) -> None:
        if "backend_compile" in event:
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)  # pyright: ignore[reportArgumentType]
    try:
        fit(59)
        fit(60)
    finally:
        jax.monitoring.clear_event_listeners()
    return len(found)


def _infinite_width() -> Row:
    """Posterior mean of one wide hidden layer by NUTS against the Gaussian process that is its limit."""
    rng = np.random.default_rng(0)
    X = torch.from_numpy(np.sort(rng.uniform(size=(20, 1)), axis=0))  # noqa: N806
    Y = torch.sin(6 * X) + 0.3 * torch.cos(17 * X)  # noqa: N806
    prior = WeightPrior(scale=2.0, output_scale=1.0, scale_spread=0, noise_sd=0.2, noise_spread=0)
    sampler = NUTS(n_warmup=200, n_draws=500, n_chains=4, max_tree_depth=8)
    surrogate = HMCNetwork(X, Y, widths=(512,), activation=erf, prior=prior, sampler=sampler, key=0)
    surrogate.fit(progress=False)
    test = torch.linspace(0, 1, 50, dtype=torch.float64).unsqueeze(-1)
    with torch.no_grad():
        found = (surrogate.posterior(test).mean - Y.mean()) / Y.std()
        # Weights and biases of the first layer have the scale 2, those of the last 1.
        columns, points = surrogate.encoder(X), surrogate.encoder(test)

        def covariance(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
            def before(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
                return 4.0 * (1 + a @ b.mT)

            own = [4.0 * (1 + part.square()) for part in (one, other)]
            ratio = 2 * before(one, other) / ((1 + 2 * own[0]) * (1 + 2 * own[1]).mT).sqrt()
            return 1 + 2 / torch.pi * torch.asin(ratio)

        noisy = covariance(columns, columns) + 0.04 * torch.eye(20, dtype=torch.float64)
        target = (Y - Y.mean()) / Y.std()
        exact = covariance(points, columns) @ torch.linalg.solve(noisy, target)
    error = float((found - exact).abs().max() / exact.abs().max())
    return measured(
        "largest difference of the posterior mean, width 512 by NUTS, over the largest value; n=20, 1 key",
        error,
        opponent="the Gaussian process of infinite width (erf)",
        at_most=0.05,
    )


def _simulation_based(n_replicates: int) -> Row:
    """Ranks of the function and the noise at data drawn from the model's own prior."""
    truths, draws = [], []
    X = torch.from_numpy(qmc.Sobol(2, rng=0).random(32)[:20])  # noqa: N806
    for replicate in range(n_replicates):
        truth, drawn = _replicate(X, replicate)
        truths.append(truth)
        draws.append(drawn)
    ranks = calibration_ranks(np.array(truths), np.array(draws).T, rng=np.random.default_rng(0))
    uniform = rank_uniformity(ranks, len(draws[0]))
    return Row(
        what=f"p-value of uniform ranks of the function at a point, 2x10, n=20, {n_replicates} replicates",
        ours=uniform.ecdf_p,
        interval=(uniform.ecdf_p, uniform.ecdf_p),
        at_least=0.01,
    )


def _replicate(X: Any, replicate: int) -> tuple[float, np.ndarray]:  # noqa: N803
    rng = np.random.default_rng(replicate)
    network = NetworkModel(n_inputs=2, n_columns=2, n_outputs=1, widths=(10, 10))
    columns = np.zeros((padded_length(len(X)), 2))
    columns[: len(X)] = Encoder(X, {})(X).numpy()
    present = (np.arange(len(columns)) < len(X)).astype(float)
    with jax.enable_x64(True):
        scales = np.exp(
            np.log([network.prior.scale, network.prior.scale, network.prior.output_scale])
            + network.prior.scale_spread * rng.standard_normal(3)
        )
        sites = network.named(jnp.asarray(scales), jnp.asarray(rng.standard_normal(network.n_weights)))
        values = np.asarray(network.values(sites, jnp.asarray(columns)))
        noise_sd = network.prior.noise_sd * np.exp(network.prior.noise_spread * rng.standard_normal())
        outputs = values + noise_sd * rng.standard_normal(values.shape)
        data = NetworkData(jnp.asarray(columns), jnp.asarray(outputs), jnp.asarray(present), None)
        target = NumpyroTarget.of(network, data, key=0)
        members = members_of(_SBC_SAMPLER.sample(target, key=replicate, progress=False, warn=False), target)
        drawn = jax.lax.map(lambda one: network.values(one, jnp.asarray(columns[:1]))[0, 0], dict(members))
    return float(values[0, 0]), np.asarray(drawn)[::8]
