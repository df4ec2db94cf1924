"""Scores of probabilities against their definitions, and their errors against repetition."""

import numpy as np
import pytest

from uqkit.continual.scores import calibration, rate, scores

RNG = np.random.default_rng(0)


def test_scores_of_three_rows_are_what_a_hand_computes():
    probability = np.array([[0.8, 0.2], [0.4, 0.6], [0.9, 0.1]])
    found = scores(probability, np.array([0, 1, 1]))
    assert found["accuracy"].value == pytest.approx(2 / 3)
    assert found["log_score"].value == pytest.approx(np.log([0.8, 0.6, 0.1]).mean())
    assert found["brier"].value == pytest.approx(np.mean([0.08, 0.32, 1.62]))
    assert found["expected_calibration_error"].value == pytest.approx((0.2 + 0.4 + 0.9) / 3)


def test_calibrated_probabilities_have_no_calibration_error_but_overconfident_ones_do():
    truth = RNG.dirichlet(np.ones(3), size=50_000)
    label = (truth.cumsum(axis=1) < RNG.random((50_000, 1))).sum(axis=1)
    honest = scores(truth, label)["expected_calibration_error"]
    sharpened = truth**3 / (truth**3).sum(axis=1, keepdims=True)
    assert honest.value < 5 * honest.standard_error + 0.005
    assert honest.standard_error < 0.003
    assert scores(sharpened, label)["expected_calibration_error"].lower > 0.1


def test_standard_errors_are_those_of_repetition():
    truth = RNG.dirichlet(np.ones(3), size=400)
    runs = [
        scores(0.5 * truth + 0.5 / 3, (truth.cumsum(axis=1) < RNG.random((400, 1))).sum(axis=1)) for _ in range(400)
    ]
    for name in ("accuracy", "log_score", "brier"):
        spread = np.std([run[name].value for run in runs], ddof=1)
        stated = np.mean([run[name].standard_error for run in runs])
        # Rows are fixed here, so that labels alone vary: stated errors, over rows too, are larger.
        assert 0.95 * spread < stated < 2 * spread


def test_wilsons_interval_holds_the_share_at_the_ends():
    assert rate(np.ones(20, bool)).lower == pytest.approx(0.8389, abs=1e-4)
    assert rate(np.zeros(20, bool)).upper == pytest.approx(0.1611, abs=1e-4)


def test_empty_bins_say_that_they_have_no_accuracy():
    share, confidence, accuracy = calibration(np.array([[0.99, 0.01], [0.98, 0.02]]), np.array([0, 1]))
    assert share[-1] == 1.0
    assert accuracy[-1] == 0.5
    assert confidence[-1] == pytest.approx(0.985)
    assert np.isnan(accuracy[:-1]).all()
