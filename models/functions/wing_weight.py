"""Wing weight of a light aircraft: ten uniform inputs, a product of powers and one plain term.

    W = 0.036 Sw^0.758 Wfw^0.0035 (A / cos^2 sweep)^0.6 q^0.006 taper^0.04 (100 tc / cos sweep)^-0.3 (Nz Wdg)^0.49
        + Sw Wp                                                                               (lb)

Inputs: wing area Sw (ft2), weight of the fuel in the wing Wfw (lb), aspect ratio A, quarter-chord sweep (degrees),
dynamic pressure at cruise q (lb/ft2), taper ratio, ratio of airfoil thickness to chord tc, ultimate load factor Nz,
design gross weight Wdg (lb), weight of the paint Wp (lb/ft2).

Source: Forrester, Sobester & Keane (2008), Engineering Design via Surrogate Modelling, after Raymer's Aircraft
Design: A Conceptual Approach.
"""

import jax.numpy as jnp
import numpyro.distributions as dist

from uqkit.inputs import Inputs
from uqkit.problems import ForwardModel
from uqkit.results import Reference

_SOURCE = "sum of two products: one-dimensional moments by Gauss-Legendre rules of 40 points"

# Name: lower end, upper end, unit, description.
_INPUTS = {
    "Sw": (150.0, 200.0, "ft2", "wing area"),
    "Wfw": (220.0, 300.0, "lb", "fuel in the wing"),
    "A": (6.0, 10.0, "1", "aspect ratio"),
    "sweep": (-10.0, 10.0, "degree", "quarter-chord sweep"),
    "q": (16.0, 45.0, "lb/ft2", "dynamic pressure at cruise"),
    "taper": (0.5, 1.0, "1", "taper ratio"),
    "tc": (0.08, 0.18, "1", "thickness to chord"),
    "Nz": (2.5, 6.0, "1", "ultimate load factor"),
    "Wdg": (1_700.0, 2_500.0, "lb", "design gross weight"),
    "Wp": (0.025, 0.08, "lb/ft2", "paint weight"),
}


def _weight(Sw, Wfw, A, sweep, q, taper, tc, Nz, Wdg, Wp):
    cosine = jnp.cos(jnp.deg2rad(sweep))
    structure = Sw**0.758 * Wfw**0.0035 * (A / cosine**2) ** 0.6 * q**0.006 * taper**0.04
    return 0.036 * structure * (100 * tc / cosine) ** -0.3 * (Nz * Wdg) ** 0.49 + Sw * Wp


def make() -> ForwardModel:
    """Wing weight over the ranges of a Cessna C172 Skyhawk."""
    inputs = Inputs(
        {name: dist.Uniform(low, high) for name, (low, high, _, _) in _INPUTS.items()},
        units={name: unit for name, (_, _, unit, _) in _INPUTS.items()},
        descriptions={name: description for name, (_, _, _, description) in _INPUTS.items()},
    )

    def known(*values: float) -> Reference:
        return Reference(values=values, kind="quadrature", source=_SOURCE, output="weight")

    return ForwardModel(
        _weight,
        name="wing_weight",
        inputs=inputs,
        outputs={"weight": "lb"},
        takes="named",
        references={
            "output_mean": known(268.075236831743),
            "output_variance": known(2311.926273313),
            "sobol_first": known(
                0.1244730936,
                0.0000028331,
                0.2202402478,
                0.0004897477,
                0.0000881742,
                0.0018098843,
                0.1409826395,
                0.4116096727,
                0.0849675789,
                0.0033392294,
            ),
            "sobol_total": known(
                0.1279001673,
                0.0000029294,
                0.2260121753,
                0.0005063923,
                0.0000911722,
                0.0018713101,
                0.1450710578,
                0.4196476026,
                0.0876000347,
                0.0033619452,
            ),
        },
    )


problem = make()
