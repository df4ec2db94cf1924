"""What can be known to fail before sampling starts."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from uqkit.diffusion.rates import Divergence, ExactDivergence, HutchinsonDivergence
from uqkit.diffusion.sampler import Sampler
from uqkit.diffusion.targets import Expert, Reward, Target
from uqkit.errors import InputError, UqkitWarning
from uqkit.keys import numpy_generator

__all__ = ["check_final", "check_noise", "check_path", "check_scores", "resolved_divergence"]

# Coordinates up to which exact divergences are taken by default.
_EXACT_UP_TO = 16
# A path whose tails are nearly flat has weights without a variance.
_SMALL_MARGIN = 0.05
# Noise at t = 1 over the spread of the data, in standard deviations: below, what is noised is still unlike the Gaussian
# that particles start from.
_LEAST_NOISE = 2.0
_N_PROBED = 64


def check_path(target: Target, method: Sampler, times: Float[np.ndarray, " step"]) -> Float[np.ndarray, " step"]:
    """Margin of normalisability at every time.

    Raises:
        InputError: If exponents do not add up to more than zero, or the density cannot be normalised, at some time.
    """
    with jax.enable_x64(True):
        exponents = np.asarray(jax.vmap(target.exponents_at)(jnp.asarray(times)))
    if not np.isfinite(exponents).all():
        raise InputError(f"an exponent is not finite at t={times[~np.isfinite(exponents).all(axis=1)][0]:.3g}.")
    worst = int(exponents.sum(axis=1).argmin())
    if exponents[worst].sum() <= 0:
        raise InputError(
            f"the exponents {_listed(exponents[worst])} sum to {exponents[worst].sum():.3g} at t={times[worst]:.3g}; "
            "noised experts are alike, so there the target has no finite integral. Let them sum to more than zero."
        )
    if (exponents >= 0).all():
        return np.ones(len(times))
    margin = np.array([target.path_margin(float(t)) for t in times])
    worst = int(margin.argmin())
    if margin[worst] <= 0 and not target.rewards:
        raise InputError(
            f"with the exponents {_listed(exponents[worst])} the target is not normalisable at t={times[worst]:.3g}: "
            "an expert with a negative exponent is narrower there than the others can bear "
            f"(margin {margin[worst]:.3g}, which must be above zero). Use a smaller guidance "
            "weight, a wider expert in the denominator, or exponents that move with t, say q1 ** (lambda t: ...)."
        )
    if margin[worst] < _SMALL_MARGIN:
        warnings.warn(
            f"the target's tails are nearly flat at t={times[worst]:.3g} (margin {margin[worst]:.3g} of 1); weights "
            "may have no variance, and the interval of the normaliser is then not to be trusted.",
            UqkitWarning,
            stacklevel=3,
        )
    return margin


def _listed(exponents: Float[np.ndarray, " expert"]) -> str:
    return ", ".join(f"{value:.3g}" for value in exponents)


def check_noise(target: Target) -> None:
    """Warn if the data's spread still shows at t = 1."""
    for place, expert in enumerate(target.experts):
        _, covariance = expert.moments()
        if expert.has_log_density and all(np.allclose(tail, covariance) for tail in expert.tails()):
            continue
        with jax.enable_x64(True):
            alpha, variance = float(expert.schedule.alpha(1.0)), float(expert.schedule.variance(1.0))
        spread = alpha * np.sqrt(np.linalg.eigvalsh(covariance)[-1])
        if variance**0.5 < _LEAST_NOISE * spread:
            warnings.warn(
                f"at t=1 the noise has the standard deviation {variance**0.5:.3g}, the data of expert {place} "
                f"{spread:.3g}: particles start from a Gaussian, which they are not yet. Take a schedule with more "
                f"noise, {_LEAST_NOISE:g} times the data's spread at least.",
                UqkitWarning,
                stacklevel=3,
            )


