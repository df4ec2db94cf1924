"""Pictures show the numbers of the result, and refuse results of another kind."""

from functools import cache
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from botorch.models import SingleTaskGP
from scipy import stats

import uqkit as uq
from uqkit.bayesopt import Acquisition, LinearGP, RandomSearch, compare, optimize, plots
from uqkit.plots import STYLES

mpl.use("agg")
QUICK = Acquisition(n_samples=16, n_restarts=1, n_raw=16, max_iterations=5)


@cache
def one() -> Any:
    return optimize(uq.load("branin"), surrogate=SingleTaskGP, budget=12, n_initial=8, key=0, acquisition=QUICK)


@cache
def two() -> Any:
    return optimize(uq.load("branin_currin"), surrogate=SingleTaskGP, budget=12, n_initial=10, key=0, acquisition=QUICK)


@cache
def study() -> Any:
    objectives = [uq.load("branin"), uq.load("gramacy_lee")]
    surrogates = [SingleTaskGP, LinearGP.factory()]
    sizes: dict[str, Any] = {"budget": 8, "n_initial": 6, "batch_size": 2, "n_test": 16}
    return compare(objectives, surrogates, keys=range(3), acquisition=QUICK, **sizes)


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def line(ax: Any, label: str) -> np.ndarray:
    (found,) = [each for each in ax.get_lines() if each.get_label() == label]
    return np.stack(found.get_data())


def test_progress():
    trace, rows = one()["optimisation"].to_dataset(), one()["evaluations"].to_dataset()
    ax = plots.plot_progress(one())
    np.testing.assert_array_equal(line(ax, "best value"), [trace["n_evaluations_so_far"], trace["best_value"]])
    np.testing.assert_array_equal(line(ax, "evaluations")[1], rows["output_value"].values[:, 0])
    ax = plots.plot_progress(two())
    np.testing.assert_array_equal(line(ax, "hypervolume")[1], two()["optimisation"]["hypervolume"])


def constrained() -> Any:
    """The limit is the first output, the two objectives come after it, and a third of the runs keep no limit."""
    inputs = {"a": stats.uniform(0, 1), "b": stats.uniform(0, 1)}
    model = uq.ForwardModel(
        lambda x: np.array([x[0], x[1] ** 2, (1 - x[1]) ** 2 + x[0]]),
        inputs=inputs,
        outputs=("slack", "first", "second"),
        name="limited",
        version="1",
    )
    limits, both = {"slack": (0.5, 1.0)}, {"first": 2.0, "second": 3.0}
    return (
        uq.Objective(model, maximise={"first": False}, constraints=limits),
        uq.Objective(model, maximise={"second": False, "first": False}, constraints=limits, reference_point=both),
    )


def test_the_first_objective_is_what_is_optimised():
    single, several = (
        optimize(objective, surrogate=SingleTaskGP, budget=8, n_initial=6, key=0, acquisition=QUICK)
        for objective in constrained()
    )
    rows = single["evaluations"].to_dataset()
    feasible = rows["feasible"].values == 1
    ax = plots.plot_progress(single)
    np.testing.assert_array_equal(line(ax, "evaluations")[1], rows["output_value"].sel(output="first")[feasible])
    assert plots.plot_predictions(single).get_xlabel() == "first evaluated [1]"
    assert plots.plot_best(single).get_xlabel() == "first [1]"
    ax = plots.plot_front(several)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("second [1]", "first [1]")


def test_runs_without_a_feasible_point_count_as_the_worst():
    for maximise, sign in ((False, 1.0), (True, -1.0)):
        model = uq.ForwardModel(
            lambda x, sign=sign: np.array([sign * x[0], x[1]]),
            inputs={"a": stats.uniform(0, 1), "b": stats.uniform(0, 1)},
            outputs=("y", "slack"),
            name="rare",
            version=str(sign),
        )
        for limit, drawn in (((0.95, 1.0), True), ((2.0, 3.0), False)):
            objective = uq.Objective(model, maximise={"y": maximise}, constraints={"slack": limit})
            result = compare(objective, [LinearGP.factory()], budget=6, n_initial=4, keys=range(5), acquisition=QUICK)
            if not drawn:
                with pytest.raises(uq.InputError, match="no run has a feasible point; there is nothing to draw"):
                    plots.plot_regret(result)
                continue
            traces = result["optimisation"].to_dataset()
            values = traces["best_value"].sel(surrogate="RandomSearch").values[0]
            assert np.isnan(values).any()
            assert np.isfinite(values).any()
            counted = np.sort(np.where(np.isnan(values), sign * np.inf, values), axis=0)
            expected = np.where(np.isfinite(counted[2]), counted[2], np.nan)
            np.testing.assert_array_equal(line(plots.plot_regret(result), "RandomSearch")[1], expected)


