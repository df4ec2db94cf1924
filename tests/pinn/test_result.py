"""The result: every group named and in units, what ArviZ reads, and the same numbers again from a file or a key."""

from typing import Any

import arviz as az
import jax
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from tests.pinn.curves import AMPLITUDE, FIELD, READINGS, X, curve, design, field_moments, infer
from tests.statistical import assert_within_error
from uqkit.pinn import RandomisedMAP
from uqkit.problems import Constraint, FieldReference, Measured
from uqkit.results import load, save

# The stubs of SciPy and ArviZ know one kind of result only.
normal: Any = stats.norm
loo_of: Any = az.loo


def shifted(u, shift):
    return u.value + shift


def slope_of(u):
    return u.d("x")


def problem():
    """A curve read by two instruments, one of them off by an unknown shift; its exact form is known."""
    own = curve().constraints[0]
    at = np.linspace(-0.9, 0.9, 6)
    other = Constraint(
        name="other", operator=shifted, points=at[:, None], target=np.sin(2 * at) + 0.5, noise=Measured(0.1), unit="K"
    )
    return curve(
        constraints=(own, other),
        parameters={"shift": dist.Normal(0.0, 1.0)},
        quantities={"slope": (slope_of, "K/m")},
        references={"u": FieldReference(function=lambda x: np.sin(2 * x), kind="closed form", source="made from it")},
    )


PROBLEM = problem()


def solved(key: Any = 0, **changed):
    return infer(PROBLEM, field=FIELD, key=key, grid=7, n_draws=200, **changed)


@pytest.fixture(scope="module")
def tree():
    return solved()


def test_groups_and_their_sizes(tree):
    assert set(tree.children) == {
        *("estimates", "posterior", "posterior_predictive", "prior_predictive", "log_likelihood", "noise", "evidence"),
        *("optimisation", "observed_data", "constant_data", "variational", "diagnostics"),
    }
    assert tree["estimates"].sizes == {"x": 7}
    assert tree["posterior"].sizes == {"chain": 4, "draw": 50}
    assert tree["posterior_predictive"].sizes == {"chain": 4, "draw": 50, "x": 7}
    assert tree["log_likelihood"].sizes == {"chain": 4, "draw": 50, "sensors_point": 25, "other_point": 6}
    assert list(tree["noise"]["constraint"].values) == ["sensors", "other"]
    assert tree.attrs["workflow"] == "pinn"
    assert tree.attrs["problem"] == "curve"
    assert tree.attrs["n_model_evaluations"] > 0


def test_every_variable_has_a_unit_and_a_name(tree):
    for group in tree.children.values():
        for name, variable in group.data_vars.items():
            assert variable.attrs.get("units"), name
            assert variable.attrs.get("long_name"), name
    assert tree["estimates"]["u"].attrs["units"] == "K"
    assert tree["estimates"]["slope_se"].attrs["units"] == "K/m"
    assert tree["estimates"]["u_lower"].attrs["probability"] == 0.95


def test_a_problem_without_parameters_and_references_has_its_verdict():
    bare = infer(curve(), field=FIELD, key=0, grid=3, n_draws=4)
    assert bare["diagnostics"]["verdict"].item() == "ok"
    assert float(bare["diagnostics"]["condition_number"]) > 1


def test_log_likelihood_is_that_of_the_draws():
    bare = infer(curve(), field=FIELD, method=RandomisedMAP(n_members=4), key=0, grid=3, progress=False)
    weights = bare["variational"]["weight_draw"].to_numpy()[:, :, 0]
    wanted = normal(weights @ design(bare, X).T, 0.2).logpdf(READINGS)
    np.testing.assert_allclose(bare["log_likelihood"]["sensors"], wanted, rtol=1e-9, atol=1e-10)


def test_prior_draws_have_the_spread_of_the_prior(tree):
    prior = tree["prior_predictive"]
    n = prior.sizes["chain"] * prior.sizes["draw"]
    square = (prior["u"] ** 2).mean(["chain", "draw"]).to_numpy()
    assert_within_error(square, np.full(7, AMPLITUDE**2 * np.sqrt(2 / n)), np.full(7, AMPLITUDE**2), max_error=0.4)


