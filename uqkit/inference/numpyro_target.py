"""A NumPyro model as a target density."""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from numpyro import handlers
from numpyro.distributions.transforms import biject_to
from numpyro.infer import init_to_uniform
from numpyro.infer.util import _unconstrain_reparam, compute_log_probs, constrain_fn, unconstrain_fn

from uqkit._typing import PRNGKey
from uqkit.errors import InputError
from uqkit.keys import as_key

__all__ = ["NumpyroTarget"]

# ArviZ imports NumPyro lazily. Where it came first, Python loads NumPyro's submodules without binding them in their
# packages, and `numpyro.factor`, which asks for `numpyro.distributions.distribution`, fails; so bind what is missing.
for _name in [name for name in sys.modules if name.startswith("numpyro.")]:
    _parent, _, _child = _name.rpartition(".")
    if not hasattr(sys.modules[_parent], _child):
        setattr(sys.modules[_parent], _child, sys.modules[_name])


class NumpyroTarget(eqx.Module):
    """The posterior of a NumPyro model on its unconstrained coordinates; made by `NumpyroTarget.of`.

    Latent sites and the log Jacobians of their transformations are the prior; observed sites and `numpyro.factor`
    are the likelihood. `handlers.scale` and plates scale as in NumPyro; a plate with `subsample_size` keeps the one
    random subset that `key` chose, as under NumPyro's HMC.

    Attributes:
        model: The model.
        args: Its arguments; arrays are data.
        kwargs: Its keyword arguments.
        key: Of random choices inside the model.
        layout: Latent sites in order, each with the shape of its unconstrained value.
    """

    model: Callable[..., Any] = eqx.field(static=True)
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    key: Key[Array, ""]
    layout: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)

    @classmethod
    def of(cls, model: Callable[..., Any], *args: Any, key: PRNGKey, **kwargs: Any) -> "NumpyroTarget":
        """Adapt a model.

        Args:
            model: A function of NumPyro primitives.
            args: Its arguments. Arrays and floats are data, which can be replaced by `with_data`; all else (an int,
                a bool, text) is a part of the model.
            key: For random choices inside the model, such as the subset of a subsampled plate.
            kwargs: Its keyword arguments, in the same way.

        Raises:
            InputError: If the model has a discrete latent site, no latent site at all, or free `numpyro.param` sites.
        """
        with jax.enable_x64(True):
            typed, data = as_key(key), jax.tree.map(_as_data, (args, kwargs))
            return cls(model, data[0], data[1], typed, _layout(model, data[0], data[1], typed))

    def with_data(self, *args: Any, **kwargs: Any) -> "NumpyroTarget":
        """The same model with all its arguments replaced; same shapes reuse what was compiled."""
        with jax.enable_x64(True):
            data = jax.tree.map(_as_data, (args, kwargs))
            same = jax.tree.map(_kind, data) == jax.tree.map(_kind, (self.args, self.kwargs))
            layout = self.layout if same else _layout(self.model, data[0], data[1], self.key)
            return dataclasses.replace(self, args=data[0], kwargs=data[1], layout=layout)

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        """The user's code that the density runs."""
        return (self.model,)

    @property
    def n_dims(self) -> int:
        """Length of a position."""
        return sum(int(np.prod(shape)) for _, shape in self.layout)

    def log_prior(self, position: Float[Array, " dim"]) -> Float[Array, ""]:
        """Log density of the latent sites, with the log Jacobians."""
        return self._log_density(position, prior=True)

    def log_likelihood(self, position: Float[Array, " dim"]) -> Float[Array, ""]:
        """Log density of the observed sites and factors."""
        return self._log_density(position, prior=False)

    def constrain(self, position: Float[Array, " dim"]) -> dict[str, Array]:
        """Latent and deterministic sites by name."""
        seeded = handlers.seed(self.model, self.key)
        return constrain_fn(seeded, self.args, self.kwargs, self._split(position), return_deterministic=True)

    def unconstrain(self, values: Mapping[str, Any]) -> Float[Array, " dim"]:
        """Position of given values of the latent sites.

        Raises:
            InputError: If a latent site has no value.
        """
        missing = [name for name, _ in self.layout if name not in values]
        if missing:
            raise InputError(f"`values` lacks {', '.join(missing)}; give every latent site a value.")
        with jax.enable_x64(True):
            given = {name: jnp.asarray(values[name], dtype=float) for name, _ in self.layout}
            seeded = handlers.seed(self.model, self.key)
            return self._joined(unconstrain_fn(seeded, self.args, self.kwargs, given))

    def draw_prior(self, key: Key[jax.Array, ""]) -> Float[Array, " dim"]:
        """A draw of the prior.

        Raises:
            InputError: If a prior is improper.
        """
        names = {name for name, _ in self.layout}
        try:
            sites = handlers.trace(handlers.seed(self.model, key)).get_trace(*self.args, **self.kwargs)
        except NotImplementedError as error:
            raise InputError(
                f"the model has a prior that cannot be drawn from, an improper one perhaps ({error!r}); "
                "pass `initial=` with one row per chain, or use a proper prior."
            ) from error
        unconstrained = {name: biject_to(sites[name]["fn"].support).inv(sites[name]["value"]) for name in names}
        return self._joined(unconstrained)

    def _log_density(self, position: Float[Array, " dim"], *, prior: bool) -> Float[Array, ""]:
        seeded = handlers.seed(self.model, self.key)
        moved = handlers.substitute(seeded, substitute_fn=partial(_unconstrain_reparam, self._split(position)))
        # A target may be part of another model, whose trace must not see the sites of this one.
        with handlers.block():
            log_probs, _ = compute_log_probs(moved, self.args, self.kwargs, {})
        # NumPyro writes the Jacobian of a site's transformation as a factor of this name.
        of_prior = {name for name, _ in self.layout} | {f"_{name}_log_det" for name, _ in self.layout}
        parts = [value for name, value in log_probs.items() if (name in of_prior) == prior]
        return jnp.asarray(sum(parts, start=jnp.zeros(())), dtype=position.dtype)

    def _split(self, position: Float[Array, " dim"]) -> dict[str, Array]:
        ends = np.cumsum([int(np.prod(shape)) for _, shape in self.layout])
        pieces = jnp.split(position, ends[:-1])
        return {name: piece.reshape(shape) for (name, shape), piece in zip(self.layout, pieces, strict=True)}

    def _joined(self, unconstrained: Mapping[str, Array]) -> Float[Array, " dim"]:
        return jnp.concatenate([jnp.ravel(unconstrained[name]) for name, _ in self.layout]).astype(float)


