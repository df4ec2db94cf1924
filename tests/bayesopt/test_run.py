"""Optimisation of a forward model: what is proposed and said."""

import itertools
from typing import Any

import jax
import numpy as np
import pytest
import torch
from botorch.exceptions.errors import ModelFittingError
from botorch.models import ModelListGP, MultiTaskGP, SingleTaskGP
from botorch.models.transforms import Normalize
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal
from scipy import stats

import uqkit as uq
from tests.bayesopt.bowl import bits, bowl, finished, group, limited, objective, run, two
from tests.callers import without_type_hook
from uqkit.bayesopt import (
    Acquisition,
    EnsembleNetwork,
    InfiniteWidthGP,
    LinearGP,
    PlainTraining,
    RandomSearch,
    SobolSearch,
    optimize,
)
from uqkit.bayesopt.candidates import modelled, to_physical, to_unit, unrepeated
from uqkit.bayesopt.predictions import Prediction, predict, scores_of
from uqkit.bayesopt.recipes import maker_of
from uqkit.bayesopt.result import best_so_far, front
from uqkit.bayesopt.rounds import fitted_rows
from uqkit.evaluate import evaluate
from uqkit.results import schema


def test_a_smooth_bowl_is_found_by_a_process_and_not_by_searches():
    regret = {
        name: group(run(surrogate=surrogate), "optimisation")["regret"].values
        for name, surrogate in (("process", SingleTaskGP), ("random", RandomSearch()), ("sobol", SobolSearch()))
    }
    assert regret["process"][-1] < 0.01
    assert regret["process"][-1] < min(regret["random"][-1], regret["sobol"][-1])
    # All of them began alike, and a best value never gets worse.
    assert len({values[0] for values in regret.values()}) == 1
    for values in regret.values():
        assert (np.diff(values) <= 0).all()


def test_the_trace_is_that_of_the_evaluations():
    optimisation, rows = (group(finished(), name) for name in ("optimisation", "evaluations"))
    points, values = rows["input_value"].values, rows["output_value"].values[:, 0]
    np.testing.assert_allclose(values, [bowl(point) for point in points])
    assert list(optimisation["n_evaluations_so_far"]) == [6, 8, 10, 12, 14]
    expected = [values[:n].min() for n in (6, 8, 10, 12, 14)]
    np.testing.assert_array_equal(optimisation["best_value"], expected)
    np.testing.assert_array_equal(optimisation["regret"], expected)
    np.testing.assert_array_equal(optimisation["best_input"][0], points[values.argmin()])
    assert list(rows["proposed_after"]) == [-1] * 6 + [0, 0, 1, 1, 2, 2, 3, 3]
    assert ((points >= [-1, 10]) & (points <= [2, 15])).all()
    # Predictions were made of proposals only, before they were seen.
    known = np.isfinite(rows["predicted"].values[:, 0])
    assert list(known) == [False] * 6 + [True] * 8
    inside = (rows["predicted_lower"] <= rows["output_value"]) & (rows["output_value"] <= rows["predicted_upper"])
    coverage = group(finished(), "diagnostics")["coverage"]
    assert float(coverage[0]) == inside.values[known].mean()


def test_the_last_surrogate_knows_the_best_value():
    estimates, draws = group(finished(), "estimates"), group(finished(), "posterior")["objective_value"]
    best = float(group(finished(), "optimisation")["best_value"][-1])
    assert float(estimates["objective_value_lower"][0, 0]) - 1e-3 <= best
    assert best <= float(estimates["objective_value_upper"][0, 0]) + 1e-3
    assert draws.sizes["chain"] * draws.sizes["draw"] == 1_000
    np.testing.assert_allclose(draws.mean(("chain", "draw")), estimates["objective_value"])


def test_a_maximum_is_found_with_its_sign():
    problem = objective(lambda x: -bowl(x), maximise=True)
    found = group(run(problem), "optimisation")["best_value"].values
    assert -0.01 < found[-1] <= 0
    assert (np.diff(found) >= 0).all()


def test_a_surrogate_that_cannot_be_fitted_leaves_the_evaluations():
    def stubborn(train_X: Any, train_Y: Any, *, key: Any) -> Any:  # noqa: N803
        raise ModelFittingError("all attempts failed")

    with pytest.raises(uq.EvaluationError, match="ModelFittingError: all attempts failed") as raised:
        run(surrogate=stubborn)
    assert len(raised.value.evaluations.points) == 6