def test_evidence_and_scores_against_the_reference(tree):
    found = tree["diagnostics"].sel(quantity="u")
    u, exact = tree["estimates"]["u"].to_numpy(), np.sin(2 * tree["estimates"]["x"].to_numpy())
    z = (u - exact) / tree["estimates"]["u_se"].to_numpy()
    assert float(found["rms_z"]) == pytest.approx(np.sqrt(np.mean(z**2)))
    assert float(found["relative_error"]) == pytest.approx(np.linalg.norm(u - exact) / np.linalg.norm(exact))
    for level in (0.5, 0.8, 0.95):
        inside = np.abs(z) <= stats.norm.ppf(0.5 + level / 2)
        assert float(found["coverage"].sel(level=level)) == pytest.approx(inside.mean())


def test_effective_parameters_and_residuals_by_constraint():
    bare = infer(curve(), field=FIELD, key=0, grid=2, n_draws=4)
    noise = bare["noise"].isel(constraint=0)
    mean, sd = field_moments(bare, 0.2, X)
    assert float(noise["effective_parameters"]) == pytest.approx((sd**2).sum() / 0.2**2, rel=1e-6)
    assert float(noise["rms_residual"]) == pytest.approx(np.sqrt(np.mean((mean - READINGS) ** 2)) / 0.2, rel=1e-6)
    assert np.isnan(noise["held_out_residual"])


def test_data_are_kept_in_their_order(tree):
    np.testing.assert_array_equal(tree["observed_data"]["sensors"], READINGS)
    np.testing.assert_array_equal(tree["constant_data"]["sensors_coordinates"][:, 0], X)


def test_arviz_reads_it(tree):
    summary = az.summary(tree, kind="stats")
    assert list(summary.index) == ["shift"]
    loo = loo_of(tree, var_name="sensors")
    assert np.isfinite(loo.elpd)
    # Gaussian leave-one-out in closed form, on the first instrument's data alone.
    bare = infer(curve(), field=FIELD, key=0, grid=2, n_draws=2000)
    features = AMPLITUDE * design(bare, X)
    precision = np.linalg.inv(features @ features.T + 0.2**2 * np.eye(25))
    variance = 1 / np.diag(precision)
    wanted = stats.norm.logpdf((precision @ READINGS) * variance, scale=np.sqrt(variance)).sum()
    assert loo_of(bare, var_name="sensors", reff=1.0).elpd == pytest.approx(wanted, abs=0.5)


def assert_same(one, other):
    assert set(one.children) == set(other.children)
    for name, group in one.children.items():
        assert group.to_dataset().identical(other[name].to_dataset()), name


def test_a_key_gives_the_same_numbers_and_another_others(tree):
    again = solved(key=jax.random.key(0))
    assert_same(tree, again)
    other = solved(key=1)
    for group, name in (("estimates", "u"), ("posterior", "shift"), ("prior_predictive", "u")):
        assert np.abs(tree[group][name].to_numpy() - other[group][name].to_numpy()).min() > 0


def test_files_give_it_back(tree, tmp_path):
    for name in ("result.nc", "result.zarr"):
        save(tree, tmp_path / name)
        assert_same(tree, load(tmp_path / name))


@pytest.mark.parametrize("enabled", [False, True])
def test_the_precision_of_the_caller_is_left_alone(tree, enabled):
    with jax.enable_x64(enabled):
        again = solved()
        assert jax.config.read("jax_enable_x64") is enabled
        assert jax.numpy.ones(1).dtype == (np.float64 if enabled else np.float32)
    np.testing.assert_array_equal(tree["estimates"]["u"], again["estimates"]["u"])


def test_values_are_of_double_precision(tree):
    for group in ("estimates", "posterior", "log_likelihood"):
        assert {variable.dtype for variable in tree[group].data_vars.values()} == {np.dtype(float)}
