"""Modes against SciPy's least squares; local modes that the continuation avoids; what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from tests.inference.residuals import Nonlinear, blocks_of, linear
from uqkit import InputError
from uqkit.inference import GaussNewton, Scales
from uqkit.inference.factor import PrimalFactor

TIMES = np.linspace(0.1, 3.0, 12)
DECAYED = 2.0 * np.exp(-1.3 * TIMES) + 0.03 * np.random.default_rng(0).normal(size=12)
DECAY_SCALES = Scales(noise={"early": 0.03, "late": 0.06}, prior={"height": 3.0, "rate": 1.0})


def decay(observed=DECAYED):
    """A height and the logarithm of a rate."""
    return Nonlinear(
        lambda x: x[0] * jnp.exp(-jnp.exp(x[1]) * jnp.asarray(TIMES)) - jnp.asarray(observed),
        blocks_of({"early": 5, "late": 7}),
        blocks_of({"height": 1, "rate": 1}),
    )


def stacked(problem, scales, offset, centre):
    """What is minimised, as SciPy wants it."""
    noise, prior = scales.rows(problem.row_blocks), scales.dims(problem.dim_blocks)

    def residual(position):
        with jax.enable_x64(True):
            inner = np.asarray(problem.residual(position))
        return np.concatenate([(inner - offset) / noise, (position - centre) / prior])

    return residual


@pytest.mark.parametrize("damping", [0.0, 1.0])
@pytest.mark.parametrize("moved", [False, True])
def test_mode_is_that_of_scipy(moved, damping):
    generator = np.random.default_rng(1)
    offset = 0.05 * generator.normal(size=12) if moved else np.zeros(12)
    centre = np.array([1.0, -0.5]) if moved else np.zeros(2)
    arguments = {"offset": offset, "centre": centre} if moved else {}
    problem, start = decay(), np.array([1.0, 0.0])
    mode = GaussNewton(tolerance=1e-14, damping=damping).mode(
        problem, DECAY_SCALES, start, nonlinear=["early", "late"], **arguments
    )
    residual = stacked(problem, DECAY_SCALES, offset, centre)
    wanted = optimize.least_squares(residual, start, xtol=1e-15, ftol=1e-15, gtol=1e-15)
    assert mode.converged
    np.testing.assert_allclose(mode.position, wanted.x, rtol=1e-6)
    assert mode.objective[-1] == pytest.approx(wanted.cost, rel=1e-10)
    with jax.enable_x64(True):
        np.testing.assert_allclose(mode.residual, problem.residual(mode.position), atol=1e-14)


def test_factor_and_jacobian_belong_to_the_mode():
    problem = decay()
    mode = GaussNewton(tolerance=1e-12).mode(problem, DECAY_SCALES, np.array([1.0, 0.0]), nonlinear=["early", "late"])
    with jax.enable_x64(True):
        jacobian = np.asarray(problem.residual_and_jacobian(mode.position)[1])
    np.testing.assert_allclose(mode.jacobian, jacobian, rtol=1e-6)
    noise, prior = DECAY_SCALES.rows(problem.row_blocks), DECAY_SCALES.dims(problem.dim_blocks)
    whitened = jacobian * prior / noise[:, None]
    root = mode.factor.matrix()
    np.testing.assert_allclose(root @ root.T, np.linalg.inv(np.eye(2) + whitened.T @ whitened), rtol=1e-5)
    assert mode.scales == DECAY_SCALES


def test_a_linear_problem_takes_one_step():
    problem = linear({"a": 10, "b": 20}, {"w": 12})
    scales = Scales(noise={"a": 0.1, "b": 3.0}, prior={"w": 2.0})
    mode = GaussNewton().mode(problem, scales, np.full(12, 5.0))
    np.testing.assert_allclose(mode.position, problem.posterior(scales)[0], rtol=1e-10)
    assert len(mode.objective) == 2
    assert mode.converged
    assert mode.n_evaluations == 2
    assert isinstance(mode.factor, PrimalFactor)


def rosenbrock():
    return Nonlinear(
        lambda x: jnp.stack([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]]), blocks_of({"law": 2}), blocks_of({"w": 2})
    )


@pytest.mark.parametrize("damping", [0.0, 1e-2, 10.0])
def test_no_step_raises_the_objective(damping):
    generator = np.random.default_rng(0)
    method = GaussNewton(continuation=(1.0,), damping=damping, max_iterations=200)
    scales = Scales(noise={"law": 0.01}, prior={"w": 10.0})
    for _ in range(10):
        mode = method.mode(rosenbrock(), scales, generator.uniform(-2.0, 2.0, 2), nonlinear=["law"])
        assert mode.converged
        assert (np.diff(mode.objective) <= 1e-12 * (1.0 + mode.objective[:-1])).all()  # but for rounding
        np.testing.assert_allclose(mode.position, 1.0, atol=1e-3)


def test_undamped_steps_would_raise_it():
    # The broken twin: a full step of the same problem.
    with jax.enable_x64(True):
        residual, jacobian = rosenbrock().residual_and_jacobian(np.array([-1.2, 1.0]))
        step = -np.linalg.solve(np.asarray(jacobian), np.asarray(residual))
        after = rosenbrock().residual(np.array([-1.2, 1.0]) + step)
    assert (np.asarray(after) ** 2).sum() > 10 * (np.asarray(residual) ** 2).sum()


def wavy():
    """A point near (2, sin 6) by measurement, exactly on a wave by law: every branch of the wave is a local mode."""
    return Nonlinear(
        lambda x: jnp.stack([x[0] - 2.0, x[1] - jnp.sin(6.0), x[1] - jnp.sin(3.0 * x[0])]),
        blocks_of({"sensors": 2, "law": 1}),
        blocks_of({"w": 2}),
    )


WAVY_SCALES = Scales(noise={"sensors": 0.05, "law": 1e-6}, prior={"w": 10.0})


@pytest.mark.parametrize("continuation", [None, (1e6, 1e5, 1e4, 1e3, 1e2, 10.0, 1.0)])
def test_continuation_reaches_the_global_mode(continuation):
    mode = GaussNewton(continuation=continuation).mode(wavy(), WAVY_SCALES, np.zeros(2), nonlinear=["law"])
    np.testing.assert_allclose(mode.position, [2.0, np.sin(6.0)], atol=0.01)
    assert mode.objective[-1] < 1.0


def test_a_direct_start_ends_in_a_local_mode():
    mode = GaussNewton(continuation=(1.0,)).mode(wavy(), WAVY_SCALES, np.zeros(2), nonlinear=["law"])
    assert mode.objective[-1] > 10.0
    assert abs(mode.position[1] - np.sin(3.0 * mode.position[0])) < 1e-4


def test_continuation_starts_where_the_linear_blocks_say():
    problem = wavy()
    GaussNewton().mode(problem, WAVY_SCALES, np.zeros(2), nonlinear=["law"])
    np.testing.assert_allclose(problem.positions[1], [2.0, np.sin(6.0)], atol=1e-3)


def test_too_few_iterations_are_not_called_converged():
    mode = GaussNewton(continuation=(1.0,), max_iterations=1).mode(
        rosenbrock(), Scales(noise={"law": 0.01}, prior={"w": 10.0}), np.array([-1.2, 1.0]), nonlinear=["law"]
    )
    assert not mode.converged
    assert len(mode.objective) == 2


@pytest.mark.parametrize("start", [np.array([1.0, 0.0]), np.array([1.0, -1.0])])
def test_a_start_that_is_not_finite_names_the_block(start):
    problem = Nonlinear(
        lambda x: jnp.concatenate([x, jnp.log(x[1:]), 1 / x[1:] ** 2]),
        blocks_of({"values": 2, "logarithms": 1, "poles": 1}),
        blocks_of({"w": 2}),
    )
    scales = Scales(noise=dict.fromkeys(problem.row_blocks, 1.0), prior={"w": 1.0})
    with pytest.raises(InputError, match=r"not finite in 1 rows of 'logarithms'.*divisions by zero") as e:
        GaussNewton().mode(problem, scales, start, nonlinear=["logarithms", "poles"])
    assert "'values'" not in str(e.value)


def test_a_step_out_of_the_domain_is_damped():
    # From 1 the full step is to -6.4, where the logarithm is not a number.
    problem = Nonlinear(lambda x: jnp.log(x) - 2.0 * jnp.log(0.05), blocks_of({"law": 1}), blocks_of({"w": 1}))
    scales = Scales(noise={"law": 0.01}, prior={"w": 10.0})
    mode = GaussNewton(continuation=(1.0,)).mode(problem, scales, np.array([1.0]), nonlinear=["law"])
    assert mode.converged
    assert mode.position[0] == pytest.approx(0.05**2, rel=1e-4)


@pytest.mark.parametrize("continuation", [(), (10.0,), (1.0, 10.0, 1.0), (0.5, 1.0)])
def test_a_continuation_that_does_not_fall_to_one_is_refused(continuation):
    with pytest.raises(InputError, match="falling factors that end in 1"):
        GaussNewton(continuation=continuation)


@pytest.mark.parametrize(
    "setting", [{"max_iterations": 0}, {"tolerance": 0.0}, {"tolerance": np.nan}, {"damping": -1.0}]
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(
        InputError, match="at least one iteration, a tolerance above zero, and a damping of zero or more"
    ):
        GaussNewton(**setting)
