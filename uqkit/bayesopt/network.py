"""The Bayesian network that all network surrogates share: one NumPyro model, whatever infers it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from uqkit.errors import InputError
from uqkit.nn import Activation, TanhUnit

__all__ = ["Embedding", "NetworkData", "NetworkModel", "OneHot", "WeightPrior"]

NOISE_VARIANCE = "noise_variance"
# What is sampled, as vectors; `NetworkModel.named` gives scales and weights their names.
SCALES = "scales"
WHITE = "white"


@dataclass(frozen=True)
class OneHot:
    """Categories as unit vectors: no two are more alike than others before the data are seen."""


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """Categories as points that are learned with the network: for many categories and few data.

    Attributes:
        n_dims: Coordinates of a category's point, with standard normal priors.
    """

    n_dims: int = 2

    def __post_init__(self) -> None:
        """Check the number."""
        if self.n_dims < 1:
            raise InputError(f"Embedding(n_dims={self.n_dims}): a category needs at least one coordinate.")


@dataclass(frozen=True, kw_only=True)
class WeightPrior:
    """Normal weights and biases whose scales are learned, and a learned noise; all on standardised data.

    A weight of a layer with n inputs is s z / sqrt(n), a bias of the first layer s z, other biases z, with z standard
    normal and a scale s of each layer that is log-normal. The last layer's scale is that of the function's values.
    What is sampled is z, s and the noise variance, so that a prior of another scale is no harder to sample.

    The defaults expect little noise, as in most optimisation of computer models: a wider prior of the noise takes a
    function that few rows cannot show for noise. For noisy measurements raise `noise_sd`, or give `train_Yvar`.

    Attributes:
        scale: Median of each hidden layer's scale.
        output_scale: Median of the last layer's scale.
        scale_spread: Standard deviation of the logarithm of the scales; 0 fixes them.
        noise_sd: Median of the noise, as a standard deviation of the standardised output.
        noise_spread: Standard deviation of the logarithm of the noise standard deviation; 0 fixes it.
        by_fan_in: Whether weights are divided by sqrt(n); without, pre-activations grow with the width until tanh
            saturates.

    Reference:
        Neal (1996), Bayesian Learning for Neural Networks, chapters 2 and 3.
        `WeightPrior(by_fan_in=False, scale=1, output_scale=1, scale_spread=0, noise_sd=0.1, noise_spread=0)` is the
        kind of prior of Li, Rudner & Wilson (2024), A study of Bayesian neural network surrogates for Bayesian
        optimization, arXiv 2305.20028.
    """

    scale: float = 3.0
    output_scale: float = 1.0
    scale_spread: float = 0.5
    noise_sd: float = 0.05
    noise_spread: float = 0.4
    by_fan_in: bool = True

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("scale", "output_scale", "noise_sd"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"WeightPrior({name}={getattr(self, name)}): pass a finite number above zero.")
        for name in ("scale_spread", "noise_spread"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"WeightPrior({name}={getattr(self, name)}): pass a finite number, zero to fix it.")


class NetworkData(eqx.Module):
    """What the network is conditioned on, padded to a length that many sample sizes share.

    Attributes:
        columns: Encoded inputs.
        outputs: Standardised outputs; anything finite in padded rows.
        present: 1 for rows of data, 0 for padding: a masked likelihood is exact.
        noise_variance: Known noise variances, standardised; None where the noise is learned.
    """

    columns: Float[Array, "row column"]
    outputs: Float[Array, "row output"]
    present: Float[Array, " row"]
    noise_variance: Float[Array, "row output"] | None


@dataclass(frozen=True, kw_only=True)
class NetworkModel:
    """A multilayer perceptron with a prior: a NumPyro model of `NetworkData`, and the function of given weights.

    Outputs share all hidden layers. The model is a value, equal to another of the same settings, so that what was
    compiled for one surrogate serves the next.

    Attributes:
        n_inputs: Inputs before encoding; the first layer's fan-in.
        n_columns: Columns after encoding.
        n_outputs: Outputs.
        widths: Of the hidden layers.
        activation: Of the hidden layers.
        prior: Of weights, scales and noise.
        blocks: First column and number of categories of each categorical input, which come last.
        encoding: What becomes of categories.
        known_noise: Whether the noise variances are data.
    """

    n_inputs: int
    n_columns: int
    n_outputs: int
    widths: tuple[int, ...]
    activation: Activation = TanhUnit()
    prior: WeightPrior = WeightPrior()
    blocks: tuple[tuple[int, int], ...] = ()
    encoding: OneHot | Embedding = OneHot()
    known_noise: bool = False

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Standard normal sites and their shapes, in order."""
        found: dict[str, tuple[int, ...]] = {}
        n_columns = self.n_columns
        if isinstance(self.encoding, Embedding):
            for number, (_, n_categories) in enumerate(self.blocks):
                found[f"embedding_{number}"] = (n_categories, self.encoding.n_dims)
                n_columns += self.encoding.n_dims - n_categories
        sizes = (n_columns, *self.widths, self.n_outputs)
        for layer, (rows, columns) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            found[f"weight_{layer}"] = (rows, columns)
            found[f"bias_{layer}"] = (columns,)
        return found

    @property
    def scale_names(self) -> tuple[str, ...]:
        """Sites of the layers' scales."""
        return tuple(f"scale_{layer}" for layer in range(len(self.widths) + 1))

    def __call__(self, data: NetworkData) -> None:
        """The NumPyro model."""
        # One vector of all weights, named only afterwards: XLA compiles a draw for every shape anew.
        n_scales, prior = len(self.scale_names), self.prior
        median = jnp.array([prior.scale] * (n_scales - 1) + [prior.output_scale])
        scales = _log_normal(SCALES, median, prior.scale_spread, (n_scales,))
        white = _sample(WHITE, dist.Normal(0.0, 1.0).expand((self.n_weights,)).to_event(1))
        sites = self.named(scales, white)
        for name, value in sites.items():
            numpyro.deterministic(name, value)
        if data.noise_variance is None:
            variance = _log_normal(
                NOISE_VARIANCE, self.prior.noise_sd**2, 2 * self.prior.noise_spread, (self.n_outputs,)
            )
        else:
            variance = data.noise_variance
        values = self.values(sites, data.columns)
        log_density = dist.Normal(values, jnp.sqrt(variance)).log_prob(data.outputs)
        numpyro.factor("log_likelihood", (data.present[:, None] * log_density).sum())

    @property
    def n_weights(self) -> int:
        """Weights, biases and coordinates of categories."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def named(self, scales: Float[Array, " layer"], white: Float[Array, " weight"]) -> dict[str, Array]:
        """Sites by name, from the vectors that are sampled."""
        sites = dict(zip(self.scale_names, scales, strict=True))
        start = 0
        for name, shape in self.shapes.items():
            stop = start + math.prod(shape)
            sites[name] = white[start:stop].reshape(shape)
            start = stop
        return sites

    def values(self, sites: Mapping[str, Array], columns: Float[Array, "point column"]) -> Float[Array, "point output"]:
        """The function at given sites.

        Args:
            sites: Scales and standard normal numbers by name.
            columns: Encoded points.
        """
        weight, bias = self.layer(sites, len(self.widths))
        return self.features(sites, columns) @ weight + bias

    def features(
        self, sites: Mapping[str, Array], columns: Float[Array, "point column"]
    ) -> Float[Array, "point feature"]:
        """What the last layer sees."""
        values = self._embedded(sites, columns)
        for layer in range(len(self.widths)):
            weight, bias = self.layer(sites, layer)
            values = self.activation(values @ weight + bias)
        return values

    def layer(
        self, sites: Mapping[str, Array], layer: int
    ) -> tuple[Float[Array, "input output"], Float[Array, " output"]]:
        """Weight matrix and bias of a layer, multiplied out."""
        scale = sites[self.scale_names[layer]]
        weight, bias = sites[f"weight_{layer}"], sites[f"bias_{layer}"]
        if not self.prior.by_fan_in:
            return scale * weight, scale * bias
        # The fan-in of one-hot columns is that of the input they stand for: one of them is 1.
        fan_in = self.n_inputs if layer == 0 else weight.shape[0]
        outer = layer in (0, len(self.widths))
        return scale * weight / math.sqrt(fan_in), scale * bias if outer else bias

    def _embedded(self, sites: Mapping[str, Array], columns: Float[Array, "point column"]) -> Array:
        if not isinstance(self.encoding, Embedding) or not self.blocks:
            return columns
        parts = [columns[:, : self.blocks[0][0]]]
        for number, (start, n_categories) in enumerate(self.blocks):
            parts.append(columns[:, start : start + n_categories] @ sites[f"embedding_{number}"])
        return jnp.concatenate(parts, axis=1)


def _sample(name: str, law: dist.Distribution) -> Array:
    value = numpyro.sample(name, law)
    assert isinstance(value, Array)
    return value


def _log_normal(name: str, median: Any, spread: float, shape: tuple[int, ...]) -> Array:
    """A log-normal site, or its median as a constant."""
    median = jnp.broadcast_to(jnp.asarray(median, dtype=float), shape)
    if spread == 0:
        value = numpyro.deterministic(name, median)
        assert isinstance(value, Array)
        return value
    return _sample(name, dist.LogNormal(jnp.log(median), spread).to_event(len(shape)))
