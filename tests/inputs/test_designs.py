"""Designs of points in the unit cube."""

import jax
import numpy as np
import pytest

from uqkit import InputError, MonteCarlo, ScrambledSobol

DESIGNS = [MonteCarlo(), ScrambledSobol()]
every_design = pytest.mark.parametrize("design", DESIGNS, ids=lambda design: type(design).__name__)


@pytest.mark.parametrize("key", range(5))
def test_every_stratum_of_every_axis_has_one_sobol_point(key):
    points = ScrambledSobol().unit_points(256, 40, key=key)
    strata = np.sort(np.floor(points * 256).astype(int), axis=0)
    np.testing.assert_array_equal(strata, np.repeat(np.arange(256)[:, None], 40, axis=1))


def test_the_strata_tell_a_net_from_independent_points():
    points = MonteCarlo().unit_points(256, 1, key=0)
    assert len(set(np.floor(points[:, 0] * 256))) < 256


def test_the_first_two_axes_have_every_elementary_interval():
    points = ScrambledSobol().unit_points(64, 2, key=0)
    for log_columns in range(7):
        columns, rows = 2**log_columns, 2 ** (6 - log_columns)
        cells = np.floor(points * [columns, rows]).astype(int)
        assert len({tuple(cell) for cell in cells}) == 64


def test_scrambled_points_are_uniform_over_keys():
    # Not only stratified: the first point of a scrambled net is uniform.
    first = np.array([ScrambledSobol().unit_points(1, 1, key=key)[0, 0] for key in range(400)])
    standard_error = np.sqrt(1 / 12 / 400)
    assert abs(first.mean() - 0.5) < 5 * standard_error


@every_design
def test_points_are_strictly_inside(design):
    points = design.unit_points(2**14, 3, key=0)
    assert points.shape == (2**14, 3)
    assert points.dtype == np.float64
    assert points.min() > 0
    assert points.max() < 1


@every_design
def test_the_key_decides(design):
    points = design.unit_points(64, 3, key=5)
    np.testing.assert_array_equal(points, design.unit_points(64, 3, key=5))
    np.testing.assert_array_equal(points, design.unit_points(64, 3, key=jax.random.key(5)))
    assert not np.isin(points, design.unit_points(64, 3, key=6)).any()


def test_monte_carlo_means():
    points = MonteCarlo().unit_points(10_000, 4, key=0)
    np.testing.assert_array_less(np.abs(points.mean(axis=0) - 0.5), 5 * np.sqrt(1 / 12 / 10_000))
    np.testing.assert_array_less(np.abs((points**2).mean(axis=0) - 1 / 3), 5 * np.sqrt(4 / 45 / 10_000))


@pytest.mark.parametrize(("n_rows", "usable"), [(1, 1), (2, 2), (3, 2), (1023, 512), (1024, 1024), (0, 0)])
def test_usable_rows(n_rows, usable):
    assert ScrambledSobol().usable_rows(n_rows) == usable
    assert MonteCarlo().usable_rows(n_rows) == n_rows


def test_a_net_of_no_power_of_two():
    with pytest.raises(InputError, match="a power of two rows, got 100; use 64"):
        ScrambledSobol().unit_points(100, 2, key=0)


def test_too_many_dimensions():
    with pytest.raises(InputError, match=r"up to 21201 dimensions, 21202 are needed; use MonteCarlo\(\)"):
        ScrambledSobol().unit_points(2, 21_202, key=0)
