"""Where in the unit cube a model is run: designs of points, each a recipe that a key turns into numbers."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.stats import qmc

from uqkit.errors import InputError
from uqkit.keys import as_key, numpy_generator

__all__ = ["Design", "LatinHypercube", "MonteCarlo", "ScrambledSobol"]


@runtime_checkable
class Design(Protocol):
    """A recipe for points in the open unit cube."""

    def usable_rows(self, n_rows: int) -> int:
        """Largest number of rows not above `n_rows` at which the design keeps its properties."""
        ...

    def unit_points(self, n_rows: int, n_dims: int, *, key: object) -> Float[np.ndarray, "row dim"]:
        """`n_rows` points strictly inside the unit cube."""
        ...


@dataclass(frozen=True, kw_only=True)
class MonteCarlo:
    """Independent uniform points."""

    def usable_rows(self, n_rows: int) -> int:
        """Every number of rows will do."""
        return n_rows

    def unit_points(self, n_rows: int, n_dims: int, *, key: object) -> Float[np.ndarray, "row dim"]:
        """Independent points; see `Design`."""
        # Half a step of the generator keeps 0, where quantiles are infinite, out of reach.
        return numpy_generator(as_key(key)).random((n_rows, n_dims)) + 2.0**-54


@dataclass(frozen=True, kw_only=True)
class LatinHypercube:
    """One point in each of `n_rows` equal strata of every input, the strata paired at random.

    Reference:
        McKay, Beckman & Conover (1979), Technometrics 21.
    """

    def usable_rows(self, n_rows: int) -> int:
        """Every number of rows will do."""
        return n_rows

    def unit_points(self, n_rows: int, n_dims: int, *, key: object) -> Float[np.ndarray, "row dim"]:
        """A Latin hypercube; see `Design`."""
        points = qmc.LatinHypercube(n_dims, rng=numpy_generator(as_key(key))).random(n_rows)
        return np.clip(points, 2.0**-54, 1 - 2.0**-53)


@dataclass(frozen=True, kw_only=True)
class ScrambledSobol:
    """Sobol' points with Matousek's linear matrix scramble and a random digital shift, as SciPy makes them.

    A power of two points form a net: every contiguous 2^k of them, counted from a multiple of 2^k, are again a
    scrambled net, and means over them converge faster than over independent points where the integrand is smooth.

    Reference:
        Owen (1998), Scrambling Sobol' and Niederreiter-Xing points; Matousek (1998).
    """

    def usable_rows(self, n_rows: int) -> int:
        """The largest power of two."""
        return 1 << (n_rows.bit_length() - 1) if n_rows > 0 else 0

    def unit_points(self, n_rows: int, n_dims: int, *, key: object) -> Float[np.ndarray, "row dim"]:
        """The first `n_rows` points of one scrambled sequence; see `Design`.

        Raises:
            InputError: If `n_rows` is no power of two, or the dimension is beyond the tabulated direction numbers.
        """
        if n_rows != self.usable_rows(n_rows):
            raise InputError(f"a Sobol' net has a power of two rows, got {n_rows}; use {self.usable_rows(n_rows)}.")
        if n_dims > qmc.Sobol.MAXDIM:
            raise InputError(
                f"Sobol' points exist up to {qmc.Sobol.MAXDIM} dimensions, {n_dims} are needed; use MonteCarlo()."
            )
        sequence = qmc.Sobol(n_dims, scramble=True, rng=numpy_generator(as_key(key)))
        # Half a step of the 30-bit lattice: no point is at 0, and the mean of a stratum stays at its centre.
        return sequence.random(n_rows) + 2.0**-31
