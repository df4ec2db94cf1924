"""Eight Gaussians of different weights and sizes, well apart in any number of dimensions.

    p = sum_(k=0..7) w_k Normal(mean_k, sd_k^2 I),    w_k = (4 + k) / 60,    sd_k = 0.4 v_k^(1/d)
    v_k = 2^(-(3 k mod 8) / 4),    a_k = k pi / 4
    mean_k = 4 sqrt(2/d) (cos a_k, sin a_k, cos 2a_k, sin 2a_k, cos 3a_k, ...)

Volumes sd_k^d differ by the same factors in any dimension d, so that the weights of the density to a power do too: to
the power 3 they are proportional to w_k^3 / v_k^2 up to what components overlap. Means are on a sphere of radius 4; the
closest two are 3.06 apart in the plane and farther in more dimensions.

Source: uqkit; dimensions 2, 10 and 30 after the scaling studies of Skreta et al. (2025), Feynman-Kac correctors in
diffusion, ICML, and of Ren et al. (2026), DriftLite, ICLR.
"""

import numpy as np

from uqkit.errors import InputError
from uqkit.problems import Density
from uqkit.stats import GaussianMixture

_N_MODES, _RADIUS, _SD = 8, 4.0, 0.4


def make(*, dim: int = 30) -> Density:
    """Eight modes in `dim` dimensions, an even number."""
    if dim < 2 or dim % 2:
        raise InputError(f"`dim` is {dim}; pass an even number of dimensions, at least 2.")
    mode = np.arange(_N_MODES)
    angle = 2 * np.pi / _N_MODES * np.outer(mode, np.arange(dim // 2) + 1)
    means = _RADIUS * np.sqrt(2 / dim) * np.stack([np.cos(angle), np.sin(angle)], axis=-1).reshape(_N_MODES, dim)
    volume = 2.0 ** (-(3 * mode % 8) / 4)
    variance = (_SD * volume ** (1 / dim)) ** 2
    mixture = GaussianMixture.of((4.0 + mode) / 60, means, variance[:, None, None] * np.eye(dim))
    return Density.of_mixture(
        mixture,
        name="eight_modes",
        coordinates=[f"x{i}" for i in range(1, dim + 1)],
        powers=(1, 2, 3),
        start=_RADIUS / np.sqrt(dim),
    )


problem = make()
