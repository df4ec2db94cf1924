"""Allen-Cahn equation: the reference against the method of lines with finite differences, and its stated errors."""

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp

from models.pdes import allen_cahn
from tests.models.snapshots import rate
from uqkit.problems import FieldReference

PROBLEM = allen_cahn.problem
TIMES = np.linspace(0.05, 1, 20)


def reference(x, t):
    known = PROBLEM.references["u"]
    assert isinstance(known, FieldReference)
    return known.function(x, t)


def start(x):
    return x**2 * np.cos(np.pi * x)


def by_lines(n: int, factor: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Nodes of [0, 1] and u there at TIMES; differences of fourth order on the even solution, LSODA in time."""
    x, h = np.linspace(0, 1, n + 1), 1 / n

    def speed(t, u):
        wide = np.concatenate([u[[2, 1]], u, u[[-2, -3]]])
        second = (-wide[:-4] + 16 * wide[1:-3] - 30 * wide[2:-2] + 16 * wide[3:-1] - wide[4:]) / (12 * h**2)
        return rate(PROBLEM, {0: u, 2: factor * second})

    solved = solve_ivp(
        speed, (0, 1), start(x), method="LSODA", lband=2, uband=2, t_eval=TIMES, rtol=1e-9, atol=1e-11
    )  # fmt: skip
    assert solved.success
    return x, solved.y


def largest_difference(solved: tuple[np.ndarray, np.ndarray]) -> float:
    x, u = solved
    return float(np.abs(u - reference(x[:, None], TIMES)).max())


def test_reference_agrees_with_finite_differences():
    # The differences are of second order at the kink: 2.5e-5 with half the nodes.
    assert largest_difference(by_lines(2048)) < 1e-5


def test_another_diffusivity_would_not_do():
    assert largest_difference(by_lines(512, factor=1.05)) > 1e-4


def test_errors_are_as_stated():
    t, x = np.random.default_rng(0).uniform((0, -1), (1, 1), size=(100_000, 2)).T
    finer = allen_cahn._spline(4096, 800).ev(t, x)
    error = np.abs(reference(x, t) - finer)
    assert np.linalg.norm(error) < 2e-7 * np.linalg.norm(finer)
    assert error[t >= 0.05].max() < 1e-6
    at_kink = np.linspace(0.99, 1, 200), np.linspace(0, 0.05, 200)[:, None]
    assert np.abs(reference(*at_kink) - allen_cahn._spline(4096, 800).ev(at_kink[1], at_kink[0])).max() < 2e-4


def test_coefficients_of_the_initial_value_are_its_integrals():
    found = allen_cahn._initial_coefficients(16)
    for wave in range(9):
        # From -1 on, over the number of nodes: what an average over the period would be.
        wanted = quad(lambda x, wave=wave: 0.5 * start(x) * np.cos(np.pi * wave * (x + 1)), -1, 1)[0]
        assert found[wave] / 16 == pytest.approx(wanted, abs=1e-12)


def test_reference_starts_at_the_initial_value_and_is_even_and_periodic():
    x = np.linspace(0, 1, 501)
    np.testing.assert_allclose(reference(x, 0.0), start(x), rtol=0, atol=1e-9)
    for t in TIMES:
        np.testing.assert_allclose(reference(-x, t), reference(x, t), rtol=0, atol=1e-9)


def test_values_of_any_shape():
    assert reference(0.5, 0.25).shape == ()
    assert reference(np.zeros((3, 1)), np.zeros(4)).shape == (3, 4)
