"""Latin hypercubes: one point a stratum, means that are more precise than independent points'."""

import numpy as np
import pytest
from scipy import stats

from uqkit import Inputs, LatinHypercube, MonteCarlo
from uqkit.inputs import Design


@pytest.mark.parametrize("n_rows", [1, 2, 37, 1_000])
@pytest.mark.parametrize("key", range(3))
def test_every_stratum_of_every_axis_has_one_point(n_rows, key):
    points = LatinHypercube().unit_points(n_rows, 5, key=key)
    strata = np.sort(np.floor(points * n_rows).astype(int), axis=0)
    np.testing.assert_array_equal(strata, np.repeat(np.arange(n_rows)[:, None], 5, axis=1))


def test_independent_points_do_not_pass_for_it():
    assert len(set(np.floor(MonteCarlo().unit_points(1_000, 1, key=0)[:, 0] * 1_000))) < 1_000


def test_points_are_uniform_within_their_strata_and_strata_are_paired_at_random():
    points = LatinHypercube().unit_points(2_000, 3, key=0)
    within = points * 2_000 % 1
    assert (np.abs(within.mean(axis=0) - 0.5) < 5 * np.sqrt(1 / 12 / 2_000)).all()
    correlation = np.corrcoef(points.T)[np.triu_indices(3, k=1)]
    assert (np.abs(correlation) < 5 / np.sqrt(2_000)).all()


def test_additive_functions_lose_nearly_all_of_their_variance():
    def spread(design):
        return np.std([design.unit_points(64, 4, key=key).sum(axis=1).mean() for key in range(200)])

    # Of a mean of n independent points the variance falls as 1/n, here as 1/n^3.
    np.testing.assert_allclose(spread(LatinHypercube()) * 64, spread(MonteCarlo()), rtol=5 / np.sqrt(200))


def test_the_key_decides_and_points_are_strictly_inside():
    design = LatinHypercube()
    points = design.unit_points(4_096, 2, key=5)
    np.testing.assert_array_equal(points, design.unit_points(4_096, 2, key=5))
    assert not np.isin(points, design.unit_points(4_096, 2, key=6)).any()
    assert points.min() > 0
    assert points.max() < 1


def test_every_number_of_rows_will_do():
    assert [LatinHypercube().usable_rows(n) for n in (1, 7, 1_000)] == [1, 7, 1_000]
    assert isinstance(LatinHypercube(), Design)


def test_inputs_are_sampled_on_it():
    draws = Inputs({"a": stats.norm(3, 2), "b": stats.expon()}).sample(500, key=0, design=LatinHypercube())
    ranks = np.floor(stats.norm.cdf(draws[:, 0], 3, 2) * 500)
    assert len(set(ranks)) == 500
