import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

import uqkit as uq
from uqkit.sensitivity import (
    plot_convergence,
    plot_field_indices,
    plot_indices,
    plot_output,
    plot_second_order,
    sobol_indices,
)


@pytest.fixture(autouse=True)
def _no_window():
    mpl.use("agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def ishigami():
    return sobol_indices(uq.load("ishigami"), budget=1_024, key=0, order=("first", "total", "second"))


@pytest.fixture(scope="module")
def field():
    times = [0.0, 1.0, 2.0]
    model = uq.ForwardModel(
        lambda x: x[0] + x[1] * np.asarray(times),
        inputs={"level": stats.norm(0, 1), "slope": stats.norm(0, 1)},
        outputs={"height": ("m", ("time",), {"time": times})},
    )
    return sobol_indices(model, budget=256, key=0)


def drawn_markers(ax):
    return [np.asarray(line.get_xydata()) for line in ax.lines if line.get_marker() not in ("None", "", None)]


def test_indices_are_drawn_where_they_are(ishigami):
    ax = plot_indices(ishigami)
    estimates = ishigami["estimates"].to_dataset().squeeze("output")
    first, total = drawn_markers(ax)
    assert np.allclose(first[:, 0], estimates["sobol_first"])
    assert np.allclose(total[:, 0], estimates["sobol_total"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["x1", "x2", "x3"]
    assert "95% intervals" in ax.get_xlabel()
    segments = [np.asarray(path.vertices) for path in ax.collections[0].get_paths()]
    assert np.allclose(
        [segment[:, 0] for segment in segments],
        np.column_stack([estimates["sobol_first_lower"], estimates["sobol_first_upper"]]),
    )


def test_convergence_ends_at_the_estimate(ishigami):
    ax = plot_convergence(ishigami, order="first")
    final = sorted(float(np.asarray(line.get_ydata())[-1]) for line in ax.lines)
    assert np.allclose(final, np.sort(ishigami["estimates"].to_dataset()["sobol_first"].values.ravel()))
    assert np.asarray(ax.lines[0].get_xdata())[-1] == ishigami.attrs["n_model_evaluations"]


def test_interactions_come_largest_first(ishigami):
    ax = plot_second_order(ishigami)
    (values,) = drawn_markers(ax)
    assert (np.diff(values[:, 0]) <= 0).all()
    assert ax.get_yticklabels()[0].get_text() == "x1 x x3"


def test_output_is_labelled_with_its_unit(field):
    ax = plot_output(field, output="height[time=1]")
    assert ax.get_xlabel() == "height[time=1] (m)"
    assert len(ax.patches) == 60


def test_field_is_drawn_along_its_dimension(field):
    ax = plot_field_indices(field, "time")
    assert ax.get_xlabel() == "time"
    assert [line.get_label() for line in ax.lines] == ["level", "slope"]
    assert np.allclose(
        np.asarray(ax.lines[0].get_ydata()), field["estimates"].to_dataset()["sobol_total"].sel(input="level")
    )


def test_given_axes_are_used(ishigami):
    _, ax = plt.subplots()
    assert plot_indices(ishigami, ax=ax) is ax


def test_what_is_not_there_is_named(ishigami, field):
    with pytest.raises(uq.InputError, match="name one"):
        plot_indices(field)
    with pytest.raises(uq.InputError, match="no output 'z'; it has y"):
        plot_indices(ishigami, output="z")
    with pytest.raises(uq.InputError, match="no second-order indices"):
        plot_second_order(field, output="height[time=1]")
    with pytest.raises(uq.InputError, match="no output of the result has the numeric dimension 'depth'"):
        plot_field_indices(field, "depth")
    with pytest.raises(uq.InputError, match="`order` is 'second'"):
        plot_convergence(ishigami, order="second")
