"""Boxes and their regions: which points they hold, and what they refuse."""

import numpy as np
import pytest

from tests.callers import without_type_hook
from uqkit import InputError
from uqkit.problems import Box

BOX = Box(x=(-1.0, 1.0), t=[0.0, 2.5], units={"t": "s"})


@pytest.fixture(autouse=True)
def _as_users_call():
    with without_type_hook():
        yield


def test_a_box_is_its_intervals():
    assert (BOX.names, len(BOX)) == (("x", "t"), 2)
    np.testing.assert_array_equal(BOX.lower, [-1.0, 0.0])
    np.testing.assert_array_equal(BOX.upper, [1.0, 2.5])
    assert BOX.units == {"x": "1", "t": "s"}
    assert repr(BOX) == "Box(x=(-1, 1), t=(0, 2.5))"


def test_regions_and_their_unions():
    assert BOX.interior.parts == ({},)
    assert BOX.boundary.parts == ({"x": -1.0}, {"x": 1.0}, {"t": 0.0}, {"t": 2.5})
    assert BOX.face(x=0.5, t=0).parts == ({"x": 0.5, "t": 0.0},)
    ends = BOX.face(x=-1) | BOX.face(x=1)
    assert ends.parts == ({"x": -1.0}, {"x": 1.0})
    assert (ends | BOX.face(x=1) | BOX.face(t=0)).parts == ({"x": -1.0}, {"x": 1.0}, {"t": 0.0})
    assert (BOX.boundary | BOX.boundary).parts == BOX.boundary.parts


def test_distance_outside_is_in_widths_and_forgives_rounding():
    points = np.array([[0.0, 1.0], [1.0, 2.5], [1.0 + 1e-12, 0.0], [2.0, 1.0], [0.0, -5.0], [-1.2, 2.6]])
    np.testing.assert_allclose(BOX.outside(points), [0.0, 0.0, 0.0, 0.5, 2.0, 0.1])


def test_columns_are_by_name():
    columns = BOX.columns(np.array([[0.1, 0.2], [0.3, 0.4]]))
    np.testing.assert_array_equal(columns["x"], [0.1, 0.3])
    np.testing.assert_array_equal(columns["t"], [0.2, 0.4])


@pytest.mark.parametrize("interval", [(1, 0), (0, 0), (0, np.inf), (np.nan, 1), (0, 1, 2), (0,), 3.0])
def test_an_interval_is_two_finite_numbers_in_order(interval):
    with pytest.raises(InputError, match=r"coordinate 'x' of the Box is .*pass \(lower end, upper end\), both finite"):
        Box(t=(0, 1), x=interval)


def test_a_box_has_coordinates():
    with pytest.raises(InputError, match=r"without coordinates; name at least one, as in Box\(x=\(0, 1\)\)"):
        Box()


def test_units_are_of_known_coordinates():
    with pytest.raises(InputError, match=r"`units` names z, no coordinate of x, t"):
        Box(x=(0, 1), t=(0, 1), units={"z": "m"})


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"y": 0.0}, r"face\(y=0\): the box has the coordinates x, t"),
        ({"x": 1.5}, r"face\(x=1.5\) lies outside Box\(x=\(-1, 1\), t=\(0, 2.5\)\)"),
        ({"t": np.nan}, r"face\(t=nan\) lies outside"),
        ({}, r"face\(\) without a coordinate; fix at least one"),
    ],
)
def test_faces_that_are_not_there(fixed, message):
    with pytest.raises(InputError, match=message):
        BOX.face(**fixed)


def test_regions_of_two_boxes_do_not_unite():
    with pytest.raises(InputError, match="regions of two boxes; make both from one Box"):
        _ = BOX.interior | Box(x=(-1, 1), t=(0, 2.5)).boundary
