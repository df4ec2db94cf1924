"""Randomness comes in as a key: from a key or an integer to JAX and NumPy generators."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Key

from uqkit.errors import InputError

__all__ = ["as_key", "key_from_label", "key_label", "numpy_generator"]


def as_key(key: object) -> Key[jax.Array, ""]:
    """Typed JAX key from what a caller passed as `key=`.

    Args:
        key: A key made by `jax.random.key`, an old-style key of `jax.random.PRNGKey`, or an int.

    Raises:
        InputError: If it is none of these, or an array of keys.
    """
    if isinstance(key, jax.Array):
        if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
            typed = key
        elif key.dtype == jnp.uint32 and key.ndim == 1:
            typed = jax.random.wrap_key_data(key)
        else:
            raise InputError(f"`key` is a {key.dtype} array of shape {key.shape}; pass jax.random.key(0) or an int.")
        if typed.shape != ():
            raise InputError(f"`key` is an array of keys of shape {typed.shape}; pass one key, say `keys[0]`.")
        return typed
    if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
        if not -(2**63) <= key < 2**63:
            raise InputError(f"`key` is {key}, which is too large; pass an int of at most 64 bits.")
        # An int of more than 32 bits would lose its upper half without 64-bit mode.
        with jax.enable_x64(True):
            return jax.random.key(int(key))
    raise InputError(f"`key` is {key!r} ({type(key).__name__}); pass an int such as key=0, or jax.random.key(0).")


def numpy_generator(key: Key[jax.Array, ""]) -> np.random.Generator:
    """NumPy generator seeded by a JAX key, for the designs and resamplers that run on the host."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())


def key_label(key: Key[jax.Array, ""]) -> str:
    """The key as text that fits a file's attribute and gives the key back by its numbers."""
    data = ", ".join(str(word) for word in np.asarray(jax.random.key_data(key)).ravel())
    return f"{jax.random.key_impl(key)}[{data}]"


def key_from_label(label: str) -> Key[jax.Array, ""]:
    """The key that `key_label` wrote."""
    implementation, _, words = label.rstrip("]").partition("[")
    data = np.array([int(word) for word in words.split(",")], dtype=np.uint32)
    return jax.random.wrap_key_data(jnp.asarray(data), impl=implementation)
