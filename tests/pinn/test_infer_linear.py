"""Linear problems: fields, parameters and evidence are those of Bayesian regression and of Gaussian processes."""

from typing import Any

import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import uqkit as uq
from tests.pinn.curves import infer
from uqkit import InputError
from uqkit.inference import GaussNewton, RandomisedMAP
from uqkit.pinn import GaussGrid
from uqkit.pinn.features import GaussianPairs, RandomFeatures, UniformBand
from uqkit.pinn.methods import Exact
from uqkit.problems import BoundaryValueProblem, Box, Constraint, FieldReference, Integrated, Measured

# SciPy's stubs take the shape for a number.
multivariate_normal: Any = stats.multivariate_normal
LINE = Box(x=(-1.0, 1.0))
SENSORS = np.linspace(-0.9, 0.9, 8)[:, None]
READINGS = np.sin(2 * SENSORS[:, 0]) + 0.1 * np.random.default_rng(0).normal(size=8)
PAIRS = RandomFeatures(n_features=40, frequencies=GaussianPairs(length_scale=0.5), amplitude=1.5)
WAVES = RandomFeatures(n_features=24, frequencies=UniformBand(limit=6.0), amplitude=2.0)


def law_operator(u, source):
    return u.d("x", 2) + source


def value_of(u):
    return u.value


# Functions made once are compiled once.
QUANTITIES = {"slope": (lambda u: u.d("x"), "1"), "load": (lambda u, source: u.value + 2 * source, "1")}


def source_problem(law_noise, points):
    """u'' + source = 4 sin(x) with an unknown constant source, and sensors."""
    return BoundaryValueProblem(
        name="source",
        domain=LINE,
        constraints=(
            Constraint(
                name="law",
                operator=law_operator,
                points=points,
                target=lambda x: 4 * np.sin(x),
                noise=law_noise,
            ),
            Constraint(
                name="sensors", operator=value_of, points=SENSORS, target=READINGS, noise=Measured(0.1),
                shape=lambda x: 1 + x**2,
            ),
        ),
        parameters={"source": dist.Normal(1.0, 3.0)},
        quantities=QUANTITIES,
    )  # fmt: skip


def design(tree, x, order):
    """The features written out again, from the result: a sine's derivative is a sine a quarter of a turn on."""
    fitted = tree["variational"]
    frequency, phase = fitted["frequency"].to_numpy()[:, 0], fitted["phase"].to_numpy()
    centre, half_width = float(fitted["centre"][0]), float(fitted["half_width"][0])
    argument = np.multiply.outer((x - centre) / half_width, frequency) + phase
    return np.sqrt(2 / len(phase)) * (frequency / half_width) ** order * np.sin(argument + 0.5 * np.pi * order)


def dense(tree, problem, prior, law_sigma):
    """Posterior of the weights and the source by dense inverses, with the law's rows where the result says they are."""
    constant = tree["constant_data"]
    x = constant["law_coordinates"].to_numpy()[:, 0]
    n = len(x)
    law = np.column_stack([design(tree, x, 2), np.full(n, 3.0)])
    values = np.column_stack([design(tree, SENSORS[:, 0], 0), np.zeros(8)])
    rows = np.vstack([law, values]) * np.concatenate([np.full(law.shape[1] - 1, prior), [1.0]])
    target = np.concatenate([4 * np.sin(x) - 1.0, READINGS])
    relative = np.concatenate([constant["law_row_scale"].to_numpy(), 1 + SENSORS[:, 0] ** 2])
    noise = np.repeat([law_sigma, 0.1], [n, 8]) * relative
    covariance = np.linalg.inv(np.eye(rows.shape[1]) + rows.T @ (rows / noise[:, None] ** 2))
    mean = covariance @ rows.T @ (target / noise**2)
    marginal = np.diag(noise**2) + rows @ rows.T
    log_evidence = multivariate_normal(np.zeros(len(target)), marginal).logpdf(target) + np.log(relative).sum()
    scale = np.concatenate([np.full(law.shape[1] - 1, prior), [1.0]])
    return mean * scale, covariance * np.outer(scale, scale), log_evidence


