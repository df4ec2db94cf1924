"""Priors over the weights of a network."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float

from uqkit._typing import PRNGKey
from uqkit.errors import InputError
from uqkit.keys import as_key
from uqkit.nn.embeddings import FourierWaves
from uqkit.nn.flat import FlatNetwork, trainable
from uqkit.nn.layers import FactorisedLinear

__all__ = ["GaussianPrior"]


@dataclass(frozen=True, kw_only=True)
class GaussianPrior:
    """Independent normal weights and biases with mean zero.

    With `by_fan_in` a weight of a layer with n inputs has the standard deviation weight_scale / sqrt(n), so that the
    prior of the field does not widen with the network, and has a Gaussian process as its limit. Without, every
    weight has the standard deviation `weight_scale`. Trained frequencies of a `FourierEmbedding` have the standard
    deviation they are drawn with.

    Attributes:
        weight_scale: Of the weights.
        bias_scale: Standard deviation of the biases.
        by_fan_in: Whether the weights' standard deviation falls with the number of inputs of their layer.

    Reference:
        Neal (1996), Bayesian Learning for Neural Networks, chapter 2. `by_fan_in=False` with ones is the prior of
        Yang, Meng & Karniadakis (2021), B-PINNs, arXiv 2003.06097.
    """

    weight_scale: float = 1.0
    bias_scale: float = 1.0
    by_fan_in: bool = True

    def __post_init__(self) -> None:
        """Check the scales."""
        if not (0 < self.weight_scale < np.inf and 0 < self.bias_scale < np.inf):
            raise InputError(
                f"GaussianPrior(weight_scale={self.weight_scale}, bias_scale={self.bias_scale}): pass finite numbers "
                "above zero."
            )

    def scales(self, network: Any) -> Float[Array, " weight"]:
        """Prior standard deviation of each weight, in the order of `FlatNetwork(network).vector`.

        Args:
            network: Made of `equinox.nn.Linear` layers and uqkit's embeddings.

        Raises:
            InputError: If it has weights of other layers, whose scale nobody has said.
        """
        weights = eqx.filter(network, trainable(network))
        stray = [
            _name(path)
            for path, node in jax.tree_util.tree_leaves_with_path(weights, is_leaf=_is_layer)
            if not _is_layer(node)
        ]
        if stray:
            raise InputError(
                f"GaussianPrior knows no scale for {', '.join(stray)} of {type(network).__name__}; make it of "
                "equinox.nn.Linear layers, or wrap numbers that are not weights in `Fixed`."
            )
        of_layers = jax.tree_util.tree_map_with_path(self._of_layer, weights, is_leaf=_is_layer)
        return jnp.asarray(np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(of_layers)]))

    def distribution(self, network: Any) -> dist.Distribution:
        """The prior of the flat weight vector, as a NumPyro distribution."""
        return dist.Normal(0.0, self.scales(network)).to_event(1)

    def log_density(self, network: Any) -> Float[Array, ""]:
        """Log prior density of a network's weights, in nats."""
        return jnp.asarray(self.distribution(network).log_prob(FlatNetwork(network).vector))

    def draw[Network](self, network: Network, *, key: PRNGKey) -> Network:
        """The same network with weights drawn from the prior.

        Args:
            network: Whose shapes and fixed numbers are taken.
            key: Source of the weights.
        """
        scales = self.scales(network)
        return FlatNetwork(network).restore(scales * jax.random.normal(as_key(key), scales.shape, scales.dtype))

    def _of_layer(self, path: Any, layer: Any) -> Any:
        if isinstance(layer, FactorisedLinear):
            raise InputError(
                f"{_name(path)} has factorised weights, which have no Gaussian prior of their own; pass "
                "`without_factorisation(network)`, which is the same function."
            )
        if isinstance(layer, FourierWaves):
            return jax.tree.map(lambda leaf: np.full(leaf.shape, layer.scale, leaf.dtype), layer)
        weight_scale = self.weight_scale / (layer.in_features**0.5 if self.by_fan_in else 1.0)
        scaled = eqx.tree_at(
            lambda linear: linear.weight, layer, np.full(layer.weight.shape, weight_scale, layer.weight.dtype)
        )
        if layer.bias is None:
            return scaled
        return eqx.tree_at(
            lambda linear: linear.bias, scaled, np.full(layer.bias.shape, self.bias_scale, layer.bias.dtype)
        )


def _is_layer(node: Any) -> bool:
    return isinstance(node, (eqx.nn.Linear, FourierWaves, FactorisedLinear))


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")
