"""Sobol' indices by importance sampling of Jansen's forms: known indices, and what the method refuses."""

import numpy as np
import pytest
from scipy import stats

import uqkit as uq
from tests.statistical import assert_within_error
from uqkit.sensitivity import AdaptiveImportanceSampling, MixtureImportanceSampling, sobol_indices

ISHIGAMI = uq.load("ishigami")
LINEAR = uq.load("linear_gaussian")


def run(problem, budget, key=0, method=None, **settings):
    method = AdaptiveImportanceSampling() if method is None else method
    result = sobol_indices(problem, method=method, budget=budget, key=key, **settings)
    return result, result["estimates"].to_dataset().squeeze("output")


@pytest.mark.parametrize(("name", "budget", "max_error"), [("ishigami", 20_000, 0.05), ("cantilever", 16_000, 0.05)])
def test_indices_are_the_known_ones(name, budget, max_error):
    problem = uq.load(name)
    result, estimates = run(problem, budget)
    for index in ("sobol_first", "sobol_total"):
        truth = np.asarray(problem.references[index].values)
        assert_within_error(estimates[index].values, estimates[f"{index}_se"].values, truth, max_error=max_error)
        with pytest.raises(AssertionError):
            assert_within_error(
                estimates[index].values, estimates[f"{index}_se"].values, truth[::-1], max_error=max_error
            )
    assert result["diagnostics"].to_dataset()["verdict"].item() in ("ok", "warn")
    assert result.attrs["n_model_evaluations"] <= budget


def test_mean_and_variance_come_with_them():
    problem = uq.load("cantilever")
    _, estimates = run(problem, 8_000)
    for name, scale in (("output_mean", 0.0438), ("output_variance", 4.23e-4)):
        value, error = (float(estimates[label]) / scale for label in (name, f"{name}_se"))
        truth = float(np.ravel(problem.references[name].values)[0]) / scale
        assert_within_error(value, error, truth, max_error=0.1)


def test_rare_variance_is_what_it_is_for():
    # Nearly all of the variance is where a exceeds three: P = sf(3), b scales it a little.
    inputs = {"a": stats.norm(0, 1), "b": stats.uniform(0, 1)}
    model = uq.ForwardModel(lambda x: (x[:, 0] > 3) * (1 + 0.5 * x[:, 1]), inputs=inputs, takes="batch")
    p, mean, square = stats.norm.sf(3), 1.25, 1 + 0.5 + 0.25 / 3
    variance = p * square - (p * mean) ** 2
    first = np.array([p * (1 - p) * mean**2, p**2 * 0.25 / 12]) / variance
    total = np.array([p * (1 - p) * square, p * 0.25 / 12]) / variance
    result, estimates = run(model, 16_000)
    assert_within_error(estimates["sobol_total"].values, estimates["sobol_total_se"].values, total, max_error=0.1)
    assert_within_error(estimates["sobol_first"].values, estimates["sobol_first_se"].values, first, max_error=0.1)
    assert result["diagnostics"].to_dataset()["verdict"].item() != "fail"


def test_groups_share_the_variance_of_their_members():
    _, estimates = run(LINEAR, 8_000, groups={"pair": ["x1", "x3"]})
    assert estimates["group"].values.tolist() == ["pair", "x2"]
    for name in ("sobol_first", "sobol_total"):
        assert_within_error(
            estimates[name].values, estimates[f"{name}_se"].values, np.array([5 / 6, 1 / 6]), max_error=0.03
        )


def test_dependent_inputs_go_together():
    inputs = uq.Inputs({name: stats.norm(0, 1) for name in "abc"}, copula=uq.GaussianCopula({("a", "b"): 0.6}))
    model = uq.ForwardModel(lambda x: x @ np.array([1.0, 1.0, 2.0]), takes="batch", inputs=inputs, name="sum")
    with pytest.raises(uq.InputError, match="the inputs a, b of sum depend on each other"):
        run(model, 4_000)
    _, estimates = run(model, 8_000, groups={"ab": ["a", "b"]})
    share = np.array([3.2, 4.0]) / 7.2
    assert_within_error(estimates["sobol_total"].values, estimates["sobol_total_se"].values, share, max_error=0.05)


def test_the_stated_number_of_evaluations_is_the_counted_one():
    calls = []

    def model(x):
        calls.append(tuple(x))
        return x[0] + x[1] ** 2

    problem = uq.ForwardModel(model, inputs={"a": stats.norm(0, 1), "b": stats.norm(0, 1)})
    result, estimates = run(problem, 1_003, order=("first",))
    assert len(calls) == result.attrs["n_model_evaluations"] <= 1_003
    assert len(calls) % 4 == 0
    assert "sobol_total" not in estimates
    again, _ = run(problem, 1_003, order=("first",))
    for group in ("estimates", "posterior", "evaluations"):
        assert again[group].to_dataset().identical(result[group].to_dataset())


def test_what_it_cannot_do_is_refused_before_any_call():
    calls = []

    def model(x):
        calls.append(1)
        return x[:, 0]

    inputs = {"a": stats.norm(0, 1), "b": stats.norm(0, 1)}
    one = uq.ForwardModel(model, inputs=inputs, takes="batch")
    two = uq.ForwardModel(model, inputs=inputs, takes="batch", outputs=("y", "z"), name="both")
    with pytest.raises(uq.InputError, match=r"both has 2 outputs, and importance sampling aims at one"):
        run(two, 4_000)
    with pytest.raises(uq.InputError, match=r"use PickFreeze\(\) for second order"):
        run(one, 4_000, order=("first", "second"))
    with pytest.raises(uq.InputError, match=r"`budget` is 399; .* at least 100 draws of 4 evaluations, 400"):
        run(one, 399)
    with pytest.raises(uq.InputError, match=r"MixtureImportanceSampling\(\) is for many laws"):
        run(one, 4_000, method=MixtureImportanceSampling())
    with pytest.raises(uq.InputError, match=r"`tolerance` goes with PickFreeze\(\)"):
        run(one, 4_000, tolerance=0.1)
    assert not calls


def test_extension_says_that_it_cannot():
    result, _ = run(LINEAR, 1_000)
    with pytest.raises(uq.StoreError, match="Sobol' indices by AdaptiveImportanceSampling cannot be continued"):
        uq.sensitivity.extend(result, LINEAR, budget=1_000)
    with pytest.raises(uq.StoreError, match="made by AdaptiveImportanceSampling"):
        uq.sensitivity.restore(result, LINEAR)
