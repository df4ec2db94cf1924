"""All constraints as one residual: its values, its Jacobian, and which blocks are not linear."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from tests.pinn.stacks import stack_on_few_nodes
from uqkit import Inputs
from uqkit.inference import WhitenedResidual
from uqkit.pinn.collocation import GaussGrid, region_points
from uqkit.pinn.features import GaussianPairs, RandomFeatures, UniformBand
from uqkit.pinn.stack import PARAMETERS, function_derivatives, nonlinear_blocks
from uqkit.problems import BoundaryValueProblem, Box, Constraint, Integrated, Measured

BOX = Box(x=(0.0, 1.0), t=(0.0, 2.0))
POINTS = np.random.default_rng(0).uniform(BOX.lower, BOX.upper, size=(4, 2))
N_FEATURES = 7


def singular(x, t):
    return jnp.sqrt(x + 0.1) * jnp.sin(t)


def system(**changed: Any) -> BoundaryValueProblem:
    settings: dict[str, Any] = {
        "name": "system",
        "domain": BOX,
        "outputs": {"u": "1", "v": "1"},
        "parameters": Inputs({"k": dist.LogNormal(0.0, 0.5), "c": dist.Normal(1.0, 2.0)}),
        "constraints": (
            Constraint(
                name="law",
                operator=lambda u, v, k, x: u.d("t") - k * u.d("x", 2) + x * u.value * v.value,
                points=BOX.interior,
                target=lambda x, t: x * t,
                noise=Integrated(0.3),
                shape=lambda x: 1.0 + x,
            ),
            Constraint(
                name="other_law", operator=lambda v, c: v.d("x", 2) + c, points=BOX.interior, noise=Integrated(0.3)
            ),
            Constraint(
                name="sensors",
                operator=lambda u, v: 2.0 * u.value - v.d("x"),
                points=POINTS,
                target=[1.0, 2.0, 3.0, 4.0],
                noise=Measured(0.1),
                shape=lambda t: 2.0 + t,
            ),
            Constraint(
                name="start", operator=lambda v: jnp.exp(v.value), points=BOX.face(t=0.0), noise=Integrated(0.3)
            ),
        ),
    }
    return BoundaryValueProblem(**{**settings, **changed})


def stack_for(problem, n_features=N_FEATURES):
    field = RandomFeatures(n_features=n_features)
    return stack_on_few_nodes(problem, lambda: field.basis(problem.domain, 3.0, key=jax.random.key(0)))


def derived(function: Any, orders: tuple[int, ...]) -> Any:
    """A partial derivative of a function of one point's coordinates by nested reverse differentiation."""
    for axis, order in enumerate(orders):
        for _ in range(order):
            function = jax.grad(function, argnums=axis)
    return function


def position_for(stack):
    return 0.5 * np.random.default_rng(1).standard_normal(stack.n_dims)


def test_blocks_are_in_order_and_without_gaps():
    stack, _, _ = stack_for(system())
    assert stack.row_blocks == {
        "law": slice(0, 9), "other_law": slice(9, 18), "sensors": slice(18, 22), "start": slice(22, 25)
    }  # fmt: skip
    assert stack.dim_blocks == {"u": slice(0, 7), "v": slice(7, 14), PARAMETERS: slice(14, 16)}
    assert stack.n_dims == 16
    assert isinstance(stack, WhitenedResidual)
    without = stack_for(system(parameters=None, constraints=system().constraints[2:]))[0]
    assert list(without.dim_blocks) == ["u", "v"]
    assert without.n_dims == 14


