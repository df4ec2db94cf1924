"""Expectations of many functions from one sample: known means, and everything the verb promises around them."""

import inspect

import arviz as az
import numpy as np
import pytest
from scipy import stats

import uqkit as uq
from tests.statistical import assert_within_error
from uqkit.sensitivity import AdaptiveImportanceSampling, Physical, StudentT, expectations

# Under test, arguments of a wrong type meet the type checker first; a user meets our own messages.
unchecked_expectations = inspect.unwrap(expectations)
NORMAL = {"a": stats.norm(0, 1), "b": stats.norm(0, 1)}


def normals(dim):
    return {f"x{i}": stats.norm(0, 1) for i in range(dim)}


def batch(function, inputs, n_functions=1, **settings):
    labels = tuple(f"f{i}" for i in range(n_functions))
    return uq.ForwardModel(function, inputs=inputs, outputs=labels, takes="batch", version="1", **settings)


def counted(answer=lambda x: np.exp(x[0]) + x[1]):
    calls = []

    def model(x):
        calls.append(tuple(x))
        return answer(x)

    return model, calls


def estimated(result):
    estimates = result["estimates"].to_dataset()
    return estimates["expectation"].values, estimates["expectation_se"].values


def verdict(result):
    return result["diagnostics"].to_dataset()["verdict"].item()


# ---------------------------------------------------------------- known means


ODD_FACTORIALS = np.array([np.prod(np.arange(2.0 * j - 1, 0, -2)) for j in range(1, 11)])


@pytest.fixture(scope="module")
def moments():
    model = batch(lambda x: x ** np.arange(2, 21, 2), {"x": stats.norm(0, 1)}, 10)
    return expectations(model, budget=5_000, key=0)


def test_even_moments_of_a_gaussian_are_odd_factorials(moments):
    value, error = estimated(moments)
    assert_within_error(value / ODD_FACTORIALS, error / ODD_FACTORIALS, np.ones(10), max_error=0.02)
    assert verdict(moments) == "ok"


def test_draws_taken_without_their_weights_are_far_off(moments):
    values = moments["weighted_sample"].to_dataset()["output_value"].values[0]
    with pytest.raises(AssertionError):
        assert_within_error(
            values.mean(axis=0) / ODD_FACTORIALS,
            values.std(axis=0) / np.sqrt(len(values)) / ODD_FACTORIALS,
            np.ones(10),
            max_error=1.0,
        )


@pytest.mark.parametrize(("dim", "gain"), [(2, 1_000), (5, 100), (10, 10)])
def test_exponentials_of_linear_functions(dim, gain):
    direction = np.random.default_rng(0).standard_normal((dim, 5))
    theta = 1.5 * direction / np.linalg.norm(direction, axis=0)
    value, error = estimated(expectations(batch(lambda x: np.exp(x @ theta), normals(dim), 5), budget=10_000, key=0))
    truth = np.exp(1.5**2 / 2)
    assert_within_error(value / truth, error / truth, np.ones(5), max_error=0.01)
    # A draw of plain Monte Carlo has the relative variance exp(|theta|^2) - 1.
    assert (np.exp(1.5**2) - 1) / 10_000 / np.mean((error / truth) ** 2) >= gain


@pytest.mark.parametrize(
    "method",
    [
        AdaptiveImportanceSampling(),
        AdaptiveImportanceSampling(score_order=1),
    ],
    ids=["components", "first-order scores"],
)
def test_signed_functions_cancel(method):
    model = batch(lambda x: np.column_stack([x[:, 0], x[:, 0] ** 3, x[:, 0] ** 3 - x[:, 0], x[:, 0] + 0.5]), NORMAL, 4)
    value, error = estimated(expectations(model, method=method, budget=5_000, key=0))
    assert_within_error(value, error, np.array([0.0, 0.0, 0.0, 0.5]), max_error=0.02)


def test_a_rare_event():
    result = expectations(batch(lambda x: x[:, :1] > 3.5, {"x": stats.norm(0, 1)}), budget=4_000, key=0)
    value, error = estimated(result)
    truth = stats.norm.sf(3.5)
    assert_within_error(value / truth, error / truth, 1.0, max_error=0.05)
    assert verdict(result) == "ok"


