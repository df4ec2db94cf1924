import inspect
import os
import signal
import subprocess
import sys
import textwrap
import time

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import uqkit as uq
from tests.statistical import assert_within_error
from uqkit.sensitivity import InfluenceFunction, Jansen, PickFreeze, restore, sobol_indices

ISHIGAMI = uq.load("ishigami")
# Under test, arguments of a wrong type meet the type checker first; a user meets our own messages.
unchecked_sobol_indices = inspect.unwrap(sobol_indices)


def counting_model(answer=lambda x: x[0] + 2 * x[1], **settings):
    """A model in plain Python that counts its calls."""
    calls = []

    def model(x):
        calls.append(x)
        return answer(x)

    inputs = {"a": stats.uniform(0, 1), "b": stats.norm(0, 1)}
    return uq.ForwardModel(model, inputs=inputs, version="1", **settings), calls


# ---------------------------------------------------------------- what is asked is checked before anything is run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": 0}, "`budget` is 0; pass the number of model evaluations to spend, above zero"),
        ({"budget": -3}, "above zero"),
        ({"budget": 7}, r"one row of this design costs 4 evaluations .* raise the budget to at least 8"),
        ({"budget": 100.5}, "a whole number"),
        ({"budget": "many"}, "a whole number"),
        ({"order": ("first", "third")}, "pass some of first, total, second"),
        ({"order": ()}, "pass some of first, total, second"),
        ({"groups": {"g": ["a", "c"]}}, "group 'g' names 'c', which is no input; inputs: a, b"),
        ({"groups": {"g": ["a"], "h": ["a"]}}, "input 'a' is in the groups 'g' and 'h'"),
        ({"groups": {"g": ["a", "b"]}, "order": ("second",)}, "need two inputs or groups"),
        ({"method": "jansen"}, "pass PickFreeze"),
        ({"key": None}, "pass an int such as key=0"),
        ({"key": 1.5}, "pass an int such as key=0"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_evaluation(arguments, message):
    model, calls = counting_model()
    with pytest.raises(uq.InputError, match=message):
        unchecked_sobol_indices(model, **({"budget": 64, "key": 0} | arguments))
    assert not calls


def test_a_bare_function_is_no_problem():
    with pytest.raises(uq.InputError, match=r"pass a uqkit\.ForwardModel"):
        unchecked_sobol_indices(lambda x: x, budget=64, key=0)


# ---------------------------------------------------------------- evaluations


@pytest.mark.parametrize("order", [("first", "total"), ("first", "total", "second"), ("total",)])
def test_the_stated_number_of_evaluations_is_the_counted_one(order):
    model, calls = counting_model()
    result = sobol_indices(model, budget=100, key=0, order=order)
    diagnostics = result["diagnostics"].to_dataset()
    assert len(calls) == result.attrs["n_model_evaluations"] == int(diagnostics["n_model_evaluations"])
    assert len(calls) + int(diagnostics["budget_unused"]) == 100
    assert np.array_equal(np.stack(calls), result["evaluations"].to_dataset()["input_value"].values)


def test_monte_carlo_uses_every_whole_row_of_the_budget():
    model, calls = counting_model()
    sobol_indices(model, method=PickFreeze(design=uq.MonteCarlo()), budget=103, key=0)
    assert len(calls) == 100


def test_a_budget_written_as_a_float_is_a_whole_number():
    model, calls = counting_model()
    unchecked_sobol_indices(model, budget=64.0, key=0)
    assert len(calls) == 64


def test_same_key_same_numbers_and_int_is_its_jax_key():
    first, again, other = (sobol_indices(ISHIGAMI, budget=640, key=key) for key in (7, jax.random.key(7), 8))
    for group in ("estimates", "posterior", "convergence", "evaluations"):
        assert first[group].to_dataset().identical(again[group].to_dataset())
    assert not first["estimates"].to_dataset().equals(other["estimates"].to_dataset())
    assert first.attrs["key"] == again.attrs["key"] != other.attrs["key"]


def test_double_precision_within_and_the_caller_s_setting_after():
    seen = []

    def model(x):
        seen.append(x.dtype)
        return jax.numpy.sum(x)

    problem = uq.ForwardModel(model, inputs={"a": dist.Normal(0, 1), "b": dist.Normal(0, 1)})
    assert not jax.config.jax_enable_x64
    result = sobol_indices(problem, budget=64, key=0)
    assert not jax.config.jax_enable_x64
    assert set(seen) == {np.dtype("float64")}
    values = result["evaluations"].to_dataset()["input_value"].values.sum(axis=1)
    assert np.allclose(result["evaluations"].to_dataset()["output_value"].values[:, 0], values, rtol=1e-15)


# ---------------------------------------------------------------- failed points


def failing(share, seed=0):
    """Ishigami that fails at a share of its points, chosen by a hash of the point."""

    def model(x):
        values = np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])
        values[(np.abs(x[:, 0] * 1e6 + seed) % 1) < share] = np.nan
        return values

    return uq.ForwardModel(model, takes="batch", inputs=ISHIGAMI.inputs, name="failing", version="1")


