"""Levenberg-Marquardt: closed forms, both sides of the normal equations, new points, going on from a file."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uqkit.errors import InputError, RunInterrupted, StoreError
from uqkit.inference import GaussNewton, LevenbergMarquardt, Scales


class Residual:
    """Residuals given by a function; the Jacobian by forward differentiation."""

    def __init__(self, function, n_rows, n_dims):
        self.function, self.n_rows, self.n_dims = function, n_rows, n_dims

    @property
    def row_blocks(self):
        return {"rows": slice(0, self.n_rows)}

    @property
    def dim_blocks(self):
        return {"dims": slice(0, self.n_dims)}

    def residual(self, position):
        return self.function(jnp.asarray(position))

    def residual_and_jacobian(self, position):
        position = jnp.asarray(position)
        return self.function(position), jax.jacfwd(self.function)(position)


def scales(noise=1.0, prior=1.0):
    return Scales(noise={"rows": noise}, prior={"dims": prior})


def linear(n_rows, n_dims):
    generator = np.random.default_rng(0)
    matrix, data = generator.standard_normal((n_rows, n_dims)), generator.standard_normal(n_rows)
    return Residual(lambda x: jnp.asarray(matrix) @ x - jnp.asarray(data), n_rows, n_dims), matrix, data


@pytest.mark.parametrize(("n_rows", "n_dims"), [(30, 7), (7, 30)])
def test_a_linear_problem_has_its_closed_form(n_rows, n_dims):
    problem, matrix, data = linear(n_rows, n_dims)
    found = LevenbergMarquardt(tolerance=1e-14).mode(problem, scales(0.1, 2.0), np.zeros(n_dims))
    precision = matrix.T @ matrix / 0.01 + np.eye(n_dims) / 4.0
    np.testing.assert_allclose(found.position, np.linalg.solve(precision, matrix.T @ data / 0.01), rtol=1e-6, atol=1e-9)
    assert found.converged
    # The factor is of the undamped problem.
    whitened = np.eye(n_dims) + 4.0 * matrix.T @ matrix / 0.01
    np.testing.assert_allclose(found.factor.log_determinant, np.linalg.slogdet(whitened)[1], rtol=1e-9)


def test_a_curved_valley_leads_to_its_minimum():
    # Rosenbrock's function, from its classical start.
    def residual(x):
        return jnp.stack([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]])

    found = LevenbergMarquardt(tolerance=1e-12).mode(Residual(residual, 2, 2), scales(1.0, 1e8), np.array([-1.2, 1.0]))
    np.testing.assert_allclose(found.position, [1.0, 1.0], atol=1e-6)
    assert (np.diff(found.objective) <= 0).all()


def test_it_finds_the_mode_that_gauss_newton_finds():
    generator = np.random.default_rng(1)
    at = generator.uniform(0.0, 3.0, 40)
    data = 2.0 * np.exp(-0.7 * at) + 0.05 * generator.standard_normal(40)
    problem = Residual(lambda x: x[0] * jnp.exp(-x[1] * at) - data, 40, 2)
    start = np.array([1.0, 0.2])
    by_damping = LevenbergMarquardt(tolerance=1e-12).mode(problem, scales(0.05, 3.0), start)
    undamped = GaussNewton(continuation=(1.0,), tolerance=1e-12).mode(
        problem, scales(0.05, 3.0), start, nonlinear=["rows"]
    )
    np.testing.assert_allclose(by_damping.position, undamped.position, rtol=1e-5)


def test_perturbed_data_and_prior_move_the_mode():
    problem, matrix, data = linear(30, 7)
    generator = np.random.default_rng(2)
    offset, centre = generator.standard_normal(30), generator.standard_normal(7)
    found = LevenbergMarquardt(tolerance=1e-14).mode(problem, scales(), np.zeros(7), offset=offset, centre=centre)
    wanted = np.linalg.solve(matrix.T @ matrix + np.eye(7), matrix.T @ (data + offset) + centre)
    np.testing.assert_allclose(found.position, wanted, rtol=1e-6, atol=1e-8)


def test_points_are_drawn_anew_as_often_as_asked():
    seen = []
    problem, _, _ = linear(30, 7)

    def redrawn(position, n_done):
        seen.append(n_done)
        return problem

    method = LevenbergMarquardt(max_iterations=11, redraw_every=4)
    method.mode(problem, scales(), np.zeros(7), redrawn=redrawn)
    assert seen == [0, 4, 8]


def test_no_iterations_take_the_start_for_the_mode():
    problem, _, _ = linear(30, 7)
    start = np.arange(7.0)
    np.testing.assert_array_equal(LevenbergMarquardt(max_iterations=0).mode(problem, scales(), start).position, start)


class StoppingAt:
    """A problem that is interrupted at a Jacobian."""

    def __init__(self, problem, number):
        self.problem, self.left = problem, number
        self.row_blocks, self.dim_blocks = problem.row_blocks, problem.dim_blocks

    def residual(self, position):
        return self.problem.residual(position)

    def residual_and_jacobian(self, position):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.problem.residual_and_jacobian(position)


def decays():
    at = np.linspace(0.0, 3.0, 40)
    return Residual(lambda x: x[0] * jnp.exp(-x[1] * at) - 2.0 * np.exp(-0.7 * at), 40, 2)


def test_a_stopped_search_goes_on_from_its_file(tmp_path):
    method = LevenbergMarquardt(max_iterations=12, redraw_every=3, tolerance=1e-300, damping=1e3)
    start, store = np.array([0.1, 2.0]), tmp_path / "search.npz"
    whole = method.mode(decays(), scales(), start)
    with pytest.raises(RunInterrupted, match=r"stopped after 7 of 12 iterations; call again to go on from"):
        method.mode(StoppingAt(decays(), 7), scales(), start, store=store, identity="a")
    again = StoppingAt(decays(), 100)
    resumed = method.mode(again, scales(), start, store=store, identity="a")
    np.testing.assert_array_equal(resumed.position, whole.position)
    np.testing.assert_array_equal(resumed.objective, whole.objective)
    assert again.left == 100 - (12 - 6) - 1  # six iterations were in the file; one Jacobian at the end
    with pytest.raises(StoreError, match="belongs to another run"):
        method.mode(decays(), scales(), start, store=store, identity="b")


def test_a_start_that_is_not_finite_is_named():
    problem = Residual(lambda x: jnp.log(x), 2, 2)
    with pytest.raises(InputError, match=r"not finite in 1 rows of 'rows'"):
        LevenbergMarquardt().mode(problem, scales(), np.array([1.0, -1.0]))


@pytest.mark.parametrize("changed", [{"max_iterations": -1}, {"redraw_every": 0}, {"damping": 0.0}, {"tolerance": 0.0}])
def test_settings_that_cannot_be(changed):
    with pytest.raises(InputError, match="pass max_iterations >= 0, redraw_every >= 1, and damping and tolerance"):
        LevenbergMarquardt(**changed)
