"""The hardened sampler: every family and option is right by its own error, weights are bounded, settings checked."""

import numpy as np
import pytest
from scipy import stats

import uqkit as uq
from tests.statistical import assert_within_error
from uqkit.sensitivity import (
    AdaptiveImportanceSampling,
    DiagonalGaussian,
    FullGaussian,
    GaussianMixture,
    Physical,
    ShrunkGaussian,
    StudentT,
    expectations,
)

NORMAL = {"a": stats.norm(0, 1), "b": stats.norm(0, 1)}
MODEL = uq.ForwardModel(
    lambda x: np.column_stack([x[:, 0] + 0.5, np.exp(1.5 * x[:, 1]), np.cosh(1.5 * x[:, 0])]),
    inputs=NORMAL,
    outputs=("signed", "skewed", "two-sided"),
    takes="batch",
)
TRUTH = np.array([0.5, np.exp(1.125), np.exp(1.125)])


def run(method, model=MODEL, budget=4_000, key=0):
    result = expectations(model, method=method, budget=budget, key=key)
    estimates = result["estimates"].to_dataset()
    return result, estimates["expectation"].values, estimates["expectation_se"].values


@pytest.mark.parametrize(
    "method",
    [
        AdaptiveImportanceSampling(family=ShrunkGaussian(), score_order=1),
        AdaptiveImportanceSampling(family=FullGaussian(), score_order=0),
        AdaptiveImportanceSampling(family=DiagonalGaussian()),
        AdaptiveImportanceSampling(family=GaussianMixture()),
        AdaptiveImportanceSampling(family=StudentT()),
        AdaptiveImportanceSampling(recycle=True),
        AdaptiveImportanceSampling(tempering=None),
        AdaptiveImportanceSampling(coordinates=Physical()),
        AdaptiveImportanceSampling(expectation_weights=(1.0, 0.0, 1.0)),
    ],
    ids=["shrunk", "full", "diagonal", "mixture", "student", "recycled", "not tempered", "physical", "weighted"],
)
def test_every_setting_is_right_by_its_own_error(method):
    result, value, error = run(method)
    assert_within_error(value, error, TRUTH, max_error=0.06)
    assert result["diagnostics"].to_dataset()["verdict"].item() == "ok"


def test_shares_keep_their_floors():
    method = AdaptiveImportanceSampling(floor=0.4, defensive=0.2)
    result, _, _ = run(method)
    diagnostics = result["diagnostics"].to_dataset()
    share = diagnostics["component_share"].values
    assert np.isclose(share.sum(), 1.0)
    assert share[-1] >= 0.2 * (1 - 1e-9)
    assert (share[:-1] >= 0.4 / (len(share) - 1) * (1 - 1e-9)).all()
    weight = np.exp(result["weighted_sample"].to_dataset()["log_weight"].values)
    assert weight.max() <= 5 * (1 + 1e-9)


def test_positive_and_negative_parts_have_components_of_their_own():
    result, _, _ = run(AdaptiveImportanceSampling())
    # x + 0.5 has two parts, the others one, and the law itself takes part.
    assert result["diagnostics"].to_dataset()["component_share"].size == 5


def test_exploration_stays_within_its_share():
    method = AdaptiveImportanceSampling(batch_share=0.1, max_exploration_share=0.3)
    diagnostics = run(method, budget=1_000)[0]["diagnostics"].to_dataset()
    assert 100 <= int(diagnostics["n_exploration"]) <= 300
    assert diagnostics["criterion"].size == int(diagnostics["n_exploration"]) // 100


def test_recycling_speaks_for_every_draw():
    result, _, error = run(AdaptiveImportanceSampling(recycle=True), budget=1_000)
    fresh, _, fresh_error = run(AdaptiveImportanceSampling(), budget=1_000)
    assert result["weighted_sample"].sizes["draw"] == 1_000
    assert fresh["weighted_sample"].sizes["draw"] < 1_000
    assert error.max() < 1.5 * fresh_error.max()


def test_tempering_reaches_what_plain_draws_do_not():
    rare = uq.ForwardModel(lambda x: (x.sum(axis=1) > 5 * np.sqrt(2)) * 1.0, inputs=NORMAL, takes="batch")
    truth = stats.norm.sf(5)
    result, value, error = run(AdaptiveImportanceSampling(), rare, budget=6_000)
    assert_within_error(value / truth, error / truth, 1.0, max_error=0.1)
    assert result["diagnostics"].to_dataset()["verdict"].item() == "ok"
    blind, value, error = run(AdaptiveImportanceSampling(tempering=None), rare, budget=6_000)
    assert value[0] == 0.0
    assert blind["diagnostics"].to_dataset()["verdict"].item() == "fail"


def test_means_over_keys_are_unbiased_and_errors_honest():
    runs = [run(AdaptiveImportanceSampling(score_order=1), budget=500, key=key)[1:] for key in range(30)]
    value, error = (np.array(part) for part in zip(*runs, strict=True))
    assert_within_error(value.mean(axis=0), value.std(axis=0) / np.sqrt(30), TRUTH, max_error=0.03)
    covered = np.mean(np.abs(value - TRUTH) <= 1.96 * error)
    assert covered >= 0.95 - 5 * np.sqrt(0.95 * 0.05 / 30)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"floor": 0.0}, r"floor \(0\.0\) and defensive \(0\.1\) must be above zero"),
        ({"defensive": 0.0}, "at zero weights are unbounded"),
        ({"floor": 0.6, "defensive": 0.4}, "with a sum below 1"),
        ({"batch_share": 0.0}, "0 < batch_share <= max_exploration_share < 1"),
        ({"batch_share": 0.6}, "0 < batch_share <= max_exploration_share < 1"),
        ({"max_exploration_share": 1.0}, "the rest is the final sample"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(uq.InputError, match=message):
        AdaptiveImportanceSampling(**settings)
