"""Dependence between inputs, apart from their marginal laws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from uqkit.errors import InputError

__all__ = ["GaussianCopula"]


@dataclass(frozen=True, eq=False)
class GaussianCopula:
    """Dependence of a multivariate normal vector.

    Attributes:
        correlation: Correlations of the normal scores, either pair of input names -> correlation, pairs left out being
            uncorrelated, or the whole matrix (input, input) in the order of the inputs. They are close to, and not
            quite, the rank correlations: a Spearman correlation s belongs to 2 sin(pi s / 6).

    Reference:
        Nelsen (2006), An Introduction to Copulas, section 2.3; Lebrun & Dutfoy (2009), Probabilistic Engineering
        Mechanics 24, on the Nataf transformation.
    """

    correlation: Mapping[tuple[str, str], float] | Float[np.ndarray, "input input"]

    def matrix(self, names: Sequence[str]) -> Float[np.ndarray, "input input"]:
        """Correlation matrix for inputs of these names.

        Raises:
            InputError: If a pair names an unknown input, or the matrix is no correlation matrix.
        """
        if isinstance(self.correlation, Mapping):
            matrix = np.eye(len(names))
            for pair, value in self.correlation.items():
                i, j = self._places(pair, names)
                matrix[i, j] = matrix[j, i] = value
        else:
            matrix = np.array(self.correlation, dtype=float)
            if matrix.shape != (len(names), len(names)):
                raise InputError(
                    f"the correlation matrix has shape {matrix.shape}; {len(names)} inputs need one of "
                    f"({len(names)}, {len(names)}), in the order {', '.join(names)}."
                )
        if not (np.allclose(matrix, matrix.T) and np.allclose(np.diag(matrix), 1)):
            raise InputError("the correlation matrix must be symmetric with ones on its diagonal.")
        smallest = np.linalg.eigvalsh(matrix)[0]
        if not smallest > 1e-10:
            raise InputError(
                f"the correlations contradict each other: their matrix has the eigenvalue {smallest:.3g}, and all must "
                "be above zero; weaken some, or drop an input that others determine."
            )
        return matrix

    def _places(self, pair: Any, names: Sequence[str]) -> tuple[int, int]:
        if not isinstance(pair, tuple) or len(pair) != 2 or pair[0] == pair[1]:
            raise InputError(f"the correlation of {pair!r} was given; name two different inputs, ('a', 'b'): 0.5.")
        for name in pair:
            if name not in names:
                raise InputError(f"a correlation names {name!r}, which is no input; inputs: {', '.join(names)}.")
        return names.index(pair[0]), names.index(pair[1])
