"""The Gaussian copula: joint densities of SciPy's normal, its own inverse, ranks, far tails, and what is refused."""

import inspect
from typing import Any

import numpy as np
import pytest
from scipy import stats

from uqkit import GaussianCopula, InputError, Inputs

# SciPy's stubs take the shape for a number.
multivariate_normal: Any = stats.multivariate_normal
MATRIX = np.array([[1.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 1.0]])
PAIRS = {("a", "b"): 0.6, ("c", "a"): -0.3, ("b", "c"): 0.2}
MEAN, DEVIATION = np.array([1.0, -2.0, 0.5]), np.array([0.5, 2.0, 1.0])
NORMAL_LAWS = {name: stats.norm(m, s) for name, m, s in zip("abc", MEAN, DEVIATION, strict=True)}
SKEWED_LAWS: dict[str, Any] = {"a": stats.lognorm(0.5), "b": stats.gumbel_r(2.0, 3.0), "c": stats.uniform(-1.0, 4.0)}
NORMALS, SKEWED = (Inputs(laws, copula=GaussianCopula(PAIRS)) for laws in (NORMAL_LAWS, SKEWED_LAWS))
UNIT = np.random.default_rng(0).random((200, 3))


def test_pairs_and_matrix_are_the_same():
    for copula in (GaussianCopula(PAIRS), GaussianCopula(MATRIX)):
        np.testing.assert_array_equal(copula.matrix("abc"), MATRIX)
    np.testing.assert_array_equal(NORMALS.correlation, MATRIX)
    assert NORMALS.dependent == ("a", "b", "c")
    assert Inputs(NORMAL_LAWS, copula=GaussianCopula({("a", "c"): 0.1})).dependent == ("a", "c")


def test_normal_marginals_make_a_multivariate_normal():
    joint = multivariate_normal(MEAN, MATRIX * np.outer(DEVIATION, DEVIATION))
    points = NORMALS.from_unit(UNIT)
    np.testing.assert_allclose(NORMALS.log_density(points), joint.logpdf(points), rtol=1e-9)


def test_other_marginals_change_the_density_by_their_own():
    points = SKEWED.from_unit(UNIT)
    scores = np.column_stack([stats.norm.ppf(law.cdf(points[:, i])) for i, law in enumerate(SKEWED_LAWS.values())])
    known = multivariate_normal(np.zeros(3), MATRIX).logpdf(scores) - stats.norm.logpdf(scores).sum(axis=1)
    known += sum(law.logpdf(points[:, i]) for i, law in enumerate(SKEWED_LAWS.values()))
    np.testing.assert_allclose(SKEWED.log_density(points), known, rtol=1e-8)
    independent = Inputs(SKEWED_LAWS).log_density(points)
    assert np.abs(independent - known).max() > 0.5


def test_outside_the_support_there_is_no_density():
    points = SKEWED.from_unit(UNIT[:2])
    points[0, 2] = 3.5
    log_density = SKEWED.log_density(points)
    assert log_density[0] == -np.inf
    assert np.isfinite(log_density[1])


@pytest.mark.parametrize("inputs", [NORMALS, SKEWED], ids=["normal", "skewed"])
def test_rosenblatt_s_transformation_and_its_inverse(inputs):
    points = inputs.from_unit(UNIT)
    np.testing.assert_allclose(inputs.to_unit(points), UNIT, rtol=1e-8, atol=1e-12)
    normal = stats.norm.ppf(UNIT)
    np.testing.assert_allclose(inputs.from_normal(normal), points, rtol=1e-9)
    np.testing.assert_allclose(inputs.to_normal(points), normal, atol=1e-8)


def test_conditional_laws_are_those_of_a_normal_vector():
    points = NORMALS.from_unit(UNIT)
    conditional = stats.norm(-2.0 + 2.0 * 0.6 * (points[:, 0] - 1.0) / 0.5, 2.0 * np.sqrt(1 - 0.36))
    np.testing.assert_allclose(NORMALS.to_unit(points)[:, 1], conditional.cdf(points[:, 1]), rtol=1e-9)


def test_draws_have_the_ranks_and_marginals_asked_for():
    n_draws = 20_000
    draws = SKEWED.sample(n_draws, key=0)
    spearman = np.corrcoef(stats.rankdata(draws, axis=0).T)
    known = 6 / np.pi * np.arcsin(MATRIX / 2)
    off = np.triu_indices(3, k=1)
    assert (np.abs(spearman - known)[off] < 5 / np.sqrt(n_draws)).all()
    # The correlation of the scores is a little larger, and here told apart.
    assert abs(spearman[0, 1] - 0.6) > 0.01
    for i, law in enumerate(SKEWED_LAWS.values()):
        assert stats.kstest(draws[:, i], law.cdf).pvalue > 1e-6


@pytest.mark.parametrize("side", [-1.0, 1.0])
@pytest.mark.parametrize("deviations", [8.0, 9.5, 20.0])
def test_tails_keep_their_digits_on_both_sides(side, deviations):
    normal = side * deviations * np.eye(3)
    scores = normal @ np.linalg.cholesky(MATRIX).T
    points = NORMALS.from_normal(normal)
    np.testing.assert_allclose(points, MEAN + DEVIATION * scores, rtol=1e-7)
    np.testing.assert_allclose(NORMALS.to_normal(points), normal, atol=1e-6 * deviations)
    joint = multivariate_normal(MEAN, MATRIX * np.outer(DEVIATION, DEVIATION))
    np.testing.assert_allclose(NORMALS.log_density(points), joint.logpdf(points), rtol=1e-6)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_skewed_marginals_come_back_from_eight_deviations(side):
    inputs = Inputs({"a": stats.lognorm(0.5), "b": stats.gumbel_r(2.0, 3.0)}, copula=GaussianCopula({("a", "b"): 0.6}))
    normal = np.array([[side * 8.0, 0.0], [0.0, side * 8.0]])
    np.testing.assert_allclose(inputs.to_normal(inputs.from_normal(normal)), normal, atol=1e-5)


@pytest.mark.parametrize(
    ("correlation", "message"),
    [
        ({("a", "z"): 0.5}, "a correlation names 'z', which is no input; inputs: a, b, c"),
        ({("a", "a"): 0.5}, "name two different inputs"),
        ({("a", "b", "c"): 0.5}, "name two different inputs"),
        ({"ab": 0.5}, "name two different inputs"),
        ({("a", "b"): 0.9, ("b", "c"): 0.9, ("a", "c"): -0.9}, "the correlations contradict each other"),
        ({("a", "b"): 1.0}, "drop an input that others determine"),
        ({("a", "b"): 1.2}, "the correlations contradict each other"),
        (np.eye(2), r"has shape \(2, 2\); 3 inputs need one of \(3, 3\), in the order a, b, c"),
        (np.eye(3) + np.diag([0.1, 0.0], k=1), "must be symmetric with ones on its diagonal"),
        (2 * np.eye(3), "must be symmetric with ones on its diagonal"),
    ],
)
def test_what_is_no_correlation_is_refused(correlation, message):
    copula = GaussianCopula.__new__(GaussianCopula)
    object.__setattr__(copula, "correlation", correlation)
    with pytest.raises(InputError, match=message):
        inspect.unwrap(GaussianCopula.matrix)(copula, ("a", "b", "c"))
