"""Running a model at the rows of an array: values, number of calls, and checks before the first call."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from uqkit import EvaluationError, FailurePolicy, ForwardModel, InputError
from uqkit.evaluate import Status, evaluate

INPUTS = {"a": dist.Uniform(0.0, 1.0), "b": dist.Uniform(0.0, 1.0)}
POINTS = np.random.default_rng(0).random((20, 2))


@pytest.mark.parametrize(
    ("function", "takes", "batch_size"),
    [
        (lambda x: x[0] ** 2 + x[1], "point", 1_024),
        (lambda x: jnp.square(x[0]) + x[1], "point", 1_024),
        (lambda x: jnp.square(x[0]) + x[1], "point", 7),
        (lambda a, b: a**2 + b, "named", 1_024),
        (lambda x: x[:, 0] ** 2 + x[:, 1], "batch", 7),
    ],
)
def test_values_are_those_of_the_function(function, takes, batch_size):
    model = ForwardModel(function, inputs=INPUTS, takes=takes, batch_size=batch_size)
    evaluations = evaluate(model, POINTS)
    np.testing.assert_allclose(evaluations.values, (POINTS[:, 0] ** 2 + POINTS[:, 1])[:, None], rtol=1e-14)
    np.testing.assert_array_equal(evaluations.points, POINTS)
    assert evaluations.ok.all()
    assert (evaluations.n_run, evaluations.n_reused, evaluations.n_failed, evaluations.n_finished) == (20, 0, 0, 20)
    assert evaluations.messages == {}


def test_a_python_function_is_called_once_a_point_in_order():
    seen = []

    def model(x):
        seen.append(x.copy())
        return x[0]

    evaluate(ForwardModel(model, inputs=INPUTS), POINTS)
    np.testing.assert_array_equal(seen, POINTS)


def test_a_batch_function_is_given_no_more_points_than_the_batch_size():
    sizes = []

    def model(x):
        sizes.append(len(x))
        return x[:, 0]

    evaluate(ForwardModel(model, inputs=INPUTS, takes="batch", batch_size=8), POINTS)
    assert sizes == [8, 8, 4]


def test_a_model_that_writes_into_its_points_changes_nothing_of_the_callers():
    def model(x):
        x[0] = 100.0
        return 1.0

    points = POINTS.copy()
    evaluate(ForwardModel(model, inputs=INPUTS), points)
    np.testing.assert_array_equal(points, POINTS)


def test_a_model_that_writes_into_its_points_leaves_the_rows_as_they_were_asked():
    def model(x):
        x *= 2
        return x[:, 0]

    evaluations = evaluate(ForwardModel(model, inputs=INPUTS, takes="batch"), POINTS)
    np.testing.assert_array_equal(evaluations.points, POINTS)

    def model_of_a_point(x):
        x *= 2
        return x[0]

    evaluations = evaluate(ForwardModel(model_of_a_point, inputs=INPUTS), POINTS)
    np.testing.assert_array_equal(evaluations.points, POINTS)


def never(x):
    raise AssertionError("the model was called")


@pytest.mark.parametrize("shape", [(20, 3), (20, 1)])
def test_wrong_columns_before_any_evaluation(shape):
    with pytest.raises(
        InputError, match=r"`points` has shape .* but never has 2 inputs \(a, b\); pass one row a point"
    ):
        evaluate(ForwardModel(never, inputs=INPUTS), np.ones(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_points_that_are_not_finite(value):
    points = POINTS.copy()
    points[3, 1] = value
    with pytest.raises(InputError, match="`points` row 3, input 'b' is (nan|inf); pass finite values"):
        evaluate(ForwardModel(never, inputs=INPUTS), points)


def test_a_wrong_declaration_is_an_input_error_at_the_first_row():
    calls = []

    def model(x):
        calls.append(1)
        return x

    with pytest.raises(InputError, match=r"output 'y' has shape \(1, 2\) for 1 point, declared is \(1,\)"):
        evaluate(ForwardModel(model, inputs=INPUTS), POINTS)
    assert len(calls) == 1


def test_a_wrong_shape_at_a_later_row_is_a_failed_row():
    model = ForwardModel(lambda x: x if x[0] == POINTS[4, 0] else x[0], inputs=INPUTS)
    evaluations = evaluate(model, POINTS)
    assert np.flatnonzero(evaluations.status != Status.OK).tolist() == [4]
    assert "has shape (1, 2) for 1 point, declared is (1,)" in evaluations.messages[4]


def test_no_points():
    evaluations = evaluate(ForwardModel(never, inputs=INPUTS), np.ones((0, 2)))
    assert evaluations.values.shape == (0, 1)
    assert evaluations.n_run == 0


def test_policies():
    with pytest.raises(InputError, match="`max_failed_share` is 1.0; pass a share of points in"):
        FailurePolicy(max_failed_share=1.0)
    with pytest.raises(InputError, match="`max_failed_share` is -0.1"):
        FailurePolicy(max_failed_share=-0.1)
    assert FailurePolicy(max_failed_share=0.0).on_error == "mask"


def test_an_evaluation_error_carries_its_rows():
    error = EvaluationError("text", "rows")
    assert str(error) == "text"
    assert error.evaluations == "rows"
    assert isinstance(error, RuntimeError)