def test_one_nan_among_2048_rows_leaves_the_indices_inside_their_intervals():
    clean = sobol_indices(ISHIGAMI, budget=10_240, key=0)
    points = clean["evaluations"].to_dataset()["input_value"].values
    bad = points[1_234]

    def model(x):
        values = np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])
        values[(x == bad).all(axis=1)] = np.nan
        return values

    problem = uq.ForwardModel(model, takes="batch", inputs=ISHIGAMI.inputs)
    result = sobol_indices(problem, budget=10_240, key=0)
    estimates = result["estimates"].to_dataset()
    for name in ("sobol_first", "sobol_total"):
        without_nan = clean["estimates"][name].values
        assert (estimates[f"{name}_lower"].values <= without_nan).all()
        assert (without_nan <= estimates[f"{name}_upper"].values).all()
        truth = np.asarray(ISHIGAMI.references[name].values)[None]
        assert_within_error(estimates[name].values, estimates[f"{name}_se"].values, truth, max_error=0.02)
    evaluations = result["evaluations"].to_dataset()
    assert evaluations["failed_point"].values.tolist() == [1_234]
    assert evaluations["failure_message"].values.tolist() == ["output 'y' is nan"]
    assert evaluations["status"].values.sum() == 2
    diagnostics = result["diagnostics"].to_dataset()
    assert int(diagnostics["n_failed"]) == 1
    assert int(diagnostics["n_rows"]) - int(diagnostics["n_rows_used"]) == 1
    assert diagnostics["verdict"].item() == "warn"
    assert "1 of 2048 rows left out because 1 evaluation failed" in diagnostics["verdict_text"].item()


def test_scattered_failures_widen_the_intervals():
    clean = sobol_indices(ISHIGAMI, budget=20_480, key=0)["estimates"].to_dataset()
    holed = sobol_indices(failing(0.02), budget=20_480, key=0)["estimates"].to_dataset()
    truth = np.asarray(ISHIGAMI.references["sobol_total"].values)
    assert (np.abs(holed["sobol_total"].values - truth) <= 5 * holed["sobol_total_se"].values).all()
    assert (holed["sobol_total_se"].values > clean["sobol_total_se"].values).all()


def test_thirty_percent_failures_are_refused_and_kept():
    with pytest.raises(uq.EvaluationError, match=r"failed \(3\d\.\d%\), allowed are 10\.0%") as caught:
        sobol_indices(failing(0.3), budget=2_560, key=0)
    assert "First failure: failing at point" in str(caught.value)
    assert "output 'y' is nan" in str(caught.value)
    # Stopped as soon as the rest could not mend it, with what was finished kept.
    assert caught.value.evaluations.n_finished == 1_024


def test_an_explicit_policy_allows_more_or_none():
    result = sobol_indices(failing(0.3), budget=2_560, key=0, failures=uq.FailurePolicy(max_failed_share=0.5))
    assert result["diagnostics"].to_dataset()["verdict"].item() == "fail"
    with pytest.raises(uq.EvaluationError, match=r"failing at point \d+ \(x1=.*\): output 'y' is nan"):
        sobol_indices(failing(0.01), budget=2_560, key=0, failures=uq.FailurePolicy(on_error="raise"))


