"""Annealed diffusion samplers against closed forms, with the published scheme beside them in the same run.

The published scheme moves with the whole sum of scores, takes Euler-Maruyama steps and resamples systematically at
every step (Skreta et al. 2025, arXiv 2503.02819, and its released code); its number of steps is in each row. Errors are
those of estimates that pool all islands of a key.
"""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float

from models.densities import gaussian_shards, inverse_problem
from tests.benchmarks.comparison import Row, measured, share_within, with_interval
from uqkit.diffusion import (
    VE,
    VP,
    EulerMaruyamaSampler,
    Expert,
    GaussianMixture,
    HeunSampler,
    HutchinsonDivergence,
    LinearObservations,
    Product,
    ScoreModel,
    SystematicResampling,
    Target,
    TargetTransport,
    sample,
    transport_gap,
)
from uqkit.problems import load
from uqkit.stats import GaussianMixture as Mixture

__all__ = ["rows"]

THEIRS = "target transport, Euler-Maruyama, systematic at every step"
_VP = VP(0.1, 12.0)


def rows(long: bool) -> Iterator[Row]:
    """Every claim, as it is measured."""
    n = 32 if long else 16
    yield from _forty_modes(range(16 if long else 4))
    yield from _thirty_dimensions(range(n))
    yield from _shards(range(n))
    yield from _coverage(range(400 if long else 100))
    yield from _discretisation(range(n))
    yield from _inverse_problem(range(n))
    yield from _wrong_score(range(n))
    yield from _learned(range(n))


def published(n_steps: int) -> EulerMaruyamaSampler:
    """The published scheme."""
    return EulerMaruyamaSampler(
        n_steps=n_steps, transport=TargetTransport(), resampling=SystematicResampling(threshold=1.0)
    )


def log_error(result: xr.DataTree, exact: float) -> float:
    """Of the log normaliser."""
    return float(result["estimates"].to_dataset()["log_normalizer"]) - exact


def mode_masses(result: xr.DataTree, reference: Mixture) -> Float[np.ndarray, "chain mode"]:
    """Share of the weight at each component of a mixture, in every island, counted by the islands' normalisers."""
    weighted = result["weighted_sample"].to_dataset()
    with jax.enable_x64(True):
        near = jax.jit(jax.vmap(jax.vmap(reference.responsibilities)))(jnp.asarray(weighted["input_value"].values))
    log_weight = weighted["log_weight"].values
    weight = np.exp(log_weight - log_weight.max())
    return np.einsum("cd,cdm->cm", weight, np.asarray(near)) / weight.mean(axis=0).sum()


def distance(result: xr.DataTree, reference: Mixture) -> float:
    """Total variation between mode masses of all islands together and exact ones."""
    return 0.5 * float(np.abs(mode_masses(result, reference).mean(axis=0) - reference.weight).sum())


def _spread(what: str, errors: list[float], keys: range, most: float, **others: Any) -> Iterator[Row]:
    """Rows of a bias and of a standard deviation over keys."""
    array = np.array(errors)
    bias, interval = with_interval(lambda mean: mean, array)
    yield Row(what=f"log normaliser error, {what}, {len(keys)} keys", ours=bias, interval=interval, **others)
    squared = (array - array.mean()) ** 2 * len(array) / (len(array) - 1)
    sd, interval = with_interval(np.sqrt, squared)
    yield Row(what=f"its standard deviation, {what}", ours=sd, interval=interval, at_most=most)


def _forty_modes(keys: range) -> Iterator[Row]:
    """The forty modes in the setting of the published notebook: positions over 50, VE noise, one island of 10,000."""
    model = load("gmm_40")
    mixture = Mixture.of(model.mixture.weight, np.asarray(model.mixture.mean) / 50, model.mixture.covariance / 2500)
    schedule = VE(0.01, 10.0)
    expert = GaussianMixture(mixture, schedule)
    for exponent in (2, 3):
        with jax.enable_x64(True):
            log_integral, reference = expert.noised(0.0).power(exponent)
        ours, theirs, floor, errors = [], [], [], []
        for key in keys:
            sizes: dict[str, Any] = {"islands": 2, "particles": 10_000, "key": key}
            result = sample(expert ** float(exponent), method=HeunSampler(n_steps=100), **sizes)
            single = mode_masses(result, reference)
            ours.append(_single(single, reference))
            errors.append(result["path"].to_dataset()["island_log_normalizer"].values[-1] - log_integral)
            theirs.append(
                _single(
                    mode_masses(sample(expert ** float(exponent), method=published(1000), **sizes), reference),
                    reference,
                )
            )
            floor.append(_floor(reference, 10_000, key))
        ratio, interval = with_interval(lambda a, b: a / b, np.array(ours), np.array(floor))
        yield Row(
            what=f"mode masses of 40 modes to the power {exponent}, total variation over that of as many exact draws, "
            f"10,000 particles, 100 Heun steps, {2 * len(keys)} islands",
            ours=float(np.mean(ours)),
            theirs=float(np.mean(floor)),
            opponent="independent exact draws",
            judged="ratio",
            interval=interval,
            at_most=1.8,
        )
        ratio, interval = with_interval(lambda a, b: a / b, np.array(ours), np.array(theirs))
        yield Row(
            what=f"the same total variation, power {exponent}",
            ours=float(np.mean(ours)),
            theirs=float(np.mean(theirs)),
            opponent=f"{THEIRS}, 1,000 steps",
            judged="ratio",
            interval=interval,
            at_most=1.0,
        )
        flat = np.concatenate(errors)
        yield from _spread(
            f"40 modes to the power {exponent}, one island of 10,000",
            list(flat),
            keys,
            0.02,
            at_least=-0.02,
            at_most=0.02,
        )


