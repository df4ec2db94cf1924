"""What a model may return for its declared outputs, and the errors when it returns something else."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from uqkit import ForwardModel, InputError
from uqkit.problems import Outputs

INPUTS = {"a": dist.Uniform(0.0, 1.0), "b": dist.Uniform(0.0, 1.0)}
POINTS = np.random.default_rng(0).random((5, 2))
TIMES = [0.0, 0.5, 2.0]
SERIES = {"head": ("m", ("time",), {"time": TIMES})}
MAP = {"level": ("m", ("time", "site"), {"time": [1, 2], "site": ["up", "mid", "down"]}), "flow": "m3/s"}


def run(function, outputs, takes: Any = "point"):
    return ForwardModel(function, inputs=INPUTS, outputs=outputs, takes=takes).run(POINTS)


@pytest.mark.parametrize(
    ("function", "takes"),
    [
        (lambda x: {"u": x[0], "v": x[1]}, "point"),
        (lambda x: {"v": x[1], "u": x[0], "not asked for": 1.0}, "point"),
        (lambda x: (x[0], x[1]), "point"),
        (lambda x: [x[0], x[1]], "point"),
        (lambda x: x, "point"),
        (lambda x: {"u": jnp.asarray(x[0]), "v": jnp.asarray(x[1])}, "point"),
        (lambda x: (jnp.asarray(x[0]), x[1]), "point"),
        (lambda x: jnp.stack([x[0], x[1]]), "point"),
        (lambda a, b: (a, b), "named"),
        (lambda x: {"u": x[:, 0], "v": x[:, 1]}, "batch"),
        (lambda x: (x[:, 0], x[:, 1]), "batch"),
        (lambda x: x, "batch"),
    ],
)
def test_two_scalars(function, takes):
    np.testing.assert_array_equal(run(function, ("u", "v"), takes), POINTS)


@pytest.mark.parametrize(
    ("function", "takes"),
    [
        (lambda x: x[0], "point"),
        (lambda x: x[:1], "point"),
        (lambda x: (x[0],), "point"),
        (lambda x: {"y": x[0]}, "point"),
        (lambda x: float(x[0]), "point"),
        (lambda x: jnp.atleast_1d(x[0]), "point"),
        (lambda x: x[:, 0], "batch"),
        (lambda x: x[:, :1], "batch"),
    ],
)
def test_one_scalar(function, takes):
    np.testing.assert_array_equal(run(function, ("y",), takes), POINTS[:, :1])


@pytest.mark.parametrize("takes", ["point", "batch"])
def test_a_series(takes):
    def decay(x):
        return x[..., :1] * np.exp(-x[..., 1:] * np.array(TIMES))

    known = np.array([[a * np.exp(-b * time) for time in TIMES] for a, b in POINTS])
    np.testing.assert_allclose(run(decay, SERIES, takes), known, rtol=1e-15)
    np.testing.assert_allclose(run(lambda x: {"head": decay(x)}, SERIES, takes), known, rtol=1e-15)


def test_a_field_beside_a_scalar():
    values = run(lambda x: (np.arange(6.0).reshape(2, 3) * x[0], x[1]), MAP)
    np.testing.assert_array_equal(values, np.column_stack([np.arange(6.0) * POINTS[:, :1], POINTS[:, 1]]))


def test_labels_units_and_coordinates_of_a_field():
    outputs = Outputs(MAP)
    assert len(outputs) == 7
    assert outputs.labels[1] == "level[time=1, site=mid]"
    assert outputs.labels[6] == "flow"
    assert outputs.units == ("m",) * 6 + ("m3/s",)
    coordinates = outputs.coordinates()
    np.testing.assert_array_equal(coordinates["time"], [1, 1, 1, 2, 2, 2, np.nan])
    assert coordinates["site"].tolist() == ["up", "mid", "down"] * 2 + [""]


def test_scalars_have_no_coordinates():
    assert Outputs({"y": "m"}).coordinates() == {}
    assert Outputs(("y",)).units == ("1",)


@pytest.mark.parametrize(
    ("function", "outputs", "message"),
    [
        (
            lambda x: x,
            ("y",),
            r"output 'y' has shape \(1, 2\) for 1 point, declared is \(1,\); return that, or declare",
        ),
        (lambda x: x[0], ("u", "v"), r"returned shape \(\) a point for the 2 outputs u, v; return one value an output"),
        (
            lambda x: (x[0], x[1], 1.0),
            ("u", "v"),
            "returned a list or tuple of 3 for the 2 outputs u, v; return one entry",
        ),
        (lambda x: np.ones(3), ("u", "v"), r"returned shape \(3,\) a point for the 2 outputs u, v"),
        (lambda x: x, SERIES, r"output 'head' has shape \(.*\) for .* points?, declared is \(.*\)"),
        (lambda x: {"u": x[0]}, ("u", "v"), "returned u but not v; declare `outputs=`"),
        (lambda x: {}, ("u", "v"), "returned no outputs but not u, v"),
        (lambda x: "text", ("y",), "output 'y' is no array of real numbers"),
        (lambda x: None, ("y",), "output 'y' is no array of real numbers: it holds None"),
        (lambda x: {"u": x[0], "v": None}, ("u", "v"), "output 'v' is no array of real numbers: it holds None"),
        (lambda x: [[1.0], [1.0, 2.0]], ("y",), "output 'y' is no array of real numbers"),
        (lambda x: x[0] + 1j, ("y",), "output 'y' is no array of real numbers"),
    ],
)
def test_wrong_returns(function, outputs, message):
    with pytest.raises(InputError, match=message):
        run(function, outputs)


def test_a_batch_of_the_wrong_length():
    with pytest.raises(InputError, match=r"output 'y' has shape \(4,\) for 5 points, declared is \(5,\)"):
        run(lambda x: x[1:, 0], ("y",), "batch")


@pytest.mark.parametrize("n_points", [1, 5])
def test_a_list_of_rows_is_refused(n_points):
    # With as many points as outputs it could not be told from a list of outputs.
    model = ForwardModel(lambda x: x.tolist(), inputs=INPUTS, outputs=("u", "v"), takes="batch")
    with pytest.raises(InputError, match=f"returned a list or tuple of {n_points} for the 2 outputs u, v"):
        model.run(POINTS[:n_points])


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (("u", "u"), "pass at least one name, each once"),
        (("a/b",), "cannot label a result"),
        (("",), "cannot label a result"),
        ({"y": 3}, r"output 'y': expected a unit or \(unit, dims, coords\), got 3"),
        ({"y": ("m", ("time",), {})}, "output 'y': no coordinates for time; pass one sequence a dimension"),
        ({"y": ("m", "time", {"time": TIMES})}, "tuple of dimension names"),
    ],
)
def test_wrong_declarations(outputs, message):
    with pytest.raises(InputError, match=message):
        Outputs(outputs)
