"""Variance control: a velocity added to all particles so that their weights grow more evenly."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["RegressionControl", "regressed"]


@dataclass(frozen=True, kw_only=True)
class RegressionControl:
    """Adds theta_1 (g^2 / 2) sum beta_i s_i + theta_2 x to the velocity, by least squares of the growth of weights.

    Each island's coefficients are found on the other islands' particles, so that they do not depend on the particles
    whose weights they change.

    Reference:
        Ren et al. (2026), DriftLite: lightweight drift control for inference-time scaling of diffusion models, ICLR.
    """


def regressed(
    growth: Float[Array, "island particle"],
    control_growth: Float[Array, "island particle control"],
    share: Float[Array, "island particle"],
) -> Float[Array, "island control"]:
    """Coefficients that make the growth most even, of each island from the others.

    Args:
        growth: Without control.
        control_growth: What each field adds.
        share: Weight of each particle in its island.
    """
    centred = control_growth - jnp.einsum("ip,ipc->ic", share, control_growth)[:, None, :]
    excess = growth - (share * growth).sum(axis=1, keepdims=True)
    gram = jnp.einsum("ip,ipc,ipe->ice", share, centred, centred)
    moment = jnp.einsum("ip,ipc,ip->ic", share, centred, excess)
    gram, moment = gram.sum(axis=0) - gram, moment.sum(axis=0) - moment
    # Fields that are constant or alike leave directions open: those get nothing.
    scale = jnp.sqrt(jnp.maximum(jnp.einsum("icc->ic", gram), jnp.finfo(growth.dtype).tiny))
    correlation = gram / (scale[:, :, None] * scale[:, None, :])
    ridge = 1e-8 * jnp.eye(gram.shape[-1], dtype=growth.dtype)
    return -jnp.linalg.solve(correlation + ridge, (moment / scale)[..., None])[..., 0] / scale
