"""Fields that are a network: for fronts and shocks, where random features fail."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Key

from uqkit.errors import InputError
from uqkit.inference import LevenbergMarquardt
from uqkit.nn import MLP, GatedMLP, GaussianPrior, PeriodicEmbedding, Standardise, without_factorisation
from uqkit.pinn.network_stack import FieldNetwork
from uqkit.problems import BoundaryValueProblem
from uqkit.results import as_record

__all__ = ["Network", "TrainedFeatures"]


@dataclass(frozen=True, kw_only=True)
class Network:
    """Fields that are the outputs of one network, all of whose weights are unknown.

    Coordinates in which the problem is periodic go through waves of that period, and outputs through the problem's
    envelopes. The posterior is that of the linearised network around the weights found (a Laplace approximation), or
    drawn by a sampler, which for more than a hundred weights mixes poorly.

    With unknown parameters or noise scales the search may end where a law is met and sensors are taken for noise; the
    verdict says so. Smooth inverse problems are safer with `RandomFeatures`.

    Attributes:
        architecture: `MLP(...)` or `GatedMLP(...)` of `uqkit.nn`.
        prior: Of the weights.
        amplitude: Size of the fields, in the outputs' unit, that the network's output is multiplied by: one number, or
            output -> number.
    """

    architecture: MLP | GatedMLP = MLP(widths=(20, 20, 20))
    prior: GaussianPrior = GaussianPrior()
    amplitude: float | Mapping[str, float] = 1.0

    def __post_init__(self) -> None:
        """Check the settings."""
        if not isinstance(self.architecture, (MLP, GatedMLP)):
            raise InputError(f"`architecture` is {self.architecture!r}; pass MLP(...) or GatedMLP(...) of uqkit.nn.")
        try:
            json.dumps(as_record(self.architecture))
        except TypeError as error:
            raise InputError(
                f"`architecture` is {self.architecture!r}, which a result cannot write down; use TanhUnit(), "
                "SineUnit() or SwishUnit() as its activation."
            ) from error
        values = self.amplitude.values() if isinstance(self.amplitude, Mapping) else (self.amplitude,)
        if not all(isinstance(value, int | float) and 0 < value < np.inf for value in values):
            raise InputError(f"amplitude={self.amplitude}: pass finite numbers above zero.")

    def build(self, problem: BoundaryValueProblem, *, key: Key[jax.Array, ""]) -> FieldNetwork:
        """The fields with random weights, in the precision that JAX is in.

        Args:
            problem: Whose coordinates and outputs they have.
            key: Source of the weights.

        Raises:
            InputError: If settings do not fit the problem.
        """
        domain, outputs = problem.domain, tuple(problem.outputs)
        given = self.amplitude if isinstance(self.amplitude, Mapping) else dict.fromkeys(outputs, self.amplitude)
        if set(given) != set(outputs):
            raise InputError(f"`amplitude` names {', '.join(given)}; name the outputs {', '.join(outputs)}.")
        architecture = self.architecture
        if problem.periodic and architecture.periodic is not None:
            raise InputError(
                f"problem {problem.name!r} is periodic in {', '.join(problem.periodic)}, and gives the network its "
                "waves; leave `periodic` out of the architecture."
            )
        if problem.periodic:
            width = dict(zip(domain.names, domain.upper - domain.lower, strict=True))
            waves = PeriodicEmbedding(
                coordinates=tuple(problem.periodic), periods=tuple(float(width[name]) for name in problem.periodic)
            )
            architecture = dataclasses.replace(architecture, periodic=waves)
        standardise = Standardise.of_box(domain.lower, domain.upper)
        network = architecture.build(domain.names, len(outputs), standardise=standardise, key=key)
        return FieldNetwork.of(problem, network, given)

    def prior_scales(self, fields: FieldNetwork) -> dict[str, float]:
        """Prior standard deviation of each block of weights."""
        scales = np.asarray(self.prior.scales(fields.flat.network))
        return {name: float(scales[part.start]) for name, part in fields.flat.blocks.items()}


def plain(fields: FieldNetwork) -> FieldNetwork:
    """The same fields with factorised weights multiplied out."""
    return dataclasses.replace(
        fields, flat=dataclasses.replace(fields.flat, network=without_factorisation(fields.flat.network))
    )


@dataclass(frozen=True, kw_only=True)
class TrainedFeatures:
    """Hidden layers of a network that is trained first, then frozen: fields linear in the weights of the last layer.

    The posterior over the last layer is exact for linear problems, as that of `RandomFeatures`, and the features are
    fitted to the problem: bands for solutions with fronts.

    Attributes:
        network: What is trained.
        training: How.

    Reference:
        Snoek et al. (2015), Scalable Bayesian optimization using deep neural networks, for the last layer.
    """

    network: Network = Network()
    training: LevenbergMarquardt = LevenbergMarquardt()

    def __post_init__(self) -> None:
        """Check the settings."""
        if not isinstance(self.network, Network) or not isinstance(self.training, LevenbergMarquardt):
            raise InputError(f"{self}: pass network=Network(...) and training=LevenbergMarquardt(...).")
