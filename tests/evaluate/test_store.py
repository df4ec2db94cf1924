"""The store: finished rows are found again, by the model's version and the point, and never mixed up."""

import sqlite3
import warnings

import numpy as np
import numpyro.distributions as dist
import pytest

from uqkit import EvaluationError, FailurePolicy, ForwardModel, RunInterrupted, StoreError, UqkitWarning
from uqkit.evaluate import Evaluations, Journal, evaluate

INPUTS = {"a": dist.Uniform(0.0, 1.0), "b": dist.Uniform(0.0, 1.0)}
POINTS = np.random.default_rng(0).random((30, 2))


class Counted:
    """A model that counts its calls, and can be told where to fail or to be stopped."""

    def __init__(self, *, version="1", stop_at=None, names=("a", "b"), failing=False):
        self.calls = []
        self.stop_at, self.failing = stop_at, failing
        self.model = ForwardModel(
            self.run, inputs={name: INPUTS["a"] for name in names}, outputs=("u", "v"), version=version
        )

    def run(self, x):
        if len(self.calls) == self.stop_at:
            raise KeyboardInterrupt
        self.calls.append(tuple(x))
        if self.failing and len(self.calls) == 3:
            raise ValueError("third call")
        return {"u": np.sin(x[0]), "v": np.nan if self.failing and len(self.calls) == 4 else x[1] / 3}


def known(points=POINTS):
    return np.column_stack([np.sin(points[:, 0]), points[:, 1] / 3])


@pytest.fixture
def store(tmp_path):
    return tmp_path / "rows.sqlite"


def test_a_second_run_calls_nothing(store):
    first, second = Counted(), Counted()
    one = evaluate(first.model, POINTS, store=store)
    two = evaluate(second.model, POINTS, store=str(store))
    assert len(first.calls) == 30
    assert second.calls == []
    np.testing.assert_array_equal(one.values, known())
    np.testing.assert_array_equal(two.values, one.values)
    assert (one.n_run, one.n_reused) == (30, 0)
    assert (two.n_run, two.n_reused) == (0, 30)


def test_further_points_are_added_in_any_order(store):
    evaluate(Counted().model, POINTS[:20], store=store)
    second = Counted()
    rows = evaluate(second.model, POINTS[::-1].copy(), store=store)
    assert sorted(second.calls) == sorted(map(tuple, POINTS[20:]))
    np.testing.assert_array_equal(rows.values, known(POINTS[::-1]))


def test_failed_rows_are_kept_with_their_text(store):
    policy = FailurePolicy(max_failed_share=0.5)
    one = evaluate(Counted(failing=True).model, POINTS, store=store, failures=policy)
    second = Counted()
    two = evaluate(second.model, POINTS, store=store, failures=policy)
    assert second.calls == []
    np.testing.assert_array_equal(two.status, one.status)
    np.testing.assert_array_equal(two.values, one.values)
    assert two.messages == one.messages == {2: "ValueError: third call", 3: "output 'v' is nan"}
    with pytest.raises(EvaluationError, match="run at point 2 .*third call"):
        evaluate(Counted().model, POINTS, store=store, failures=FailurePolicy(on_error="raise"))


def test_rows_finished_before_a_raised_failure_are_kept(store):
    with pytest.raises(EvaluationError, match="third call"):
        evaluate(Counted(failing=True).model, POINTS, store=store, failures=FailurePolicy(on_error="raise"))
    with Journal(store) as journal:
        assert journal.versions() == {"1": 3}


def test_another_version_reuses_nothing_and_says_so(store):
    evaluate(Counted().model, POINTS, store=store)
    other = Counted(version="2")
    with pytest.warns(UqkitWarning, match="holds 30 evaluations of another version"):
        rows = evaluate(other.model, POINTS, store=store)
    assert len(other.calls) == 30
    assert rows.n_reused == 0


def test_other_names_of_inputs_reuse_nothing(store):
    evaluate(Counted().model, POINTS, store=store)
    swapped = Counted(names=("b", "a"))
    evaluate(swapped.model, POINTS, store=store)
    assert len(swapped.calls) == 30


