"""The lid-driven cavity: its corner flows in closed form, its reference against other solvers and published values."""

import dataclasses

import jax
import numpy as np
import pytest
from numpy.polynomial import chebyshev

from models.pdes import lid_driven_cavity, lid_driven_cavity_velocity_pressure
from tests.benchmarks.cavity_reference import (
    DATA,
    GHIA_U,
    GHIA_V,
    PUBLISHED_CENTRE,
    PUBLISHED_LEAST_PSI,
    SpectralCavity,
    corner_part,
    richardson,
    spectral,
    velocity_errors,
)
from uqkit.errors import InputError
from uqkit.pinn.field import Field
from uqkit.pinn.stack import function_derivatives
from uqkit.problems import BoundaryValueProblem, FieldReference, Region

PROBLEM = lid_driven_cavity.problem
corner_flows = PROBLEM.known_part["psi"]
INSIDE = np.random.default_rng(0).uniform(0.02, 0.98, size=(200, 2))


def stored() -> SpectralCavity:
    return SpectralCavity(np.loadtxt(DATA, delimiter=","), 100.0)


def reference(x, y):
    u, v = (PROBLEM.references[name] for name in ("u", "v"))
    assert isinstance(u, FieldReference)
    assert isinstance(v, FieldReference)
    return u.function(x, y), v.function(x, y)


def field_of(problem: BoundaryValueProblem, points: np.ndarray, coefficients: np.ndarray | None = None) -> Field:
    """The known part, and a Chebyshev series if there is one, as an operator sees them."""

    def derivative(orders: tuple[int, ...]) -> jax.Array:
        with jax.enable_x64(True):
            known = function_derivatives(problem.known_part, problem.domain.names, points, [("psi", orders)])
        value = known["psi", orders]
        if coefficients is None:
            return value
        rest = chebyshev.chebder(chebyshev.chebder(coefficients, orders[0], axis=0), orders[1], axis=1)
        x, y = 2 * points.T - 1
        return value + 2.0 ** sum(orders) * chebyshev.chebval2d(x, y, rest)

    return Field("psi", ("x", "y"), derivative)


def misfit(problem: BoundaryValueProblem, coefficients: np.ndarray) -> dict[str, float]:
    """Root mean square of every constraint, over its noise shape, at random points 0.1 off the edges of its region."""
    points = np.random.default_rng(0).uniform(0.1, 0.9, size=(400, 2))
    found = {}
    for constraint in problem.constraints:
        region = constraint.points
        assert isinstance(region, Region)
        places = [points.copy() for _ in region.parts]
        for place, fixed in zip(places, region.parts, strict=True):
            for name, value in fixed.items():
                place[:, problem.domain.names.index(name)] = value
        at = np.concatenate(places)
        with jax.enable_x64(True):
            value = np.asarray(constraint.operator(psi=field_of(problem, at, coefficients)))
        difference = (value - problem.target_at(constraint, at)) / problem.shape_at(constraint, at)
        found[constraint.name] = float(np.sqrt(np.mean(difference**2)))
    return found


