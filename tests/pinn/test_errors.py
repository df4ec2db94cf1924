"""What `infer` refuses before anything is solved, and what it warns of."""

import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from tests.callers import without_type_hook
from tests.pinn.curves import FIELD, LINE, PRIOR, curve, infer, value_of
from uqkit import InputError, UqkitWarning
from uqkit.pinn import (
    Exact,
    GaussGrid,
    GaussNewton,
    HeldOutTolerance,
    RandomFeatures,
    RandomisedMAP,
    Sampled,
    SobolPoints,
    UniformBand,
)
from uqkit.problems import BoundaryValueProblem, Box, Constraint, Integrated, Measured


@pytest.fixture(autouse=True)
def _as_users_call():
    with without_type_hook():
        yield


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"problem": "helmholtz"}, r"the problem is a str; pass a uqkit.BoundaryValueProblem, or uqkit.load\(name\)"),
        ({"method": "nuts"}, r"`method` is 'nuts'; pass Exact\(\), GaussNewton\(\), RandomisedMAP\(\), NUTS\(\)"),
        ({"field": 100}, r"`field` is 100; pass RandomFeatures\(\.\.\.\)"),
        ({"noise": 0.1}, r"`noise` is 0.1; pass MacKay\(\), AttainedTolerance"),
        (
            {"noise": Sampled()},
            r"noise=Sampled\(\) wants a sampler as method, such as NUTS\(\); GaussNewton\(\) has none",
        ),
        (
            {"noise": HeldOutTolerance(constraint="sensors")},
            r"HeldOutTolerance\(constraint='sensors'\): .*of which 'curve' has none",
        ),
        ({"n_draws": 3}, r"n_draws=3: pass at least 4"),
        ({"grid": 1}, r"grid=1: pass at least 2 points along each of x"),
        ({"grid": {"y": 5}}, r"grid=\{'y': 5\}: pass at least 2 points along each of x"),
        (
            {"store": "run.npz"},
            r"of a sampler or the training of a network; GaussNewton\(\) is over in seconds, leave it out",
        ),
        ({"store": "run.npz", "method": RandomisedMAP()}, r"RandomisedMAP\(\) is over in seconds"),
        ({"key": "seed"}, r"`key` is 'seed'"),
        ({"field": RandomFeatures(n_features=8, amplitude={"v": 1.0})}, r"`amplitude` names v; the outputs are u"),
    ],
)
def test_arguments_that_cannot_be(changed, message):
    arguments: dict[str, Any] = {"problem": curve(), "field": FIELD, "key": 0, "grid": 3, **changed}
    with pytest.raises(InputError, match=message):
        infer(arguments.pop("problem"), **arguments)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"operator": lambda u: jnp.mean(u.value)}, r"the operator of constraint 'law' returns shape \(\)"),
        ({"operator": lambda u: u.d("x", 5)}, r"is of order 5"),
        ({"target": lambda x: np.where(x > 0, np.nan, 1.0)}, r"`target` of constraint 'law' is nan at \(x=0\.\d+\)"),
        ({"shape": lambda x: x}, r"`shape` of constraint 'law' is -0\.\d+ somewhere; it must be above 0"),
    ],
)
def test_constraints_that_cannot_be_enforced(changed, message):
    law: dict[str, Any] = {"name": "law", "operator": value_of, "points": LINE.interior, "noise": Integrated(0.1)}
    problem = BoundaryValueProblem(name="wrong", domain=LINE, constraints=(Constraint(**{**law, **changed}),))
    with pytest.raises(InputError, match=message):
        infer(problem, field=FIELD, key=0)


def test_a_residual_that_is_not_finite_names_the_constraint():
    law = Constraint(
        name="law", operator=lambda u: jnp.log(u.value) + u.d("x"), points=LINE.interior, noise=Integrated(0.1)
    )
    with pytest.raises(InputError, match=r"not finite in \d+ rows of 'law'; check the operators"):
        infer(
            curve(constraints=(*curve().constraints, law)), field=FIELD, method=GaussNewton(continuation=(1.0,)), key=0
        )


def test_rules_of_collocation_know_the_coordinates():
    law = Constraint(name="law", operator=value_of, points=LINE.interior, noise=Integrated(0.1))
    with pytest.raises(InputError, match=r"has no number of nodes for the coordinate 'x'"):
        infer(curve(constraints=(law,)), field=FIELD, collocation=GaussGrid(n={"t": 4}), key=0)


@pytest.mark.parametrize("changed", [{"factors": ()}, {"factors": (1.0, 0.0)}, {"slack": 0.5}])
def test_a_choice_of_tolerance_has_positive_factors(changed):
    with pytest.raises(InputError, match="at least one factor, all above zero, and a slack of at least 1"):
        HeldOutTolerance(constraint="law", **changed)


