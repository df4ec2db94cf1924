"""Nonlinear problems: parameters by least squares on closed forms, modes that the continuation finds, coverage."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import integrate, optimize

import models.pdes.bpinn_inverse_1d as inverse
import models.pdes.diffusion_inverse as diffusion
from tests.pinn.curves import infer
from tests.statistical import assert_within_error
from uqkit.pinn import GaussGrid, GaussianPairs, GaussNewton, RandomFeatures, RandomisedMAP, UniformBand
from uqkit.problems import BoundaryValueProblem, Box, Constraint, Integrated, Measured

DIFFUSION: dict[str, Any] = {
    "field": RandomFeatures(n_features=200, frequencies=UniformBand(limit=9.0)),
    "collocation": GaussGrid(n=22),
    "key": 0,
    "grid": 5,
    "n_draws": 4,
}


def test_diffusivity_and_its_error_are_those_of_least_squares_on_the_closed_form():
    problem = diffusion.make()
    sensors = problem.constraints[-1]

    def solution(points, diffusivity):
        x, t = points.T
        rate = np.pi**2 * diffusivity * t
        return np.exp(-rate) * np.sin(np.pi * x) + 0.5 * np.exp(-9 * rate) * np.sin(3 * np.pi * x)

    scale = np.full(56, 0.02)
    found, covariance = optimize.curve_fit(
        solution, sensors.points, sensors.target, [0.1], sigma=scale, absolute_sigma=True
    )
    estimates = infer(problem, **DIFFUSION)["estimates"]
    error = np.sqrt(covariance[0, 0])
    assert abs(float(estimates["D"]) - found[0]) < 0.1 * error
    assert float(estimates["D_se"]) == pytest.approx(error, rel=0.05)


def growth(start):
    """u' = u (1 - u) with known start, exactly; the logistic curve."""
    box = Box(t=(0.0, 4.0))
    return BoundaryValueProblem(
        name="growth",
        domain=box,
        constraints=(
            Constraint(
                name="law", operator=lambda u: u.d("t") - u.value * (1.0 - u.value), points=box.interior,
                noise=Integrated(1e-5),
            ),
            Constraint(
                name="start", operator=lambda u: u.value, points=box.face(t=0.0), target=start, noise=Integrated(1e-6)
            ),
        ),
    )  # fmt: skip


def test_a_nonlinear_law_is_solved():
    field = RandomFeatures(n_features=30, frequencies=UniformBand(limit=4.0))
    u = infer(growth(0.1), field=field, collocation=GaussGrid(n=50), key=0, grid=9, n_draws=4)["estimates"]["u"]
    np.testing.assert_allclose(u, 1.0 / (1.0 + 9.0 * np.exp(-u["t"])), atol=1e-4)


def rate_problem(noise):
    """u = exp(-rate t), by its law and by readings at given times."""
    box, times = Box(t=(0.0, 2.0)), np.linspace(0.1, 2.0, 8)
    readings = np.exp(-0.8 * times) + noise * np.random.default_rng(0).normal(size=8)
    problem = BoundaryValueProblem(
        name="decay",
        domain=box,
        constraints=(
            Constraint(
                name="law", operator=lambda u, rate: u.d("t") + rate * u.value, points=box.interior,
                noise=Integrated(1e-5),
            ),
            Constraint(
                name="start", operator=lambda u: u.value, points=box.face(t=0.0), target=1.0, noise=Integrated(1e-6)
            ),
            Constraint(
                name="readings", operator=lambda u: u.value, points=times[:, None], target=readings,
                noise=Measured(noise),
            ),
        ),
        parameters={"rate": dist.LogNormal(0.0, 0.5)},
    )  # fmt: skip
    return problem, times, readings


RATE = rate_problem(0.03)


@pytest.mark.parametrize("method", [GaussNewton(), RandomisedMAP(n_members=64)])
def test_posterior_of_a_rate_is_that_of_quadrature(method):
    problem, times, readings = RATE

    def density(rate):
        misfit = ((np.exp(-rate * times) - readings) / 0.03) ** 2
        return np.exp(-0.5 * misfit.sum() - 0.5 * (np.log(rate) / 0.5) ** 2) / rate

    moments = [integrate.quad(lambda rate, k=k: rate**k * density(rate), 0.4, 1.4)[0] for k in range(3)]
    mean = moments[1] / moments[0]
    sd = np.sqrt(moments[2] / moments[0] - mean**2)
    field = RandomFeatures(n_features=24, frequencies=UniformBand(limit=4.0))
    tree = infer(
        problem, field=field, method=method, collocation=GaussGrid(n=40), key=0, grid=3, n_draws=64, progress=False
    )
    estimates, draws = tree["estimates"], tree["posterior"]["rate"].to_numpy().ravel()
    if isinstance(method, GaussNewton):
        # Gauss and Newton's normal law, of a posterior that is nearly one.
        assert abs(float(estimates["rate"]) - mean) < 0.15 * sd
        assert float(estimates["rate_se"]) == pytest.approx(sd, rel=0.05)
    assert_within_error(draws.mean(), sd / 8, mean, max_error=sd)
    assert_within_error(((draws - mean) ** 2).mean(), sd**2 * np.sqrt(2 / 64), sd**2, max_error=sd**2)