@pytest.mark.parametrize("budget", [1_000, 2_000, 8_000])
@pytest.mark.parametrize("key", range(2))
def test_rare_events_in_ten_dimensions_are_right_or_doubted(budget, key):
    model = batch(lambda x: (x[:, :4] > 3.5).astype(float), normals(10), 4)
    result = expectations(model, budget=budget, key=key)
    value, error = estimated(result)
    assert np.isfinite(value).all()
    assert np.isfinite(error).all()
    truth = stats.norm.sf(3.5)
    if verdict(result) == "ok":
        assert_within_error(value / truth, error / truth, np.ones(4), max_error=0.2)
    assert verdict(result) != "fail" or budget < 8_000


def test_an_event_that_never_happens_is_zero_and_said_to_fail():
    result = expectations(batch(lambda x: x[:, :1] > 60.0, NORMAL), budget=1_000, key=0)
    value, error = estimated(result)
    assert (value[0], error[0]) == (0.0, 0.0)
    assert verdict(result) == "fail"
    assert "effective draws that carry f0 are 0" in result["diagnostics"]["verdict_text"].item()


@pytest.mark.parametrize(
    "method",
    [AdaptiveImportanceSampling(), AdaptiveImportanceSampling(coordinates=Physical(), family=StudentT())],
    ids=["normal coordinates", "physical coordinates"],
)
def test_heavy_tails(method):
    inputs = {f"x{i}": stats.t(3) for i in range(5)}
    # In physical units no component has the tails of all five at once.
    budget = 20_000 if method.coordinates == Physical() else 10_000
    result = expectations(batch(np.abs, inputs, 5), method=method, budget=budget, key=0)
    value, error = estimated(result)
    truth = 2 * np.sqrt(3) / np.pi
    assert_within_error(value / truth, error / truth, np.ones(5), max_error=0.01)
    assert verdict(result) == "ok"


# ---------------------------------------------------------------- what the result holds


@pytest.fixture(scope="module")
def pair():
    return expectations(
        {"f": lambda x: np.exp(x[0]), "g": lambda x: x[1] ** 2, "sum": lambda x: np.exp(x[0]) + x[1] ** 2},
        NORMAL,
        budget=1_000,
        key=0,
    )


def test_intervals_are_the_normal_ones(pair):
    estimates = pair["estimates"].to_dataset()
    value, error = estimated(pair)
    np.testing.assert_allclose(estimates["expectation_upper"].values, value + stats.norm.ppf(0.975) * error)
    np.testing.assert_allclose(estimates["expectation_lower"].values, value - stats.norm.ppf(0.975) * error)
    assert estimates["expectation_lower"].attrs["probability"] == 0.95
    assert estimates["function"].values.tolist() == ["f", "g", "sum"]


def test_posterior_draws_have_the_covariance_of_the_estimates(pair):
    value, error = estimated(pair)
    draws = pair["posterior"].to_dataset()["expectation"].values.reshape(-1, 3)
    n_draws = len(draws)
    np.testing.assert_allclose(draws.std(axis=0), error, rtol=5 / np.sqrt(2 * n_draws))
    assert (np.abs(draws.mean(axis=0) - value) <= 5 * error / np.sqrt(n_draws)).all()
    # One sample: where it errs on f and g it errs on their sum alike, draw by draw.
    np.testing.assert_allclose(draws[:, 2], draws[:, 0] + draws[:, 1], atol=1e-6 * error[2])
    # Variances of f, g and f + g give the covariance of f and g.
    covariance = (error[2] ** 2 - error[0] ** 2 - error[1] ** 2) / 2
    assert abs(np.cov(draws[:, :2].T)[0, 1] - covariance) <= 5 * error[0] * error[1] * np.sqrt(2 / n_draws)


def test_weighted_sample_is_plain_importance_sampling(pair):
    sample = pair["weighted_sample"].to_dataset()
    points, values = sample["input_value"].values[0], sample["output_value"].values[0]
    np.testing.assert_allclose(values[:, 0], np.exp(points[:, 0]))
    weight = np.exp(sample["log_weight"].values[0])
    terms = weight[:, None] * np.column_stack([values, np.ones(len(values))])
    error = terms.std(axis=0) / np.sqrt(len(terms))
    assert_within_error(terms.mean(axis=0), error, np.array([np.exp(0.5), 1.0, np.exp(0.5) + 1, 1.0]), max_error=0.2)
    # The law keeps a tenth of the proposal, so that no weight is above ten.
    assert weight.max() <= 10 * (1 + 1e-9)


