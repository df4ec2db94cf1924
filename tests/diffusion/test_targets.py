"""The algebra of targets: what `**` and `*` mean, and what they refuse."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.callers import without_type_hook
from uqkit.diffusion import EDM, VP, GaussianMixture, HeunSampler, LinearObservations, Product, Reward, ScoreModel
from uqkit.diffusion.checks import check_noise, check_path
from uqkit.errors import InputError, UqkitWarning
from uqkit.stats import GaussianMixture as Mixture

SCHEDULE = VP(0.1, 12.0)


def gaussian(variance: float = 1.0, dim: int = 2, schedule: Any = SCHEDULE, mean: float = 0.0) -> GaussianMixture:
    covariance = variance * np.eye(dim)[None]
    return GaussianMixture(Mixture.of(np.ones(1), np.full((1, dim), mean), covariance), schedule)


A: Any = gaussian(1.0)
B: Any = gaussian(2.0)


PAIR: Any = A * B
# What the types forbid, too.
NOT_A_FUNCTION: Any = 2.0
NO_EXPERT: Any = SCHEDULE


def exponents(target: Any, t: float = 0.25) -> list[float]:
    with jax.enable_x64(True):
        return [float(each) for each in target.exponents_at(t)]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (A**3, [3.0]),
        (A**0.5, [0.5]),
        (A * B, [1.0, 1.0]),
        (A * A, [2.0]),
        (A**2 * B**0.5 * A, [3.0, 0.5]),
        (A * (B * A) ** 2, [3.0, 2.0]),
        ((A**1.5 * B) ** 2.0, [3.0, 2.0]),
        (A**1.5 * B**-0.5, [1.5, -0.5]),
        (A ** (lambda t: 1 + t), [1.25]),
        (A ** (lambda t: 1 + t) * A, [2.25]),
        (A * A ** (lambda t: 1 + t), [2.25]),
        (A ** (lambda t: 1 + t) * A ** (lambda t: t**2), [1.3125]),
        ((A ** (lambda t: 1 + t) * B) ** 2, [2.5, 2.0]),
        (Product([A, B], prior=A), [0.0, 1.0]),
    ],
)
def test_exponents_add_and_multiply(target, expected):
    assert exponents(target) == pytest.approx(expected, abs=1e-14)
    assert target.moves == tuple(callable(each) for each in target.exponents)
    assert (target.dim, target.schedule) == (2, SCHEDULE)


def total_reward(target: Any, t: float) -> float:
    return float(sum(reward.value(jnp.array([2.0, 1.0]), t) for reward in target.rewards))


def test_rewards_multiply_and_are_raised_along():
    one, two = Reward(lambda x: x[0]), Reward.moving(lambda x, t: t * x[1])
    assert total_reward(A * one, 0.5) == pytest.approx(0.25 * 2)
    assert total_reward(one * A, 0.5) == pytest.approx(0.25 * 2)
    assert total_reward(A * one * two, 0.5) == pytest.approx(0.5 + 0.5)
    assert total_reward((A * one) * (B * two), 0.5) == pytest.approx(1.0)
    assert total_reward((A * one * two) ** 3, 0.5) == pytest.approx(3.0)
    assert exponents((A * one) ** 3) == [3.0]
    assert total_reward(A * Reward(lambda x: x[0], lambda t: 1 - t), 0.5) == pytest.approx(1.0)


def test_a_reward_of_minus_infinity_is_its_wall_along_the_path():
    """So that its differences are numbers; whether it is allowed is known beside it."""
    hard = Reward(lambda x: jnp.where(x[0] > 0, 0.0, -jnp.inf), has_gradient=False, wall=-8.0)
    inside, outside = jnp.array([1.0, 0.0]), jnp.array([-1.0, 0.0])
    for t in (0.0, 0.5):
        assert float(hard.value(inside, t)) == 0.0
        assert float(hard.value(outside, t)) == -8.0 * (1 - t) ** 2
    assert float(hard.value(outside, 1.0)) == 0.0
    assert [bool(hard.allows(x, 0.0)) for x in (inside, outside)] == [True, False]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: A**np.nan, "exponent of an expert is nan"),
        (lambda: A**np.inf, "exponent of an expert is inf"),
        (lambda: PAIR ** (lambda t: t), "functions of t are for experts"),
        (lambda: (A * B) ** np.nan, "a target to the power nan"),
        (lambda: A * 3.0, "a target was multiplied by 3.0"),
        (lambda: A * gaussian(dim=3), "experts of 2 and of 3 coordinates have no product"),
        (lambda: A * gaussian(schedule=EDM(0.01, 9.0)), r"noised by VP\(.*by EDM\(.*needs the same"),
        (lambda: Reward(lambda x: x[0]) * Reward(lambda x: x[0]), "a product of rewards alone is no density"),
        (lambda: Reward(NOT_A_FUNCTION), r"Reward\(2.0\): pass a function"),
        (lambda: Reward(lambda x: x[0], wall=-np.inf), "wall=-inf: pass a finite number"),
        (lambda: Reward(lambda x: x[0], lambda t: 1.0), "`rate` is 1 at t=0 and 1 at t=1"),
        (lambda: Reward(lambda x: x[0], lambda t: t), "`rate` is 0 at t=0 and 1 at t=1"),
        (lambda: Product([]), r"Product\(\[\]\): pass at least one expert"),
        (lambda: Product([A, B], prior_exponent=-1), "prior_exponent=-1 without a prior"),
        (lambda: Product([A, NO_EXPERT]), "is no expert; pass a ScoreModel"),
    ],
)
def test_what_has_no_meaning_is_refused(make, message):
    with without_type_hook(), pytest.raises(InputError, match=message):
        make()


def margin(target: Any, n_steps: int = 8) -> np.ndarray:
    return check_path(target, HeunSampler(n_steps=n_steps), target.schedule.times(n_steps))


def expected_margin(own: float, exponent: float, other: float, less: float, t: float) -> float:
    """Of own variance^exponent over other^less, for round Gaussians."""
    with jax.enable_x64(True):
        alpha, noise = float(SCHEDULE.alpha(t)) ** 2, float(SCHEDULE.variance(t))
    whole = exponent / (alpha * own + noise)
    return (whole - less / (alpha * other + noise)) / whole


def test_the_margin_is_the_precision_that_is_left():
    target = A**2.0 * B**-1.5
    for t in (0.0, 0.1, 0.5, 1.0):
        assert target.path_margin(t) == pytest.approx(expected_margin(1.0, 2.0, 2.0, 1.5, t), rel=1e-9)
    expected = [expected_margin(1.0, 2.0, 2.0, 1.5, t) for t in SCHEDULE.times(8)]
    np.testing.assert_allclose(margin(target), expected, rtol=1e-9)
    np.testing.assert_array_equal(margin(A * B**0.5), np.ones(9))


def test_the_margin_is_that_of_the_flattest_direction_and_the_widest_tails():
    """The first expert is narrow in every direction but one, in one of its modes alone."""
    covariance = np.stack([0.5 * np.eye(2), np.diag([0.5, 4.0])])
    expert = GaussianMixture(Mixture.of(np.array([0.9, 0.1]), np.zeros((2, 2)), covariance), SCHEDULE)
    target = expert**2.0 * gaussian(3.0) ** -1.0
    assert target.path_margin(0.0) == pytest.approx(1 - (1 / 3.0) / (2 / 4.0), rel=1e-9)
    assert (expert**2.0 * gaussian(1.5) ** -1.0).path_margin(0.0) < 0


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (A * B**-1.0, "the exponents 1, -1 sum to 0 at t=1;.*no finite integral"),
        (A ** (lambda t: 0.5 - t), "the exponents -0.5 sum to -0.5 at t=1"),
        (B**1.5 * A**-1.0, "an expert with a negative exponent is narrower there"),
        (A ** (lambda t: jnp.log(1.0 - t)), "an exponent is not finite at t=1"),
    ],
)
def test_paths_that_are_not_normalisable_are_refused(target, message):
    with pytest.raises(InputError, match=message):
        margin(target)


def test_a_moving_exponent_makes_such_a_path_normalisable():
    assert margin(B**1.5 * A ** (lambda t: -1.0 * t)).min() > 0.05


def test_nearly_flat_tails_are_warned_about():
    with pytest.warns(UqkitWarning, match=r"tails are nearly flat at t=0.001 \(margin 0.03"):
        margin(B**2.0 * A**-0.97)


def noisy(variance: float, schedule: Any) -> None:
    mean, covariance = np.zeros(2), np.diag([0.1, variance])
    check_noise(ScoreModel(lambda x, t: -x, schedule, mean, covariance) ** 2.0)


def test_too_little_noise_at_the_start_is_warned_about():
    with pytest.warns(UqkitWarning, match=r"at t=1 the noise has the standard deviation 5, the data of expert 0 3:"):
        noisy(9.0, EDM(0.01, 5.0))
    noisy(9.0, EDM(0.01, 6.1))
    # The signal has shrunk to 5% there.
    noisy(9.0, SCHEDULE)
    with pytest.warns(UqkitWarning, match="Take a schedule with more noise"):
        noisy(1000.0, SCHEDULE)
    # A Gaussian stays one.
    check_noise(gaussian(9.0, schedule=EDM(0.01, 5.0)) ** 2.0)


def test_the_likelihood_of_a_noisy_point_is_exact_for_a_gaussian_prior():
    """log of the integral of p(y | x0) p(x0 | x, t) over x0, which is Gaussian in closed form."""
    mean, covariance = np.array([[0.5, -1.0]]), np.array([[[1.0, 0.4], [0.4, 0.6]]])
    prior = GaussianMixture(Mixture.of(np.ones(1), mean, covariance), SCHEDULE)
    operator, data, noise = np.array([[1.0, 2.0]]), np.array([0.7]), np.array([[0.3]])
    reward = LinearObservations(operator, data, noise).reward(prior)
    x, value = np.array([0.2, 0.4]), eqx.filter_jit(reward.value)
    with jax.enable_x64(True):
        for t in (0.0, 0.3, 1.0):
            alpha, variance = float(SCHEDULE.alpha(t)), float(SCHEDULE.variance(t))
            gain = alpha * covariance[0] @ np.linalg.inv(alpha**2 * covariance[0] + variance * np.eye(2))
            clean = mean[0] + gain @ (x - alpha * mean[0])
            left = covariance[0] - gain @ (alpha * covariance[0])
            spread = (operator @ left @ operator.T + noise).item()
            gap = (data - operator @ clean).item()
            expected = -0.5 * (np.log(2 * np.pi * spread) + gap**2 / spread)
            found = value(jnp.asarray(x), jnp.asarray(t))
            assert float(found) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((1, 2)), np.ones(2), np.eye(2)), r"operator has the shape \(1, 2\), data \(2,\)"),
        ((np.ones((1, 2)), np.ones(1), np.eye(2)), r"noise_covariance \(2, 2\)"),
        ((np.ones((1, 2)), np.array([np.nan]), np.eye(1)), "`data` must be finite"),
        ((np.ones((1, 2)), np.ones(1), -np.eye(1)), "`noise_covariance` positive definite"),
    ],
)
def test_observations_that_do_not_fit_are_refused(arguments, message):
    with without_type_hook(), pytest.raises(InputError, match=message):
        LinearObservations(*arguments)
