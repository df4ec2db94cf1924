"""The whole model as a log density, for the samplers: weights, parameters and, where asked for, noise scales."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from uqkit.inference import ScaleFit, Scales
from uqkit.inputs import Inputs, NormalScores
from uqkit.pinn.stack import Stack

__all__ = ["NOISE_SCALE", "FieldTarget", "noise_score_errors", "whitening_of"]

# Prefix of a sampled noise scale among the quantities.
NOISE_SCALE = "noise_scale"


class FieldTarget(eqx.Module):
    """A `uqkit.problems.TargetDensity`: the stack's position, then standard normal scores of the sampled noise scales.

    Attributes:
        stack: The residuals.
        noise: Noise scale of each constraint, used where it is not sampled.
        prior: Prior standard deviation of each coordinate of the stack.
        sampled: Constraints whose noise scale is sampled.
        noise_scores: Their prior, as a function of standard normal scores.
    """

    stack: Stack
    noise: Float[Array, " constraint"]
    prior: Float[Array, " dim"]
    sampled: tuple[str, ...] = eqx.field(static=True)
    noise_scores: NormalScores | None

    @staticmethod
    def of(stack: Stack, scales: Scales, sampled: Mapping[str, object]) -> "FieldTarget":
        """Target of a stack; `sampled` gives the prior of each noise scale that is sampled."""
        return FieldTarget(
            stack=stack,
            noise=jnp.asarray([scales.noise[name] for name in stack.names]),
            prior=jnp.asarray(scales.dims(stack.dim_blocks)),
            sampled=tuple(sampled),
            noise_scores=NormalScores.of(Inputs(dict(sampled))) if sampled else None,
        )

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        """The user's code that the density runs: the operators."""
        return tuple(term.operator.function for term in self.stack.terms)

    @property
    def n_dims(self) -> int:
        """Length of a position."""
        return self.stack.n_dims + len(self.sampled)

    def noise_scales(self, position: Float[Array, " dim"]) -> Float[Array, " constraint"]:
        """Noise scale of each constraint."""
        if self.noise_scores is None:
            return self.noise
        drawn = self.noise_scores(position[self.stack.n_dims :])
        places = np.array([self.stack.names.index(name) for name in self.sampled])
        return self.noise.at[places].set(drawn)

    def log_prior(self, position: Float[Array, " dim"]) -> Float[Array, ""]:
        """Of weights and of all standard normal scores."""
        inside = position[: self.stack.n_dims]
        white = jnp.concatenate([inside / self.prior, position[self.stack.n_dims :]])
        return -0.5 * (white @ white + len(white) * jnp.log(2 * jnp.pi)) - jnp.log(self.prior).sum()

    def log_likelihood(self, position: Float[Array, " dim"]) -> Float[Array, ""]:
        """Of all constraints, virtual observations included."""
        residual = self.stack.residual(position[: self.stack.n_dims])
        total = jnp.zeros(())
        for scale, rows in zip(self.noise_scales(position), self.stack.row_blocks.values(), strict=True):
            part = residual[rows] / scale
            total = total - 0.5 * (part @ part) - len(part) * (jnp.log(scale) + 0.5 * jnp.log(2 * jnp.pi))
        return total

    def constrain(self, position: Float[Array, " dim"]) -> dict[str, Array]:
        """Parameters in their own units, and the sampled noise scales."""
        scales = self.noise_scales(position)
        names = self.stack.names
        noise = {f"{NOISE_SCALE}_{name}": scales[names.index(name)] for name in self.sampled}
        return {**self.stack.parameters(position[: self.stack.n_dims]), **noise}

    def draw_prior(self, key: Key[jax.Array, ""]) -> Float[Array, " dim"]:
        """A draw of the prior."""
        white = jax.random.normal(key, (self.n_dims,))
        return white * jnp.concatenate([self.prior, jnp.ones(len(self.sampled))])

    def numpyro_model(self) -> None:
        """The same model in NumPyro's language, to go on with there: MCMC, Predictive, handlers.

        Its sites are `position`, the quantities of `constrain`, and one observed site a constraint.
        """
        white = numpyro.sample("white", dist.Normal(0.0, 1.0).expand([self.n_dims]).to_event(1))
        position = jnp.asarray(white) * jnp.concatenate([self.prior, jnp.ones(len(self.sampled))])
        numpyro.deterministic("position", position)
        for name, value in self.constrain(position).items():
            numpyro.deterministic(name, value)
        scales = self.noise_scales(position)
        residual = self.stack.residual(position[: self.stack.n_dims])
        for i, (term, (name, rows)) in enumerate(zip(self.stack.terms, self.stack.row_blocks.items(), strict=True)):
            value = term.target + residual[rows] * term.row_scale
            numpyro.sample(name, dist.Normal(value, scales[i] * term.row_scale).to_event(1), obs=term.target)


def whitening_of(
    factor: Float[np.ndarray, "dim dim"], score_errors: Float[np.ndarray, " scale"]
) -> Float[np.ndarray, "whole whole"]:
    """A factor of the stack's coordinates, extended by independent scores of the noise scales."""
    n, m = len(factor), len(score_errors)
    whole = np.zeros((n + m, n + m))
    whole[:n, :n] = factor
    whole[n:, n:] = np.diag(score_errors)
    return whole


def noise_score_errors(
    sampled: Mapping[str, object], fit: ScaleFit
) -> tuple[Float[np.ndarray, " scale"], Float[np.ndarray, " scale"]]:
    """Standard normal scores of learned noise scales, and their standard errors."""
    if not sampled:
        return np.zeros(0), np.zeros(0)
    inputs = Inputs(dict(sampled))
    scale = np.array([fit.laplace.mode.scales.noise[name] for name in sampled])
    error = np.array([fit.relative_error[name] for name in sampled])
    score, above = inputs.to_normal(np.stack([scale, scale * np.exp(0.1 * error)]))
    return score, (above - score) / 0.1
