import multiprocessing
import sqlite3
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from scipy import stats

from tests.evaluate.worker_models import fails_sometimes, kills_its_worker, slow
from uqkit.errors import EvaluationError, InputError
from uqkit.evaluate import evaluate
from uqkit.problems import ForwardModel

INPUTS = {"a": stats.uniform(0, 1), "b": stats.norm(0, 1)}
POINTS = ForwardModel(slow, inputs=INPUTS).inputs.sample(300, key=0)


def spawned():
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


@contextmanager
def dask():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # distributed's own, about ports and deprecations
        from distributed import Client

        with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None) as client:
            yield client.get_executor(pure=False)


@pytest.mark.parametrize("executor", [lambda: ThreadPoolExecutor(4), spawned, dask], ids=["threads", "spawn", "dask"])
def test_every_executor_gives_the_rows_of_a_plain_loop(executor):
    model = ForwardModel(slow, inputs=INPUTS, version="1")
    with executor() as pool:
        parallel = evaluate(model, POINTS, executor=pool)
    np.testing.assert_array_equal(parallel.values, evaluate(model, POINTS).values)
    assert parallel.n_run == len(POINTS)


def test_failures_in_workers_are_rows_with_their_messages():
    with spawned() as pool:
        evaluations = evaluate(ForwardModel(fails_sometimes, inputs=INPUTS), POINTS, executor=pool)
    bad = np.flatnonzero(POINTS[:, 0] > 0.95)
    assert sorted(evaluations.messages) == bad.tolist()
    assert set(evaluations.messages.values()) == {"ValueError: too large"}


def test_a_killed_worker_loses_nothing_finished(tmp_path):
    store = tmp_path / "run.sqlite"
    model = ForwardModel(kills_its_worker, inputs=INPUTS, version="1")
    with spawned() as pool, pytest.raises(EvaluationError, match="BrokenProcessPool") as caught:
        evaluate(model, POINTS, executor=pool, store=store)
    kept = caught.value.evaluations
    with sqlite3.connect(store) as connection:
        (stored,) = connection.execute("SELECT count(*) FROM evaluations").fetchone()
    assert stored == kept.n_finished
    mended = ForwardModel(lambda x: x[0], inputs=INPUTS, version="1")
    assert evaluate(mended, POINTS, store=store).n_run == len(POINTS) - stored


def test_the_same_point_twice_is_run_twice():
    calls = []
    model = ForwardModel(lambda x: float(len(calls) + (calls.append(1) or 0)), inputs=INPUTS)
    with ThreadPoolExecutor(1) as pool:
        evaluations = evaluate(model, np.ones((50, 2)), executor=pool)
    assert len(calls) == 50
    assert len(np.unique(evaluations.values)) == 50


def test_what_cannot_be_sent_or_would_fork_is_refused():
    with spawned() as pool, pytest.raises(EvaluationError, match="must be importable there"):
        evaluate(ForwardModel(lambda x: x[0], inputs=INPUTS), POINTS, executor=pool)
    fork = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))
    with pytest.raises(InputError, match="mp_context=multiprocessing.get_context"):
        evaluate(ForwardModel(slow, inputs=INPUTS), POINTS, executor=fork)
