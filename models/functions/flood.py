"""Flood of a river over a dyke: the EDF case study, by how much the highest water passes the crest.

The river is a wide rectangular channel in uniform, steady flow (Manning-Strickler):

    water height  H = (Q / (Ks B sqrt((Zm - Zv) / L)))^(3/5)
    overflow      S = Zv + H - Hd - Cb                          (metres; above zero the dyke is passed)

Inputs: discharge Q ~ Gumbel(1013, 558) within [500, 3000] m3/s; Strickler coefficient Ks ~ Normal(30, 8) above 15
m^(1/3)/s; river bed downstream Zv ~ Triangular(49, 50, 51) m and upstream Zm ~ Triangular(54, 55, 56) m; dyke height
Hd ~ Uniform(7, 9) m; bank Cb ~ Triangular(55, 55.5, 56) m; length L ~ Triangular(4990, 5000, 5010) m; width
B ~ Triangular(295, 300, 305) m.

Source: Iooss & Lemaitre (2015), A review on global sensitivity analysis methods, section 2; Lamboni et al. (2013).
"""

import jax.numpy as jnp
import numpyro.distributions as dist
from scipy import stats

from uqkit.inputs import Inputs
from uqkit.problems import ForwardModel
from uqkit.results import Reference

_SOURCE = "surrogate of 1,300 polynomial terms with its residual integrated on scrambled nets, two runs agreeing"


def _triangular(low: float, peak: float, high: float):
    return stats.triang((peak - low) / (high - low), loc=low, scale=high - low)


def _overflow(Q, Ks, Zv, Zm, Hd, Cb, L, B):  # noqa: N803 - the case study's own symbols
    height = (Q / (Ks * B * jnp.sqrt((Zm - Zv) / L))) ** 0.6
    return Zv + height - Hd - Cb


def make() -> ForwardModel:
    """Flood case study with the overflow S as output."""
    gumbel = 1013.0 + 558.0 * stats.make_distribution(stats.gumbel_r)()
    inputs = Inputs(
        {
            "Q": stats.truncate(gumbel, 500.0, 3000.0),
            "Ks": dist.TruncatedNormal(30.0, 8.0, low=15.0),
            "Zv": _triangular(49.0, 50.0, 51.0),
            "Zm": _triangular(54.0, 55.0, 56.0),
            "Hd": dist.Uniform(7.0, 9.0),
            "Cb": _triangular(55.0, 55.5, 56.0),
            "L": _triangular(4990.0, 5000.0, 5010.0),
            "B": _triangular(295.0, 300.0, 305.0),
        },
        units={"Q": "m3/s", "Ks": "m^(1/3)/s", "Zv": "m", "Zm": "m", "Hd": "m", "Cb": "m", "L": "m", "B": "m"},
        descriptions={
            "Q": "discharge",
            "Ks": "Strickler coefficient",
            "Zv": "bed level downstream",
            "Zm": "bed level upstream",
            "Hd": "dyke height",
            "Cb": "bank level",
            "L": "channel length",
            "B": "channel width",
        },
    )

    def known(*values: float, standard_error: float = 2e-6) -> Reference:
        return Reference(
            values=values, kind="monte carlo", source=_SOURCE, standard_error=standard_error, output="overflow"
        )

    return ForwardModel(
        _overflow,
        name="flood",
        inputs=inputs,
        outputs={"overflow": "m"},
        takes="named",
        references={
            "output_mean": known(-10.944494),
            "output_variance": known(1.174471),
            "sobol_first": known(0.344849, 0.133775, 0.189578, 0.003458, 0.283815, 0.035477, 0.0, 0.000093),
            "sobol_total": known(0.353592, 0.142251, 0.189926, 0.003806, 0.283816, 0.035477, 0.0, 0.000101),
        },
    )


problem = make()
