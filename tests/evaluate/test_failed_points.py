"""Points where the model raises or is not finite: rows with a status and the error's text, or a stop, as asked."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from uqkit import EvaluationError, FailurePolicy, ForwardModel
from uqkit.evaluate import Evaluations, Status, evaluate

INPUTS = {"a": dist.Uniform(0.0, 1.0), "b": dist.Uniform(0.0, 1.0)}
POINTS = np.column_stack([np.arange(40.0), np.full(40, 0.25)])
RAISE = FailurePolicy(on_error="raise")


def fails(x):
    if x[0] == 5:
        raise ValueError("no convergence at 5.")
    return {7: np.nan, 9: -np.inf}.get(int(x[0]), x[0])


def test_failures_are_rows():
    evaluations = evaluate(ForwardModel(fails, inputs=INPUTS), POINTS)
    expected = np.full(40, Status.OK)
    expected[[5, 7, 9]] = Status.ERROR, Status.NON_FINITE, Status.NON_FINITE
    np.testing.assert_array_equal(evaluations.status, expected)
    assert evaluations.messages == {
        5: "ValueError: no convergence at 5",
        7: "output 'y' is nan",
        9: "output 'y' is -inf",
    }
    good = expected == Status.OK
    np.testing.assert_array_equal(evaluations.values[good, 0], POINTS[good, 0])
    assert np.isnan(evaluations.values[5, 0])
    assert (evaluations.n_failed, evaluations.n_finished, evaluations.n_run) == (3, 40, 40)
    np.testing.assert_array_equal(evaluations.ok, good)


def test_jax_models_fail_by_row_too():
    model = ForwardModel(lambda x: jnp.where(x[0] == 7, jnp.nan, x[0]), inputs=INPUTS, batch_size=16)
    evaluations = evaluate(model, POINTS)
    assert evaluations.messages == {7: "output 'y' is nan"}


def test_the_output_that_failed_is_named():
    model = ForwardModel(lambda x: (x[0], np.nan if x[0] == 7 else 1.0), inputs=INPUTS, outputs=("u", "v"))
    assert evaluate(model, POINTS).messages == {7: "output 'v' is nan"}


def test_only_the_guilty_rows_of_a_batch_fail():
    calls = []

    def model(x):
        calls.append(len(x))
        if (x[:, 0] == 13).any():
            raise RuntimeError("cell 13 dried up")
        return x[:, 0]

    evaluations = evaluate(ForwardModel(model, inputs=INPUTS, takes="batch", batch_size=10), POINTS)
    assert np.flatnonzero(~evaluations.ok).tolist() == [13]
    assert evaluations.messages == {13: "RuntimeError: cell 13 dried up"}
    np.testing.assert_array_equal(evaluations.values[evaluations.ok, 0], np.delete(POINTS[:, 0], 13))
    assert calls == [10, 10, *[1] * 10, 10, 10]
    assert evaluations.n_run == 40


def test_the_second_attempt_at_a_batch_starts_from_the_points_as_they_were():
    def model(x):
        x *= 2
        if (x[:, 0] == 26).any():
            raise RuntimeError("cell 13 dried up")
        return x[:, 0]

    evaluations = evaluate(ForwardModel(model, inputs=INPUTS, takes="batch", batch_size=10), POINTS)
    assert np.flatnonzero(~evaluations.ok).tolist() == [13]
    np.testing.assert_array_equal(evaluations.values[evaluations.ok, 0], np.delete(2 * POINTS[:, 0], 13))


def test_a_traced_model_that_raises_fails_by_row():
    def model(x):
        if jnp.size(x) == 2:
            raise RuntimeError("cannot be traced")
        return x[0]

    with pytest.raises(EvaluationError, match="RuntimeError: cannot be traced"):
        evaluate(ForwardModel(model, inputs=INPUTS), POINTS)


@pytest.mark.parametrize(("row", "message"), [(5, "ValueError: no convergence at 5"), (0, "output 'y' is nan")])
def test_raise_names_the_point_and_keeps_what_is_finished(row, message):
    points = POINTS if row else np.roll(POINTS, -7, axis=0)
    with pytest.raises(EvaluationError) as caught:
        evaluate(ForwardModel(fails, inputs=INPUTS), points, failures=RAISE)
    value = f"{points[row, 0]:g}"
    assert str(caught.value) == f"fails at point {row} (a={value}, b=0.25): {message}."
    rows = caught.value.evaluations
    assert isinstance(rows, Evaluations)
    assert rows.n_finished == row + 1
    np.testing.assert_array_equal(rows.values[:row, 0], points[:row, 0])
    assert (rows.status[row + 1 :] == Status.PENDING).all()


def with_share(share):
    n_bad = round(share * 100)
    points = np.column_stack([np.arange(100.0), np.ones(100)])
    return ForwardModel(lambda x: np.nan if x[0] < n_bad else x[0], inputs=INPUTS, name="half"), points


def test_too_many_failures_are_refused_with_their_share():
    model, points = with_share(0.3)
    message = (
        r"11 of 81 evaluations of half failed \(13.6%\), allowed are 10.0% of 100, so the 19 others were not started\. "
        r"First failure: half at point 70 \(a=29, b=1\): output 'y' is nan\. .*max_failed_share"
    )
    with pytest.raises(EvaluationError, match=message) as caught:
        evaluate(model, points[::-1])
    rows = caught.value.evaluations
    assert isinstance(rows, Evaluations)
    # The eleventh failure among a hundred points settles it.
    assert rows.n_finished == 81
    np.testing.assert_array_equal(rows.values[:70, 0], points[:29:-1, 0])


def test_a_model_that_never_works_is_not_run_to_the_end():
    def broken(x):
        raise RuntimeError("no licence")

    points = np.ones((5_000, 2))
    with pytest.raises(
        EvaluationError, match=r"100 of 100 .* 4900 others were not started.*mend the model\.$"
    ) as caught:
        evaluate(ForwardModel(broken, inputs=INPUTS), points, failures=FailurePolicy(max_failed_share=0.5))
    assert caught.value.evaluations.n_finished == 100


@pytest.mark.parametrize(("share", "allowed"), [(0.1, 0.1), (0.3, 0.3), (0.3, 0.5), (0.0, 0.0)])
def test_up_to_the_share_allowed_they_are_masked(share, allowed):
    model, points = with_share(share)
    evaluations = evaluate(model, points, failures=FailurePolicy(max_failed_share=allowed))
    assert evaluations.n_failed == round(100 * share)


def test_one_failure_above_the_share_is_refused():
    model, points = with_share(0.01)
    with pytest.raises(EvaluationError, match=r"1 of 1 .*, allowed are 0.0% of 100"):
        evaluate(model, points, failures=FailurePolicy(max_failed_share=0.0))
