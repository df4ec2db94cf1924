"""Integrals over one normal variable by the trapezoid rule, which converges spectrally for smooth integrands."""

import numpy as np
from jaxtyping import Float
from scipy.special import log_ndtr

__all__ = ["Nodes", "hazard", "log_tail", "nodes"]

type Nodes = tuple[Float[np.ndarray, " node"], Float[np.ndarray, " node"]]


def nodes(n: int, limit: float = 9.0) -> Nodes:
    """Places in units of the standard deviation, and weights that add up to one."""
    z = np.linspace(-limit, limit, n)
    weight = np.exp(-0.5 * z**2)
    return z, weight / weight.sum()


def log_tail(a: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Logarithm of H(a), the probability that a standard normal variable exceeds a."""
    return log_ndtr(-a)


def hazard(a: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """phi(a) / H(a), without overflow."""
    return np.exp(-0.5 * a**2 - 0.5 * np.log(2 * np.pi) - log_tail(a))