def test_a_constant_output_is_undefined_and_said_so():
    inputs = {"a": stats.uniform(0, 1), "b": stats.uniform(0, 1)}
    both = uq.ForwardModel(
        lambda x: np.column_stack([x[:, 0], np.full(len(x), 3.0)]), takes="batch", inputs=inputs, outputs=("y", "c")
    )
    with pytest.warns(uq.UqkitWarning, match="output c is the same at every point"):
        result = sobol_indices(both, budget=256, key=0)
    assert np.isfinite(result["estimates"].to_dataset()["sobol_first"].sel(output="y").values).all()
    assert np.isnan(result["estimates"].to_dataset()["sobol_first"].sel(output="c").values).all()
    assert float(result["estimates"].to_dataset()["output_mean"].sel(output="c")) == 3.0
    assert "no variance in c" in result["diagnostics"].to_dataset()["verdict_text"].item()
    only = uq.ForwardModel(lambda x: np.zeros(len(x)), takes="batch", inputs=inputs)
    with pytest.raises(uq.EvaluationError, match="there is no variance to share out"):
        sobol_indices(only, budget=256, key=0)


@pytest.mark.parametrize(("scale", "shift"), [(1e-150, 0.0), (1e150, 0.0), (1.0, 1e9)])
def test_indices_do_not_depend_on_scale_and_place(scale, shift):
    plain = sobol_indices(failing(0.0), budget=640, key=0)["estimates"].to_dataset()
    inner = failing(0.0).function
    moved = uq.ForwardModel(lambda x: scale * inner(x) + shift, takes="batch", inputs=ISHIGAMI.inputs)
    estimates = sobol_indices(moved, budget=640, key=0)["estimates"].to_dataset()
    for name in ("sobol_first", "sobol_total", "sobol_total_upper"):
        assert np.allclose(estimates[name].values, plain[name].values, atol=1e-6)


# ---------------------------------------------------------------- several outputs, groups


def test_outputs_together_are_outputs_alone():
    inputs = ISHIGAMI.inputs
    pair = uq.ForwardModel(
        lambda x: {"s": np.sin(x[:, 0]) + x[:, 1], "p": x[:, 0] * x[:, 2]},
        takes="batch",
        inputs=inputs,
        outputs={"s": "m", "p": "m2"},
    )
    together = sobol_indices(pair, budget=1_280, key=3)["estimates"].to_dataset()
    assert together["output_units"].values.tolist() == ["m", "m2"]
    for name, function in (("s", lambda x: np.sin(x[:, 0]) + x[:, 1]), ("p", lambda x: x[:, 0] * x[:, 2])):
        alone = uq.ForwardModel(function, takes="batch", inputs=inputs, outputs=(name,))
        one = sobol_indices(alone, budget=1_280, key=3)["estimates"].to_dataset()
        for variable in ("sobol_first", "sobol_total_lower", "output_variance"):
            assert np.allclose(together[variable].sel(output=name), one[variable].sel(output=name), rtol=1e-12)


def test_a_field_has_indices_at_every_coordinate():
    times = [0.0, 0.5, 1.0, 2.0]
    decay = uq.ForwardModel(
        lambda x: x[0] + x[1] * np.asarray(times),
        inputs={"level": stats.norm(0, 1), "slope": stats.norm(0, 1)},
        outputs={"height": ("m", ("time",), {"time": times})},
    )
    estimates = sobol_indices(decay, budget=4_096, key=0)["estimates"].to_dataset()
    assert estimates["time"].values.tolist() == times
    assert estimates["output"].values[1] == "height[time=0.5]"
    share = 1 / (1 + np.asarray(times) ** 2)
    first = estimates["sobol_first"].sel(input="level")
    assert np.allclose(first.values, share, atol=5 * 0.01)
    assert (np.abs(first.values - share) <= 5 * estimates["sobol_first_se"].sel(input="level").values + 1e-12).all()


