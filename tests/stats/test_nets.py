import numpy as np
import pytest
from scipy import stats
from scipy.stats import qmc

from uqkit.stats import net_standard_error

N_ROWS, N_SCRAMBLES = 1024, 200
EXACT = np.array([0.5, np.e - 1, 1 / 3, 0.25])


def integrands(points):
    """Smooth, smooth, kinked and discontinuous integrands whose integrals are `EXACT`."""
    x, y = points[:, 0], points[:, 1]
    return np.column_stack([x, np.exp(x), np.abs(x - y), (x > 0.5) & (y > 0.5)]).astype(float)


@pytest.fixture(scope="module")
def nets():
    return [integrands(qmc.Sobol(2, rng=seed).random(N_ROWS)) for seed in range(N_SCRAMBLES)]


@pytest.mark.parametrize("column", range(4))
def test_intervals_cover_smooth_kinked_and_discontinuous_means(nets, column):
    covered = []
    for net in nets:
        error, degrees = net_standard_error(net[:, column : column + 1])
        half = stats.t.ppf(0.975, degrees) * error[0]
        covered.append(abs(net[:, column].mean() - EXACT[column]) <= half)
    shortfall = 5 * np.sqrt(0.95 * 0.05 / N_SCRAMBLES)
    assert np.mean(covered) >= 0.95 - shortfall


def test_intervals_credit_the_net_with_its_faster_rate(nets):
    errors = np.mean([net_standard_error(net[:, 1:2])[0][0] for net in nets])
    independent = np.mean([net[:, 1].std() for net in nets]) / np.sqrt(N_ROWS)
    assert errors < 0.1 * independent


def test_independent_rows_get_the_error_of_independent_rows():
    rows = np.random.default_rng(0).standard_normal((4096, 40))
    error, degrees = net_standard_error(rows)
    assert np.isclose(np.median(error), 1 / 64, rtol=0.2)
    assert degrees < 63


def test_rows_in_another_order_lose_the_credit(nets):
    # The broken twin: shuffled rows are no nets within the net, and the interval must notice.
    net = nets[0][:, 1:2]
    shuffled = np.random.default_rng(0).permutation(net)
    assert net_standard_error(shuffled)[0][0] > 5 * net_standard_error(net)[0][0]


def test_constant_columns_have_no_error_and_do_not_disturb_the_others(nets):
    net = nets[0][:, 1:2]
    alone, _ = net_standard_error(net)
    beside, _ = net_standard_error(np.hstack([net, np.zeros_like(net)]))
    assert beside[1] == 0.0
    assert np.isclose(beside[0], alone[0])
    assert net_standard_error(np.zeros((128, 3)))[0].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("n_rows", [2, 4, 8, 16, 32])
def test_small_nets_fall_back_on_independent_rows(n_rows):
    rows = np.random.default_rng(n_rows).standard_normal((n_rows, 2))
    error, degrees = net_standard_error(rows)
    assert np.allclose(error, rows.std(axis=0, ddof=1) / np.sqrt(n_rows))
    assert 1 <= degrees < n_rows


def test_a_net_has_a_power_of_two_rows():
    with pytest.raises(AssertionError, match="power of two"):
        net_standard_error(np.zeros((100, 1)))
