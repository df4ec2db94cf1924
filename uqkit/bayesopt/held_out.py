"""Predictions of training rows by the others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float, Int

from uqkit._typing import PRNGKey
from uqkit.keys import as_key, numpy_generator

__all__ = ["HeldOut", "folds", "gaussian_held_out"]


@dataclass(frozen=True)
class HeldOut:
    """Predictive distribution of each training row from others: a mixture of normals, on standardised outputs.

    Attributes:
        value: What was observed.
        mean: Of each member.
        sd: Of each member, noise included.
        how: By what rows a row was predicted, for people.
    """

    value: Float[np.ndarray, "row output"]
    mean: Float[np.ndarray, "member row output"]
    sd: Float[np.ndarray, "member row output"]
    how: str


def gaussian_held_out(
    value: Float[np.ndarray, "row output"],
    mean: Float[np.ndarray, "row output"],
    variance: Float[np.ndarray, "row output"],
) -> HeldOut:
    """Leave-one-out predictions that are normal."""
    return HeldOut(value, mean[None], np.sqrt(variance)[None], "all other rows, at the same scales")


def folds(
    n_rows: int, n_folds: int, *, key: PRNGKey
) -> Iterator[tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " left"], jax.Array]]:
    """Random parts of the rows in turn: rows kept, rows left out, and a key."""
    order = numpy_generator(as_key(key)).permutation(n_rows)
    parts: Sequence[np.ndarray] = np.array_split(order, min(n_folds, n_rows))
    for number, left in enumerate(parts):
        kept = np.setdiff1d(order, left)
        yield kept, left, jax.random.fold_in(as_key(key), number)
