import numpy as np
import pytest
from SALib.analyze import sobol as salib_sobol
from SALib.sample import sobol as salib_sample

import uqkit as uq
from tests.statistical import assert_within_error
from uqkit.sensitivity import Azzini, Janon, Jansen, Martinez, PickFreeze, Saltelli2010, sobol_indices
from uqkit.sensitivity.estimators import Saltelli2002

ISHIGAMI = uq.load("ishigami")
SALIB_PROBLEM = {"num_vars": 3, "names": ["x1", "x2", "x3"], "bounds": [[-np.pi, np.pi]] * 3}


def ishigami(x):
    return np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])


def check_against_closed_form(result, max_error):
    estimates = result["estimates"].to_dataset()
    for name in ("sobol_first", "sobol_total", "output_mean", "output_variance"):
        truth = np.asarray(ISHIGAMI.references[name].values).reshape(estimates[name].shape)
        scale = 13.84 if name == "output_variance" else 3.7 if name == "output_mean" else 1.0
        assert_within_error(estimates[name].values, estimates[f"{name}_se"].values, truth, max_error=max_error * scale)


@pytest.mark.parametrize("first", [Saltelli2010(), Jansen(), Martinez(), Janon(), Azzini()])
@pytest.mark.parametrize("design", [uq.MonteCarlo(), uq.ScrambledSobol()])
def test_first_order_estimators_reach_the_closed_form(first, design):
    result = sobol_indices(ISHIGAMI, method=PickFreeze(first=first, design=design), budget=66_000, key=0)
    check_against_closed_form(result, max_error=0.02)


@pytest.mark.parametrize("total", [Jansen(), Martinez(), Janon(), Azzini()])
@pytest.mark.parametrize("design", [uq.MonteCarlo(), uq.ScrambledSobol()])
def test_total_estimators_reach_the_closed_form(total, design):
    result = sobol_indices(ISHIGAMI, method=PickFreeze(total=total, design=design), budget=66_000, key=0)
    check_against_closed_form(result, max_error=0.02)


class FrozenComplement(Saltelli2010):
    """The broken twin: uses y(A) where y(B) belongs, which estimates minus the total index."""

    def columns(self, rows, kind):
        return (rows.a * (rows.ab - rows.a),)


def test_a_wrong_estimator_fails_the_check():
    result = sobol_indices(ISHIGAMI, method=PickFreeze(first=FrozenComplement()), budget=66_000, key=0)
    with pytest.raises(AssertionError, match="standard errors away"):
        check_against_closed_form(result, max_error=0.02)


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("n_rows", [64, 256])
def test_same_outputs_give_salib_s_numbers(second, n_rows):
    result = sobol_indices(
        ISHIGAMI,
        budget=n_rows * (8 if second else 5),
        key=1,
        order=("first", "total", "second") if second else ("first", "total"),
    )
    # The order of our points is SALib's, so its analysis can be asked about the same run.
    outputs = result["evaluations"].to_dataset()["output_value"].values[:, 0]
    theirs = salib_sobol.analyze(SALIB_PROBLEM, outputs, calc_second_order=second, num_resamples=2, seed=1)
    ours = uq.sensitivity.to_salib(result)
    for name in ("S1", "ST", "S2") if second else ("S1", "ST"):
        assert np.allclose(ours[name], theirs[name], rtol=1e-10, atol=1e-12, equal_nan=True)


def test_salib_s_points_in_our_layout_are_frozen_where_its_are():
    points = salib_sample.sample(SALIB_PROBLEM, 8, calc_second_order=True, seed=1)
    ours = sobol_indices(ISHIGAMI, budget=64, key=0, order=("first", "total", "second"))
    values = ours["evaluations"].to_dataset()["input_value"].values
    for sample in (points, values):
        a, ab, ba, b = (sample.reshape(8, 8, 3)[:, part] for part in ([0], [1, 2, 3], [4, 5, 6], [7]))
        for i in range(3):
            others = [j for j in range(3) if j != i]
            assert np.array_equal(ab[:, i, i], b[:, 0, i])
            assert np.array_equal(ab[:, i][:, others], a[:, 0, others])
            assert np.array_equal(ba[:, i, i], a[:, 0, i])
            assert np.array_equal(ba[:, i][:, others], b[:, 0, others])


def test_second_order_reaches_the_closed_form():
    g = uq.load("sobol_g", a=(0.0, 1.0, 4.5))
    result = sobol_indices(g, budget=66_000, key=0, order=("first", "total", "second"))
    factor = 1 / (3 * (1 + np.array([0.0, 1.0, 4.5])) ** 2)
    pairs = np.outer(factor, factor) / (np.prod(1 + factor) - 1)
    estimates = result["estimates"].to_dataset().squeeze("output")
    upper = np.triu_indices(3, k=1)
    assert_within_error(
        estimates["sobol_second"].values[upper],
        estimates["sobol_second_se"].values[upper],
        pairs[upper],
        max_error=0.01,
    )
    assert np.array_equal(estimates["sobol_second"].values, estimates["sobol_second"].values.T, equal_nan=True)
    assert np.isnan(np.diag(estimates["sobol_second"].values)).all()


def test_an_additive_model_has_no_second_order_and_first_equals_total():
    model = uq.ForwardModel(
        lambda x: x @ np.array([1.0, 2.0, 0.0]), takes="batch", inputs=SALIB_PROBLEM, name="additive"
    )
    result = sobol_indices(model, budget=8_192, key=0, order=("first", "total", "second"))
    estimates = result["estimates"].to_dataset().squeeze("output")
    share = np.array([1.0, 4.0, 0.0]) / 5
    # An inert input's total index is exactly zero: no point moves.
    assert estimates["sobol_total"].values[2] == 0.0
    assert np.allclose(estimates["sobol_total"].values, share, atol=5 * 0.02)
    lower, upper = (estimates[f"sobol_second_{end}"].values for end in ("lower", "upper"))
    off_diagonal = ~np.eye(3, dtype=bool)
    assert (lower[off_diagonal] <= 1e-12).all()
    assert (upper[off_diagonal] >= -1e-12).all()


def test_second_order_uses_the_first_order_estimator_it_is_given():
    result = sobol_indices(ISHIGAMI, method=PickFreeze(first=Jansen()), budget=512, key=0, order=("first", "second"))
    rows = result["evaluations"].to_dataset()["output_value"].values.reshape(64, 8)
    estimates = result["estimates"].to_dataset().squeeze("output")
    centred = rows - rows.mean()
    variance = np.concatenate([rows[:, 0], rows[:, 7]]).var()
    closed = np.mean(centred[:, 4] * centred[:, 2] - centred[:, 0] * centred[:, 7]) / variance
    first = estimates["sobol_first"].values
    assert np.isclose(estimates["sobol_second"].values[0, 1], closed - first[0] - first[1], rtol=1e-9)
    assert Saltelli2002() == Saltelli2002()
