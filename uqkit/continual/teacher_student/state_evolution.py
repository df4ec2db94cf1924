"""Mean-field theory of a perceptron with a posterior over signs that learns one task after another.

For N to infinity, rows over weights alpha, the variational objective of task t

    sum over rows of -ln E_q[the label fits] + gamma KL(q_t || q_{t-1})

has a minimum whose weights are independent: the field of one weight follows

    gamma (h - kappa h_prev) + A tanh h = Rh W + sqrt(Qh) xi,   xi ~ Normal(0, 1),

with Rh, Qh and A from `energetic` at R = E[W m], Q = E[m^2], chi = E[(1 - m^2) / (gamma + A (1 - m^2))]. Tasks are a
chain of such equations, so that any number of them is predicted. Replica symmetry is assumed, not proven.

The sum of -ln E_q is not the negative evidence bound, which is infinite for a hard perceptron; by Jensen it lies below.

Reference:
    Li, Huang, Zou & Huang (2023), Physical Review E 108, 014309, for one and two tasks at finite temperature; the limit
    of zero temperature and more than two tasks are uqkit's.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import erf, ndtri
from scipy.stats import qmc

from uqkit.continual.teacher_student.energetic import Energetic, energetic
from uqkit.continual.teacher_student.gaussian import nodes
from uqkit.errors import InputError, UqkitError

__all__ = ["NotConvergedError", "StateEvolution", "state_evolution"]

# Part of each step that is taken.
_DAMPING, _TOLERANCE, _MOST_STEPS = 0.6, 1e-9, 2_000
# Q above which a student is frozen; with R above, too, it has found the teacher.
_FROZEN = 0.99
# Sites beyond two tasks, by a digital net.
_LOG_SITES = 15


class NotConvergedError(UqkitError, RuntimeError):
    """Equations of a mean-field theory have no solution that iteration finds, or one that theory does not vouch for."""


@dataclass(frozen=True, kw_only=True)
class StateEvolution:
    """Order parameters after each task, and what they predict.

    Attributes:
        overlap: R, E[W_s m_t], (task_trained, task_evaluated).
        sign_overlap: E[W_s sign m_t], of the one-bit network.
        self_overlap: Q, E[m_t^2], (task_trained,).
        susceptibility: chi.
        free_energy: alpha E[l] + gamma E[KL], nats a weight.
        stability: Below 1 replica symmetry is stable.
        perfect: Whether the task's teacher was found, which only a first task can.
    """

    overlap: Float[np.ndarray, "task_trained task_evaluated"]
    sign_overlap: Float[np.ndarray, "task_trained task_evaluated"]
    self_overlap: Float[np.ndarray, " task_trained"]
    susceptibility: Float[np.ndarray, " task_trained"]
    free_energy: Float[np.ndarray, " task_trained"]
    stability: Float[np.ndarray, " task_trained"]
    perfect: bool

    @property
    def accuracy(self) -> Float[np.ndarray, "task_trained task_evaluated"]:
        """Of the posterior mean on new rows: 1 - arccos(R / sqrt Q) / pi."""
        return 1 - np.arccos(np.clip(self.overlap / np.sqrt(self.self_overlap)[:, None], -1, 1)) / np.pi

    @property
    def sign_accuracy(self) -> Float[np.ndarray, "task_trained task_evaluated"]:
        """Of the one-bit network on new rows."""
        return 1 - np.arccos(np.clip(self.sign_overlap, -1, 1)) / np.pi


@dataclass(frozen=True)
class _Sites:
    """Weights of the infinite network: teachers' signs, noises, and the mass of each."""

    teacher: Float[np.ndarray, "task site"]
    noise: Float[np.ndarray, "task site"]
    mass: Float[np.ndarray, " site"]


