"""The mode of a posterior given by residuals: Gauss-Newton, damped by Levenberg and Marquardt where it must be."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from uqkit.errors import InputError
from uqkit.inference.factor import Factor, solve_stack
from uqkit.inference.residual import Perturbed, Scales, WhitenedResidual, not_finite

__all__ = ["GaussNewton", "Mode"]

# Damping after an undamped step that failed; it grows by tens until a step succeeds.
_LEAST_DAMPING = 1e-8
_MOST_TRIES = 16
# Relative decrease that may be promised where rounding keeps every step from lowering the objective.
_ROUNDING = 1e-6
# Rounding of an objective, relative to it.
_SLACK = 1e-13
# A noise scale that leaves a block out.
_FREE = 1e12
# Relative tolerance at the relaxed scales of a continuation.
_ON_THE_WAY = 1e-2


@dataclass(frozen=True)
class Mode:
    """Where the posterior density is largest, and the linear model there.

    Attributes:
        position: x.
        scales: Noise and prior scales it belongs to.
        residual: r(x) at unit noise scales.
        jacobian: Of the residual, at unit scales.
        factor: Of the posterior precision, in coordinates whitened by the prior.
        objective: Minus the log joint density up to a constant, before each iteration and at the end; in nats.
        converged: Whether the last step was negligible.
        n_evaluations: Evaluations of the residual, with and without derivatives.
    """

    position: Float[np.ndarray, " dim"]
    scales: Scales
    residual: Float[np.ndarray, " row"]
    jacobian: Float[np.ndarray, "row dim"]
    factor: Factor
    objective: Float[np.ndarray, " iteration"]
    converged: bool
    n_evaluations: int


@dataclass(frozen=True, kw_only=True)
class GaussNewton:
    """Gauss-Newton iterations; a step that does not lower the objective is damped until it does.

    Attributes:
        continuation: Falling factors on the noise scales of nonlinear blocks, solved one after another, each from the
            last; the last is 1. None leaves them out first, starts where what the linear blocks say is as far from them
            as their noise, and falls by tens. Nonlinear problems started at their final scale end in local modes.
        max_iterations: Most iterations at each factor.
        tolerance: An iteration that promises to lower the objective by less than this, relative to 1 + objective, is
            the last.
        damping: Damping of the first step, relative to the mean curvature; 0 for undamped steps while they work.

    Raises:
        InputError: If a setting is out of range.

    Reference:
        Levenberg (1944); Marquardt (1963); Nocedal & Wright (2006), Numerical Optimization, chapter 10.
    """

    continuation: Sequence[float] | None = None
    max_iterations: int = 50
    tolerance: float = 1e-9
    damping: float = 0.0

    def __post_init__(self) -> None:
        """Check the settings."""
        factors = (1.0,) if self.continuation is None else tuple(self.continuation)
        if not factors or factors[-1] != 1.0 or any(b > a for a, b in zip(factors, factors[1:], strict=False)):
            raise InputError(
                f"`continuation` is {self.continuation}; pass falling factors that end in 1, as (10, 3, 1)."
            )
        if self.max_iterations < 1 or not self.tolerance > 0 or self.damping < 0:
            raise InputError(
                f"max_iterations={self.max_iterations}, tolerance={self.tolerance}, damping={self.damping}: pass at "
                "least "
                "one iteration, a tolerance above zero, and a damping of zero or more."
            )

    def refined(self, tolerance: float) -> "GaussNewton":
        """The same for a start that is near the mode."""
        return replace(self, continuation=(1.0,), tolerance=max(self.tolerance, tolerance))

    def mode(
        self,
        problem: WhitenedResidual,
        scales: Scales,
        start: Float[np.ndarray, " dim"],
        *,
        nonlinear: Sequence[str] = (),
        offset: Float[np.ndarray, " row"] | None = None,
        centre: Float[np.ndarray, " dim"] | None = None,
    ) -> Mode:
        """Mode from a start.

        Args:
            problem: The residuals.
            scales: Noise and prior scales.
            start: First position.
            nonlinear: Blocks whose noise the continuation relaxes; with none, a single iteration solves the problem.
            offset: Subtracted from the residuals, at unit scales: perturbed data.
            centre: Mean of the prior; 0 by default.

        Raises:
            InputError: If the residuals are not finite at the start.
        """
        position = np.asarray(start, dtype=float)
        perturbed = Perturbed(
            problem,
            np.zeros(1) if offset is None else offset,
            np.zeros_like(position) if centre is None else centre,
        )
        n_before = 0
        factors = self.continuation[:-1] if self.continuation is not None and nonlinear else ()
        if self.continuation is None and nonlinear:
            # What the linear blocks alone say, and how far that is from the nonlinear ones.
            free = scales.relaxed(dict.fromkeys(nonlinear, _FREE))
            position = self._search(perturbed, free, position, tolerance=np.inf).position
            residual = perturbed.residual(position) / scales.rows(problem.row_blocks)
            misfit = np.concatenate([residual[problem.row_blocks[name]] for name in nonlinear])
            factors = _falling(float(np.sqrt(np.mean(misfit**2))))
            n_before = 3
        for factor in factors:
            relaxed = scales.relaxed(dict.fromkeys(nonlinear, float(factor)))
            # On the way a mode need only be near.
            near = self._search(perturbed, relaxed, position, tolerance=max(self.tolerance, _ON_THE_WAY))
            position, n_before = near.position, n_before + near.n_evaluations
        found = self._search(perturbed, scales, position, tolerance=self.tolerance if nonlinear else np.inf)
        return replace(found, n_evaluations=found.n_evaluations + n_before)

    def _search(
        self, problem: "Perturbed", scales: Scales, start: Float[np.ndarray, " dim"], *, tolerance: float
    ) -> Mode:
        noise, prior = scales.rows(problem.problem.row_blocks), scales.dims(problem.problem.dim_blocks)

        def objective_at(residual: Float[np.ndarray, " row"], position: Float[np.ndarray, " dim"]) -> float:
            distance = (position - problem.centre) / prior
            return 0.5 * float(((residual / noise) ** 2).sum() + (distance**2).sum())

        position, damping, history, n_evaluations = start, self.damping, [], 0
        while True:
            residual, jacobian = problem.linearised(position)
            history.append(objective_at(residual, position))
            if not (np.isfinite(history[-1]) and np.isfinite(jacobian).all()):
                raise InputError(not_finite(problem.problem, residual, jacobian))
            whitened, distance = jacobian * prior / noise[:, None], (position - problem.centre) / prior
            size = 1.0 + float((whitened**2).sum()) / len(position)
            n_tries, undamped = 0, np.inf
            while True:
                n_tries += 1
                step, factor = solve_stack(whitened, residual / noise, distance, damping * size)
                promised = 0.5 * float(((whitened @ step) ** 2).sum() + (step**2).sum())
                trial = position + prior * step
                trial_residual = problem.residual(trial)
                trial_objective = objective_at(trial_residual, trial)
                # One step solves a linear problem, where the objective is all rounding and says nothing.
                level = history[-1] + _SLACK * (1.0 + abs(history[-1]))
                accepted = trial_objective <= level or (np.isinf(tolerance) and np.isfinite(trial_objective))
                if damping == 0.0:  # a damped step promises little wherever it is
                    undamped = promised / (1.0 + history[-1])
                    if not accepted and undamped > _ROUNDING and np.isfinite(trial_objective):
                        # Along a curved valley a full step leaves its floor; the next one leads back to it, further on.
                        trial, trial_residual = self._followed(problem, trial, noise, prior)
                        trial_objective = objective_at(trial_residual, trial)
                        accepted = trial_objective < history[-1]
                        n_evaluations += 2
                converged = damping == 0.0 and undamped <= (tolerance if accepted else max(tolerance, _ROUNDING))
                if accepted or converged or n_tries == _MOST_TRIES:
                    break
                damping = max(10.0 * damping, _LEAST_DAMPING)
            n_evaluations += 1 + n_tries
            damped = damping > 0.0
            if accepted:
                position, residual = trial, trial_residual
                damping = damping / 10.0 if damping > _LEAST_DAMPING else 0.0
            if not accepted:
                converged = undamped <= max(tolerance, _ROUNDING)
            if converged or not accepted or len(history) >= self.max_iterations:
                break
        if damped or not converged:  # the factor of a damped step is not the posterior's
            residual, jacobian = problem.linearised(position)
            n_evaluations += 1
            whitened = jacobian * prior / noise[:, None]
            _, factor = solve_stack(whitened, residual / noise, (position - problem.centre) / prior)
        history.append(objective_at(residual, position))
        return Mode(
            position, scales, residual + problem.offset, jacobian, factor, np.array(history), converged, n_evaluations
        )

    def _followed(
        self,
        problem: "Perturbed",
        position: Float[np.ndarray, " dim"],
        noise: Float[np.ndarray, " row"],
        prior: Float[np.ndarray, " dim"],
    ) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, " row"]]:
        """One undamped step, wherever it leads."""
        residual, jacobian = problem.linearised(position)
        if not (np.isfinite(residual).all() and np.isfinite(jacobian).all()):
            return position, residual
        whitened = jacobian * prior / noise[:, None]
        step, _ = solve_stack(whitened, residual / noise, (position - problem.centre) / prior)
        return position + prior * step, problem.residual(position + prior * step)


def _falling(largest: float) -> list[float]:
    """From a factor down to above 1, by tens."""
    decades = np.log10(np.clip(largest, 1.0, _FREE)) if np.isfinite(largest) else 0.0
    return [float(10.0**power) for power in np.arange(decades, 0.1, -1.0)]
