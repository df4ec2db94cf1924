"""A polynomial surrogate as control variate: cross-fitted, its means known to more digits than a sample gives."""

from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import comb

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import qmc

from uqkit.errors import InputError
from uqkit.sensitivity.importance.proposals import Draws
from uqkit.sensitivity.importance.targets import Targets
from uqkit.stats import fold_slices, truncated_solve

__all__ = ["PolynomialSurrogate", "surrogate_corrected"]


@dataclass(frozen=True, kw_only=True)
class PolynomialSurrogate:
    """Least-squares polynomial in every coordinate, each fold's coefficients from the other folds.

    Its means under the laws come from scrambled Sobol' nets that call no model; the spread of `n_nets` of them is
    added to the error of the estimate.

    Attributes:
        degree: Total degree; None for the highest up to `max_degree` with `draws_per_term` fitting draws a term.
        max_degree: Where `degree` is None.
        draws_per_term: Where `degree` is None.
        n_folds: Parts of the sample.
        n_nets: Scrambled nets a law.
        net_exponent: Each net has two to this power points.
    """

    degree: int | None = None
    max_degree: int = 5
    draws_per_term: float = 20.0
    n_folds: int = 5
    n_nets: int = 8
    net_exponent: int = 11

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            InputError: If the degree is below one, or there are too few folds or nets.
        """
        if self.degree is not None and self.degree < 1:
            raise InputError(f"degree is {self.degree}; pass at least 1, or None to choose it by the sample.")
        if self.n_folds < 2 or self.n_nets < 2:
            raise InputError(f"n_folds is {self.n_folds} and n_nets {self.n_nets}; pass at least 2 of each.")

    def chosen_degree(self, n_draws: int, dim: int) -> int:
        """The degree for a sample; 0 where even a linear one has too few draws."""
        if self.degree is not None:
            return self.degree
        most_terms = n_draws * (1 - 1 / self.n_folds) / self.draws_per_term
        return max((d for d in range(1, self.max_degree + 1) if comb(dim + d, d) <= most_terms), default=0)


def surrogate_corrected(
    targets: Targets,
    surrogate: PolynomialSurrogate,
    draws: Draws,
    law_ratio: Float[np.ndarray, "draw law"],
    ratio: Float[np.ndarray, "draw expectation"],
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "draw expectation"], Float[np.ndarray, " expectation"]]:
    """Terms (f_j / h) (phi - p) + E_j[p] a draw, p from the other folds, and the variance that estimated means add.

    What the polynomial does not follow is corrected by the first part and not assumed away.
    """
    n_draws, dim = draws.x.shape
    exponents = _monomial_exponents(dim, surrogate.chosen_degree(n_draws, dim))
    centre, scale = draws.x.mean(axis=0), draws.x.std(axis=0)
    basis = _monomials((draws.x - centre) / scale, exponents)
    folds = fold_slices(n_draws, surrogate.n_folds)
    coefficients = _cross_fitted_coefficients(basis, draws.value, folds)
    moments = np.stack(
        [_moments(targets, law, surrogate, exponents, centre, scale, rng) for law in range(len(targets.laws))]
    )
    n_expectations = ratio.shape[1]
    corrected = np.empty_like(ratio)
    for fold, coefficient in zip(folds, coefficients, strict=True):
        mean = np.einsum("lt,tf->fl", moments.mean(axis=1), coefficient).reshape(n_expectations)
        predicted = basis[fold] @ coefficient
        followed = (predicted[:, :, None] * law_ratio[fold][:, None, :]).reshape(-1, n_expectations)
        corrected[fold] = ratio[fold] - followed + mean
    by_net = np.einsum("lrt,tf->rfl", moments, np.mean(coefficients, axis=0)).reshape(surrogate.n_nets, -1)
    return corrected, by_net.var(axis=0, ddof=1) / surrogate.n_nets


def _moments(
    targets: Targets,
    law: int,
    surrogate: PolynomialSurrogate,
    exponents: Int[np.ndarray, "term dim"],
    centre: Float[np.ndarray, " dim"],
    scale: Float[np.ndarray, " dim"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "net term"]:
    """Means of the monomials under one law, one row a net."""
    means = []
    for _ in range(surrogate.n_nets):
        unit = qmc.Sobol(targets.dim, rng=rng).random_base2(surrogate.net_exponent) + 2.0**-31
        means.append(_monomials((targets.laws[law].from_unit(unit) - centre) / scale, exponents).mean(axis=0))
    return np.array(means)


def _monomial_exponents(dim: int, degree: int) -> Int[np.ndarray, "term dim"]:
    """Exponents of every monomial of total degree at most `degree`, lower degrees first."""
    rows = [
        np.bincount(np.array(chosen, dtype=int), minlength=dim)
        for total in range(degree + 1)
        for chosen in combinations_with_replacement(range(dim), total)
    ]
    return np.array(rows)


def _monomials(
    z: Float[np.ndarray, "draw dim"], exponents: Int[np.ndarray, "term dim"]
) -> Float[np.ndarray, "draw term"]:
    """Each monomial is a lower one times one coordinate."""
    index = {tuple(row): term for term, row in enumerate(exponents.tolist())}
    value = np.ones((len(z), len(exponents)))
    for term, row in enumerate(exponents.tolist()[1:], start=1):
        i = max(k for k, power in enumerate(row) if power)
        row[i] -= 1
        value[:, term] = value[:, index[tuple(row)]] * z[:, i]
    return value


def _cross_fitted_coefficients(
    basis: Float[np.ndarray, "draw term"], value: Float[np.ndarray, "draw function"], folds: list[slice]
) -> list[Float[np.ndarray, "term function"]]:
    """Least-squares coefficients for each fold from the other folds."""
    sums = [(basis[fold].T @ basis[fold], basis[fold].T @ value[fold]) for fold in folds]
    gram, cross = (np.sum(parts, axis=0) for parts in zip(*sums, strict=True))
    return [truncated_solve(gram - own_gram, cross - own_cross, relative_cutoff=1e-13) for own_gram, own_cross in sums]
