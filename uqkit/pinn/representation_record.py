"""What fields are made of, written into a result and read back."""

import json
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.flatten_util import ravel_pytree

from uqkit.errors import StoreError
from uqkit.nn import (
    MLP,
    FourierEmbedding,
    GatedMLP,
    PeriodicEmbedding,
    SineUnit,
    SwishUnit,
    TanhUnit,
    WeightFactorisation,
)
from uqkit.pinn.features import Basis, Sine, Tanh
from uqkit.pinn.labels import variable
from uqkit.pinn.network import Network, TrainedFeatures, plain
from uqkit.pinn.network_stack import FieldNetwork
from uqkit.pinn.representation import Representation
from uqkit.pinn.setting import Setting
from uqkit.pinn.trained import TrainedBasis
from uqkit.problems import BoundaryValueProblem
from uqkit.results import as_record, from_record, schema

__all__ = ["representation_of", "representation_record"]

_ACTIVATIONS = {"Sine": Sine, "Tanh": Tanh}
_ARCHITECTURES = {
    kind.__name__: kind
    for kind in (
        MLP, GatedMLP, PeriodicEmbedding, FourierEmbedding, WeightFactorisation, TanhUnit, SineUnit, SwishUnit
    )
}  # fmt: skip


def representation_record(
    setting: Setting, representation: Representation
) -> tuple[dict[str, xr.Variable], dict[str, Any], dict[str, str]]:
    """Variables, coordinates and attributes that describe it."""
    if isinstance(representation, Basis):
        basis = representation
        return (
            {
                schema.FREQUENCY: variable(
                    (schema.FEATURE, schema.COORDINATE), basis.frequency, "rad", "per half-width"
                ),
                schema.PHASE: variable((schema.FEATURE,), basis.phase, "rad", "phase"),
                schema.CENTRE: variable((schema.COORDINATE,), basis.centre, "see coordinates", "centre of the domain"),
                schema.HALF_WIDTH: variable(
                    (schema.COORDINATE,), basis.half_width, "see coordinates", "half-width of the domain"
                ),
            },
            {},
            {"activation": type(basis.activation).__name__},
        )
    prior = setting.prior.network if isinstance(setting.prior, TrainedFeatures) else setting.prior
    assert isinstance(prior, Network)
    network = representation.network if isinstance(representation, TrainedBasis) else representation.flat.network
    with jax.enable_x64(True):
        numbers = np.asarray(ravel_pytree(eqx.filter(network, eqx.is_inexact_array_like))[0])
    amplitude = prior.amplitude
    return (
        {
            schema.NETWORK: variable(
                (schema.NETWORK_NUMBER,), numbers, "1", "all numbers of the network, layer by layer"
            )
        },
        {},
        {
            "architecture": json.dumps(as_record(prior.architecture)),
            "amplitude": json.dumps(amplitude if isinstance(amplitude, float | int) else dict(amplitude)),
            "frozen": str(isinstance(representation, TrainedBasis)),
        },
    )


def representation_of(fitted: xr.Dataset, problem: BoundaryValueProblem) -> Representation:
    """What `representation_record` wrote.

    Raises:
        StoreError: If it is of a kind, or a size, that is not known.
    """
    if "activation" in fitted.attrs:
        return Basis(
            fitted[schema.FREQUENCY].values,
            fitted[schema.PHASE].values,
            fitted[schema.CENTRE].values,
            fitted[schema.HALF_WIDTH].values,
            _ACTIVATIONS[fitted.attrs["activation"]](),
        )
    architecture = from_record(json.loads(fitted.attrs["architecture"]), _ARCHITECTURES)
    prior = Network(architecture=architecture, amplitude=json.loads(fitted.attrs["amplitude"]))
    with jax.enable_x64(True):
        fields = plain(prior.build(problem, key=jax.random.key(0)))
        arrays, rest = eqx.partition(fields.flat.network, eqx.is_inexact_array_like)
        own, unravel = ravel_pytree(arrays)
        numbers = fitted[schema.NETWORK].values
        if numbers.shape != own.shape:
            raise StoreError(f"the result has a network of {numbers.size} numbers, its architecture {own.size}.")
        network = eqx.combine(unravel(jnp.asarray(numbers)), rest)
    if fitted.attrs["frozen"] == "True":
        return TrainedBasis(network)
    return FieldNetwork.of(problem, network, dict(zip(fields.outputs, fields.amplitude, strict=True)))
