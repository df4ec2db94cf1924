"""Fields that are a network: their residual against gradients and Hessians of the network, and its Jacobian."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from tests.pinn.stacks import stack_on_few_nodes
from uqkit import Inputs
from uqkit.inference import WhitenedResidual
from uqkit.nn import MLP, GatedMLP, SineUnit, WeightFactorisation
from uqkit.pinn.collocation import GaussGrid, region_points
from uqkit.pinn.network import Network
from uqkit.pinn.network_stack import FieldNetwork, NetworkStack
from uqkit.pinn.stack import PARAMETERS, nonlinear_blocks
from uqkit.problems import BoundaryValueProblem, Box, Constraint, Integrated, Measured

BOX = Box(x=(-1.0, 2.0), t=(0.0, 2.0))
POINTS = np.random.default_rng(0).uniform(BOX.lower, BOX.upper, size=(4, 2))
AMPLITUDE = {"u": 2.0, "v": 0.5}
NETWORK = Network(architecture=MLP(widths=(5, 4)), amplitude=AMPLITUDE)
FACTORISED = MLP(widths=(4, 4), activation=SineUnit(), factorisation=WeightFactorisation())
GATED = GatedMLP(widths=(5, 5))


def rising(x, t):
    return t * (2.0 + jnp.cos(x))


def known(x, t):
    return jnp.sin(2 * x) * jnp.exp(-t)


def system(**changed: Any) -> BoundaryValueProblem:
    settings: dict[str, Any] = {
        "name": "system",
        "domain": BOX,
        "outputs": {"u": "1", "v": "1"},
        "parameters": Inputs({"k": dist.LogNormal(0.0, 0.5), "c": dist.Normal(1.0, 2.0)}),
        "envelope": {"u": rising},
        "known_part": {"u": known, "v": lambda x: x**3},
        "constraints": (
            Constraint(
                name="law",
                operator=lambda u, v, k, x: u.d("t") - k * u.d("x", 2) + x * u.value * v.value,
                points=BOX.interior,
                target=lambda x, t: x * t,
                noise=Integrated(0.3),
                shape=lambda x: 3.0 + x,
            ),
            Constraint(
                name="other_law",
                operator=lambda u, v, c: v.laplacian() + c * u.d("x", 1, "t", 1) * v.d("x"),
                points=BOX.interior,
                noise=Integrated(0.3),
            ),
            Constraint(
                name="sensors",
                operator=lambda u, v: 2.0 * u.value - v.d("x"),
                points=POINTS,
                target=[1.0, 2.0, 3.0, 4.0],
                noise=Measured(0.1),
            ),
        ),
    }
    return BoundaryValueProblem(**{**settings, **changed})


@functools.cache
def stack_of_system() -> NetworkStack:
    return stack_for(system())


def stack_for(problem: BoundaryValueProblem, network: Network = NETWORK) -> NetworkStack:
    stack, _, _ = stack_on_few_nodes(problem, lambda: network.build(problem, key=jax.random.key(0)))
    assert isinstance(stack, NetworkStack)
    return stack


def position_for(stack: NetworkStack, seed: int = 1) -> np.ndarray:
    return 0.7 * np.random.default_rng(seed).standard_normal(stack.n_dims)


def jets(stack: NetworkStack, position: np.ndarray, points: np.ndarray) -> dict[str, tuple[np.ndarray, ...]]:
    """Output -> its values, gradients and Hessians at points by reverse differentiation of one point's values."""
    network = stack.fields.flat.restore(jnp.asarray(position[: stack.n_weights]))
    found = [np.asarray(part) for part in _jets(stack.fields, network, jnp.asarray(points))]
    return {output: tuple(part[:, i] for part in found) for i, output in enumerate(stack.outputs)}


@eqx.filter_jit
def _jets(fields: FieldNetwork, network: Any, points: jax.Array) -> tuple[jax.Array, ...]:
    def values(point):
        return fields.values(network, point)

    return tuple(jax.vmap(function)(points) for function in (values, jax.jacrev(values), jax.hessian(values)))


def formula(stack: NetworkStack, position: np.ndarray) -> np.ndarray:
    """What the system's constraints say, written out with gradients and Hessians."""
    k, c = np.exp(0.5 * position[-2]), 1.0 + 2.0 * position[-1]
    interior, weights = region_points(BOX.interior, GaussGrid(n=3), key=jax.random.key(0))
    x, t = interior.T
    inside, at_sensors = jets(stack, position, interior), jets(stack, position, POINTS)
    (u, du, ddu), (v, dv, ddv) = inside["u"], inside["v"]
    law = (du[:, 1] - k * ddu[:, 0, 0] + x * u * v - x * t) / (3 + x)
    other = ddv[:, 0, 0] + ddv[:, 1, 1] + c * ddu[:, 0, 1] * dv[:, 0]
    sensors = 2 * at_sensors["u"][0] - at_sensors["v"][1][:, 0] - np.arange(1.0, 5.0)
    return np.concatenate([law * np.sqrt(weights), other * np.sqrt(weights), sensors])


