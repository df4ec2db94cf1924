"""Functions of JAX inside torch's automatic differentiation, with gradients by the points."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jaxtyping import Array, Float
from torch import Tensor

from uqkit.errors import InputError

__all__ = ["evaluate", "member_values"]

type Values = Float[Array, "..."]
type Points = Float[np.ndarray, "point input"]
# Cotangent of the values -> gradient by the points, both padded.
type Pullback = Callable[[Float[np.ndarray, "..."]], Values]
# Padded points and whether a gradient will be asked for -> values and their pullback.
type Crossed = Callable[[Points, bool], tuple[Values, Pullback]]

_LEAST_POINTS = 16
# Derivatives of all members are kept up to this many numbers (64 MB); beyond, the backward pass runs members again.
_MOST_DERIVATIVES = 2**23
# XLA halves its vectors by default; whole ones take a tenth off where the processor has them.
_WIDE_VECTORS = {"xla_cpu_prefer_vector_width": 512}


def evaluate(function: Callable[[Any, Any], Any], arguments: Any, points: Tensor) -> Tensor:
    """A function of JAX at points, in double precision; torch differentiates it once by the points.

    Args:
        function: Of `arguments` and points (N, d), to an array (N, ...). Each row must depend on its own point only,
            for rows are added. What was compiled is found again by equality of functions, so pass a function of a
            module, an object that compares by value, or a `functools.partial` of them.
        arguments: Tree of arrays that are traced: others of the same shapes do not compile anew.
        points: `... x d`. N is padded to a power of two, so that few shapes are compiled. They and the result cross
            through the host's memory, whatever device they are on.

    Returns:
        The values, `... x` the shape of one row, in the precision of `points`; memory of their own.

    Raises:
        InputError: If `points` hold no floating-point numbers, or have no dimension; in the backward pass, if second
            derivatives are asked for.
    """
    compared, on_cpu = _comparable(function), _is_on_cpu(arguments)

    def crossed(padded: Points, wanted: bool) -> tuple[Values, Pullback]:
        del wanted
        pullback = partial(_compiled(_gradient, on_cpu), compared, arguments, padded)
        return _compiled(_values, on_cpu)(compared, arguments, padded), pullback

    values = _across(points, 0, crossed)
    return values.reshape(*points.shape[:-1], *values.shape[1:])


def member_values(function: Callable[[Any, Any], Any], stacked: Any, points: Tensor) -> Tensor:
    """Every member of a set of functions at points, in double precision; torch differentiates once by the points.

    On a CPU, members run one after another: all at once, their hidden layers would leave the cache.

    Args:
        function: Of one member and points (N, d), to an array (N, output); otherwise as in `evaluate`.
        stacked: Members as a tree of arrays, each with a leading axis over them; traced.
        points: `... x d`, as in `evaluate`.

    Returns:
        `member x ... x output`, in the precision of `points`; memory of their own.

    Raises:
        InputError: As `evaluate`.
    """
    compared, on_cpu = _comparable(function), _is_on_cpu(stacked)

    def crossed(padded: Points, wanted: bool) -> tuple[Values, Pullback]:
        run_again = partial(_compiled(_member_gradient, on_cpu), compared, stacked, padded)
        if not wanted:
            return _compiled(_member_values, on_cpu)(compared, stacked, padded), run_again
        values, derivatives = _compiled(_member_derivatives, on_cpu)(compared, stacked, padded)
        return values, run_again if derivatives is None else partial(_contracted, derivatives)

    values = _across(points, 1, crossed)
    return values.reshape(values.shape[0], *points.shape[:-1], *values.shape[2:])


def _across(points: Tensor, axis: int, crossed: Crossed) -> Tensor:
    if points.ndim == 0 or not points.is_floating_point():
        raise InputError(
            f"`points` has dtype {points.dtype} and shape {tuple(points.shape)}; pass floating-point numbers with one "
            "column per input: points.double()."
        )
    wanted = torch.is_grad_enabled() and points.requires_grad
    # Not -1, which is ambiguous where there are no points.
    flat = points.reshape(points.shape[:-1].numel(), points.shape[-1])
    return _Crossing.apply(flat, axis, wanted, crossed)  # pyright: ignore[reportReturnType]


class _Crossing(torch.autograd.Function):
    """Points of torch through a function of JAX; `axis` is that of the points in the values.

    NumPy arrays cross at a fifth of the cost of DLPack where there are few points, and equally fast where there are
    many. Both ways they are copies: an XLA buffer may be an argument of the function itself, which nobody may change.
    """

    @staticmethod
    def forward(ctx: Any, points: Tensor, axis: int, wanted: bool, crossed: Crossed) -> Tensor:
        padded = _padded(_as_numpy(points), 0, "edge")
        with jax.enable_x64(True):
            values, pullback = crossed(padded, wanted)
            found = _as_torch(values, axis, points)
        if wanted:
            ctx.axis, ctx.pullback, ctx.like = axis, pullback, points.new_empty(len(points), 0)
        return found

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        # Torch's own `once_differentiable` would leave the points out of a second derivative without a word.
        if torch.is_grad_enabled():
            raise InputError(
                "a function of JAX was asked for second derivatives by its points; torch can have first ones only: "
                "differentiate with create_graph=False."
            )
        padded = _padded(_as_numpy(grad_outputs[0]), ctx.axis, "zero")
        # Torch may be in another thread here, which has its own setting.
        with jax.enable_x64(True):
            return _as_torch(ctx.pullback(padded), 0, ctx.like), None, None, None


def _as_numpy(values: Tensor) -> Float[np.ndarray, "..."]:
    return values.detach().to("cpu", torch.float64).numpy()


def _as_torch(values: Values, axis: int, points: Tensor) -> Tensor:
    """A copy without padding, where `points` are and as precise as they are."""
    own = np.asarray(values)[(slice(None),) * axis + (slice(len(points)),)].copy()
    return torch.from_numpy(own).to(points)


def _padded(values: Float[np.ndarray, "..."], axis: int, fill: str) -> Float[np.ndarray, "..."]:
    """A copy with a power of two of points; added ones repeat the last, where the function is sure to be defined."""
    n_points = values.shape[axis]
    length = max(_LEAST_POINTS, 1 << (n_points - 1).bit_length() if n_points else 0)
    padded = np.zeros((*values.shape[:axis], length, *values.shape[axis + 1 :]))
    rows = np.moveaxis(padded, axis, 0)
    rows[:n_points] = np.moveaxis(values, axis, 0)
    if fill == "edge" and n_points:
        rows[n_points:] = rows[n_points - 1]
    return padded


@dataclass(frozen=True)
class _Partial:
    """A `functools.partial` that equals another of the same parts, which Python's own does not."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: tuple[tuple[str, Any], ...]

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*self.arguments, *arguments, **dict(self.keywords))


