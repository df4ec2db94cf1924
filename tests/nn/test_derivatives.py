"""Nested forward derivatives: closed forms, the Hessian, and nested reverse differentiation."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uqkit import InputError
from uqkit.nn import MLP, GatedMLP, Standardise, derivatives

FREQUENCIES = np.array([1.3, 0.7, 2.1])


def sines(point):
    """Two outputs: a product of sines, and the product of their cosines."""
    phase = FREQUENCIES * point
    return jnp.stack([jnp.sin(phase).prod(), jnp.cos(phase).prod()])


def closed_form(points, orders):
    """The n-th derivative of sin(w x) is w^n sin(w x + n pi / 2); of the cosine alike."""
    phase = FREQUENCIES * points + np.array(orders) * np.pi / 2
    size = (FREQUENCIES ** np.array(orders)).prod()
    return size * np.column_stack([np.sin(phase).prod(axis=1), np.cos(phase).prod(axis=1)])


@pytest.mark.parametrize(
    "wanted",
    [
        [(2, 0, 0), (0, 2, 0), (0, 0, 2), (0, 0, 0)],
        [(1, 1, 1), (0, 0, 1)],
        [(2, 2, 0), (4, 0, 0), (0, 4, 0), (2, 0, 2), (1, 0, 3)],
        [(0, 0, 3), (0, 0, 3)],
        [orders for orders in itertools.product(range(5), repeat=3) if sum(orders) in (0, 3)],
    ],
    ids=["laplacian", "mixed", "biharmonic", "twice", "third"],
)
def test_products_of_sines_have_their_closed_forms(wanted):
    points = np.random.default_rng(0).uniform(-2, 2, size=(4, 3))
    with jax.enable_x64(True):
        found = jax.jit(lambda points: derivatives(sines, points, wanted))(points)
    assert set(found) == set(wanted)
    for orders in wanted:
        np.testing.assert_allclose(found[orders], closed_form(points, orders), rtol=1e-11, atol=1e-11)


def test_a_function_of_one_output_gives_one_number_a_point_in_the_order_asked_for():
    points, wanted = jnp.ones((4, 3)), [(1, 0, 1), (0, 0, 0)]
    found = derivatives(lambda point: sines(point)[1], points, wanted)
    assert list(found) == wanted
    for orders in wanted:
        assert found[orders].shape == (4,)
        np.testing.assert_allclose(found[orders], closed_form(np.ones((4, 3)), orders)[:, 1], rtol=1e-5)


def test_derivatives_of_networks_and_their_gradients_by_weights_are_those_of_the_hessian():
    box = Standardise.of_box(np.array([-1.0, 0.0]), np.array([2.0, 0.2]))
    with jax.enable_x64(True):
        network = GatedMLP(widths=(4,)).build(("x", "t"), 2, standardise=box, key=0)
        points = jnp.asarray(np.random.default_rng(0).random((6, 2)))
        wanted = [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]

        def by_jvp(network):
            return derivatives(network, points, wanted)

        def by_hessian(network):
            jacobian, hessian = jax.vmap(jax.jacrev(network))(points), jax.vmap(jax.hessian(network))(points)
            return {
                (0, 0): jax.vmap(network)(points),
                (1, 0): jacobian[..., 0],
                (0, 1): jacobian[..., 1],
                (2, 0): hessian[..., 0, 0],
                (1, 1): hessian[..., 0, 1],
                (0, 2): hessian[..., 1, 1],
            }

        def loss_by(method):
            def loss(network):
                values = method(network)
                return sum(jnp.sum(value**2) for value in values.values()), values

            return jax.jit(jax.grad(loss, has_aux=True))(network)

        (gradient, found), (expected_gradient, expected) = loss_by(by_jvp), loss_by(by_hessian)
        for orders in wanted:
            np.testing.assert_allclose(found[orders], expected[orders], rtol=1e-10, atol=1e-10)
        for one, other in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected_gradient), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * np.abs(np.asarray(other)).max())


def by_gradient(function, axis):
    return lambda point: jax.grad(function)(point)[axis]


@pytest.mark.parametrize("orders", [(3, 1), (0, 4)])
def test_high_orders_of_networks_are_those_of_nested_gradients(orders):
    with jax.enable_x64(True):
        network = MLP(widths=(4, 4)).build(("x", "t"), 1, key=0)
        points = jnp.asarray(np.random.default_rng(0).random((3, 2)))
        function = lambda point: network(point)[0]  # noqa: E731
        found = jax.jit(lambda points: derivatives(function, points, [orders])[orders])(points)
        for axis in np.repeat([0, 1], orders):
            function = by_gradient(function, axis)
        np.testing.assert_allclose(found, jax.jit(jax.vmap(function))(points), rtol=1e-9)


def test_the_value_is_computed_once_for_all_derivatives_along_an_axis():
    calls = []

    def function(point):
        calls.append(1)
        return jnp.sin(point[0])

    derivatives(function, jnp.ones((5, 1)), [(0,), (1,), (2,), (4,)])
    assert len(calls) == 1


def test_single_precision_stays_single():
    found = derivatives(sines, jnp.ones((2, 3)), [(0, 0, 0), (2, 0, 0)])
    assert {value.dtype for value in found.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("wanted", [[], [(1,)], [(0, 0, -1)], [(0, 0, 0), (1, 1)]])
def test_bad_orders_say_so(wanted):
    with pytest.raises(InputError, match="tuples of 3 orders"):
        derivatives(sines, jnp.ones((2, 3)), wanted)