def check_scores(
    target: Target, times: Float[np.ndarray, " step"], labels: Mapping[str, str], key: Key[Array, ""]
) -> None:
    """Shapes of all scores and rewards, and whether they are numbers where the experts as Gaussians have their mass.

    A reward that has a gradient must be finite, for a gradient does not know of walls; others may be -inf.

    Raises:
        InputError: That names the expert or reward, the place and the time.
    """
    point, time = jnp.zeros(target.dim), jnp.asarray(1.0)
    for place, expert in enumerate(target.experts):
        _check_shape(f"the score of expert {place}", lambda e=expert: e.score(point, time), (target.dim,))
    for place, reward in enumerate(target.rewards):
        _check_shape(f"reward {place}", lambda r=reward: r.value(point, time), ())
    for t in (times[0], times[len(times) // 2], times[-1]):
        for place, expert in enumerate(target.experts):
            key, draw_key = jax.random.split(key)
            x = _noised(expert, float(t), draw_key)
            values = np.asarray(_scores(expert, x, jnp.asarray(t)))
            _check_finite(f"the score of expert {place}", values, x, float(t), labels)
            for number, reward in enumerate(target.rewards):
                allowed, value, slope = (np.asarray(each) for each in _rewards(reward, x, jnp.asarray(t)))
                _check_finite(f"reward {number}", value[:, None], x, float(t), labels)
                walls = allowed.any() and not allowed.all()
                if walls and np.median(value[allowed]) < value[~allowed].min():
                    raise InputError(
                        f"reward {number} is -inf at some points, which counts as {reward.wall:g} along the path, but "
                        f"is less than that at most others at t={t:.3g}; pass Reward(..., wall=) well below these."
                    )
                if not reward.has_gradient:
                    continue
                if not allowed.all():
                    raise InputError(
                        f"reward {number} is -inf at t={t:.3g}, {_place(x, int(allowed.argmin()), labels)}: a gradient "
                        "does not know of walls. Pass Reward(..., has_gradient=False)."
                    )
                _check_finite(f"the gradient of reward {number}", slope, x, float(t), labels)


def check_final(density: Callable[..., Any], target: Target, labels: Mapping[str, str], key: Key[Array, ""]) -> None:
    """Shape of the final log density, and whether it is a number or -inf where the first expert has its mass.

    Raises:
        InputError: That names the place.
    """
    _check_shape("`final`", lambda: density(jnp.zeros(target.dim)), ())
    x = _noised(target.experts[0], target.schedule.end, key)
    values = np.asarray(jax.jit(jax.vmap(density))(x))
    _check_finite("`final`", np.where(np.isneginf(values), 0, values)[:, None], x, target.schedule.end, labels)


@eqx.filter_jit
def _scores(expert: Expert, x: Float[Array, "point dim"], t: Float[Array, ""]) -> Float[Array, "point dim"]:
    return jax.vmap(lambda point: expert.score(point, t))(x)


@eqx.filter_jit
def _rewards(
    reward: Reward, x: Float[Array, "point dim"], t: Float[Array, ""]
) -> tuple[Bool[Array, " point"], Float[Array, " point"], Float[Array, "point dim"]]:
    def one(point: Float[Array, " dim"]) -> tuple[Array, Array, Array]:
        slope = jax.grad(reward.value)(point, t) if reward.has_gradient else jnp.zeros_like(point)
        return reward.allows(point, t), reward.value(point, t), slope

    return jax.vmap(one)(x)


def _check_shape(what: str, function: Any, wanted: tuple[int, ...]) -> None:
    try:
        found = jax.eval_shape(function)
    except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        raise InputError(
            f"{what} failed: {error}. It is called with one point and t, in JAX, and vectorised by uqkit."
        ) from error
    shape = getattr(found, "shape", None)
    if shape != wanted:
        raise InputError(
            f"{what} has the shape {shape} for one point; it must be {wanted}. It is called with one point, not with a "
            "batch."
        )


def _noised(expert: Expert, t: float, key: Key[Array, ""]) -> Float[Array, "point dim"]:
    mean, covariance = (np.asarray(each) for each in expert.noised_moments(t))
    value, vector = np.linalg.eigh(covariance)
    z = numpy_generator(key).standard_normal((_N_PROBED, expert.dim)) * np.sqrt(np.maximum(value, 0))
    return jnp.asarray(mean + z @ vector.T)


def _check_finite(
    what: str,
    values: Float[np.ndarray, "point value"],
    x: Float[Array, "point dim"],
    t: float,
    labels: Mapping[str, str],
) -> None:
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"{what} is {values[row]} at t={t:.3g}, {_place(x, row, labels)}: not finite where the expert has its "
            "mass. Mend the function, or end the schedule before the data."
        )


def _place(x: Float[Array, "point dim"], row: int, labels: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value:.4g}" for name, value in zip(labels, np.asarray(x)[row], strict=True))


def resolved_divergence(target: Target, method: Sampler, times: Float[np.ndarray, " step"]) -> Divergence | None:
    """The divergence to be used; None where no weight depends on one."""
    of_time = jax.vmap(lambda t: method.transport.coefficient(target.exponents_at(t).sum()))
    coefficients = np.asarray(of_time(jnp.asarray(times)))
    tracked = any(
        moves and not expert.has_log_density for moves, expert in zip(target.moves, target.experts, strict=True)
    )
    if np.allclose(coefficients, 1.0, rtol=0, atol=1e-12) and method.control is None and not tracked:
        return None
    if method.divergence is not None:
        return method.divergence
    if target.dim <= _EXACT_UP_TO or all(expert.has_divergence for expert in target.experts):
        return ExactDivergence()
    return HutchinsonDivergence()
