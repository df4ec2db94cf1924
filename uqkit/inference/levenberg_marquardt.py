"""The mode of a posterior given by residuals, for models far from linear: damped from the first step to the last."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import linalg

from uqkit.errors import InputError, RunInterrupted
from uqkit.inference.factor import solve_stack
from uqkit.inference.gauss_newton import Mode
from uqkit.inference.residual import Perturbed, Scales, WhitenedResidual, not_finite
from uqkit.running.checkpoint import Checkpoint
from uqkit.running.chunks import progress_bar

__all__ = ["LevenbergMarquardt"]

_SHRINK = 1 / 3
_GROW = 4.0
_MOST_TRIES = 8
# Relative to the first: below it the damping is rounding.
_LEAST_DAMPING = 1e-14
# So many iterations in a row that gain next to nothing are the end.
_PATIENCE = 3

type Position = Float[np.ndarray, " dim"]


@dataclass(frozen=True, kw_only=True)
class LevenbergMarquardt:
    """Levenberg-Marquardt iterations in double precision: for networks, whose Gauss-Newton steps are far too long.

    The damping falls to a third after a step that lowers the objective and grows fourfold after one that does not. The
    normal equations are solved on the smaller side, of weights or of residuals; damping keeps them well conditioned.
    The covariance at the end is from an orthogonal factor of the undamped problem.

    Attributes:
        max_iterations: Most iterations, each with one Jacobian; with 0 the start is taken for the mode.
        damping: First damping, relative to the mean curvature.
        redraw_every: Iterations between new collocation points, where they are drawn at random.
        tolerance: An iteration that lowers the objective by less than this, relative to 1 + objective, gains nothing;
            three such in a row on the same points are the end.

    Raises:
        InputError: If a setting is out of range.

    Reference:
        Levenberg (1944); Marquardt (1963); Nocedal & Wright (2006), Numerical Optimization, section 10.3.
    """

    max_iterations: int = 200
    damping: float = 1.0
    redraw_every: int = 10
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.max_iterations < 0 or self.redraw_every < 1 or not self.damping > 0 or not self.tolerance > 0:
            raise InputError(f"{self}: pass max_iterations >= 0, redraw_every >= 1, and damping and tolerance above 0.")

    def refined(self, tolerance: float) -> "LevenbergMarquardt":
        """The same for a start that is near the mode."""
        return replace(self, tolerance=max(self.tolerance, tolerance), damping=min(self.damping, 1e-6))

    def mode(
        self,
        problem: WhitenedResidual,
        scales: Scales,
        start: Position,
        *,
        nonlinear: Any = (),
        offset: Float[np.ndarray, " row"] | None = None,
        centre: Position | None = None,
        redrawn: Callable[[Position, int], WhitenedResidual] | None = None,
        store: str | Path | None = None,
        identity: str = "",
        label: str = "iterations",
        progress: bool | None = False,
    ) -> Mode:
        """Mode from a start.

        Args:
            problem: The residuals.
            scales: Noise and prior scales.
            start: First position.
            nonlinear: Not used: every block may be.
            offset: Subtracted from the residuals, at unit scales: perturbed data.
            centre: Mean of the prior; 0 by default.
            redrawn: Position, number of iterations so far -> the residuals at other points.
            store: File (.npz) that keeps the iterations, written every `redraw_every`; the same call with it goes on
                from there, and may ask for more iterations.
            identity: What the run is (`fingerprint`).
            label: What the progress bar counts.
            progress: Whether to show progress; None shows it only on a terminal.

        Raises:
            InputError: If the residuals are not finite at the start.
            RunInterrupted: On Ctrl-C.
        """
        position = np.asarray(start, dtype=float)
        offset = np.zeros(1) if offset is None else offset
        centre = np.zeros_like(position) if centre is None else centre
        state = _State(position, np.nan, self.damping, [], 0)
        checkpoint = None if store is None else Checkpoint(Path(store), identity)
        found = None if checkpoint is None else checkpoint.read(self.max_iterations)
        if found is not None:
            state = _State.read(found.arrays)
        n_idle, converged = 0, False
        try:
            with progress_bar(self.max_iterations, label, progress) as bar:
                bar.update(len(state.history))
                while len(state.history) < self.max_iterations and not converged:
                    n_done = len(state.history)
                    if redrawn is not None and n_done % self.redraw_every == 0:
                        problem, n_idle = redrawn(state.position, n_done), 0
                    state, gain = self._iterated(Perturbed(problem, offset, centre), scales, state)
                    n_idle = n_idle + 1 if gain < self.tolerance else 0
                    converged = n_idle >= _PATIENCE and redrawn is None
                    if checkpoint is not None and (n_done + 1) % self.redraw_every == 0:
                        checkpoint.write(n_done + 1, state.arrays(), [])
                    bar.update(1)
        except KeyboardInterrupt as stopped:
            kept = "pass `store=` to be able to go on" if store is None else f"call again to go on from {str(store)!r}"
            raise RunInterrupted(
                f"stopped after {len(state.history)} of {self.max_iterations} iterations; {kept}."
            ) from stopped
        perturbed = Perturbed(problem, offset, centre)
        noise, prior = scales.rows(problem.row_blocks), scales.dims(problem.dim_blocks)
        residual, jacobian = perturbed.linearised(state.position)
        z = (state.position - centre) / prior
        _, factor = solve_stack(jacobian * prior / noise[:, None], residual / noise, z)
        objective = 0.5 * float(((residual / noise) ** 2).sum() + (z**2).sum())
        return Mode(
            state.position,
            scales,
            residual + offset,
            jacobian,
            factor,
            np.array([*state.history, objective]),
            converged,
            state.n_evaluations + 1,
        )

    def _iterated(self, problem: Perturbed, scales: Scales, state: "_State") -> tuple["_State", float]:
        """One step that lowers the objective, and by what share it did; none where no damping helped."""
        noise, prior = scales.rows(problem.problem.row_blocks), scales.dims(problem.problem.dim_blocks)
        residual, jacobian = problem.linearised(state.position)
        if not (np.isfinite(residual).all() and np.isfinite(jacobian).all()):
            raise InputError(not_finite(problem.problem, residual, jacobian))
        r, j = residual / noise, jacobian * prior / noise[:, None]
        z = (state.position - problem.centre) / prior
        objective = 0.5 * float(r @ r + z @ z)
        curvature = state.curvature
        if np.isnan(curvature):
            curvature = 1.0 + float((j**2).sum()) / len(z)
        damped = _Damped(j, r, z)
        damping, accepted, n_tries, below = state.damping, False, 0, objective
        position = state.position
        while not accepted and n_tries < _MOST_TRIES:
            step = damped.step(damping * curvature)
            trial = state.position + prior * step
            trial_residual = problem.residual(trial) / noise
            below = 0.5 * float(trial_residual @ trial_residual + ((z + step) ** 2).sum())
            accepted = bool(below < objective)
            n_tries += 1
            damping = max(damping * _SHRINK, _LEAST_DAMPING) if accepted else damping * _GROW
            if accepted:
                position = trial
        gain = (objective - below) / (1.0 + objective) if accepted else 0.0
        return (
            _State(position, curvature, damping, [*state.history, objective], state.n_evaluations + 1 + n_tries),
            gain,
        )


@dataclass(frozen=True)
class _State:
    """Where the iterations are.

    Attributes:
        position: x.
        curvature: Mean curvature at the start, the unit of the damping.
        damping: Of the next step.
        history: Objective before each iteration.
        n_evaluations: Evaluations of the residual, with and without derivatives.
    """

    position: Position
    curvature: float
    damping: float
    history: list[float]
    n_evaluations: int

    def arrays(self) -> list[Any]:
        return [
            self.position,
            np.array([self.curvature, self.damping, self.n_evaluations]),
            np.array(self.history),
        ]

    @staticmethod
    def read(arrays: Any) -> "_State":
        numbers = arrays["state_1"]
        return _State(
            arrays["state_0"], float(numbers[0]), float(numbers[1]), arrays["state_2"].tolist(), int(numbers[2])
        )


class _Damped:
    """Steps that minimise |J d + r|^2 + |z + d|^2 + damping |d|^2 for several dampings, from one product of J."""

    def __init__(
        self, jacobian: Float[np.ndarray, "row dim"], residual: Float[np.ndarray, " row"], position: Position
    ) -> None:
        self.jacobian, self.residual, self.position = jacobian, residual, position
        n_rows, n_dims = jacobian.shape
        self.by_rows = n_rows < n_dims
        self.product = jacobian @ jacobian.T if self.by_rows else jacobian.T @ jacobian

    def step(self, damping: float) -> Position:
        whole = self.product + (1.0 + damping) * np.eye(len(self.product))
        gradient = self.jacobian.T @ self.residual + self.position
        factor = linalg.cho_factor(whole, check_finite=False, overwrite_a=True)
        if not self.by_rows:
            return -linalg.cho_solve(factor, gradient, check_finite=False)
        inner = linalg.cho_solve(factor, self.jacobian @ gradient, check_finite=False)
        return -(gradient - self.jacobian.T @ inner) / (1.0 + damping)