@pytest.mark.parametrize("method", [GaussNewton(), Exact()])
@pytest.mark.parametrize(
    ("field", "prior", "law_noise", "points"),
    [
        (PAIRS, 1.5, Measured(0.05), np.linspace(-1, 1, 12)[:, None]),
        (WAVES, 2.0, Integrated(0.05), LINE.interior),
        (PAIRS, 1.5, Integrated(0.05), LINE.interior),
    ],
)
def test_fields_parameters_and_evidence_are_those_of_bayesian_regression(field, prior, law_noise, points, method):
    problem = source_problem(law_noise, points)
    tree = infer(problem, field=field, method=method, collocation=GaussGrid(n=30), key=0, grid=9, n_draws=4)
    mean, covariance, log_evidence = dense(tree, problem, prior, 0.05)
    x = np.linspace(-1, 1, 9)
    zero, one = np.zeros((9, 1)), np.ones((9, 1))
    rows = {
        "u": np.hstack([design(tree, x, 0), zero]),
        "slope": np.hstack([design(tree, x, 1), zero]),
        "load": np.hstack([design(tree, x, 0), 6.0 * one]),
    }
    estimates = tree["estimates"]
    np.testing.assert_allclose(estimates["x"], x, atol=1e-15)
    for name, direction in rows.items():
        shift = 2.0 if name == "load" else 0.0
        sd = np.sqrt(np.einsum("ri,ij,rj->r", direction, covariance, direction))
        np.testing.assert_allclose(estimates[name], direction @ mean + shift, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(estimates[f"{name}_se"], sd, rtol=1e-5)
        np.testing.assert_allclose(estimates[f"{name}_upper"] - estimates[name], 1.959964 * sd, rtol=1e-5)
        np.testing.assert_allclose(estimates[name] - estimates[f"{name}_lower"], 1.959964 * sd, rtol=1e-5)
    assert float(estimates["source"]) == pytest.approx(1.0 + 3.0 * mean[-1], rel=1e-6)
    assert float(estimates["source_se"]) == pytest.approx(3.0 * np.sqrt(covariance[-1, -1]), rel=1e-5)
    assert float(tree["evidence"]["log_evidence"][0]) == pytest.approx(log_evidence, rel=1e-7)


def squared_exponential(x, y, order_x, order_y, length):
    """Derivatives of exp(-(x - y)^2 / (2 length^2)), by Hermite polynomials."""
    distance = np.subtract.outer(x, y) / length
    order = order_x + order_y
    hermite = np.polynomial.hermite_e.hermeval(distance, np.eye(order + 1)[order])
    return (-1.0) ** order_x * length**-order * hermite * np.exp(-0.5 * distance**2)


def smooth_problem():
    """u'' / 100 and the ends of sin(4 x), by sensors."""
    generator = np.random.default_rng(0)
    x, ends = np.linspace(-0.7, 0.7, 16), np.array([-0.7, 0.7])
    return BoundaryValueProblem(
        name="smooth",
        domain=Box(x=(-0.7, 0.7)),
        constraints=(
            Constraint(
                name="law", operator=lambda u: 0.01 * u.d("x", 2), points=x[:, None],
                target=-0.16 * np.sin(4 * x) + 0.01 * generator.normal(size=16), noise=Measured(0.01),
            ),
            Constraint(
                name="ends", operator=value_of, points=ends[:, None],
                target=np.sin(4 * ends) + 0.01 * generator.normal(size=2), noise=Measured(0.01),
            ),
        ),
    )  # fmt: skip


def test_pairs_give_the_gaussian_process_conditioned_on_the_equation():
    problem = smooth_problem()
    field = RandomFeatures(n_features=200, frequencies=GaussianPairs(length_scale=0.3), amplitude=1.2)
    tree = infer(problem, field=field, key=0, grid=9, n_draws=4)
    length = 0.3 * 0.7
    law, ends = problem.constraints
    x, at, grid = np.asarray(law.points)[:, 0], np.asarray(ends.points)[:, 0], np.linspace(-0.7, 0.7, 9)
    parts = [(x, 2, 0.01), (at, 0, 1.0)]
    matrix = np.block([[a * b * squared_exponential(p, q, m, n, length) for q, n, b in parts] for p, m, a in parts])
    cross = np.hstack([b * squared_exponential(grid, q, 0, n, length) for q, n, b in parts])
    matrix = 1.2**2 * matrix + 0.01**2 * np.eye(len(matrix))
    gain = np.linalg.solve(matrix, 1.2**2 * cross.T).T
    mean = gain @ np.concatenate([np.asarray(law.target), np.asarray(ends.target)])
    sd = np.sqrt(1.2**2 - (gain * 1.2**2 * cross).sum(axis=1))
    np.testing.assert_allclose(tree["estimates"]["u_se"], sd, rtol=0.03)
    np.testing.assert_allclose(tree["estimates"]["u"], mean, atol=0.1 * sd.max())


def test_exact_refuses_a_problem_that_is_not_linear():
    with pytest.raises(
        InputError, match=r"Exact\(\) solves linear problems, but the constraint pde of 'bpinn_inverse_1d'"
    ):
        infer(uq.load("bpinn_inverse_1d"), field=PAIRS, method=Exact(), key=0)


@pytest.mark.parametrize(
    ("method", "n_features"), [(GaussNewton(), 12), (GaussNewton(), 40), (RandomisedMAP(n_members=100), 40)]
)
def test_draws_agree_with_the_estimates(method, n_features):
    field = RandomFeatures(n_features=n_features, frequencies=GaussianPairs(length_scale=0.5), amplitude=1e3)
    problem = source_problem(Measured(0.05), np.linspace(-1, 1, 12)[:, None])
    tree = infer(problem, field=field, method=method, key=0, grid=5, n_draws=400, progress=False)
    exact = infer(problem, field=field, key=0, grid=5, n_draws=4)["estimates"]
    assert tree["posterior"].attrs["independent_draws"] == 1
    for name, group in (("u", "posterior_predictive"), ("slope", "posterior_predictive"), ("source", "posterior")):
        draws = tree[group][name].stack(one=("chain", "draw"))
        n = draws.sizes["one"]
        assert n == tree["posterior"]["source"].size
        mean, sd = exact[name].to_numpy(), exact[f"{name}_se"].to_numpy()
        z = (draws.mean("one").to_numpy() - mean) / (sd / np.sqrt(n))
        assert np.abs(z).max() < 5
        ratio = draws.std("one").to_numpy() / sd
        assert np.abs(ratio - 1).max() < 5 / np.sqrt(2 * n)


def test_draws_of_an_ill_conditioned_posterior_fit_the_data_as_the_posterior_does():
    # Smooth features leave most directions to the prior and know a few to one part in 1e8.
    field = RandomFeatures(n_features=40, frequencies=GaussianPairs(length_scale=1.0), amplitude=1e7)
    tree = infer(smooth_problem(), field=field, key=0, grid=5, n_draws=400)
    draws, estimates = tree["posterior_predictive"]["u"].stack(one=("chain", "draw")), tree["estimates"]
    ratio = draws.std("one") / estimates["u_se"]
    assert float(np.abs(ratio - 1).max()) < 5 / np.sqrt(800)
    assert float(tree["log_likelihood"]["law"].min()) > -20.0


def test_wave_equation_as_a_new_user_writes_it():
    string = Box(x=(0.0, 1.0), t=(0.0, 1.0))

    def exact(x, t):
        return np.sin(np.pi * x) * np.cos(np.pi * t)

    problem = BoundaryValueProblem(
        name="string",
        domain=string,
        constraints=(
            Constraint(
                name="law", operator=lambda u: u.d("t", 2) - u.d("x", 2), points=string.interior, noise=Integrated(1e-5)
            ),
            Constraint(
                name="ends", operator=lambda u: u.value, points=string.face(x=0.0) | string.face(x=1.0),
                noise=Integrated(1e-6),
            ),
            Constraint(
                name="shape", operator=lambda u: u.value, points=string.face(t=0.0),
                target=lambda x: np.sin(np.pi * x), noise=Integrated(1e-6),
            ),
            Constraint(name="at_rest", operator=lambda u: u.d("t"), points=string.face(t=0.0), noise=Integrated(1e-6)),
        ),
        references={"u": FieldReference(function=exact, kind="closed form", source="separation of variables")},
    )  # fmt: skip
    field = RandomFeatures(n_features=80, frequencies=UniformBand(limit=5.0))
    tree = infer(problem, field=field, collocation=GaussGrid(n=14), key=0, grid=7, n_draws=4)
    u = tree["estimates"]["u"]
    np.testing.assert_allclose(u, exact(u["x"], u["t"]), atol=1e-4)
    assert float(tree["diagnostics"]["relative_error"][0]) < 1e-4
    assert tree["diagnostics"]["verdict"].item() != "fail"


def test_two_outputs_as_a_new_user_writes_them():
    # A turns into B and both diffuse: on the first Fourier mode, two exponentials.
    tube = Box(x=(0.0, 1.0), t=(0.0, 0.5))
    p, q, rate = 0.1 * np.pi**2 + 2.0, 0.2 * np.pi**2, 2.0

    def first(x, t):
        return np.exp(-p * t) * np.sin(np.pi * x)

    def second(x, t):
        return rate * (np.exp(-p * t) - np.exp(-q * t)) / (q - p) * np.sin(np.pi * x)

    ends = tube.face(x=0.0) | tube.face(x=1.0)
    exact_law, exact_value = Integrated(1e-5), Integrated(1e-6)
    problem = BoundaryValueProblem(
        name="chain_of_reactions",
        domain=tube,
        outputs={"a": "mol/l", "b": "mol/l"},
        constraints=(
            Constraint(
                name="law_a", operator=lambda a: a.d("t") - 0.1 * a.d("x", 2) + 2.0 * a.value,
                points=tube.interior, noise=exact_law,
            ),
            Constraint(
                name="law_b", operator=lambda a, b: b.d("t") - 0.2 * b.d("x", 2) - 2.0 * a.value,
                points=tube.interior, noise=exact_law,
            ),
            Constraint(name="ends_a", operator=lambda a: a.value, points=ends, noise=exact_value),
            Constraint(name="ends_b", operator=lambda b: b.value, points=ends, noise=exact_value),
            Constraint(
                name="start_a", operator=lambda a: a.value, points=tube.face(t=0.0),
                target=lambda x: np.sin(np.pi * x), noise=exact_value,
            ),
            Constraint(name="start_b", operator=lambda b: b.value, points=tube.face(t=0.0), noise=exact_value),
        ),
    )  # fmt: skip
    field = RandomFeatures(n_features=60, frequencies=UniformBand(limit=4.0))
    tree = infer(problem, field=field, collocation=GaussGrid(n=12), key=0, grid=6, n_draws=4)
    a, b = tree["estimates"]["a"], tree["estimates"]["b"]
    assert a.attrs["units"] == "mol/l"
    np.testing.assert_allclose(a, first(a["x"], a["t"]).transpose("x", "t"), atol=1e-3)
    np.testing.assert_allclose(b, second(b["x"], b["t"]).transpose("x", "t"), atol=1e-3)
