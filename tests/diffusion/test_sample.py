"""Runs of particles against exact references: normalisers and mode masses of powers and products of mixtures."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import uqkit as uq
from tests.callers import without_type_hook
from tests.statistical import assert_within_error
from uqkit.diffusion import (
    VP,
    EulerMaruyamaSampler,
    GaussianMixture,
    HeunSampler,
    HutchinsonDivergence,
    MeanExpertTransport,
    MetropolisPolish,
    RegressionControl,
    Reward,
    ScoreModel,
    WeightedParticles,
    restore,
    sample,
    transport_gap,
)
from uqkit.errors import InputError
from uqkit.running.scan import DivergedError
from uqkit.stats import GaussianMixture as Mixture

# SciPy's stubs take the shape for a number.
norm: Any = stats.norm

SCHEDULE = VP(0.1, 12.0)
END = SCHEDULE.end
WEIGHT = np.array([0.5, 0.3, 0.2])
MEAN = np.array([[-2.0, -1.0], [2.0, 2.0], [2.5, -1.5]])
COVARIANCE = np.array([[[0.6, 0.25], [0.25, 0.4]], [[0.3, -0.1], [-0.1, 0.8]], [[0.2, 0.0], [0.0, 0.25]]])
# One number of steps, islands and particles for all, since a program is compiled for each.
N_STEPS = 32
SIZES: dict[str, Any] = {"islands": 8, "particles": 512}
HEUN, EULER = HeunSampler(n_steps=N_STEPS), EulerMaruyamaSampler(n_steps=N_STEPS)


def mixture() -> Mixture:
    return Mixture.of(WEIGHT, MEAN, COVARIANCE)


def other_mixture() -> Mixture:
    covariance = np.stack([np.eye(2), np.diag([1.5, 0.8])])
    return Mixture.of(np.array([0.35, 0.65]), np.array([[-1.5, 0.0], [2.0, 0.5]]), covariance)


class Swirled(eqx.Module):
    """The score of a mixture, and a rotation that no density has."""

    expert: GaussianMixture
    swirl: Any

    def __call__(self, x: Any, t: Any) -> Any:
        return self.expert.score(x, t) + self.swirl * jnp.array([-x[1], x[0]])


def known_by_score(some: Mixture, swirl: float = 0.0) -> ScoreModel:
    return ScoreModel(Swirled(GaussianMixture(some, SCHEDULE), np.asarray(swirl)), SCHEDULE, *some.moments())


def at_the_end(some: Mixture) -> Mixture:
    with jax.enable_x64(True):
        return GaussianMixture(some, SCHEDULE).noised(END)


@cache
def annealed(exponent: float = 3.0, swirl: float = 0.0, key: int = 0) -> Any:
    return sample(known_by_score(mixture(), swirl) ** exponent, method=HEUN, name="cooled", key=key, **SIZES)


def estimate(result: Any, name: str = "log_normalizer") -> tuple[np.ndarray, np.ndarray]:
    estimates = result["estimates"].to_dataset()
    return estimates[name].values, estimates[f"{name}_se"].values


def particles_of(result: Any) -> WeightedParticles:
    return restore(result, known_by_score(mixture()))


def mode_of(reference: Mixture) -> np.ndarray:
    """The mode of the mixture that each component of a power or product is nearest to, as zeros and ones."""
    apart = np.linalg.norm(np.asarray(reference.mean)[:, None] - MEAN, axis=2)
    return np.eye(len(MEAN))[apart.argmin(axis=1)]


def assert_masses(particles: WeightedParticles, reference: Mixture, max_error: float = 0.02) -> None:
    found = particles.expectation(lambda x: reference.responsibilities(x) @ mode_of(reference))
    expected = reference.weight @ mode_of(reference)
    assert_within_error(found.value, found.standard_error, expected, max_error=max_error)


def assert_exact(result: Any, log_integral: float, reference: Mixture, max_error: float = 0.03) -> None:
    """Normaliser, mode masses, and moments."""
    assert_within_error(*estimate(result), log_integral, max_error=max_error)
    assert_masses(particles_of(result), reference)
    mean, covariance = reference.moments()
    assert_within_error(*estimate(result, "target_mean"), mean, max_error=0.1)
    assert_within_error(*estimate(result, "target_sd"), np.sqrt(np.diag(covariance)), max_error=0.1)


def unweighted(result: Any) -> WeightedParticles:
    found = particles_of(result)
    return WeightedParticles(position=found.position, log_weight=np.zeros_like(found.log_weight))


@pytest.mark.parametrize("exponent", [2, 3])
def test_a_power_is_the_power_of_the_mixture(exponent):
    log_integral, reference = at_the_end(mixture()).power(exponent)
    assert_exact(annealed(float(exponent)), log_integral, reference)
    entropy, error = estimate(annealed(float(exponent)), "renyi_entropy")
    assert_within_error(entropy, error, log_integral / (1 - exponent), max_error=0.03)


def test_without_weights_masses_are_wrong():
    reference = at_the_end(mixture()).power(3)[1]
    assert not annealed()["path"]["resampled"].values.any()
    with pytest.raises(AssertionError):
        assert_masses(unweighted(annealed()), reference)


def test_draws_are_of_the_weights():
    """The posterior's, and those that are drawn anew."""
    reference = at_the_end(mixture()).power(3)[1]
    with jax.enable_x64(True):
        draws = annealed()["posterior"]["x"].values
        near = np.asarray(jax.jit(jax.vmap(jax.vmap(reference.responsibilities)))(jnp.asarray(draws)))
    # An island's own draws do not know its normaliser: that is a ratio of means, biased by less than its error.
    masses = near.mean(axis=1) @ mode_of(reference)
    error = masses.std(axis=0, ddof=1) / np.sqrt(len(masses))
    assert_within_error(masses.mean(axis=0), error, reference.weight @ mode_of(reference), max_error=0.02)
    drawn = particles_of(annealed()).draw(4000, key=0)
    assert drawn.shape == (4000, 2)
    found = particles_of(annealed()).expectation(lambda x: x)
    spread = np.sqrt(drawn.var(axis=0) / 4000 + np.asarray(found.standard_error) ** 2)
    assert_within_error(drawn.mean(axis=0), spread, found.value, max_error=0.1)
    with pytest.raises(InputError, match="n=0: pass at least 1"):
        particles_of(annealed()).draw(0, key=0)