def test_arviz_reads_it(pair):
    summary = az.summary(pair)
    assert list(summary.index) == ["expectation[f]", "expectation[g]", "expectation[sum]"]
    assert np.all(summary["r_hat"].astype(float) < 1.05)


def test_same_key_same_numbers(pair):
    functions = {"f": lambda x: np.exp(x[0]), "g": lambda x: x[1] ** 2, "sum": lambda x: np.exp(x[0]) + x[1] ** 2}
    again, other = (expectations(functions, NORMAL, budget=1_000, key=key) for key in (0, 1))
    for group in ("estimates", "posterior", "weighted_sample", "evaluations", "diagnostics"):
        assert again[group].to_dataset().identical(pair[group].to_dataset())
    assert not np.isin(estimated(other)[0], estimated(pair)[0]).any()


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_saved_and_loaded_it_is_the_same(pair, tmp_path, suffix):
    loaded = uq.results.load(uq.results.save(pair, tmp_path / f"run{suffix}"))
    assert loaded.attrs == pair.attrs
    for group in pair.children:
        assert loaded[group].to_dataset().identical(pair[group].to_dataset())


# ---------------------------------------------------------------- functions, and what they cost


@pytest.mark.parametrize("budget", [100, 333, 1_000])
def test_the_stated_number_of_evaluations_is_the_counted_one(budget):
    model, calls = counted()
    result = expectations(model, NORMAL, budget=budget, key=0)
    assert len(calls) == result.attrs["n_model_evaluations"] <= budget
    diagnostics = result["diagnostics"].to_dataset()
    assert int(diagnostics["n_model_evaluations"]) + int(diagnostics["budget_unused"]) == budget
    assert np.array_equal(np.array(calls), result["evaluations"].to_dataset()["input_value"].values)
    sample = result["weighted_sample"].to_dataset()
    assert sample.sizes["draw"] == len(calls) - int(diagnostics["n_exploration"])


