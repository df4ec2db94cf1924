"""What the pictures show, and what they refuse."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import uqkit as uq
from uqkit import InputError, continual

mpl.use("agg")


@pytest.fixture(scope="module")
def result():
    stream = uq.load("gaussian_blobs", n_tasks=3, n_train=128, n_test=200)
    method = continual.BinaryVariational(widths=(16,), learning_rate=0.1, n_epochs=5, batch_size=32)
    return continual.learn(stream, method=method, key=0)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_the_matrix_shows_every_number(result):
    ax = continual.plot_accuracy_matrix(result, decoder="sign")
    values = result["estimates"].to_dataset()["accuracy"].sel(decoder="sign").values
    assert [text.get_text() for text in ax.texts] == [f"{value:.2f}" for value in values.ravel()]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["angle 0", "angle 30", "angle 60"]


def test_accuracy_begins_where_a_task_is_learned(result):
    ax = continual.plot_accuracy(result)
    lengths = [np.size(line.get_xdata()) for line in ax.lines]
    assert lengths == [3, 2, 1, 3]


def test_theory_is_drawn_under_the_same_tasks(result):
    ax = continual.plot_accuracy(result, theory=result)
    assert "lines: theory" in ax.get_title()
    other = result.isel(task_trained=slice(2), task_evaluated=slice(2))
    with pytest.raises(InputError, match="the theory is of 2 tasks"):
        continual.plot_accuracy(result, theory=other)


def test_calibration_may_be_of_one_task(result):
    ax = continual.plot_calibration(result, task="angle 30", decoder="sign")
    assert "angle 30" in ax.get_title()
    places = np.asarray(ax.collections[0].get_offsets())
    assert ((places >= 0) & (places <= 1)).all()


def test_what_is_not_there_is_named(result):
    with pytest.raises(InputError, match="no decoder 'best'; the result has central_limit, sign"):
        continual.plot_accuracy_matrix(result, decoder="best")
    with pytest.raises(InputError, match="no matrix 'loss'"):
        continual.plot_accuracy(result, "loss")
    stream = uq.load("gaussian_blobs", n_tasks=1, n_train=128, n_test=200)
    plain = continual.learn(stream, method=continual.StraightThrough(widths=(16,), n_epochs=20, batch_size=32), key=0)
    with pytest.raises(InputError, match="weights have no law"):
        continual.plot_weights(plain)