def test_the_same_key_gives_the_same_numbers():
    again = sample(known_by_score(mixture()) ** 3.0, method=HEUN, name="cooled", key=0, **SIZES)
    for group in ("estimates", "posterior", "weighted_sample", "sample_stats", "path"):
        assert again[group].to_dataset().identical(annealed()[group].to_dataset())
    assert estimate(annealed(key=1))[0] != estimate(annealed())[0]


def test_a_product_with_probes_and_a_control_is_the_product_of_the_mixtures():
    method = HeunSampler(n_steps=N_STEPS, control=RegressionControl(), divergence=HutchinsonDivergence(n_probes=2))
    experts = [GaussianMixture(some, SCHEDULE) for some in (mixture(), other_mixture())]
    result = sample(experts[0] * experts[1], method=method, key=0, **SIZES)
    log_integral, reference = at_the_end(mixture()).product(at_the_end(other_mixture()))
    assert_exact(result, log_integral, reference)
    path = result["path"].to_dataset()
    assert (path["expert_conflict"].values > 0).all()
    # Each island's coefficients are those of the others.
    coefficients = path["control_coefficient"].values
    assert (coefficients.std(axis=1)[1:] > 0).all()
    assert np.abs(coefficients).max() < 2
    with pytest.raises(AssertionError):
        assert_masses(unweighted(result), reference)


