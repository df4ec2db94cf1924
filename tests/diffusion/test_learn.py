"""Scores learned from draws, against mixtures whose scores are known."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.statistical import assert_within_error
from uqkit.diffusion import EDM, VP, GaussianMixture, Schedule, ScoreModel
from uqkit.errors import InputError, StoreError, UqkitWarning
from uqkit.stats import GaussianMixture as Mixture

SCHEDULE = VP(0.1, 12.0)
TIMES = (0.05, 0.2, 0.6)
SMALL: dict[str, Any] = {"widths": (64, 64), "batch_size": 128, "progress": False}


def two_modes() -> Mixture:
    """Unequal weights and spreads, correlated coordinates, and no symmetry."""
    covariance = np.array([[[1.0, 0.5], [0.5, 0.6]], [[0.3, 0.0], [0.0, 0.8]]])
    return Mixture.of(np.array([0.7, 0.3]), np.array([[-1.0, 0.5], [2.5, -1.0]]), covariance)


def draws_of(mixture: Mixture, n: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    chosen = random.choice(mixture.n_components, n, p=mixture.weight)
    factor = np.linalg.cholesky(mixture.covariance)
    return np.asarray(mixture.mean)[chosen] + np.einsum(
        "ndc,nc->nd", factor[chosen], random.standard_normal((n, mixture.dim))
    )


def score_error(model: ScoreModel | GaussianMixture, mixture: Mixture, t: float) -> float:
    """Root mean squared error of the score over noised draws, relative to the score's own size."""
    with jax.enable_x64(True):
        random = np.random.default_rng(1)
        clean = draws_of(mixture, 2000, seed=2)
        alpha, variance = float(model.schedule.alpha(t)), float(model.schedule.variance(t))
        x = jnp.asarray(alpha * clean + np.sqrt(variance) * random.standard_normal(clean.shape))
        exact = jax.vmap(mixture.diffused(jnp.asarray(alpha), jnp.asarray(variance)).score)(x)
        learned = jax.jit(jax.vmap(lambda point: model.score(point, jnp.asarray(t))))(x)
        return float(jnp.sqrt(((learned - exact) ** 2).sum() / (exact**2).sum()))


@pytest.fixture(scope="module")
def fitted() -> ScoreModel:
    return ScoreModel.fit(draws_of(two_modes(), 5000), SCHEDULE, n_steps=1000, key=0, **SMALL)


def as_gaussian(mixture: Mixture) -> GaussianMixture:
    mean, covariance = mixture.moments()
    return GaussianMixture(Mixture.of(np.array([1.0]), mean[None], covariance[None]), SCHEDULE)


def assert_learned(model: ScoreModel, mixture: Mixture) -> None:
    for t, most in zip(TIMES, (0.25, 0.15, 0.06), strict=True):
        assert score_error(model, mixture, t) < most, t


def test_the_score_is_learned(fitted):
    assert_learned(fitted, two_modes())


def test_draws_of_another_law_fail_the_check_above():
    moved = draws_of(two_modes(), 5000) * np.array([1.0, -1.0])
    other = ScoreModel.fit(moved, SCHEDULE, n_steps=1000, key=0, **SMALL)
    with pytest.raises(AssertionError):
        assert_learned(other, two_modes())


def test_training_takes_the_error_off_the_gaussian(fitted):
    for t in (0.05, 0.2):
        gaussian = score_error(as_gaussian(two_modes()), two_modes(), t)
        assert score_error(fitted, two_modes(), t) < 0.5 * gaussian
    training = fitted.training
    assert training is not None
    assert training.n_draws == 4500
    assert training.n_held_out == 500
    assert training.step[-1] == 950
    assert training.loss[-5:].mean() < training.loss[0]
    # The Gaussian's error is zero: much more was learned than the difference of the two sets of draws.
    assert training.held_out_error < -10 * training.gap_error
    assert_within_error(training.held_out_error - training.training_error, training.gap_error, 0.0, max_error=0.03)
    assert not training.overfits


