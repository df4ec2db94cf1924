"""What a task's rows do to a student, given three numbers of it: the half of the theory that knows no weights."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from uqkit.continual.teacher_student.gaussian import hazard, log_tail, nodes

__all__ = ["Energetic", "energetic"]

_Z, _WEIGHT = nodes(801)
_MOST_STEPS = 200


@dataclass(frozen=True, kw_only=True)
class Energetic:
    """Fields that a task's rows exert on every weight.

    Attributes:
        signal: Rh, along the teacher's sign.
        noise: Qh, variance of the random part.
        curvature: chih, by which a weight resists.
        feedback: Lambda, the pull of the posterior's own variance 1 - Q.
        loss: alpha E[l(u)], nats a weight.
        curvature_square: alpha E[(l'' / (1 + chi l''))^2], for the stability of replica symmetry.
    """

    signal: float
    noise: float
    curvature: float
    feedback: float
    loss: float
    curvature_square: float


def energetic(load: float, self_overlap: float, overlap: float, susceptibility: float) -> Energetic:
    """Fields of the loss l(u; V) = -ln H(-u / sqrt V), V = 1 - Q, at zero temperature.

    Each row meets the student's field v without it, normal of variance Q and tilted by its label, and moves it to u,
    which minimises (u - v)^2 / (2 chi) + l(u; V).

    Args:
        load: alpha.
        self_overlap: Q, mean square magnetisation.
        overlap: R, of magnetisations with the teacher.
        susceptibility: chi.

    Reference:
        Li, Huang, Zou & Huang (2023), Physical Review E 108, 014309, in the limit of zero temperature; proximal form as
        in Thrampoulidis, Abbasi & Hassibi (2018), IEEE Transactions on Information Theory 64, 5592.
    """
    spread = 1 - self_overlap
    root = np.sqrt(spread)
    left = np.sqrt(max(self_overlap - overlap**2, 1e-14))
    v = np.sqrt(self_overlap) * _Z
    u = _moved(v, susceptibility, root)
    a = -u / root
    slope = hazard(a)
    second = slope * (slope - a) / spread
    share = 2 * _WEIGHT * np.exp(log_tail(-overlap * _Z / left))
    tilt = 2 * _WEIGHT * np.exp(-0.5 * (overlap * _Z / left) ** 2) / np.sqrt(2 * np.pi)
    resisted = second / (1 + susceptibility * second)
    return Energetic(
        signal=load * np.sqrt(self_overlap) / left * float(tilt @ slope) / root,
        noise=load * float(share @ slope**2) / spread,
        curvature=load * float(share @ resisted),
        feedback=-load * float(share @ (slope * u)) / spread**1.5,
        loss=-load * float(share @ log_tail(a)),
        curvature_square=load * float(share @ resisted**2),
    )


def _moved(v: Float[np.ndarray, " node"], susceptibility: float, root: float) -> Float[np.ndarray, " node"]:
    """Root of u - v - chi hazard(-u / sqrt V) / sqrt V; concave and rising, so Newton's steps from v never pass it."""
    u = v.copy()
    for _ in range(_MOST_STEPS):
        slope = hazard(-u / root)
        gap = u - v - susceptibility * slope / root
        step = gap / (1 + susceptibility * slope * (slope + u / root) / root**2)
        u -= step
        if np.abs(step).max() < 1e-13 * (1 + np.abs(u).max()):
            break
    return u
