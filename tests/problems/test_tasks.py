"""Tasks and streams: what they refuse, and what they hold."""

import numpy as np
import pytest

import uqkit as uq
from uqkit import InputError, Task, TaskStream


def task(**changes):
    given = {
        "name": "one",
        "inputs": np.arange(12.0).reshape(6, 2),
        "labels": [0, 1, 0, 1, 2, 2],
        "test_inputs": np.ones((2, 2)),
        "test_labels": [0, 1],
    }
    return Task(**given | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "`name` is ''"),
        ({"inputs": np.ones(3)}, r"task 'one' has the shape \(3,\)"),
        ({"inputs": np.ones((0, 2)), "labels": []}, "task 'one' is empty"),
        ({"inputs": [["a", "b"]]}, "are no numbers"),
        ({"inputs": np.where(np.arange(12).reshape(6, 2) == 5, np.nan, 1.0)}, "is nan at row 2, column 1"),
        ({"labels": [0, 1]}, "6 rows of `inputs` and 2 of `labels`"),
        ({"labels": [0.5, 1, 0, 1, 2, 2]}, "one whole number a row"),
        ({"test_inputs": np.ones((2, 3))}, "2 columns of `inputs` and 3 of `test_inputs`"),
        ({"columns": [0, 0]}, "no order of its 2 columns"),
        ({"classes": (0, 1)}, r"class 2 at row 4, which is not among its `classes`"),
    ],
)
def test_a_task_that_does_not_fit_is_refused_by_name(changes, message):
    with pytest.raises(InputError, match=message):
        task(**changes)


def test_a_stream_that_does_not_fit_is_refused_by_name():
    with pytest.raises(InputError, match="`labels` of task 'one' has the class 2 at row 4; pass classes 0 to 1"):
        TaskStream(name="s", tasks=[task()], n_classes=2)
    wide = task(name="two", inputs=np.ones((6, 3)), test_inputs=np.ones((2, 3)))
    with pytest.raises(InputError, match="task 'two' has 3 inputs, but the first task has 2"):
        TaskStream(name="s", tasks=[task(), wide], n_classes=3)
    with pytest.raises(InputError, match="two tasks called 'one'"):
        TaskStream(name="s", tasks=[task(), task()], n_classes=3)
    with pytest.raises(InputError, match="at least one uqkit.Task"):
        TaskStream(name="s", tasks=[], n_classes=3)
    with pytest.raises(InputError, match="n_classes=1"):
        TaskStream(name="s", tasks=[task()], n_classes=1)
    with pytest.raises(InputError, match="has 3; pass classes 0 to 2"):
        TaskStream(name="s", tasks=[task(classes=(0, 1, 2, 3))], n_classes=3)


def test_columns_are_read_in_their_order():
    swapped = task(columns=[1, 0])
    assert swapped.train()[0][0].tolist() == [1.0, 0.0]
    assert (
        repr(TaskStream(name="s", tasks=[swapped], n_classes=3))
        == "TaskStream(s, 1 tasks of 6 rows, 2 inputs, 3 classes)"
    )


def test_a_validation_stream_holds_training_rows_alone():
    stream = uq.load("permuted_digits", n_tasks=2)
    held = stream.validation(0.25, key=0)
    for whole, part in zip(stream.tasks, held.tasks, strict=True):
        assert len(part.labels) + len(part.test_labels) == len(whole.labels)
        everything = np.concatenate([part.inputs, part.test_inputs])
        np.testing.assert_array_equal(np.sort(everything, axis=0), np.sort(whole.inputs, axis=0))
        assert part.columns is whole.columns or np.array_equal(part.columns, whole.columns)
    # The same rows of all tasks, or a permuted task's validation rows would have been learned in another.
    np.testing.assert_array_equal(held.tasks[0].test_inputs, held.tasks[1].test_inputs)
    with pytest.raises(InputError, match=r"share=1\.0"):
        stream.validation(1.0, key=0)


def test_permutations_are_drawn_once_from_the_key():
    one, other, third = (uq.load("permuted_digits", key=key) for key in (0, 0, 1))
    for a, b, c in zip(one.tasks[1:], other.tasks[1:], third.tasks[1:], strict=True):
        assert np.array_equal(a.columns, b.columns)
        assert not np.array_equal(a.columns, c.columns)


def test_teachers_give_the_labels_and_agree_as_stated():
    stream = uq.load("teacher_student", n_tasks=3, n_inputs=101, load=5.0, similarity=0.5)
    assert len(stream.tasks[0].labels) == 505
    # Hebb's rule finds each teacher's signs, most of them.
    hebb = [np.sign((2 * t.labels - 1) @ t.inputs) for t in stream.tasks]
    agreement = [float((hebb[0] * hebb[t]).mean()) for t in (1, 2)]
    assert np.abs(np.array(agreement) - 0.5).max() < 0.35
    with pytest.raises(InputError, match="pass an odd number"):
        uq.load("teacher_student", n_inputs=100)


def test_pictures_that_are_not_installed_name_the_package(tmp_path):
    for name in ("permuted_fashion", "split_fashion"):
        with pytest.raises(InputError, match="apt install dataset-fashion-mnist"):
            uq.load(name, folder=str(tmp_path))
