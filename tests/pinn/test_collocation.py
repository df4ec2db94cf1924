"""Collocation points lie in their region, and their weights integrate over it."""

import jax
import numpy as np
import pytest

from tests.statistical import assert_within_error
from uqkit import InputError
from uqkit.pinn.collocation import GaussGrid, SobolPoints, random_points, region_points
from uqkit.problems import Box

BOX = Box(x=(-1.0, 3.0), t=(0.0, 0.5))
SOLID = Box(x=(-1.0, 3.0), y=(2.0, 3.0), t=(0.0, 0.5))
KEY = jax.random.key(0)
RULES = [GaussGrid(n=4), GaussGrid(n={"x": 5, "y": 3, "t": 4}), SobolPoints(n=32)]


def inside(box, points):
    return ((points >= box.lower) & (points <= box.upper)).all()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("region", "measure"),
    [
        (SOLID.interior, 2.0),
        (SOLID.boundary, 2 * (4 * 1 + 4 * 0.5 + 1 * 0.5)),
        (SOLID.face(x=0.0), 0.5),
        (SOLID.face(x=0.0, t=0.25), 1.0),
        (SOLID.face(x=0.0, y=2.5, t=0.25), 1.0),
        (SOLID.face(t=0.0) | SOLID.face(y=2.0), 6.0),
    ],
)
def test_weights_add_up_to_the_measure_of_the_region(rule, region, measure):
    for points, weights in (region_points(region, rule, key=KEY), random_points(region, 50, key=KEY)):
        assert weights.sum() == pytest.approx(measure, rel=1e-12)
        assert len(points) == len(weights)
        assert inside(SOLID, points)


def test_a_gauss_grid_integrates_polynomials_of_twice_its_degree_exactly():
    points, weights = region_points(BOX.interior, GaussGrid(n={"x": 3, "t": 2}), key=KEY)
    assert len(points) == 6
    x, t = points.T
    assert weights @ (x**5 * t**3) == pytest.approx((3**6 - 1) / 6 * 0.5**4 / 4, rel=1e-12)
    assert abs(weights @ x**6 - (3**7 + 1) / 7 * 0.5) > 0.1


def test_a_net_integrates_better_than_random_points():
    exact = np.sin(0.5) * (np.exp(3.0) - np.exp(-1.0))

    def error(points, weights):
        return abs(weights @ (np.exp(points[:, 0]) * np.cos(points[:, 1])) - exact) / exact

    assert error(*region_points(BOX.interior, SobolPoints(n=256), key=KEY)) < 2e-3
    assert error(*random_points(BOX.interior, 256, key=KEY)) > 2e-3


def test_faces_hold_their_coordinates_fixed():
    points, _ = region_points(BOX.face(x=-1.0) | BOX.face(t=0.5), GaussGrid(n=3), key=KEY)
    np.testing.assert_array_equal(points[:3, 0], -1.0)
    np.testing.assert_array_equal(points[3:, 1], 0.5)
    assert len(points) == 6
    # Ends of an interval are single points.
    points, weights = region_points(Box(x=(0.0, 2.0)).boundary, GaussGrid(n=7), key=KEY)
    np.testing.assert_array_equal(points, [[0.0], [2.0]])
    np.testing.assert_array_equal(weights, [1.0, 1.0])


def test_a_grid_comes_close_to_the_boundary_but_not_on_it():
    points, _ = region_points(BOX.interior, GaussGrid(n=20), key=KEY)
    gap = np.minimum(points - BOX.lower, BOX.upper - points).min(axis=0) / (BOX.upper - BOX.lower)
    assert (gap > 0).all()
    assert (gap < 0.01).all()


def test_random_points_are_shared_by_size():
    points, weights = random_points(BOX.boundary, 900, key=KEY)
    assert [int((points[:, 0] == end).sum()) for end in (-1.0, 3.0)] == [50, 50]
    assert [int((points[:, 1] == end).sum()) for end in (0.0, 0.5)] == [400, 400]
    np.testing.assert_allclose(weights, 9.0 / 900)
    along = points[points[:, 1] == 0.0, 0]
    assert_within_error(along.mean(), 4 / np.sqrt(12 * 400), 1.0, max_error=0.1)


def test_only_nets_depend_on_the_key():
    other = jax.random.key(1)
    for rule, same in ((GaussGrid(n=4), True), (SobolPoints(n=16), False)):
        first, second = (region_points(BOX.interior, rule, key=key)[0] for key in (KEY, other))
        assert np.array_equal(first, second) == same
    assert not np.array_equal(random_points(BOX.interior, 9, key=KEY)[0], random_points(BOX.interior, 9, key=other)[0])
    # Parts of a region do not repeat each other.
    points, _ = region_points(BOX.face(x=-1.0) | BOX.face(x=3.0), SobolPoints(n=8), key=KEY)
    assert not np.array_equal(points[:8, 1], points[8:, 1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussGrid(n=0), r"GaussGrid\(n=0\): pass at least one node along each coordinate"),
        (lambda: GaussGrid(n={"x": 3, "t": 0}), r"GaussGrid\(n=.*pass at least one node"),
        (lambda: SobolPoints(n=100), r"SobolPoints\(n=100\): pass a power of two, 2 or more"),
        (lambda: SobolPoints(n=1), r"SobolPoints\(n=1\): pass a power of two"),
        (
            lambda: region_points(BOX.interior, GaussGrid(n={"x": 3}), key=KEY),
            r"GaussGrid\(n=\{'x': 3\}\) has no number of nodes for the coordinate 't'",
        ),
    ],
)
def test_rules_that_cannot_be(make, message):
    with pytest.raises(InputError, match=message):
        make()
