"""Going on with a saved result: as if asked for at once, nothing evaluated twice, nothing else mixed in; tolerance."""

import numpy as np
import pytest
from scipy import stats

import uqkit as uq
from tests.statistical import assert_within_error
from uqkit.sensitivity import MixtureImportanceSampling, PickFreeze, expectations, extend, sobol_indices

ISHIGAMI = uq.load("ishigami")
NORMAL = {"a": stats.norm(0, 1), "b": stats.norm(0, 1)}
LAWS = {"near": {"a": stats.norm(0.3, 1), "b": stats.norm(0, 1)}, "far": {"a": stats.norm(1, 1), "b": stats.norm(0, 1)}}


def counted(answer=lambda x: np.exp(x[0]) + x[1] ** 2):
    calls = []

    def model(x):
        calls.append(tuple(x))
        return answer(x)

    return model, calls


def estimated(result):
    estimates = result["estimates"].to_dataset()
    return estimates["expectation"].values, estimates["expectation_se"].values


# ---------------------------------------------------------------- Sobol' indices


@pytest.mark.parametrize("method", [PickFreeze(), PickFreeze(design=uq.MonteCarlo())], ids=["net", "independent"])
def test_extended_indices_are_those_of_the_longer_run(method, tmp_path):
    longer = sobol_indices(ISHIGAMI, method=method, budget=1_280, key=0)
    short = sobol_indices(ISHIGAMI, method=method, budget=640, key=0)
    loaded = uq.results.load(uq.results.save(short, tmp_path / "run.nc"))
    extended = extend(loaded, ISHIGAMI, budget=640)
    for group in ("estimates", "posterior", "evaluations", "convergence"):
        assert extended[group].to_dataset().identical(longer[group].to_dataset())
    diagnostics = extended["diagnostics"].to_dataset()
    assert int(diagnostics["n_reused"]) == 640
    assert extended.attrs["n_model_evaluations"] == 1_280


def test_extended_groups_and_orders_stay():
    model, calls = counted(lambda x: x[0] * x[1])
    problem = uq.ForwardModel(model, inputs=NORMAL, version="1")
    short = sobol_indices(problem, budget=96, key=0, order=("first", "total", "second"))
    assert len(calls) == 96
    extended = extend(short, problem, budget=96)
    assert len(calls) == len(set(calls)) + (192 - len(set(calls))) == 192
    assert "sobol_second" in extended["estimates"].to_dataset()


def test_a_step_of_a_net_is_not_taken_in_part():
    short = sobol_indices(ISHIGAMI, budget=640, key=0)
    with pytest.raises(uq.InputError, match=r"`budget` is 100, but the design of 128 rows grows next to 256, 640 eval"):
        extend(short, ISHIGAMI, budget=100)


def test_latin_hypercubes_have_no_end_to_go_on_from():
    method = PickFreeze(design=uq.LatinHypercube())
    with pytest.raises(uq.InputError, match=r"LatinHypercube\(\) design cannot be continued"):
        sobol_indices(ISHIGAMI, method=method, budget=640, key=0, tolerance=0.1)
    short = sobol_indices(ISHIGAMI, method=method, budget=640, key=0)
    with pytest.raises(uq.InputError, match=r"LatinHypercube\(\) design cannot be continued"):
        extend(short, ISHIGAMI, budget=640)


def test_other_problems_and_results_are_refused():
    short = sobol_indices(ISHIGAMI, budget=320, key=0)
    with pytest.raises(uq.InputError, match="the result has the inputs x1, x2, x3 but flood has Q"):
        extend(short, uq.load("flood"), budget=5_000)
    narrower = uq.ForwardModel(ISHIGAMI.function, inputs={f"x{i}": stats.uniform(0, 1) for i in (1, 2, 3)})
    with pytest.raises(uq.StoreError, match="the design came out differently"):
        extend(short, narrower, budget=320)
    with pytest.raises(uq.InputError, match="pass the ForwardModel that it is of"):
        extend(short, ISHIGAMI.function, budget=320)


@pytest.mark.parametrize("tolerance", [0.2, 0.05])
def test_tolerance_of_indices_is_reached_early(tolerance):
    result = sobol_indices(ISHIGAMI, budget=40_960, key=0, tolerance=tolerance)
    estimates = result["estimates"].to_dataset()
    for name in ("sobol_first", "sobol_total"):
        half = (estimates[f"{name}_upper"] - estimates[f"{name}_lower"]).values / 2
        assert half.max() <= tolerance
    assert 640 <= result.attrs["n_model_evaluations"] < 40_960


