"""The network behind a learned score, and the loss that it is trained by.

The network corrects a Gaussian: with a network that is zero the score is that of the noised Gaussian which has the
draws' mean and covariance. It works in the draws' principal axes, in units of their spread.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from uqkit.diffusion.schedules import NoiseSchedule, Scalar
from uqkit.nn import MLP, FeedForward, SwishUnit, trainable

__all__ = ["Denoiser", "Denoising", "DenoisingGradient", "LearnedScore"]

# Spread, over the data's, of the finest detail that is expected: with less noise than it the score no longer changes.
_DETAIL = 0.2
_N_WAVES = 4
# Other draws that a target is averaged over.
_N_REFERENCES = 256


class Denoiser(eqx.Module):
    """A network in the draws' principal axes, scaled so that its inputs and targets are of size one at all noises.

    A noised point alpha z + sigma noise is divided by its standard deviation s. What the Gaussian leaves of z has the
    standard deviation sqrt(spread) sigma / s; the network predicts it in these units, times a factor that keeps its
    output of size one as the noise vanishes, where the score and not the clean point is to be learned.

    Attributes:
        network: Of the scaled point and the level of noise.
        spread: Variances of the draws along their axes, over their mean.
        low: Smallest level of noise.
        high: Largest.

    Reference:
        Karras, Aittala, Aila & Laine (2022), Elucidating the design space of diffusion-based generative models, table
        1, here for each axis and any alpha.
    """

    network: FeedForward
    spread: Float[Any, " dim"]
    low: Float[Any, ""]
    high: Float[Any, ""]

    @classmethod
    def untrained(
        cls, data: "Denoising", spread: Float[np.ndarray, " dim"], widths: Sequence[int], *, key: Key[Array, ""]
    ) -> "Denoiser":
        """One that corrects nothing yet, for these levels of noise; in the precision that JAX is in."""
        dim, ends = len(spread), jnp.array([0, -1])
        columns = [f"column{i}" for i in range(dim + 1 + 2 * _N_WAVES)]
        network = MLP(widths=tuple(widths), activation=SwishUnit()).build(columns, dim, key=key)
        network = eqx.tree_at(lambda net: net.last.weight, network, replace_fn=jnp.zeros_like)
        low, high = np.asarray(noise_level(data.variance[ends] / data.alpha[ends] ** 2))
        return cls(network, np.asarray(spread, low.dtype), low, high)

    @property
    def weights(self) -> Any:
        """Which leaves are trained."""
        none = jax.tree.map(lambda _: False, self)
        return eqx.tree_at(lambda each: each.network, none, trainable(self.network))

    def correction(
        self, z: Float[Array, " dim"], alpha: Float[Array, ""], variance: Float[Array, ""]
    ) -> Float[Array, " dim"]:
        """What the score has beyond the Gaussian's, over alpha sqrt(spread) / s."""
        signal = alpha**2 * jnp.asarray(self.spread, z.dtype)
        place = 2 * (noise_level(variance / alpha**2) - self.low) / (self.high - self.low) - 1
        phase = 0.5 * jnp.pi * jnp.arange(1, _N_WAVES + 1, dtype=z.dtype) * place
        columns = [z / jnp.sqrt(signal + variance), place[None], jnp.cos(phase), jnp.sin(phase)]
        return self.network(jnp.concatenate(columns)) / jnp.sqrt(self.resolved(alpha, variance))

    def resolved(self, alpha: Float[Array, ""], variance: Float[Array, ""]) -> Float[Array, " dim"]:
        """Variance of the noise plus that of the finest detail, along each axis."""
        return variance + _DETAIL**2 * alpha**2 * jnp.asarray(self.spread, variance.dtype)


