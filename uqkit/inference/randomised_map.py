"""Independent approximate draws of a posterior: modes of problems with perturbed data and a perturbed prior."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float, Key
from scipy import special

from uqkit.errors import InputError, UqkitWarning
from uqkit.inference.gauss_newton import GaussNewton, Mode
from uqkit.inference.levenberg_marquardt import LevenbergMarquardt
from uqkit.inference.residual import Scales, WhitenedResidual
from uqkit.keys import numpy_generator
from uqkit.running.chunks import progress_bar

__all__ = ["RandomisedMAP"]


# That a member of a linear model is taken for one in a bad mode.
_CHANCE = 1e-9


@dataclass(frozen=True, kw_only=True)
class RandomisedMAP:
    """Randomised maximum a posteriori: exact draws where the model is linear, and mode-seeking where it is not.

    Each member solves the problem with data y + noise and the prior centred on a draw of the prior.

    Attributes:
        n_members: How many draws.
        method: How each mode is found.

    Reference:
        Kitanidis (1995); Oliver, He & Reynolds (1996); Bardsley et al. (2014), SIAM J. Sci. Comput. 36. For
        physics-informed networks: Zong, Barajas-Solano & Tartakovsky (2024), arXiv 2407.04617.
    """

    n_members: int = 64
    method: GaussNewton | LevenbergMarquardt = GaussNewton()

    def __post_init__(self) -> None:
        """Check the number of members."""
        if self.n_members < 2:
            raise InputError(f"n_members={self.n_members}: an ensemble has at least two members.")

    def members(
        self,
        problem: WhitenedResidual,
        mode: Mode,
        *,
        nonlinear: Sequence[str],
        key: Key[jax.Array, ""],
        from_prior: bool = False,
        progress: bool | None = None,
    ) -> Float[np.ndarray, "member dim"]:
        """Positions of the members, each found with the method's own continuation.

        Args:
            problem: The residuals.
            mode: Of the unperturbed problem, with the scales.
            nonlinear: Blocks that are not linear in the position.
            key: Random key.
            from_prior: Whether members start at their own draws of the prior: for posteriors with many modes. One that
                ends in a bad mode starts again at the unperturbed mode, where all others start.
            progress: Whether to show progress; None shows it only on a terminal.
        """
        generator = numpy_generator(key)
        noise, prior = mode.scales.rows(problem.row_blocks), mode.scales.dims(problem.dim_blocks)
        positions, n_lost = [], 0
        # Twice a member's objective is chi-squared with a degree of freedom a row, where the model is linear: what lies
        # far above is a local mode that no draw would be in.
        limit = float(mode.objective[-1] + 0.5 * special.chdtri(len(noise), _CHANCE))
        with progress_bar(self.n_members, "members", progress) as bar:
            for _ in range(self.n_members):
                offset = noise * generator.standard_normal(len(noise))
                centre = prior * generator.standard_normal(len(prior))
                first = centre if from_prior else mode.position
                found = self._member(problem, mode.scales, first, nonlinear, offset, centre)
                if from_prior and not _reached(found, limit):
                    found = self._member(problem, mode.scales, mode.position, nonlinear, offset, centre)
                positions.append(found.position)
                n_lost += not _reached(found, limit)
                bar.update(1)
        if n_lost:
            warnings.warn(
                f"{n_lost} of {self.n_members} members did not reach their mode, so that the ensemble may be too "
                "narrow; "
                "raise `max_iterations` of the method.",
                UqkitWarning,
                stacklevel=2,
            )
        return np.stack(positions)

    def _member(
        self,
        problem: WhitenedResidual,
        scales: Scales,
        start: Float[np.ndarray, " dim"],
        nonlinear: Sequence[str],
        offset: Float[np.ndarray, " row"],
        centre: Float[np.ndarray, " dim"],
    ) -> Mode:
        return self.method.mode(problem, scales, start, nonlinear=nonlinear, offset=offset, centre=centre)


def _reached(member: Mode, limit: float) -> bool:
    return member.converged and bool(member.objective[-1] <= limit)
