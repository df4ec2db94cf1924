"""Plots of expectations and of the sampler: what is drawn is what the result holds."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import Rectangle
from scipy import stats

import uqkit as uq
from uqkit.sensitivity import expectations, plot_expectations, plot_known_means, plot_weights, sobol_indices

NORMAL = {"a": stats.norm(0, 1), "b": stats.norm(0, 1)}
FUNCTIONS = {"low": lambda x: x[0] ** 2, "high": lambda x: np.exp(2 * x[1] + 3), "signed": lambda x: x[0]}


@pytest.fixture(autouse=True)
def _no_window():
    mpl.use("agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def several():
    return expectations(FUNCTIONS, NORMAL, budget=500, key=0)


@pytest.fixture(scope="module")
def under_laws():
    laws = {f"law {i}": {"a": stats.norm(0.1 * i, 1), "b": stats.norm(0, 1)} for i in range(3)}
    return expectations({"low": FUNCTIONS["low"], "high": FUNCTIONS["high"]}, NORMAL, laws=laws, budget=500, key=0)


def drawn_markers(ax):
    return [np.asarray(line.get_xydata()) for line in ax.lines if line.get_marker() not in ("None", "", None)]


def assert_drawn(ax, estimates):
    (points,) = drawn_markers(ax)
    np.testing.assert_allclose(points[:, 0], estimates["expectation"])
    np.testing.assert_array_equal(points[:, 1], np.arange(len(points)))
    segments = [np.asarray(path.vertices)[:, 0] for path in ax.collections[0].get_paths()]
    ends = np.column_stack([estimates["expectation_lower"], estimates["expectation_upper"]])
    np.testing.assert_allclose(segments, ends)


def tick_labels(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_expectations_are_drawn_where_they_are(several):
    ax = plot_expectations(several)
    assert_drawn(ax, several["estimates"].to_dataset())
    assert tick_labels(ax) == ["low", "high", "signed"]
    assert "95% intervals" in ax.get_xlabel()
    assert ax.get_xscale() == "linear"
    one = plot_expectations(several, function="high")
    assert_drawn(one, several["estimates"].to_dataset().sel(function=["high"]))
    assert tick_labels(one) == ["high"]


def test_expectations_under_laws(under_laws):
    ax = plot_expectations(under_laws, function="low")
    assert_drawn(ax, under_laws["estimates"].to_dataset().sel(function="low"))
    assert tick_labels(ax) == ["law 0", "law 1", "law 2"]
    assert "low under 3 laws" in ax.get_title()


def test_expectations_of_many_sizes_have_a_logarithmic_axis():
    functions = {"small": lambda x: 1e-3 * np.exp(x[0]), "large": lambda x: np.exp(x[1])}
    assert plot_expectations(expectations(functions, NORMAL, budget=500, key=0)).get_xscale() == "log"


def test_weights_are_those_of_the_sample(several, under_laws):
    ax = plot_weights(several)
    n_draws = several["weighted_sample"].sizes["draw"]
    # Every weight of a sample with a share of the law is close enough to the largest or negligible.
    heights = sum(patch.get_height() for patch in ax.patches if isinstance(patch, Rectangle))
    assert 0.9 * n_draws <= heights <= n_draws
    assert f"of {n_draws:,} draws" in ax.get_title()
    weight = np.exp(several["weighted_sample"].to_dataset()["log_weight"].values.ravel())
    assert f"{weight.sum() ** 2 / (weight**2).sum():,.0f} effective" in ax.get_title()
    assert "effective" in plot_weights(under_laws, law="law 1").get_title()


def test_known_means_are_their_z_scores(several, under_laws):
    for result in (several, under_laws):
        diagnostics = result["diagnostics"].to_dataset()
        ax = plot_known_means(result)
        law, control = drawn_markers(ax)
        np.testing.assert_allclose(law[:, 1], np.atleast_1d(diagnostics["law_z"].values))
        np.testing.assert_allclose(control[:, 1], diagnostics["control_z"].values)
        assert len(set(law[:, 0]) | set(control[:, 0])) == len(law) + len(control)
        low, high = ax.get_ylim()
        assert low < control[:, 1].min()
        assert control[:, 1].max() < high
        assert f"verdict {diagnostics['verdict'].item()}" in ax.get_title()


@pytest.mark.parametrize("plot", [plot_expectations, plot_weights, plot_known_means])
def test_given_axes_are_used(several, plot):
    _, ax = plt.subplots()
    assert plot(several, ax=ax) is ax


def test_what_is_not_there_is_named(several, under_laws):
    indices = sobol_indices(uq.load("ishigami"), budget=160, key=0)
    with pytest.raises(uq.InputError, match="has no expectations; use plot_indices"):
        plot_expectations(indices)
    with pytest.raises(uq.InputError, match="no weighted sample"):
        plot_weights(indices)
    with pytest.raises(uq.InputError, match="no known means"):
        plot_known_means(indices)
    with pytest.raises(uq.InputError, match="no function 'z'; it has low, high, signed"):
        plot_expectations(several, function="z")
    with pytest.raises(uq.InputError, match="name one, function="):
        plot_expectations(under_laws)
    with pytest.raises(uq.InputError, match="name one of them, law="):
        plot_weights(under_laws)
