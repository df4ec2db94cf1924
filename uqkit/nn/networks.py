"""Networks of one point, and the settings that they are built from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from uqkit._typing import PRNGKey
from uqkit.errors import InputError
from uqkit.keys import as_key
from uqkit.nn.embeddings import FourierEmbedding, FourierWaves, PeriodicEmbedding, PeriodicWaves
from uqkit.nn.layers import (
    Activation,
    FactorisedLinear,
    Standardise,
    TanhUnit,
    WeightFactorisation,
    glorot_linear,
)

__all__ = ["MLP", "Architecture", "FeedForward", "Gated", "GatedMLP", "InputLayers", "Network"]


@runtime_checkable
class Network(Protocol):
    """A function of one point; many points go through `jax.vmap(network)`."""

    def __call__(self, point: Float[Array, " input"]) -> Float[Array, " output"]:
        """The outputs at a point."""
        ...


@runtime_checkable
class Architecture(Protocol):
    """Settings that a network can be built from once its inputs and outputs are known."""

    def build(
        self, coordinates: Sequence[str], n_outputs: int, *, standardise: Standardise | None = None, key: PRNGKey
    ) -> Network:
        """A network with random weights."""
        ...


class InputLayers(eqx.Module):
    """What comes before the weights: periodic waves of the coordinates, standardisation, random waves."""

    periodic: PeriodicWaves | None
    standardise: Standardise | None
    fourier: FourierWaves | None

    def __call__(self, point: Float[Array, " input"]) -> Float[Array, " column"]:
        """What the first layer sees of a point."""
        for layer in (self.periodic, self.standardise, self.fourier):
            point = point if layer is None else layer(point)
        return point


class FeedForward(eqx.Module):
    """A multilayer perceptron with a linear last layer; built by `MLP`."""

    inputs: InputLayers
    hidden: tuple[eqx.nn.Linear | FactorisedLinear, ...]
    last: eqx.nn.Linear | FactorisedLinear
    activation: Activation = eqx.field(static=True)

    def hidden_values(self, point: Float[Array, " input"]) -> Float[Array, " hidden"]:
        """What the last layer sees: the features of a posterior over the last layer alone."""
        values = self.inputs(point)
        for layer in self.hidden:
            values = self.activation(layer(values))
        return values

    def __call__(self, point: Float[Array, " input"]) -> Float[Array, " output"]:
        """The outputs at a point."""
        return self.last(self.hidden_values(point))


class Gated(eqx.Module):
    """A multilayer perceptron whose hidden layers mix two encodings of the point; built by `GatedMLP`."""

    inputs: InputLayers
    encoders: tuple[eqx.nn.Linear | FactorisedLinear, eqx.nn.Linear | FactorisedLinear]
    hidden: tuple[eqx.nn.Linear | FactorisedLinear, ...]
    last: eqx.nn.Linear | FactorisedLinear
    activation: Activation = eqx.field(static=True)

    def hidden_values(self, point: Float[Array, " input"]) -> Float[Array, " hidden"]:
        """What the last layer sees: the features of a posterior over the last layer alone."""
        values = self.inputs(point)
        first, second = (self.activation(encoder(values)) for encoder in self.encoders)
        # (1 - Z) U + Z V with one product less.
        difference = second - first
        for layer in self.hidden:
            values = first + self.activation(layer(values)) * difference
        return values

    def __call__(self, point: Float[Array, " input"]) -> Float[Array, " output"]:
        """The outputs at a point."""
        return self.last(self.hidden_values(point))


@dataclass(frozen=True, kw_only=True)
class MLP:
    """A multilayer perceptron: Glorot normal weights, a linear last layer.

    Attributes:
        widths: Of the hidden layers.
        activation: `TanhUnit()`, `SineUnit()`, `SwishUnit()`, or any smooth elementwise function of JAX; a result
            can write down only the first three.
        periodic: Coordinates in which the network is periodic.
        fourier: Random waves in place of the coordinates.
        factorisation: How weights are trained; None for as they are.
        bias_sd: Standard deviation of the biases of hidden layers at first; 0 is customary. With it a network of an odd
            activation begins as an odd function of its standardised inputs, and Adam is slow to leave that: 1 trains to
            errors two to three times smaller on solutions that are not odd.
    """

    widths: Sequence[int] = (50, 50, 50)
    activation: Activation = TanhUnit()
    periodic: PeriodicEmbedding | None = None
    fourier: FourierEmbedding | None = None
    factorisation: WeightFactorisation | None = None
    bias_sd: float = 0.0

    def __post_init__(self) -> None:
        """Check the settings."""
        _check_layers("MLP", self.widths, self.activation)
        if not 0 <= self.bias_sd < float("inf"):
            raise InputError(f"MLP(bias_sd={self.bias_sd}): pass a finite number of zero or more.")

    def build(
        self, coordinates: Sequence[str], n_outputs: int, *, standardise: Standardise | None = None, key: PRNGKey
    ) -> FeedForward:
        """A network with random weights, in double precision if that is on.

        Args:
            coordinates: Names of the inputs, in order.
            n_outputs: How many numbers it returns.
            standardise: Mean and standard deviation of the inputs; None takes them for standardised. Coordinates of
                a periodic embedding need none, they go to waves as they are.
            key: Source of the weights.

        Raises:
            InputError: If the settings do not fit the inputs.
        """
        inputs_key, layers_key = jax.random.split(as_key(key))
        inputs, n_columns = _input_layers(
            coordinates, n_outputs, standardise, self.periodic, self.fourier, key=inputs_key
        )
        *hidden, last = _layers(
            (n_columns, *self.widths, n_outputs), self.factorisation, bias_sd=self.bias_sd, key=layers_key
        )
        return FeedForward(inputs, tuple(hidden), last, self.activation)


@dataclass(frozen=True, kw_only=True)
class GatedMLP:
    """The "improved fully-connected" network of Wang, Teng & Perdikaris, later called the modified perceptron.

    With the point x as the first layer sees it and a the activation,

        U = a(W_u x + b_u),  V = a(W_v x + b_v),  H_0 = x,
        Z_k = a(W_k H_{k-1} + b_k),  H_k = (1 - Z_k) U + Z_k V,  k = 1, ..., n,

    and a linear last layer. This is the variant of the authors' released code, which their tables were computed with:
    every hidden layer is gated, from the first on. The equations as printed begin with an ungated layer, which the
    gates follow. The code writes Z U + (1 - Z) V, which is the same with the encoders' names swapped. As in the code,
    weights are Glorot normal, biases of the layers zero, and biases of the encoders Normal(0, sqrt(2 / (1 + width))).

    Attributes:
        widths: Of the hidden layers, all the same.
        activation: `TanhUnit()`, `SineUnit()`, `SwishUnit()`, or any smooth elementwise function of JAX; a result
            can write down only the first three.
        periodic: Coordinates in which the network is periodic.
        fourier: Random waves in place of the coordinates.
        factorisation: How weights are trained; None for as they are.

    Reference:
        Wang, Teng & Perdikaris (2021), Understanding and mitigating gradient flow pathologies in physics-informed
        neural networks, SIAM Journal on Scientific Computing 43(5), the section on an improved fully-connected
        architecture; arXiv 2001.04536.
    """

    widths: Sequence[int] = (50, 50, 50)
    activation: Activation = TanhUnit()
    periodic: PeriodicEmbedding | None = None
    fourier: FourierEmbedding | None = None
    factorisation: WeightFactorisation | None = None

    def __post_init__(self) -> None:
        """Check the settings."""
        _check_layers("GatedMLP", self.widths, self.activation)
        if len(set(self.widths)) > 1:
            raise InputError(
                f"GatedMLP(widths={self.widths}): every hidden layer mixes the same two encodings; give all one width."
            )

    def build(
        self, coordinates: Sequence[str], n_outputs: int, *, standardise: Standardise | None = None, key: PRNGKey
    ) -> Gated:
        """A network with random weights, in double precision if that is on.

        Args:
            coordinates: Names of the inputs, in order.
            n_outputs: How many numbers it returns.
            standardise: Mean and standard deviation of the inputs; None takes them for standardised. Coordinates of
                a periodic embedding need none, they go to waves as they are.
            key: Source of the weights.

        Raises:
            InputError: If the settings do not fit the inputs.
        """
        inputs_key, layers_key, first_key, second_key = jax.random.split(as_key(key), 4)
        inputs, n_columns = _input_layers(
            coordinates, n_outputs, standardise, self.periodic, self.fourier, key=inputs_key
        )
        width = self.widths[0]
        bias_sd = (2.0 / (1 + width)) ** 0.5
        first, second = (
            glorot_linear(n_columns, width, factorisation=self.factorisation, bias_sd=bias_sd, key=encoder_key)
            for encoder_key in (first_key, second_key)
        )
        *hidden, last = _layers((n_columns, *self.widths, n_outputs), self.factorisation, key=layers_key)
        return Gated(inputs, (first, second), tuple(hidden), last, self.activation)


def _check_layers(name: str, widths: Sequence[int], activation: Activation) -> None:
    if not widths or min(widths) < 1:
        raise InputError(f"{name}(widths={widths}): pass the width of at least one hidden layer, all above zero.")
    if not callable(activation):
        raise InputError(f"{name}(activation={activation!r}): pass a function, such as TanhUnit().")


def _input_layers(
    coordinates: Sequence[str],
    n_outputs: int,
    standardise: Standardise | None,
    periodic: PeriodicEmbedding | None,
    fourier: FourierEmbedding | None,
    *,
    key: Key[jax.Array, ""],
) -> tuple[InputLayers, int]:
    """What comes before the weights, and its number of columns."""
    if isinstance(coordinates, str) or not coordinates or n_outputs < 1:
        raise InputError(
            f"coordinates={coordinates!r}, n_outputs={n_outputs}: pass a tuple of names and at least one output."
        )
    if standardise is not None and standardise.mean.array.shape != (len(coordinates),):
        raise InputError(
            f"`standardise` is for {standardise.mean.array.size} coordinates, but there are {len(coordinates)} "
            f"({', '.join(coordinates)}); pass one mean and standard deviation for each."
        )
    n_columns, waves = len(coordinates), None
    if periodic is not None:
        waves = periodic.build(coordinates)
        n_columns = len(waves.passing) + waves.n_waves
        if standardise is not None:
            standardise = standardise.of_columns(list(waves.passing), waves.n_waves)
    if fourier is None:
        return InputLayers(waves, standardise, None), n_columns
    return InputLayers(waves, standardise, fourier.build(n_columns, key=key)), 2 * fourier.n_frequencies


def _layers(
    sizes: Sequence[int], factorisation: WeightFactorisation | None, *, bias_sd: float = 0.0, key: Key[jax.Array, ""]
) -> list[eqx.nn.Linear | FactorisedLinear]:
    keys = jax.random.split(key, len(sizes) - 1)
    # The last layer's bias is the mean of the field, for which nothing is known.
    spread = [*[bias_sd] * (len(sizes) - 2), 0.0]
    return [
        glorot_linear(n_inputs, n_outputs, factorisation=factorisation, bias_sd=sd, key=layer_key)
        for n_inputs, n_outputs, sd, layer_key in zip(sizes[:-1], sizes[1:], spread, keys, strict=True)
    ]
