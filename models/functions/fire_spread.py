"""Rate of spread of a fire through shrubland (Rothermel): ten inputs, wet fuel and strong wind correlated.

    R = I_R xi (1 + phi_W + phi_S) / (rho_b epsilon Q_ig)                                         (cm/s)

heat that reaches the unburnt fuel over heat that it needs to ignite; in feet, pounds, minutes and Btu

    I_R = Gamma w_n h mu_M mu_S           reaction intensity          Gamma = Gamma_max (r exp(1 - r))^A
    r = beta / beta_op                    relative packing ratio      beta = rho_b / rho_p,  rho_b = w_0 / delta
    Gamma_max = sigma^1.5 / (495 + 0.0594 sigma^1.5)                  beta_op = 3.348 sigma^-0.8189
    A = 133 sigma^-0.7913                 w_n = w_0 (1 - S_t)         mu_S = min(0.174 S_t^-0.19, 1)
    mu_M = exp(-7.3 P m_d - (7.3 theta + 2.13) (1 - P) m_l)
    theta = (301.4 - 305.87 (m_l - m_d) + 2260 m_d) / (2260 m_l) within [0, 1]
    xi = exp((0.792 + 0.681 sigma^0.5) (beta + 0.1)) / (192 + 0.2595 sigma)
    phi_W = C U^B r^-E,  C = 7.47 exp(-0.133 sigma^0.55),  B = 0.02526 sigma^0.54,  E = 0.715 exp(-3.59e-4 sigma)
    phi_S = 5.275 beta^-0.3 tan(phi)^2    epsilon = exp(-138 / sigma)           Q_ig = 130.87 + 1054.43 m_d
    w_0 = 4.8 / 4.8824 / (1 + exp((15 - delta) / 3.5)) kg/m2, delta in cm

Inputs: fuel depth delta ~ LN(2.19, 0.517) cm; surface to volume of the fuel particles sigma ~ LN(3.31, 0.294) above 5
1/cm; heat content h ~ LN(8.48, 0.063) kcal/kg; density of the particles rho_p ~ LN(-0.592, 0.219) g/cm3; moisture of
live fuel m_l ~ N(1.18, 0.377) above 0 and of dead fuel m_d ~ N(0.19, 0.047), mineral content S_t ~ N(0.049, 0.011)
above 0, all per dry mass; wind at midflame height U ~ 6.9 LN(1.0174, 0.5569) km/h; slope
tan_phi ~ N(0.38, 0.186) above 0; share of dead fuel P ~ LN(-2.19, 0.64) below 1. The copula is Gaussian, with a
correlation of -0.8 between m_d and U.

No index is known exactly. Those of R itself are ruled by its tail: eight million points still leave a standard error
of 9 % in its variance (about 7.5 cm2/s2), and what lies beyond twenty standard deviations of ln sigma has no moments.
make(logarithm=True) has ln R as its output, whose variance a few thousand points give to a percent.

Source: Rothermel (1972), USDA Forest Service Research Paper INT-115, as modified by Albini (1976), General Technical
Report INT-30, and for moisture by Catchpole & Catchpole (1991), Int. J. Wildland Fire 1; laws of Salvador, Pinol,
Tarantola & Pla (2001), Ecological Modelling 136, and Song, Nelson & Staum (2016), SIAM/ASA J. Uncertainty
Quantification 4, with the truncations and w_0 as in the code of Demange-Chryst, Bachoc & Morio (2022), arXiv
2202.12679. Their code takes 0.4236 for the 0.4536 kg of a pound in h: its R is 6.6 % lower, its indices are the same.
"""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from scipy import stats

from uqkit.inputs import GaussianCopula, Inputs
from uqkit.problems import ForwardModel
from uqkit.results import Reference

_SOURCE = "mean over 32 scrambled Sobol' nets of 2^18 points"

_CENTIMETRES_A_FOOT = 30.48
_KILOGRAMS_A_POUND = 0.45359237
_POUNDS_A_CUBIC_FOOT = 62.42796  # in one g/cm3
_BTU_A_POUND = 4184.0 * _KILOGRAMS_A_POUND / 1055.056  # in one kcal/kg
_FEET_A_MINUTE = 1e5 / 60 / _CENTIMETRES_A_FOOT  # in one km/h


class _TruncatedLogNormal(stats.rv_continuous):
    """Exponential of a truncated normal; SciPy's `truncate` loses up to 3e-4 in the survival function of one end."""

    def _argcheck(self, *args):
        low, high, _, deviation = args
        return (low >= 0) & (high > low) & (deviation > 0)

    def _get_support(self, *args, **_):
        return args[:2]

    def _normal(self, args):
        low, high, mean, deviation = args
        with np.errstate(divide="ignore"):
            low, high = np.log(low), np.log(high)
        return (low - mean) / deviation, (high - mean) / deviation, mean, deviation

    def _cdf(self, x, *args):
        return stats.truncnorm.cdf(np.log(x), *self._normal(args))

    def _sf(self, x, *args):
        return stats.truncnorm.sf(np.log(x), *self._normal(args))

    def _ppf(self, q, *args):
        return np.exp(stats.truncnorm.ppf(q, *self._normal(args)))

    def _isf(self, q, *args):
        return np.exp(stats.truncnorm.isf(q, *self._normal(args)))

    def _logpdf(self, x, *args):
        return stats.truncnorm.logpdf(np.log(x), *self._normal(args)) - np.log(x)

    def _pdf(self, x, *args):
        return np.exp(self._logpdf(x, *args))


