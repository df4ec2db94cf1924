"""The law of a weight that is -1 or +1."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import constraints
from numpyro.distributions.kl import kl_divergence

__all__ = ["SignBernoulli", "kl_of_fields", "variance"]


# A dispatcher, though it is declared as a function.
_KL: Any = kl_divergence


class _Signs(constraints.Constraint):
    """-1 or +1."""

    is_discrete = True
    event_dim = 0

    def __call__(self, x: Any) -> Any:
        return (x == -1) | (x == 1)

    def feasible_like(self, prototype: Any) -> Any:
        return jnp.ones_like(prototype)

    def tree_flatten(self) -> Any:
        return (), ((), {})


def variance(field: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """1 - tanh(field)^2, with full relative precision however large the field is."""
    small = jnp.exp(-2 * jnp.abs(field))
    return 4 * small / (1 + small) ** 2


def _log_cosh(field: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jnp.abs(field) + jnp.log1p(jnp.exp(-2 * jnp.abs(field))) - jnp.log(2.0)


@jax.custom_jvp
def kl_of_fields(field: Float[Array, "*shape"], other: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Kullback-Leibler divergence of two laws of a sign, in nats, from their fields.

    m (h - h') - log cosh h + log cosh h',  m = tanh h;  its derivative in h is (1 - m^2)(h - h').
    """
    return jnp.tanh(field) * (field - other) - _log_cosh(field) + _log_cosh(other)


@kl_of_fields.defjvp
def _kl_derivative(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
    field, other = primals
    change, other_change = tangents
    slope = variance(field) * (field - other) * change + (jnp.tanh(other) - jnp.tanh(field)) * other_change
    return kl_of_fields(field, other), slope


class SignBernoulli(dist.Distribution):
    """Law of a sign: P(w) = exp(h w) / (2 cosh h), w = -1 or +1.

    Args:
        field: h, any real number; the mean is tanh h. Numbers stay finite in single precision at |h| = 40 and beyond.
        validate_args: As in NumPyro.

    Reference:
        Li, Huang, Zou & Huang (2023), Statistical mechanics of continual learning, Physical Review E 108, 014309,
        section II.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"field": constraints.real}  # pyright: ignore[reportIncompatibleVariableOverride]
    support: Any = _Signs()
    has_enumerate_support = True

    def __init__(self, field: Any, *, validate_args: bool | None = None) -> None:
        """See the class."""
        self.field = jnp.asarray(field, dtype=jnp.result_type(field, jnp.float32))
        super().__init__(batch_shape=self.field.shape, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        """Signs of the field's type."""
        up = jax.random.bernoulli(key, jax.nn.sigmoid(2 * self.field), sample_shape + self.batch_shape)
        return jnp.where(up, 1, -1).astype(self.field.dtype)

    def log_prob(self, value: Any, intermediates: Any = None) -> Array:
        """In nats."""
        if self._validate_args:
            self._validate_sample(value)
        return jax.nn.log_sigmoid(2 * self.field * value)

    @property
    def mean(self) -> Array:
        """The magnetisation, tanh h."""
        return jnp.tanh(self.field)

    @property
    def variance(self) -> Array:
        """1 - tanh(h)^2."""
        return variance(self.field)

    def entropy(self) -> Array:
        """In nats."""
        return _log_cosh(self.field) + jnp.log(2.0) - self.field * jnp.tanh(self.field)

    def enumerate_support(self, expand: bool = True) -> Array:
        """-1 and +1 along a new first axis."""
        values = jnp.array([-1, 1], dtype=self.field.dtype).reshape(2, *(1,) * len(self.batch_shape))
        return jnp.broadcast_to(values, (2, *self.batch_shape)) if expand else values


@_KL.register(SignBernoulli, SignBernoulli)
def _kl(p: SignBernoulli, q: SignBernoulli) -> Array:
    return kl_of_fields(*jnp.broadcast_arrays(p.field, q.field))