@pytest.mark.parametrize("known", [{}, {"u": singular}])
def test_residual_is_value_minus_target_over_scale(known):
    stack, basis, nodes = stack_for(system(known_part=known))
    position = position_for(stack)
    k, c = np.exp(0.5 * position[14]), 1.0 + 2.0 * position[15]

    def field(points, weights, orders):
        return basis.matrices(points, [orders])[orders] @ weights

    def u(points, orders):
        function = derived(known.get("u", lambda x, t: 0.0), orders)
        added = [float(function(*point)) for point in points]
        return field(points, position[:7], orders) + np.array(added)

    def v(points, orders):
        return field(points, position[7:14], orders)

    with jax.enable_x64(True):
        law, other, sensors, start = (node.points for node in nodes)
        x, t = law.T
        wanted = [
            (u(law, (0, 1)) - k * u(law, (2, 0)) + x * u(law, (0, 0)) * v(law, (0, 0)) - x * t) / (1 + x),
            v(other, (2, 0)) + c,
            (2 * u(sensors, (0, 0)) - v(sensors, (1, 0)) - np.arange(1.0, 5.0)) / (2 + sensors[:, 1]),
            np.exp(v(start, (0, 0))),
        ]
        grid_weights = region_points(BOX.interior, GaussGrid(n=3), key=jax.random.key(0))[1]
        end_weights = region_points(BOX.face(t=0.0), GaussGrid(n=3), key=jax.random.key(0))[1]
        for i, weights in ((0, grid_weights), (1, grid_weights), (3, end_weights)):
            wanted[i] = wanted[i] * np.sqrt(weights)
        np.testing.assert_allclose(stack.residual(position), np.concatenate(wanted), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("known", [{}, {"v": singular}])
def test_jacobian_is_that_of_finite_differences(known):
    stack, _, _ = stack_for(system(known_part=known))
    position, step = position_for(stack), 1e-6
    with jax.enable_x64(True):
        residual, jacobian = stack.residual_and_jacobian(position)
        np.testing.assert_allclose(residual, stack.residual(position), rtol=1e-12, atol=1e-12)
        sides = [
            [np.asarray(stack.residual(position + sign * step * unit)) for unit in np.eye(stack.n_dims)]
            for sign in (1, -1)
        ]
    wanted = (np.array(sides[0]) - np.array(sides[1])).T / (2 * step)
    np.testing.assert_allclose(jacobian, wanted, rtol=1e-6, atol=1e-7)


def test_jacobian_is_that_of_automatic_differentiation():
    stack, _, _ = stack_for(system())
    with jax.enable_x64(True):
        position = jnp.asarray(position_for(stack))
        np.testing.assert_allclose(
            stack.residual_and_jacobian(position)[1], jax.jacfwd(stack.residual)(position), rtol=1e-10, atol=1e-12
        )


def test_parameters_are_in_their_own_units():
    stack, _, _ = stack_for(system())
    with jax.enable_x64(True):
        found = stack.parameters(jnp.asarray(np.concatenate([np.zeros(14), [1.0, -2.0]])))
    assert float(found["k"]) == pytest.approx(np.exp(0.5), rel=1e-9)
    assert float(found["c"]) == pytest.approx(-3.0, rel=1e-9)


def test_blocks_that_are_not_linear_are_found():
    stack, _, _ = stack_for(system())
    with jax.enable_x64(True):
        assert nonlinear_blocks(stack) == ("law", "start")


@pytest.mark.parametrize(
    ("operator", "parameters", "expected"),
    [
        (lambda u: u.d("x", 2) + 3.0, None, ()),
        (lambda u, k: u.d("x", 2) + k, {"k": dist.Normal(0.0, 2.0)}, ()),
        # The parameter's law makes it a nonlinear function of its score.
        (lambda u, k: u.d("x", 2) + k, {"k": dist.LogNormal(0.0, 0.5)}, ("law",)),
        (lambda u, k: k * u.value, {"k": dist.Normal(0.0, 2.0)}, ("law",)),
        (lambda u: u.value * u.d("x"), None, ("law",)),
        (lambda u: u.d("x", 2) + 1e-9 * u.value**3, None, ("law",)),
    ],
)
def test_linearity_is_in_fields_and_scores_together(operator, parameters, expected):
    constraints = (Constraint(name="law", operator=operator, points=BOX.interior, noise=Integrated(0.1)),)
    problem = system(constraints=constraints, parameters=parameters, outputs={"u": "1"})
    with jax.enable_x64(True):
        assert nonlinear_blocks(stack_for(problem)[0]) == expected


def test_known_parts_are_differentiated():
    problem = system(known_part={"u": singular})
    wanted = (("u", (0, 0)), ("u", (2, 1)), ("v", (0, 0)))
    with jax.enable_x64(True):
        found = function_derivatives(problem.known_part, problem.domain.names, POINTS, wanted)
    assert set(found) == {("u", (0, 0)), ("u", (2, 1))}
    x, t = POINTS.T
    np.testing.assert_allclose(found["u", (0, 0)], np.sqrt(x + 0.1) * np.sin(t), rtol=1e-12)
    np.testing.assert_allclose(found["u", (2, 1)], -0.25 * (x + 0.1) ** -1.5 * np.cos(t), rtol=1e-12)


ORDERS = [(0, 0), (1, 0), (0, 2), (1, 1), (3, 0), (0, 4), (2, 2)]


def rising(x, t):
    return t * jnp.exp(2 * x - t)


def order_by_order(**changed: Any) -> BoundaryValueProblem:
    """Two fields, one with an envelope; each constraint takes one derivative of both."""

    def sum_of(orders):
        named = [entry for pair in zip(("x", "t"), orders, strict=True) if pair[1] for entry in pair]
        return lambda u, v: (u.d(*named) + 2.0 * v.d(*named)) if named else u.value + 2.0 * v.value

    constraints = tuple(
        Constraint(name=f"d{a}{b}", operator=sum_of((a, b)), points=POINTS, noise=Measured(1.0)) for a, b in ORDERS
    )
    return system(parameters=None, constraints=constraints, envelope={"u": rising}, **changed)


def test_envelopes_multiply_the_features_in_all_derivatives():
    stack, basis, _ = stack_for(order_by_order(known_part={"u": singular}))
    position = position_for(stack)
    weights = {"u": position[:7], "v": position[7:]}

    def field(x, t):
        scaled = (jnp.stack([x, t]) - basis.centre) / basis.half_width
        features = np.sqrt(2 / 7) * jnp.sin(basis.frequency @ scaled + basis.phase)
        return rising(x, t) * (features @ weights["u"]) + singular(x, t) + 2.0 * (features @ weights["v"])

    with jax.enable_x64(True):
        wanted = [jax.jit(jax.vmap(derived(field, orders)))(*jnp.asarray(POINTS.T)) for orders in ORDERS]
        found = np.asarray(stack.residual(position)).reshape(len(ORDERS), len(POINTS))
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-11)
        jacobian = stack.residual_and_jacobian(position)[1]
        np.testing.assert_allclose(jacobian, jax.jacfwd(stack.residual)(jnp.asarray(position)), rtol=1e-10, atol=1e-12)


