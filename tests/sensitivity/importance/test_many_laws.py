"""One sample for many laws: closed-form means, correlated laws, and the surrogate as a control."""

import numpy as np
import pytest
from scipy import stats

import uqkit as uq
from tests.statistical import assert_within_error
from uqkit.sensitivity import MixtureImportanceSampling, PolynomialSurrogate, expectations

INPUTS = {"a": stats.norm(0, 2), "b": stats.norm(0, 2)}
SHIFTS = {"left": -0.5, "centre": 0.0, "right": 0.8}
CORRELATIONS = {"against": -0.7, "apart": 0.0, "along": 0.5}
SHIFTED = {name: {"a": stats.norm(shift, 1), "b": stats.norm(0, 1)} for name, shift in SHIFTS.items()}
CORRELATED = {
    name: uq.Inputs({"a": stats.norm(1, 1), "b": stats.norm(0, 1)}, copula=uq.GaussianCopula({("a", "b"): correlation}))
    for name, correlation in CORRELATIONS.items()
}
FUNCTIONS = {"linear": lambda x: 2 * x[0] + x[1] + 1, "product": lambda x: x[0] * x[1], "square": lambda x: x[0] ** 2}
MODEL = uq.ForwardModel(
    lambda x: np.column_stack([2 * x[:, 0] + x[:, 1] + 1, x[:, 0] * x[:, 1], x[:, 0] ** 2]),
    inputs=INPUTS,
    outputs=tuple(FUNCTIONS),
    takes="batch",
)
# One row a function, one column a law.
OF_SHIFTED = np.array([[2 * s + 1, 0.0, 1 + s**2] for s in SHIFTS.values()]).T
OF_CORRELATED = np.array([[3.0, correlation, 2.0] for correlation in CORRELATIONS.values()]).T
every_method = pytest.mark.parametrize(
    "method",
    [None, MixtureImportanceSampling(pilot_share=0.0), MixtureImportanceSampling(surrogate=PolynomialSurrogate())],
    ids=["default", "equal mixture", "surrogate"],
)
every_set = pytest.mark.parametrize(
    ("laws", "truth"), [(SHIFTED, OF_SHIFTED), (CORRELATED, OF_CORRELATED)], ids=["shifted", "correlated"]
)


def estimated(result):
    estimates = result["estimates"].to_dataset()
    return estimates["expectation"].values, estimates["expectation_se"].values


@every_method
@every_set
def test_means_under_every_law_are_the_closed_form(method, laws, truth):
    result = expectations(MODEL, laws=laws, method=method, budget=4_000, key=0)
    value, error = estimated(result)
    assert result["estimates"]["expectation"].dims == ("function", "law")
    assert result["estimates"].to_dataset()["law"].values.tolist() == list(laws)
    assert_within_error(value, error, truth, max_error=0.1)
    assert result["diagnostics"].to_dataset()["verdict"].item() == "ok"
    with pytest.raises(AssertionError):
        assert_within_error(value, error, truth[:, ::-1], max_error=0.1)


def test_functions_alone_and_laws_alone_are_among_them():
    one = expectations(FUNCTIONS, INPUTS, laws=SHIFTED, budget=500, key=0)
    value, error = estimated(one)
    assert_within_error(value, error, OF_SHIFTED, max_error=0.3)


def test_a_polynomial_of_a_polynomial_leaves_only_the_error_of_its_known_means():
    plain = expectations(MODEL, laws=SHIFTED, budget=2_000, key=0)
    method = MixtureImportanceSampling(surrogate=PolynomialSurrogate(degree=2))
    followed = expectations(MODEL, laws=SHIFTED, method=method, budget=2_000, key=0)
    (_, plain_error), (value, error) = estimated(plain), estimated(followed)
    assert (error < plain_error / 10).all()
    assert_within_error(value, error, OF_SHIFTED, max_error=0.002)


def test_what_the_polynomial_does_not_follow_is_in_the_error():
    # E exp(0.5 a) under N(s, 1); a straight line alone would be off by far more than this error.
    model = uq.ForwardModel(lambda x: np.exp(0.5 * x[:, :1]), inputs=INPUTS, takes="batch")
    method = MixtureImportanceSampling(surrogate=PolynomialSurrogate(degree=1))
    truth = np.exp(0.5 * np.array([*SHIFTS.values()]) + 0.125)[None]
    z = []
    for key in range(12):
        value, error = estimated(expectations(model, laws=SHIFTED, method=method, budget=1_000, key=key))
        assert_within_error(value, error, truth, max_error=0.05)
        z.append((value - truth) / error)
    # Errors of the right size: neither hidden nor inflated.
    assert 0.4 < np.std(z) < 1.8


def test_weights_of_every_law_make_its_means():
    result = expectations(MODEL, laws=CORRELATED, budget=4_000, key=0)
    sample = result["weighted_sample"].to_dataset()
    weight = np.exp(sample["log_weight"].values[0])
    terms = weight[:, None, :] * sample["output_value"].values[0][:, :, None]
    error = terms.std(axis=0) / np.sqrt(len(terms))
    assert_within_error(terms.mean(axis=0), error, OF_CORRELATED, max_error=0.2)
    # Every law keeps at least a tenth of the mixture.
    assert weight.max() <= 10 * (1 + 1e-9)


def test_laws_and_functions_have_their_own_order_in_the_draws():
    result = expectations(MODEL, laws=SHIFTED, budget=1_000, key=0)
    draws = result["posterior"].to_dataset()["expectation"]
    assert draws.dims == ("chain", "draw", "function", "law")
    value, error = estimated(result)
    centre = draws.mean(("chain", "draw")).values
    assert (np.abs(centre - value) <= 5 * error / np.sqrt(1_000)).all()


def test_a_law_where_the_inputs_have_no_mass_is_refused_before_any_call():
    calls = []
    with pytest.raises(uq.InputError, match=r"law 'wide' puts 'a' where the law of `inputs` has no mass"):
        expectations(
            lambda x: calls.append(1) or x[0],
            {"a": stats.uniform(0, 1)},
            laws={"same": {"a": stats.uniform(0, 1)}, "wide": {"a": stats.norm(0, 1)}},
            budget=200,
            key=0,
        )
    assert not calls


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pilot_share": 1.0}, r"pilot_share is 1\.0"),
        ({"pilot_share": -0.1}, r"pilot_share is -0\.1"),
        ({"floor": 0.0}, r"floor is 0\.0; .* at 0 weights are unbounded"),
        ({"floor": 1.5}, r"floor is 1\.5"),
    ],
)
def test_shares_out_of_range(settings, message):
    with pytest.raises(uq.InputError, match=message):
        MixtureImportanceSampling(**settings)


def test_surrogates_that_cannot_be_fitted():
    with pytest.raises(uq.InputError, match="degree is 0; pass at least 1"):
        PolynomialSurrogate(degree=0)
    with pytest.raises(uq.InputError, match="n_folds is 1"):
        PolynomialSurrogate(n_folds=1)
    # 20 fitting draws a term: 6 terms of degree two in two inputs need 150 draws in five folds.
    assert [PolynomialSurrogate().chosen_degree(n, 2) for n in (20, 100, 150, 1_000_000)] == [0, 1, 2, 5]