def _single(masses: Float[np.ndarray, "chain mode"], reference: Mixture) -> float:
    """Mean over islands of the total variation of each by itself."""
    own = masses / masses.sum(axis=1, keepdims=True)
    return float(0.5 * np.abs(own - reference.weight).sum(axis=1).mean())


def _floor(reference: Mixture, n: int, key: int) -> float:
    with jax.enable_x64(True):
        drawn = reference.draw(n, key=jax.random.fold_in(jax.random.key(key), 7))
        near = np.asarray(jax.jit(jax.vmap(reference.responsibilities))(drawn))
    return float(0.5 * np.abs(near.mean(axis=0) - reference.weight).sum())


def _thirty_dimensions(keys: range) -> Iterator[Row]:
    expert = GaussianMixture(load("eight_modes", dim=30).mixture, _VP)
    with jax.enable_x64(True):
        log_integral, reference = expert.noised(_VP.end).power(3)
    cases = {
        "exact divergence, 50 Heun steps": HeunSampler(n_steps=50),
        "two probes, 50 Heun steps": HeunSampler(n_steps=50, divergence=HutchinsonDivergence(n_probes=2)),
        f"{THEIRS}, 1,000 steps": published(1000),
    }
    for label, method in cases.items():
        ours = label.endswith("Heun steps")
        # A hundred seconds a key.
        own = keys if ours else keys[: max(2, len(keys) // 8)]
        found = [sample(expert**3.0, method=method, islands=2, particles=1024, key=key) for key in own]
        what = f"eight modes in 30 dimensions to the power 3, 1,024 particles, {label}"
        errors = [
            float(value) - log_integral
            for result in found
            for value in result["path"].to_dataset()["island_log_normalizer"].values[-1]
        ]
        yield from _spread(what, errors, own, 0.05 if ours else np.inf, **(_within(0.1) if ours else {}))
        distances = np.array([_single(mode_masses(result, reference), reference) for result in found])
        value, interval = with_interval(lambda mean: mean, distances)
        yield Row(
            what=f"mode masses, total variation, {what}",
            ours=value,
            interval=interval,
            at_most=0.05 if ours else np.inf,
        )


def _within(most: float) -> dict[str, Any]:
    return {"at_least": -most, "at_most": most}


def _shards(keys: range) -> Iterator[Row]:
    shards = gaussian_shards.shards(n_shards=8, dim=5)
    experts: list[Expert] = [GaussianMixture(shard, _VP) for shard in shards]
    with jax.enable_x64(True):
        noised = [GaussianMixture(shard, _VP).noised(_VP.end) for shard in shards]
        log_integral, reference = noised[0].product(*noised[1:])
    mean, covariance = reference.moments()
    sd = np.sqrt(np.diag(covariance))
    for label, method in (("64 Heun steps", HeunSampler()), (f"{THEIRS}, 1,000 steps", published(1000))):
        ours = label == "64 Heun steps"
        found = [sample(Product(experts), method=method, islands=2, particles=1024, key=key) for key in keys]
        what = f"product of 8 shards in 5 dimensions, 2 x 1,024 particles, {label}"
        errors = [log_error(result, log_integral) for result in found]
        yield from _spread(what, errors, keys, np.inf, **(_within(0.05) if ours else {}))
        estimates = [result["estimates"].to_dataset() for result in found]
        off = np.array([np.abs(each["target_mean"].values - mean) / sd for each in estimates]).mean(axis=1)
        value, interval = with_interval(lambda error: error, off)
        yield Row(
            what=f"error of the mean in posterior standard deviations, {what}",
            ours=value,
            interval=interval,
            at_most=0.05 if ours else np.inf,
        )
        ratio = np.array([(each["target_sd"].values ** 2 / sd**2).mean() for each in estimates])
        value, interval = with_interval(lambda share: share, ratio)
        yield Row(
            what=f"variance over the exact one, {what}",
            ours=value,
            interval=interval,
            at_least=0.95 if ours else -np.inf,
            at_most=1.05 if ours else np.inf,
        )


def _coverage(keys: range) -> Iterator[Row]:
    expert = GaussianMixture(load("four_modes").mixture, _VP)
    other = GaussianMixture(Mixture.of(np.array([0.3, 0.7]), np.array([[0.5, 1.0], [2.0, -1.0]]), _COVARIANCES), _VP)
    with jax.enable_x64(True):
        power = expert.noised(_VP.end).power(3)[0]
        overlap = expert.noised(_VP.end).product(other.noised(_VP.end))[0]
    problem = _problem()
    cases: list[tuple[str, Target, float, dict[str, Any]]] = [
        ("four modes to the power 3", expert**3.0, power, {}),
        ("product of two mixtures", expert * other, overlap, {}),
        ("inverse problem in 10 dimensions, known density", problem[0], problem[1], {"final": problem[2]}),
    ]
    for label, target, exact, more in cases:
        covered = []
        for key in keys:
            result = sample(target, islands=8, particles=256, key=key, **more)
            estimates = result["estimates"].to_dataset()
            covered.append(estimates["log_normalizer_lower"] <= exact <= estimates["log_normalizer_upper"])
        yield share_within(
            f"95% interval of the log normaliser, {label}, 8 x 256 particles, {len(keys)} runs",
            np.array(covered, dtype=bool)[:, None],
            at_least=0.92,
            at_most=0.98,
        )
    baseline = []
    for key in keys[: max(40, len(keys) // 4)]:
        result = sample(expert**3.0, method=published(64), islands=8, particles=256, key=key)
        estimates = result["estimates"].to_dataset()
        baseline.append(estimates["log_normalizer_lower"] <= power <= estimates["log_normalizer_upper"])
    yield share_within(
        f"the same of {THEIRS}, 64 steps, four modes to the power 3, {len(baseline)} runs",
        np.array(baseline, dtype=bool)[:, None],
        at_least=0.0,
    )


_COVARIANCES = np.array([[[0.8, 0.3], [0.3, 0.5]], [[0.5, 0.0], [0.0, 1.2]]])


def _discretisation(keys: range) -> Iterator[Row]:
    expert = GaussianMixture(load("four_modes").mixture, _VP)
    with jax.enable_x64(True):
        exact = expert.noised(_VP.end).power(3)[0]
    for label, method in (("Heun", HeunSampler(n_steps=32)), ("Euler-Maruyama", EulerMaruyamaSampler(n_steps=32))):
        errors = [
            log_error(sample(expert**3.0, method=method, islands=8, particles=1024, key=key), exact) for key in keys
        ]
        required = _within(0.01) if label == "Heun" else {}
        yield from _spread(f"four modes to the power 3, 32 steps, {label}", errors, keys, np.inf, **required)
    two = Mixture.of(np.array([0.35, 0.65]), np.stack([np.full(10, -0.6), np.full(10, 0.5)]), _smooth())
    smooth = GaussianMixture(two, _VP)
    with jax.enable_x64(True):
        exact = smooth.noised(_VP.end).power(2)[0]
    for label, kind, least in (("Heun", HeunSampler, 1.8), ("Euler-Maruyama", EulerMaruyamaSampler, -np.inf)):
        steps = (8, 16)
        bias = [
            np.array(
                [
                    log_error(sample(smooth**2.0, method=kind(n_steps=n), islands=8, particles=4096, key=key), exact)
                    for key in keys
                ]
            )
            for n in steps
        ]
        order, interval = with_interval(lambda coarse, fine: np.log2(np.abs(coarse / fine)), *bias)
        yield Row(
            what=f"order of the log normaliser's bias, {label}, smooth case in 10 dimensions, 8 and 16 steps",
            ours=order,
            interval=interval,
            at_least=least,
        )


def _smooth() -> Float[np.ndarray, "component dim dim"]:
    return np.array([np.diag(np.linspace(0.8, 1.6, 10)), np.diag(np.linspace(1.5, 0.7, 10))])


def _problem() -> tuple[Target, float, Any, Mixture]:
    """Prior times likelihood, its log evidence, its log density without noise, and the exact posterior."""
    prior = GaussianMixture(inverse_problem.prior(), _VP)
    observations = LinearObservations(inverse_problem.OPERATOR, inverse_problem.DATA, inverse_problem.NOISE_COVARIANCE)
    density = inverse_problem.problem
    assert density.mixture is not None
    evidence = float(np.ravel(density.references["log_normalizer"].values)[0])
    return prior * observations.reward(prior), evidence, density.log_density, density.mixture


def _inverse_problem(keys: range) -> Iterator[Row]:
    target, exact, log_density, posterior = _problem()
    for label, more in (("known density", {"final": log_density}), ("Heun, no known density", {})):
        required = label == "known density"
        found = [sample(target, islands=8, particles=1024, key=key, **more) for key in keys]
        errors = [log_error(result, exact) for result in found]
        what = f"evidence of the inverse problem in 10 dimensions, 8 x 1,024 particles, 64 steps, {label}"
        yield from _spread(what, errors, keys, np.inf, **(_within(0.05) if required else {}))
        distances = np.array([distance(result, posterior) for result in found])
        value, interval = with_interval(lambda mean: mean, distances)
        yield Row(what=f"mode masses, total variation, {what}", ours=value, interval=interval, at_most=0.03)


def wrong_expert(mixture: Mixture) -> ScoreModel:
    """A score that is wrong in weights, means and variances, and has a swirl that no density has."""
    shift = np.linspace(-0.3, 0.3, 2 * mixture.n_components).reshape(-1, 2)
    weight = mixture.weight[::-1] + 0.1
    wrong = GaussianMixture(Mixture.of(weight, np.asarray(mixture.mean) + shift, 1.3 * mixture.covariance), _VP)
    return ScoreModel(_Swirled(wrong), _VP, *wrong.moments())


class _Swirled(GaussianMixture):
    def __init__(self, expert: GaussianMixture) -> None:
        self.mixture, self.schedule = expert.mixture, expert.schedule

    def __call__(self, x: Any, t: Any) -> Any:
        return self.score(x, t) + 0.15 * jnp.stack([-x[1], x[0]])


def _wrong_score(keys: range) -> Iterator[Row]:
    mixture = load("four_modes").mixture
    target = wrong_expert(mixture) ** 3.0
    with jax.enable_x64(True):
        exact, reference = mixture.power(3)
    cases: list[tuple[str, dict[str, Any]]] = [
        ("known density", {"final": lambda x: 3 * mixture.log_density(x)}),
        ("none", {}),
    ]
    for label, more in cases:
        found = [sample(target, islands=8, particles=1024, key=key, **more) for key in keys]
        what = f"four modes to the power 3 by a wrong score, 8 x 1,024 particles, 64 steps, final density: {label}"
        z = np.array([log_error(r, exact) / float(r["estimates"].to_dataset()["log_normalizer_se"]) for r in found])
        error = np.array([float(r["estimates"].to_dataset()["log_normalizer_se"]) for r in found])
        required = label == "known density"
        yield measured(
            f"largest log normaliser error in standard errors, {what}",
            float(np.abs(z).max()),
            at_most=5.0 if required else np.inf,
        )
        yield measured(f"largest standard error, {what}", float(error.max()), at_most=0.2 if required else np.inf)
        masses = np.mean([mode_masses(result, reference).mean(axis=0) for result in found], axis=0)
        yield measured(
            f"total variation of the mean mode masses, {what}",
            0.5 * float(np.abs(masses - reference.weight).sum()),
            at_most=0.015 if required else np.inf,
        )


def _learned(keys: range) -> Iterator[Row]:
    mixture = load("four_modes").mixture
    with jax.enable_x64(True):
        drawn = mixture.draw(20_000, key=jax.random.key(0))
        exact, reference = GaussianMixture(mixture, _VP).noised(_VP.end).power(3)
    model = ScoreModel.fit(np.asarray(drawn), _VP, key=0)
    for label, method in (("100 Heun steps", HeunSampler(n_steps=100)), (f"{THEIRS}, 1,000 steps", published(1000))):
        found = [sample(model**3.0, method=method, islands=2, particles=2048, key=key) for key in keys]
        distances = np.array([distance(result, reference) for result in found])
        value, interval = with_interval(lambda mean: mean, distances)
        what = f"score learned from 20,000 draws of four modes, to the power 3, 2 x 2,048 particles, {label}"
        yield Row(
            what=f"mode masses, total variation, {what}",
            ours=value,
            interval=interval,
            at_most=0.03 if "Heun" in label else np.inf,
        )
        errors = [log_error(result, exact) for result in found]
        yield from _spread(what, errors, keys, np.inf)
    gap = transport_gap(model**3.0, method=HeunSampler(n_steps=100), islands=8, particles=2048, key=0)
    yield measured(
        "gap of two transports in standard errors, learned score (seen from 5 on)",
        abs(float(gap.value / gap.standard_error)),
        at_least=5.0,
    )
    exact_gap = transport_gap(
        GaussianMixture(mixture, _VP) ** 3.0, method=HeunSampler(n_steps=100), islands=8, particles=2048, key=0
    )
    yield measured("the same with the exact score", abs(float(exact_gap.value / exact_gap.standard_error)), at_most=5.0)
