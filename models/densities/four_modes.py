"""Four Gaussians in the plane that differ in weight, size and direction.

    p = sum_k w_k Normal(mean_k, C_k),    w = 0.4, 0.3, 0.2, 0.1

Nothing about it is symmetric, so that a wrong sign or a lost factor shows.

Source: uqkit; a small asymmetric target for methods that were only ever tested on symmetric ones.
"""

import numpy as np

from uqkit.problems import Density
from uqkit.stats import GaussianMixture

_WEIGHT = np.array([0.4, 0.3, 0.2, 0.1])
_MEAN = np.array([[-3.0, -2.0], [2.5, 3.0], [4.0, -1.5], [-2.0, 4.0]])
_COVARIANCE = np.array(
    [
        [[0.60, 0.25], [0.25, 0.40]],
        [[0.30, -0.10], [-0.10, 0.80]],
        [[0.20, 0.00], [0.00, 0.25]],
        [[0.90, 0.40], [0.40, 0.50]],
    ]
)


def make() -> Density:
    """Four unlike Gaussians."""
    mixture = GaussianMixture.of(_WEIGHT, _MEAN, _COVARIANCE)
    return Density.of_mixture(mixture, name="four_modes", coordinates=("x1", "x2"), powers=(1, 2, 3), start=3.0)


problem = make()