def _layout(
    model: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], key: Key[Array, ""]
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Latent sites and the shapes of their unconstrained values, without running the model's numerics."""
    found: dict[str, Any] = {}

    def look(key: Key[Array, ""]) -> dict[str, Array]:
        started = handlers.substitute(handlers.seed(model, key), substitute_fn=init_to_uniform())
        found.update(handlers.trace(started).get_trace(*args, **kwargs))
        latent = [site for site in found.values() if site["type"] == "sample" and not site["is_observed"]]
        discrete = [site["name"] for site in latent if site["fn"].support.is_discrete]
        if discrete:
            raise InputError(
                f"the model has discrete latent sites ({', '.join(discrete)}), which have no gradient; "
                "sum them out of the model, for example with a mixture distribution."
            )
        return {site["name"]: biject_to(site["fn"].support).inv(site["value"]) for site in latent}

    shapes = jax.eval_shape(look, key)
    free = [site["name"] for site in found.values() if site["type"] == "param"]
    if free:
        raise InputError(
            f"the model has `numpyro.param` sites ({', '.join(free)}); give each a prior or a fixed value."
        )
    if not shapes:
        raise InputError("the model has no latent site, so that there is nothing to infer; give a parameter a prior.")
    # The order of the model, not that of the dict, which JAX has sorted.
    return tuple((name, shapes[name].shape) for name in found if name in shapes)


def _as_data(leaf: Any) -> Any:
    """Arrays and floats as arrays, so that they are traced; the rest as it is."""
    return jnp.asarray(leaf) if isinstance(leaf, (float, np.ndarray, jax.Array)) else leaf


def _kind(leaf: Any) -> Any:
    return (leaf.shape, leaf.dtype) if isinstance(leaf, jax.Array) else leaf