def test_moving_exponents_end_at_their_product():
    """One expert's log density is known, the other's is followed along the path."""
    one, two = GaussianMixture(mixture(), SCHEDULE), known_by_score(other_mixture())
    target = one ** (lambda t: 2.0 - 0.8 * (t - END)) * two ** (lambda t: 1.0 + 0.5 * (t - END))
    result = sample(target, method=HEUN, key=0, **SIZES)
    log_integral, reference = at_the_end(mixture()).power(2)
    more, reference = reference.product(at_the_end(other_mixture()))
    assert_exact(result, log_integral + more, reference)
    exponents = result["path"].to_dataset()["exponent"].values
    np.testing.assert_allclose(exponents[-1], [2.0, 1.0], rtol=1e-12)
    # What the exponents' motion adds to the weights is not small.
    with pytest.raises(AssertionError):
        assert_masses(unweighted(result), reference)


def tilt(x: Any) -> Any:
    return 0.4 * x[1]


class Above(eqx.Module):
    level: Any

    def __call__(self, x: Any) -> Any:
        return jnp.where(x[0] > self.level, 0.0, -jnp.inf)


def tilted_beyond(level: float) -> Any:
    """A mixture times exp(0.4 x1), which particles follow, where x0 is above a level, which they do not know."""
    wall = Reward(Above(np.asarray(level)), has_gradient=False)
    return GaussianMixture(mixture(), SCHEDULE) * Reward(tilt) * wall


@cache
def beyond(level: float) -> Any:
    return sample(tilted_beyond(level), method=HEUN, key=0, **SIZES)


def test_rewards_with_and_without_gradient_and_walls():
    """Tilted Gaussians have moved means, and the part of one beyond a wall is a normal probability."""
    final = at_the_end(mixture())
    slope = np.array([0.0, 0.4 * (1 - END) ** 2])
    mean, covariance = np.asarray(final.mean), final.covariance
    moved = mean + covariance @ slope
    log_mass = np.log(final.weight) + mean @ slope + 0.5 * np.einsum("i,kij,j->k", slope, covariance, slope)
    standard = (moved[:, 0] - 1.0) / np.sqrt(covariance[:, 0, 0])
    each = np.exp(log_mass) * norm.cdf(standard)
    assert_within_error(*estimate(beyond(1.0)), np.log(each.sum()), max_error=0.06)
    island = beyond(1.0)["path"]["island_log_normalizer"].values[-1]
    np.testing.assert_allclose(np.log(np.exp(island).mean()), estimate(beyond(1.0))[0], rtol=1e-12)
    # Of x0 beyond the wall: the mean of a normal that is cut off.
    cut = moved[:, 0] + np.sqrt(covariance[:, 0, 0]) * norm.pdf(standard) / norm.cdf(standard)
    value, error = estimate(beyond(1.0), "target_mean")
    assert_within_error(value[0], error[0], each @ cut / each.sum(), max_error=0.05)
    position, log_weight = (beyond(1.0)["weighted_sample"][name].values for name in ("input_value", "log_weight"))
    outside = position[..., 0] <= 1.0
    assert outside.any()
    assert (log_weight[outside] == -np.inf).all()
    assert np.isfinite(log_weight[~outside]).all()
    assert (beyond(1.0)["posterior"]["x"].values[..., 0] > 1.0).all()
    for group in ("estimates", "posterior", "path"):
        for values in beyond(1.0)[group].to_dataset().data_vars.values():
            assert not np.isnan(values.values.astype(float)).any()


def test_a_wall_that_no_particle_passes_is_an_error():
    with pytest.raises(DivergedError, match="no particle ended where the target is above zero"):
        beyond(40.0)


@cache
def stepped(swirl: float, **settings: Any) -> Any:
    return sample(known_by_score(mixture(), swirl) ** 3.0, method=EULER, key=0, **SIZES, **settings)


def exact_final(x: Any) -> Any:
    """The cube's log density, up to a constant, with noise of the last t on it."""
    return 3 * at_the_end(mixture()).log_density(x) - 2.0


POLISH = MetropolisPolish(n_steps=20, step_size=0.05)


@cache
def repaired() -> Any:
    return stepped(0.15, final=exact_final, polish=POLISH)