def _comparable(function: Callable[..., Any]) -> Callable[..., Any]:
    if isinstance(function, partial):
        return _Partial(function.func, function.args, tuple(sorted(function.keywords.items())))
    return function


def _is_on_cpu(arguments: Any) -> bool:
    arrays = [leaf for leaf in jax.tree.leaves(arguments) if isinstance(leaf, jax.Array)]
    platforms = {device.platform for leaf in arrays[:1] for device in leaf.devices()} or {jax.default_backend()}
    return platforms == {"cpu"}


@cache
def _compiled(kernel: Callable[..., Any], on_cpu: bool) -> Callable[..., Any]:
    """A kernel of (on_cpu, function, arrays ...), compiled anew for every function and shape."""
    return jax.jit(partial(kernel, on_cpu), static_argnums=0, compiler_options=_WIDE_VECTORS if on_cpu else None)


def _values(on_cpu: bool, function: Callable[..., Any], arguments: Any, points: Array) -> Array:
    del on_cpu
    return function(arguments, points)


def _gradient(on_cpu: bool, function: Callable[..., Any], arguments: Any, points: Array, cotangent: Array) -> Array:
    del on_cpu
    values, pull_back = jax.vjp(lambda moved: function(arguments, moved), points)
    return pull_back(cotangent.astype(values.dtype))[0]


def _member_values(on_cpu: bool, function: Callable[..., Any], stacked: Any, points: Array) -> Array:
    return _over_members(lambda one: function(one, points), on_cpu, stacked)


def _member_derivatives(
    on_cpu: bool, function: Callable[..., Any], stacked: Any, points: Array
) -> tuple[Array, Float[Array, "member point input"] | None]:
    """Values, and derivatives of a single output in the same pass; None in their place where that would not pay.

    The other way runs members twice, since torch asks for the gradient later. A row depends on its own point only, so
    one backward pass gives the derivatives of all rows. One for each of more outputs costs more than a second run.
    """

    def with_derivatives(one: Any) -> tuple[Array, Array]:
        values, pull_back = jax.vjp(lambda moved: function(one, moved), points)
        return values, pull_back(jnp.ones_like(values))[0]

    values = jax.eval_shape(lambda: _member_values(on_cpu, function, stacked, points))
    if values.shape[-1] > 1 or values.size * points.shape[-1] > _MOST_DERIVATIVES:
        return _member_values(on_cpu, function, stacked, points), None
    return _over_members(with_derivatives, on_cpu, stacked)


@jax.jit
def _contracted(
    derivatives: Float[Array, "member point input"], cotangent: Float[Array, "member point 1"]
) -> Float[Array, "point input"]:
    # A product and a sum that XLA fuses; as an einsum it is a matrix product per point, three times slower.
    return (cotangent * derivatives).sum(0)


def _member_gradient(
    on_cpu: bool, function: Callable[..., Any], stacked: Any, points: Array, cotangent: Array
) -> Array:
    def pulled_back(one: Any, cotangent: Array) -> Array:
        return _gradient(on_cpu, function, one, points, cotangent)

    if not on_cpu:
        return jax.vmap(pulled_back)(stacked, cotangent).sum(0)
    added, _ = jax.lax.scan(
        lambda total, member: (total + pulled_back(*member), None), jnp.zeros_like(points), (stacked, cotangent)
    )
    return added


def _over_members(function: Callable[[Any], Any], on_cpu: bool, stacked: Any) -> Any:
    return jax.lax.map(function, stacked) if on_cpu else jax.vmap(function)(stacked)