def noise_level(ratio: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Half the log of the ratio of variances of noise and data, levelled off far below the finest detail."""
    return 0.5 * jnp.log(ratio + (0.1 * _DETAIL) ** 2)


class LearnedScore(eqx.Module):
    """The score of noised data, as learned; a function of a point and t.

    The network is in single precision, all around it in the precision of the point.

    Attributes:
        denoiser: The trained network.
        schedule: How the data are noised.
        mean: Of the draws.
        axes: Their principal axes, in columns.
        scale: Their root mean variance, the unit of length.
    """

    denoiser: Denoiser
    schedule: NoiseSchedule
    mean: Float[np.ndarray, " dim"]
    axes: Float[np.ndarray, "dim dim"]
    scale: Float[np.ndarray, ""]

    def __call__(self, x: Float[Array, " dim"], t: Scalar) -> Float[Array, " dim"]:
        """Gradient of the log density of the noised data at t."""
        alpha, variance = self.schedule.alpha(t), self.schedule.variance(t) / self.scale**2
        z = (x - alpha * self.mean) @ self.axes / self.scale
        single = [jnp.asarray(value, jnp.float32) for value in (z, alpha, variance)]
        total = alpha**2 * self.denoiser.spread + variance
        correction = self.denoiser.correction(*single).astype(z.dtype)
        score = -z / total + alpha * jnp.sqrt(self.denoiser.spread / total) * correction
        return self.axes @ score / self.scale


class Denoising(eqx.Module):
    """Draws, and the levels of noise that are put on them; everything along the draws' axes and in their scale.

    Attributes:
        draws: To be noised.
        alpha: At each level; levels in the order of noise over data.
        variance: At each level.
    """

    draws: Float[Array, "draw dim"]
    alpha: Float[Any, " level"]
    variance: Float[Any, " level"]

    def loss_and_excess(
        self,
        denoiser: Denoiser,
        clean: Float[Array, " dim"],
        noise: Float[Array, " dim"],
        level: Int[Array, ""],
        others: Float[Array, "draw dim"],
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Loss of one noised point, and by how much its error as a score is beyond the Gaussian's.

        The target is the mean of the clean draw and of others, each as likely as it is to have become this point: the
        same in expectation as the draw that did, with less spread.

        The excess is in units of the network's output. Unlike the loss it counts all levels of noise alike; averaged
        over noise of both signs, its spread stays finite where the noise vanishes.

        Reference:
            Vincent (2011), A connection between score matching and denoising autoencoders, Neural Computation 23; Xu,
            Tong & Jaakkola (2023), Stable target field for reduced variance score estimation in diffusion models, ICLR.
        """
        alpha, variance, spread = self.alpha[level], self.variance[level], denoiser.spread
        noised = alpha * clean + jnp.sqrt(variance) * noise
        candidates = jnp.concatenate([clean[None], others])
        log_share = (alpha * (candidates @ noised) - 0.5 * alpha**2 * (candidates**2).sum(axis=1)) / variance
        expected = jax.nn.softmax(log_share) @ candidates
        total = alpha**2 * spread + variance
        target = (expected - alpha * spread / total * noised) * jnp.sqrt(total / (spread * variance))
        predicted = jnp.sqrt(variance) * denoiser.correction(noised, alpha, variance)
        excess = predicted * (predicted - 2 * target) * denoiser.resolved(alpha, variance) / variance
        return ((predicted - target) ** 2).mean(), excess.mean()


class DenoisingGradient(eqx.Module):
    """Gradient of the denoising loss on a mini-batch, as `uqkit.running.training` takes it.

    Attributes:
        data: That are noised.
        rest: The denoiser without its weights.
        batch_size: Draws a step; each is noised twice, with noise of opposite signs.
    """

    data: Denoising
    rest: Denoiser
    batch_size: int = eqx.field(static=True)

    def __call__(
        self, weights: Any, carry: tuple[()], key: Key[Array, ""], number: Int[Array, ""]
    ) -> tuple[Any, tuple[()], Float[Array, ""]]:
        """Gradient, nothing, and the loss."""
        n, (n_draws, dim) = self.batch_size, self.data.draws.shape
        draw_key, other_key, noise_key, level_key = jax.random.split(key, 4)
        clean = self.data.draws[jax.random.randint(draw_key, (n,), 0, n_draws)]
        others = self.data.draws[jax.random.randint(other_key, (_N_REFERENCES,), 0, n_draws)]
        noise = jax.random.normal(noise_key, (n, dim), clean.dtype)
        # One draw for each n-th part of the levels, so that no batch misses a range of them.
        place = (jnp.arange(n) + jax.random.uniform(level_key, (n,), clean.dtype)) / n
        level = jnp.minimum((place * len(self.data.alpha)).astype(int), len(self.data.alpha) - 1)
        clean, level = jnp.concatenate([clean, clean]), jnp.concatenate([level, level])
        noise = jnp.concatenate([noise, -noise])

        def loss(weights: Any) -> Float[Array, ""]:
            denoiser = eqx.combine(weights, self.rest)
            each = jax.vmap(lambda c, e, k: self.data.loss_and_excess(denoiser, c, e, k, others)[0])(
                clean, noise, level
            )
            return each.mean()

        value, gradient = jax.value_and_grad(loss)(weights)
        return gradient, carry, value