def test_moments_are_those_of_the_draws(fitted):
    draws = draws_of(two_modes(), 5000)
    np.testing.assert_allclose(fitted.mean, draws.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(fitted.covariance, np.cov(draws, rowvar=False), rtol=1e-12)


@pytest.mark.parametrize("schedule", [SCHEDULE, EDM(0.01, 30.0)], ids=["VP", "EDM"])
def test_before_training_the_score_is_the_gaussian_of_the_draws(schedule):
    """Of coordinates in very unlike units, as far as to the last t."""
    factor = np.array([[1e3, 0.0, 0.0], [2.0, 1.5, 0.0], [1e-2, 0.0, 1e-2]])
    draws = np.random.default_rng(0).standard_normal((400, 3)) @ factor.T + np.array([500.0, 0.0, -3.0])
    model = ScoreModel.fit(draws, schedule, n_steps=1, learning_rate=1e-30, key=0, **SMALL)
    with jax.enable_x64(True):
        for t in (schedule.end, 0.3, 1.0):
            mean, covariance = model.noised_moments(t)
            x = draws[:5]
            expected = -np.linalg.solve(np.asarray(covariance), (x - np.asarray(mean)).T).T
            found = jax.jit(jax.vmap(model.score, (0, None)))(jnp.asarray(x), jnp.asarray(t))
            np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_gaussian_draws_give_the_closed_form():
    gaussian = Mixture.of(np.array([1.0]), np.array([[3.0, -1.0]]), np.array([[[2.0, 0.9], [0.9, 0.5]]]))
    model = ScoreModel.fit(draws_of(gaussian, 5000), SCHEDULE, n_steps=1000, key=0, **SMALL)
    assert model.training is not None
    assert not model.training.overfits
    # Moments of 5000 draws are known to about 2%.
    assert max(score_error(model, gaussian, t) for t in TIMES) < 0.08


def test_scores_and_divergences_are_finite_in_double_and_single_precision(fitted):
    far = np.concatenate([draws_of(two_modes(), 20), np.array([[40.0, -40.0]])])
    for wide in (True, False):
        with jax.enable_x64(wide):
            for t in (SCHEDULE.end, 0.1, 1.0):
                x = jnp.asarray(far)
                score, divergence = jax.jit(jax.vmap(fitted.score_and_divergence, (0, None)))(x, jnp.asarray(t))
                assert score.dtype == x.dtype
                assert np.isfinite(score).all()
                assert np.isfinite(divergence).all()


def test_the_divergence_is_that_of_the_score(fitted):
    with jax.enable_x64(True):
        x, t, h = jnp.array([0.3, -0.2]), jnp.asarray(0.1), 1e-2
        found = eqx.filter_jit(fitted.score_and_divergence)(x, t)[1]
        score = eqx.filter_jit(fitted.score)
        steps = h * np.eye(2)
        slopes = [(score(x + step, t) - score(x - step, t)) @ step / (2 * h**2) for step in steps]
        np.testing.assert_allclose(found, sum(slopes), rtol=1e-2)


def test_a_schedule_without_noise_at_its_end_gives_finite_scores():
    schedule = Schedule(lambda t: 1.0 - 0.98 * jnp.asarray(t), lambda t: jnp.asarray(t) ** 2)
    model = ScoreModel.fit(draws_of(two_modes(), 300), schedule, n_steps=20, key=0, **SMALL)
    score, divergence = eqx.filter_jit(model.score_and_divergence)(jnp.array([0.1, 0.2]), jnp.asarray(0.0))
    assert np.isfinite(score).all()
    assert np.isfinite(divergence)


def weights_of(model: ScoreModel) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(model)]


def test_the_same_key_gives_the_same_numbers_and_a_store_goes_on_to_them(tmp_path):
    draws = draws_of(two_modes(), 300)
    store = tmp_path / "training.npz"

    def fit(key: int = 0, **more: Any) -> ScoreModel:
        return ScoreModel.fit(draws, SCHEDULE, n_steps=20, key=key, **(SMALL | more))

    first, again = fit(), fit(store=store)
    with jax.enable_x64(True):
        resumed = fit(store=store)
    for one, two, three in zip(weights_of(first), weights_of(again), weights_of(resumed), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)
    other = fit(key=1)
    assert any((one != two).any() for one, two in zip(weights_of(first), weights_of(other), strict=True))
    with pytest.raises(StoreError):
        fit(store=store, learning_rate=1e-3)


def test_overfitting_is_told():
    draws = np.random.default_rng(0).standard_normal((200, 8))
    with pytest.warns(UqkitWarning, match="held out"):
        model = ScoreModel.fit(draws, SCHEDULE, n_steps=1000, key=0, **SMALL)
    assert model.training is not None
    assert model.training.overfits
    # On other draws it is worse than the Gaussian that it started from.
    assert model.training.held_out_error > 0 > model.training.training_error


def _with(value: float) -> np.ndarray:
    draws = draws_of(two_modes(), 100)
    draws[7, 1] = value
    return draws


CONSTANT = np.column_stack([draws_of(two_modes(), 100), np.full(100, 3.0)])
DEPENDENT = np.column_stack([_with(0.0), _with(0.0).sum(axis=1)])


@pytest.mark.parametrize(
    ("draws", "settings", "match"),
    [
        (np.zeros(100), {}, "shape"),
        (np.zeros((100, 0)), {}, "shape"),
        (_with(1.0).T, {}, "2 rows"),
        (_with(1.0)[:49], {}, "49 rows"),
        (_with(np.nan), {}, "row 7, column 1"),
        (_with(np.inf), {}, "row 7, column 1"),
        (CONSTANT, {}, "column 2 of `draws` is 3 "),
        (DEPENDENT, {}, "linearly"),
        (_with(1.0), {"n_steps": 0}, "n_steps=0"),
        (_with(1.0), {"batch_size": 0}, "batch_size=0"),
        (_with(1.0), {"learning_rate": 0.0}, "learning_rate=0"),
        (_with(1.0), {"widths": ()}, "widths"),
    ],
)
def test_what_cannot_be_learned_is_refused(draws, settings, match):
    with pytest.raises(InputError, match=match):
        ScoreModel.fit(draws, SCHEDULE, key=0, **(SMALL | settings))
