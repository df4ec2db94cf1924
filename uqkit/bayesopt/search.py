"""Searches without a surrogate: what every surrogate has to beat."""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float, Key
from scipy.stats import qmc

from uqkit.keys import numpy_generator
from uqkit.problems import Objective

__all__ = ["RandomSearch", "Search", "SobolSearch", "initial_points"]


@dataclass(frozen=True)
class RandomSearch:
    """Independent uniform points."""

    def points(
        self, objective: Objective, n_points: int, n_before: int, key: Key[jax.Array, ""]
    ) -> Float[np.ndarray, "point input"]:
        """The next points, inputs scaled to [0, 1], categories as codes.

        Args:
            objective: Whose inputs are chosen.
            n_points: How many points.
            n_before: Points so far.
            key: Of the whole search.
        """
        rng = numpy_generator(jax.random.fold_in(key, n_before))
        return _with_codes(objective, rng.random((n_points, len(objective.inputs))))


@dataclass(frozen=True)
class SobolSearch:
    """The sequence that the initial design begins, continued."""

    def points(
        self, objective: Objective, n_points: int, n_before: int, key: Key[jax.Array, ""]
    ) -> Float[np.ndarray, "point input"]:
        """As of `RandomSearch`."""
        sequence = qmc.Sobol(len(objective.inputs), rng=numpy_generator(key))
        # Drawn from the start in a power of two, of which SciPy warns otherwise.
        unit = sequence.random_base2((n_before + n_points - 1).bit_length())
        return _with_codes(objective, unit[n_before : n_before + n_points])


type Search = RandomSearch | SobolSearch


def initial_points(objective: Objective, n_points: int, key: Key[jax.Array, ""]) -> Float[np.ndarray, "point input"]:
    """The first points of a scrambled Sobol' sequence, inputs scaled to [0, 1], categories as codes."""
    return SobolSearch().points(objective, n_points, 0, key)


def _with_codes(objective: Objective, unit: Float[np.ndarray, "point input"]) -> Float[np.ndarray, "point input"]:
    points = unit.copy()
    for column, n_categories in objective.categorical.items():
        points[:, column] = np.minimum(np.floor(unit[:, column] * n_categories), n_categories - 1)
    return points
