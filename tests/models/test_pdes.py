"""The boundary value problems: closed forms put into every constraint by JAX, estimates made again by SciPy."""

import importlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from tests.benchmarks import pde_solvers
from tests.statistical import assert_within_error
from uqkit.problems import BoundaryValueProblem, Constraint, FieldReference, Integrated, Measured, Region, catalogue
from uqkit.results import Reference

ENTRIES = {entry.name: entry for entry in catalogue() if entry.folder == "pdes"}
MODULES = {name: importlib.import_module(f"models.pdes.{name}") for name in ENTRIES}
# Their references are made by NumPy alone, and have tests of their own.
NUMERICAL = {"burgers", "allen_cahn"}
SOLVED = [
    name
    for name, module in MODULES.items()
    if set(module.problem.outputs) <= set(module.problem.references) and name not in NUMERICAL
]
DRAWN = [name for name, module in MODULES.items() if "key" in inspect.signature(module.make).parameters]
MEASURED = {"heat_conduction_rod", "oxygen_demand"}


class ExactField:
    """A known function with the interface of an unknown field; derivatives by nested `jax.grad`."""

    def __init__(self, function, columns):
        self.columns = columns
        self.function = function

    def _everywhere(self, function):
        return jax.vmap(lambda coordinates: function(**coordinates))(self.columns)

    @property
    def value(self):
        return self._everywhere(self.function)

    def d(self, *coordinates_and_orders):
        pairs = list(coordinates_and_orders)
        pairs = [*pairs, 1] if len(pairs) % 2 else pairs
        function = self.function
        for name, order in zip(pairs[::2], pairs[1::2], strict=True):
            for _ in range(order):
                function = _derivative(function, name)
        return self._everywhere(function)

    def laplacian(self, *names):
        return sum(self.d(name, 2) for name in names or self.columns)


def _derivative(function, name):
    def derived(**coordinates):
        others = {other: value for other, value in coordinates.items() if other != name}
        return jax.grad(lambda value: function(**others, **{name: value}))(coordinates[name])

    return derived


def points_of(problem: BoundaryValueProblem, constraint: Constraint) -> np.ndarray:
    """The constraint's own points, or 20 at random in each part of its region."""
    if not isinstance(constraint.points, Region):
        return np.asarray(constraint.points, dtype=float)
    generator = np.random.default_rng(0)
    box = problem.domain
    parts = []
    for fixed in constraint.points.parts:
        points = generator.uniform(box.lower, box.upper, size=(20, len(box)))
        for name, value in fixed.items():
            points[:, box.names.index(name)] = value
        parts.append(points)
    return np.concatenate(parts)


def residual(problem: BoundaryValueProblem, constraint: Constraint, fields, parameters) -> tuple[np.ndarray, float]:
    """Operator on exact fields minus target at the constraint's points, and the scale of the target."""
    points = points_of(problem, constraint)
    with jax.enable_x64(True):
        columns = {name: jnp.asarray(column) for name, column in problem.domain.columns(points).items()}
        known = {name: ExactField(function, columns) for name, function in fields.items()} | parameters | columns
        wanted = inspect.signature(constraint.operator).parameters
        value = np.asarray(constraint.operator(**{name: known[name] for name in wanted}), dtype=float)
    target = problem.target_at(constraint, points)
    return value - target, max(1.0, float(np.abs(target).max()))


def exact(problem: BoundaryValueProblem):
    references = problem.references
    fields = {name: ref.function for name, ref in references.items() if isinstance(ref, FieldReference)}
    parameters = {name: ref.values[0] for name, ref in references.items() if isinstance(ref, Reference)}
    return fields, parameters


def assert_exact_laws_hold(problem: BoundaryValueProblem) -> None:
    for constraint in problem.constraints:
        if isinstance(constraint.noise, Integrated):
            difference, scale = residual(problem, constraint, *exact(problem))
            assert np.abs(difference).max() <= 1e-9 * scale, constraint.name


def scores(problem: BoundaryValueProblem, factor: float = 1.0) -> np.ndarray:
    """Differences of all sensors from the exact solution, in their standard deviations; `factor` is on parameters."""
    fields, parameters = exact(problem)
    wrong = {name: factor * value for name, value in parameters.items()}
    parts = [
        residual(problem, constraint, fields, wrong)[0] / constraint.noise.sigma
        for constraint in problem.constraints
        if isinstance(constraint.noise, Measured)
    ]
    return np.concatenate(parts)


def test_the_catalogue_holds_these_problems():
    bpinn = {"poisson_1d", "nonlinear_1d", "allen_cahn_2d", "inverse_1d", "inverse_2d"}
    assert set(DRAWN) == {f"bpinn_{name}" for name in bpinn} | {"diffusion_inverse"}
    assert set(ENTRIES) - set(SOLVED) >= MEASURED
    assert {"poisson_1d", "helmholtz", "klein_gordon", "wave_1d", "reaction_diffusion_system"} <= set(SOLVED)


