"""Loops in compiled chunks: the same numbers however they are cut, and after any interruption."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uqkit.errors import RunInterrupted, StoreError
from uqkit.running.scan import DivergedError, fingerprint, run_scan

N_TRACES = []


class Walk(eqx.Module):
    """A random walk that counts how often it is traced."""

    scale: jax.Array
    key: jax.Array

    def __call__(self, state, number):
        N_TRACES.append(1)
        position, n = state["position"], state["n"]
        position = 0.9 * position + self.scale * jax.random.normal(jax.random.fold_in(self.key, number), (3,))
        return {"position": position, "n": n + 1}, {"position": position, "number": number}


def walk(n_steps=23, scale=1.0, chunk_size=5, **settings):
    step = Walk(jnp.asarray(scale), jax.random.key(0))
    start = {"position": jnp.zeros(3), "n": 0}
    return run_scan(step, start, n_steps, chunk_size=chunk_size, label="steps", progress=False, **settings)


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))


def test_a_loop_is_a_loop():
    state, output = walk()
    step, expected = Walk(jnp.asarray(1.0), jax.random.key(0)), {"position": jnp.zeros(3), "n": jnp.asarray(0)}
    for number in range(23):
        expected, _ = step(expected, jnp.asarray(number))
    np.testing.assert_allclose(state["position"], expected["position"], rtol=1e-5)
    assert state["n"] == 23
    assert output["number"].tolist() == list(range(23))
    assert output["position"].shape == (23, 3)
    assert np.array_equal(output["position"][-1], state["position"])
    assert isinstance(output["position"], np.ndarray)


def test_new_arrays_lengths_and_last_chunks_do_not_compile_again():
    walk()
    before = len(N_TRACES)
    walk(scale=2.0, n_steps=31)
    walk(n_steps=4)
    assert len(N_TRACES) == before


@pytest.mark.parametrize("keep_from", [0, 4, 5, 12, 23])
def test_early_outputs_are_thrown_away(keep_from):
    whole, kept = walk()[1], walk(keep_from=keep_from)[1]
    assert same(jax.tree.map(lambda leaf: leaf[keep_from:], whole), kept)
    assert kept["position"].shape == (23 - keep_from, 3)
    assert kept["number"].dtype == whole["number"].dtype


@pytest.mark.parametrize("stop_at", [1, 2, 4])
@pytest.mark.parametrize("keep_from", [0, 7])
def test_an_interrupted_loop_goes_on_to_the_same_bits(tmp_path, monkeypatch, stop_at, keep_from):
    store, chunks, made = tmp_path / "walk.npz", [], []

    def start():
        made.append(1)
        return {"position": jnp.zeros(3), "n": jnp.asarray(0)}

    def run(**settings):
        step = Walk(jnp.asarray(1.0), jax.random.key(0))
        settings = {"chunk_size": 5, "label": "steps", "progress": False, "keep_from": keep_from} | settings
        return run_scan(step, start, 23, identity="walk", **settings)

    def stop(*_):
        chunks.append(1)
        if len(chunks) == stop_at:
            raise KeyboardInterrupt

    monkeypatch.setattr("uqkit.running.scan._check", stop)
    with pytest.raises(RunInterrupted, match=rf"after {5 * (stop_at - 1)} of 23 steps.*walk\.npz.*go on"):
        run(store=store)
    monkeypatch.undo()
    resumed = run(store=store)
    assert same(resumed, run())
    assert same(resumed, run(store=store))  # finished already
    assert list(tmp_path.iterdir()) == [store]


def test_an_interruption_without_a_store_says_what_to_do(monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("uqkit.running.scan._check", stop)
    with pytest.raises(RunInterrupted, match="pass `store=`"):
        walk()


def test_a_longer_loop_goes_on_from_a_shorter_one(tmp_path):
    store = tmp_path / "walk.npz"
    walk(n_steps=12, store=store)
    assert same(walk(store=store), walk())
    with pytest.raises(StoreError, match="holds 23 steps, more than the 12"):
        walk(n_steps=12, store=store)


def test_stores_that_cannot_be_used(tmp_path):
    store = tmp_path / "walk.npz"
    walk(store=store, identity="a")
    before = store.read_bytes()
    with pytest.raises(StoreError, match="belongs to another run"):
        walk(store=store, identity="b")
    with pytest.raises(StoreError, match="does not fit"):
        run_scan(
            lambda state, number: (state, number),
            {"position": jnp.zeros(4), "n": jnp.asarray(0)},
            23,
            chunk_size=5,
            label="steps",
            progress=False,
            store=store,
            identity="a",
        )
    assert store.read_bytes() == before
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(StoreError, match="no checkpoint of uqkit"):
        walk(store=tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(StoreError, match="no checkpoint of uqkit"):
        walk(store=tmp_path / "other.npz")
    with pytest.raises(StoreError, match="does not exist"):
        walk(store=tmp_path / "missing" / "walk.npz")
    with pytest.raises(StoreError, match="is a folder"):
        walk(store=tmp_path)


def test_a_state_that_is_no_number_stops_the_loop_and_spares_the_store(tmp_path):
    def step(state, number):
        return {"x": jnp.where(number < 12, state["x"], jnp.nan)}, state["x"]

    def run(n_steps, **settings):
        start = {"x": jnp.asarray(1.0)}
        settings = {"chunk_size": 5, "label": "steps", "progress": False} | settings
        return run_scan(step, start, n_steps, **settings)

    store = tmp_path / "run.npz"
    with pytest.raises(DivergedError, match=r"between steps 10 and 15 \(\['x'\] of the state is not finite\)"):
        run(20, store=store)
    assert run(10, store=store)[1].shape == (10,)
    with pytest.raises(DivergedError, match="between steps 0 and 5"):
        run(20, is_sound=lambda state: state["x"] > 2)
    assert np.isnan(run(20, is_sound=lambda state: True)[0]["x"])


KILLED = """
import sys
import jax.numpy as jnp
from uqkit.running.scan import run_scan