def second_derivative(u):
    return u.d("x", 2)


def poisson(n, **changed):
    problem = BoundaryValueProblem(
        name="poisson",
        domain=LINE,
        constraints=(
            Constraint(
                name="law", operator=second_derivative, points=LINE.interior, target=lambda x: -9 * np.sin(3 * x),
                noise=Integrated(1e-4),
            ),
            Constraint(
                name="ends", operator=value_of, points=LINE.boundary, target=lambda x: np.sin(3 * x),
                noise=Integrated(1e-5),
            ),
        ),
    )  # fmt: skip
    field = RandomFeatures(n_features=30, frequencies=UniformBand(limit=8.0))
    return infer(problem, field=field, collocation=GaussGrid(n=n), key=0, grid=11, n_draws=4, **changed)


def test_too_few_collocation_points_are_warned_of():
    with pytest.warns(UqkitWarning, match=r"too few collocation points in 'law'.*pass a finer `collocation`"):
        tree = poisson(4)
    assert tree["diagnostics"]["verdict"].item() == "fail"
    assert "too few collocation points" in tree["diagnostics"]["verdict_text"].item()


def test_enough_of_them_are_not():
    tree = poisson(50)
    u = tree["estimates"]["u"]
    np.testing.assert_allclose(u, np.sin(3 * u["x"]), atol=1e-4)
    assert tree["diagnostics"]["verdict"].item() == "ok"
    assert tree["diagnostics"]["verdict_text"].item() == "nothing doubtful was found"


def test_a_parameter_that_was_not_learned_is_told_but_not_warned_of():
    law = Constraint(
        name="law", operator=lambda u, c: u.value + 1e-4 * c, points=np.array([[0.0]]), noise=Measured(1.0)
    )
    tree = infer(
        curve(constraints=(*curve().constraints, law), parameters={"c": dist.Normal(2.0, 3.0)}),
        field=FIELD, key=0, grid=3, n_draws=4,
    )  # fmt: skip
    assert tree["diagnostics"]["verdict"].item() == "warn"
    assert "the data say little of 'c': its posterior is 100% as wide" in tree["diagnostics"]["verdict_text"].item()
    assert float(tree["estimates"]["c"]) == pytest.approx(2.0, abs=1e-3)
    assert float(tree["diagnostics"]["prior_share"].sel(parameter="c")) == pytest.approx(1.0, abs=1e-3)


def test_a_mode_that_was_not_found_is_warned_of():
    law = Constraint(
        name="law", operator=lambda u: u.d("x") - 5 * u.value**3 + jnp.sin(3 * u.value), points=LINE.interior,
        target=1.0, noise=Integrated(1e-4),
    )  # fmt: skip
    method = GaussNewton(continuation=(1.0,), max_iterations=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        infer(
            curve(constraints=(*curve().constraints, law)), field=FIELD, method=method,
            collocation=GaussGrid(n=40), key=0, grid=3, n_draws=4,
        )  # fmt: skip
    assert any("the mode was not found in `max_iterations`; raise it" in str(one.message) for one in caught)


def test_methods_fit_their_problem():
    nonlinear = curve(constraints=(*curve().constraints, Constraint(
        name="cube", operator=lambda u: u.value**3, points=np.array([[0.0]]), noise=Measured(1.0)
    )))  # fmt: skip
    with pytest.raises(InputError, match=r"the constraint cube of 'curve' is not linear.*use GaussNewton\(\)"):
        infer(nonlinear, field=FIELD, method=Exact(), key=0)


@pytest.mark.parametrize("box", [Box(x=(0.0, 1.0), y=(0.0, 1.0), z=(0.0, 1.0), t=(0.0, 1.0))])
def test_four_coordinates_are_filled_by_a_net(box):
    law = Constraint(
        name="law", operator=lambda u: u.laplacian(), points=box.interior, target=1.0, noise=Integrated(0.1)
    )
    problem = BoundaryValueProblem(name="hyperbox", domain=box, constraints=(law,))
    field = RandomFeatures(n_features=20, frequencies=UniformBand(limit=2.0), amplitude=1.0)
    tree = infer(problem, field=field, key=0, grid=2, n_draws=4)
    assert tree["constant_data"]["law_target"].shape == (64,)
    assert "SobolPoints" in tree.attrs["method"]
    other = infer(problem, field=field, collocation=SobolPoints(n=32), key=0, grid=2, n_draws=4)
    assert other["constant_data"]["law_target"].shape == (32,)


def test_a_store_is_of_a_sampler(tmp_path):
    with pytest.raises(InputError, match="leave it out"):
        infer(curve(PRIOR), field=FIELD, store=tmp_path / "run.npz", key=0)
