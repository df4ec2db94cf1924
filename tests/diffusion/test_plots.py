"""Pictures show the numbers of the result, and refuse what they cannot show."""

from functools import cache
from typing import Any

import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb

import uqkit as uq
from uqkit.diffusion import (
    EDM,
    EulerMaruyamaSampler,
    GaussianMixture,
    HeunSampler,
    SystematicResampling,
    plot_log_normalizer,
    plot_moments,
    plot_particles,
    plot_path,
    sample,
)
from uqkit.stats import GaussianMixture as Mixture

mpl.use("agg")

MIXTURE = Mixture.of(np.array([0.4, 0.6]), np.array([[-2.0, 0.0], [2.0, 1.0]]), np.stack([np.eye(2), 0.5 * np.eye(2)]))
SIZES: dict[str, Any] = {"islands": 4, "particles": 64, "key": 0, "coordinates": {"x": "m", "y": "s"}}


def cooled(method: Any, **settings: Any) -> Any:
    return sample(GaussianMixture(MIXTURE, EDM(0.02, 10.0)) ** 3.0, method=method, name="pair", **SIZES, **settings)


@cache
def good() -> Any:
    return cooled(HeunSampler(n_steps=16, resampling=SystematicResampling(threshold=0.9)))


@cache
def stiff() -> Any:
    return cooled(HeunSampler(n_steps=4, langevin=6.0))


@cache
def exact() -> Any:
    return cooled(EulerMaruyamaSampler(n_steps=16), final=lambda x: 3 * MIXTURE.log_density(x))


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def line(ax: Any, label: str) -> np.ndarray:
    (found,) = [each for each in ax.get_lines() if each.get_label() == label]
    return np.stack(found.get_data())


