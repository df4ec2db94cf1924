"""Networks for scientific models: architectures, embeddings, priors over weights, derivatives by the inputs.

Networks are `equinox` modules of one point: `jax.vmap(network)(points)` for many. Settings such as
`MLP(widths=(50, 50))` become a network by `.build(coordinates, n_outputs, key=0)`, in the precision that JAX is in.
What a network holds but does not train is wrapped in `Fixed`; `trainable` and `FlatNetwork` know that.

Reference:
    Wang, Sankaran, Wang & Perdikaris (2023), An expert's guide to training physics-informed neural networks, arXiv
    2308.08468, for which of these to use where.
"""

from uqkit.nn.derivatives import derivatives
from uqkit.nn.embeddings import FourierEmbedding, FourierWaves, PeriodicEmbedding, PeriodicWaves
from uqkit.nn.flat import FlatNetwork, trainable
from uqkit.nn.layers import (
    Activation,
    FactorisedLinear,
    Fixed,
    SineUnit,
    Standardise,
    SwishUnit,
    TanhUnit,
    WeightFactorisation,
    glorot_linear,
    without_factorisation,
)
from uqkit.nn.networks import MLP, Architecture, FeedForward, Gated, GatedMLP, InputLayers, Network
from uqkit.nn.priors import GaussianPrior

__all__ = [
    "MLP",
    "Activation",
    "Architecture",
    "FactorisedLinear",
    "FeedForward",
    "Fixed",
    "FlatNetwork",
    "FourierEmbedding",
    "FourierWaves",
    "Gated",
    "GatedMLP",
    "GaussianPrior",
    "InputLayers",
    "Network",
    "PeriodicEmbedding",
    "PeriodicWaves",
    "SineUnit",
    "Standardise",
    "SwishUnit",
    "TanhUnit",
    "WeightFactorisation",
    "derivatives",
    "glorot_linear",
    "trainable",
    "without_factorisation",
]
