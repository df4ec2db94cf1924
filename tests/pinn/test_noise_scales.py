"""Noise scales that are learned, and tolerances that count no points."""

from typing import Any

import numpy as np
import numpyro.distributions as dist
import pytest

from tests.pinn.curves import FIELD, LINE, PRIOR, READINGS, X, curve, infer, scale_posterior, value_of
from uqkit import UqkitWarning
from uqkit.inference import MacKay
from uqkit.pinn.collocation import GaussGrid
from uqkit.pinn.features import GaussianPairs, RandomFeatures, UniformBand
from uqkit.pinn.methods import HeldOutTolerance
from uqkit.problems import BoundaryValueProblem, Box, Constraint, Integrated, Measured


def test_a_learned_scale_is_where_evidence_and_prior_are_largest():
    tree = infer(curve(PRIOR), field=FIELD, noise=MacKay(tolerance=1e-6), key=0, grid=3, n_draws=4)
    grid, weight = scale_posterior(tree)
    noise = tree["noise"].isel(constraint=0)
    assert np.log(float(noise["noise_scale"])) == pytest.approx(grid[np.argmax(weight)], abs=0.01)
    sd = np.sqrt(weight @ (grid - weight @ grid) ** 2)
    assert float(noise["noise_scale_se"] / noise["noise_scale"]) == pytest.approx(sd, rel=0.1)
    assert noise["identified"] == 1
    assert noise["n_observations"] == 25
    assert noise["noise_scale_lower"] < noise["noise_scale"] < noise["noise_scale_upper"]


def test_a_scale_that_is_given_is_kept_and_has_no_error():
    noise = infer(curve(0.25), field=FIELD, key=0, grid=3, n_draws=4)["noise"].isel(constraint=0)
    assert float(noise["noise_scale"]) == 0.25
    assert float(noise["noise_scale_se"]) == 0.0


def test_a_scale_that_the_fields_interpolate_is_not_identified():
    wild = RandomFeatures(n_features=60, frequencies=GaussianPairs(length_scale=0.02), amplitude=100.0)
    with pytest.warns(
        UqkitWarning, match=r"the noise scale of 'sensors' is not identified.*give fewer features or more"
    ):
        tree = infer(curve(PRIOR), field=wild, key=0, grid=3, n_draws=4)
    assert tree["noise"]["identified"].item() == 0
    assert tree["diagnostics"]["verdict"].item() == "fail"
    assert "not identified" in tree["diagnostics"]["verdict_text"].item()


def load_operator(u, load):
    return u.d("x", 2) + load


def load_problem(noise, n_sensors=30):
    """u'' + load = 0 with an unknown load; sensors leave nothing open but the law's own noise."""
    x = np.linspace(-1.0, 1.0, n_sensors)
    return BoundaryValueProblem(
        name="load",
        domain=LINE,
        constraints=(
            Constraint(name="law", operator=load_operator, points=LINE.interior, noise=noise),
            Constraint(name="sensors", operator=value_of, points=x[:, None], target=-(x**2), noise=Measured(1e-5)),
        ),
        parameters={"load": dist.Normal(0.0, 100.0)},
    )


def deviation_of_load(noise, n_nodes):
    field = RandomFeatures(n_features=14, frequencies=GaussianPairs(length_scale=1.5), amplitude=10.0)
    tree = infer(load_problem(noise), field=field, collocation=GaussGrid(n=n_nodes), key=0, grid=2, n_draws=4)
    return float(tree["estimates"]["load_se"])


def test_more_collocation_points_of_an_exact_law_tell_nothing_more():
    few, many = (deviation_of_load(Integrated(0.3), n) for n in (20, 40))
    assert many == pytest.approx(few, rel=0.1)
    # The law's residual averaged over a domain of length 2.
    assert many == pytest.approx(0.3 / np.sqrt(2.0), rel=0.1)


def test_more_sensors_of_a_law_tell_more():
    few, many = (deviation_of_load(Measured(0.3), n) for n in (20, 40))
    assert many / few == pytest.approx(np.sqrt(0.5), rel=0.1)
    assert many == pytest.approx(0.3 / np.sqrt(40.0), rel=0.1)


def test_a_known_scale_of_every_point_weighs_it():
    # A shape that makes half of the sensors useless is like leaving them out.
    far = np.where(np.arange(25) % 2, 1e6, 1.0)
    shaped = Constraint(
        name="sensors", operator=value_of, points=X[:, None], target=READINGS, noise=Measured(0.2),
        shape=lambda x: np.interp(x, X, far),
    )  # fmt: skip
    whole = infer(curve(constraints=(shaped,)), field=FIELD, key=0, grid=5, n_draws=4)["estimates"]
    half = infer(curve(x=X[::2], readings=READINGS[::2]), field=FIELD, key=0, grid=5, n_draws=4)["estimates"]
    np.testing.assert_allclose(whole["u"], half["u"], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(whole["u_se"], half["u_se"], rtol=1e-6)


@pytest.mark.filterwarnings("ignore:the 20 weights are all used up")
def test_a_tolerance_is_chosen_by_residuals_held_out():
    # A corner at the end that no wave follows: enforced too strictly there, the law spoils the boundary.
    box = Box(x=(0.0, 1.0))
    problem = BoundaryValueProblem(
        name="corner",
        domain=box,
        constraints=(
            Constraint(
                name="law", operator=lambda u: u.d("x", 2), points=box.interior,
                target=lambda x: -0.25 * (x + 1e-3) ** -1.5, noise=Integrated(1e-6),
            ),
            Constraint(
                name="ends", operator=value_of, points=box.boundary, target=lambda x: np.sqrt(x + 1e-3),
                noise=Integrated(1e-6),
            ),
        ),
    )  # fmt: skip
    field = RandomFeatures(n_features=20, frequencies=UniformBand(limit=12.0))
    settings: dict[str, Any] = {"field": field, "collocation": GaussGrid(n=30), "key": 0, "grid": 21, "n_draws": 4}
    rule = HeldOutTolerance(constraint="law", factors=(1.0, 1e4))
    strict = infer(problem, **settings)
    chosen = infer(problem, noise=rule, **settings)
    assert float(strict["noise"]["noise_scale"].sel(constraint="law")) == pytest.approx(1e-6)
    assert float(chosen["noise"]["noise_scale"].sel(constraint="law")) in (pytest.approx(1e-6), pytest.approx(1e-2))
    wrong = [
        float(np.abs(tree["estimates"]["u"][[0, -1]] - np.sqrt(np.array([1e-3, 1.001]))).max())
        for tree in (strict, chosen)
    ]
    assert wrong[1] <= 1.01 * wrong[0]