def legend(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_particles_are_the_draws_and_copies_are_larger():
    ax: Any = plot_particles(good(), ("y", "x"))
    (dots,) = ax.collections
    points = good()["posterior"]["x"].sel(coordinate=["y", "x"]).values.reshape(-1, 2)
    distinct, copies = np.unique(points, axis=0, return_counts=True)
    np.testing.assert_array_equal(dots.get_offsets(), distinct)
    np.testing.assert_array_equal(dots.get_sizes(), 5.0 * copies)
    assert copies.max() > 1
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("y [s]", "x [m]", "pair")


def test_contours_enclose_the_shares_of_mass():
    ax: Any = plot_particles(good(), density=lambda x: -4 * jnp.sum(x**2))
    contours: Any = ax.collections[1]
    # A round normal in the plane is as high, over its top, as the share of mass that is farther out.
    np.testing.assert_allclose(contours.levels, [0.01, 0.1, 0.5], rtol=0.05)
    assert legend(ax) == ["draws", "99%, 90%, 50% of the density's mass"]


def test_contours_of_values_on_a_grid():
    x, y = np.linspace(-9, 9, 90), np.linspace(-5, 5, 80)
    log_density = -0.5 * (x[:, None] / 2) ** 2 - 0.5 * y[None, :] ** 2
    contours: Any = plot_particles(good(), density=(x, y, log_density)).collections[1]
    np.testing.assert_allclose(contours.levels, [0.01, 0.1, 0.5], rtol=0.05)
    widest = contours.get_paths()[0].vertices
    # Where the first axis is twice as wide as the second.
    np.testing.assert_allclose(widest.max(axis=0), np.sqrt(2 * np.log(100)) * np.array([2, 1]), rtol=0.03)


def test_one_coordinate_is_a_histogram():
    ax: Any = plot_particles(good(), "y")
    area = sum(bar.get_width() * bar.get_height() for bar in ax.patches)
    np.testing.assert_allclose(area, 1.0)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("y [s]", "probability density [1/(s)]")


def test_path():
    ax: Any = plot_path(good())
    path = good()["path"].to_dataset()
    lines = [each for each in ax.get_lines() if len(each.get_xdata()) == 16 and each.get_linestyle() == "-"]
    np.testing.assert_array_equal(np.stack([each.get_ydata() for each in lines], axis=1), path["effective_share"])
    other: Any = next(each for each in ax.figure.axes if each is not ax)
    pooled = np.log(np.exp(path["island_log_normalizer"].values).mean(axis=1))
    np.testing.assert_allclose(line(other, "log normaliser so far (right)")[1], pooled)
    due = path["resampled"].values.astype(bool)
    assert due.any()
    np.testing.assert_array_equal(line(ax, "resampled")[1], path["effective_share"].values[due])
    assert "steps too long for the curvature" not in legend(ax)


def test_the_steps_that_the_verdict_complains_of_are_shaded():
    ax: Any = plot_path(stiff())
    text = stiff()["diagnostics"]["verdict_text"].item()
    where = np.flatnonzero((stiff()["path"]["stiffness"] > 1).any("chain"))
    assert f"first at step {where[0]})" in text
    bands = [each for each in ax.patches if each.get_facecolor()[:3] == to_rgb("#E69F00")]
    # The axis counts from 1.
    np.testing.assert_array_equal([each.get_x() for each in bands], where + 0.5)
    assert ("particles off the path" in legend(ax)) == ("Stein" in text)


@pytest.mark.parametrize("result", [good, exact], ids=["path", "final density"])
def test_log_normaliser_of_islands_and_of_all(result):
    estimates: Any = result()["estimates"].to_dataset()
    ax: Any = plot_log_normalizer(result(), reference=-7.0)
    islands = line(ax, "islands")[1]
    np.testing.assert_allclose(np.log(np.exp(islands).mean()), estimates["log_normalizer"])
    assert line(ax, "estimate")[1][0] == estimates["log_normalizer"]
    assert line(ax, "reference")[1][0] == -7.0
    (band,) = ax.patches
    np.testing.assert_allclose(band.get_y(), estimates["log_normalizer_lower"])
    np.testing.assert_allclose(band.get_y() + band.get_height(), estimates["log_normalizer_upper"])
    assert ax.get_ylabel() == "log normaliser [nat]"


def test_renyi_entropy_is_half_the_negative_log_normaliser_of_the_cube():
    ax: Any = plot_log_normalizer(good(), estimate="renyi_entropy")
    np.testing.assert_allclose(line(ax, "islands")[1], -0.5 * line(plot_log_normalizer(good()), "islands")[1])
    assert line(ax, "estimate")[1][0] == good()["estimates"]["renyi_entropy"]
    assert ax.get_ylabel() == "renyi entropy [nat]"


def test_moments():
    estimates: Any = good()["estimates"].to_dataset()
    ax: Any = plot_moments(good(), {"target_mean": [1.5, 0.5], "target_sd": [2.0, 1.0]})
    np.testing.assert_array_equal(line(ax, "mean, 95% interval")[0], estimates["target_mean"])
    np.testing.assert_array_equal(line(ax, "standard deviation, 95% interval")[0], estimates["target_sd"])
    ends = np.array([[piece[0, 0], piece[1, 0]] for piece in ax.collections[0].get_segments()])
    np.testing.assert_array_equal(ends.T, [estimates["target_mean_lower"], estimates["target_mean_upper"]])
    known = [each.get_xdata() for each in ax.get_lines() if each.get_label() == "reference"]
    np.testing.assert_array_equal(known, [[1.5, 0.5], [2.0, 1.0]])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["x [m]", "y [s]"]
    assert legend(ax) == ["mean, 95% interval", "reference", "standard deviation, 95% interval"]
    one: Any = plot_moments(good(), {"target_mean": [1.5, 0.5]}, coordinates=["y"])
    assert line(one, "reference")[0] == 0.5
    assert one.get_xlabel() == "moment of the target [s]"


def test_panels_can_be_drawn_side_by_side():
    _, axes = plt.subplots(1, 2)
    assert plot_particles(good(), ax=axes[0]) is axes[0]
    assert plot_moments(good(), ax=axes[1]) is axes[1]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plot_particles(good(), "z"), "no coordinate 'z'; it has x, y"),
        (lambda: plot_particles(good(), ["x", "x"]), "name one or two of x, y"),
        (lambda: plot_particles(good(), "x", density=lambda x: x[0]), "drawn over two coordinates"),
        (lambda: plot_particles(good(), density=([0.0, 1.0], [0.0], np.zeros((1, 2)))), r"2 and 1 places .* \(1, 2\)"),
        (lambda: plot_log_normalizer(good(), estimate="target_mean"), "no estimate 'target_mean'"),
        (lambda: plot_moments(good(), {"mean": [0.0, 0.0]}), "no reference 'mean'; it has target_mean"),
        (lambda: plot_moments(good(), {"target_mean": [0.0]}), r"has the shape \(1,\); pass 2 numbers"),
        (lambda: plot_moments(good(), coordinates=["z"]), "no coordinate 'z'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, message):
    with pytest.raises(uq.InputError, match=message):
        draw()


def test_results_of_another_workflow_are_refused():
    other: Any = good().copy()
    other.attrs["workflow"] = "pinn"
    with pytest.raises(uq.InputError, match="of the workflow 'pinn'; pass one of uqkit.diffusion.sample"):
        plot_path(other)


def test_a_function_of_another_dimension_than_the_picture_is_refused():
    draws: Any = good()["posterior"].to_dataset()
    wide: Any = good().copy()
    twice: Any = xr.concat([draws, draws.assign_coords(coordinate=["u", "v"])], "coordinate")
    wide["posterior"] = xr.DataTree(twice)
    with pytest.raises(uq.InputError, match="the target has 4 coordinates and a picture two"):
        plot_particles(wide, density=lambda x: x[0])
