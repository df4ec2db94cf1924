"""The factorised posterior precision against dense inverses, and where digits are few against rational numbers."""

from fractions import Fraction

import numpy as np
import pytest

from uqkit.inference.factor import DualFactor, PrimalFactor, solve_stack

SHAPES = [(30, 12), (12, 12), (8, 20), (1, 5)]


def system(n_rows, n_dims):
    generator = np.random.default_rng(0)
    return generator.normal(size=(n_rows, n_dims)), generator.normal(size=n_rows), generator.normal(size=n_dims)


def factor_of(jacobian):
    return solve_stack(jacobian, np.zeros(len(jacobian)), np.zeros(jacobian.shape[1]))[1]


@pytest.mark.parametrize("damping", [0.0, 0.3, 1e3])
@pytest.mark.parametrize("shape", SHAPES)
def test_step_is_the_least_squares_solution_of_the_stack(shape, damping):
    jacobian, residual, position = system(*shape)
    eye = np.eye(shape[1])
    stack = np.vstack([jacobian, eye, np.sqrt(damping) * eye])
    wanted = np.linalg.lstsq(stack, -np.concatenate([residual, position, np.zeros(shape[1])]))[0]
    step, _ = solve_stack(jacobian, residual, position, damping)
    np.testing.assert_allclose(step, wanted, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("damping", [0.0, 2.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_step_solves_the_normal_equations(shape, damping):
    jacobian, residual, position = system(*shape)
    matrix = (1.0 + damping) * np.eye(shape[1]) + jacobian.T @ jacobian
    step, _ = solve_stack(jacobian, residual, position, damping)
    np.testing.assert_allclose(step, -np.linalg.solve(matrix, jacobian.T @ residual + position), rtol=1e-10, atol=1e-13)


def test_fewer_rows_than_dimensions_are_factorised_by_rows():
    assert isinstance(factor_of(system(12, 12)[0]), PrimalFactor)
    assert isinstance(factor_of(system(11, 12)[0]), DualFactor)


@pytest.mark.parametrize("shape", SHAPES)
def test_factor_agrees_with_the_dense_inverse(shape):
    jacobian = system(*shape)[0]
    n_dims = shape[1]
    precision = np.eye(n_dims) + jacobian.T @ jacobian
    covariance = np.linalg.inv(precision)
    generator = np.random.default_rng(1)
    directions, others = generator.normal(size=(4, n_dims)), generator.normal(size=(3, n_dims))
    factor = factor_of(jacobian)

    assert factor.log_determinant == pytest.approx(np.linalg.slogdet(precision)[1], rel=1e-12)
    np.testing.assert_allclose(
        factor.variance(directions), np.einsum("ri,ij,rj->r", directions, covariance, directions), rtol=1e-10
    )
    np.testing.assert_allclose(factor.covariance(directions, others), directions @ covariance @ others.T, atol=1e-12)
    root = factor.matrix()
    np.testing.assert_allclose(root @ root.T, covariance, atol=1e-12)
    drawn = factor.scaled(np.eye(n_dims))
    np.testing.assert_allclose(drawn.T @ drawn, covariance, atol=1e-12)
    np.testing.assert_allclose(factor.scaled(directions), directions @ drawn, atol=1e-12)

    half = shape[0] // 2
    blocks = {"first": slice(0, half), "second": slice(half, shape[0])}
    each = np.diag(jacobian @ covariance @ jacobian.T)
    found = factor.effective_parameters(jacobian, blocks)
    assert found["first"] == pytest.approx(each[:half].sum(), rel=1e-10)
    assert found["second"] == pytest.approx(each[half:].sum(), rel=1e-10)
    assert sum(found.values()) == pytest.approx(n_dims - np.trace(covariance), rel=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_condition_number_is_that_of_the_root(shape):
    jacobian = system(*shape)[0]
    square = np.eye(min(shape)) + (jacobian.T @ jacobian if shape[0] >= shape[1] else jacobian @ jacobian.T)
    wanted = np.linalg.cond(np.linalg.cholesky(square).T, 1)
    found = factor_of(jacobian).condition_number
    assert wanted / 3 <= found <= 3 * wanted


def rational_posterior(jacobian, residual, position):
    """Step and variances of the posterior, in exact arithmetic, by Gauss-Jordan elimination of the normal equations."""
    rows = [[Fraction(float(entry)) for entry in row] for row in jacobian]
    right, start = [Fraction(float(r)) for r in residual], [Fraction(float(z)) for z in position]
    n = len(start)
    table = []
    for i in range(n):
        normal = [sum(row[i] * row[j] for row in rows) + (i == j) for j in range(n)]
        load = -sum(row[i] * r for row, r in zip(rows, right, strict=True)) - start[i]
        table.append([*normal, load, *(Fraction(int(i == j)) for j in range(n))])
    for i in range(n):
        table[i] = [entry / table[i][i] for entry in table[i]]
        for k in range(n):
            if k != i:
                table[k] = [a - table[k][i] * b for a, b in zip(table[k], table[i], strict=True)]
    return np.array([float(row[n]) for row in table]), np.array([float(table[i][n + 1 + i]) for i in range(n)])


def ill_conditioned(shape, size):
    """A slice of the Hilbert matrix: the singular values fall from `size` to far below 1."""
    n_rows, n_dims = shape
    rows, dims = np.arange(n_rows)[:, None], np.arange(n_dims)
    generator = np.random.default_rng(0)
    return size / (rows + dims + 1.0), generator.normal(size=n_rows), generator.normal(size=n_dims)


def by_normal_equations(jacobian, residual, position):
    """The broken twin: what forming J'J leaves of the same numbers."""
    precision = np.eye(len(position)) + jacobian.T @ jacobian
    return -np.linalg.solve(precision, jacobian.T @ residual + position), np.diag(np.linalg.inv(precision))


def lost(found, wanted):
    return np.abs(found - wanted).max() / np.abs(wanted).max()


@pytest.mark.parametrize("shape", [(15, 12), (11, 13)])
@pytest.mark.parametrize(("size", "tolerance"), [(1e6, 1e-9), (1e12, 1e-3)])
def test_large_condition_numbers_cost_their_own_digits_and_not_their_squares(shape, size, tolerance):
    jacobian, residual, position = ill_conditioned(shape, size)
    step, variance = rational_posterior(jacobian, residual, position)
    found, factor = solve_stack(jacobian, residual, position)
    assert factor.condition_number > 0.1 * size
    assert lost(found, step) < tolerance
    assert lost(factor.variance(np.eye(shape[1])), variance) < tolerance

    twin, twin_variance = by_normal_equations(jacobian, residual, position)
    assert lost(twin, step) > 10 * tolerance
    assert lost(twin_variance, variance) > 10 * tolerance


def smooth_system(shape, size):
    """Singular values that fall from `size` to rounding, like those of smooth features; with its left vectors."""
    generator = np.random.default_rng(0)
    n_rows, n_dims = shape
    left = np.linalg.qr(generator.normal(size=(n_rows, n_rows)))[0]
    right = np.linalg.qr(generator.normal(size=(n_dims, n_rows)))[0]
    values = size * 10.0 ** np.linspace(0.0, -25.0, n_rows)
    return (left * values) @ right.T, left, values


@pytest.mark.parametrize("size", [1e3, 1e6, 1e9])
@pytest.mark.parametrize("shape", [(20, 20), (20, 21), (20, 60)])
def test_predictions_at_the_data_are_as_sharp_as_the_data(shape, size):
    # J (I + J'J)^-1 J' is at most 1 in any direction. A covariance that leaks from directions known only by the prior
    # into those that the data determine makes it large.
    jacobian, left, values = smooth_system(shape, size)
    wanted = (left * (values**2 / (1.0 + values**2))) @ left.T
    factor = factor_of(jacobian)
    np.testing.assert_allclose(factor.variance(jacobian), np.diag(wanted), atol=1e-9 + 1e-12 * size)
    np.testing.assert_allclose(factor.covariance(jacobian, jacobian), wanted, atol=1e-9 + 1e-12 * size)
    draws = factor.scaled(np.eye(shape[1])) @ jacobian.T
    np.testing.assert_allclose(draws.T @ draws, wanted, atol=1e-9 + 1e-12 * size)
    root = jacobian @ factor.matrix()
    np.testing.assert_allclose(root @ root.T, wanted, atol=1e-9 + 1e-12 * size)


def test_the_check_above_can_fail():
    # The covariance by a difference, which loses what is left of a large prior variance.
    jacobian, left, values = smooth_system((20, 60), 1e9)
    wanted = (left * (values**2 / (1.0 + values**2))) @ left.T
    twin = jacobian @ np.linalg.inv(np.eye(60) + jacobian.T @ jacobian) @ jacobian.T
    assert np.abs(twin - wanted).max() > 1e-2
