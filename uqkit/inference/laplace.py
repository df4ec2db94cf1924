"""The Gaussian approximation of a posterior at its mode; exact where the model is linear."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from uqkit.inference.gauss_newton import Mode
from uqkit.inference.residual import WhitenedResidual

__all__ = ["Laplace"]


@dataclass(frozen=True)
class Laplace:
    """Normal(mode, (prior precision + J'J)^-1), with what follows from it.

    The covariance is that of Gauss and Newton: second derivatives of the model are left out.

    Attributes:
        problem: The residuals.
        mode: Mode and linear model there.

    Reference:
        MacKay (1992), Bayesian interpolation, Neural Computation 4; Bishop (2006), section 3.5.
    """

    problem: WhitenedResidual
    mode: Mode

    @cached_property
    def _prior(self) -> Float[np.ndarray, " dim"]:
        return self.mode.scales.dims(self.problem.dim_blocks)

    @cached_property
    def log_evidence(self) -> float:
        """Log density of the whitened data under the model, in nats; exact where the model is linear.

        It compares models of the same data: other features, prior scales or noise scales.
        """
        noise = self.mode.scales.rows(self.problem.row_blocks)
        misfit = ((self.mode.residual / noise) ** 2).sum() + ((self.mode.position / self._prior) ** 2).sum()
        return float(
            -0.5 * misfit
            - np.log(noise).sum()
            - 0.5 * self.mode.factor.log_determinant
            - 0.5 * len(noise) * np.log(2 * np.pi)
        )

    @cached_property
    def effective_parameters(self) -> dict[str, float]:
        """Of each observed block, how many parameters it determines: between 0 and its number of rows.

        Reference:
            MacKay (1992), equation 4.10.
        """
        noise = self.mode.scales.rows(self.problem.row_blocks)
        jacobian = self.mode.jacobian * self._prior / noise[:, None]
        return self.mode.factor.effective_parameters(jacobian, self.problem.row_blocks)

    @cached_property
    def effective_dims(self) -> dict[str, float]:
        """Of each block of coordinates, how many of them the data determine."""
        n_dims = len(self.mode.position)
        kept = {}
        for name, part in self.problem.dim_blocks.items():
            unit = np.zeros((part.stop - part.start, n_dims))
            unit[np.arange(len(unit)), np.arange(part.start, part.stop)] = 1.0
            kept[name] = float((1.0 - self.mode.factor.variance(unit)).sum())
        return kept

    def standard_deviation(self, directions: Float[np.ndarray, "row dim"]) -> Float[np.ndarray, " row"]:
        """Posterior standard deviation of linear functions of the position, one a row."""
        return np.sqrt(self.mode.factor.variance(directions * self._prior))

    def covariance(
        self, directions: Float[np.ndarray, "row dim"], others: Float[np.ndarray, "other dim"]
    ) -> Float[np.ndarray, "row other"]:
        """Posterior covariance between linear functions of the position."""
        return self.mode.factor.covariance(directions * self._prior, others * self._prior)

    def draws(self, white: Float[np.ndarray, "draw dim"]) -> Float[np.ndarray, "draw dim"]:
        """Standard normal draws made draws of the posterior."""
        return self.mode.position + self._prior * self.mode.factor.scaled(white)

    def whitening(self) -> Float[np.ndarray, "dim dim"]:
        """A matrix S with S S' the posterior covariance: position = mode + S z is nearly standard normal in z."""
        return self._prior[:, None] * self.mode.factor.matrix()