def state_evolution(
    loads: tuple[float, ...],
    *,
    strength: float | tuple[float, ...] = 1.0,
    memory: float = 1.0,
    similarity: float = 0.0,
) -> StateEvolution:
    """Predict order parameters and accuracies after each task.

    Args:
        loads: alpha of each task.
        strength: gamma of the divergence, for all tasks or for each.
        memory: kappa, factor on the last posterior's fields in the prior.
        similarity: Overlap of every later teacher with the first, which agrees in (1 + similarity) / 2 of its signs.

    Raises:
        InputError: If an argument is out of range.
        NotConvergedError: If the equations of a task do not converge, or their solution is frozen (Q above 0.99 with R
            below) or unstable: the message names the task.
    """
    strengths = strength if isinstance(strength, tuple) else (strength,) * len(loads)
    if not loads or not all(0 < load < np.inf for load in loads):
        raise InputError(f"loads={loads}: pass a load above zero for each task.")
    if len(strengths) != len(loads) or not all(0 < one < np.inf for one in strengths):
        raise InputError(f"strength={strength}: pass one number above zero, or one for each of {len(loads)} tasks.")
    if not 0 <= memory <= 1 or not -1 <= similarity <= 1:
        raise InputError(f"memory={memory}, similarity={similarity}: pass a memory of 0 to 1, a similarity of -1 to 1.")
    n = len(loads)
    sites = _sites(n, similarity)
    prior = np.zeros(sites.mass.shape)
    overlap, sign_overlap = np.zeros((n, n)), np.zeros((n, n))
    rows: list[tuple[float, float, float, float]] = []
    for task, (load, gamma) in enumerate(zip(loads, strengths, strict=True)):
        solved = _Task(sites, task, load, gamma, memory * prior).solved()
        if solved is None:
            if task or n > 1:
                raise NotConvergedError(
                    f"task {task} at load {load} and strength {gamma} is learned perfectly, so that its posterior is "
                    "no smooth prior for another: take a smaller load."
                )
            return _perfect(gamma)
        prior, row = solved
        m = np.tanh(prior)
        overlap[task] = sites.teacher @ (sites.mass * m)
        sign_overlap[task] = sites.teacher @ (sites.mass * np.sign(m))
        rows.append(row)
        if n == 1:
            # On a grid the mean of a sign jumps by whole nodes.
            sign_overlap[0, 0] = _sign_overlap(load, row, overlap[0, 0])
    self_overlap, susceptibility, free_energy, stability = np.array(rows).T
    return StateEvolution(
        overlap=overlap,
        sign_overlap=sign_overlap,
        self_overlap=self_overlap,
        susceptibility=susceptibility,
        free_energy=free_energy,
        stability=stability,
        perfect=False,
    )


def _sign_overlap(load: float, row: tuple[float, float, float, float], overlap: float) -> float:
    found = energetic(load, row[0], overlap, row[1])
    return float(erf(found.signal / np.sqrt(2 * found.noise)))


def _perfect(strength: float) -> StateEvolution:
    one = np.ones((1, 1))
    return StateEvolution(
        overlap=one,
        sign_overlap=one,
        self_overlap=np.ones(1),
        susceptibility=np.zeros(1),
        free_energy=np.array([strength * np.log(2)]),
        stability=np.zeros(1),
        perfect=True,
    )


