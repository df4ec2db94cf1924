"""A network's weights as one vector and back: what samplers and Levenberg-Marquardt work on."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from uqkit.errors import InputError
from uqkit.nn.layers import Fixed

__all__ = ["FlatNetwork", "trainable"]


def trainable(network: Any) -> Any:
    """Which leaves of a network are weights, as `equinox.partition` and `optax.masked` take it.

    Returns:
        A tree of the network's structure: True for arrays of numbers that are not inside a `Fixed`.
    """

    def mark(node: Any) -> Any:
        if isinstance(node, Fixed):
            return jax.tree.map(lambda _: False, node)
        return eqx.is_inexact_array(node)

    return jax.tree.map(mark, network, is_leaf=lambda node: isinstance(node, Fixed))


class FlatNetwork(eqx.Module):
    """A network seen as a vector of its weights.

    Args:
        network: Any tree of arrays and functions.

    Raises:
        InputError: If nothing in it can be trained.
    """

    network: Any

    def __check_init__(self) -> None:
        """A network without weights is a mistake."""
        if not jax.tree.leaves(self._weights()):
            raise InputError(f"{type(self.network).__name__} has no arrays of weights; pass a network that has some.")

    @property
    def vector(self) -> Float[Array, " weight"]:
        """The weights, leaf after leaf in the order of `blocks`, each by rows."""
        return ravel_pytree(self._weights())[0]

    @property
    def n_weights(self) -> int:
        """Length of the vector."""
        return sum(leaf.size for leaf in jax.tree.leaves(self._weights()))

    @property
    def blocks(self) -> dict[str, slice]:
        """Name of a leaf, as `hidden.0.weight` -> its place in the vector; in order and without gaps."""
        leaves = jax.tree_util.tree_leaves_with_path(self._weights())
        found: dict[str, slice] = {}
        start = 0
        for path, leaf in leaves:
            found[jax.tree_util.keystr(path, simple=True, separator=".")] = slice(start, start + leaf.size)
            start += leaf.size
        return found

    def restore(self, vector: Float[Any, " weight"]) -> Any:
        """The network with other weights, in the precision of its own.

        Args:
            vector: Weights in the order of `vector`.

        Raises:
            InputError: If there are too many or too few.
        """
        if vector.shape != (self.n_weights,):
            raise InputError(f"`vector` has shape {vector.shape}, but the network has {self.n_weights} weights.")
        weights, rest = eqx.partition(self.network, trainable(self.network))
        own, unravel = ravel_pytree(weights)
        return eqx.combine(unravel(jnp.asarray(vector, own.dtype)), rest)

    def _weights(self) -> Any:
        return eqx.filter(self.network, trainable(self.network))
