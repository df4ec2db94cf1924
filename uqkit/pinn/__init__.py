"""Physics as a likelihood: boundary value problems as probabilistic models of fields, parameters and noise.

Each equation, boundary value and sensor i observes y_ij ~ Normal(C_i[u; parameters](x_ij), sigma_i s_i(x_ij)). The
field is a sum of fixed random features with Gaussian weights, which makes the posterior of a linear problem exact,
and that of a nonlinear one a few Gauss-Newton steps away. One stacked, whitened residual gives the solution, the
posterior, the evidence, the noise scales, and the coordinates in which samplers are fast.

The features are global and smooth: fronts, shocks and unresolved singularities are beyond them. Those are for a
`Network`, trained by Levenberg-Marquardt, whose linearisation has the same posterior, or for the hidden layers of one,
frozen as `TrainedFeatures`. The cost of a fit grows
with the cube of the number of features, so that some thousands are the most. The posterior is that of the model, in
which a field that the features cannot represent does not occur: the verdict says when they are used up.

Reference:
    Yang, Meng & Karniadakis (2021), B-PINNs, Journal of Computational Physics 425; Pfortner, Steinwart, Hennig & Wenger
    (2022), arXiv 2212.12474; Dwivedi & Srinivasan (2020), Neurocomputing 391; MacKay (1992), Neural Computation 4;
    Wang, Teng & Perdikaris (2021), SIAM Journal on Scientific Computing 43, for the forward problems.
"""

import importlib
from typing import TYPE_CHECKING, Any

from uqkit.inference import (
    HMC,
    MCLMC,
    NUTS,
    AdjustedMCLMC,
    GaussNewton,
    LevenbergMarquardt,
    MacKay,
    RandomisedMAP,
)
from uqkit.nn import MLP, FourierEmbedding, GatedMLP, GaussianPrior, SineUnit, SwishUnit, TanhUnit, WeightFactorisation
from uqkit.pinn.adam import AdamBalanced, PrintedGradientRatio, SquareRootGradient
from uqkit.pinn.collocation import GaussGrid, ResidualAdaptive, SobolPoints
from uqkit.pinn.density import target_density
from uqkit.pinn.features import GaussianPairs, RandomFeatures, Sine, Tanh, UniformBand
from uqkit.pinn.field import Field
from uqkit.pinn.methods import AttainedTolerance, Exact, HeldOutTolerance, Sampled
from uqkit.pinn.network import Network, TrainedFeatures
from uqkit.pinn.restored import PosteriorField, restore
from uqkit.pinn.run import infer

if TYPE_CHECKING:
    from uqkit.pinn.plots import plot_error as plot_error
    from uqkit.pinn.plots import plot_evidence as plot_evidence
    from uqkit.pinn.plots import plot_gradients as plot_gradients
    from uqkit.pinn.plots import plot_noise as plot_noise
    from uqkit.pinn.plots import plot_parameter as plot_parameter
    from uqkit.pinn.plots import plot_residual as plot_residual
    from uqkit.pinn.plots import plot_solution as plot_solution
    from uqkit.pinn.plots import plot_training as plot_training

__all__ = [
    "HMC",
    "MCLMC",
    "MLP",
    "NUTS",
    "AdamBalanced",
    "AdjustedMCLMC",
    "AttainedTolerance",
    "Exact",
    "Field",
    "FourierEmbedding",
    "GatedMLP",
    "GaussGrid",
    "GaussNewton",
    "GaussianPairs",
    "GaussianPrior",
    "HeldOutTolerance",
    "LevenbergMarquardt",
    "MacKay",
    "Network",
    "PosteriorField",
    "PrintedGradientRatio",
    "RandomFeatures",
    "RandomisedMAP",
    "ResidualAdaptive",
    "Sampled",
    "Sine",
    "SineUnit",
    "SobolPoints",
    "SquareRootGradient",
    "SwishUnit",
    "Tanh",
    "TanhUnit",
    "TrainedFeatures",
    "UniformBand",
    "WeightFactorisation",
    "infer",
    "plot_error",
    "plot_evidence",
    "plot_gradients",
    "plot_noise",
    "plot_parameter",
    "plot_residual",
    "plot_solution",
    "plot_training",
    "restore",
    "target_density",
]


def __getattr__(name: str) -> Any:
    """Load the plots, and matplotlib with them, when they are first used."""
    if name.startswith("plot_") and name in __all__:
        return getattr(importlib.import_module("uqkit.pinn.plots"), name)
    raise AttributeError(f"module 'uqkit.pinn' has no attribute {name!r}")