def test_an_envelope_on_the_other_field_is_another_residual():
    right = stack_for(order_by_order())[0]
    wrong = stack_for(dataclasses.replace(order_by_order(), envelope={"v": rising}))[0]
    with jax.enable_x64(True):
        difference = np.asarray(right.residual(position_for(right)) - wrong.residual(position_for(right)))
    assert (np.abs(difference).reshape(len(ORDERS), -1).max(axis=1) > 1e-3).all()


@pytest.mark.parametrize("frequencies", [UniformBand(limit=12.0), GaussianPairs(length_scale=0.3)])
def test_features_of_a_periodic_problem_repeat_with_all_derivatives(frequencies):
    field = RandomFeatures(n_features=40, frequencies=frequencies)
    value = frequencies.candidates[0]
    low = np.stack([np.full(5, BOX.lower[0]), np.linspace(0.1, 1.9, 5)], axis=1)
    high = low + [1.0, 0.0]
    for periodic, repeats in ((("x",), True), ((), False), (("t",), False)):
        basis = field.basis(BOX, value, periodic=periodic, key=jax.random.key(0))
        below, above = (basis.matrices(points, ORDERS) for points in (low, high))
        same = [
            np.allclose(below[orders], above[orders], rtol=0, atol=1e-11 * np.abs(below[orders]).max())
            for orders in ORDERS
        ]
        assert same == [repeats] * len(ORDERS)


@pytest.mark.parametrize("n_features", [2, 7, 200])
def test_a_hard_initial_value_holds_for_any_weights_and_features(n_features):
    at_start = np.stack([np.linspace(0, 1, 9), np.zeros(9)], axis=1)
    start = Constraint(
        name="start",
        operator=lambda u: u.value,
        points=at_start,
        target=lambda x: np.sin(5 * x),
        noise=Measured(1.0),
    )
    problem = BoundaryValueProblem(
        name="started",
        domain=BOX,
        constraints=(start,),
        known_part={"u": lambda x: jnp.sin(5 * x)},
        envelope={"u": rising},
    )
    stack = stack_for(problem, n_features)[0]
    with jax.enable_x64(True):
        for seed in range(3):
            weights = 1e3 * np.random.default_rng(seed).standard_normal(n_features)
            np.testing.assert_allclose(stack.residual(weights), 0.0, rtol=0, atol=1e-15)