def test_failed_points_count_as_the_worst_and_are_left():
    def fails(x: np.ndarray) -> float:
        return np.nan if x[0] > 0.5 else bowl(x)

    result = run(objective(fails))
    rows, diagnostics = group(result, "evaluations"), group(result, "diagnostics")
    failed = rows["status"].values != 0
    assert int(diagnostics["n_failed"]) == failed.sum() > 0
    assert "failed and were taken for as bad as the worst" in diagnostics["verdict_text"].item()
    assert float(group(result, "optimisation")["best_input"][0, 0]) <= 0.5
    evaluations = evaluate(
        objective(fails).forward, rows["input_value"].values, failures=uq.FailurePolicy(max_failed_share=0.9)
    )
    _, values = fitted_rows(objective(fails), evaluations)
    assert (values[failed, 0] == values[~failed, 0].max()).all()
    with pytest.raises(uq.EvaluationError, match="bowl at point"):
        run(objective(fails), failures=uq.FailurePolicy(on_error="raise"))


def test_limits_are_kept():
    problem = objective(limited, ("y", "slack"), constraints={"slack": (-np.inf, 0.2)}, maximise={"y": False})
    result = run(problem)
    rows = group(result, "evaluations")
    np.testing.assert_array_equal(rows["feasible"], rows["output_value"].values[:, 1] <= 0.2)
    best = group(result, "optimisation")["best_output"].values[0]
    # The least value within the limit is on it: 0.5^2.
    assert 0.25 <= best[0] < 0.35
    assert best[1] <= 0.2
    assert list(group(result, "estimates")["output"]) == ["y", "slack"]
    nowhere = run(objective(limited, ("y", "slack"), constraints={"slack": (5.0, np.inf)}), budget=8)
    assert np.isnan(group(nowhere, "optimisation")["best_value"]).all()
    assert "no point keeps all limits" in group(nowhere, "diagnostics")["verdict_text"].item()


def test_hypervolume_of_two_objectives_is_that_of_the_staircase():
    problem = objective(two, ("first", "second"), reference_point={"first": 2.0, "second": 2.0})
    result = run(problem, surrogate=ModelListGP, budget=12)
    found, values = group(result, "optimisation"), group(result, "evaluations")["output_value"].values
    for n, hypervolume in zip((6, 8, 10, 12), found["hypervolume"].values, strict=True):
        area, height = 0.0, 2.0
        for first, second in sorted(values[:n].tolist()):
            if first < 2.0 and second < height:
                area, height = area + (2.0 - first) * (height - second), second
        np.testing.assert_allclose(hypervolume, area, rtol=1e-12)
    assert found["hypervolume"][-1] > found["hypervolume"][0]
    nowhere = objective(two, ("first", "second"), reference_point={"first": -1.0, "second": 2.0})
    said = group(run(nowhere, surrogate=RandomSearch(), budget=6), "diagnostics")["verdict_text"].item()
    assert said == "no point is better than the reference point in all objectives, so the hypervolume is 0."
    chosen = found["best_output"].values
    for one, other in itertools.permutations(chosen, 2):
        assert not (one <= other).all()
    assert {tuple(row) for row in chosen} == {tuple(values[i]) for i in front(problem, values)}


@pytest.mark.parametrize(("batch_size", "words"), [(1, "0 of 8 proposals"), (4, ""), (2, "0 of 4 first proposals")])
def test_overconfidence_is_judged_once_a_fit(batch_size, words):
    # Intervals of no width hold nothing. Four in one batch are one error, of which five in a hundred fits have one.
    class Sure(SingleTaskGP):
        def posterior(self, X: Any, *arguments: Any, **settings: Any) -> Any:  # noqa: N803
            found = super().posterior(X, *arguments, **settings)
            if not settings.get("observation_noise"):
                return found
            mean = 0.0 * found.mean[..., 0] - 9.0
            return GPyTorchPosterior(MultivariateNormal(mean, 1e-6 * torch.eye(X.shape[-2]).expand(*mean.shape, -1)))

    budget = 6 + (4 if batch_size == 4 else 8)
    result = run(surrogate=lambda X, Y, *, key: Sure(X, Y), batch_size=batch_size, budget=budget)
    said = group(result, "diagnostics")["verdict_text"].item()
    assert ("overconfident of y" in said) == bool(words)
    assert words in said


def coded(x: np.ndarray) -> float:
    return [0.0, 1.0, -1.0][int(x[1])] + (x[0] - 0.3) ** 2


def categorical() -> uq.Objective:
    inputs = uq.Inputs(
        {"x": stats.uniform(0, 1), "kind": stats.uniform(0, 3)}, categories={"kind": ("low", "mid", "high")}
    )
    return uq.Objective(uq.ForwardModel(coded, inputs=inputs, name="coded", version="1"))


