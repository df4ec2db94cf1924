"""How a second task's signs depend on a draw from the first task's posterior: the Franz-Parisi potential.

w1 is a draw from the posterior of task 1 (all fitting vectors alike), w2 fits task 2 and is weighted by exp(ph w1.w2).
With the single-task solution (q1, qh1), theta = sqrt(qh2) xi + Rh2 W2 + ph w1 and P(w1 = W1) = (1 + q1) / 2,

    q2 = <tanh^2 theta>,  R2 = <W2 tanh theta>,  p = <w1 tanh theta>,  T1 = <W1 tanh theta>
    qh2 = alpha2 E[g^2],  Rh2 = alpha2 sqrt(q2 / (q2 - R2^2)) int Dz 2 phi(R2 z / sqrt(q2 - R2^2)) g,
    g = phi(a) / H(a) / sqrt(1 - q2),  a = -sqrt(q2 / (1 - q2)) z.

Reference:
    Franz & Parisi (1995), Recipes for metastable states in spin glasses, Journal de Physique I 5, 1401; Huang &
    Kabashima (2014), Origin of the computational hardness for learning with binary synapses, Physical Review E 90,
    052813; for tasks in sequence Li, Huang, Zou & Huang (2023), Physical Review E 108, 014309.
"""

from dataclasses import dataclass

import numpy as np

from uqkit.continual.teacher_student.bayes_optimal import bayes_optimal
from uqkit.continual.teacher_student.gaussian import hazard, log_tail, nodes
from uqkit.continual.teacher_student.state_evolution import NotConvergedError
from uqkit.errors import InputError

__all__ = ["FranzParisi", "franz_parisi"]

_Z, _WEIGHT = nodes(2_001)
_TOLERANCE, _MOST_STEPS = 1e-13, 5_000


@dataclass(frozen=True, kw_only=True)
class FranzParisi:
    """The potential at one strength of the coupling, which is its slope.

    Attributes:
        coupling: ph.
        distance_overlap: p, of w2 with the draw w1.
        overlap: R2, of w2 with the second teacher.
        self_overlap: q2, of two draws of w2 for the same w1.
        first_overlap: T1, of w2 with the first teacher.
        potential: V(p) = -phi(p), nats a weight; without coupling minus the entropy of task 2.
    """

    coupling: float
    distance_overlap: float
    overlap: float
    self_overlap: float
    first_overlap: float
    potential: float


def franz_parisi(first_load: float, second_load: float, *, coupling: float, similarity: float = 0.0) -> FranzParisi:
    """Solve for the second task at a coupling to the first; p is read off, since it is a function of the coupling.

    Args:
        first_load: alpha1.
        second_load: alpha2.
        coupling: ph, any real number.
        similarity: Overlap of the two teachers.

    Raises:
        InputError: If a load or the similarity is out of range.
        NotConvergedError: If the iteration finds no solution.
    """
    if not -1 <= similarity <= 1 or not 0 < second_load < np.inf or not np.isfinite(coupling):
        raise InputError(
            f"second_load={second_load}, coupling={coupling}, similarity={similarity}: pass a load above zero, a "
            "finite coupling and a similarity of -1 to 1."
        )
    first = bayes_optimal(first_load).overlap
    # The first teacher's sign is +1: (w1, W2) and the mass of each pair.
    pairs = [(w1, w2, 0.25 * (1 + w1 * first) * (1 + w2 * similarity)) for w1 in (1.0, -1.0) for w2 in (1.0, -1.0)]

    def means(noise: float, signal: float) -> np.ndarray:
        found = np.zeros(4)
        for w1, w2, mass in pairs:
            t = np.tanh(np.sqrt(noise) * _Z + signal * w2 + coupling * w1)
            mean = _WEIGHT @ t
            found += mass * np.array([_WEIGHT @ t**2, w2 * mean, w1 * mean, mean])
        return found

    state = means(0.1, 0.1)[:2]
    for _ in range(_MOST_STEPS):
        noise, signal = _conjugates(second_load, *map(float, state))
        all_means = means(noise, signal)
        step = all_means[:2] - state
        state = state + 0.7 * step
        state[1] = np.sign(state[1]) * min(abs(state[1]), np.sqrt(state[0]) * (1 - 1e-12))
        if np.abs(step).max() < _TOLERANCE:
            break
    else:
        raise NotConvergedError(
            f"no solution at loads {first_load}, {second_load} and coupling {coupling} (q2 {state[0]:.4f}, R2 "
            f"{state[1]:.4f} at the last step): take a smaller load or coupling."
        )
    q2, r2, p, t1 = map(float, all_means)
    left = np.sqrt(q2 - r2**2)
    energy = (
        2 * second_load * float(_WEIGHT @ (np.exp(log_tail(-r2 * _Z / left)) * log_tail(-np.sqrt(q2 / (1 - q2)) * _Z)))
    )
    entropy = sum(
        mass * float(_WEIGHT @ np.logaddexp(theta, -theta))
        for w1, w2, mass in pairs
        for theta in (np.sqrt(noise) * _Z + signal * w2 + coupling * w1,)
    )
    potential = -float(0.5 * noise * (q2 - 1) - signal * r2 - coupling * p + entropy + energy)
    return FranzParisi(
        coupling=coupling, distance_overlap=p, overlap=r2, self_overlap=q2, first_overlap=t1, potential=potential
    )


def _conjugates(load: float, q: float, r: float) -> tuple[float, float]:
    left = np.sqrt(max(q - r**2, 1e-14))
    g = hazard(-np.sqrt(q / (1 - q)) * _Z) / np.sqrt(1 - q)
    noise = load * float((2 * _WEIGHT * np.exp(log_tail(-r * _Z / left))) @ g**2)
    tilt = 2 * _WEIGHT * np.exp(-0.5 * (r * _Z / left) ** 2) / np.sqrt(2 * np.pi)
    return noise, load * np.sqrt(q) / left * float(tilt @ g)
