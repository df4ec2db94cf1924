"""Collocation points lie in their region, and their weights integrate over it."""

import jax
import numpy as np
import pytest

from tests.statistical import assert_within_error
from uqkit import InputError
from uqkit.pinn.collocation import (
    GaussGrid,
    ResidualAdaptive,
    SobolPoints,
    adapted_points,
    random_points,
    region_points,
)
from uqkit.problems import Box

BOX = Box(x=(-1.0, 3.0), t=(0.0, 0.5))
SOLID = Box(x=(-1.0, 3.0), y=(2.0, 3.0), t=(0.0, 0.5))
KEY = jax.random.key(0)
RULES = [GaussGrid(n=4), GaussGrid(n={"x": 5, "y": 3, "t": 4}), SobolPoints(n=32), ResidualAdaptive(n=30)]


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
        (lambda: ResidualAdaptive(n=1), r"ResidualAdaptive\(n=1\): pass at least two points"),
        (
            lambda: region_points(BOX.interior, GaussGrid(n={"x": 3}), key=KEY),
            r"GaussGrid\(n=\{'x': 3\}\) has no number of nodes for the coordinate 't'",
        ),
    ],
)
def test_rules_that_cannot_be(make, message):
    with pytest.raises(InputError, match=message):
        make()


def ridge(points):
    """A residual that is large along one line."""
    return np.exp(-20 * (points[:, 0] - 1.0) ** 2)


def estimates(with_weights, n_keys=400, n=60):
    """Integrals of e^x cos t by points that follow the ridge, which is nowhere near where the integrand is large."""
    found = []
    for key in range(n_keys):
        points, weights = adapted_points(BOX.interior, ResidualAdaptive(n=n), ridge, key=jax.random.key(key))
        weights = weights if with_weights else np.full(n, 2.0 / n)
        found.append(weights @ (np.exp(points[:, 0]) * np.cos(points[:, 1])))
    return np.mean(found), np.std(found, ddof=1) / np.sqrt(n_keys)


INTEGRAL = np.sin(0.5) * (np.exp(3.0) - np.exp(-1.0))


def test_weights_of_adapted_points_integrate_without_bias():
    mean, error = estimates(with_weights=True)
    assert_within_error(mean, error, INTEGRAL, max_error=0.01 * INTEGRAL)


def test_adapted_points_without_weights_do_not():
    mean, error = estimates(with_weights=False)
    with pytest.raises(AssertionError):
        assert_within_error(mean, error, INTEGRAL, max_error=0.01 * INTEGRAL)


def test_half_of_the_points_follow_the_residual():
    n = 4_001
    points, weights = adapted_points(BOX.interior, ResidualAdaptive(n=n), lambda p: 3.0 * (p[:, 0] > 2.8), key=KEY)
    assert points.shape == (n, 2)
    inside_strip = points[:, 0] > 2.8
    # The strip is 1/20 of the box: half of the points less one are drawn there, and its share of the others.
    n_uniform = n - n // 2
    expected = n // 2 + n_uniform / 20
    assert_within_error(float(inside_strip.sum()), np.sqrt(n_uniform * 0.05 * 0.95), expected, max_error=10.0)
    # In the strip the density is 1/2 + 20/2 of the uniform one, elsewhere 1/2; 20 is within 3 % by the candidates.
    np.testing.assert_allclose(weights[~inside_strip], 2.0 / n_uniform)
    assert_within_error(weights[inside_strip][0] * n / 2.0, 0.003, 1 / 10.5, max_error=0.01)
    assert len(set(weights[inside_strip])) == 1


def test_density_is_proportional_to_the_residual():
    means = []
    for key in range(50):
        points, _ = adapted_points(
            BOX.interior, ResidualAdaptive(n=200), lambda p: (p[:, 1] / 0.5) ** 2, key=jax.random.key(key)
        )
        means.append(points[:, 1].mean() / 0.5)
    # Half have the mean 1/2, the others that of the density 3 s^2, 3/4.
    error = np.std(means, ddof=1) / np.sqrt(50)
    assert_within_error(np.mean(means), error, 0.625, max_error=0.01)


@pytest.mark.parametrize(
    "residual", [None, lambda points: np.zeros(len(points)), lambda points: np.full(len(points), 7.0)]
)
def test_points_are_uniform_where_no_residual_stands_out(residual):
    points, weights = adapted_points(BOX.interior, ResidualAdaptive(n=500), residual, key=KEY)
    np.testing.assert_allclose(weights, 2.0 / 500)
    assert inside(BOX, points)
    assert_within_error(
        points.mean(axis=0), np.array([4.0, 0.5]) / np.sqrt(12 * 500), np.array([1.0, 0.25]), max_error=0.06
    )


def test_adapted_points_of_faces_and_points():
    seen = []

    def residual(points):
        seen.append(points)
        return 1.0 + points[:, 1]

    region = SOLID.face(t=0.5) | SOLID.face(x=3.0, t=0.0) | SOLID.face(x=0.0, y=2.5, t=0.25)
    rule = ResidualAdaptive(n=1_000)
    points, weights = adapted_points(region, rule, residual, key=KEY)
    # 2 n^(k / d) of them with k of d coordinates free.
    face, edge, corner = np.split(np.arange(len(points)), [200, 220])
    assert len(corner) == 1
    np.testing.assert_array_equal(points[face, 2], 0.5)
    np.testing.assert_array_equal(points[edge][:, [0, 2]], np.tile([3.0, 0.0], (20, 1)))
    np.testing.assert_array_equal(points[corner], [[0.0, 2.5, 0.25]])
    assert inside(SOLID, points)
    assert weights[corner] == 1.0
    # Uniform points would give the measures exactly; the residual varies by a third.
    assert weights[face].sum() == pytest.approx(4.0, rel=0.05)
    assert weights[edge].sum() == pytest.approx(1.0, rel=0.1)
    # The residual was asked for on each part alone, at more points than are taken, and not where there is no choice.
    assert [len(part) for part in seen] == [1_000, 100]
    assert {tuple(row) for row in points[face]} <= {tuple(row) for row in seen[0]}


def test_adapted_points_follow_the_key():
    rule = ResidualAdaptive(n=50)
    first, again, other = (adapted_points(BOX.interior, rule, ridge, key=jax.random.key(i)) for i in (0, 0, 1))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.isin(first[0][:, 0], other[0][:, 0]).any()
    # Parts of a region do not repeat each other.
    points, _ = adapted_points(BOX.face(x=-1.0) | BOX.face(x=3.0), rule, ridge, key=KEY)
    half = len(points) // 2
    assert not np.isin(points[:half, 1], points[half:, 1]).any()
