"""Types that several folders share."""

import jax
from jaxtyping import Key

# A typed JAX key, or a plain integer seed from which one is made.
type PRNGKey = Key[jax.Array, ""] | int
