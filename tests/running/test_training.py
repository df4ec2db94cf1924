"""Gradient descent: closed-form paths, records, and the same numbers however it is cut or interrupted."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from uqkit.errors import InputError, RunInterrupted, StoreError
from uqkit.running.scan import DivergedError
from uqkit.running.training import train

N_TRACES = []
CURVATURE = jnp.array([0.5, 1.0, 3.0])
START: Any = {"a": jnp.array([1.0, -2.0, 0.5])}
SGD = optax.sgd(0.1)
ADAM = optax.adam(optax.exponential_decay(1e-2, 10, 0.9))


class Quadratic(eqx.Module):
    """Loss sum(curvature x^2) / 2 with noise on its gradient; carries a running sum of losses."""

    curvature: jax.Array
    noise: float = eqx.field(static=True)

    def __call__(self, weights, carry, key, number):
        N_TRACES.append(1)
        x = weights["a"]
        loss = 0.5 * jnp.sum(self.curvature * x**2)
        slope = {"a": self.curvature * x + self.noise * jax.random.normal(key, x.shape)}
        return slope, carry + loss, {"loss": loss, "number": number, "at": x}


def run(n_steps=24, noise=0.0, optimiser: Any = SGD, key: Any = 0, **settings: Any):
    settings = {"carry": jnp.asarray(0.0), "label": "steps", "progress": False} | settings
    return train(Quadratic(CURVATURE, noise), optimiser, START, n_steps, key=key, **settings)


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))


def test_the_path_is_that_of_gradient_descent_in_closed_form():
    done = run()
    n = np.arange(24)[:, None]
    path = np.asarray(START["a"]) * (1.0 - 0.1 * np.asarray(CURVATURE)) ** n
    loss = 0.5 * (np.asarray(CURVATURE) * path**2).sum(axis=1)
    np.testing.assert_allclose(done.outputs["at"], path, rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(done.outputs["loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(
        done.weights["a"], START["a"] * (1.0 - 0.1 * np.asarray(CURVATURE)) ** 24, rtol=2e-6, atol=1e-7
    )
    assert float(done.carry) == pytest.approx(loss.sum(), rel=1e-5)
    assert isinstance(done.outputs["at"], np.ndarray)


def test_steps_are_those_of_optax_with_the_key_of_each_step():
    done = run(noise=0.3, optimiser=ADAM, record_every=4)
    gradient, state = Quadratic(CURVATURE, 0.3), ADAM.init(START)
    weights: Any = START
    for n in range(24):
        slope, _, _ = gradient(weights, 0.0, jax.random.fold_in(jax.random.key(0), n), n)
        updates, state = ADAM.update(slope, state, weights)
        weights = optax.apply_updates(weights, updates)
    np.testing.assert_allclose(done.weights["a"], weights["a"], rtol=1e-5)


def test_records_are_those_of_every_so_many_steps():
    whole, thinned = run(noise=0.3, optimiser=ADAM), run(noise=0.3, optimiser=ADAM, record_every=6)
    assert thinned.step.tolist() == [0, 6, 12, 18]
    assert thinned.outputs["number"].tolist() == [0, 6, 12, 18]
    np.testing.assert_allclose(thinned.outputs["at"], whole.outputs["at"][::6], rtol=1e-6)
    np.testing.assert_allclose(thinned.weights["a"], whole.weights["a"], rtol=1e-6)
    assert same(thinned.outputs["at"][0], START["a"])


def test_one_key_gives_one_result_whatever_the_chunks():
    settings = {"noise": 0.3, "optimiser": ADAM, "record_every": 2}
    assert same(run(**settings), run(steps_per_chunk=5, **settings))
    assert same(run(**settings), run(key=jax.random.key(0), **settings))
    assert not same(run(**settings).weights, run(key=1, **settings).weights)


@pytest.mark.parametrize("stop_at", [1, 2, 5])
def test_an_interrupted_training_goes_on_to_the_same_bits(tmp_path, monkeypatch, stop_at):
    store, chunks = tmp_path / "run.npz", []
    settings = {"noise": 0.3, "optimiser": ADAM, "record_every": 2, "steps_per_chunk": 4}

    def stop(*_):
        chunks.append(1)
        if len(chunks) == stop_at:
            raise KeyboardInterrupt

    monkeypatch.setattr("uqkit.running.scan._check", stop)
    with pytest.raises(RunInterrupted, match=rf"after {2 * (stop_at - 1)} of 12 steps x 2.*go on"):
        run(store=store, **settings)
    monkeypatch.undo()
    resumed = run(store=store, **settings)
    assert same(resumed, run(**settings))
    assert same(resumed, run(store=store, **settings))  # finished already


def test_a_longer_training_goes_on_from_a_shorter_one(tmp_path):
    settings = {"noise": 0.3, "optimiser": ADAM, "record_every": 4}
    run(n_steps=8, store=tmp_path / "run.npz", **settings)
    assert same(run(store=tmp_path / "run.npz", **settings), run(**settings))


def test_a_store_of_another_training_is_refused(tmp_path):
    store = tmp_path / "run.npz"
    run(store=store, identity="a")
    changes: Any = ({"key": 1}, {"identity": "b"}, {"record_every": 2}, {"carry": jnp.asarray(1.0)})
    for changed in changes:
        with pytest.raises(StoreError, match="belongs to another run"):
            run(store=store, **({"identity": "a"} | changed))


def test_new_starts_and_keys_do_not_compile_again():
    run(noise=0.3)
    before = len(N_TRACES)
    run(noise=0.3, key=3, n_steps=36, carry=jnp.asarray(2.0))
    # Only the shapes of a step's outputs and state are looked up again, outside of the compiled loop.
    assert len(N_TRACES) == before


def test_a_training_that_diverges_stops_and_spares_the_store(tmp_path):
    steep, store = optax.sgd(20.0), tmp_path / "run.npz"
    settings = {"optimiser": steep, "steps_per_chunk": 4, "store": store}
    with pytest.raises(DivergedError, match=r"between steps \d+ and \d+ .*of the state is not finite"):
        run(n_steps=200, **settings)
    assert np.isfinite(run(n_steps=4, store=None, optimiser=steep).weights["a"]).all()
    with np.load(store) as kept:
        assert all(np.isfinite(kept[name]).all() for name in kept.files if name.startswith("state"))


@pytest.mark.parametrize("settings", [{"n_steps": 0}, {"record_every": 0}, {"steps_per_chunk": 0}])
def test_bad_numbers_are_refused(settings):
    with pytest.raises(InputError, match="pass 1 or more of each"):
        run(**settings)


def test_records_that_do_not_divide_the_steps_are_refused():
    with pytest.raises(InputError, match=r"n_steps=24 is no multiple of record_every=5; pass n_steps=25"):
        run(record_every=5)


def test_a_bar_is_shown_when_asked(capfd):
    run(progress=True, record_every=4)
    assert "steps x 4" in capfd.readouterr().err