@dataclass(frozen=True)
class _Task:
    """The equations of one task."""

    sites: _Sites
    number: int
    load: float
    strength: float
    prior: Float[np.ndarray, " site"]

    def solved(self) -> tuple[Float[np.ndarray, " site"], tuple[float, float, float, float]] | None:
        """Fields of all sites, and (Q, chi, free energy, stability); None where the teacher was found."""
        teacher, noise, mass = self.sites.teacher[self.number], self.sites.noise[self.number], self.sites.mass
        m = np.tanh(self.prior)
        state = np.array([max(float(mass @ m**2), 0.05), max(float(mass @ (teacher * m)), 0.05), 0.5 / self.strength])
        field = self.prior.copy()
        for _ in range(_MOST_STEPS):
            given = energetic(self.load, *map(float, state))
            total = given.curvature + given.feedback
            if total <= -self.strength or not np.isfinite(total):
                break
            force = given.signal * teacher + np.sqrt(given.noise) * noise
            field = _fields(self.strength, total, force + self.strength * self.prior, field)
            m = np.tanh(field)
            free = 1 - m**2
            new = np.array(
                [
                    min(float(mass @ m**2), 1 - 1e-9),
                    float(mass @ (teacher * m)),
                    float(mass @ (free / (self.strength + total * free))),
                ]
            )
            if new[0] > _FROZEN and new[1] > _FROZEN:
                return None
            step = new - state
            state = state + _DAMPING * step
            state[1] = np.sign(state[1]) * min(abs(state[1]), np.sqrt(state[0]) * (1 - 1e-9))
            if np.abs(step).max() < _TOLERANCE:
                return field, self._checked(given, state, field)
        raise NotConvergedError(
            f"the equations of task {self.number} at load {self.load} and strength {self.strength} do not converge (Q "
            f"{state[0]:.4f}, R {state[1]:.4f} at the last step): the smooth branch may have ended, or many solutions "
            "may cost the same; take a larger strength or a smaller load. Theory and simulation were compared for "
            "strengths of 0.7 and above."
        )

    def _checked(
        self, given: Energetic, state: Float[np.ndarray, " three"], field: Float[np.ndarray, " site"]
    ) -> tuple[float, float, float, float]:
        mass, m = self.sites.mass, np.tanh(field)
        free = 1 - m**2
        total = given.curvature + given.feedback
        stability = given.curvature_square * float(mass @ ((free / (self.strength + total * free)) ** 2))
        if state[0] > _FROZEN or stability > 1:
            raise NotConvergedError(
                f"the solution of task {self.number} at load {self.load} and strength {self.strength} is not to be "
                f"relied on: {'frozen' if state[0] > _FROZEN else 'replica symmetry is unstable'} (Q {state[0]:.4f}, R "
                f"{state[1]:.4f}, stability number {stability:.3f}, which must be below 1); take a larger strength."
            )
        divergence = m * (field - self.prior) - _log_cosh(field) + _log_cosh(self.prior)
        free_energy = given.loss + self.strength * float(mass @ divergence)
        return float(state[0]), float(state[2]), free_energy, stability


def _fields(
    strength: float, total: float, force: Float[np.ndarray, " site"], guess: Float[np.ndarray, " site"]
) -> Float[np.ndarray, " site"]:
    """Root of strength h + total tanh h = force, which rises in h; Newton's steps kept in a bracket."""
    low, high = (force - abs(total)) / strength, (force + abs(total)) / strength
    h = np.clip(guess, low, high)
    for _ in range(100):
        m = np.tanh(h)
        gap = strength * h + total * m - force
        low, high = np.where(gap < 0, h, low), np.where(gap > 0, h, high)
        new = h - gap / (strength + total * (1 - m**2))
        new = np.where((new < low) | (new > high), 0.5 * (low + high), new)
        if np.abs(new - h).max() < 1e-12 * (1 + np.abs(h).max()):
            return new
        h = new
    return h


def _log_cosh(h: Float[np.ndarray, " site"]) -> Float[np.ndarray, " site"]:
    return np.logaddexp(h, -h) - np.log(2)


def _sites(n_tasks: int, similarity: float) -> _Sites:
    """One task on a grid, two on a product of grids, more by a digital net; the first teacher's sign is +1."""
    if n_tasks == 1:
        z, weight = nodes(241)
        return _Sites(np.ones((1, len(z))), z[None], weight)
    if n_tasks == 2:
        z, weight = nodes(91, 8.0)
        noise = np.stack([each.ravel() for each in np.meshgrid(z, z, indexing="ij")])
        mass = np.outer(weight, weight).ravel()
        agree = 0.5 * (1 + similarity)
        teacher = np.ones((2, 2 * len(mass)))
        teacher[1, len(mass) :] = -1
        return _Sites(teacher, np.tile(noise, 2), np.concatenate([agree * mass, (1 - agree) * mass]))
    cube = qmc.Sobol(2 * n_tasks - 1, rng=0).random_base2(_LOG_SITES).T
    noise = ndtri(np.clip(cube[:n_tasks], 1e-12, 1 - 1e-12))
    later = np.where(cube[n_tasks:] < 0.5 * (1 + similarity), 1.0, -1.0)
    n_sites = cube.shape[1]
    return _Sites(np.concatenate([np.ones((1, n_sites)), later]), noise, np.full(n_sites, 1 / n_sites))
