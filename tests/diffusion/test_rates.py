"""Velocities and weight rates against automatic differentiation of the target's log density."""

from dataclasses import replace
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.callers import without_type_hook
from tests.statistical import assert_within_error
from uqkit.diffusion import (
    EDM,
    VE,
    VP,
    ExactDivergence,
    GaussianMixture,
    HutchinsonDivergence,
    MeanExpertTransport,
    Product,
    Reward,
    Schedule,
    ScoreModel,
    Target,
    TargetTransport,
)
from uqkit.diffusion.rates import rates, velocity
from uqkit.errors import InputError
from uqkit.stats import GaussianMixture as Mixture

# Less work for the compiler; the tests have many small programs that run once.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
DIM = 3
TIMES = np.array([0.15, 0.4, 0.8])
POINTS = np.random.default_rng(0).normal(size=(3, DIM))
SCHEDULES = {
    "VP": VP(0.1, 12.0),
    "VE": VE(0.05, 6.0),
    "EDM": EDM(0.05, 6.0),
    "own": Schedule(lambda t: jnp.cos(1.3 * jnp.asarray(t)), lambda t: jnp.asarray(t) + 0.2 * jnp.asarray(t) ** 2),
}


def mixture(seed: int) -> Mixture:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(2, DIM, DIM))
    covariance = 0.3 * root @ root.transpose(0, 2, 1) + 0.4 * np.eye(DIM)
    return Mixture.of(rng.uniform(0.5, 1.5, 2), rng.normal(size=(2, DIM)), covariance)


def skew(x: Any) -> Any:
    return -0.3 * jnp.sum((x - 0.5) ** 2) + jnp.sin(x[0] + 2 * x[1])


def compositions(schedule: Any) -> dict[str, Target]:
    one, two = (GaussianMixture(mixture(seed), schedule) for seed in (0, 1))
    return {
        "power": one**3.0,
        "product": one**1.7 * two**-0.4,
        "reward": one**2.0 * Reward(skew),
        "moving exponent": one ** (lambda t: 2.0 - 1.5 * t) * two ** (lambda t: jnp.sin(t)),
        "moving reward": one * two * Reward.moving(lambda x, t: (1 - t**3) * skew(x * (1 + t))),
    }


TRANSPORTS = (MeanExpertTransport(factor=0.7), TargetTransport())


def log_density(target: Target, x: Any, t: Any) -> Any:
    """Of the target at t, up to a constant that does not depend on t."""
    own = [expert.log_density(x, t) for expert in target.experts]
    return target.exponents_at(t) @ jnp.stack(own) + sum(reward.value(x, t) for reward in target.rewards)


@cache
def pieces(schedule: str, composition: str) -> dict[str, np.ndarray]:
    """Of G = d/dtau log p + div u + <u, S>, at every place and for every transport: G as it is computed, without what
    moving exponents add; that; and the three terms by automatic differentiation."""
    target, none = compositions(SCHEDULES[schedule])[composition], jnp.zeros(())

    def one(x: Any, t: Any) -> dict[str, Any]:
        logs = jnp.stack([expert.log_density(x, t) for expert in target.experts])
        score, rate = jax.grad(log_density, argnums=(1, 2))(target, x, t)
        found: dict[str, list[Any]] = {"growth": [], "dilation": [], "product": []}
        for transport in TRANSPORTS:

            def transported(point: Any, transport: Any = transport) -> Any:
                return velocity(target, transport, none, point, t)[0]

            found["growth"].append(rates(target, transport, ExactDivergence(), none, x, t, jax.random.key(0)).growth)
            found["dilation"].append(jnp.trace(jax.jacfwd(transported)(x)))
            found["product"].append(transported(x) @ score)
        stacked = {name: jnp.stack(values) for name, values in found.items()}
        moving = -jax.jacfwd(target.exponents_at)(t) @ logs
        return stacked | {"rate": jnp.full(len(TRANSPORTS), -rate), "moving": jnp.full(len(TRANSPORTS), moving)}

    with jax.enable_x64(True):
        found = jax.jit(jax.vmap(one), compiler_options=QUICK)(jnp.asarray(POINTS), jnp.asarray(TIMES))
    return {name: np.asarray(values) for name, values in found.items()}


def assert_balanced(found: dict[str, np.ndarray]) -> None:
    size = 1 + np.abs(found["rate"]) + np.abs(found["dilation"]) + np.abs(found["product"])
    rest = found["growth"] + found["moving"] - found["rate"] - found["dilation"] - found["product"]
    assert np.abs(rest / size).max() < 1e-12


