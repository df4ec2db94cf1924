"""How strongly each constraint pulls at the weights of a network: what gradient methods see, and get stuck on."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from uqkit.pinn.network_stack import NetworkStack

__all__ = ["gradient_shares", "gradient_table"]


def gradient_table(stack: NetworkStack, position: Float[np.ndarray, " dim"]) -> Float[np.ndarray, "constraint weight"]:
    """Gradient of each constraint's mean squared residual, unbalanced, by the weights of the fields.

    Rows count as in the likelihood, by quadrature weights and `shape`, but the sum of their weights is one: neither
    the number of points, nor the size of the region, nor the noise scale matters. Parameters stay where they are.

    Args:
        stack: Residuals at all nodes; it is of double precision.
        position: Weights, and scores of the parameters.

    Returns:
        In the square of each operator's unit; columns in the order of the stack's `weight_blocks`.

    Reference:
        Wang, Teng & Perdikaris (2021), SIAM Journal on Scientific Computing 43(5), A3055, section 2.2, who compare the
        histograms of these numbers.
    """
    with jax.enable_x64(True):
        return np.asarray(_gradients(stack, jnp.asarray(position, dtype=float))[:, : stack.n_weights])


def gradient_shares(table: Float[np.ndarray, "constraint weight"]) -> Float[np.ndarray, " constraint"]:
    """Norm of each constraint's gradient over the sum of all norms; NaN where every gradient is zero."""
    norms = np.linalg.norm(table, axis=1)
    total = norms.sum()
    return norms / total if total > 0 else np.full(len(norms), np.nan)


@eqx.filter_jit
def _gradients(stack: NetworkStack, position: Float[Array, " dim"]) -> Float[Array, "constraint dim"]:
    def loss(position: Float[Array, " dim"], number: int) -> Float[Array, ""]:
        term = stack.terms[number]
        return jnp.sum(stack.rows_of(term, position) ** 2) / jnp.sum(term.row_scale**-2)

    return jnp.stack([jax.grad(loss)(position, number) for number in range(len(stack.terms))])
