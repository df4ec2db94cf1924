"""What every workflow promises (same key same numbers, saving, counting, failing, resuming, plots, a clean process)."""

import functools
import os

import arviz as az
import jax
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import uqkit as uq
from tests.contract.cases import CASES, answer, broken
from uqkit.results import schema

WITH_A_MODEL = [case for case in CASES if not case.no_model]
IN_CHUNKS = [case for case in CASES if case.in_chunks]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request):
    return request.param


def for_each(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


@functools.cache
def solved(case):
    """One result a workflow, made once."""
    return case.solve(case.tiny(), key=0)


def numbers(result):
    return {path: node.to_dataset() for path, node in result.children.items() if path != schema.DIAGNOSTICS}


def assert_same_numbers(one, other):
    assert numbers(one).keys() == numbers(other).keys()
    for path, dataset in numbers(one).items():
        assert dataset.identical(numbers(other)[path]), path


def test_same_key_gives_the_same_numbers_and_another_key_others(case):
    assert_same_numbers(solved(case), case.solve(case.tiny(), key=0))
    other = case.solve(case.tiny(), key=1)
    assert not numbers(other)[schema.ESTIMATES].equals(numbers(solved(case))[schema.ESTIMATES])


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_saving_and_loading_changes_nothing(case, suffix, tmp_path):
    path = uq.results.save(solved(case), tmp_path / f"result{suffix}")
    loaded = uq.results.load(path)
    assert_same_numbers(loaded, solved(case))
    assert loaded.attrs == solved(case).attrs
    restored = [case.restore(tree, case.tiny()) for tree in (loaded, solved(case))]
    assert np.array_equal(case.go_on(restored[0]), case.go_on(restored[1]))


def test_arviz_summarises_the_draws(case):
    summary = az.summary(solved(case))
    assert len(summary) > 0
    assert np.isfinite(summary["mean"].astype(float)).all()
    independent = solved(case)[schema.POSTERIOR].attrs[schema.INDEPENDENT_DRAWS]
    assert not independent or np.all(summary["r_hat"].astype(float) < 1.05)


def test_every_number_has_units_a_long_name_and_an_error(case):
    estimates = solved(case)[schema.ESTIMATES].to_dataset()
    for dataset in numbers(solved(case)).values():
        for variable in dataset.data_vars.values():
            assert variable.attrs["units"]
            assert variable.attrs["long_name"]
    plain = [name for name in estimates if not str(name).endswith(("_se", "_lower", "_upper"))]
    for name in map(str, plain):
        assert set(estimates) >= {schema.standard_error(name), schema.lower(name), schema.upper(name)}
        assert estimates[schema.lower(name)].attrs[schema.PROBABILITY] == 0.95
        inside = (estimates[schema.lower(name)] <= estimates[name]) & (estimates[name] <= estimates[schema.upper(name)])
        assert (inside | estimates[name].isnull()).all()


@for_each(WITH_A_MODEL)
def test_the_stated_number_of_evaluations_is_the_counted_one(case):
    calls = []

    def counted(point):
        calls.append(1)
        return answer(point)

    result = case.solve(case.problem(counted), key=0)
    assert result.attrs[schema.N_MODEL_EVALUATIONS] == len(calls)


def test_a_nan_names_its_point(case):
    solve, error, message = case.bad_point
    with pytest.raises(error, match=message):
        solve()


@for_each(WITH_A_MODEL)
def test_points_that_fail_are_masked_and_said(case):
    result = case.solve(case.problem(broken), key=0)
    assert int(result[schema.DIAGNOSTICS].to_dataset()[schema.N_FAILED]) > 0
    assert result[schema.DIAGNOSTICS].to_dataset()[schema.VERDICT].item() != "ok"


@for_each(WITH_A_MODEL)
@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_stopped_run_with_a_store_repeats_nothing(case, stop, tmp_path):
    calls, resumed = [], []

    def stopped(point):
        if len(calls) == 100 and not resumed:
            raise stop
        calls.append(tuple(point))
        return answer(point)

    with pytest.raises(stop):
        case.solve(case.problem(stopped), key=0, store=tmp_path / "run.sqlite")
    resumed.append(True)
    result = case.solve(case.problem(stopped), key=0, store=tmp_path / "run.sqlite")
    assert len(calls) == len(set(calls)) == result.attrs[schema.N_MODEL_EVALUATIONS]
    assert_same_numbers(result, solved(case))


@for_each(IN_CHUNKS)
@pytest.mark.parametrize("stop_at", [1, 2])
def test_a_stopped_loop_with_a_store_goes_on_to_the_same_numbers(case, stop_at, tmp_path, monkeypatch):
    chunks = []

    def stop(*_):
        chunks.append(1)
        if len(chunks) == stop_at:
            raise KeyboardInterrupt

    monkeypatch.setattr("uqkit.running.scan._check", stop)
    with pytest.raises(uq.RunInterrupted, match=r"run\.npz.*go on"):
        case.solve(case.tiny(), key=0, store=tmp_path / "run.npz")
    monkeypatch.undo()
    result = case.solve(case.tiny(), key=0, store=tmp_path / "run.npz")
    assert_same_numbers(result, solved(case))
    assert list(tmp_path.iterdir()) == [tmp_path / "run.npz"]


def test_progress_is_silent_in_a_pipe_and_shown_when_asked(case, capsys):
    case.solve(case.tiny(), key=0)
    assert capsys.readouterr() == ("", "")
    case.solve(case.tiny(), key=0, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert case.shown in shown.err


def test_every_estimate_has_a_plot(case):
    mpl.use("agg")
    estimates = {
        str(name)
        for name in solved(case)[schema.ESTIMATES].to_dataset()
        if not str(name).endswith(("_se", "_lower", "_upper"))
    }
    assert estimates == set(case.plots)
    for draw in {*case.plots.values(), *case.more_plots}:
        ax = draw(solved(case))
        assert ax.get_xlabel() or ax.get_ylabel()
        ax.figure.canvas.draw()
        plt.close(ax.figure)


def test_the_process_is_left_as_it_was(case):
    np.random.seed(5)  # noqa: NPY002 - the global state is what must not be touched
    before = (jax.config.jax_enable_x64, os.getcwd(), dict(mpl.rcParams), np.random.get_state()[1].tolist())  # noqa: NPY002
    case.solve(case.tiny(), key=0)
    after = (jax.config.jax_enable_x64, os.getcwd(), dict(mpl.rcParams), np.random.get_state()[1].tolist())  # noqa: NPY002
    assert before == after
