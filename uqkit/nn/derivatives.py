"""Partial derivatives of a function of one point by nested forward differentiation."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from uqkit.errors import InputError

__all__ = ["derivatives"]

# Order of differentiation by each coordinate.
type Orders = tuple[int, ...]
type Points = Float[Array, "point input"]
type Values = Float[Array, " point *output"]
type PointFunction = Callable[[Float[Array, " input"]], Float[Array, "*output"]]
type PointsFunction = Callable[[Points], Values]


def derivatives(
    function: PointFunction, points: Float[Array, "point input"], wanted: Sequence[Orders]
) -> dict[Orders, Float[Array, " point *output"]]:
    """Values and partial derivatives at points, as Jacobian-vector products inside each other.

    One pass along a coordinate gives the value, the first and the higher derivatives; those of several coordinates
    continue from there. Only forward differentiation is nested, so that the gradient of a loss by the weights is one
    reverse pass over it; `jax.hessian` would put a second reverse pass inside, and computes mixed derivatives that
    nobody asked for. The cost grows up to twofold with each order.

    Args:
        function: Of one point; returns a number or an array of outputs.
        points: Where; 64-bit mode and `jax.jit` are the caller's.
        wanted: The order in every coordinate for each derivative: (0, 0) is the value, (2, 0) the second derivative
            in the first of two coordinates, (1, 1) the mixed one.

    Returns:
        Orders -> the derivative, one row a point, in the order that they are asked for.

    Raises:
        InputError: If orders are negative or are not one a coordinate.
    """
    n_inputs = points.shape[-1]
    bad = [orders for orders in wanted if len(orders) != n_inputs or min(orders) < 0]
    if bad or not wanted:
        raise InputError(
            f"`wanted` is {list(wanted)}; pass tuples of {n_inputs} orders of zero or more, one for each column of "
            f"`points`, such as {(2, *[0] * (n_inputs - 1))} for the second derivative in the first."
        )
    # Differentiating the vmapped function, and not vmapping its derivatives, lets XLA find that the slope is computed
    # twice inside the second derivative, and drop one: a quarter less arithmetic.
    found = _along(jax.vmap(function), set(wanted), 0)(points)
    return {orders: found[orders] for orders in wanted}


def _along(function: PointsFunction, wanted: set[Orders], axis: int) -> Callable[[Points], dict[Orders, Values]]:
    """All derivatives by the coordinates from `axis` on; the orders that it returns begin there."""
    by_order: dict[int, set[Orders]] = {}
    for first, *others in wanted:
        by_order.setdefault(first, set()).add(tuple(others))
    # Orders that are differentiated no further come out of one pass along the axis.
    last = [order for order, others in by_order.items() if not any(map(any, others))]

    def at(points: Points) -> dict[Orders, Values]:
        direction = jnp.zeros_like(points).at[:, axis].set(1.0)
        found: dict[Orders, Values] = {}
        if last:
            highest, lower = _repeated(function, direction, max(last))(points)
            passed = [*lower, highest]
            found |= {(order, *others): passed[order] for order in last for others in by_order[order]}
        for order in by_order.keys() - set(last):
            repeated = _repeated(function, direction, order)
            further = _along(lambda points, repeated=repeated: repeated(points)[0], by_order[order], axis + 1)(points)
            found |= {(order, *others): value for others, value in further.items()}
        return found

    return at


def _repeated(
    function: PointsFunction, direction: Points, order: int
) -> Callable[[Points], tuple[Values, list[Values]]]:
    """The derivative of an order along a direction, and the lower ones met on the way, from the value up."""
    if order == 0:
        return lambda points: (function(points), [])
    below = _repeated(function, direction, order - 1)

    def at(points: Points) -> tuple[Values, list[Values]]:
        # The lower ones are passed on as auxiliary values: their tangents would be computed for nothing.
        value, slope, lower = jax.jvp(below, (points,), (direction,), has_aux=True)
        return slope, [*lower, value]

    return at