def test_groups_share_the_variance_of_their_members():
    # For an additive model the index of a group is the sum of its members'.
    model = uq.ForwardModel(
        lambda x: x @ np.array([1.0, 2.0, 3.0]),
        takes="batch",
        inputs={name: stats.norm(0, 1) for name in "abc"},
    )
    result = sobol_indices(model, budget=4_096, key=0, groups={"ab": ["a", "b"]}, order=("first", "total", "second"))
    estimates = result["estimates"].to_dataset().squeeze("output")
    assert estimates["group"].values.tolist() == ["ab", "c"]
    assert estimates["sobol_second"].dims == ("group", "group_other")
    for name in ("sobol_first", "sobol_total"):
        assert np.allclose(estimates[name].values, [5 / 14, 9 / 14], atol=5 * 0.01)
        z = (estimates[name].values - np.array([5, 9]) / 14) / estimates[f"{name}_se"].values
        assert (np.abs(z) < 5).all()


def test_groups_of_a_salib_problem_are_kept():
    problem = {"num_vars": 3, "names": ["a", "b", "c"], "bounds": [[0, 1]] * 3, "groups": ["G", "H", "G"]}
    model = uq.ForwardModel(lambda x: x.sum(axis=1), takes="batch", inputs=problem)
    result = sobol_indices(model, budget=64, key=0)
    assert result["estimates"].to_dataset()["group"].values.tolist() == ["G", "H"]
    assert result.attrs["n_model_evaluations"] == 64


# ---------------------------------------------------------------- going on with a result


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_restore_analyses_the_saved_rows_again(tmp_path, suffix):
    result = sobol_indices(ISHIGAMI, budget=2_560, key=0)
    loaded = uq.results.load(uq.results.save(result, tmp_path / f"run{suffix}"))
    sample = restore(loaded, ISHIGAMI)
    again = sample.indices(key=0)
    direct = result["estimates"].to_dataset()
    for name in ("sobol_first", "sobol_total", "sobol_first_se", "output_mean"):
        assert np.array_equal(again["estimates"].to_dataset()[name].values, direct[name].values)
    other = sample.indices(method=PickFreeze(first=Jansen(), interval=InfluenceFunction()), order=("first",), key=0)
    assert "sobol_total" not in other["estimates"].to_dataset()
    assert not np.array_equal(other["estimates"].to_dataset()["sobol_first"].values, direct["sobol_first"].values)
    assert restore(other, ISHIGAMI).method == PickFreeze(first=Jansen(), interval=InfluenceFunction())


def test_restore_keeps_groups_failures_and_their_messages(tmp_path):
    problem = failing(0.01)
    result = sobol_indices(problem, budget=2_048, key=0, groups={"g": ["x1", "x3"]})
    loaded = uq.results.load(uq.results.save(result, tmp_path / "run.nc"))
    sample = restore(loaded, problem)
    assert sample.groups == {"g": ("x1", "x3"), "x2": ("x2",)}
    assert sample.evaluations.n_failed == int(result["diagnostics"].to_dataset()["n_failed"]) > 0
    assert set(sample.evaluations.messages.values()) == {"output 'y' is nan"}
    assert np.array_equal(
        sample.indices(key=0)["estimates"].to_dataset()["sobol_total"].values,
        result["estimates"].to_dataset()["sobol_total"].values,
    )


def test_restore_refuses_another_problem_or_what_was_not_run():
    result = sobol_indices(ISHIGAMI, budget=320, key=0)
    with pytest.raises(uq.InputError, match="the result has the inputs x1, x2, x3 but flood has Q"):
        restore(result, uq.load("flood"))
    sample = restore(result, ISHIGAMI)
    with pytest.raises(uq.InputError, match="need the points BA_i"):
        sample.indices(order=("second",), key=0)
    with pytest.raises(uq.InputError, match=r"`method\.design` is MonteCarlo"):
        sample.indices(method=PickFreeze(design=uq.MonteCarlo()), key=0)


# ---------------------------------------------------------------- stopping and going on