@pytest.mark.parametrize(
    ("schedule", "composition"),
    [
        *(("VP", name) for name in compositions(SCHEDULES["VP"])),
        *((schedule, name) for schedule in ("VE", "EDM", "own") for name in ("moving exponent", "moving reward")),
    ],
)
def test_weights_grow_as_the_density_along_the_flow(schedule, composition):
    """For every transport; and without any one of its parts the formula fails."""
    found = pieces(schedule, composition)
    assert_balanced(found)
    for part in ("growth", "rate", "dilation", "product", *(["moving"] if composition == "moving exponent" else [])):
        for column in range(len(TRANSPORTS)):
            broken = {name: values[:, column] * (name != part) for name, values in found.items()}
            with pytest.raises(AssertionError):
                assert_balanced(broken)


def test_what_controls_add_and_how_experts_move():
    """div b + <b, S> of both fields, d/dtau log q of each expert, the score, Langevin motion, and the conflict."""
    target, transport = compositions(SCHEDULES["VP"])["moving reward"], MeanExpertTransport()

    def one(x: Any, t: Any) -> dict[str, tuple[Any, Any]]:
        key = jax.random.key(0)
        still, moved = (rates(target, transport, ExactDivergence(), jnp.asarray(k), x, t, key) for k in (0.0, 1.5))

        def field(number: int) -> Any:
            return lambda point: velocity(target, transport, jnp.zeros(()), point, t)[2][number]

        score = jax.grad(log_density, argnums=1)(target, x, t)
        growth = [jnp.trace(jax.jacfwd(field(n))(x)) + field(n)(x) @ score for n in range(2)]
        log_rate = [-jax.grad(expert.log_density, argnums=1)(x, t) for expert in target.experts]
        scores = jnp.stack([jax.grad(expert.log_density)(x, t) for expert in target.experts])
        noise = 0.5 * target.schedule.diffusion(t)
        return {
            "score": (still.score, score),
            "controls": (still.control_growth, jnp.stack(growth)),
            "experts": (still.expert_growth, jnp.stack(log_rate)),
            "Langevin": (moved.velocity - still.velocity, 1.5 * noise * score),
            "growth": (moved.growth, still.growth),
            "conflict": (still.conflict, ((scores - scores.mean(axis=0)) ** 2).sum()),
        }

    with jax.enable_x64(True):
        found = jax.jit(jax.vmap(one), compiler_options=QUICK)(jnp.asarray(POINTS), jnp.asarray(TIMES))
    for name, (value, expected) in found.items():
        np.testing.assert_allclose(value, expected, rtol=1e-11, atol=1e-11, err_msg=name)


def test_a_reward_without_gradient_enters_as_a_difference_alone():
    target = GaussianMixture(mixture(0), SCHEDULES["VP"]) ** 2.0 * Reward(skew, has_gradient=False)
    with jax.enable_x64(True):
        x, t, key = jnp.asarray(POINTS[0]), jnp.asarray(0.4), jax.random.key(0)
        with_it, without = (
            eqx.filter_jit(rates)(case, TargetTransport(), None, jnp.ones(()), x, t, key)
            for case in (target, replace(target, rewards=()))
        )
        assert float(with_it.log_reward) == pytest.approx(0.36 * float(skew(x)), rel=1e-12)
    np.testing.assert_array_equal(with_it.velocity, without.velocity)
    np.testing.assert_array_equal(with_it.growth, without.growth)


def test_gaussians_of_one_covariance_have_constant_weights_with_the_mean_expert_alone():
    schedule = SCHEDULES["VP"]
    covariance = mixture(0).covariance[:1]
    experts = [GaussianMixture(Mixture.of(np.ones(1), mean[None], covariance), schedule) for mean in POINTS[:2]]
    target = experts[0] ** 2.0 * experts[1]

    def growth(transport: Any) -> Any:
        def at(x: Any) -> Any:
            return rates(target, transport, ExactDivergence(), jnp.zeros(()), x, jnp.asarray(0.3), jax.random.key(0))

        return jax.vmap(lambda x: at(x).growth)(jnp.asarray(POINTS))

    with jax.enable_x64(True):
        mean, whole = jax.jit(
            lambda: (growth(MeanExpertTransport()), growth(TargetTransport())), compiler_options=QUICK
        )()
    assert np.ptp(mean) < 1e-12 * np.abs(mean).max()
    assert np.ptp(whole) > 0.1


