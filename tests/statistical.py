"""Checks of random numbers against what they should be, by their own standard errors."""

import numpy as np
from jaxtyping import Float


def assert_within_error(
    value: Float[np.ndarray, "*shape"] | float,
    standard_error: Float[np.ndarray, "*shape"] | float,
    truth: Float[np.ndarray, "*shape"] | float,
    *,
    max_z: float = 5.0,
    max_error: float,
) -> None:
    """A right method fails this about once in a million keys; `max_error` keeps a huge error bar from passing it."""
    value, standard_error, truth = (np.asarray(entry, dtype=float) for entry in (value, standard_error, truth))
    assert np.isfinite(value).all()
    assert (standard_error > 0).all()
    assert (standard_error <= max_error).all(), f"standard errors {standard_error} above {max_error}"
    z = (value - truth) / standard_error
    assert np.abs(z).max() <= max_z, f"values {value}, expected {truth}, {z} standard errors away"
