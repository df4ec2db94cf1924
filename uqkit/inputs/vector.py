"""The vector of uncertain inputs: names, marginals, units, and maps between its coordinate systems."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import special

from uqkit.errors import InputError
from uqkit.inputs.copula import GaussianCopula
from uqkit.inputs.designs import Design, MonteCarlo
from uqkit.inputs.marginals import Elementwise, Marginal, as_marginal

__all__ = ["Inputs", "check_groups"]


class Inputs:
    """A named, ordered vector of uncertain inputs.

    Args:
        distributions: Name -> distribution, in the order of the model's arguments: scalar continuous NumPyro or
            SciPy distributions, mixed as you like.
        units: Name -> unit; inputs left out are dimensionless, "1".
        descriptions: Name -> a few words for labels and tables; inputs left out are described by their name.
        groups: Group -> its inputs, for grouped sensitivity indices; an input belongs to at most one group.
        copula: Dependence between the inputs; independent by default.
        categories: Name -> labels of its categories, of an input that is Uniform(0, number of them) and that the model
            rounds down to a category's number; an optimisation gives it whole numbers only.

    Raises:
        InputError: If there are no inputs, a name is empty or unknown, or a distribution cannot be used.
    """

    def __init__(
        self,
        distributions: Mapping[str, Any],
        *,
        units: Mapping[str, str] | None = None,
        descriptions: Mapping[str, str] | None = None,
        groups: Mapping[str, Sequence[str]] | None = None,
        copula: GaussianCopula | None = None,
        categories: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """See the class."""
        if not distributions:
            raise InputError("no inputs given; pass a dict of at least one name -> distribution.")
        for name in distributions:
            if not isinstance(name, str) or not name.strip() or "/" in name:
                raise InputError(f"input name {name!r} cannot label a result; use a non-empty text without '/'.")
        self.marginals: dict[str, Marginal] = {
            name: as_marginal(name, distribution) for name, distribution in distributions.items()
        }
        self.names: tuple[str, ...] = tuple(self.marginals)
        self.units = self._per_input("units", units, "1")
        self.descriptions = self._per_input("descriptions", descriptions, None)
        self.groups = check_groups(groups, self.names) if groups else None
        self.categories = {name: self._checked_categories(name, each) for name, each in (categories or {}).items()}
        self.correlation = copula.matrix(self.names) if copula is not None else np.eye(len(self.names))
        self._factor = np.linalg.cholesky(self.correlation)

    def _per_input(self, what: str, given: Mapping[str, str] | None, default: str | None) -> dict[str, str]:
        unknown = set(given or ()) - set(self.names)
        if unknown:
            raise InputError(
                f"`{what}` names {', '.join(sorted(unknown))}, which are no inputs; inputs: {', '.join(self.names)}."
            )
        return {name: (given or {}).get(name, name if default is None else default) for name in self.names}

    def _checked_categories(self, name: str, labels: Sequence[str]) -> tuple[str, ...]:
        if name not in self.names:
            raise InputError(f"`categories` names {name!r}, which is no input; inputs: {', '.join(self.names)}.")
        if isinstance(labels, str) or len(labels) < 2 or len(set(labels)) < len(labels):
            raise InputError(f"categories of {name!r} are {labels!r}; pass at least two labels, each once.")
        marginal, n = self.marginals[name], len(labels)
        if marginal.support != (0.0, n) or abs(float(marginal.cdf(np.array(n / 4.0))) - 0.25) > 1e-9:
            raise InputError(f"input {name!r} has {n} categories; its distribution must be Uniform(0, {n}).")
        return tuple(labels)

    def __len__(self) -> int:
        """Number of inputs."""
        return len(self.names)

    def __repr__(self) -> str:
        """Names and laws, one a line."""
        lines = (f"  {name}: {_law(marginal)} [{self.units[name]}]" for name, marginal in self.marginals.items())
        dependence = f"dependent: {', '.join(self.dependent)}" if self.dependent else "independent"
        return "\n".join((f"Inputs({len(self)}, {dependence})", *lines))

    @property
    def dependent(self) -> tuple[str, ...]:
        """Names of the inputs that are correlated with another."""
        linked = (self.correlation != np.eye(len(self))).any(axis=1)
        return tuple(name for name, is_linked in zip(self.names, linked, strict=True) if is_linked)

    def _columns(self, values: object, what: str) -> Float[np.ndarray, "draw input"]:
        array = np.asarray(values, dtype=float)
        if array.ndim != 2 or array.shape[1] != len(self):
            raise InputError(
                f"`{what}` has shape {array.shape}; pass one row a draw and one column an input, "
                f"(draw, {len(self)}), in the order {', '.join(self.names)}."
            )
        return array

    def from_unit(self, unit: Float[np.ndarray, "draw input"]) -> Float[np.ndarray, "draw input"]:
        """Physical values of points in the open unit cube, where the inputs are independent and uniform.

        By each input's quantile function; of dependent inputs, by the inverse of Rosenblatt's transformation.

        Raises:
            InputError: If the shape is wrong or a value is not strictly between 0 and 1.
        """
        unit = self._columns(unit, "unit")
        if not ((unit > 0) & (unit < 1)).all():
            raise InputError("`unit` must lie strictly between 0 and 1: quantiles at the ends may be infinite.")
        if self.dependent:
            return self.from_normal(special.ndtri(unit))
        return self._by_input(unit, [marginal.quantile for marginal in self.marginals.values()])

    def to_unit(self, values: Float[np.ndarray, "draw input"]) -> Float[np.ndarray, "draw input"]:
        """Points of the unit cube from physical values; the inverse of `from_unit`.

        Reference:
            Rosenblatt (1952), Remarks on a multivariate transformation, Annals of Mathematical Statistics 23.
        """
        values = self._columns(values, "values")
        if self.dependent:
            return special.ndtr(self.to_normal(values))
        return self._by_input(values, [marginal.cdf for marginal in self.marginals.values()])

    def from_normal(self, normal: Float[np.ndarray, "draw input"]) -> Float[np.ndarray, "draw input"]:
        """Physical values of independent standard normal coordinates."""
        scores = self._columns(normal, "normal") @ self._factor.T
        # Each half by its own tail keeps the digits far out; beyond 37 the normal tail is zero in double precision.
        tail = np.maximum(special.ndtr(-np.abs(scores)), np.finfo(float).tiny)
        lower = self._by_input(tail, [marginal.quantile for marginal in self.marginals.values()])
        upper = self._by_input(tail, [marginal.upper_quantile for marginal in self.marginals.values()])
        return np.where(scores < 0, lower, upper)

    def to_normal(self, values: Float[np.ndarray, "draw input"]) -> Float[np.ndarray, "draw input"]:
        """Independent standard normal coordinates of physical values; infinite at the ends of the support."""
        scores = self._scores(self._columns(values, "values"))
        if not self.dependent:
            return scores
        return np.linalg.solve(self._factor, scores.T).T

    def _scores(self, values: Float[np.ndarray, "draw input"]) -> Float[np.ndarray, "draw input"]:
        """Standard normal score of each input on its own."""
        below = self._by_input(values, [marginal.cdf for marginal in self.marginals.values()])
        above = self._by_input(values, [marginal.survival for marginal in self.marginals.values()])
        return np.where(below < 0.5, special.ndtri(below), -special.ndtri(above))

    def _by_input(
        self, values: Float[np.ndarray, "draw input"], functions: Sequence[Elementwise]
    ) -> Float[np.ndarray, "draw input"]:
        return np.column_stack([function(values[:, i]) for i, function in enumerate(functions)]).astype(float)

    def log_density(self, values: Float[np.ndarray, "draw input"]) -> Float[np.ndarray, " draw"]:
        """Joint log density, in nats; -inf outside the support."""
        values = self._columns(values, "values")
        marginals = self._by_input(values, [marginal.log_density for marginal in self.marginals.values()]).sum(axis=1)
        if not self.dependent:
            return marginals
        inside = np.isfinite(marginals)
        scores = self._scores(values[inside])
        independent = np.linalg.solve(self._factor, scores.T).T
        copula = 0.5 * (scores**2 - independent**2).sum(axis=1) - np.log(np.diag(self._factor)).sum()
        marginals[inside] += copula
        return marginals

    def sample(self, n_draws: int, *, key: object, design: Design | None = None) -> Float[np.ndarray, "draw input"]:
        """Draws of the inputs.

        Args:
            n_draws: How many; a power of two for `ScrambledSobol`.
            key: A JAX key or an int.
            design: Where in the unit cube; independent points by default.
        """
        design = MonteCarlo() if design is None else design
        return self.from_unit(design.unit_points(n_draws, len(self), key=key))


def _law(marginal: Marginal) -> str:
    distribution = marginal.distribution
    if hasattr(distribution, "dist"):  # SciPy's frozen distributions print only their address
        parameters = [f"{v:g}" for v in distribution.args] + [f"{k}={v:g}" for k, v in distribution.kwds.items()]
        return f"{distribution.dist.name}({', '.join(parameters)})"
    lower, upper = marginal.support
    return f"{type(distribution).__name__} on [{lower:g}, {upper:g}]"


def check_groups(groups: Mapping[str, Sequence[str]], names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Groups of inputs, completed: an input that no group names stands alone under its own name.

    Raises:
        InputError: If a group is empty or no list, names an unknown input, or two groups share one.
    """
    if not isinstance(groups, Mapping):
        raise InputError(f"`groups` is {groups!r}; pass a dict of group -> list of its inputs, {{'g': ['a', 'b']}}.")
    owner: dict[str, str] = {}
    for group, members in groups.items():
        if isinstance(members, str) or not members:
            raise InputError(f"group {group!r} is {members!r}; pass a list of at least one input name.")
        for name in members:
            if name not in names:
                raise InputError(f"group {group!r} names {name!r}, which is no input; inputs: {', '.join(names)}.")
            if name in owner:
                raise InputError(f"input {name!r} is in the groups {owner[name]!r} and {group!r}; put it in one.")
            owner[name] = group
    complete = {group: tuple(members) for group, members in groups.items()}
    for name in names:
        if name not in owner:
            if name in complete:
                raise InputError(f"group {name!r} has the name of an input outside it; rename the group.")
            complete[name] = (name,)
    return complete
