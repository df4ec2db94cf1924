"""The mode of a posterior, by a quasi-Newton method from several starts."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Bool, Float

from uqkit._typing import PRNGKey
from uqkit.errors import InputError, UqkitError
from uqkit.inference.chains import check_counts, find_starts, log_density
from uqkit.keys import as_key
from uqkit.problems.target import TargetDensity
from uqkit.running.chunks import progress_bar

__all__ = ["MAP", "ConvergenceError", "MapEstimate"]


class ConvergenceError(UqkitError, RuntimeError):
    """An optimiser met its tolerance from no start."""


@dataclass(frozen=True, kw_only=True)
class MapEstimate:
    """The best mode found, and what each start gave.

    Attributes:
        position: The best converged position.
        log_density: There, in nats.
        agree: Whether all starts converged, to one log density within the tolerance: a sign of a single mode, no
            proof of one. A single start agrees with itself.
        start_position: Where each start ended.
        start_log_density: Log density where each start ended.
        converged: Whether each start met a tolerance.
        gradient_norm: Largest entry of the gradient where each start ended.
        n_gradients: Gradients in all.
    """

    position: Float[np.ndarray, " dim"]
    log_density: float
    agree: bool
    start_position: Float[np.ndarray, "start dim"]
    start_log_density: Float[np.ndarray, " start"]
    converged: Bool[np.ndarray, " start"]
    gradient_norm: Float[np.ndarray, " start"]
    n_gradients: int

    def quantities(self, target: TargetDensity) -> dict[str, np.ndarray]:
        """The named quantities of the target at the mode."""
        with jax.enable_x64(True):
            named = target.constrain(jnp.asarray(self.position))
            return {name: np.asarray(value) for name, value in named.items()}


@dataclass(frozen=True, kw_only=True)
class MAP:
    """Maximum of the posterior density over the unconstrained coordinates, by L-BFGS-B in double precision.

    The mode depends on the coordinates: it is that of the density of the position, Jacobian included, and not that of
    the constrained parameters' density.

    Attributes:
        n_starts: Draws of the prior to start from.
        max_iterations: Iterations a start may take.
        gradient_tolerance: Largest entry of the gradient, in nats a unit, at which a start has converged. It has
            converged too where the log density no longer changes in double precision.
        agreement: Nats within which starts count as the same mode.

    Reference:
        Zhu, Byrd, Lu & Nocedal (1997), ACM Transactions on Mathematical Software 23; computed by SciPy.
    """

    n_starts: int = 4
    max_iterations: int = 5_000
    gradient_tolerance: float = 1e-6
    agreement: float = 1e-3

    def __post_init__(self) -> None:
        """Check the settings."""
        check_counts(n_starts=self.n_starts, max_iterations=self.max_iterations)
        for name in ("gradient_tolerance", "agreement"):
            if not getattr(self, name) > 0:
                raise InputError(f"`{name}` must be positive, got {getattr(self, name)}.")

    def optimise(
        self,
        target: TargetDensity,
        *,
        key: PRNGKey,
        initial: Float[np.ndarray, "start dim"] | None = None,
        progress: bool | None = None,
    ) -> MapEstimate:
        """Find the mode.

        Args:
            target: Whose density is maximised.
            key: For the starts.
            initial: The starts, one a row; draws of the prior where not given.
            progress: Whether to show a bar on stderr; None shows it only on a terminal.

        Raises:
            InputError: If `initial` does not fit, or no start has a finite density.
            ConvergenceError: If no start converged.
        """
        with jax.enable_x64(True):
            start = find_starts(target, self.n_starts, key=as_key(key), initial=initial)
            with progress_bar(self.n_starts, "starts", progress) as bar:
                ends = []
                for position in np.asarray(start):
                    ends.append(self._climb(target, position))
                    bar.update(1)
        value = np.array([-end.fun for end in ends])
        converged = np.array([bool(end.success) for end in ends])
        norm = np.array([np.abs(end.jac).max() for end in ends])
        if not converged.any():
            raise ConvergenceError(
                f"none of {self.n_starts} starts converged in {self.max_iterations} iterations; they ended at log "
                f"densities {np.array2string(value, precision=6)} with gradients up to {norm.min():.3g} "
                f"({ends[int(norm.argmin())].message}); raise `max_iterations`, or scale the parameters alike."
            )
        best = int(np.argmax(np.where(converged, value, -np.inf)))
        return MapEstimate(
            position=ends[best].x,
            log_density=float(value[best]),
            agree=bool(converged.all() and np.ptp(value) <= self.agreement),
            start_position=np.stack([end.x for end in ends]),
            start_log_density=value,
            converged=converged,
            gradient_norm=norm,
            n_gradients=sum(int(end.nfev) for end in ends),
        )

    def _climb(self, target: TargetDensity, start: Float[np.ndarray, " dim"]) -> scipy.optimize.OptimizeResult:
        worst = [1.0]

        def loss(position: Float[np.ndarray, " dim"]) -> tuple[float, Float[np.ndarray, " dim"]]:
            value, gradient = _value_and_gradient(target, jnp.asarray(position))
            value, gradient = float(value), np.array(gradient)
            if np.isfinite(value) and np.isfinite(gradient).all():
                worst[0] = max(worst[0], -value)
                return -value, -gradient
            # The line search interpolates: it steps back from a wall of finite height, but not from infinity or NaN.
            return 10 * worst[0], np.zeros_like(gradient)

        options = {
            "maxiter": self.max_iterations,
            "maxfun": 20 * self.max_iterations,
            "gtol": self.gradient_tolerance,
            "ftol": np.finfo(float).eps,
            "maxcor": 30,
        }
        return scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options=options)


@eqx.filter_jit
def _value_and_gradient(
    target: TargetDensity, position: Float[Array, " dim"]
) -> tuple[Float[Array, ""], Float[Array, " dim"]]:
    return jax.value_and_grad(log_density(target))(position)
