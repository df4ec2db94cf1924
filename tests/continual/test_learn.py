"""The learner and its baselines on small streams, where what they do is known."""

import warnings
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import uqkit as uq
from uqkit import InputError, StoreError, Task, TaskStream, UqkitWarning, continual
from uqkit.continual.binary_weights import kl_of_fields
from uqkit.continual.methods import Data, MiniBatches
from uqkit.continual.network import central_limit_logits, cross_entropy, fisher, logits
from uqkit.running.scan import DivergedError

SMALL = {"widths": (64,), "n_epochs": 15, "batch_size": 64}
VARIATIONAL = continual.BinaryVariational(**SMALL, learning_rate=0.1, first_strength=0.05, later_strength=0.2)


@pytest.fixture(scope="module")
def digits():
    return uq.load("permuted_digits", n_tasks=3)


@pytest.fixture(scope="module")
def learned(digits):
    with warnings.catch_warnings(action="ignore", category=UqkitWarning):
        return continual.learn(digits, method=VARIATIONAL, key=0)


def final(result, name="average_accuracy"):
    estimates = result["estimates"].to_dataset()
    return estimates[name].isel(decoder=0).values.ravel()[-1]


@pytest.fixture(scope="module")
def without_memory(digits):
    method = continual.BinaryVariational(**SMALL, learning_rate=0.1, first_strength=0.0, later_strength=0.0)
    with warnings.catch_warnings(action="ignore", category=UqkitWarning):
        return continual.learn(digits, method=method, key=0)


def test_the_prior_keeps_what_plain_training_forgets(learned, without_memory):
    error = np.hypot(final(learned, "average_accuracy_se"), final(without_memory, "average_accuracy_se"))
    assert final(learned) - final(without_memory) > 5 * error
    assert final(learned, "backward_transfer") > final(without_memory, "backward_transfer") + 0.05
    # Both learn each task while it is there.
    for result in (learned, without_memory):
        assert np.diag(result["estimates"].to_dataset()["accuracy"].isel(decoder=0).values).min() > 0.85


def test_summaries_are_means_over_the_matrix(learned):
    estimates = learned["estimates"].to_dataset().isel(decoder=0)
    matrix = estimates["accuracy"].values
    assert estimates["average_accuracy"].values == pytest.approx([matrix[t, : t + 1].mean() for t in range(3)])
    assert float(estimates["learning_accuracy"]) == pytest.approx(np.diag(matrix).mean())
    assert float(estimates["backward_transfer"]) == pytest.approx(
        np.mean([matrix[2, s] - matrix[s, s] for s in (0, 1)])
    )
    assert float(estimates["forgetting"]) == pytest.approx(
        np.mean([matrix[s:, s].max() - matrix[2, s] for s in (0, 1)])
    )
    error = estimates["accuracy_se"].values
    n = 449
    assert error == pytest.approx(np.sqrt(matrix * (1 - matrix) / n))


