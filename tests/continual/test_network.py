"""Passes through a network against draws of weights and derivatives row by row."""

import jax
import jax.numpy as jnp
import numpy as np

from uqkit.continual.binary_weights import SignBernoulli
from uqkit.continual.network import central_limit_logits, cross_entropy, fisher, logits, signs


def _layers(*sizes, sd=1.0, key=0):
    keys = jax.random.split(jax.random.key(key), len(sizes) - 1)
    return tuple(sd * jax.random.normal(k, (a, b)) for k, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True))


def _moments(draw, n):
    found = np.asarray(jax.lax.map(draw, jax.random.split(jax.random.key(1), n)), float)
    mean, sd = found.mean(0), found.std(0, ddof=1)
    return mean, sd, sd / np.sqrt(n), sd / np.sqrt(2 * n)


def test_a_layer_has_the_mean_and_the_variance_of_its_random_signs():
    fields, x = _layers(40, 3), jax.random.normal(jax.random.key(5), (4, 40))
    n = 20_000
    one = _moments(lambda key: central_limit_logits(fields, x, key), n)
    other = _moments(lambda key: logits((SignBernoulli(fields[0]).sample(key),), x), n)
    for place in (0, 1):
        error = np.hypot(one[2 + place], other[2 + place])
        assert (np.abs(one[place] - other[place]) < 5 * error).all()
        assert error.max() < 0.01
    # Without the spread, or with that of a weight of variance 1, the same comparison fails.
    wrong = _moments(lambda key: central_limit_logits((0 * fields[0],), x, key), n)
    assert (np.abs(wrong[1] - other[1]) > 5 * np.hypot(wrong[3], other[3])).any()


def test_deep_networks_agree_with_weight_draws_in_their_probabilities():
    fields, x = _layers(64, 128, 128, 10), jax.random.normal(jax.random.key(5), (20, 64))

    def draw(key):
        keys = jax.random.split(key, 3)
        return jax.nn.softmax(logits(tuple(SignBernoulli(h).sample(k) for h, k in zip(fields, keys, strict=True)), x))

    one = _moments(lambda key: jax.nn.softmax(central_limit_logits(fields, x, key)), 1_000)
    other = _moments(draw, 1_000)
    # The central limit is no exact law: 0.02 is left for what it lacks.
    assert (np.abs(one[0] - other[0]) < 0.02 + 5 * np.hypot(one[2], other[2])).all()


def test_fisher_information_is_the_mean_square_of_the_gradients_of_single_rows_and_labels():
    weights, x = _layers(5, 4, 3), jax.random.normal(jax.random.key(2), (7, 5))
    probability = np.asarray(jax.nn.softmax(logits(weights, x)))

    def gradient(row, label):
        return jax.grad(lambda w: cross_entropy(logits(w, x[row : row + 1]), jnp.array([label])))(weights)

    exact = [np.zeros(weight.shape) for weight in weights]
    for row in range(7):
        for label in range(3):
            for layer, slope in enumerate(gradient(row, label)):
                exact[layer] += probability[row, label] * np.asarray(slope) ** 2 / 7
    for found, expected in zip(fisher(weights, x, jnp.ones(3, bool)), exact, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)


def test_signs_pass_gradients_straight_through():
    value, slope = jax.value_and_grad(lambda w: (signs(w) * jnp.array([2.0, 3.0])).sum())(jnp.array([0.1, -5.0]))
    assert value == -1.0
    assert slope.tolist() == [2.0, 3.0]