def test_a_store_makes_the_second_run_free(tmp_path):
    store = tmp_path / "run.sqlite"
    model, calls = counting_model()
    first = sobol_indices(model, budget=64, key=0, store=store)
    assert len(calls) == 64
    again = sobol_indices(model, budget=64, key=0, store=store)
    assert len(calls) == 64
    assert int(again["diagnostics"].to_dataset()["n_reused"]) == 64
    assert again["estimates"].to_dataset().identical(first["estimates"].to_dataset())


def test_ctrl_c_keeps_what_is_finished(tmp_path):
    def interrupted(x, calls=[]):  # noqa: B006 - counts its calls
        calls.append(1)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return x[0]

    model, _ = counting_model(interrupted)
    with pytest.raises(
        uq.RunInterrupted, match=r"stopped after 19 of 64 evaluations; they are in .*run\.sqlite"
    ) as stop:
        sobol_indices(model, budget=64, key=0, store=tmp_path / "run.sqlite")
    assert stop.value.evaluations.n_finished == 19
    model, calls = counting_model(lambda x: x[0])
    sobol_indices(model, budget=64, key=0, store=tmp_path / "run.sqlite")
    assert len(calls) == 64 - 19


KILLED = """
    import sys, time
    from scipy import stats
    import uqkit as uq

    def slow(x):
        with open(sys.argv[1], "a") as log:
            log.write(f"{x[0]!r} {x[1]!r}\\n")
        time.sleep(0.004)
        return x[0] ** 2 + x[1]

    problem = uq.ForwardModel(
        slow, inputs={"a": stats.uniform(0, 1), "b": stats.norm(0, 1)}, version="1"
    )
    result = uq.sensitivity.sobol_indices(problem, budget=512, key=5, store=sys.argv[2])
    uq.results.save(result, sys.argv[3])
"""


def test_kill_in_the_middle_loses_and_repeats_nothing_finished(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(KILLED))

    def command(name):
        return [sys.executable, script, tmp_path / f"{name}.log", tmp_path / f"{name}.sqlite", tmp_path / f"{name}.nc"]

    process = subprocess.Popen(command("killed"))
    log = tmp_path / "killed.log"
    deadline = time.monotonic() + 60
    while (not log.exists() or len(log.read_text().splitlines()) < 100) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = len(log.read_text().splitlines())
    assert 100 <= done < 512
    subprocess.run(command("killed"), check=True)
    subprocess.run(command("whole"), check=True)
    evaluated = log.read_text().splitlines()
    # The one evaluation that was running when the process was killed may be run again, no finished one.
    assert 512 <= len(evaluated) <= 513
    assert len(set(evaluated)) == 512
    resumed, whole = (uq.results.load(tmp_path / f"{name}.nc") for name in ("killed", "whole"))
    assert resumed["estimates"].to_dataset().identical(whole["estimates"].to_dataset())
    assert int(resumed["diagnostics"].to_dataset()["n_reused"]) >= done - 1


# ---------------------------------------------------------------- dependent inputs


def dependent_model():
    inputs = uq.Inputs({name: stats.norm(0, 1) for name in "abc"}, copula=uq.GaussianCopula({("a", "b"): 0.6}))
    return uq.ForwardModel(lambda x: x @ np.array([1.0, 1.0, 2.0]), takes="batch", inputs=inputs, name="sum")


@pytest.mark.parametrize("groups", [None, {"g": ["b", "c"]}])
def test_dependent_inputs_apart_are_refused_by_name(groups):
    with pytest.raises(uq.InputError, match=r"the inputs a, b of sum depend .* groups=\{'together': \['a', 'b'\]\}"):
        sobol_indices(dependent_model(), budget=64, key=0, groups=groups)


def test_dependent_inputs_in_one_group_have_the_group_s_index():
    result = sobol_indices(dependent_model(), budget=8_192, key=0, groups={"ab": ["a", "b"]})
    estimates = result["estimates"].to_dataset().squeeze("output")
    # Var(a + b) = 2 + 2 * 0.6, Var(2 c) = 4.
    share = np.array([3.2, 4.0]) / 7.2
    for name in ("sobol_first", "sobol_total"):
        assert_within_error(estimates[name].values, estimates[f"{name}_se"].values, share, max_error=0.01)
