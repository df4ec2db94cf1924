"""An unnormalised density on real coordinates, as a sampler meets it, with what is known of it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from uqkit._typing import PRNGKey
from uqkit.errors import InputError
from uqkit.keys import as_key
from uqkit.results import Reference
from uqkit.stats import GaussianMixture

__all__ = ["Density"]

# Dimensions of a result, which a coordinate of the same name would hide.
_TAKEN = frozenset({"chain", "draw"})


class Density(eqx.Module):
    """A density known up to a constant: a `TargetDensity` that is all likelihood.

    Args:
        name: In results.
        coordinates: Name -> unit of each coordinate, in order; or the names alone, of unit 1.
        log_density: JAX function of one point (dim,), in nats; the mixture's where not given. Arrays of an
            `equinox.Module` or a `jax.tree_util.Partial` are brought to the precision of the point; others should be
            numpy's, converted where they are used.
        mixture: The normalised density, where it is a Gaussian mixture.
        draw: JAX function (n, *, key) to exact independent draws (n, dim); the mixture's where not given.
        references: Name -> known value: "log_normalizer" (log of the integral, in nats), "mean", "variance", and with
            "_power_2", "_power_3" the same of the density to that power.
        start: Where chains start: the standard deviation of normal starts around zero, or a JAX function of a key to
            one position.

    Raises:
        InputError: If an argument cannot be used.
    """

    name: str = eqx.field(static=True)
    mixture: GaussianMixture | None
    _coordinates: tuple[tuple[str, str], ...] = eqx.field(static=True)
    _function: Callable[..., Any]
    _draw: Callable[..., Any] | None
    _references: tuple[tuple[str, Reference], ...] = eqx.field(static=True)
    _start: Callable[..., Any] | float

    def __init__(
        self,
        *,
        name: str,
        coordinates: Mapping[str, str] | Sequence[str],
        log_density: Callable[..., Any] | None = None,
        mixture: GaussianMixture | None = None,
        draw: Callable[..., Any] | None = None,
        references: Mapping[str, Reference] | None = None,
        start: Callable[..., Any] | float = 1.0,
    ) -> None:
        """See the class."""
        if not isinstance(name, str) or not name:
            raise InputError(f"`name` is {name!r}; pass a text, which labels results.")
        if mixture is not None and not isinstance(mixture, GaussianMixture):
            raise InputError(f"`mixture` is a {type(mixture).__name__}; pass uqkit.stats.GaussianMixture.of(...).")
        for argument, given in (("log_density", log_density), ("draw", draw)):
            if given is not None and not callable(given):
                raise InputError(f"`{argument}` is {given!r}, which cannot be called; pass a JAX function.")
        function = log_density if log_density is not None or mixture is None else mixture.log_density
        if function is None:
            raise InputError(f"density {name!r} has neither `log_density` nor `mixture`; pass one of them.")
        self.name = name
        self.mixture = mixture
        self._coordinates = _checked_coordinates(coordinates)
        self._function = function
        self._draw = draw
        self._references = _checked_references(references or {})
        self._start = _checked_start(start)

    def __check_init__(self) -> None:  # noqa: D105
        if self.mixture is not None and self.mixture.dim != self.n_dims:
            raise InputError(
                f"`mixture` has {self.mixture.dim} dimensions but `coordinates` names {self.n_dims}; pass one name a "
                "dimension."
            )
        with jax.enable_x64(True):
            point = jax.ShapeDtypeStruct((self.n_dims,), "float64")
            try:
                value = jax.eval_shape(lambda x: self.log_density(x), point)
            except jax.errors.JAXTypeError as error:
                raise InputError(
                    f"`log_density` of {self.name!r} is not written in JAX ({type(error).__name__}): use jax.numpy, "
                    "and jnp.where in place of `if` on values."
                ) from error
        if getattr(value, "shape", None) != () or not jnp.issubdtype(value.dtype, jnp.floating):
            raise InputError(
                f"`log_density` of {self.name!r} returns {value} at a point of shape ({self.n_dims},); it must return "
                "one real number."
            )

    @classmethod
    def of_mixture(
        cls,
        mixture: GaussianMixture,
        *,
        name: str,
        coordinates: Mapping[str, str] | Sequence[str],
        powers: Sequence[int] = (1,),
        references: Mapping[str, Reference] | None = None,
        start: Callable[..., Any] | float = 1.0,
    ) -> "Density":
        """A mixture as a density, with log normaliser, mean and variance of some of its powers as references.

        Args:
            mixture: The density.
            name: In results.
            coordinates: Name -> unit, or the names.
            powers: Whole powers; the number of components grows fast with them.
            references: Further ones.
            start: Where chains start.
        """
        known: dict[str, Reference] = {}
        for power in powers:
            log_integral, raised = (0.0, mixture) if power == 1 else mixture.power(power)
            mean, covariance = raised.moments()
            values = {"log_normalizer": (log_integral,), "mean": mean, "variance": np.diag(covariance)}
            for quantity, value in values.items():
                known[quantity if power == 1 else f"{quantity}_power_{power}"] = Reference(
                    values=tuple(float(entry) for entry in value),
                    kind="closed form",
                    source=f"a Gaussian mixture to the power {power} is a Gaussian mixture",
                )
        return cls(
            name=name, coordinates=coordinates, mixture=mixture, references=known | dict(references or {}), start=start
        )

    def __repr__(self) -> str:
        """Name, coordinates and what is known."""
        names = list(self.coordinates)
        shown = ", ".join(names if len(names) <= 4 else [*names[:2], "...", names[-1]])
        facts = [f"{self.n_dims} coordinate{'s' if self.n_dims > 1 else ''}: {shown}"]
        if self.mixture is not None:
            facts.append(f"mixture of {self.mixture.n_components}")
        if self.draw is not None:
            facts.append("exact draws")
        if self._references:
            facts.append(f"{len(self._references)} reference{'s' if len(self._references) > 1 else ''}")
        return f"Density({self.name}, {'; '.join(facts)})"

    @property
    def coordinates(self) -> dict[str, str]:
        """Name -> unit, in order."""
        return dict(self._coordinates)

    @property
    def references(self) -> dict[str, Reference]:
        """Name -> known value."""
        return dict(self._references)

    @property
    def draw(self) -> Callable[..., Float[np.ndarray, "draw dim"]] | None:
        """Function (n, *, key) to exact independent draws in double precision; None where there is none."""
        return None if self._draw is None and self.mixture is None else self._drawn

    @property
    def n_dims(self) -> int:
        """Number of coordinates."""
        return len(self._coordinates)

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        """The user's code that the density runs."""
        return (self._function,)

    def log_density(self, x: Float[Array, " dim"]) -> Float[Array, ""]:
        """Log density at one point, in nats; a constant may be missing."""
        # Data in double precision would otherwise raise the precision of a caller who computes in single, or warn.
        function = jax.tree.map(lambda leaf: leaf.astype(x.dtype) if _is_floating(leaf) else leaf, self._function)
        return function(x)

    def log_prior(self, position: Float[Array, " dim"]) -> Float[Array, ""]:
        """Zero: all is likelihood."""
        return jnp.zeros((), position.dtype)

    def log_likelihood(self, position: Float[Array, " dim"]) -> Float[Array, ""]:
        """The log density."""
        return self.log_density(position)

    def constrain(self, position: Float[Array, " dim"]) -> dict[str, Array]:
        """Coordinates by name."""
        return {name: position[i] for i, (name, _) in enumerate(self._coordinates)}

    def draw_prior(self, key: Key[jax.Array, ""]) -> Float[Array, " dim"]:
        """A start for a chain."""
        if callable(self._start):
            return self._start(key)
        return self._start * jax.random.normal(key, (self.n_dims,))

    def _drawn(self, n: int, *, key: PRNGKey) -> Float[np.ndarray, "draw dim"]:
        if n < 1:
            raise InputError(f"n={n} draws of {self.name!r}; pass at least 1.")
        function = self._draw if self.mixture is None or self._draw is not None else self.mixture.draw
        assert function is not None
        with jax.enable_x64(True):
            return np.asarray(function(n, key=as_key(key)), dtype=float)