def test_heun_steps_beat_euler_steps():
    log_integral = at_the_end(mixture()).power(3)[0]
    (euler, error), (heun, _) = estimate(stepped(0.0)), estimate(annealed())
    assert abs(euler - log_integral) > 5 * error
    assert abs(euler - log_integral) > 4 * abs(heun - log_integral)


def test_a_known_final_density_repairs_a_wrong_score_and_long_steps():
    log_integral, reference = at_the_end(mixture()).power(3)
    assert_within_error(*estimate(repaired()), log_integral - 2.0, max_error=0.2)
    assert_masses(particles_of(repaired()), reference, max_error=0.05)
    wrong = stepped(0.15)
    with pytest.raises(AssertionError):
        assert_within_error(*estimate(wrong), log_integral, max_error=0.2)
    with pytest.raises(AssertionError):
        assert_masses(particles_of(wrong), reference, max_error=0.05)
    # The integral of a density that is known up to a constant is no entropy.
    assert "renyi_entropy" not in repaired()["estimates"]
    assert "renyi_entropy" in wrong["estimates"]


def test_a_polish_parts_copies_and_keeps_the_density():
    plain, polished = (stepped(0.15, final=exact_final, **more) for more in ({}, {"polish": POLISH}))
    for name in ("estimates", "weighted_sample"):
        assert plain[name].to_dataset().identical(polished[name].to_dataset())
    before, after = (each["posterior"]["x"].values.reshape(-1, 2) for each in (plain, polished))
    assert len(np.unique(before, axis=0)) < 0.5 * len(before)
    assert len(np.unique(after, axis=0)) > 0.99 * len(after)
    # Within the largest mode, where Langevin steps mix in twenty.
    reference = at_the_end(mixture()).power(3)[1]
    largest = int(reference.weight.argmax())
    mean, covariance = np.asarray(reference.mean)[largest], reference.covariance[largest]
    with jax.enable_x64(True):
        near = np.asarray(jax.jit(jax.vmap(reference.responsibilities))(jnp.asarray(after)))
    inside = after[near.argmax(axis=1) == largest]
    error = np.sqrt(np.diag(covariance) / (0.1 * len(inside)))
    assert_within_error(inside.mean(axis=0), error, mean, max_error=0.1)


def test_the_gap_between_transports_tells_a_score_of_no_density():
    same, apart = (
        transport_gap(known_by_score(mixture(), swirl) ** 3.0, method=HEUN, key=0, **SIZES) for swirl in (0.0, 0.4)
    )
    assert_within_error(same.value, same.standard_error, 0.0, max_error=0.05)
    with pytest.raises(AssertionError):
        assert_within_error(apart.value, apart.standard_error, 0.0, max_error=0.05)
    assert same.lower < same.value < same.upper


def test_verdicts_of_runs():
    assert annealed()["diagnostics"]["verdict"].item() == "ok"
    found = annealed(swirl=1.5)["diagnostics"]
    assert found["verdict"].item() != "ok"
    assert "Stein discrepancy" in found["verdict_text"].item()
    assert "Stein" not in repaired()["diagnostics"]["verdict_text"].item()


def test_an_interrupted_run_goes_on_to_the_same_numbers(tmp_path, monkeypatch):
    chunks = []

    def stop(*_):
        chunks.append(1)
        if len(chunks) == 3:
            raise KeyboardInterrupt

    target, store = known_by_score(mixture()) ** 3.0, tmp_path / "run.npz"
    monkeypatch.setattr("uqkit.running.scan._check", stop)
    with pytest.raises(uq.RunInterrupted, match="stopped after 8 of 32 steps"):
        sample(target, method=HEUN, name="cooled", key=0, store=store, **SIZES)
    monkeypatch.undo()
    result = sample(target, method=HEUN, name="cooled", key=0, store=store, **SIZES)
    for group in ("estimates", "posterior", "weighted_sample", "path"):
        assert result[group].to_dataset().identical(annealed()[group].to_dataset())
    for other in ({"target": known_by_score(mixture()) ** 2.0}, {"key": 1}):
        given: Any = {"target": target, "method": HEUN, "key": 0, "store": store} | SIZES | other
        with pytest.raises(uq.StoreError, match="another run"):
            sample(**given)


