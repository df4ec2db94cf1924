"""Burgers equation: the reference against Chebyshev collocation, and what the statement of the problem promises."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from models.pdes import burgers
from tests.benchmarks.pde_solvers import chebyshev
from tests.models.snapshots import rate
from uqkit.errors import InputError
from uqkit.problems import BoundaryValueProblem, FieldReference

PROBLEM = burgers.problem
TIMES = np.linspace(0, 1, 21)


def reference(x, t, problem: BoundaryValueProblem = PROBLEM):
    known = problem.references["u"]
    assert isinstance(known, FieldReference)
    return known.function(x, t)


def by_collocation(problem: BoundaryValueProblem, n: int = 112) -> tuple[np.ndarray, np.ndarray]:
    """Nodes of [0, 1], dense at the front, and u there at TIMES, zero at both ends, by an implicit method."""
    x, d_x = chebyshev(n, 0.0, 1.0)
    inner = slice(1, -1)
    first, second = d_x[inner, inner], (d_x @ d_x)[inner, inner]
    solved = solve_ivp(
        lambda t, u: rate(problem, {0: u, 1: first @ u, 2: second @ u}),
        (0.0, 1.0),
        -np.sin(np.pi * x[inner]),
        method="Radau",
        t_eval=TIMES,
        rtol=1e-9,
        atol=1e-10,
    )
    assert solved.success
    return x[inner], solved.y


def largest_difference(solved: tuple[np.ndarray, np.ndarray], problem: BoundaryValueProblem = PROBLEM) -> float:
    x, u = solved
    return float(np.abs(u - reference(x[:, None], TIMES, problem)).max())


def test_reference_agrees_with_chebyshev_collocation():
    assert largest_difference(by_collocation(PROBLEM)) < 1e-7


def test_reference_agrees_with_another_viscosity():
    other = burgers.make(nu=0.05)
    assert largest_difference(by_collocation(other, n=48), other) < 1e-7


def test_another_viscosity_would_not_do():
    assert largest_difference(by_collocation(burgers.make(nu=1.001 * 0.01 / np.pi))) > 1e-5


@pytest.mark.parametrize("nu", [burgers._LEAST_NU, 0.01 / np.pi, burgers._LARGEST_NU])
def test_more_nodes_change_nothing(monkeypatch, nu):
    x, t = np.meshgrid(np.linspace(-1, 1, 101), np.linspace(0, 1, 51))
    values = reference(x, t, burgers.make(nu=nu))
    monkeypatch.setattr(burgers, "_N_NODES", 300)
    np.testing.assert_allclose(values, reference(x, t, burgers.make(nu=nu)), rtol=0, atol=1e-12)


def test_reference_is_exact_at_the_start_and_continuous_there():
    x = np.linspace(-1, 1, 41)
    start = -np.sin(np.pi * x)
    np.testing.assert_allclose(reference(x, 0.0), start, rtol=0, atol=1e-15)
    # Two terms of the series in t: -u u_x + nu u_xx at the start.
    slope = -np.pi * start * -np.cos(np.pi * x) - 0.01 / np.pi * np.pi**2 * start
    for t in (1e-12, 1e-8, 1e-5):
        np.testing.assert_allclose(reference(x, t), start + t * slope, rtol=0, atol=1e-15 + 20 * t**2)


def test_the_periodic_solution_vanishes_at_the_ends():
    x, t = np.meshgrid(np.linspace(0, 1, 51), TIMES)
    np.testing.assert_allclose(reference(-x, t), -reference(x, t), rtol=0, atol=1e-14)
    np.testing.assert_allclose(reference(x + 2, t), reference(x, t), rtol=0, atol=1e-12)
    np.testing.assert_allclose(reference(np.array([[-1.0], [1.0]]), TIMES), 0.0, rtol=0, atol=1e-14)


def test_the_front_is_as_steep_as_published():
    # Basdevant et al. (1986): the slope at x = 0 is largest at t = 1.6037 / pi, where it is -152.00516.
    step = 1e-5
    found = (reference(step, 1.6037 / np.pi) - reference(-step, 1.6037 / np.pi)) / (2 * step)
    assert found == pytest.approx(-152.00516, abs=5e-4)


def test_viscosities_that_the_quadrature_cannot_do_have_no_reference():
    assert set(PROBLEM.references) == {"u"}
    assert not burgers.make(nu=0.002 / np.pi).references
    assert not burgers.make(nu=1.0).references
    with pytest.raises(InputError, match=r"nu=0: pass a number above zero"):
        burgers.make(nu=0)
