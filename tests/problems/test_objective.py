"""What is optimised, and how it is refused."""

import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import uqkit as uq
from tests.callers import without_type_hook

INPUTS = {"a": dist.Uniform(-1.0, 2.0), "b": stats.uniform(0, 4)}


def model(inputs=INPUTS, outputs=("cost", "yield", "stress")):
    return uq.ForwardModel(lambda x: x, inputs=inputs, outputs=outputs, name="plant")


VALUES = np.array([[1.0, 5.0, 3.0], [2.0, 9.0, 8.0], [0.5, np.nan, 1.0]])


def test_signs_and_limits():
    objective = uq.Objective(
        model(),
        maximise={"cost": False, "yield": True},
        constraints={"stress": (-np.inf, 5.0)},
        reference_point={"cost": 3.0, "yield": 0.0},
    )
    np.testing.assert_array_equal(objective.utilities(VALUES)[:2], [[-1, 5], [-2, 9]])
    np.testing.assert_array_equal(objective.feasible(VALUES), [True, False, False])
    np.testing.assert_array_equal(objective.bounds, [[-1, 0], [2, 4]])
    assert repr(objective) == "Objective(plant, 2 inputs: minimise cost, maximise yield, -inf <= stress <= 5)"


def test_outputs_without_a_limit_are_objectives():
    objective = uq.Objective(model(), maximise=True, constraints={"cost": (0.0, 1.0), "stress": (0.0, 1.0)})
    assert objective.maximise == {"yield": True}


def test_an_answer_of_numpy_is_an_answer():
    with without_type_hook():
        problem = uq.Objective(model(outputs=("cost",)), maximise=np.bool_(True))  # pyright: ignore[reportArgumentType]
    assert problem.maximise == {"cost": True}


def test_categories_are_codes():
    inputs = uq.Inputs({"a": dist.Uniform(0, 3), "b": dist.Uniform(0, 1)}, categories={"a": ("x", "y", "z")})
    objective = uq.Objective(model(inputs, ("y",)))
    assert objective.categorical == {0: 3}
    np.testing.assert_array_equal(objective.bounds, [[0, 0], [2, 1]])


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ({"c": ("x", "y")}, "names 'c', which is no input"),
        ({"a": ("x", "y")}, r"must be Uniform\(0, 2\)"),
        ({"a": ("x", "x", "y")}, "each once"),
        ({"a": "xyz"}, "at least two labels"),
    ],
)
def test_categories_are_checked(categories, message):
    with pytest.raises(uq.InputError, match=message):
        uq.Inputs({"a": dist.Uniform(0, 3), "b": dist.Uniform(0, 1)}, categories=categories)


def test_a_law_that_only_has_the_support_of_categories_is_refused():
    with pytest.raises(uq.InputError, match=r"must be Uniform\(0, 3\)"):
        uq.Inputs({"a": stats.triang(0.5, 0, 3)}, categories={"a": ("x", "y", "z")})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"maximise": {"profit": True}}, "names 'profit'; the outputs of plant are cost, yield, stress"),
        ({"constraints": {"load": (0.0, 1.0)}}, "names 'load'"),
        ({"constraints": {"cost": (1.0, 0.0)}}, r"the constraint of 'cost' is \(1.0, 0.0\)"),
        ({"constraints": {"cost": 3}}, "the constraint of 'cost' is 3"),
        ({"constraints": {"cost": (-np.inf, np.inf)}}, "-inf or inf for no limit"),
        ({"constraints": {"cost": ("a", "b")}}, r"the constraint of 'cost' is \('a', 'b'\)"),
        ({"constraints": ["cost"]}, r"`constraints` is \['cost'\]; pass a mapping"),
        ({"maximise": "min"}, "`maximise` is 'min'; pass True or False"),
        ({"maximise": ["cost"]}, r"`maximise` is \['cost'\]; pass True or False"),
        ({"maximise": {"cost": "min"}}, "`maximise` is 'min'; pass True or False"),
        ({"maximise": {"cost": True}, "best": 0.3}, r"`best` is 0.3; pass uqkit.Reference\("),
        ({}, "`reference_point` is None; for several objectives"),
        ({"reference_point": 5.0}, "`reference_point` is 5.0; for several objectives"),
        ({"reference_point": {"cost": 1.0, "yield": np.nan, "stress": 0.0}}, "a finite number: cost, yield, stress"),
        ({"reference_point": {"cost": 1.0, "yield": "low", "stress": 0.0}}, "a finite number: cost, yield, stress"),
        ({"reference_point": {"cost": 1.0}}, "the worst value of each"),
        ({"maximise": {"cost": True}, "reference_point": {"cost": 1.0}}, "there is one; leave it out"),
        ({"constraints": dict.fromkeys(("cost", "yield", "stress"), (0.0, 1.0))}, "every output is a constraint"),
    ],
)
def test_arguments_are_checked(settings, message):
    with without_type_hook(), pytest.raises(uq.InputError, match=message):
        uq.Objective(model(), **settings)


def test_bounds_are_needed():
    with pytest.raises(uq.InputError, match=r"input 'a' lies on \[-inf, inf\]"):
        uq.Objective(model({"a": dist.Normal(0, 1), "b": dist.Uniform(0, 1)}, ("y",)))
    with without_type_hook(), pytest.raises(uq.InputError, match="pass a uqkit.ForwardModel"):
        uq.Objective(lambda x: x)  # pyright: ignore[reportArgumentType]