@cache
def probed() -> dict[str, np.ndarray]:
    """Many independent estimates of one divergence, and of an exponential that has it inside."""
    expert = GaussianMixture(mixture(0), SCHEDULES["VP"])
    n, factor = 40_000, 0.4

    def at(key: Any) -> tuple[Any, Any]:
        _, trace, variance = HutchinsonDivergence(n_probes=2).of(expert, jnp.asarray(POINTS[1]), 0.05, key)
        return trace, variance

    with jax.enable_x64(True):
        trace, variance = jax.jit(jax.vmap(at))(jax.random.split(jax.random.key(0), n))
        exact = ExactDivergence().of(expert, jnp.asarray(POINTS[1]), 0.05, jax.random.key(0))[1]
    trace, variance, exact = (np.asarray(each) for each in (trace, variance, exact))
    return {
        "divergence": trace - exact,
        "variance": (trace - exact) ** 2 - variance,
        "debiased": np.exp(factor * (trace - exact) - 0.5 * factor**2 * variance) - 1,
        "not debiased": np.exp(factor * (trace - exact)) - 1,
    }


def assert_mean_zero(values: np.ndarray, max_error: float) -> None:
    assert_within_error(values.mean(), values.std(ddof=1) / np.sqrt(len(values)), 0.0, max_error=max_error)


def test_probes_estimate_the_divergence_and_its_variance_without_bias():
    found = probed()
    assert found["divergence"].std() > 0.1
    assert_mean_zero(found["divergence"], 0.01)
    assert_mean_zero(found["variance"], 0.02)


def test_the_estimated_variance_takes_the_bias_off_an_exponential():
    assert_mean_zero(probed()["debiased"], 0.01)
    with pytest.raises(AssertionError):
        assert_mean_zero(probed()["not debiased"], 0.01)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_drift_and_diffusion_make_the_noised_law(schedule):
    """d alpha / dt = c alpha, d variance / dt = 2 c variance + g^2: the moments' equations of the noising process."""
    noise = SCHEDULES[schedule]
    with jax.enable_x64(True):
        for t in np.linspace(noise.end + 1e-3, 1.0, 7):
            c, diffusion, h = float(noise.drift_rate(t)), float(noise.diffusion(t)), 1e-5
            slope = (float(noise.alpha(t + h)) - float(noise.alpha(t - h))) / (2 * h)
            assert slope == pytest.approx(c * float(noise.alpha(t)), rel=1e-7, abs=1e-9)
            slope = (float(noise.variance(t + h)) - float(noise.variance(t - h))) / (2 * h)
            assert slope == pytest.approx(2 * c * float(noise.variance(t)) + diffusion, rel=1e-7)
            assert diffusion > 0