def test_a_learner_of_a_result_goes_on_as_if_it_had_never_stopped(digits, learned, tmp_path):
    path = uq.results.save(learned, tmp_path / "learned.nc")
    learner = continual.restore(uq.results.load(path), digits)
    x, label = digits.tasks[0].test()
    accuracy = (learner.predict(x, decoder=continual.SignNetwork(), key=0).argmax(1) == label).mean()
    assert accuracy == learned["estimates"].to_dataset()["accuracy"].sel(decoder="sign").values[-1, 0]
    # Step by step with the same keys is the same as the whole stream.
    start_key, *keys = jax.random.split(jax.random.key(0), 4)
    one = continual.begin(digits.tasks[0], n_classes=10, method=VARIATIONAL, key=start_key)
    for task, key in zip(digits.tasks, keys, strict=True):
        one = one.update(task, key=jax.random.split(key)[0])
    for mine, theirs in zip(one.state.weights, learner.state.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    more = learner.update(digits.tasks[0], key=1)
    assert more.tasks == (*digits.names, digits.names[0])
    assert (more.predict(x, key=0).argmax(1) == label).mean() > 0.9


def test_the_one_bit_network_predicts_the_same_from_an_eighth_of_a_byte_a_weight(digits, learned, tmp_path):
    learner = continual.restore(learned)
    network = learner.one_bit()
    assert network.n_weights == 64 * 64 + 64 * 10
    assert network.n_bytes == network.n_weights / 8
    again = continual.OneBitNetwork.load(network.save(tmp_path / "network.npz"))
    x = digits.tasks[1].test()[0]
    exact = learner.predict(x, decoder=continual.SignNetwork())
    np.testing.assert_array_equal(again.predict(x), exact)
    with pytest.raises(InputError, match="rows of 64 inputs"):
        again.predict(x[:, :5])
    (tmp_path / "other.npz").write_bytes(b"no")
    with pytest.raises(StoreError, match="no one-bit network"):
        continual.OneBitNetwork.load(tmp_path / "other.npz")


def test_decoders_agree_and_information_is_higher_where_nothing_was_learned(digits, learned):
    learner = continual.restore(learned)
    x, label = digits.tasks[-1].test()
    passes = learner.predict(x, decoder=continual.CentralLimit(n_passes=100), key=0)
    draws = learner.predict(x, decoder=continual.WeightDraws(n_draws=100), key=0)
    assert np.abs(passes - draws).mean() < 0.02
    assert np.abs(passes.sum(axis=1) - 1).max() < 1e-5
    unseen = np.asarray(jax.random.permutation(jax.random.key(4), x, axis=1))
    inside, outside = (learner.information(rows, key=0) for rows in (x, unseen))
    assert (inside >= 0).all()
    assert (outside[:, None] > inside[None]).mean() > 0.55


def test_a_training_along_a_task_descends_to_the_stated_objective(digits):
    # One layer, all rows a step: the gradient of loss and divergence vanishes on average over passes at the end.
    task = digits.tasks[0]
    method = continual.BinaryVariational(
        widths=(), n_epochs=600, batch_size=2_000, learning_rate=0.1, first_strength=1.0
    )
    learner = continual.begin(task, n_classes=10, method=method, key=0).update(task, key=1)
    x, y = learner.scaling(task.train()[0]), jnp.asarray(task.train()[1])
    fields = learner.state.weights[0]

    def objective(h, key):
        loss = cross_entropy(central_limit_logits((h,), x, key), y)
        return loss + kl_of_fields(h, jnp.zeros_like(h)).sum() / len(y)

    slopes = np.asarray(
        jax.lax.map(lambda key: jax.grad(objective)(fields, key), jax.random.split(jax.random.key(2), 400))
    )
    mean = slopes.mean(0)
    # Steps end at a learning rate of zero, near the point where the mean gradient is zero; without the divergence
    # the same gradient is far from it.
    without = mean - np.asarray((1 - jnp.tanh(fields) ** 2) * fields) / len(y)
    assert np.abs(mean).mean() < 0.2 * np.abs(without).mean()


BASELINES = [
    continual.StraightThrough(**SMALL, initial_sd=0.01),
    continual.Metaplasticity(**SMALL, initial_sd=0.01, consolidation=5.0),
    continual.ElasticWeights(**SMALL, initial_sd=0.01, strength=200.0),
    continual.ElasticWeights(**SMALL, initial_sd=0.01, strength=200.0, decay=0.9),
    continual.ElasticWeights(**SMALL, binary=False, learning_rate=0.05, strength=30.0),
    continual.PublishedRule(widths=(64,), n_epochs=15),
]


@pytest.fixture(scope="module")
def of_baselines(digits):
    with warnings.catch_warnings(action="ignore", category=UqkitWarning):
        return [continual.learn(digits, method=method, key=0) for method in BASELINES]


def test_baselines_learn_each_task_and_guards_keep_more(of_baselines):
    for result in of_baselines:
        assert np.diag(result["estimates"].to_dataset()["accuracy"].isel(decoder=0).values)[0] > 0.85
    plain, _, elastic, online, real, _ = of_baselines
    for guarded in (elastic, online, real):
        assert final(guarded, "backward_transfer") > final(plain, "backward_transfer") + 0.05


def test_baselines_are_restored_and_go_on(digits, of_baselines, tmp_path):
    for method, result in zip(BASELINES, of_baselines, strict=True):
        learner = continual.restore(uq.results.load(uq.results.save(result, tmp_path / "one.nc")), digits)
        assert learner.method == method
        more = learner.update(digits.tasks[0], key=3)
        same = continual.restore(result).update(digits.tasks[0], key=3)
        for one, other in zip(more.state.weights, same.state.weights, strict=True):
            np.testing.assert_array_equal(one, other)
        (tmp_path / "one.nc").unlink()


def test_the_penalty_of_elastic_weights_is_a_quadratic_form_around_each_solution(digits):
    method = continual.ElasticWeights(widths=(), n_epochs=2, binary=False, strength=7.0, n_fisher=10_000)
    learner = continual.begin(digits.tasks[0], n_classes=10, method=method, key=0)
    solutions, informations = [], []
    for number, task in enumerate(digits.tasks[:2]):
        learner = learner.update(task, key=number)
        solutions.append(learner.state.weights[0])
        x = learner.scaling(task.train()[0])
        informations.append(fisher(learner.state.weights, x, jnp.ones(10, bool))[0])
    x, y = digits.tasks[2].train()
    data = Data(learner.scaling(x), jnp.asarray(y), jnp.ones(10, bool), number=2)
    gradient, carry = method.gradient(learner.state, MiniBatches(data, size=len(y)))
    point = (0.3 * jnp.ones_like(solutions[0]),)
    found = gradient(point, carry, jax.random.key(0), jnp.asarray(0))[0][0]

    def penalised(w):
        quadratic = sum((f * (w - s) ** 2).sum() for f, s in zip(informations, solutions, strict=True))
        return cross_entropy(logits((w,), data.x), data.y) + 3.5 * quadratic

    np.testing.assert_allclose(found, jax.grad(penalised)(point[0]), rtol=1e-3, atol=1e-5)


def test_metaplastic_steps_are_damped_towards_zero_alone():
    optimiser = continual.Metaplasticity(consolidation=2.0, learning_rate=0.1).optimiser(1_000)
    weights = (jnp.array([[1.0, 1.0, -0.2]]),)
    steps: Any
    steps, _ = optimiser.update((jnp.array([[1.0, -1.0, -1.0]]),), optimiser.init(weights), weights)
    # Adam's first step has the size of the learning rate.
    expected = 0.1 * np.array([-(1 - np.tanh(2.0) ** 2), 1.0, 1 - np.tanh(0.4) ** 2])
    np.testing.assert_allclose(steps[0][0], expected, rtol=1e-4)


def test_tasks_with_heads_of_their_own_are_never_mixed_up():
    # As many rows in each task, so that one compiled loop serves all.
    tasks = [replace(t, inputs=t.inputs[:260], labels=t.labels[:260]) for t in uq.load("split_digits").tasks[:3]]
    stream = TaskStream(name="pairs", tasks=tasks, n_classes=10)
    result = continual.learn(stream, method=VARIATIONAL, key=0)
    # Two classes each, and the network is told which two.
    assert final(result) > 0.85
    learner = continual.restore(result)
    x, _ = stream.tasks[1].test()
    probability = learner.predict(x, classes=stream.tasks[1].classes)
    assert probability[:, [2, 3]].sum(axis=1) == pytest.approx(1.0)


def test_a_stronger_memory_forgets_less_and_learns_less():
    stream = uq.load("gaussian_blobs", n_tasks=2)

    def learn(strength):
        method = continual.BinaryVariational(widths=(32,), n_epochs=30, batch_size=64, later_strength=strength)
        learner = continual.begin(stream.tasks[0], n_classes=2, method=method, key=0).update(stream.tasks[0], key=1)
        before = learner.state.weights
        after = learner.update(stream.tasks[1], key=2).state.weights
        return sum(float(jnp.abs(a - b).sum()) for a, b in zip(after, before, strict=True))

    travels = [learn(strength) for strength in (0.1, 10.0, 10_000.0)]
    assert travels[0] > travels[1] > travels[2]


def test_a_posterior_that_collapses_or_saturates_is_told_of_with_its_task():
    stream = uq.load("gaussian_blobs", n_tasks=1)
    collapsed = continual.BinaryVariational(widths=(8,), n_epochs=30, first_strength=1_000.0)
    with pytest.warns(UqkitWarning, match=r"after task 'angle 0' layer 0 has collapsed to its prior"):
        continual.learn(stream, method=collapsed, key=0)
    saturated = continual.BinaryVariational(widths=(8,), n_epochs=200, first_strength=0.0, learning_rate=1.0)
    with pytest.warns(UqkitWarning, match=r"after task 'angle 0' layer 1 is saturated"):
        continual.learn(stream, method=saturated, key=0)


def test_a_task_that_was_not_learned_fails():
    rows = np.asarray(jax.random.normal(jax.random.key(0), (400, 5)))
    labels = np.asarray(jax.random.bernoulli(jax.random.key(1), shape=(400,))).astype(int)
    coins = Task(name="coins", inputs=rows[:200], labels=labels[:200], test_inputs=rows[200:], test_labels=labels[200:])
    stream = TaskStream(name="chance", tasks=[coins], n_classes=2)
    with pytest.warns(UqkitWarning, match="task 'coins' was not learned"):
        result = continual.learn(stream, method=continual.BinaryVariational(widths=(8,)), key=0)
    assert result["diagnostics"].to_dataset()["verdict"].item() == "fail"


def test_a_stop_that_is_not_finite_names_task_and_steps():
    stream = uq.load("gaussian_blobs", n_tasks=1)
    method = continual.ElasticWeights(widths=(8,), binary=False, learning_rate=1e30, n_epochs=2)
    with pytest.raises(DivergedError, match="steps of task 'angle 0'"):
        continual.learn(stream, method=method, key=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widths": (0,)}, "above zero"),
        ({"n_epochs": 0}, "n_epochs=0"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0"),
        ({"first_strength": -1.0}, "first_strength=-1.0"),
        ({"later_strength": ()}, "later_strength"),
        ({"memory": 1.5}, "memory=1.5"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        continual.BinaryVariational(**settings)


def test_strengths_of_later_tasks_may_differ():
    method = continual.BinaryVariational(first_strength=0.1, later_strength=(0.2, 0.5))
    assert [method.strength(number) for number in range(4)] == [0.1, 0.2, 0.5, 0.5]


def test_what_cannot_be_learned_from_is_refused_before_training(digits, learned, tmp_path):
    learner = continual.restore(learned)
    narrow = Task(
        name="narrow", inputs=np.ones((4, 5)), labels=[0, 1, 0, 1], test_inputs=np.ones((1, 5)), test_labels=[0]
    )
    with pytest.raises(InputError, match="task 'narrow' has 5 inputs, but the first task has 64"):
        learner.update(narrow, key=0)
    with pytest.raises(InputError, match="rows of 64 inputs"):
        learner.predict(np.ones((3, 5)))
    with pytest.raises(InputError, match="row 1 of `inputs` is not finite"):
        learner.predict(np.where(np.arange(128).reshape(2, 64) == 70, np.nan, 1.0))
    with pytest.raises(InputError, match="FloatNetwork"):
        learner.predict(np.ones((3, 64)), decoder=continual.FloatNetwork())
    with pytest.raises(InputError, match="pass the stream that was learned"):
        continual.restore(learned, uq.load("gaussian_blobs"))
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file; pass a folder"):
        continual.learn(digits, key=0, store=tmp_path / "file")
    constant = Task(
        name="flat", inputs=np.ones((4, 5)), labels=[0, 1, 0, 1], test_inputs=np.ones((1, 5)), test_labels=[0]
    )
    with pytest.raises(InputError, match="all `inputs` of task 'flat' are 1"):
        continual.begin(constant, n_classes=2, method=VARIATIONAL, key=0)


def test_a_store_of_another_key_is_refused(tmp_path):
    stream = uq.load("gaussian_blobs", n_tasks=1)
    method = continual.BinaryVariational(widths=(8,), n_epochs=3)
    continual.learn(stream, method=method, key=0, store=tmp_path / "store")
    with pytest.raises(StoreError):
        continual.learn(stream, method=method, key=1, store=tmp_path / "store")
