"""Cantilever beam: displacement of its tip under two loads, with one law of the inputs or a hundred.

    D = 4 L^3 / (E w t) sqrt((FX / w^2)^2 + (FY / t^2)^2)                                          (m)

Inputs: horizontal and vertical load FX, FY (N), Young's modulus E (GPa), width w, height t and length L (m). The loads
and the modulus are lognormal, with a coefficient of variation of 8, 8 and 6 %; the lengths are normal, with 10 %.
The means are 556.8 N, 453.6 N, 200 GPa, 0.062 m, 0.0987 m and 4.29 m and the inputs independent; or all are drawn, the
correlations of w, t and L too, for many laws of the same beam: `perturbed_laws`.

A normal w or t reaches zero, where D has no second moment, ten standard deviations out. The references leave out what
lies beyond eight; the indices move by 5e-9 if it is seven.

Source: Demange-Chryst, Bachoc & Morio (2023), Efficient estimation of multiple expectations with the same sample by
adaptive importance sampling and control variates, Statistics and Computing; the beam is a common test of reliability
methods, as in Eldred et al. (2007), Structure and Infrastructure Engineering 3.
"""

import math

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from uqkit.inputs import GaussianCopula, Inputs, LatinHypercube
from uqkit.problems import ForwardModel
from uqkit.results import Reference

_SOURCE = "Gauss-Legendre rules of 40 points an input over eight standard deviations; E and L factor out"

_UNITS = {"FX": "N", "FY": "N", "E": "GPa", "w": "m", "t": "m", "L": "m"}
_DESCRIPTIONS = {
    "FX": "horizontal load",
    "FY": "vertical load",
    "E": "Young's modulus",
    "w": "width",
    "t": "height",
    "L": "length",
}
_MEANS = {"FX": 556.8, "FY": 453.6, "E": 200.0, "w": 0.062, "t": 0.0987, "L": 4.29}
_VARIATIONS = {"FX": 0.08, "FY": 0.08, "E": 0.06, "w": 0.1, "t": 0.1, "L": 0.1}
_CORRELATED = (("w", "t"), ("w", "L"), ("t", "L"))

_HYPER_LAWS = Inputs(
    {
        "FX": dist.Uniform(525.0, 575.0),
        "FY": dist.Uniform(425.0, 475.0),
        "E": dist.Uniform(175.0, 225.0),
        "w": dist.Uniform(0.06, 0.07),
        "t": dist.Uniform(0.09, 0.1),
        "L": dist.Uniform(4.0, 5.0),
        "w, t": dist.Uniform(-0.6, 0.0),
        "w, L": dist.Uniform(0.0, 0.5),
        "t, L": dist.Uniform(0.0, 0.5),
    }
)


def _displacement(FX, FY, E, w, t, L):
    return 4 * L**3 / (1e9 * E * w * t) * jnp.sqrt((FX / w**2) ** 2 + (FY / t**2) ** 2)


def _law(means: dict[str, float], correlation: dict[tuple[str, str], float] | None = None) -> Inputs:
    def marginal(name: str) -> dist.Distribution:
        mean, variation = means[name], _VARIATIONS[name]
        if name in ("w", "t", "L"):
            return dist.Normal(mean, variation * mean)
        log_variance = math.log1p(variation**2)
        return dist.LogNormal(math.log(mean) - log_variance / 2, math.sqrt(log_variance))

    return Inputs(
        {name: marginal(name) for name in _MEANS},
        units=_UNITS,
        descriptions=_DESCRIPTIONS,
        copula=GaussianCopula(correlation) if correlation else None,
    )


def perturbed_laws(n_laws: int = 100, *, key: jax.Array | int) -> list[Inputs]:
    """Laws of the inputs whose means and correlations are a Latin hypercube of the published ranges.

    Args:
        n_laws: How many.
        key: A JAX key or an int.

    Returns:
        One `Inputs` a law, with the inputs of `make()`.
    """
    base = jax.random.key(key) if isinstance(key, int) else key
    attempt = 0
    while True:
        draws = _HYPER_LAWS.sample(n_laws, key=jax.random.fold_in(base, attempt), design=LatinHypercube())
        # One triple of correlations in 850 contradicts itself: draw the whole hypercube again, not one of its rows.
        wt, wl, tl = draws[:, 6:].T
        if (1 + 2 * wt * wl * tl - wt**2 - wl**2 - tl**2 > 1e-6).all():
            break
        attempt += 1
    return [
        _law(
            dict(zip(_MEANS, row[:6].tolist(), strict=True)),
            dict(zip(_CORRELATED, row[6:].tolist(), strict=True)),
        )
        for row in draws
    ]


def make() -> ForwardModel:
    """Cantilever beam with independent inputs."""

    def known(*values: float) -> Reference:
        return Reference(values=values, kind="quadrature", source=_SOURCE, output="displacement")

    return ForwardModel(
        _displacement,
        name="cantilever",
        inputs=_law(_MEANS),
        outputs={"displacement": "m"},
        takes="named",
        references={
            "output_mean": known(0.0438564950),
            "output_variance": known(4.232162964e-4),
            "sobol_first": known(0.02355236, 0.00029570, 0.01636093, 0.42807553, 0.07294271, 0.40102962),
            "sobol_total": known(0.02906708, 0.00042526, 0.01988933, 0.47518261, 0.08445421, 0.44959773),
        },
    )


problem = make()