ON_DEVICES = """
import json, jax
from tests.diffusion.test_sample import HEUN, SIZES, known_by_score, mixture, sample
assert len(jax.devices()) == 4
result = sample(known_by_score(mixture()) ** 3.0, method=HEUN, key=0, devices=4, **SIZES)
weighted = result["weighted_sample"].to_dataset()
print(json.dumps([weighted["input_value"].values.tolist(), weighted["log_weight"].values.tolist()]))
"""


def test_four_devices_give_the_numbers_of_one():
    root = Path(__file__).parents[2]
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(root),
    }
    done = subprocess.run([sys.executable, "-c", ON_DEVICES], env=environment, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    position, log_weight = (np.array(each) for each in json.loads(done.stdout))
    weighted = annealed()["weighted_sample"].to_dataset()
    np.testing.assert_allclose(position, weighted["input_value"], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(log_weight, weighted["log_weight"], rtol=1e-7, atol=1e-9)


def test_a_result_goes_on_to_expectations_of_its_own_target_alone():
    found = particles_of(annealed())
    weight = np.exp(found.log_weight - found.log_weight.max())
    expected = np.einsum("cd,cdi->i", weight, found.position**2) / weight.sum()
    np.testing.assert_allclose(found.expectation(lambda x: x**2).value, expected, rtol=1e-12)
    with pytest.raises(InputError, match="`function` is not finite at the point"):
        found.expectation(lambda x: jnp.log(x[0]))
    line = GaussianMixture(Mixture.of(np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1))), SCHEDULE)
    with pytest.raises(InputError, match="the result has 2 coordinates, the target 1"):
        restore(annealed(), line)
    other = annealed().copy()
    other.attrs["workflow"] = "pinn"
    with pytest.raises(InputError, match="of the workflow 'pinn'; pass one of uqkit.diffusion.sample"):
        restore(other, known_by_score(mixture()))


EXPERT = GaussianMixture(Mixture.of(np.ones(1), np.zeros((1, 2)), np.eye(2)[None]), SCHEDULE)


def scored(function: Any) -> ScoreModel:
    return ScoreModel(function, SCHEDULE, np.zeros(2), np.eye(2))