def test_tolerance_out_of_reach_keeps_to_the_budget():
    model, calls = counted()
    problem = uq.ForwardModel(model, inputs=NORMAL)
    result = sobol_indices(problem, budget=1_100, key=0, tolerance=1e-9)
    assert len(calls) == result.attrs["n_model_evaluations"] == 1_024
    assert int(result["diagnostics"].to_dataset()["n_reused"]) == 0
    with pytest.raises(uq.InputError, match=r"`tolerance` is 0\.0; pass a half-width"):
        sobol_indices(problem, budget=1_100, key=0, tolerance=0.0)


# ---------------------------------------------------------------- expectations


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_extended_expectations_run_only_what_is_new(tmp_path, suffix):
    model, calls = counted()
    short = expectations(model, NORMAL, budget=500, key=0)
    loaded = uq.results.load(uq.results.save(short, tmp_path / f"run{suffix}"))
    extended = extend(loaded, model, NORMAL, budget=2_500)
    assert len(calls) == extended.attrs["n_model_evaluations"] == 3_000
    assert int(extended["diagnostics"].to_dataset()["n_reused"]) == 500
    first = extended["evaluations"].to_dataset().isel(point=slice(500))
    assert first.identical(short["evaluations"].to_dataset())
    value, error = estimated(extended)
    assert_within_error(value, error, np.exp(0.5) + 1, max_error=0.05)
    draws, more = (result["weighted_sample"].sizes["draw"] for result in (short, extended))
    assert more == draws + 2_500
    assert error < estimated(short)[1]


def test_the_error_falls_with_the_root_of_the_draws():
    model = uq.ForwardModel(lambda x: np.exp(2 * np.sin(3 * x[:, 0])), inputs=NORMAL, takes="batch")
    short = expectations(model, budget=4_000, key=0)
    extended = extend(short, model, budget=12_000)
    twice = extend(extended, model, budget=1_000)
    draws = [result["weighted_sample"].sizes["draw"] for result in (short, extended, twice)]
    scaled = [estimated(result)[1][0] * np.sqrt(n) for result, n in zip((short, extended, twice), draws, strict=True)]
    np.testing.assert_allclose(scaled, scaled[0], rtol=0.15)
    assert draws[2] == draws[1] + 1_000


@pytest.mark.filterwarnings("ignore:the result was made with version")  # these functions count their calls
def test_extended_twice_is_the_same_however_it_was_stored(tmp_path):
    model, _ = counted()
    short = expectations(model, NORMAL, laws=LAWS, budget=300, key=3)
    saved = uq.results.load(uq.results.save(short, tmp_path / "run.nc"))
    direct, loaded = (extend(result, model, NORMAL, laws=LAWS, budget=200) for result in (short, saved))
    for group in ("estimates", "posterior", "weighted_sample", "evaluations", "diagnostics"):
        assert direct[group].to_dataset().identical(loaded[group].to_dataset())


def test_an_extended_result_keeps_its_method():
    method = MixtureImportanceSampling(pilot_share=0.2)
    model, _ = counted()
    extended = extend(
        expectations(model, NORMAL, laws=LAWS, method=method, budget=300, key=0), model, NORMAL, laws=LAWS, budget=100
    )
    assert int(extended["diagnostics"].to_dataset()["n_exploration"]) == 60


@pytest.mark.filterwarnings("ignore:the result was made with version")
def test_other_functions_inputs_and_laws_are_refused_before_any_call():
    model, _ = counted()
    short = expectations({"f": model}, NORMAL, laws=LAWS, budget=300, key=0)
    other, calls = counted()
    with pytest.raises(uq.InputError, match="the result has the laws .'near', 'far'.; pass the same `laws`"):
        extend(short, {"f": other}, NORMAL, budget=100)
    with pytest.raises(uq.InputError, match="the result has the outputs"):
        extend(short, {"g": other}, NORMAL, laws=LAWS, budget=100)
    with pytest.raises(uq.InputError, match="the result has the inputs a, b but"):
        extend(short, {"f": other}, {"a": stats.norm(), "c": stats.norm()}, laws=None, budget=100)
    moved = LAWS | {"far": {"a": stats.norm(2, 1), "b": stats.norm(0, 1)}}
    with pytest.raises(uq.StoreError, match="came out elsewhere this time; pass the functions, inputs and laws"):
        extend(short, {"f": other}, NORMAL, laws=moved, budget=100)
    assert not calls


def test_another_function_of_the_same_name_is_noticed():
    inputs = {"x": stats.norm(0, 1)}
    result = expectations({"f": lambda x: x[0] ** 2}, inputs, budget=200, key=0)
    with pytest.warns(uq.UqkitWarning, match="made with version .*, this is .* the result mixes both"):
        extend(result, {"f": lambda x: 100 + x[0] ** 2}, inputs, budget=200)
