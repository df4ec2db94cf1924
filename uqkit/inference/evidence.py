"""Noise scales and prior scales that maximise the evidence, by MacKay's effective-parameter updates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import optimize

from uqkit.errors import InputError
from uqkit.inference.gauss_newton import GaussNewton
from uqkit.inference.laplace import Laplace
from uqkit.inference.levenberg_marquardt import LevenbergMarquardt
from uqkit.inference.residual import Scales, WhitenedResidual

__all__ = ["MacKay", "ScaleFit", "ScalePrior"]

# Relative tolerance of a mode whose scales are about to change.
_WHILE_SCALES_MOVE = 1e-5
# A prior scale may start far off, in another unit, and its update is stable.
_LARGEST_PRIOR_MOVE = 1e3


@dataclass(frozen=True, kw_only=True)
class ScalePrior:
    """What is known of a noise scale before the data.

    A proper prior and a floor are needed: where the model can interpolate, the likelihood grows without bound as the
    scale goes to zero.

    Attributes:
        log_density: Log density of log scale, in nats.
        start: A first value, in units of the rows.
        floor: Least value.
    """

    log_density: Callable[[float], float]
    start: float
    floor: float

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 0 < self.floor <= self.start < np.inf:
            raise InputError(f"ScalePrior(start={self.start}, floor={self.floor}): pass 0 < floor <= start.")


@dataclass(frozen=True)
class ScaleFit:
    """A Laplace approximation at scales that maximise the evidence.

    Attributes:
        laplace: The approximation.
        relative_error: Learned noise scale -> its standard error, relative to it.
        identified: Learned noise scale -> whether the data tell it from a tolerance.
        n_rounds: Updates made.
        n_evaluations: Evaluations of the residual, with and without derivatives.
        converged: Whether the last update changed no scale by more than the tolerance.
    """

    laplace: Laplace
    relative_error: Mapping[str, float]
    identified: Mapping[str, bool]
    n_rounds: int
    n_evaluations: int
    converged: bool


@dataclass(frozen=True, kw_only=True)
class MacKay:
    """Fixed-point iteration on the evidence.

    With g_i the number of parameters that block i determines, a noise scale moves to the maximum of
    -(n_i - g_i) log s - |r_i|^2 / (2 s^2) + log prior(log s), and a prior scale to |x_b|^2 / g_b. Maximum likelihood,
    with g_i = 0, lets the scale of an interpolated block collapse.

    Attributes:
        max_rounds: Most updates.
        tolerance: Relative change of a scale that is negligible.
        largest_move: Most that a scale changes in one update, as a factor.
        least_share: A noise scale is identified if at least this share of its rows is left over by the parameters.

    Reference:
        MacKay (1992), Neural Computation 4, section 4.3; MacKay (1999), Neural Computation 11.
    """

    max_rounds: int = 40
    tolerance: float = 1e-2
    largest_move: float = 3.0
    least_share: float = 0.05

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.max_rounds < 1 or not self.tolerance > 0 or not self.largest_move > 1 or not 0 < self.least_share < 1:
            raise InputError(f"{self}: pass max_rounds >= 1, tolerance > 0, largest_move > 1, 0 < least_share < 1.")

    def fit(
        self,
        problem: WhitenedResidual,
        scales: Scales,
        start: Float[np.ndarray, " dim"],
        *,
        noise_priors: Mapping[str, ScalePrior],
        free_priors: Sequence[str] = (),
        nonlinear: Sequence[str] = (),
        method: GaussNewton | LevenbergMarquardt | None = None,
    ) -> ScaleFit:
        """Mode, scales and Laplace approximation together.

        Args:
            problem: The residuals.
            scales: First values of the learned scales, and the values of the known ones.
            start: First position.
            noise_priors: Noise scales to learn.
            free_priors: Blocks of coordinates whose prior scale is learned.
            nonlinear: Blocks that are not linear in the position.
            method: How modes are found.
        """
        method = GaussNewton() if method is None else method
        laplace = Laplace(problem, method.mode(problem, scales, start, nonlinear=nonlinear))
        again = method.refined(_WHILE_SCALES_MOVE)
        n_evaluations = laplace.mode.n_evaluations
        n_rounds, converged = 0, not noise_priors and not free_priors
        while not converged and n_rounds < self.max_rounds:
            updated = self._updated(laplace, noise_priors, free_priors)
            moves = [
                abs(np.log(new[name] / old[name]))
                for new, old in ((updated.noise, laplace.mode.scales.noise), (updated.prior, laplace.mode.scales.prior))
                for name in new
            ]
            converged = bool(max(moves) < self.tolerance)
            mode = again.mode(problem, updated, laplace.mode.position, nonlinear=nonlinear)
            laplace = Laplace(problem, mode)
            n_rounds, n_evaluations = n_rounds + 1, n_evaluations + mode.n_evaluations
        if nonlinear and n_rounds:
            found = method.refined(0.0).mode(problem, laplace.mode.scales, laplace.mode.position, nonlinear=nonlinear)
            laplace, n_evaluations = Laplace(problem, found), n_evaluations + found.n_evaluations
        free = {name: self._n_free(laplace, name) for name in noise_priors}
        n_rows = {name: rows.stop - rows.start for name, rows in problem.row_blocks.items()}
        return ScaleFit(
            laplace,
            # The curvature of -(n - g) log s - |r|^2 / (2 s^2) in log s is 2 (n - g) at its maximum.
            {name: float(1.0 / np.sqrt(2.0 * max(n, 0.5))) for name, n in free.items()},
            {name: n >= self.least_share * n_rows[name] for name, n in free.items()},
            n_rounds,
            n_evaluations,
            converged,
        )

    def _n_free(self, laplace: Laplace, name: str) -> float:
        rows = laplace.problem.row_blocks[name]
        return max(rows.stop - rows.start - laplace.effective_parameters[name], 0.0)

    def _updated(self, laplace: Laplace, noise_priors: Mapping[str, ScalePrior], free_priors: Sequence[str]) -> Scales:
        old = laplace.mode.scales
        noise, prior = dict(old.noise), dict(old.prior)
        for name, scale_prior in noise_priors.items():
            squares = float((laplace.mode.residual[laplace.problem.row_blocks[name]] ** 2).sum())
            noise[name] = self._noise_scale(self._n_free(laplace, name), squares, old.noise[name], scale_prior)
        for name in free_priors:
            squares = float((laplace.mode.position[laplace.problem.dim_blocks[name]] ** 2).sum())
            determined = max(laplace.effective_dims[name], np.finfo(float).tiny)
            move = np.sqrt(squares / determined) / old.prior[name]
            prior[name] *= float(np.clip(move, 1.0 / _LARGEST_PRIOR_MOVE, _LARGEST_PRIOR_MOVE))
        return Scales(noise=noise, prior=prior)

    def _noise_scale(self, n_free: float, squares: float, old: float, prior: ScalePrior) -> float:
        def minus_log_density(log_scale: float) -> float:
            likelihood = -n_free * log_scale - 0.5 * squares * np.exp(-2.0 * log_scale)
            return -likelihood - prior.log_density(log_scale)

        reach = np.log(self.largest_move)
        low, high = max(np.log(old) - reach, np.log(prior.floor)), max(np.log(old) + reach, np.log(prior.floor) + 1e-6)
        best: Any = optimize.minimize_scalar(
            minus_log_density, bounds=(low, high), method="bounded", options={"xatol": 1e-6}
        )
        return float(np.exp(best.x))