def test_a_changed_function_reuses_nothing(store):
    def made(factor):
        return ForwardModel(lambda x: factor * x[0], inputs=INPUTS)

    evaluate(made(1), POINTS, store=store)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UqkitWarning)
        rows = evaluate(made(2), POINTS, store=store)
    np.testing.assert_array_equal(rows.values[:, 0], 2 * POINTS[:, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UqkitWarning)
        assert evaluate(made(1), POINTS, store=store).n_reused == 30


def test_a_model_without_version_is_refused_with_a_store(store):
    generator = (number for number in range(3))
    model = ForwardModel(lambda x: x[0] + next(generator), inputs=INPUTS)
    with pytest.raises(StoreError, match=r"cannot be hashed.*ForwardModel\(\.\.\., version="):
        evaluate(model, POINTS[:3], store=store)
    assert not store.exists()
    assert evaluate(model, POINTS[:3]).n_run == 3


def test_repeats_of_a_point_are_evaluated_each_and_found_each(store):
    points = np.repeat(POINTS[:2], 3, axis=0)
    calls = []

    def noisy(x):
        calls.append(1)
        return float(len(calls))

    model = ForwardModel(noisy, inputs=INPUTS, version="1")
    one = evaluate(model, points, store=store)
    np.testing.assert_array_equal(one.values[:, 0], np.arange(1.0, 7.0))
    two = evaluate(model, points, store=store)
    assert len(calls) == 6
    np.testing.assert_array_equal(two.values, one.values)
    three = evaluate(model, np.repeat(POINTS[:1], 4, axis=0), store=store)
    np.testing.assert_array_equal(three.values[:, 0], [1.0, 2.0, 3.0, 7.0])
    assert three.n_reused == 3


def test_an_interrupted_run_keeps_its_rows():
    stopped = Counted(stop_at=12)
    with pytest.raises(RunInterrupted, match=r"stopped after 12 of 30 evaluations; .* With a store") as caught:
        evaluate(stopped.model, POINTS)
    rows = caught.value.evaluations
    assert isinstance(rows, Evaluations)
    assert (rows.n_finished, rows.n_run) == (12, 12)
    np.testing.assert_array_equal(rows.values[:12], known()[:12])
    assert isinstance(caught.value, KeyboardInterrupt)


def test_an_interrupted_run_resumes(store):
    stopped, resumed = Counted(stop_at=12), Counted()
    with pytest.raises(RunInterrupted, match="they are in .*rows.sqlite.*: run the same call again"):
        evaluate(stopped.model, POINTS, store=store)
    rows = evaluate(resumed.model, POINTS, store=store)
    assert stopped.calls + resumed.calls == list(map(tuple, POINTS))
    assert (rows.n_reused, rows.n_run) == (12, 18)
    np.testing.assert_array_equal(rows.values, known())


def refused(path, message):
    counted = Counted()
    with pytest.raises(StoreError, match=message):
        evaluate(counted.model, POINTS, store=path)
    assert counted.calls == []


def test_a_folder_is_no_store(tmp_path):
    refused(tmp_path, "store .* cannot be opened")


def test_a_store_in_a_missing_folder(tmp_path):
    refused(tmp_path / "missing" / "rows.sqlite", "the folder .*missing' does not exist")


def test_a_file_that_is_not_sqlite_is_left_as_it_is(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be mistaken for the head of one. " * 20)
    before = path.read_bytes()
    refused(path, "store .*notes.txt' cannot be used: file is not a database; use another path")
    assert path.read_bytes() == before


def test_another_sqlite_database_is_left_as_it_is(tmp_path):
    path = tmp_path / "other.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE fish (name TEXT)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    refused(path, "is a SQLite file but no journal of this uqkit; use another path")
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["other.sqlite"]


def test_an_empty_file_becomes_a_store(store):
    store.touch()
    assert evaluate(Counted().model, POINTS, store=store).n_run == 30


def test_descriptions_are_kept(store):
    with Journal(store) as journal:
        assert journal.description("call") is None
        journal.describe("call", {"key": 1, "names": ["a"]})
    with Journal(store) as journal:
        assert journal.description("call") == {"key": 1, "names": ["a"]}