@pytest.mark.parametrize(
    "surrogate",
    [SingleTaskGP, InfiniteWidthGP.factory(), EnsembleNetwork.factory(training=PlainTraining(n_members=4, n_steps=50))],
    ids=["mixed", "one-hot", "network"],
)
def test_categories_are_whole_codes(surrogate):
    points = group(run(categorical(), surrogate=surrogate, budget=10), "evaluations")["input_value"].values
    assert set(points[:, 1]) <= {0.0, 1.0, 2.0}
    assert len(set(points[:, 1])) > 1
    assert len({tuple(point) for point in points}) == 10


def test_a_point_that_was_evaluated_is_not_proposed_again():
    points = group(run(bits(), budget=8, n_initial=4, batch_size=1), "evaluations")["input_value"].values
    initial = len({tuple(point) for point in points[:4]})
    assert len({tuple(point) for point in points}) == initial + 4


def test_points_are_within_their_bounds_however_they_are_rounded():
    inputs = {"a": stats.loguniform(0.3, 0.9), "b": stats.loguniform(1.2, 3.4)}
    problem = uq.Objective(uq.ForwardModel(bowl, inputs=inputs, name="bowl", version="1"))
    low, high = problem.bounds
    assert (low + (high - low) > high).all()
    np.testing.assert_array_equal(to_physical(problem, np.array([[1.0, 1.0], [0.0, 0.0]])), [high, low])
    np.testing.assert_array_equal(to_unit(problem, np.stack([low, high])), [[0, 0], [1, 1]])


def test_unit_inputs_that_are_one_physical_point_are_not_both_proposed():
    inputs = {"a": stats.uniform(1e8, 1e-6), "b": stats.uniform(0, 1)}
    problem = uq.Objective(uq.ForwardModel(bowl, inputs=inputs, name="bowl", version="1"))
    unit = np.array([[0.5, 0.5], [0.5 + 1e-9, 0.5], [0.25, 0.75]])
    physical = to_physical(problem, unit)
    assert (physical[0] == physical[1]).all()
    assert (unit[0] != unit[1]).any()
    chosen = unrepeated(problem, unit, physical[2:], jax.random.key(0))
    found = np.concatenate([physical[2:], to_physical(problem, chosen)])
    assert len({tuple(point) for point in found}) == 4
    np.testing.assert_array_equal(chosen[0], unit[0])


def test_unit_inputs_and_physical_ones():
    points = np.array([[-1.0, 15.0], [0.5, 10.0]])
    np.testing.assert_allclose(to_unit(objective(), points), [[0, 1], [0.5, 0]])
    np.testing.assert_allclose(to_physical(objective(), to_unit(objective(), points)), points)
    codes = np.array([[0.25, 2.0]])
    np.testing.assert_array_equal(to_unit(categorical(), codes), codes)
    np.testing.assert_array_equal(categorical().bounds, [[0, 0], [1, 2]])


def test_best_so_far_waits_for_a_feasible_point():
    problem = objective(limited, ("y", "slack"), constraints={"slack": (0.0, 1.0)}, maximise={"y": True})
    values = np.array([[9.0, 2.0], [1.0, 0.5], [np.nan, 0.5], [3.0, 0.5], [2.0, 0.5]])
    np.testing.assert_array_equal(best_so_far(problem, values, [1, 2, 3, 5]), [np.nan, 1, 1, 3])
    assert list(front(problem, values)) == [3]
    assert modelled(problem) == [0, 1]


def test_scores_are_those_of_closed_forms():
    rng = np.random.default_rng(0)
    value = rng.normal(2.0, 3.0, size=(4_000, 1))
    mean, sd = np.full((1, 4_000, 1), 2.0), np.full((1, 4_000, 1), 3.0)
    scores = scores_of(Prediction(mean, sd), value, np.array([2.0]))
    # Of a normal law predicted by itself: sd / sqrt(pi), and its entropy.
    assert abs(scores.crps[0] - 1.5 / np.sqrt(np.pi)) < 5 * 0.012
    assert abs(scores.log_score[0] - (0.5 * np.log(2 * np.pi * np.e) + np.log(1.5))) < 5 * 0.012
    assert abs(scores.coverage[0] - 0.9) < 5 * np.sqrt(0.09 / 4_000)
    assert abs(scores.rmse[0] - 1.5) < 5 * 0.017


