"""NumPyro distributions as inputs, against NumPyro's own densities in 64 bit."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import integrate

from uqkit.inputs import as_marginal
from uqkit.inputs.marginals import _SCIPY_TWIN

# Made anew inside every test: NumPyro keeps what it computed first, in the precision of that moment.
MADE: dict[str, Callable[[], dist.Distribution]] = {
    "Beta": lambda: dist.Beta(2.3, 0.7),
    "Cauchy": lambda: dist.Cauchy(-1.2, 0.3),
    "Chi2": lambda: dist.Chi2(3.7),
    "Exponential": lambda: dist.Exponential(2.1),
    "Gamma": lambda: dist.Gamma(2.3, 1.7),
    "Gumbel": lambda: dist.Gumbel(1013.1, 558.2),
    "HalfCauchy": lambda: dist.HalfCauchy(0.7),
    "HalfNormal": lambda: dist.HalfNormal(1.9),
    "InverseGamma": lambda: dist.InverseGamma(3.1, 2.3),
    "Laplace": lambda: dist.Laplace(0.3, 1.7),
    "Logistic": lambda: dist.Logistic(-0.7, 2.3),
    "LogNormal": lambda: dist.LogNormal(7.71, 1.0056),
    "LogUniform": lambda: dist.LogUniform(0.1, 30.0),
    "Normal": lambda: dist.Normal(0.1, 0.0161812),
    "Pareto": lambda: dist.Pareto(1.3, 2.7),
    "StudentT": lambda: dist.StudentT(4.2, -0.3, 1.6),
    "Uniform": lambda: dist.Uniform(-3.1, 2.7),
    "Weibull": lambda: dist.Weibull(2.2, 1.4),
    "left-truncated normal": lambda: dist.TruncatedNormal(30.0, 8.0, low=15.0),
    "right-truncated normal": lambda: dist.TruncatedNormal(-0.3, 1.2, high=0.7),
    "two-sided truncated normal": lambda: dist.TruncatedNormal(0.3, 1.2, low=-0.4, high=2.3),
    # No SciPy twin: NumPyro's own quantiles.
    "Gompertz": lambda: dist.Gompertz(1.3, 0.7),
    "truncated Cauchy": lambda: dist.TruncatedCauchy(0.3, 1.2, low=-0.4),
    "two-sided truncated Laplace": lambda: dist.TruncatedDistribution(dist.Laplace(0.1, 1.3), low=-0.7, high=2.1),
}
SUPPORT = {
    "Beta": (0, 1),
    "Chi2": (0, np.inf),
    "Exponential": (0, np.inf),
    "Gamma": (0, np.inf),
    "Gompertz": (0, np.inf),
    "HalfCauchy": (0, np.inf),
    "HalfNormal": (0, np.inf),
    "InverseGamma": (0, np.inf),
    "LogNormal": (0, np.inf),
    "LogUniform": (0.1, 30),
    "Pareto": (1.3, np.inf),
    "Uniform": (-3.1, 2.7),
    "Weibull": (0, np.inf),
    "left-truncated normal": (15, np.inf),
    "right-truncated normal": (-np.inf, 0.7),
    "two-sided truncated normal": (-0.4, 2.3),
    "truncated Cauchy": (-0.4, np.inf),
    "two-sided truncated Laplace": (-0.7, 2.1),
}
UNIT = np.concatenate([[1e-6, 1e-3], np.linspace(0.01, 0.99, 99), [1 - 1e-3, 1 - 1e-6]])

every_law = pytest.mark.parametrize("law", MADE)


def test_every_distribution_with_a_scipy_twin_is_tested_here():
    assert {kind.__name__ for kind in _SCIPY_TWIN} <= set(MADE)


@every_law
def test_quantile_and_distribution_function_are_inverse(law):
    marginal = as_marginal("x", MADE[law]())
    np.testing.assert_allclose(marginal.cdf(marginal.quantile(UNIT)), UNIT, rtol=1e-9, atol=1e-12)


@every_law
def test_log_density_is_that_of_numpyro(law):
    distribution = MADE[law]()
    values = as_marginal("x", distribution).quantile(UNIT)
    with jax.enable_x64(True):
        known = np.asarray(MADE[law]().log_prob(jnp.asarray(values)))
    assert known.dtype == np.float64
    np.testing.assert_allclose(as_marginal("x", distribution).log_density(values), known, rtol=1e-9, atol=1e-9)


@every_law
def test_distribution_function_integrates_the_density(law):
    marginal = as_marginal("x", MADE[law]())
    low, high = marginal.quantile(np.array([0.2, 0.7]))
    mass, _ = integrate.quad(lambda x: float(np.exp(marginal.log_density(np.array([x]))[0])), low, high)
    assert mass == pytest.approx(0.5, abs=1e-9)


@every_law
def test_support(law):
    marginal = as_marginal("x", MADE[law]())
    if law in SUPPORT:
        assert marginal.support == pytest.approx(SUPPORT[law], rel=1e-12)
    lower, upper = marginal.support
    outside = np.array([end + side for end, side in ((lower, -1.0), (upper, 1.0)) if np.isfinite(end)])
    assert np.all(np.isneginf(marginal.log_density(outside)))


def test_parameters_given_as_numbers_are_kept_in_double_precision():
    assert as_marginal("x", dist.Normal(0.1, 1.0)).quantile(np.array([0.5]))[0] == 0.1
    assert as_marginal("x", dist.TruncatedNormal(0.0, 1.0, low=0.1)).support[0] == 0.1
