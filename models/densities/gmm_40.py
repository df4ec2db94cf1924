"""Forty Gaussians of one size in the plane, at random places of a square.

    p = 1/40 sum_k Normal(mean_k, sd^2 I),    mean_k uniform on [-40, 40]^2

The means are those that PyTorch draws with seed 0, data/gmm_40.csv (x1, x2). Papers write the spread as a softplus:
sd = log(1 + e^2) = 2.1269 in the second source and here, log(1 + e) = 1.3133 in the first. Some divide all coordinates
by 50. Powers of the density, which lower its temperature, have other mode weights: components that overlap gain.

Source: Midgley, Stimper, Simm, Schoelkopf & Hernandez-Lobato (2023), Flow annealed importance sampling bootstrap, ICLR;
annealed as in Skreta et al. (2025), Feynman-Kac correctors in diffusion, ICML.
"""

import math
from pathlib import Path

import numpy as np

from uqkit.errors import InputError
from uqkit.problems import Density
from uqkit.results import Reference
from uqkit.stats import GaussianMixture

_DATA = Path(__file__).resolve().parents[2] / "data" / "gmm_40.csv"
_SD = math.log1p(math.exp(2.0))
# The mean of the log density by quadrature.
_LOG_DENSITIES = {_SD: -7.630605152698, math.log1p(math.e): -6.859468829330}


def make(*, sd: float = _SD) -> Density:
    """Forty Gaussians of standard deviation `sd`."""
    if not 0 < sd < math.inf:
        raise InputError(f"`sd` is {sd}; pass a number above zero.")
    means = np.loadtxt(_DATA, delimiter=",", skiprows=1)
    n, dim = means.shape
    mixture = GaussianMixture.of(np.full(n, 1 / n), means, np.tile(sd**2 * np.eye(dim), (n, 1, 1)))
    known = {}
    if sd in _LOG_DENSITIES:
        known["mean_log_density"] = Reference(
            values=(_LOG_DENSITIES[sd],), kind="quadrature", source="trapezium rule on a fine grid"
        )
    return Density.of_mixture(
        mixture, name="gmm_40", coordinates=("x1", "x2"), powers=(1, 2, 3), references=known, start=20.0
    )


problem = make()
