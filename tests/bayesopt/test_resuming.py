"""Optimisations that go on: from a store, under another budget, and from a result."""

from typing import Any

import numpy as np
import pytest
from botorch.models import SingleTaskGP
from scipy import stats

import uqkit as uq
from tests.bayesopt.bowl import ENDS, bits, bowl, finished, group, objective, run, two
from tests.callers import without_type_hook
from uqkit.bayesopt import LinearGP, RandomSearch, restore


@pytest.mark.parametrize("stop_at", [3, 9])
def test_a_stopped_run_goes_on_without_repeating_anything(stop_at, tmp_path):
    calls: list[tuple[float, ...]] = []

    def counted(x: np.ndarray) -> float:
        if len(calls) == stop_at and not resumed:
            raise KeyboardInterrupt
        calls.append(tuple(x))
        return bowl(x)

    resumed: list[bool] = []
    with pytest.raises(uq.RunInterrupted):
        run(objective(counted), store=tmp_path / "run.sqlite")
    resumed.append(True)
    result = run(objective(counted), store=tmp_path / "run.sqlite")
    assert len(calls) == len(set(calls)) == 14
    for name in ("evaluations", "estimates", "posterior"):
        assert group(result, name).identical(group(finished(), name))
    # And a finished one with a larger budget, as if it had been asked for at once.
    longer = run(objective(counted), store=tmp_path / "run.sqlite", budget=18)
    assert len(calls) == 18
    assert group(longer, "evaluations").identical(group(run(objective(bowl), budget=18), "evaluations"))


def test_a_store_of_other_settings_is_refused(tmp_path):
    run(budget=8, store=tmp_path / "run.sqlite")
    with pytest.raises(uq.StoreError, match="surrogate was 'SingleTaskGP', is 'LinearGP"):
        run(budget=8, surrogate=LinearGP.factory(), store=tmp_path / "run.sqlite")
    with pytest.raises(uq.StoreError, match="key was"):
        run(budget=8, key=1, store=tmp_path / "run.sqlite")


@pytest.mark.parametrize("others", [(7, 10), (10, 7), (10, 9, 7, 10)], ids=str)
def test_a_batch_that_a_budget_cuts_is_chosen_anew_under_another_budget(others, tmp_path):
    for budget in others:
        kept = run(budget=budget, n_initial=4, batch_size=4, store=tmp_path / "run.sqlite")
        fresh = run(budget=budget, n_initial=4, batch_size=4)
        for name in ("evaluations", "optimisation"):
            assert group(kept, name).identical(group(fresh, name))


def test_a_store_of_a_changed_problem_is_refused(tmp_path):
    def other(version: str = "1", name: str = "a", width: float = 3.0) -> uq.Objective:
        inputs = {name: stats.uniform(-1.0, width), "b": ENDS["b"]}
        return uq.Objective(uq.ForwardModel(bowl, inputs=inputs, name="bowl", version=version))

    for path, changed, message in (
        ("version", other(version="2"), "model_version was '1', is '2'"),
        ("names", other(name="c"), r"inputs was \['a', 'b'\], is \['c', 'b'\]"),
        ("bounds", other(width=2.0), "bounds was"),
    ):
        run(other(), budget=6, store=tmp_path / path)
        with pytest.raises(uq.StoreError, match=message):
            run(changed, budget=6, store=tmp_path / path)
    several: dict[str, Any] = {"surrogate": RandomSearch(), "budget": 6, "store": tmp_path / "front"}
    for point in (2.0, 3.0):
        problem = objective(two, ("first", "second"), reference_point={"first": 2.0, "second": point})
        if point == 2.0:
            run(problem, **several)
            continue
        with pytest.raises(uq.StoreError, match="reference_point was"):
            run(problem, **several)


def test_a_point_that_was_evaluated_is_not_suggested_again():
    result = run(bits(), budget=4, n_initial=4, batch_size=1)
    known = {tuple(point) for point in group(result, "evaluations")["input_value"].values}
    suggested = restore(result, bits(), surrogate=SingleTaskGP).suggest(2, key=0)
    assert len(known | {tuple(point) for point in suggested}) == len(known) + 2


def test_a_restored_optimisation_predicts_and_goes_on():
    again = restore(finished(), objective(), surrogate=SingleTaskGP)
    rows = group(finished(), "evaluations")
    found = again.predict(rows["input_value"].values)
    np.testing.assert_allclose(found["predicted"], rows["output_value"], atol=0.1)
    suggested = again.suggest(2, key=1)
    assert suggested.shape == (2, 2)
    np.testing.assert_array_equal(suggested, again.suggest(2, key=1))
    assert np.abs(suggested - [0.7, 11.0]).max() < 1.5
    with pytest.raises(uq.InputError, match=r"made with SingleTaskGP, `surrogate` is HMCNetwork\(\)"):
        restore(finished(), objective())
    for points, message in (
        (np.zeros((3, 1)), "2 columns: a, b"),
        (np.array([[0.0, np.nan]]), "row 0, input 'b' is nan"),
        (np.array([[0.0, 12.0], [7.0, 12.0]]), "row 1, input 'a' is 7.0; the surrogate knows values from -1 to 2"),
    ):
        with pytest.raises(uq.InputError, match=message):
            again.predict(points)
    with without_type_hook():
        for number in (0, 1.5):
            with pytest.raises(uq.InputError, match=f"`n_points` is {number}"):
                again.suggest(number, key=1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(uq.InputError, match="the result is of maximise={'y': False}, `objective` has"):
        restore(finished(), objective(maximise=True), surrogate=SingleTaskGP)