def test_every_way_of_giving_functions_gives_the_same_numbers():
    def f(x):
        return np.exp(x[0])

    def g(x):
        return x[1] ** 2

    def both(x):
        return [f(x), g(x)]

    ways = {
        "dict": expectations({"f": f, "g": g}, NORMAL, budget=200, key=0),
        "list": expectations([f, g], uq.Inputs(NORMAL), budget=200, key=0),
        "model": expectations(uq.ForwardModel(both, inputs=NORMAL, outputs=("f", "g")), budget=200, key=0),
    }
    for result in ways.values():
        assert result["estimates"].to_dataset()["function"].values.tolist() == ["f", "g"]
        np.testing.assert_array_equal(estimated(result)[0], estimated(ways["dict"])[0])
    one = expectations(f, NORMAL, budget=200, key=0)
    assert one["estimates"].to_dataset()["function"].values.tolist() == ["f"]
    nameless = expectations([lambda x: x[0], lambda x: x[1]], NORMAL, budget=200, key=0)
    assert nameless["estimates"].to_dataset()["function"].values.tolist() == ["f1", "f2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": 99}, "`budget` is 99; importance sampling needs at least 100"),
        ({"budget": 0}, "above zero"),
        ({"budget": 200.5}, "a whole number"),
        ({"inputs": None}, "`inputs` is missing; pass a dict"),
        ({"laws": {}}, "pass a dict of at least one name -> law"),
        ({"laws": {"l": {"a": stats.norm(), "c": stats.norm()}}}, "law 'l' is of a, c, the inputs are a, b"),
        ({"laws": {"l": {"b": stats.norm(), "a": stats.norm()}}}, "the same inputs in the same order"),
        ({"method": "mixture"}, r"pass AdaptiveImportanceSampling\(\) or MixtureImportanceSampling\(\)"),
        ({"tolerance": 0.0}, "pass a share of the estimates above zero"),
        ({"tolerance": -1.0}, "pass a share of the estimates above zero"),
        ({"tolerance": np.nan}, "pass a share of the estimates above zero"),
        ({"key": None}, "pass an int such as key=0"),
        (
            {"method": AdaptiveImportanceSampling(expectation_weights=(1.0, 2.0))},
            "2 `expectation_weights` but there are 1 expect",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_evaluation(arguments, message):
    model, calls = counted()
    settings = {"inputs": NORMAL, "budget": 200, "key": 0} | arguments
    with pytest.raises(uq.InputError, match=message):
        unchecked_expectations(model, settings.pop("inputs"), **settings)
    assert not calls


@pytest.mark.parametrize("functions", [[], {}])
def test_no_functions(functions):
    with pytest.raises(uq.InputError, match="no functions given; pass at least one"):
        expectations(functions, NORMAL, budget=200, key=0)


def test_inputs_are_not_given_twice():
    with pytest.raises(uq.InputError, match="the model has its own inputs; leave `inputs` out"):
        expectations(batch(lambda x: x[:, :1], NORMAL), NORMAL, budget=200, key=0)


# ---------------------------------------------------------------- failures, and stopping


def failing(share):
    def model(x):
        values = np.exp(x[:, :1])
        values[(np.abs(x[:, 0] * 1e6) % 1) < share] = np.nan
        return values

    return batch(model, NORMAL)


def test_draws_that_fail_are_left_out_and_counted():
    result = expectations(failing(0.03), budget=4_000, key=0)
    diagnostics = result["diagnostics"].to_dataset()
    n_failed = int(diagnostics["n_failed"])
    assert 0 < n_failed < 0.06 * 4_000
    assert verdict(result) == "warn"
    assert diagnostics["verdict_text"].item().startswith(f"{n_failed} evaluations failed")
    evaluations = result["evaluations"].to_dataset()
    assert evaluations["failed_point"].size == n_failed
    assert set(evaluations["failure_message"].values.tolist()) == {"output 'f0' is nan"}
    value, error = estimated(result)
    # Which draws fail has nothing to do with the answer here.
    assert_within_error(value, error, np.exp(0.5), max_error=0.02)


def test_too_many_failures_are_refused():
    with pytest.raises(uq.EvaluationError, match=r"failed \(\d\d\.\d%\), allowed are 10\.0%"):
        expectations(failing(0.4), budget=1_000, key=0)


def test_a_store_repeats_no_finished_call(tmp_path):
    store = tmp_path / "run.sqlite"
    finished = []

    def interrupted(x):
        if len(finished) == 150:
            raise KeyboardInterrupt
        finished.append(tuple(x))
        return np.exp(x[0])

    model = uq.ForwardModel(interrupted, inputs=NORMAL, version="1")
    with pytest.raises(uq.RunInterrupted):
        expectations(model, budget=400, key=0, store=store)
    rest, calls = counted(lambda x: np.exp(x[0]))
    resumed = expectations(uq.ForwardModel(rest, inputs=NORMAL, version="1"), budget=400, key=0, store=store)
    assert len(finished) == 150
    assert len(calls) == resumed.attrs["n_model_evaluations"] - 150
    assert not set(calls) & set(finished)
    whole = expectations(uq.ForwardModel(counted(lambda x: np.exp(x[0]))[0], inputs=NORMAL), budget=400, key=0)
    assert resumed["estimates"].to_dataset().identical(whole["estimates"].to_dataset())


# ---------------------------------------------------------------- tolerance


def test_tolerance_is_reached_and_saves_evaluations():
    result = expectations(lambda x: np.exp(x[0]), NORMAL, budget=10_000, key=0, tolerance=0.05)
    value, error = estimated(result)
    assert 1.96 * error[0] <= 0.05 * value[0]
    assert result.attrs["n_model_evaluations"] < 5_000
    assert_within_error(value, error, np.exp(0.5), max_error=0.05)


def test_a_tolerance_out_of_reach_spends_the_budget_and_no_more():
    model, calls = counted(lambda x: np.exp(x[0] + 2 * np.sin(5 * x[1])))
    result = expectations(model, NORMAL, budget=1_500, key=0, tolerance=1e-9)
    assert len(calls) == result.attrs["n_model_evaluations"] == 1_500


@pytest.mark.parametrize(("stop", "error"), [(KeyboardInterrupt, uq.RunInterrupted), (ValueError, uq.EvaluationError)])
def test_a_stop_in_a_later_batch_keeps_the_rows_of_earlier_ones(stop, error):
    calls = []

    def stopped(x):
        calls.append(x)
        if len(calls) > 150:
            raise stop
        return x[0] ** 2

    model = uq.ForwardModel(stopped, inputs=NORMAL)
    with pytest.raises(error) as caught:
        expectations(model, budget=1_000, key=0, failures=uq.FailurePolicy(on_error="raise"))
    # A batch of exploration has 50 draws, so these 150 rows come from three of them.
    kept = caught.value.evaluations
    assert int(kept.ok.sum()) == 150
    assert np.array_equal(kept.points[:150], np.stack(calls[:150]))