def test_a_front_is_found_from_zero():
    # A front between two steady states of u'' = u^3 - u, which sensors see; zero, where all starts, is a third one.
    box = Box(x=(-4.0, 4.0))
    x = np.linspace(-3.5, 3.5, 8)
    problem = BoundaryValueProblem(
        name="front",
        domain=box,
        constraints=(
            Constraint(
                name="law", operator=lambda u: u.d("x", 2) - u.value**3 + u.value, points=box.interior,
                noise=Integrated(1e-3),
            ),
            Constraint(
                name="sensors", operator=lambda u: u.value, points=x[:, None], target=np.tanh(x / np.sqrt(2)),
                noise=Measured(0.1),
            ),
        ),
    )  # fmt: skip
    settings: dict[str, Any] = {
        "field": RandomFeatures(n_features=40, frequencies=UniformBand(limit=10.0)),
        "collocation": GaussGrid(n=80),
        "key": 0,
        "grid": 17,
        "n_draws": 4,
    }
    u = infer(problem, **settings)["estimates"]["u"]
    exact = np.tanh(u["x"] / np.sqrt(2))
    np.testing.assert_allclose(u, exact, atol=0.01)


# The grid of length scales as a new user has it would be fitted to each of many data sets.
COVERAGE_FIELD = RandomFeatures(n_features=60, frequencies=GaussianPairs(length_scale=0.15), amplitude=1.0)


@pytest.fixture(scope="module")
def data_sets():
    first = inverse.make(key=0)
    made = [inverse.make(key=key) for key in range(20)]
    # One operator for all, so that it is compiled once.
    same = [
        replace(
            problem,
            constraints=tuple(
                replace(own, operator=one.operator)
                for own, one in zip(problem.constraints, first.constraints, strict=True)
            ),
        )
        for problem in made
    ]
    return [infer(problem, field=COVERAGE_FIELD, key=0, grid=11, n_draws=4)["estimates"] for problem in same]


def test_intervals_of_a_parameter_cover_it(data_sets):
    z = np.array([(float(one["k"]) - 0.7) / float(one["k_se"]) for one in data_sets])
    assert_within_error(z.mean(), 1 / np.sqrt(20), 0.0, max_error=0.3)
    assert_within_error(z.std(), 1 / np.sqrt(40), 1.0, max_error=0.2)
    assert (np.abs(z) < 2).sum() >= 15
    inside = [bool((one["k_lower"] < 0.7) & (one["k_upper"] > 0.7)) for one in data_sets]
    assert sum(inside) >= 15
    with pytest.raises(AssertionError):
        assert_within_error((3 * z).std(), 1 / np.sqrt(40), 1.0, max_error=0.2)


def test_a_parameter_is_as_uncertain_as_published(data_sets):
    # The sampled posterior of one data set of the source has the standard deviation 5.75e-3.
    assert np.mean([float(one["k_se"]) for one in data_sets]) == pytest.approx(5.75e-3, rel=0.1)


def test_bands_of_the_field_cover_it(data_sets):
    exact = np.sin(6 * data_sets[0]["x"].to_numpy()) ** 3
    z = np.array([(one["u"] - exact) / one["u_se"] for one in data_sets])
    assert 0.7 < np.sqrt((z**2).mean()) < 1.3
    assert (np.abs(z) < 1.96).mean() > 0.85


def test_a_known_part_is_added_exactly():
    # A square root at the end of the interval, which no smooth feature follows.
    box = Box(x=(0.0, 1.0))

    def exact(x):
        return np.sqrt(x) + x**2

    settings: dict[str, Any] = {
        "name": "singular",
        "domain": box,
        "constraints": (
            Constraint(
                name="law", operator=lambda u, x: x**1.5 * u.d("x", 2), points=box.interior,
                target=lambda x: -0.25 + 2 * x**1.5, noise=Integrated(1e-6),
            ),
            Constraint(
                name="ends", operator=lambda u: u.value, points=np.array([[0.01], [1.0]]), 
                target=exact(np.array([0.01, 1.0])),
                noise=Measured(1e-6),
            ),
        ),
    }  # fmt: skip
    field = RandomFeatures(n_features=20, frequencies=UniformBand(limit=4.0))
    run: dict[str, Any] = {"field": field, "collocation": GaussGrid(n=30), "key": 0, "grid": 7, "n_draws": 4}
    problem = BoundaryValueProblem(**settings, known_part={"u": lambda x: jnp.sqrt(x)})
    u = infer(problem, **run)["estimates"]["u"]
    np.testing.assert_allclose(u, exact(u["x"]), atol=1e-4)
    assert float(u["x"].min()) > 0.0
    assert jax.config.read("jax_enable_x64") is False
