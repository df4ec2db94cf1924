"""Independent approximate draws of a posterior: modes of problems with perturbed data and a perturbed prior."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float, Key

from uqkit.errors import InputError, UqkitWarning
from uqkit.inference.gauss_newton import GaussNewton, Mode
from uqkit.inference.residual import WhitenedResidual
from uqkit.keys import numpy_generator
from uqkit.running.chunks import progress_bar

__all__ = ["RandomisedMAP"]


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
    method: GaussNewton = GaussNewton()

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
        progress: bool | None = None,
    ) -> Float[np.ndarray, "member dim"]:
        """Positions of the members, each found with the method's own continuation.

        Args:
            problem: The residuals.
            mode: Of the unperturbed problem, with the scales.
            nonlinear: Blocks that are not linear in the position.
            key: Random key.
            progress: Whether to show progress; None shows it only on a terminal.
        """
        generator = numpy_generator(key)
        noise, prior = mode.scales.rows(problem.row_blocks), mode.scales.dims(problem.dim_blocks)
        positions, n_lost = [], 0
        with progress_bar(self.n_members, "members", progress) as bar:
            for _ in range(self.n_members):
                offset = noise * generator.standard_normal(len(noise))
                centre = prior * generator.standard_normal(len(prior))
                found = self.method.mode(
                    problem, mode.scales, mode.position, nonlinear=nonlinear, offset=offset, centre=centre
                )
                positions.append(found.position)
                n_lost += not found.converged
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