@pytest.mark.parametrize("name", ENTRIES)
def test_has_the_name_of_its_file(name):
    assert MODULES[name].problem.name == name


@pytest.mark.parametrize("name", SOLVED)
def test_reference_satisfies_every_exact_law(name):
    assert_exact_laws_hold(MODULES[name].problem)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("poisson_1d", {"C": 2.0}), ("helmholtz", {"a1": 2, "a2": 3, "k": 5.0}), ("wave_1d", {"c": 1})],
)
def test_reference_satisfies_every_law_with_other_arguments(name, arguments):
    assert_exact_laws_hold(MODULES[name].make(**arguments))


def test_a_slightly_wrong_reference_breaks_its_law():
    module = MODULES["klein_gordon"]
    fields, parameters = exact(module.problem)
    wrong = {"u": lambda x, t: fields["u"](x, t) + 1e-6 * x**2 * t}
    difference, scale = residual(module.problem, module.problem.constraints[0], wrong, parameters)
    assert np.abs(difference).max() > 1e-9 * scale


@pytest.mark.parametrize(("stated", "holds"), [(40.0, True), (44.0, False)])
def test_flow_behind_a_grid_satisfies_the_laws_of_velocity_and_pressure(stated, holds):
    # Kovasznay (1948), Laminar flow behind a two-dimensional grid: a closed form at any Reynolds number.
    reynolds = 40.0
    decay = reynolds / 2 - np.sqrt(reynolds**2 / 4 + 4 * np.pi**2)
    flow = {
        "u": lambda x, y: 1 - jnp.exp(decay * x) * jnp.cos(2 * jnp.pi * y),
        "v": lambda x, y: decay / (2 * jnp.pi) * jnp.exp(decay * x) * jnp.sin(2 * jnp.pi * y),
        "p": lambda x, y: 0.5 * (1 - jnp.exp(2 * decay * x)),
    }
    problem = MODULES["lid_driven_cavity_velocity_pressure"].make(reynolds=stated)
    laws = {constraint.name: constraint for constraint in problem.constraints}
    left = {
        name: np.abs(residual(problem, laws[name], flow, {})[0]).max()
        for name in ("momentum_x", "momentum_y", "continuity")
    }
    assert left["continuity"] < 1e-12
    for name in ("momentum_x", "momentum_y"):
        assert (left[name] < 1e-12) == holds


@pytest.mark.parametrize("name", DRAWN)
def test_sensors_scatter_about_the_reference_with_the_stated_noise(name):
    z = np.concatenate([scores(MODULES[name].make(key=key)) for key in range(20)])
    assert_within_error(z.mean(), 1 / np.sqrt(len(z)), 0.0, max_error=0.06)
    assert_within_error(z.std(), 1 / np.sqrt(2 * len(z)), 1.0, max_error=0.04)


@pytest.mark.parametrize("name", ["bpinn_inverse_1d", "bpinn_inverse_2d"])
def test_a_wrong_reaction_rate_shows_in_the_sensors(name):
    z = np.concatenate([scores(MODULES[name].make(key=key), factor=1.2) for key in range(20)])
    with pytest.raises(AssertionError):
        assert_within_error(z.std(), 1 / np.sqrt(2 * len(z)), 1.0, max_error=0.04)


@pytest.mark.parametrize("name", DRAWN)
def test_data_follow_the_key_and_the_noise(name):
    make = MODULES[name].make
    small, again, other = scores(make(key=0)), scores(make(key=0)), scores(make(key=1))
    np.testing.assert_array_equal(small, again)
    assert np.abs(small - other).max() > 0.1
    np.testing.assert_allclose(scores(make(noise=0.1, key=jax.random.key(0))), small, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("bpinn_poisson_1d", (16, 2)),
        ("bpinn_nonlinear_1d", (32, 2)),
        ("bpinn_allen_cahn_2d", (500, 100)),
        ("bpinn_inverse_1d", (32, 2, 6)),
        ("bpinn_inverse_2d", (100, 100, 100)),
    ],
)
def test_sensors_are_as_many_as_in_the_paper(name, counts):
    assert tuple(len(points_of(MODULES[name].problem, c)) for c in MODULES[name].problem.constraints) == counts


def test_diffusivity_by_least_squares_has_the_standard_error_it_states():
    module = MODULES["diffusion_inverse"]

    def solution(points, diffusivity):
        x, t = points.T
        rate = np.pi**2 * diffusivity * t
        return np.exp(-rate) * np.sin(np.pi * x) + 0.5 * np.exp(-9 * rate) * np.sin(3 * np.pi * x)

    z = []
    for key in range(40):
        sensors = module.make(key=key).constraints[-1]
        scale = np.full(len(sensors.target), sensors.noise.sigma)
        found, covariance = optimize.curve_fit(
            solution, sensors.points, sensors.target, [0.1], sigma=scale, absolute_sigma=True
        )
        z.append((found[0] - 0.05) / np.sqrt(covariance[0, 0]))
    assert_within_error(np.mean(z), 1 / np.sqrt(40), 0.0, max_error=0.2)
    assert_within_error(np.std(z), 1 / np.sqrt(80), 1.0, max_error=0.2)


