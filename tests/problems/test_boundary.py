"""Boundary value problems: every mistake is named where the problem is made."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from tests.callers import without_type_hook
from uqkit import InputError, Inputs
from uqkit.problems import BoundaryValueProblem, Box, Constraint, FieldReference, Integrated, Measured

BOX = Box(x=(0.0, 1.0), t=(0.0, 2.0))
POINTS = np.array([[0.1, 0.0], [0.5, 1.0], [0.9, 2.0]])


@pytest.fixture(autouse=True)
def _as_users_call():
    with without_type_hook():
        yield


def constraint(**changed: Any) -> Constraint:
    settings: dict[str, Any] = {
        "name": "law",
        "operator": lambda u: u.value,
        "points": POINTS,
        "noise": Measured(0.1),
    }
    return Constraint(**{**settings, **changed})


def problem(*constraints: Constraint, **changed: Any) -> BoundaryValueProblem:
    settings: dict[str, Any] = {"name": "rod", "domain": BOX, "constraints": constraints or (constraint(),)}
    return BoundaryValueProblem(**{**settings, **changed})


def test_a_problem_knows_its_parameters():
    assert problem().inputs is None
    assert problem().parameter_names == ()
    priors = {"k": dist.Normal(0.0, 1.0), "c": stats.uniform(1.0, 2.0)}
    assert problem(parameters=priors).parameter_names == ("k", "c")
    inputs = Inputs(priors, units={"c": "m"})
    assert problem(parameters=inputs).inputs is inputs


def test_targets_and_shapes_at_points():
    made = problem()
    assert made.target_at(constraint(target=2), POINTS).tolist() == [2.0, 2.0, 2.0]
    assert made.target_at(constraint(target=[1, 2, 3]), POINTS).tolist() == [1.0, 2.0, 3.0]
    np.testing.assert_allclose(made.target_at(constraint(target=lambda t, x: x - t), POINTS), [0.1, -0.5, -1.1])
    np.testing.assert_allclose(
        made.target_at(constraint(target=lambda t: jnp.sin(t)), POINTS), np.sin(POINTS[:, 1]), rtol=1e-6
    )
    assert made.target_at(constraint(target=lambda: 4.0), POINTS).tolist() == [4.0, 4.0, 4.0]
    assert made.shape_at(constraint(), POINTS).tolist() == [1.0, 1.0, 1.0]
    np.testing.assert_allclose(made.shape_at(constraint(shape=lambda x: x), POINTS), POINTS[:, 0])


def test_points_of_a_constraint_are_its_own_or_left_to_the_rule():
    listed = constraint(points=POINTS.tolist())
    np.testing.assert_array_equal(problem(listed).given_points(listed), POINTS)
    filled = constraint(points=BOX.interior)
    assert problem(filled).given_points(filled) is None


def test_operators_take_fields_parameters_and_coordinates():
    def operator(v, x, k, u):
        return v.value + x * k * u.value

    problem(
        constraint(operator=operator),
        outputs={"u": "K", "v": "1"},
        parameters={"k": dist.Normal(0.0, 1.0)},
        quantities={"flux": (operator, "K/m")},
    )


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.nan, np.inf, np.float64(-2.0)])
def test_noise_of_sensors_is_positive(sigma):
    with pytest.raises(InputError, match=r"Measured\(sigma=.*\): pass a finite number above zero"):
        Measured(sigma)


@pytest.mark.parametrize("law", [dist.Normal(0.0, 1.0), stats.norm(5.0, 1.0), dist.Uniform(-0.1, 1.0)])
def test_noise_of_sensors_has_a_positive_law(law):
    with pytest.raises(
        InputError, match=r"may be negative; pass a distribution on positive numbers, such as LogNormal"
    ):
        Measured(law)


@pytest.mark.parametrize("law", [dist.HalfNormal(1.0), dist.LogNormal(0.0, 1.0), stats.gamma(2.0)])
def test_noise_of_sensors_may_be_unknown(law):
    marginal = Measured(law).prior
    assert marginal is not None
    assert marginal.support[0] == 0.0
    assert Measured(0.1).prior is None


def test_noise_that_is_no_distribution_is_refused():
    with pytest.raises(InputError, match="noise scale"):
        Measured("small")


@pytest.mark.parametrize("tolerance", [0.0, -1.0, np.nan])
def test_a_tolerance_is_positive(tolerance):
    with pytest.raises(InputError, match=r"Integrated\(tolerance=.*\): pass a finite number above zero"):
        Integrated(tolerance)


def test_a_tolerance_is_not_learned():
    with pytest.raises(InputError, match=r"Integrated\(HalfNormal\): a tolerance is a number.*use Measured\(prior\)"):
        Integrated(dist.HalfNormal(1.0))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "heat law"}, r"constraint name 'heat law': use a word"),
        ({"name": ""}, r"constraint name '': use a word"),
        ({"operator": 3}, r"`operator` of constraint 'law' is 3; pass a function such as `lambda u: u.d\('x', 2\)`"),
        ({"noise": 0.1}, r"`noise` of constraint 'law' is 0.1; pass Measured\(sigma\).*or Integrated\(tolerance\)"),
    ],
)
def test_constraints_that_cannot_be(changed, message):
    with pytest.raises(InputError, match=message):
        constraint(**changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"points": [0.1, 0.2]}, r"`points` of constraint 'law' has shape \(2,\); .*\(point, 2\), in the order x, t"),
        ({"points": POINTS[:, :1]}, r"has shape \(3, 1\)"),
        ({"points": POINTS[:0]}, r"has shape \(0, 2\)"),
        ({"points": [[0.1, 0.1], [np.nan, 0.1]]}, r"`points` of constraint 'law': row 1 is not finite"),
        (
            {"points": [[0.1, 0.1], [0.1, 2.1], [1.5, 0.0]]},
            r"2 of 3 points of constraint 'law' lie outside Box\(.*the first is row 1 \(x=0.1, t=2.1\); enlarge",
        ),
        ({"target": [1.0, 2.0]}, r"constraint 'law' has 3 points but a target of shape \(2,\); pass one value a point"),
        ({"target": np.ones((3, 1))}, r"3 points but a target of shape \(3, 1\)"),
        (
            {"points": BOX.interior, "target": [1.0, 2.0]},
            r"has an array as target but a region as points; give the points",
        ),
        ({"points": Box(x=(0.0, 1.0), t=(0.0, 2.0)).interior}, r"the region of constraint 'law' is of another box"),
        (
            {"operator": lambda u, y: u.value},
            r"operator of constraint 'law' asks for y; .*outputs u and coordinates x, t",
        ),
        ({"operator": lambda *fields: 0.0}, r"asks for fields; its arguments must be named"),
        ({"operator": lambda u, **rest: u.value}, r"asks for rest; its arguments must be named"),
        ({"operator": lambda x: x}, r"takes none of the fields u, so it says nothing of them"),
    ],
)
def test_constraints_that_do_not_fit_the_problem(changed, message):
    with pytest.raises(InputError, match=message):
        problem(constraint(**changed))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"outputs": {}}, r"problem 'rod' has no outputs; give at least one"),
        ({"constraints": ()}, r"problem 'rod' has no constraints; give at least one"),
        (
            {"outputs": {"u": "1", "chain": "1"}},
            r"'chain' cannot name an output, parameter or coordinate here; rename it",
        ),
        ({"outputs": {"u": "1", "a b": "1"}}, r"'a b' cannot name"),
        ({"parameters": {"feature": dist.Normal(0.0, 1.0)}}, r"'feature' cannot name"),
        ({"outputs": {"u": "1", "x": "1"}}, r"x: more than one output, parameter or coordinate of problem 'rod'"),
        ({"parameters": {"u": dist.Normal(0.0, 1.0)}}, r"u: more than one output, parameter or coordinate"),
        (
            {"constraints": (constraint(), constraint())},
            r"law: more than one constraint of problem 'rod' has this name",
        ),
        ({"known_part": {"v": lambda x: x}}, r"`known_part` of problem 'rod' names v; known: u"),
        ({"envelope": {"u": lambda t: t, "v": lambda t: t}}, r"`envelope` of problem 'rod' names v; known: u"),
        ({"periodic": ("x", "y")}, r"`periodic` of problem 'rod' names y; known: x, t"),
        ({"periodic": ("u",)}, r"`periodic` of problem 'rod' names u; known: x, t"),
        ({"periodic": "x"}, r"periodic='x': pass a tuple of names, as \('x',\)"),
        (
            {"references": {"v": FieldReference(function=lambda x: x, kind="closed form", source="made up")}},
            r"`references` of problem 'rod' names v; known: u",
        ),
        ({"quantities": {"flux": (lambda u, y: u.value, "1")}}, r"the quantity 'flux' asks for y"),
        ({"quantities": {"u": (lambda u: u.value, "1")}}, r"u: more than one output, parameter or coordinate"),
        (
            {"parameters": {"k": dist.Normal(0.0, 1.0)}, "constraints": (constraint(operator=lambda u, q: u.value),)},
            r"asks for q; .*the outputs u, parameters k and coordinates x, t",
        ),
    ],
)
def test_problems_that_cannot_be(changed, message):
    with pytest.raises(InputError, match=message):
        problem(**changed)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            lambda x, t: np.where(x > 0.4, np.nan, t),
            r"`target` of constraint 'law' is nan at \(x=0.5, t=1\); leave such",
        ),
        ([0.0, 1.0, np.inf], r"`target` of constraint 'law' is inf at \(x=0.9, t=2\)"),
        (np.nan, r"`target` of constraint 'law' is nan at \(x=0.1, t=0\)"),
        (lambda x: x[:2], r"`target` of constraint 'law' returns shape \(2,\) for 3 points; return one value a point"),
        (lambda y: y, r"a function of the coordinates asks for y; name its arguments x, t"),
    ],
)
def test_targets_that_cannot_be_evaluated(target, message):
    with pytest.raises(InputError, match=message):
        problem().target_at(constraint(target=target), POINTS)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (lambda x: x - 0.5, r"`shape` of constraint 'law' is -0.4 somewhere; it must be above 0"),
        (lambda t: t, r"`shape` of constraint 'law' is 0 somewhere"),
        (lambda x: np.full_like(x, np.nan), r"`shape` of constraint 'law' is nan at \(x=0.1, t=0\)"),
    ],
)
def test_relative_noise_scales_are_positive(shape, message):
    with pytest.raises(InputError, match=message):
        problem().shape_at(constraint(shape=shape), POINTS)