def test_a_regret_of_nothing_stays_in_the_picture():
    # Four points of a Sobol' sequence lie in each quarter: the best value is among them.
    inputs = {"a": stats.uniform(0, 1), "b": stats.uniform(0, 1)}
    step = uq.ForwardModel(lambda x: float(x[0] < 0.6), inputs=inputs, name="step", version="1")
    best = uq.Reference(values=(0.0,), kind="closed form", source="a step")
    result = compare(uq.Objective(step, best=best), [LinearGP.factory()], budget=5, n_initial=4, keys=range(2))
    np.testing.assert_array_equal(line(plots.plot_regret(result), "LinearGP")[1], [1e-8, 1e-8])


def test_every_surrogate_has_a_line():
    surrogates = {f"search {i}": RandomSearch() for i in range(2 * len(STYLES))} | {"linear": LinearGP.factory()}
    result = compare(uq.load("branin"), surrogates, budget=4, n_initial=4, keys=range(2))
    labels = {each.get_label() for each in plots.plot_regret(result).get_lines()}
    assert set(surrogates) <= labels


def test_best_and_predictions():
    ax = plots.plot_best(two(), output="currin")
    expected = two()["estimates"]["objective_value"].sel(output="currin")
    np.testing.assert_array_equal(line(ax, "surrogate, 95% interval")[0], expected)
    assert ax.get_xlabel() == "currin [1]"
    ax = plots.plot_predictions(one())
    rows = one()["evaluations"].to_dataset()
    values, mean = line(ax, "predicted before evaluation, 95% interval")
    np.testing.assert_array_equal(values, rows["output_value"].values[8:, 0])
    np.testing.assert_array_equal(mean, rows["predicted"].values[8:, 0])


def test_front():
    ax = plots.plot_front(two(), objectives=("currin", "branin"))
    best = two()["optimisation"]["best_output"]
    np.testing.assert_array_equal(line(ax, "not dominated"), [best.sel(output=name) for name in ("currin", "branin")])


def test_regret_is_the_median_over_runs():
    ax = plots.plot_regret(study(), "branin")
    regret = study()["optimisation"]["regret"].sel(study_problem="branin", surrogate="LinearGP")
    np.testing.assert_allclose(line(ax, "LinearGP"), [[6, 8], regret.median("replicate")])
    assert ax.get_yscale() == "log"


def test_ranks_and_differences():
    ax = plots.plot_ranks(study())
    ranks = study()["diagnostics"]["mean_rank"]
    np.testing.assert_array_equal(ax.get_lines()[0].get_xdata(), np.sort(ranks))
    # With two problems nothing is told apart: one bar joins all.
    np.testing.assert_array_equal(ax.get_lines()[1].get_ydata(), [0, 3])
    ax = plots.plot_differences(study(), "SingleTaskGP", "RandomSearch")
    pair = {"surrogate": "SingleTaskGP", "surrogate_other": "RandomSearch"}
    expected = study()["estimates"]["log_regret_difference"].sel(pair)
    np.testing.assert_array_equal(ax.get_lines()[0].get_xdata(), expected)
    assert ax.get_xlabel() == "SingleTaskGP less RandomSearch: log regret difference"


def test_coverage():
    ax = plots.plot_coverage(study())
    coverage = study()["optimisation"]["coverage"].sel(surrogate="LinearGP").isel(iteration=-1).mean("replicate")
    np.testing.assert_allclose(line(ax, "LinearGP")[0], coverage)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.plot_progress(study()), "not one of optimize"),
        (lambda: plots.plot_regret(one()), "not one of compare"),
        (lambda: plots.plot_regret(study()), "has the problems branin, gramacy_lee; name one"),
        (lambda: plots.plot_regret(study(), "ackley"), "no problem 'ackley'; it has branin, gramacy_lee"),
        (lambda: plots.plot_front(one()), "one objective, which has no front"),
        (lambda: plots.plot_front(two(), objectives=("branin", "cost")), "name two of branin, currin"),
        (lambda: plots.plot_best(one(), output="cost"), "no output 'cost'; it has y"),
        (lambda: plots.plot_differences(study(), "HMC", "LinearGP"), "no surrogate 'HMC'"),
        (
            lambda: plots.plot_differences(study(), "LinearGP", "SingleTaskGP", variable="regret"),
            "no variable 'regret'",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, message):
    with pytest.raises(uq.InputError, match=message):
        draw()


def test_a_search_has_nothing_predicted():
    searched = optimize(uq.load("branin"), surrogate=RandomSearch(), budget=8, key=0)
    with pytest.raises(uq.InputError, match="a search without a surrogate"):
        plots.plot_predictions(searched)
    with pytest.raises(uq.InputError, match="has no estimates"):
        plots.plot_best(searched)
