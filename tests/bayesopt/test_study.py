"""Studies: common random numbers, resuming, paired tests, and what is said of them."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from botorch.models import SingleTaskGP
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal
from scipy import stats

import uqkit as uq
from tests.callers import without_type_hook
from uqkit.bayesopt import Acquisition, LinearGP, RandomSearch, compare
from uqkit.bayesopt.rounds import State
from uqkit.bayesopt.study_result import Cell, assemble_study
from uqkit.keys import as_key

QUICK = Acquisition(n_samples=16, n_restarts=1, n_raw=16, max_iterations=5)


def problem(name: str, function: Any, low: float = 0.0) -> uq.Objective:
    inputs = {"a": stats.uniform(low, 1.0), "b": stats.uniform(0.0, 1.0)}
    best = uq.Reference(values=(low,), kind="closed form", source="by inspection")
    return uq.Objective(uq.ForwardModel(function, inputs=inputs, name=name, version="1"), best=best)


CURVED = problem("curved", lambda x: (x[0] - 0.4) ** 2 + (x[1] - 0.6) ** 2)
PLANE = problem("plane", lambda x: float(x[0] + x[1]), low=1.0)


def study(store: Any = None, keys: Any = range(3), **settings: Any) -> Any:
    own = {"budget": {"curved": 10, "plane": 8}, "n_initial": 6, "batch_size": 2, "n_test": 16, "acquisition": QUICK}
    return compare([CURVED, PLANE], [SingleTaskGP, LinearGP.factory()], keys=keys, store=store, **(own | settings))


@cache
def finished() -> Any:
    return study()


def test_all_surrogates_begin_alike_and_searches_are_among_them():
    traces = finished()["optimisation"].to_dataset()
    assert list(traces["surrogate"].values) == ["SingleTaskGP", "LinearGP", "RandomSearch", "SobolSearch"]
    first = traces["best_value"].isel(iteration=0)
    assert (first == first.isel(surrogate=0)).all()
    # Another key begins elsewhere.
    assert len(np.unique(first.isel(surrogate=0))) == 6
    sizes = traces["n_evaluations_so_far"].isel(surrogate=0, replicate=0).values
    np.testing.assert_array_equal(sizes, [[6, 8, 10], [6, 8, np.nan]])
    # Of the runs, and of 16 test points of two problems and three keys.
    assert finished().attrs["n_model_evaluations"] == 3 * 4 * (10 + 8) + 16 * 2 * 3
    method = json.loads(finished().attrs["method"])["study"]
    assert method["budget"] == {"curved": 10, "plane": 8}
    assert method["batch_size"] == {"curved": 2, "plane": 2}


def test_scores_are_of_fits_to_the_rows_so_far():
    crps = finished()["optimisation"].to_dataset()["crps"]
    assert np.isfinite(crps.sel(surrogate=["SingleTaskGP", "LinearGP"], study_problem="curved")).all()
    assert np.isnan(crps.sel(surrogate=["RandomSearch", "SobolSearch"])).all()
    # A plane is what the linear model knows.
    last = crps.sel(study_problem="plane").isel(iteration=1).mean("replicate")
    assert float(last.sel(surrogate="LinearGP")) < 0.05


def test_all_surrogates_are_scored_in_the_same_unit():
    # Predictions that are the same everywhere score the same, whatever rows the runs that made them have seen.
    class Flat(Model):
        @property
        def num_outputs(self) -> int:
            return 1

        def posterior(self, X: Any, *_: Any, **__: Any) -> Any:  # noqa: N803
            mean = 0.0 * X.sum(-1)
            covariance = torch.eye(X.shape[-2], dtype=X.dtype).expand(*mean.shape, -1)
            return GPyTorchPosterior(MultivariateNormal(mean, covariance))

    found = compare(CURVED, {"flat": lambda X, Y, *, key: Flat()}, budget=8, n_initial=6, n_test=16, keys=range(2))
    rows = found["optimisation"].to_dataset().sel(surrogate="flat", study_problem="curved")
    assert (rows["rmse"].isel(iteration=0) == rows["rmse"].isel(iteration=1)).all()


def test_pairs_are_antisymmetric_and_their_intervals_hold_the_mean():
    estimates = finished()["estimates"].to_dataset()
    for name in ("final_difference", "log_regret_difference", "log_crps_difference"):
        value, lower, upper = (estimates[f"{name}{end}"].values for end in ("", "_lower", "_upper"))
        np.testing.assert_allclose(value, -value.transpose(0, 2, 1))
        np.testing.assert_allclose(lower, -upper.transpose(0, 2, 1))
        known = np.isfinite(value)
        assert known.any()
        assert ((lower <= value) & (value <= upper))[known].all()
    traces = finished()["optimisation"].to_dataset()
    values = traces["best_value"].isel(iteration=traces["n_evaluations_so_far"].notnull().sum("iteration") - 1)
    expected = -(values.sel(surrogate="SingleTaskGP") - values.sel(surrogate="RandomSearch")).mean("replicate")
    found = estimates["final_difference"].sel(surrogate="SingleTaskGP", surrogate_other="RandomSearch")
    np.testing.assert_allclose(found, expected)


def test_few_replicates_tell_nothing_apart():
    tests = finished()["diagnostics"].to_dataset()
    assert "3 replicates cannot tell any two apart" in tests["verdict_text"].item()
    assert set(np.unique(tests["verdict"].values)) <= {"", "not tested", "not told apart"}
    # Searches are not compared with each other.
    pair = tests["verdict"].sel(surrogate="RandomSearch", surrogate_other="SobolSearch")
    assert set(pair.values) == {"not tested"}


def test_a_stopped_study_goes_on_to_the_same_numbers(tmp_path, monkeypatch):
    calls = []

    def stop(*arguments: Any, **settings: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return original(*arguments, **settings)

    from uqkit.bayesopt import rounds

    original = rounds.propose
    monkeypatch.setattr(rounds, "propose", stop)
    with pytest.raises(uq.RunInterrupted):
        study(tmp_path / "study")
    monkeypatch.undo()
    # Keys may also be filled in by runs of their own.
    study(tmp_path / "study", keys=[2])
    result = study(tmp_path / "study")
    for name in ("optimisation", "estimates"):
        assert result[name].to_dataset().identical(finished()[name].to_dataset())
    # All of it is there now: nothing is fitted or proposed again.
    monkeypatch.setattr(rounds, "propose", lambda *_: pytest.fail("proposed again"))
    again = study(tmp_path / "study")
    assert again["optimisation"].to_dataset().identical(result["optimisation"].to_dataset())


def test_numbers_of_numpy_are_numbers():
    sizes: dict[str, Any] = {"n_initial": np.int64(4), "batch_size": np.int64(2), "n_test": np.int64(4)}
    for budget in (np.int64(6), {"curved": np.int64(6)}):
        own: dict[str, Any] = sizes | {"budget": budget, "acquisition": QUICK}
        with without_type_hook():
            result = compare(CURVED, [LinearGP.factory()], keys=[0], **own)
        assert json.loads(result.attrs["method"])["study"]["budget"] == {"curved": 6}


def test_other_test_points_are_another_study(tmp_path):
    own: dict[str, Any] = {"budget": 6, "n_initial": 6, "keys": [0], "store": tmp_path / "study"}
    compare(CURVED, [LinearGP.factory()], n_test=8, **own)
    with pytest.raises(uq.StoreError, match="n_test was 8, is 9"):
        compare(CURVED, [LinearGP.factory()], n_test=9, **own)


def test_no_two_runs_share_a_file(tmp_path):
    # Nor is one that of the test points, whatever it is called.
    labels = ("GP", "GP+", "GP +", "test")
    surrogates = {label: LinearGP.factory(ard=ard) for label, ard in zip(labels, (True, False) * 2, strict=True)}
    own: dict[str, Any] = {"budget": 6, "n_initial": 5, "keys": [0], "n_test": 8, "acquisition": QUICK}
    compare(CURVED, surrogates, store=tmp_path / "study", **own)
    assert len(list((tmp_path / "study").glob("*.sqlite"))) == 4 + 2 + 1


def test_too_few_test_values_are_refused():
    limited = problem("limited", lambda x: np.nan if x[0] < 0.5 else x[0])
    with pytest.raises(uq.EvaluationError, match="of 2 test points of limited 1 have values"):
        compare(limited, [LinearGP.factory()], budget=6, n_initial=5, keys=[0], n_test=2)


def test_failures_are_counted_and_said():
    limited = problem("limited", lambda x: np.nan if x[0] < 0.3 else x[0])
    result = compare(limited, [LinearGP.factory()], budget=8, n_initial=8, keys=range(2))
    diagnostics = result["diagnostics"].to_dataset()
    failed = diagnostics["n_failed"].sel(study_problem="limited")
    # All began with the same eight points, and random search with them alone.
    assert 0 < int(failed[0, 0]) < 8
    assert (failed == failed[0]).all()
    assert f"{int(failed.sum())} evaluations failed and were taken for as bad" in diagnostics["verdict_text"].item()


def test_a_stopped_study_names_its_folder(tmp_path, monkeypatch):
    def stop(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    stopping = problem("stopping", stop)
    for store, message in ((tmp_path / "folder", "folder'.*make the same call again"), (None, "with a store")):
        with pytest.raises(uq.RunInterrupted, match=f"stopped after 0 of 3 runs; .*{message}") as raised:
            compare(stopping, [SingleTaskGP], budget=6, keys=[0], n_test=4, store=store)
        assert "uqkit resume" not in str(raised.value)


def made(last: dict[str, list[float]]) -> Any:
    """A study of one problem from final values alone."""
    surrogates = dict.fromkeys(last, True)
    cells = {
        ("curved", label, replicate): Cell(np.array([[value]]), [1], [State(points=[])])
        for label, values in last.items()
        for replicate, value in enumerate(values)
    }
    keys = [str(replicate) for replicate in range(len(next(iter(last.values()))))]
    return assemble_study(
        cells,
        problems={"curved": CURVED},
        surrogates=surrogates,
        keys=keys,
        settings={},
        key=as_key(0),
        n_test_evaluations=0,
        wall_time=0.0,
    )["diagnostics"].to_dataset()


def test_better_is_said_only_after_a_paired_test():
    rng = np.random.default_rng(0)
    level = rng.normal(size=10) * 10
    near = level + rng.normal(size=10)
    tests = made({"good": list(level - 1.0), "bad": list(level), "like bad": list(near)})
    verdict = tests["verdict"].isel(study_problem=0)
    # Minimised, and every replicate agrees, though the spread between replicates is ten times the difference.
    assert verdict.sel(surrogate="good", surrogate_other="bad").item() == "better"
    assert verdict.sel(surrogate="bad", surrogate_other="good").item() == "worse"
    assert verdict.sel(surrogate="bad", surrogate_other="like bad").item() == "not told apart"
    p = tests["p_value"].isel(study_problem=0).sel(surrogate="good", surrogate_other="bad")
    np.testing.assert_allclose(p, 2 / 2**10)
    adjusted = tests["p_value_holm"].isel(study_problem=0).sel(surrogate="good", surrogate_other="bad")
    np.testing.assert_allclose(adjusted, 3 * 2 / 2**10)
    assert "good against bad: better on curved" in tests["verdict_text"].item()


def test_the_direction_is_that_of_the_test_and_not_of_the_median():
    # Seven of twenty differences are not zero, and all of one sign; and runs that found nothing feasible are worse.
    level = np.arange(20.0).tolist()
    tied = [value - (replicate < 7) for replicate, value in enumerate(level)]
    verdict = made({"good": tied, "bad": level})["verdict"].values[0]
    assert verdict.tolist() == [["", "better"], ["worse", ""]]
    nothing = [np.nan if replicate % 2 else value for replicate, value in enumerate(level)]
    verdict = made({"good": level, "bad": nothing})["verdict"].values[0]
    assert verdict.tolist() == [["", "better"], ["worse", ""]]


def test_as_many_replicates_as_are_asked_for_can_tell_apart():
    # Four surrogates are six pairs, and every replicate agrees about each.
    for n_replicates, can in ((7, False), (8, True)):
        level = 1.0 + np.arange(float(n_replicates))
        tests = made({label: list(level * shift) for label, shift in zip("abcd", (1.0, 2.1, 3.3, 4.6), strict=True)})
        assert ("better" in tests["verdict"].values) == can
        text = tests["verdict_text"].item()
        assert ("7 replicates cannot tell any two apart" in text) == ("take at least 8." in text) == (not can)


def test_unpaired_numbers_of_the_same_size_are_not_better():
    rng = np.random.default_rng(0)
    level = rng.normal(size=10) * 10
    shuffled = rng.permutation(level) - 1.0
    tests = made({"good": list(shuffled), "bad": list(level)})
    assert tests["verdict"].values[0, 0, 1] == "not told apart"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keys": []}, "`keys` has 0 keys"),
        ({"keys": [1, 1]}, "`keys` has 2 keys, 1 of them different"),
        ({"budget": {"curved": 10}}, "`budget` has no entry for 'plane'; it has curved"),
        ({"keys": 3}, "`keys` is 3; pass a list"),
        ({"n_test": 1}, "`n_test` is 1"),
        ({"n_test": 5.5}, "`n_test` is 5.5; pass a whole number"),
        ({"n_test": "9"}, "`n_test` is '9'; pass a whole number"),
        ({"budget": 6.5}, "`budget` is 6.5; pass a whole number"),
        ({"store": Path(__file__)}, "which is a file; pass a folder"),
        ({"n_initial": 1}, "`n_initial` is 1"),
    ],
)
def test_settings_are_checked(settings, message):
    with without_type_hook(), pytest.raises(uq.InputError, match=message):
        study(**settings)


@pytest.mark.parametrize(
    ("objectives", "surrogates", "message"),
    [
        ([CURVED, CURVED], [SingleTaskGP], "each name once"),
        ([], [SingleTaskGP], "pass at least one"),
        (None, [SingleTaskGP], "`objectives` is None; pass a list"),
        (CURVED, {"RandomSearch": SingleTaskGP}, "calls something else 'RandomSearch'"),
        ([CURVED.forward], [SingleTaskGP], "an objective is a ForwardModel"),
        (CURVED, [SingleTaskGP, SingleTaskGP], "pass a mapping of different names"),
        (CURVED, [RandomSearch()], "has no surrogate"),
        (CURVED, SingleTaskGP, "pass a list of surrogates, or a mapping"),
    ],
)
def test_arguments_are_checked(objectives, surrogates, message):
    with without_type_hook(), pytest.raises(uq.InputError, match=message):
        compare(objectives, surrogates, budget=8, keys=[0])
