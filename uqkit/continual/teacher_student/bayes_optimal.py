"""Learning a binary perceptron from its examples as well as it can be done.

A teacher of N signs labels random rows, alpha N of them; the student draws a vector of signs that fits them all.
Replica symmetry is exact here. With q the overlap of two such draws, which is that of a draw with the teacher,

    Phi = -qh (1 + q) / 2 + int Dz ln 2 cosh(sqrt(qh) z + qh) + 2 alpha int Dz H(t z) ln H(t z),  t = sqrt(q / (1 - q))
    q = int Dz tanh(sqrt(qh) z + qh),   qh = 2 alpha / (1 - q) int Dz phi(t z)^2 / H(t z)

Reference:
    Gyorgyi (1990), First-order transition to perfect generalization in a neural network with binary synapses, Physical
    Review A 41, 7097; Sompolinsky, Tishby & Seung (1990), Physical Review Letters 65, 1683.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar, root_scalar

from uqkit.continual.teacher_student.gaussian import log_tail, nodes
from uqkit.errors import InputError

__all__ = ["BayesOptimal", "bayes_optimal", "spinodal_load", "transition_load"]

_Z, _WEIGHT = nodes(6_001)
# Overlaps between which the smooth branch is looked for.
_LEAST, _MOST = 1e-9, 0.97


@dataclass(frozen=True, kw_only=True)
class BayesOptimal:
    """The smooth branch, on which the teacher is not found exactly.

    Attributes:
        load: alpha, rows over weights.
        overlap: q, of a draw with the teacher.
        conjugate: qh.
        free_entropy: Logarithm of the number of fitting vectors over N, in nats; below zero the teacher alone is left.
        gibbs_error: Share of new rows that a draw gets wrong, arccos(q) / pi.
        bayes_error: Share that the posterior's vote gets wrong, arccos(sqrt q) / pi.
    """

    load: float
    overlap: float
    conjugate: float
    free_entropy: float
    gibbs_error: float
    bayes_error: float


def bayes_optimal(load: float) -> BayesOptimal:
    """The smooth branch at a load.

    Args:
        load: alpha, rows over weights, above zero.

    Raises:
        InputError: If the branch has ended: above the spinodal load the teacher is found, q = 1.
    """
    overlap, most = _spinodal()
    if not 0 < load < most:
        raise InputError(
            f"load={load}: pass a number above zero and below {most:.5f}, where the smooth branch ends and learning "
            "becomes perfect."
        )
    return _at(_root(lambda q: _at(q).load - load, _LEAST, overlap))


def transition_load() -> float:
    """Load from which the teacher alone fits, alpha_c = 1.2447: the free entropy is zero."""
    overlap, _ = _spinodal()
    return _at(_root(lambda q: _at(q).free_entropy, 0.3, overlap)).load


def spinodal_load() -> float:
    """Load at which the smooth branch ends, 1.4926."""
    return _spinodal()[1]


@functools.cache
def _spinodal() -> tuple[float, float]:
    """Overlap and load at the end of the branch."""
    found = minimize_scalar(lambda q: -_at(q).load, bounds=(0.5, _MOST), method="bounded", options={"xatol": 1e-10})
    return float(found.x), -float(found.fun)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(root_scalar(function, bracket=(low, high), xtol=1e-15, rtol=1e-14).root)


def _at(q: float) -> BayesOptimal:
    """Everything is explicit once the overlap is chosen, the load too."""

    def magnetisation(conjugate: float) -> float:
        return float(_WEIGHT @ np.tanh(np.sqrt(conjugate) * _Z + conjugate))

    conjugate = _root(lambda one: magnetisation(one) - q, 0.0, 100.0)
    place = np.sqrt(q / (1 - q)) * _Z
    log_h = log_tail(place)
    per_load = 2 / (1 - q) * float(_WEIGHT @ np.exp(-(place**2) - np.log(2 * np.pi) - log_h))
    load = conjugate / per_load
    field = np.sqrt(conjugate) * _Z + conjugate
    free_entropy = (
        -0.5 * conjugate * (1 + q)
        + float(_WEIGHT @ np.logaddexp(field, -field))
        + 2 * load * float(_WEIGHT @ (np.exp(log_h) * log_h))
    )
    return BayesOptimal(
        load=load,
        overlap=q,
        conjugate=conjugate,
        free_entropy=free_entropy,
        gibbs_error=float(np.arccos(q) / np.pi),
        bayes_error=float(np.arccos(np.sqrt(q)) / np.pi),
    )
