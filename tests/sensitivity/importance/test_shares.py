"""Best mixture shares: optimality conditions, floors, and SciPy's general solver on the same problem."""

import numpy as np
import pytest

from uqkit.sensitivity.importance.shares import monotone_shares, published_shares

START = np.full(4, 0.25)


def problem(seed=0):
    rng = np.random.default_rng(seed)
    return rng.gamma(0.3, size=(2_000, 4)) + 1e-3, rng.gamma(0.2, size=2_000)


def value(density, criterion, share):
    return np.mean(criterion / (density @ share))


def solved(density, criterion, floor):
    return monotone_shares(density, criterion, START, floor, n_steps=5_000, tolerance=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_slsqp_finds_nothing_better(seed):
    density, criterion = problem(seed)
    ours, theirs = solved(density, criterion, np.zeros(4)), published_shares(density, criterion, START)
    assert np.isclose(theirs.sum(), 1.0)
    assert (theirs > 0).all()
    assert value(density, criterion, ours) <= value(density, criterion, theirs) * (1 + 1e-9)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("total_floor", [0.2, 0.8])
def test_optimality_conditions_hold_with_floors(seed, total_floor):
    density, criterion = problem(seed)
    # One component that is of no use, so that its floor binds.
    density[:, 3] *= 1e-3
    floor = np.array([0.1, 0.2, 0.3, 0.4]) * total_floor
    share = solved(density, criterion, floor)
    assert np.isclose(share.sum(), 1.0)
    assert (share >= floor * (1 - 1e-9)).all()
    assert np.isclose(share[3], floor[3])
    # The gradient is the same wherever a share is free, and no larger where the floor holds it.
    gain = np.mean((criterion / (density @ share) ** 2)[:, None] * density, axis=0)
    free = share > floor * (1 + 1e-4)
    np.testing.assert_allclose(gain[free], gain[free].mean(), rtol=2e-3)
    assert (gain[~free] <= gain[free].min() * (1 + 2e-3)).all()


def test_equal_shares_are_not_optimal():
    density, criterion = problem()
    gain = np.mean((criterion / (density @ START) ** 2)[:, None] * density, axis=0)
    assert np.ptp(gain) > 0.02 * gain.mean()


def test_the_criterion_never_rises():
    density, criterion = problem()
    floor = np.full(4, 0.05)
    values = [
        value(density, criterion, monotone_shares(density, criterion, START, floor, n_steps=n, tolerance=0.0))
        for n in range(1, 25)
    ]
    assert (np.diff(values) <= 1e-15).all()
    assert values[-1] < value(density, criterion, START)


def test_a_single_component_that_matters_takes_all_that_floors_leave():
    density = np.full((500, 4), 1e-12)
    density[:, 1] = 1.0
    floor = np.full(4, 0.05)
    np.testing.assert_allclose(monotone_shares(density, np.ones(500), START, floor), [0.05, 0.85, 0.05, 0.05])


def test_no_criterion_leaves_shares_that_are_allowed():
    density, criterion = problem()
    zero = np.zeros_like(criterion)
    share = monotone_shares(density, zero, START, np.full(4, 0.1))
    np.testing.assert_allclose(share, START)
    np.testing.assert_array_equal(published_shares(density, zero, START), START)


def test_draws_where_every_density_underflows_do_not_spoil_the_rest():
    density, criterion = problem()
    density[0], criterion[0] = 0.0, 0.0
    share = monotone_shares(density, criterion, START, np.full(4, 0.01))
    expected = monotone_shares(density[1:], criterion[1:], START, np.full(4, 0.01))
    np.testing.assert_allclose(share, expected, rtol=1e-9)