def step(state, number):
    return 0.9 * state + jnp.sin(number), state

def start():
    return jnp.zeros(3)

if __name__ == "__main__":
    n_steps = int(sys.argv[2])
    state, output = run_scan(
        step, start, n_steps, chunk_size=10, label="steps", progress=False, store=sys.argv[1], identity="killed"
    )
"""


def test_a_killed_process_leaves_a_store_that_goes_on(tmp_path):
    script, store, whole = tmp_path / "killed.py", tmp_path / "run.npz", tmp_path / "whole.npz"
    script.write_text(textwrap.dedent(KILLED))
    process = subprocess.Popen([sys.executable, script, store, "2000000"])
    try:
        while not store.exists():
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(0.1)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    n_done = int(np.load(store)["n_done"])
    assert 0 < n_done < 2_000_000
    for path in (store, whole):
        subprocess.run([sys.executable, script, path, str(n_done + 30)], check=True)
    first, second = np.load(store), np.load(whole)
    assert sorted(first.files) == sorted(second.files)
    assert all(np.array_equal(first[name], second[name]) for name in first.files)
    assert int(first["n_done"]) == n_done + 30


def test_fingerprints_see_content_and_nothing_else():
    key, data = jax.random.key(0), np.arange(3.0)
    one = fingerprint({"n": 3}, key, data)
    assert one == fingerprint({"n": 3}, jax.random.key(0), np.arange(3.0))
    assert one != fingerprint({"n": 4}, key, data)
    assert one != fingerprint({"n": 3}, jax.random.key(1), data)
    assert one != fingerprint({"n": 3}, key, data + 1)
    assert fingerprint(lambda: 0) == fingerprint(lambda: 0)


def test_a_bar_is_shown_when_asked(capfd):
    step = Walk(jnp.asarray(1.0), jax.random.key(0))
    start = {"position": jnp.zeros(3), "n": 0}
    run_scan(step, start, 23, chunk_size=5, label="sweeps", progress=True)
    shown = capfd.readouterr()
    assert "sweeps" in shown.err
    assert "/23" in shown.err
    assert shown.out == ""
