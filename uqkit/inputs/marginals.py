"""One uncertain input: a NumPyro or SciPy distribution seen through its quantiles and its density."""

import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Float
from numpyro.distributions.truncated import (
    LeftTruncatedDistribution,
    RightTruncatedDistribution,
    TwoSidedTruncatedDistribution,
)
from scipy import stats
from scipy.stats._distn_infrastructure import rv_continuous_frozen, rv_frozen

from uqkit.errors import InputError

__all__ = ["Marginal", "as_marginal"]

type Elementwise = Callable[[Float[np.ndarray, "*shape"]], Float[np.ndarray, "*shape"]]


@dataclass(frozen=True, kw_only=True)
class Marginal:
    """A continuous distribution of one real input.

    Attributes:
        distribution: The object the user gave.
        quantile: Inverse of the distribution function, on (0, 1).
        upper_quantile: Value that is exceeded with a given probability; keeps its digits far in the upper tail.
        cdf: Distribution function.
        survival: Probability of exceeding a value.
        log_density: Log density, in nats; -inf outside the support.
        support: Lower and upper end of the support, possibly infinite.
    """

    distribution: Any
    quantile: Elementwise
    upper_quantile: Elementwise
    cdf: Elementwise
    survival: Elementwise
    log_density: Elementwise
    support: tuple[float, float]


def as_marginal(name: str, distribution: object) -> Marginal:
    """Marginal of one input from a distribution object.

    Args:
        name: The input's name, for the error messages.
        distribution: A scalar continuous NumPyro distribution, a frozen SciPy one (`scipy.stats.norm(0, 1)`), or one
            of SciPy's newer family (`scipy.stats.Normal(mu=0, sigma=1)`, `scipy.stats.truncate(...)`).

    Raises:
        InputError: If it is no distribution, is not a scalar, or has no density or no computable quantile.
    """
    if isinstance(distribution, dist.Distribution):
        return _from_numpyro(name, distribution)
    if isinstance(distribution, rv_continuous_frozen):
        return _from_scipy(name, distribution, distribution)
    if isinstance(distribution, rv_frozen):
        raise InputError(_no_density(name, distribution.dist.name))
    if isinstance(distribution, (type, stats.rv_continuous)):
        kind = distribution.__name__ if isinstance(distribution, type) else distribution.name or "it"
        raise InputError(
            f"input {name!r}: {kind} is a family of distributions; call it with its parameters, as in {kind}(...)."
        )
    if all(hasattr(distribution, method) for method in ("icdf", "cdf", "logpdf", "support")):
        return _from_new_scipy(name, distribution)
    raise InputError(
        f"input {name!r}: expected a NumPyro or SciPy distribution, got {reprlib.repr(distribution)} "
        f"({type(distribution).__name__}); for bounds pass scipy.stats.uniform(low, high - low), a fixed value belongs "
        "inside the model."
    )


def _no_density(name: str, what: str) -> str:
    return (
        f"input {name!r}: {what} has no density on the real line; pass a continuous distribution. "
        "For an integer or a category, round or look up a Uniform input inside the model."
    )


def _from_scipy(name: str, frozen: Any, given: object) -> Marginal:
    shape = np.broadcast_shapes(*(np.shape(value) for value in (*frozen.args, *frozen.kwds.values())))
    if shape:
        raise InputError(f"input {name!r}: a distribution of shape {shape}; pass one scalar distribution an input.")
    lower, upper = (float(end) for end in frozen.support())
    if np.isnan(lower) or np.isnan(upper):
        raise InputError(
            f"input {name!r}: {frozen.dist.name} with parameters {frozen.args or frozen.kwds} is not a distribution; "
            "check the signs and the order of its parameters."
        )
    return Marginal(
        distribution=given,
        quantile=frozen.ppf,
        upper_quantile=frozen.isf,
        cdf=frozen.cdf,
        survival=frozen.sf,
        log_density=frozen.logpdf,
        support=(lower, upper),
    )


def _from_new_scipy(name: str, distribution: Any) -> Marginal:
    support = np.asarray(distribution.support(), dtype=float)
    if support.shape != (2,):
        raise InputError(
            f"input {name!r}: a distribution of shape {support.shape[1:]}; pass one scalar distribution an input."
        )
    if isinstance(distribution, stats._distribution_infrastructure.DiscreteDistribution):
        raise InputError(_no_density(name, str(distribution)))
    if np.isnan(support).any():
        raise InputError(
            f"input {name!r}: {distribution} is not a distribution; check the signs and the order of its parameters."
        )
    return Marginal(
        distribution=distribution,
        quantile=distribution.icdf,
        upper_quantile=distribution.iccdf,
        cdf=distribution.cdf,
        survival=distribution.ccdf,
        log_density=distribution.logpdf,
        support=(float(support[0]), float(support[1])),
    )