def _is_floating(leaf: Any) -> bool:
    return isinstance(leaf, (np.ndarray, jax.Array)) and jnp.issubdtype(leaf.dtype, jnp.floating)


def _checked_coordinates(given: Any) -> tuple[tuple[str, str], ...]:
    if isinstance(given, str) or not isinstance(given, (Mapping, Sequence)) or not given:
        raise InputError(f"`coordinates` is {given!r}; pass name -> unit, or the names: {{'x': 'm'}}, ('x1', 'x2').")
    pairs = tuple(given.items() if isinstance(given, Mapping) else ((name, "1") for name in given))
    names = [name for name, _ in pairs]
    bad = [name for name in names if not isinstance(name, str) or not name or name in _TAKEN or names.count(name) > 1]
    if bad:
        raise InputError(
            f"`coordinates` has the name {bad[0]!r}; pass texts that differ from each other and from "
            f"{', '.join(sorted(_TAKEN))}."
        )
    units = [unit for _, unit in pairs if not isinstance(unit, str)]
    if units:
        raise InputError(f"`coordinates` has the unit {units[0]!r}; pass a text, '1' where there is none.")
    return pairs


def _checked_references(given: Mapping[str, Reference]) -> tuple[tuple[str, Reference], ...]:
    wrong = [name for name, reference in given.items() if not isinstance(reference, Reference)]
    if wrong:
        raise InputError(f"reference {wrong[0]!r} is {given[wrong[0]]!r}; pass a uqkit.Reference.")
    # Tuples, since compiled code is looked up by what a density holds.
    return tuple(
        (name, dataclasses.replace(reference, values=_as_tuples(np.asarray(reference.values).tolist())))
        for name, reference in given.items()
    )


def _as_tuples(values: Any) -> Any:
    return tuple(map(_as_tuples, values)) if isinstance(values, list) else values


def _checked_start(start: Any) -> Callable[..., Any] | float:
    if callable(start):
        return start
    if not isinstance(start, (int, float)) or not 0 < start < np.inf:
        raise InputError(f"`start` is {start!r}; pass a standard deviation above zero, or a function key -> position.")
    return float(start)