def test_schedules_in_closed_form():
    with jax.enable_x64(True):
        rate = VP(0.1, 12.0)
        for t in (0.0, 0.3, 1.0):
            integral = 0.1 * t + 5.95 * t**2
            assert float(rate.alpha(t)) == pytest.approx(np.exp(-0.5 * integral), rel=1e-13)
            assert float(rate.variance(t)) == pytest.approx(1 - np.exp(-integral), rel=1e-13)
            assert float(rate.diffusion(t)) == pytest.approx(0.1 + 11.9 * t, rel=1e-10)
            assert float(rate.drift_rate(t)) == pytest.approx(-0.05 - 5.95 * t, rel=1e-10)
        wide = VE(0.05, 6.0)
        assert float(wide.variance(0.5)) == pytest.approx(0.05 * 6.0, rel=1e-13)
        assert float(wide.diffusion(0.5)) == pytest.approx(2 * np.log(120) * 0.3, rel=1e-12)
        for schedule in (wide, EDM(0.05, 6.0)):
            assert [float(schedule.variance(t)) ** 0.5 for t in (0.0, 1.0)] == pytest.approx([0.05, 6.0], rel=1e-12)
            assert float(schedule.alpha(0.7)) == 1.0
            assert float(schedule.drift_rate(0.7)) == 0.0
        levels = np.array([float(EDM(0.05, 6.0, rho=5.0).variance(t)) for t in (0.0, 0.5, 1.0)]) ** 0.1
        assert levels[1] == pytest.approx(0.5 * (levels[0] + levels[2]), rel=1e-12)
    assert (rate.end, wide.end, SCHEDULES["own"].end) == (1e-3, 0.0, 0.0)
    np.testing.assert_allclose(rate.times(4), [1.0, 0.75025, 0.5005, 0.25075, 1e-3])
    assert Schedule(lambda t: 1.0, lambda t: t**2, smallest=0.1).times(2).tolist() == [1.0, 0.55, 0.1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VP(1.0, 0.5), r"VP\(1.0, 0.5\): pass 0 <= beta_min < beta_max"),
        (lambda: VE(0.0, 1.0), r"VE\(sigma_min=0.0, sigma_max=1.0\): pass 0 < sigma_min < sigma_max"),
        (lambda: EDM(1.0, 0.1), "EDM.*pass 0 < sigma_min < sigma_max"),
        (lambda: EDM(0.1, 1.0, rho=0.5), "rho=0.5"),
        (lambda: Schedule(lambda t: 1.0, lambda t: 1.0 - 0.5 * t), r"g\^2=-0.5.*signal to noise must fall"),
        (lambda: Schedule(lambda t: 1.0 - 2.0 * t, lambda t: t), "alpha must be positive"),
        (lambda: Schedule(lambda t: 1.0, lambda t: t, smallest=1.0), r"Schedule\(smallest=1.0\)"),
        (lambda: HutchinsonDivergence(n_probes=1), "n_probes=1: pass at least 2"),
        (lambda: MeanExpertTransport(factor=np.inf), "factor=inf"),
    ],
)
def test_what_cannot_be_a_schedule_or_a_setting_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("schedule", ["VP", "VE", "own"])
def test_every_parametrisation_gives_the_same_score(schedule):
    """Of a mixture whose expected noise, clean point and velocity are known by Tweedie's formula."""
    noise, some = SCHEDULES[schedule], mixture(0)
    exact = GaussianMixture(some, noise)

    def given(x: Any, t: Any) -> tuple[Any, Any, Any]:
        alpha, variance = noise.alpha(t), noise.variance(t)
        clean = (x + variance * exact.score(x, t)) / alpha
        eps = (x - alpha * clean) / jnp.sqrt(variance)
        return eps, clean, alpha * eps - jnp.sqrt(variance) * clean

    mean, covariance = some.moments()
    made = [ScoreModel.from_noise, ScoreModel.from_denoised, ScoreModel.from_velocity]
    models = [make(lambda x, t, k=kind: given(x, t)[k], noise, mean, covariance) for kind, make in enumerate(made)]
    with jax.enable_x64(True):
        x, t = jnp.asarray(POINTS[0]), jnp.asarray(0.3)
        for model in models:
            np.testing.assert_allclose(model.score(x, t), exact.score(x, t), rtol=1e-11)
        wrong = ScoreModel.from_noise(lambda x, t: given(x, t)[1], noise, mean, covariance)
        assert np.abs(wrong.score(x, t) - exact.score(x, t)).max() > 0.1


def test_the_divergence_of_a_function_is_that_of_the_closed_form():
    exact = GaussianMixture(mixture(0), SCHEDULES["VP"])
    model = ScoreModel(exact.score, exact.schedule, *exact.moments())
    with jax.enable_x64(True):
        x, t = jnp.asarray(POINTS[0]), jnp.asarray(0.3)
        for one, other in zip(model.score_and_divergence(x, t), exact.score_and_divergence(x, t), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11)
        for one, other in zip(model.noised_moments(t), exact.noised(t).moments(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11)


def test_models_without_moments_are_refused():
    with without_type_hook():
        for mean, covariance, message in (
            (np.zeros(2), np.eye(3), r"`covariance` has the shape \(3, 3\)"),
            (np.full(2, np.nan), np.eye(2), "must be finite"),
            (np.zeros(2), -np.eye(2), "positive semi-definite"),
        ):
            with pytest.raises(InputError, match=message):
                ScoreModel(lambda x, t: -x, VP(), mean, covariance)


def test_a_product_of_parts_counts_their_prior_once():
    parts = [GaussianMixture(mixture(seed), SCHEDULES["VP"]) for seed in (0, 1, 2)]
    prior = GaussianMixture(mixture(3), SCHEDULES["VP"])
    with jax.enable_x64(True):
        np.testing.assert_array_equal(Product([*parts], prior=prior).exponents_at(0.5), [1, 1, 1, -2])
        own = Product([*parts], prior=prior, prior_exponent=-0.5)
        np.testing.assert_array_equal(own.exponents_at(0.5), [1, 1, 1, -0.5])
        np.testing.assert_array_equal(Product([*parts]).exponents_at(0.5), [1, 1, 1])