# SciPy's quantiles in double precision: NumPyro's icdf is missing, or wants further packages, for several of these.
_SCIPY_TWIN: dict[type, Callable[[Any], Any]] = {
    dist.Beta: lambda d: stats.beta(d.concentration1, d.concentration0),
    dist.Cauchy: lambda d: stats.cauchy(d.loc, d.scale),
    dist.Chi2: lambda d: stats.chi2(d.df),
    dist.Exponential: lambda d: stats.expon(scale=1 / d.rate),
    dist.Gamma: lambda d: stats.gamma(d.concentration, scale=1 / d.rate),
    dist.Gumbel: lambda d: stats.gumbel_r(d.loc, d.scale),
    dist.HalfCauchy: lambda d: stats.halfcauchy(scale=d.scale),
    dist.HalfNormal: lambda d: stats.halfnorm(scale=d.scale),
    dist.InverseGamma: lambda d: stats.invgamma(d.concentration, scale=d.rate),
    dist.Laplace: lambda d: stats.laplace(d.loc, d.scale),
    dist.Logistic: lambda d: stats.logistic(d.loc, d.scale),
    dist.LogNormal: lambda d: stats.lognorm(s=d.scale, scale=np.exp(d.loc)),
    dist.LogUniform: lambda d: stats.loguniform(d.low, d.high),
    dist.Normal: lambda d: stats.norm(d.loc, d.scale),
    dist.Pareto: lambda d: stats.pareto(d.alpha, scale=d.scale),
    dist.StudentT: lambda d: stats.t(d.df, d.loc, d.scale),
    dist.Uniform: lambda d: stats.uniform(d.low, d.high - d.low),
    dist.Weibull: lambda d: stats.weibull_min(d.concentration, scale=d.scale),
}


def _from_numpyro(name: str, distribution: dist.Distribution) -> Marginal:
    kind = type(distribution).__name__
    if distribution.batch_shape or distribution.event_shape:
        raise InputError(
            f"input {name!r}: {kind} has batch shape {distribution.batch_shape} and event shape "
            f"{distribution.event_shape}; pass one scalar distribution an input."
        )
    if isinstance(distribution, (dist.ImproperUniform, dist.Delta, dist.Unit)) or distribution.is_discrete:
        raise InputError(_no_density(name, kind))
    # Parameters given as Python numbers are kept as such by NumPyro, so the twin has them in double precision.
    twin = _SCIPY_TWIN.get(type(distribution))
    if twin is not None:
        with np.errstate(all="ignore"):
            return _from_scipy(name, twin(_Host(distribution)), distribution)
    if isinstance(
        distribution, (LeftTruncatedDistribution, RightTruncatedDistribution, TwoSidedTruncatedDistribution)
    ) and isinstance(distribution.base_dist, dist.Normal):
        return _from_scipy(name, _truncated_normal(distribution), distribution)
    return _through_numpyro(name, distribution)


class _Host:
    """A NumPyro distribution's parameters as Python floats."""

    def __init__(self, distribution: dist.Distribution) -> None:
        self._distribution = distribution

    def __getattr__(self, parameter: str) -> float:
        return float(getattr(self._distribution, parameter))


def _truncated_normal(distribution: Any) -> Any:
    base = _Host(distribution.base_dist)
    low = float(getattr(distribution, "low", -np.inf))
    high = float(getattr(distribution, "high", np.inf))
    return stats.truncnorm((low - base.loc) / base.scale, (high - base.loc) / base.scale, base.loc, base.scale)


def _through_numpyro(name: str, distribution: Any) -> Marginal:
    def in_double(function: Callable[[jax.Array], jax.Array]) -> Elementwise:
        def apply(values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
            with jax.enable_x64(True):
                return np.asarray(function(jnp.asarray(values, dtype=float)), dtype=float)

        return apply

    quantile, cdf = in_double(distribution.icdf), in_double(distribution.cdf)
    # Whether a distribution has a quantile function is known only by asking it for one.
    try:
        there_and_back = float(cdf(quantile(np.array(0.5))))
    except (NotImplementedError, ImportError, AttributeError) as error:
        known = ", ".join(sorted(cls.__name__ for cls in _SCIPY_TWIN))
        raise InputError(
            f"input {name!r}: NumPyro cannot compute quantiles of {type(distribution).__name__}; "
            f"pass the scipy.stats distribution of the same law, or one of {known}, TruncatedNormal."
        ) from error
    if not abs(there_and_back - 0.5) < 1e-6:
        raise InputError(
            f"input {name!r}: quantile and distribution function of {type(distribution).__name__} disagree "
            f"(cdf(icdf(0.5)) = {there_and_back:g}); pass the scipy.stats distribution of the same law."
        )
    # Bounds from the constraint: NumPyro's quantiles at 0 and 1 are rounded where the support ends or is infinite.
    lower = float(getattr(distribution.support, "lower_bound", -np.inf))
    upper = float(getattr(distribution.support, "upper_bound", np.inf))

    def log_density(values: jax.Array) -> jax.Array:
        inside = (values >= lower) & (values <= upper)
        # NumPyro warns of a value outside, and extends some densities beyond their support.
        return jnp.where(inside, distribution.log_prob(jnp.where(inside, values, distribution.icdf(0.5))), -jnp.inf)

    return Marginal(
        distribution=distribution,
        quantile=quantile,
        upper_quantile=lambda probability: quantile(1 - probability),
        cdf=cdf,
        survival=lambda values: 1 - cdf(values),
        log_density=in_double(log_density),
        support=(lower, upper),
    )
