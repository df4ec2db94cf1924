"""Metropolis steps on a known density, after the path."""

from collections.abc import Callable
from dataclasses import dataclass

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from uqkit.errors import InputError

__all__ = ["MetropolisPolish"]

# Acceptance at which Langevin proposals mix best (Roberts & Rosenthal 1998).
_ACCEPTANCE = 0.574


@dataclass(frozen=True, kw_only=True)
class MetropolisPolish:
    """Metropolis-adjusted Langevin steps from every draw, which leave the density as it is (BlackJAX's MALA).

    They spread out draws of one ancestor; weights between modes they leave to the path. The step size is found in the
    first fifth of the steps, after which it is fixed.

    Attributes:
        n_steps: Steps of every draw.
        step_size: Of the first step, in units of time; the square of the density's smallest scale is a good guess.
    """

    n_steps: int = 100
    step_size: float = 0.01

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.n_steps < 5 or not self.step_size > 0:
            raise InputError(
                f"n_steps={self.n_steps}, step_size={self.step_size}: pass at least 5 steps, and a positive size."
            )

    def applied(
        self,
        log_density: Callable[[Array], Array],
        position: Float[Array, "island particle dim"],
        *,
        key: Key[Array, ""],
    ) -> tuple[Float[Array, "island particle dim"], float]:
        """Positions after the steps, and the share of accepted proposals after the step size was fixed."""
        n_islands, n_particles, dim = position.shape
        kernel = blackjax.mala.build_kernel()
        n_tuned = self.n_steps // 5

        def step(carry: tuple, number: Array) -> tuple[tuple, Array]:
            states, log_size = carry
            keys = jax.random.split(jax.random.fold_in(key, number), n_islands * n_particles)
            states, info = jax.vmap(lambda k, s: kernel(k, s, log_density, jnp.exp(log_size)))(keys, states)
            accepted = info.acceptance_rate.mean()
            change = jnp.where(number < n_tuned, 4.0 * (accepted - _ACCEPTANCE) / jnp.sqrt(number + 1.0), 0.0)
            return (states, log_size + change), accepted

        def run(flat: Float[Array, "draw dim"]) -> tuple[Array, Array]:
            states = jax.vmap(lambda x: blackjax.mala.init(x, log_density))(flat)
            start = (states, jnp.log(jnp.asarray(self.step_size)))
            (states, _), accepted = jax.lax.scan(step, start, jnp.arange(self.n_steps))
            return states.position, accepted

        moved, accepted = jax.jit(run)(position.reshape(-1, dim))
        return moved.reshape(position.shape), float(np.asarray(accepted)[n_tuned:].mean())