def _rate(delta, sigma, h, rho_p, m_l, m_d, S_t, U, tan_phi, P):
    kilograms = 4.8 / 4.8824 / (1 + jnp.exp((15 - delta) / 3.5))
    w_0 = kilograms / _KILOGRAMS_A_POUND * (_CENTIMETRES_A_FOOT / 100) ** 2
    depth = delta / _CENTIMETRES_A_FOOT
    sigma = sigma * _CENTIMETRES_A_FOOT

    bulk_density = w_0 / depth
    packing = bulk_density / (rho_p * _POUNDS_A_CUBIC_FOOT)
    relative = packing / (3.348 * sigma**-0.8189)

    fastest = sigma**1.5 / (495 + 0.0594 * sigma**1.5)
    velocity = fastest * (relative * jnp.exp(1 - relative)) ** (133 * sigma**-0.7913)
    dried = jnp.clip((301.4 - 305.87 * (m_l - m_d) + 2260 * m_d) / (2260 * m_l), 0, 1)
    moisture = jnp.exp(-7.3 * P * m_d - (7.3 * dried + 2.13) * (1 - P) * m_l)
    mineral = jnp.minimum(0.174 * S_t**-0.19, 1)
    intensity = velocity * w_0 * (1 - S_t) * h * _BTU_A_POUND * moisture * mineral

    propagating = jnp.exp((0.792 + 0.681 * sigma**0.5) * (packing + 0.1)) / (192 + 0.2595 * sigma)
    wind = 7.47 * jnp.exp(-0.133 * sigma**0.55) * (U * _FEET_A_MINUTE) ** (0.02526 * sigma**0.54)
    wind = wind * relative ** (-0.715 * jnp.exp(-3.59e-4 * sigma))
    slope = 5.275 * packing**-0.3 * tan_phi**2

    heat_sink = bulk_density * jnp.exp(-138 / sigma) * (130.87 + 1054.43 * m_d)
    return intensity * propagating * (1 + wind + slope) / heat_sink * _CENTIMETRES_A_FOOT / 60


def _log_rate(delta, sigma, h, rho_p, m_l, m_d, S_t, U, tan_phi, P):
    return jnp.log(_rate(delta, sigma, h, rho_p, m_l, m_d, S_t, U, tan_phi, P))


def make(*, correlation: float = -0.8, logarithm: bool = False) -> ForwardModel:
    """Rate of spread or its logarithm; `correlation` of the normal scores of dead fuel moisture and wind."""
    truncated = _TruncatedLogNormal(name="truncated_lognormal", shapes="low, high, log_mean, log_deviation")
    inputs = Inputs(
        {
            "delta": dist.LogNormal(2.19, 0.517),
            "sigma": truncated(5.0, np.inf, 3.31, 0.294),
            "h": dist.LogNormal(8.48, 0.063),
            "rho_p": dist.LogNormal(-0.592, 0.219),
            "m_l": dist.TruncatedNormal(1.18, 0.377, low=0.0),
            "m_d": dist.Normal(0.19, 0.047),
            "S_t": dist.TruncatedNormal(0.049, 0.011, low=0.0),
            "U": stats.lognorm(0.5569, scale=6.9 * np.exp(1.0174)),
            "tan_phi": dist.TruncatedNormal(0.38, 0.186, low=0.0),
            "P": truncated(0.0, 1.0, -2.19, 0.64),
        },
        units={"delta": "cm", "sigma": "1/cm", "h": "kcal/kg", "rho_p": "g/cm3", "U": "km/h"},
        descriptions={
            "delta": "fuel depth",
            "sigma": "surface to volume",
            "h": "heat content",
            "rho_p": "particle density",
            "m_l": "live fuel moisture",
            "m_d": "dead fuel moisture",
            "S_t": "mineral content",
            "U": "wind",
            "tan_phi": "slope",
            "P": "share of dead fuel",
        },
        copula=GaussianCopula({("m_d", "U"): correlation}) if correlation else None,
    )
    if not logarithm:
        return ForwardModel(_rate, name="fire_spread", inputs=inputs, outputs={"rate": "cm/s"}, takes="named")

    def known(value: float, standard_error: float) -> Reference:
        return Reference(
            values=(value,), kind="monte carlo", source=_SOURCE, standard_error=standard_error, output="log_rate"
        )

    return ForwardModel(
        _log_rate,
        name="fire_spread",
        inputs=inputs,
        outputs={"log_rate": "1"},
        takes="named",
        references={"output_mean": known(-0.9303404, 6e-7), "output_variance": known(1.668296, 8e-6)}
        if correlation == -0.8
        else {},
    )


problem = make()
