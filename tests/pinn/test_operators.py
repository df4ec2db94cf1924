"""Operators are found out before anything is solved: what they take, and what they must not do."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from uqkit import InputError
from uqkit.pinn.field import Field
from uqkit.pinn.operators import compile_operator, outputs_and_quantities
from uqkit.problems import BoundaryValueProblem, Box, Constraint, Integrated

BOX = Box(x=(1.0, 2.0), t=(0.0, 3.0))


def problem(operator: Any = lambda u: u.value, **changed: Any) -> BoundaryValueProblem:
    settings: dict[str, Any] = {
        "name": "rod",
        "domain": BOX,
        "outputs": {"u": "K", "v": "1"},
        "parameters": {"k": dist.LogNormal(0.0, 1.0)},
        "constraints": (Constraint(name="law", operator=operator, points=BOX.interior, noise=Integrated(0.1)),),
    }
    return BoundaryValueProblem(**{**settings, **changed})


def compiled(operator):
    return compile_operator(problem(operator), "the operator of constraint 'law'", operator)


@pytest.mark.parametrize(
    ("operator", "wanted"),
    [
        (lambda u: u.value, {("u", (0, 0))}),
        (lambda u: u.d("x", 1, "t", 1), {("u", (1, 1))}),
        (lambda u: u.d("t", "t", "x"), {("u", (1, 2))}),
        (lambda u, v: u.laplacian() + v.value, {("u", (2, 0)), ("u", (0, 2)), ("v", (0, 0))}),
        (lambda u: u.laplacian("x"), {("u", (2, 0))}),
        (lambda v: v.biharmonic(), {("v", (4, 0)), ("v", (2, 2)), ("v", (0, 4))}),
        (lambda u, k, x: u.d("t") - k * x * u.d("x", 2), {("u", (0, 1)), ("u", (2, 0))}),
    ],
)
def test_derivatives_that_are_taken_are_found(operator, wanted):
    assert set(compiled(operator).wanted) == wanted


def test_an_operator_is_a_function_of_arrays():
    operator = compiled(lambda t, u, k, v: k * u.d("x", 2) * v.value + t)
    values = {name: jnp.array([value, 2 * value]) for name, value in (("xx", 3.0), ("v", 5.0), ("t", 7.0))}
    found = operator(
        {("u", (2, 0)): values["xx"], ("v", (0, 0)): values["v"]}, {"k": jnp.asarray(2.0)}, {"t": values["t"]}
    )
    np.testing.assert_allclose(found, [37.0, 134.0])


def polynomial(x, t):
    return x**4 * t**3 + x**2 * t**4 + x


def exact_field(x, t):
    def derivative(orders):
        function: Any = polynomial
        for axis, order in enumerate(orders):
            for _ in range(order):
                function = jax.grad(function, argnums=axis)
        return jax.vmap(function)(x, t)

    return Field("u", ("x", "t"), derivative)


def test_fields_name_their_derivatives():
    with jax.enable_x64(True):
        x, t = jnp.array([1.1, 0.3]), jnp.array([0.7, 2.0])
        field = exact_field(x, t)
        np.testing.assert_allclose(field.value, polynomial(x, t))
        np.testing.assert_allclose(field.d("x"), 4 * x**3 * t**3 + 2 * x * t**4 + 1)
        np.testing.assert_allclose(field.d("x", 2, "t"), 36 * x**2 * t**2 + 8 * t**3)
        np.testing.assert_allclose(field.d("x", "t", 3), field.d("t", 3, "x", 1))
        np.testing.assert_allclose(field.laplacian(), field.d("x", 2) + field.d("t", 2))
        np.testing.assert_allclose(field.laplacian("t"), field.d("t", 2))
        squared = 24 * t**3 + 2 * (72 * x**2 * t + 24 * t**2) + 24 * x**2
        np.testing.assert_allclose(field.biharmonic(), squared)
        np.testing.assert_allclose(field.biharmonic("x"), 24 * t**3)


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (
            lambda u: u.d("x", 5),
            r"u.d\('x', 5\) is of order 5; orders 1 to 4 are there, the function itself is u.value",
        ),
        (lambda u: u.d("x", 3, "t", 2), r"is of order 5"),
        (lambda u: u.d(), r"u.d\(\) is of order 0"),
        (lambda u: u.d("y"), r"u.d\('y'\): the coordinates are x, t"),
        (lambda u: u.laplacian("z"), r"u.d\('z', 2\): the coordinates are x, t"),
        (lambda u: u.d(2, "x"), r"u.d\(2, 'x'\): name a coordinate, then its order"),
        (lambda u: u.d("x", 0), r"u.d\('x', 0\): name a coordinate, then its order"),
        (lambda u: jnp.sin(u), r"used as an array.*\.value"),
        (lambda u: np.sin(u), r"used as an array.*\.value"),
        (
            lambda u: jnp.sum(u.value),
            r"the operator of constraint 'law' returns shape \(\) at 3 points; return one number",
        ),
        (lambda u: 1.0, r"operator of constraint 'law' returns a float at 3 points"),
        (lambda u: None, r"operator of constraint 'law' returns a NoneType at 3 points"),
        (lambda u: u.value[:2], r"returns shape \(2,\) at 3 points"),
        (lambda u: u, r"used as an array.*\.value"),
        (
            lambda u: u.value - jnp.mean(u.value),
            r"operator of constraint 'law' mixes points: .*depends on u at another",
        ),
        (lambda u, v: u.value + jnp.cumsum(v.d("x")), r"mixes points: its value at one depends on v at another"),
        (lambda u: u.value[::-1], r"mixes points"),
        (lambda u, x: x, r"operator of constraint 'law' does not depend on u, v, so it constrains nothing"),
        (lambda u: 0.0 * u.value, r"does not depend on u, v"),
        (lambda u: u * u.d("x"), r"used as an array.*\.value"),
        (lambda u, v: 1.0 + u.value / v, r"used as an array.*\.value"),
        (lambda u, x: 2.0 * u + x, r"used as an array.*\.value"),
        (lambda u: u**2, r"used as an array.*\.value"),
        (lambda u: -u, r"used as an array.*\.value"),
    ],
)
def test_operators_that_cannot_be(operator, message):
    with pytest.raises(InputError, match=message):
        compiled(operator)


def test_an_error_inside_an_operator_says_whose_it_is():
    def operator(u):
        return {}["nothing"] * u.value

    with pytest.raises(KeyError) as caught:
        compiled(operator)
    assert caught.value.__notes__ == ["This was raised by the operator of constraint 'law' of problem 'rod'."]


def test_an_error_at_the_values_of_a_field_says_whose_it_is():
    # At zero all is well, which is what operators are tried with first.
    def operator(u):
        if bool(jnp.any(u.value != 0)):
            raise ValueError("too large")
        return u.value

    with pytest.raises(ValueError, match="too large") as caught:
        compiled(operator)
    assert any("constraint 'law'" in note for note in getattr(caught.value, "__notes__", []))


def test_operators_are_tried_inside_the_domain():
    # At zero this is a division by zero; the domain starts at 1.
    assert compiled(lambda u, x: u.value / jnp.log(x)).wanted == (("u", (0, 0)),)


@pytest.mark.parametrize(
    ("operator", "changed"),
    [
        (lambda u, t: t * u.d("t", 2), {"domain": Box(x=(0.0, 1.0), t=(-1.0, 1.0))}),
        (lambda u, k: k * u.d("x"), {"parameters": {"k": dist.Normal(0.0, 1.0)}}),
        (lambda u, k: u.d("x") * (k - 0.5), {"parameters": {"k": dist.Uniform(0.0, 1.0)}}),
    ],
)
def test_a_factor_that_vanishes_in_the_middle_of_the_domain_or_prior_is_no_independence(operator, changed):
    box = changed.get("domain", BOX)
    law = Constraint(name="law", operator=operator, points=box.interior, noise=Integrated(0.1))
    settings = {"parameters": None, "domain": box, "outputs": {"u": "1"}, "constraints": (law,), **changed}
    assert len(compile_operator(problem(**settings), "the operator of constraint 'law'", operator).wanted) == 1


def test_outputs_and_quantities_are_predicted():
    made = problem(quantities={"flux": (lambda u, k: -k * u.d("x"), "K/m")})
    operators = outputs_and_quantities(made)
    assert list(operators) == ["u", "v", "flux"]
    assert operators["flux"].wanted == (("u", (1, 0)),)
    np.testing.assert_array_equal(operators["v"]({("v", (0, 0)): jnp.arange(3.0)}, {}, {}), np.arange(3.0))


def test_a_quantity_that_cannot_be_is_named():
    made = problem(quantities={"flux": (lambda u: jnp.mean(u.value), "1")})
    with pytest.raises(InputError, match=r"the quantity 'flux' returns shape \(\)"):
        outputs_and_quantities(made)
