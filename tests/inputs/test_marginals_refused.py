"""What cannot be an input: the error names the input and says what to do."""

from collections.abc import Callable

import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from uqkit import InputError
from uqkit.inputs import as_marginal

REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "NumPyro discrete": (lambda: dist.Bernoulli(0.3), "pass a continuous distribution"),
    "NumPyro counts": (lambda: dist.Poisson(3.0), "pass a continuous distribution"),
    "NumPyro zero-inflated": (lambda: dist.ZeroInflatedPoisson(0.3, 2.0), "pass a continuous distribution"),
    "SciPy discrete": (lambda: stats.binom(3, 0.2), "pass a continuous distribution"),
    "newer SciPy discrete": (lambda: stats.Binomial(n=3, p=0.2), "pass a continuous distribution"),
    "Delta": (lambda: dist.Delta(1.0), "pass a continuous distribution"),
    "ImproperUniform": (
        lambda: dist.ImproperUniform(dist.constraints.real, (), ()),
        "pass a continuous distribution",
    ),
    "batch": (lambda: dist.Normal(np.zeros(2), 1.0), "pass one scalar distribution an input"),
    "event": (lambda: dist.MultivariateNormal(np.zeros(2), np.eye(2)), "pass one scalar distribution an input"),
    "SciPy vector": (lambda: stats.norm([0.0, 1.0], 1.0), "pass one scalar distribution an input"),
    "newer SciPy vector": (
        lambda: stats.make_distribution(stats.norm)() + np.zeros(2),
        "pass one scalar distribution an input",
    ),
    "NumPyro class": (lambda: dist.Normal, r"call it with its parameters, as in Normal\("),
    "newer SciPy class": (lambda: stats.Normal, r"call it with its parameters, as in Normal\("),
    "SciPy family": (lambda: stats.norm, r"call it with its parameters, as in norm\("),
    "number": (lambda: 3, "a fixed value belongs inside the model"),
    "None": (lambda: None, "expected a NumPyro or SciPy distribution"),
    "SciPy negative scale": (lambda: stats.norm(0.0, -1.0), "check the signs"),
    "SciPy NaN": (lambda: stats.norm(np.nan, 1.0), "check the signs"),
    "newer SciPy negative scale": (lambda: stats.Normal(mu=0.0, sigma=-1.0), "check the signs"),
    "bounds in the wrong order": (lambda: dist.Uniform(1.0, 0.0), "check the signs and the order"),
    "truncation in the wrong order": (
        lambda: dist.TruncatedNormal(0.0, 1.0, low=1.0, high=0.0),
        "check the signs and the order",
    ),
    "unchecked negative scale": (lambda: dist.Normal(0.0, -1.0, validate_args=False), "check the signs"),
    "no quantiles": (lambda: dist.VonMises(0.0, 1.0), "pass the scipy.stats distribution of the same law"),
    "truncated without quantiles": (
        lambda: dist.TruncatedDistribution(dist.StudentT(3.0, 0.0, 1.0), low=0.0),
        "pass the scipy.stats distribution of the same law",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_error_names_the_input_and_the_remedy(case):
    make, remedy = REFUSED[case]
    with pytest.raises(InputError, match=remedy) as caught:
        as_marginal("strength", make())
    assert str(caught.value).startswith("input 'strength': ")


def test_an_input_error_is_also_a_value_error():
    with pytest.raises(ValueError, match="belongs inside the model"):
        as_marginal("x", 3)