def test_blocks_are_in_order_and_without_gaps():
    stack = stack_of_system()
    assert isinstance(stack, WhitenedResidual)
    assert stack.row_blocks == {"law": slice(0, 9), "other_law": slice(9, 18), "sensors": slice(18, 22)}
    # Two inputs, layers of 5 and 4, two outputs.
    assert stack.dim_blocks == {
        "hidden.0.weight": slice(0, 10), "hidden.0.bias": slice(10, 15),
        "hidden.1.weight": slice(15, 35), "hidden.1.bias": slice(35, 39),
        "last.weight": slice(39, 47), "last.bias": slice(47, 49),
        PARAMETERS: slice(49, 51),
    }  # fmt: skip
    assert (stack.n_weights, stack.n_dims) == (49, 51)
    without = stack_for(system(parameters=None, constraints=system().constraints[2:]))
    assert PARAMETERS not in without.dim_blocks
    assert without.n_dims == 49


def test_fields_are_amplitude_times_network_times_envelope_plus_known_part():
    stack = stack_of_system()
    with jax.enable_x64(True):
        weights = jnp.asarray(position_for(stack)[:49])
        network = stack.fields.flat.restore(weights)
        x, t = POINTS.T
        raw = np.asarray(jax.vmap(network)(jnp.asarray(POINTS)))
        found = np.asarray(jax.vmap(lambda point: stack.fields.values(network, point))(jnp.asarray(POINTS)))
    u = t * (2 + np.cos(x)) * 2.0 * raw[:, 0] + np.sin(2 * x) * np.exp(-t)
    np.testing.assert_allclose(found, np.stack([u, 0.5 * raw[:, 1] + x**3], axis=1), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("architecture", "periodic"), [(NETWORK.architecture, ()), (FACTORISED, ("x",)), (GATED, ("x",))]
)
def test_residual_is_the_formula_in_gradients_and_hessians(architecture, periodic):
    stack = stack_for(system(periodic=periodic), Network(architecture=architecture, amplitude=AMPLITUDE))
    position = position_for(stack)
    with jax.enable_x64(True):
        found = stack.residual(position)
        np.testing.assert_allclose(found, formula(stack, position), rtol=1e-10, atol=1e-11)
        # The rows of a term on their own are those of the whole.
        rows = [np.asarray(stack.rows_of(term, jnp.asarray(position))) for term in stack.terms]
        np.testing.assert_allclose(found, np.concatenate(rows), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("changed", [{"envelope": {}}, {"known_part": {}}])
def test_the_formula_without_envelope_or_known_part_is_another(changed):
    stack, other = stack_of_system(), stack_for(system(**changed))
    with jax.enable_x64(True):
        difference = np.asarray(stack.residual(position_for(stack))) - formula(other, position_for(stack))
    assert all(np.abs(difference[rows]).max() > 1e-2 for rows in stack.row_blocks.values())


def test_jacobian_is_that_of_finite_differences():
    stack = stack_for(system(periodic=("x",)), Network(architecture=GATED, amplitude=AMPLITUDE))
    position, step = position_for(stack), 1e-6
    with jax.enable_x64(True):
        residual, jacobian = stack.residual_and_jacobian(position)
        np.testing.assert_allclose(residual, stack.residual(position), rtol=1e-12, atol=1e-12)
        sides = [
            [np.asarray(stack.residual(position + sign * step * unit)) for unit in np.eye(stack.n_dims)]
            for sign in (1, -1)
        ]
    wanted = (np.array(sides[0]) - np.array(sides[1])).T / (2 * step)
    np.testing.assert_allclose(jacobian, wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("architecture", [FACTORISED, GATED])
def test_a_periodic_network_repeats_in_value_and_slope(architecture):
    at = np.linspace(0.1, 1.9, 5)
    low, high = (np.stack([np.full(5, end), at], axis=1) for end in (-1.0, 2.0))
    for periodic, repeats in ((("x",), True), ((), False)):
        # The known part of the system does not repeat.
        problem = system(periodic=periodic, known_part={})
        stack = stack_for(problem, Network(architecture=architecture))
        position = position_for(stack)
        envelope = (2 + np.cos(-1.0)) / (2 + np.cos(2.0))
        with jax.enable_x64(True):
            below, above = (jets(stack, position, points) for points in (low, high))
        same = [
            np.allclose(first, second, rtol=0, atol=1e-11) for first, second in zip(below["v"], above["v"], strict=True)
        ]
        assert same == [repeats] * 3
        assert np.allclose(below["u"][0], envelope * above["u"][0], rtol=0, atol=1e-11) == repeats


@pytest.mark.parametrize("architecture", [FACTORISED, GATED])
def test_a_hard_initial_value_holds_for_any_weights_and_network(architecture):
    stack = stack_for(system(), Network(architecture=architecture, amplitude=1e3))
    x = np.linspace(-1, 2, 9)
    with jax.enable_x64(True):
        for seed in range(3):
            network = stack.fields.flat.restore(jnp.asarray(10 * position_for(stack, seed)[: stack.n_weights]))
            at_start = jnp.asarray(np.stack([x, np.zeros(9)], axis=1))
            found = jax.vmap(lambda point, network=network: stack.fields.values(network, point))(at_start)
            np.testing.assert_allclose(found[:, 0], np.sin(2 * x), rtol=0, atol=1e-15)


def test_laws_of_a_network_are_nonlinear():
    with jax.enable_x64(True):
        assert nonlinear_blocks(stack_of_system()) == ("law", "other_law", "sensors")
