"""Borehole: flow of water through a hole drilled through two aquifers.

    y = 2 pi Tu (Hu - Hl) / (ln(r / rw) (1 + 2 L Tu / (ln(r / rw) rw^2 Kw) + Tu / Tl))        (m3/yr)

Inputs: radius of the hole rw (m), radius of influence r (m), transmissivity of the upper and lower aquifer Tu, Tl
(m2/yr), their potentiometric heads Hu, Hl (m), length of the hole L (m), its hydraulic conductivity Kw (m/yr).
Either rw ~ Normal(0.1, 0.0161812), r ~ LogNormal(7.71, 1.0056) and the others uniform, or all uniform.

Source: Harper & Gupta (1983), Sensitivity/uncertainty analysis of a borehole scenario; Morris, Mitchell & Ylvisaker
(1993), Technometrics 35, for the uniform ranges.
"""

import math

import jax.numpy as jnp
import numpyro.distributions as dist

from uqkit.inputs import Inputs
from uqkit.problems import ForwardModel
from uqkit.results import Reference

_SOURCE = "surrogate of 1,700 polynomial terms with its residual integrated on scrambled nets of 2^17 points"


def _flow(rw, r, Tu, Hu, Tl, Hl, L, Kw):  # noqa: N803 - the function's own symbols
    log_ratio = jnp.log(r / rw)
    return 2 * math.pi * Tu * (Hu - Hl) / (log_ratio * (1 + 2 * L * Tu / (log_ratio * rw**2 * Kw) + Tu / Tl))


_FIRST = {
    False: (0.6637066, 0.0000018, 0.0, 0.0948796, 0.0000056, 0.0948796, 0.0906487, 0.0219376),
    True: (0.8289212, 0.0000011, 0.0, 0.0413850, 0.0000053, 0.0413850, 0.0393421, 0.0095216),
}
_TOTAL = {
    False: (0.6941290, 0.0000029, 0.0, 0.1061200, 0.0000085, 0.1061200, 0.1027882, 0.0251288),
    True: (0.8668339, 0.0000023, 0.0, 0.0541096, 0.0000107, 0.0541096, 0.0520775, 0.0127308),
}


def make(*, uniform: bool = False) -> ForwardModel:
    """Borehole flow; `uniform` gives rw and r uniform laws too."""
    inputs = Inputs(
        {
            "rw": dist.Uniform(0.05, 0.15) if uniform else dist.Normal(0.1, 0.0161812),
            "r": dist.Uniform(100.0, 50_000.0) if uniform else dist.LogNormal(7.71, 1.0056),
            "Tu": dist.Uniform(63_070.0, 115_600.0),
            "Hu": dist.Uniform(990.0, 1_110.0),
            "Tl": dist.Uniform(63.1, 116.0),
            "Hl": dist.Uniform(700.0, 820.0),
            "L": dist.Uniform(1_120.0, 1_680.0),
            "Kw": dist.Uniform(9_855.0, 12_045.0),
        },
        units={
            "rw": "m",
            "r": "m",
            "Tu": "m2/yr",
            "Hu": "m",
            "Tl": "m2/yr",
            "Hl": "m",
            "L": "m",
            "Kw": "m/yr",
        },
        descriptions={
            "rw": "radius of the hole",
            "r": "radius of influence",
            "Tu": "upper transmissivity",
            "Hu": "upper head",
            "Tl": "lower transmissivity",
            "Hl": "lower head",
            "L": "length",
            "Kw": "conductivity",
        },
    )

    def known(values: tuple[float, ...], standard_error: float) -> Reference:
        return Reference(
            values=values, kind="monte carlo", source=_SOURCE, standard_error=standard_error, output="flow"
        )

    references = {"sobol_first": known(_FIRST[uniform], 4e-7), "sobol_total": known(_TOTAL[uniform], 4e-7)}
    if not uniform:
        references |= {"output_mean": known((73.738941,), 1e-5), "output_variance": known((817.7227,), 1e-3)}
    return ForwardModel(
        _flow, name="borehole", inputs=inputs, outputs={"flow": "m3/yr"}, takes="named", references=references
    )


problem = make()