def rod_temperature(x, flux, h):
    """The rod's closed form in its fin parameter."""
    k, length, air = 2.37, 70.0, 21.29
    fin = jnp.sqrt(4 * h / (0.95 * k))
    b = flux / (k * fin)
    sinh, cosh = jnp.sinh(fin * length), jnp.cosh(fin * length)
    a = -b * (k * fin * cosh + h * sinh) / (k * fin * sinh + h * cosh)
    return air + a * jnp.cosh(fin * x) + b * jnp.sinh(fin * x)


def oxygen_demand(t, rate, ultimate):
    return ultimate * (1 - jnp.exp(-rate * t))


@pytest.mark.parametrize(
    ("name", "solution", "start", "tolerance"),
    [
        # The published estimates of the rod and its noise are rounded to their last digit.
        ("heat_conduction_rod", rod_temperature, (-15.0, 2e-3), 0.35),
        ("oxygen_demand", oxygen_demand, (0.3, 200.0), 1e-5),
    ],
)
def test_published_estimates_are_least_squares_of_the_closed_form(name, solution, start, tolerance):
    problem = MODULES[name].problem
    measured = problem.constraints[-1]
    with jax.enable_x64(True):
        found, covariance = optimize.curve_fit(
            lambda *arguments: np.asarray(solution(*arguments)),
            np.asarray(measured.points)[:, 0],
            measured.target,
            start,
            jac=lambda *arguments: np.stack([jax.jacfwd(solution, i)(*arguments) for i in (1, 2)], axis=1),
            xtol=1e-12,
            ftol=1e-12,
        )
    published = [problem.references[parameter] for parameter in problem.parameter_names]
    values = np.array([reference.values[0] for reference in published])
    stated = np.array([reference.standard_error for reference in published])
    assert np.abs((found - values) / stated).max() < tolerance
    np.testing.assert_allclose(stated, np.sqrt(np.diag(covariance)), rtol=tolerance / 5)


@pytest.mark.parametrize(
    ("name", "output", "solution"),
    [("heat_conduction_rod", "temperature", rod_temperature), ("oxygen_demand", "demand", oxygen_demand)],
)
def test_closed_form_of_the_measured_problems_satisfies_their_laws(name, output, solution):
    problem = MODULES[name].problem
    _, parameters = exact(problem)
    (coordinate,) = problem.domain.names
    fields = {output: lambda **at: solution(at[coordinate], **parameters)}
    for constraint in problem.constraints[:-1]:
        difference, scale = residual(problem, constraint, fields, parameters)
        assert np.abs(difference).max() <= 1e-9 * scale, constraint.name


def test_posterior_moments_of_a_normal_mean_are_those_of_students_law():
    readings = np.array([1.0, 2.5, 2.0, 4.0, 3.5, 2.0, 3.0, 1.5])
    n, variance = len(readings), readings.var(ddof=1)
    (mean, sd), _ = pde_solvers.posterior_moments(
        lambda point, mean: mean + 0 * point,
        np.zeros(n),
        readings,
        axes=[readings.mean() + np.linspace(-20, 20, 1601), np.geomspace(0.1, 100, 401)],
        log_priors=[np.zeros_like, lambda scale: -np.log(scale)],
    )
    assert mean == pytest.approx(readings.mean(), rel=1e-8)
    assert sd == pytest.approx(np.sqrt(variance / n * (n - 1) / (n - 3)), rel=1e-3)


def test_spectral_solvers_reach_the_closed_forms():
    helmholtz, klein_gordon = MODULES["helmholtz"].problem, MODULES["klein_gordon"].problem
    source = helmholtz.constraints[0].target
    x, y, u = pde_solvers.linear_on_rectangle(source, n=32, x=(-1, 1), y=(-1, 1), reaction=1.0)
    assert pde_solvers.relative_error(u, np.sin(np.pi * x) * np.sin(4 * np.pi * y)) < 1e-10

    times = np.linspace(0, 1, 11)
    law, ends = klein_gordon.constraints[0].target, klein_gordon.constraints[1].target
    x, u = pde_solvers.klein_gordon(law, n=8, ends=ends, start=lambda x: x, times=times)
    known = x[:, None] * np.cos(5 * np.pi * times) + (x[:, None] * times) ** 3
    assert pde_solvers.relative_error(u, known) < 1e-10


def test_a_rectangle_with_values_on_its_edges():
    def harmonic(x, y):
        return np.exp(x) * np.cos(y)

    x, y, u = pde_solvers.linear_on_rectangle(
        lambda x, y: np.zeros_like(x), n=16, x=(0, 1), y=(-1, 2), boundary=harmonic
    )
    assert pde_solvers.relative_error(u, harmonic(x, y)) < 1e-11
