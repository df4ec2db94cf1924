"""Linear function of a normal vector, independent or correlated: every index in closed form.

    y = sum_i c_i x_i,    x ~ Normal(mean, Sigma),    Sigma_ij = r_ij s_i s_j

The indices are those of Kucherenko's definition, which for independent inputs are Sobol's, both c_i^2 s_i^2 / V:

    first_i = Var(E[y | x_i]) / V = (Sigma c)_i^2 / (s_i^2 V),                 V = c' Sigma c
    total_i = E[Var(y | x_~i)] / V = c_i^2 / ((Sigma^-1)_ii V)

With correlation a first-order index may exceed the total one: it counts what x_i tells of the others.

Source: Kucherenko, Tarantola & Annoni (2012), Estimation of global sensitivity indices for models with dependent
variables, Computer Physics Communications 183; the default is their linear test with sigma = 2, where they correlate
x2 and x3: make(correlation={("x2", "x3"): rho}).
"""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from uqkit.inputs import GaussianCopula, Inputs
from uqkit.problems import ForwardModel
from uqkit.results import Reference

_SOURCE = "conditional means and variances of a normal vector, Kucherenko, Tarantola & Annoni (2012)"


def make(
    *,
    coefficients: Sequence[float] = (1.0, 1.0, 1.0),
    standard_deviations: Sequence[float] = (1.0, 1.0, 2.0),
    means: Sequence[float] | None = None,
    correlation: Mapping[tuple[str, str], float] | np.ndarray | None = None,
) -> ForwardModel:
    """Linear function of inputs x1, x2, ...; `correlation` by pairs of names or as a matrix, none by default."""
    coefficients = tuple(float(value) for value in coefficients)
    means = (0.0,) * len(coefficients) if means is None else tuple(float(value) for value in means)
    laws = zip(coefficients, means, standard_deviations, strict=True)
    inputs = Inputs(
        {f"x{i}": dist.Normal(mean, deviation) for i, (_, mean, deviation) in enumerate(laws, start=1)},
        copula=None if correlation is None else GaussianCopula(correlation),
    )

    def linear_gaussian(x):
        return jnp.dot(jnp.asarray(coefficients), x)

    c, s = np.asarray(coefficients), np.asarray(standard_deviations, dtype=float)
    covariance = inputs.correlation * np.outer(s, s)
    variance = c @ covariance @ c
    first = (covariance @ c) ** 2 / s**2
    total = c**2 / np.diag(np.linalg.inv(covariance))

    def closed_form(values) -> Reference:
        return Reference(values=tuple(np.atleast_1d(values).tolist()), kind="closed form", source=_SOURCE)

    return ForwardModel(
        linear_gaussian,
        name="linear_gaussian",
        inputs=inputs,
        outputs=("y",),
        references={
            "output_mean": closed_form(c @ np.asarray(means)),
            "output_variance": closed_form(variance),
            "sobol_first": closed_form(first / variance),
            "sobol_total": closed_form(total / variance),
        },
    )


problem = make()
