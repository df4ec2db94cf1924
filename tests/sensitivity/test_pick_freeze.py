import numpy as np
import pytest

import uqkit as uq
from uqkit.sensitivity import Azzini, InfluenceFunction, Jansen, PickFreeze, Saltelli2010, SubNets
from uqkit.sensitivity.pick_freeze import Layout


@pytest.mark.parametrize("with_ba", [False, True])
def test_layout_freezes_whole_blocks(with_ba):
    layout = Layout(n_rows=2, blocks=(np.array([0, 2]), np.array([1])), with_ba=with_ba)
    a, b = np.arange(6.0).reshape(2, 3), -np.arange(1.0, 7.0).reshape(2, 3)
    points = layout.points(a, b).reshape(2, layout.points_per_row, 3)
    assert layout.n_points == 2 * layout.points_per_row == 2 * (6 if with_ba else 4)
    assert np.array_equal(points[:, 0], a)
    assert np.array_equal(points[:, -1], b)
    assert np.array_equal(points[:, 1], np.column_stack([b[:, 0], a[:, 1], b[:, 2]]))
    assert np.array_equal(points[:, 2], np.column_stack([a[:, 0], b[:, 1], a[:, 2]]))
    if with_ba:
        assert np.array_equal(points[:, 3], np.column_stack([a[:, 0], b[:, 1], a[:, 2]]))
        assert np.array_equal(points[:, 4], np.column_stack([b[:, 0], a[:, 1], b[:, 2]]))


def test_rows_take_outputs_back_to_their_places():
    layout = Layout(n_rows=3, blocks=(np.array([0]), np.array([1])), with_ba=True)
    rows = layout.rows(np.arange(18.0))
    assert rows.a[:, 0].tolist() == [0, 6, 12]
    assert rows.ab.tolist() == [[1, 2], [7, 8], [13, 14]]
    assert rows.ba is not None
    assert rows.ba.tolist() == [[3, 4], [9, 10], [15, 16]]
    assert rows.b[:, 0].tolist() == [5, 11, 17]


def test_interval_follows_the_design():
    assert PickFreeze().assessed_by == SubNets()
    assert PickFreeze(design=uq.MonteCarlo()).assessed_by == InfluenceFunction()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"total": Saltelli2010()}, "does not estimate total indices"),
        ({"first": "jansen"}, "does not estimate first indices"),
        ({"design": uq.MonteCarlo(), "interval": SubNets()}, "needs a ScrambledSobol"),
    ],
)
def test_parts_that_do_not_fit_are_refused(settings, message):
    with pytest.raises((uq.InputError, TypeError), match=message if "jansen" not in settings.values() else None):
        PickFreeze(**settings)


def test_settings_are_equal_by_value():
    assert PickFreeze(first=Jansen()) == PickFreeze(first=Jansen())
    assert PickFreeze(first=Jansen()) != PickFreeze(first=Azzini())