def rewarded(function: Any, **settings: Any) -> Any:
    return EXPERT * Reward(function, **settings)


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        (scored(lambda x, t: x[0]), {}, r"the score of expert 0 has the shape \(\) for one point; it must be \(2,\)"),
        (scored(lambda x, t: jnp.sum(x, axis=1)), {}, "the score of expert 0 failed: .*with one point and t, in JAX"),
        (scored(lambda x: -x), {}, "the score of expert 0 failed"),
        (scored(lambda x, t: x.nothing), {}, "the score of expert 0 failed"),
        (scored(lambda x, t: -x / t * jnp.nan), {}, r"the score of expert 0 is \[nan nan\] at t=1, x0="),
        (scored(lambda x, t: jnp.where(t < 0.01, -jnp.inf, -x)), {}, r"is \[-inf -inf\] at t=0.001"),
        (rewarded(lambda x: x), {}, r"reward 0 has the shape \(2,\) for one point; it must be \(\)"),
        (rewarded(lambda x: jnp.log(x[0])), {}, "reward 0 is nan|reward 0 is .nan"),
        (rewarded(lambda x: jnp.where(x[0] > 0, 0.0, -jnp.inf)), {}, r"reward 0 is -inf at t=1, x0=-.*has_gradient=F"),
        (rewarded(lambda x: jnp.sqrt(jnp.maximum(x[0], 0.0))), {}, "the gradient of reward 0 is .*nan"),
        (rewarded(lambda x: jnp.where(x[0] > 0, jnp.inf, 0.0), has_gradient=False), {}, "reward 0 is .nan. at t=1"),
        (rewarded(lambda x: jnp.where(x[0] > 0, -9.0, -jnp.inf), has_gradient=False), {}, "which counts as -6 along"),
        (EXPERT**2.0, {"final": lambda x: -x}, r"`final` has the shape \(2,\)"),
        (EXPERT**2.0, {"final": lambda x: jnp.log(x[0])}, "`final` is .nan. at t=0.001, x0=-"),
        (EXPERT**2.0, {"final": 3.0}, "`final` is 3.0; pass a function"),
        (EXPERT**2.0, {"final": lambda x: x[0], "method": HEUN}, "which only EulerMaruyamaSampler"),
        (EXPERT**2.0, {"polish": POLISH}, "pass it as final="),
        (EXPERT**2.0, {"islands": 1}, "islands=1: pass at least 2; errors and intervals"),
        (EXPERT**2.0, {"islands": 4.0}, "islands=4.0: pass a whole number"),
        (EXPERT**2.0, {"particles": 1}, "particles=1: pass at least 2"),
        (EXPERT**2.0, {"particles": "many"}, "particles='many': pass a whole number"),
        (EXPERT**2.0, {"method": HeunSampler}, "pass HeunSampler"),
        (EXPERT**2.0, {"method": "heun"}, "`method` is 'heun'"),
        (EXPERT**2.0, {"coordinates": ["a"]}, "`coordinates` names 1, but the target has 2"),
        (EXPERT**2.0, {"coordinates": ["a", "a"]}, "`coordinates` names 1, but the target has 2"),
        (EXPERT**2.0, {"devices": 99}, "devices=99: JAX sees"),
        (EXPERT**2.0, {"devices": 0}, "devices=0: JAX sees"),
        (EXPERT**2.0, {"devices": []}, "`devices` is empty"),
        (EXPERT**2.0, {"devices": jax.devices()[:1] * 3}, "8 islands cannot be spread evenly over 3 devices"),
        (EXPERT**2.0, {"key": 1.5}, "key"),
        (mixture(), {}, "`target` is a GaussianMixture; pass an expert"),
        (Reward(lambda x: x[0]), {}, "`target` is a Reward"),
        (EXPERT * EXPERT**-2.0, {}, "the exponents -1 sum to -1"),
    ],
)
def test_what_cannot_be_sampled_is_said_before_sampling(target, settings, message, monkeypatch):
    def never(*_, **__):
        raise AssertionError("sampling has begun")

    monkeypatch.setattr("uqkit.diffusion.run.first_particles", never)
    monkeypatch.setattr("uqkit.diffusion.run.run_scan", never)
    given: Any = {"target": target, "key": 0} | settings
    with without_type_hook(), pytest.raises(InputError, match=message):
        sample(**given)


# What the types forbid, too.
ANY: Any = SimpleNamespace(heun=HeunSampler, euler=EulerMaruyamaSampler)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HeunSampler(n_steps=0), "n_steps=0: pass a whole number, at least 1"),
        (lambda: ANY.heun(n_steps=3.5), "n_steps=3.5"),
        (lambda: HeunSampler(langevin=-1.0), "langevin=-1.0"),
        (lambda: HeunSampler(langevin=0.0), "particles of one ancestor would never part"),
        (lambda: ANY.heun(transport=MeanExpertTransport), "transport=<class .*: pass one of uqkit.diffusion, with"),
        (lambda: ANY.euler(control="regression"), "control='regression'"),
        (lambda: ANY.heun(resampling=0.5), "resampling=0.5"),
        (lambda: ANY.heun(divergence=4), "divergence=4"),
        (lambda: MetropolisPolish(n_steps=3), "n_steps=3"),
        (lambda: MetropolisPolish(step_size=0.0), "step_size=0.0"),
    ],
)
def test_what_cannot_be_a_sampler_is_refused(make, message):
    with without_type_hook(), pytest.raises(InputError, match=message):
        make()
