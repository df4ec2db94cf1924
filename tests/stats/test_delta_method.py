import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from uqkit.stats import influence_rows, linearised


def ratio_and_variance(means):
    """A ratio of means, and a variance from two of them."""
    x, y, y_squared = means[..., 0], means[..., 1], means[..., 2]
    return np.stack([x / y_squared, y_squared - y**2], axis=-1)


def test_influence_of_a_ratio_and_of_a_variance_is_the_textbook_one():
    generator = np.random.default_rng(1)
    x, y = generator.normal(1.0, 1.0, 500), generator.normal(0.5, 2.0, 500)
    columns = np.column_stack([x, y, y**2])
    influence = influence_rows(ratio_and_variance, columns)
    ratio = x.mean() / (y**2).mean()
    assert np.allclose(influence[:, 0], (x - ratio * y**2) / (y**2).mean(), rtol=1e-12, atol=1e-12)
    assert np.allclose(influence[:, 1], (y - y.mean()) ** 2 - y.var(), rtol=1e-10, atol=1e-10)
    assert np.allclose(influence.mean(axis=0), 0.0, atol=1e-12)


@given(st.floats(0.1, 10.0), st.floats(-3.0, 3.0))
def test_derivative_of_powers_is_exact_to_rounding(place, direction):
    slope = linearised(lambda m: m**0.5 + m**3, np.array([place]), np.array([[direction]]))
    assert np.allclose(slope, direction * (0.5 * place**-0.5 + 3 * place**2), rtol=1e-13)


def test_delta_method_error_of_a_variance_matches_its_known_one():
    # For normal data the variance estimator has variance 2 sigma^4 / n.
    columns = np.random.default_rng(2).standard_normal((100_000, 1))
    influence = influence_rows(lambda m: m[..., 1:] - m[..., :1] ** 2, np.hstack([columns, columns**2]))
    assert np.isclose(influence.var(), 2.0, rtol=5 * np.sqrt(15 / 100_000))