def test_corner_flows_are_biharmonic_and_have_the_derivatives_of_the_closed_form():
    psi, psi_x, psi_y, laplacian_x, laplacian_y = corner_part(*INSIDE.T)
    field = field_of(PROBLEM, INSIDE)
    with jax.enable_x64(True):
        third = (field.d("x", 3) + field.d("x", 1, "y", 2), field.d("x", 2, "y", 1) + field.d("y", 3))
        largest = sum(abs(np.asarray(field.d(name, 4))) for name in ("x", "y"))
        biharmonic = np.asarray(field.biharmonic())
    np.testing.assert_allclose(field.value, psi, rtol=0, atol=1e-14)
    np.testing.assert_allclose(field.d("x"), psi_x, rtol=0, atol=1e-13)
    np.testing.assert_allclose(field.d("y"), psi_y, rtol=0, atol=1e-13)
    np.testing.assert_allclose(third[0], laplacian_x, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(third[1], laplacian_y, rtol=1e-10, atol=1e-10)
    assert np.abs(biharmonic / largest).max() < 1e-11


def jump(problem: BoundaryValueProblem, corner: float, distance: float) -> tuple[float, ...]:
    """Change of psi, psi_x and psi_y from the side wall to the lid, to which the other corner's flow adds nothing."""
    field = field_of(problem, np.array([[corner, 1 - distance], [abs(corner - distance), 1.0]]))
    return tuple(float(value[1] - value[0]) for value in (field.value, field.d("x"), field.d("y")))


@pytest.mark.parametrize("corner", [0.0, 1.0])
def test_speed_jumps_from_rest_to_the_lids_at_a_corner(corner):
    for distance in (1e-3, 1e-6):
        assert jump(PROBLEM, corner, distance) == pytest.approx((0.0, 0.0, 1.0), abs=3 * distance)


def test_a_corner_flow_of_another_strength_would_not_do():
    weaker = dataclasses.replace(PROBLEM, known_part={"psi": lambda x, y: 0.99 * corner_flows(x, y)})
    assert jump(weaker, 0.0, 1e-3) != pytest.approx((0.0, 0.0, 1.0), abs=3e-3)


def test_reference_is_the_stored_series_everywhere_corners_included():
    points = np.array([[0.0, 1.0], [1.0, 1.0], [0.3, 1.0], [0.0, 0.4], [0.5, 0.0], [1e-9, 1.0], *INSIDE])
    _, u, v = stored()(*points.T)
    found = reference(*points.T)
    np.testing.assert_allclose(found[0], u, atol=1e-12)
    np.testing.assert_allclose(found[1], v, atol=1e-12)
    np.testing.assert_array_equal((found[0][:2], found[1][:2]), ((1, 1), (0, 0)))


def test_stored_series_is_what_the_solver_gives():
    errors = velocity_errors(lambda x, y: spectral(degree=24)(x, y)[1:], reference)
    assert errors["vector"] < 2e-3
    assert errors["centrelines"] < 5e-4


def test_reference_has_the_published_values():
    u, v = reference(0.5, 0.5)
    assert (float(u), float(v)) == pytest.approx(PUBLISHED_CENTRE, abs=5e-6)
    line = np.linspace(0, 1, 201)
    assert stored()(line[:, None], line[None, :])[0].min() == pytest.approx(PUBLISHED_LEAST_PSI, abs=2e-5)
    half = np.full(len(GHIA_U), 0.5)
    assert np.abs(reference(half, GHIA_U[:, 0])[0] - GHIA_U[:, 1]).max() < 0.01
    assert np.abs(reference(GHIA_V[:, 0], half)[1] - GHIA_V[:, 1]).max() < 0.01


def test_reference_agrees_with_finite_differences():
    nodes, _, u, v = richardson(coarse=48, fine=64)
    inside = slice(1, -1)
    x, y = np.meshgrid(nodes[inside], nodes[inside], indexing="ij")
    exact = reference(x, y)
    error = np.hypot(u[inside, inside] - exact[0], v[inside, inside] - exact[1])
    assert np.linalg.norm(error) < 4e-3 * np.linalg.norm(exact)


@pytest.fixture(scope="module")
def left():
    return misfit(PROBLEM, stored().coefficients)


def test_reference_satisfies_its_constraints(left):
    # Terms of the equation are of order 5 here, and the Galerkin method makes it zero on average only.
    assert left["pde"] < 0.1
    assert max(value for name, value in left.items() if name != "pde") < 1e-10


def test_another_reynolds_number_does_not(left):
    assert misfit(lid_driven_cavity.make(reynolds=120.0), stored().coefficients)["pde"] > 3 * left["pde"]


def test_only_the_reynolds_number_of_the_reference_has_one():
    assert set(PROBLEM.references) == {"u", "v"}
    assert not lid_driven_cavity.make(reynolds=400.0).references
    with pytest.raises(InputError, match="reynolds=0"):
        lid_driven_cavity.make(reynolds=0)


def test_the_form_with_pressure_has_the_same_flow_at_its_walls_and_reference():
    problem = lid_driven_cavity_velocity_pressure.problem
    assert set(problem.references) == {"u", "v"}
    known = [problem.references[name] for name in ("u", "v")]
    assert all(isinstance(entry, FieldReference) for entry in known)
    velocity = [entry.function(*INSIDE.T) for entry in known if isinstance(entry, FieldReference)]
    np.testing.assert_array_equal(velocity, reference(*INSIDE.T))
    walls = {constraint.name: constraint for constraint in problem.constraints if constraint.name.startswith("walls")}
    edge = np.linspace(0.01, 0.99, 50)
    for points in (
        np.stack([edge, np.ones(50)], axis=1),
        np.stack([edge, np.zeros(50)], axis=1),
        np.stack([np.zeros(50), edge], axis=1),
        np.stack([np.ones(50), edge], axis=1),
    ):
        for name, exact in zip(("walls_u", "walls_v"), reference(*points.T), strict=True):
            np.testing.assert_allclose(problem.target_at(walls[name], points), exact, rtol=0, atol=1e-12)


def test_the_form_with_pressure_has_a_reference_at_its_reynolds_number_only():
    assert not lid_driven_cavity_velocity_pressure.make(reynolds=400.0).references
    with pytest.raises(InputError, match="reynolds=0"):
        lid_driven_cavity_velocity_pressure.make(reynolds=0)