def test_predictions_are_of_an_observation():
    X = torch.rand(12, 2, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    Y = torch.sin(3 * X.sum(-1, keepdim=True))
    network = EnsembleNetwork(X, Y, widths=(8,), training=PlainTraining(n_members=4, n_steps=50), key=0).fit()
    found = predict(network, X.numpy())
    assert found.mean.shape == (4, 12, 1)
    noise = network.noise_variance()[:, 0, 0].sqrt() * Y.std()
    np.testing.assert_allclose(found.sd[:, 0, 0], noise.numpy())
    mean, sd, lower, upper = found.summary()
    np.testing.assert_allclose(mean, network.posterior(X).mean.detach().numpy())
    assert ((lower < mean) & (mean < upper) & (sd > 0)).all()


def constant_factory(train_X: Any, train_Y: Any, *, key: Any) -> Any:  # noqa: N803
    return SingleTaskGP(train_X, train_Y)


def test_what_may_be_a_surrogate():
    assert maker_of(constant_factory).name == "constant_factory"
    assert maker_of(LinearGP.factory(ard=True)).description == "LinearGP(ard=True)"
    result = run(surrogate=constant_factory, budget=8)
    assert "constant_factory" in result.attrs["method"]
    with pytest.raises(uq.InputError, match="is the class MultiTaskGP"):
        run(surrogate=MultiTaskGP)
    with pytest.raises(uq.InputError, match=r"`surrogate` is 'gp'; pass SomeSurrogate\.factory"):
        run(surrogate="gp")


def test_descriptions_tell_settings_apart():
    def level(value: float) -> Any:
        return lambda X, Y, *, key: SingleTaskGP(X, Y + value)

    bounds = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.double)
    for one, other in (
        (level(1.0), level(2.0)),
        (LinearGP.factory(input_transform=Normalize(2)), LinearGP.factory(input_transform=Normalize(2, bounds=bounds))),
    ):
        assert maker_of(one).description != maker_of(other).description
    assert maker_of(level(1.0)).description == maker_of(level(1.0)).description


def test_addresses_are_no_part_of_a_description():
    one, other = (LinearGP.factory(input_transform=Normalize(2)) for _ in range(2))
    assert maker_of(one).description == maker_of(other).description
    assert "0x" not in maker_of(InfiniteWidthGP.factory(activation=torch.tanh)).description


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": 0}, "`budget` is 0"),
        ({"budget": np.nan}, "`budget` is nan; pass a whole number"),
        ({"budget": 1, "n_initial": None}, "`budget` is 1; pass a whole number of at least 2"),
        ({"n_initial": 1}, "`n_initial` is 1; pass a whole number of at least 2"),
        ({"n_initial": 4.0}, "`n_initial` is 4.0; pass a whole number"),
        ({"n_initial": 20}, "`n_initial` is 20 of a budget of 14"),
        ({"batch_size": 0}, "`batch_size` is 0"),
        ({"batch_size": 1.5}, "`batch_size` is 1.5"),
        ({"batch_size": "2"}, "`batch_size` is '2'"),
        ({"batch_size": True}, "`batch_size` is True"),
        ({"acquisition": "ei"}, r"`acquisition` is 'ei'; pass a uqkit Acquisition\(...\)"),
        ({"acquisition": Acquisition}, "`acquisition` is <class"),
        ({"failures": "raise"}, r"`failures` is 'raise'; pass a uqkit FailurePolicy\(...\)"),
        ({"surrogate": lambda X, Y: None}, "cannot be called as surrogate"),
        ({"surrogate": RandomSearch}, r"is the class RandomSearch; .*a search as in RandomSearch\(\)"),
        ({"surrogate": SingleTaskGP(torch.rand(3, 2).double(), torch.rand(3, 1).double())}, r"SomeSurrogate\.factory"),
        ({"key": 0.5}, "`key` is 0.5"),
    ],
)
def test_settings_are_checked(settings, message):
    def never(x: np.ndarray) -> float:
        pytest.fail("evaluated")

    with without_type_hook(), pytest.raises(uq.InputError, match=message):
        run(objective(never), **settings)


def test_the_least_budget_is_an_initial_design():
    for budget in (2, 3):
        assert len(group(run(budget=budget, n_initial=None), "evaluations")["point"]) == budget


def test_a_function_that_gives_no_model_leaves_the_evaluations():
    with pytest.raises(uq.EvaluationError, match="surrogate <lambda> gave a int; .* a fitted BoTorch model") as raised:
        run(surrogate=lambda X, Y, *, key: 3)
    assert len(raised.value.evaluations.points) == 6


def test_what_is_no_objective_is_refused():
    with (
        without_type_hook(),
        pytest.raises(uq.InputError, match="the objective is a ForwardModel; pass uqkit.Objective"),
    ):
        optimize(objective().forward, budget=10, key=0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(uq.InputError, match="n_raw=2 and n_restarts=4: starts are chosen among raw points"):
        Acquisition(n_raw=2)


def test_the_callers_random_state_is_left():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    run(budget=8)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert schema.ESTIMATES in finished().children
