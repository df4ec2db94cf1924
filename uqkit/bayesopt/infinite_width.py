"""Infinitely wide networks as surrogates: Gaussian processes whose covariance a network's architecture sets."""

from botorch.models.transforms.input import InputTransform
from botorch.models.transforms.outcome import OutcomeTransform
from botorch.utils.types import DEFAULT, _DefaultType
from torch import Tensor

from uqkit._typing import PRNGKey
from uqkit.bayesopt.gaussian import GaussianSurrogate, n_columns, output_shape
from uqkit.bayesopt.kernels import NNGP, NTK, CubeKernel, Erf, InfiniteWidthKernel, ReLU

__all__ = ["InfiniteWidthGP"]


class InfiniteWidthGP(GaussianSurrogate):
    """The Gaussian process that a Bayesian network becomes as its layers grow without bound.

    Inputs in [0, 1]^d are centred to [-1, 1]^d inside: from a corner of the cube all points lie in much the same
    direction, correlations exceed 0.9, and the process is close to a linear one. The variances of weights and biases,
    the noise, and the scale of each input are learned.

    Args:
        train_X: Inputs in [0, 1]^d, `n x d`.
        train_Y: Outputs, `n x m`; independent.
        train_Yvar: Known noise variances, `n x m`; the noise of each output is learned where not given.
        activation: `ReLU()` or `Erf()`.
        limit: `NNGP()`, the network's own prior, or `NTK()`, that of the network linear in its weights.
        depth: Hidden layers.
        ard: Whether to learn a scale of each input.
        input_transform: BoTorch's, say `Normalize(d)` where inputs are not in [0, 1]^d.
        outcome_transform: BoTorch's; outputs are standardised where not given.
        key: Of the restarts of the fit.

    Reference:
        Lee et al. (2018), Deep neural networks as Gaussian processes; Li, Rudner & Wilson (2024), A study of Bayesian
        neural network surrogates for Bayesian optimization, who learn neither variances nor scales.
    """

    def __init__(
        self,
        train_X: Tensor,  # noqa: N803 - BoTorch's names
        train_Y: Tensor,  # noqa: N803
        train_Yvar: Tensor | None = None,  # noqa: N803
        *,
        activation: ReLU | Erf = ReLU(),  # noqa: B008 - a frozen value
        limit: NNGP | NTK = NNGP(),  # noqa: B008
        depth: int = 3,
        ard: bool = True,
        input_transform: InputTransform | None = None,
        outcome_transform: OutcomeTransform | _DefaultType | None = DEFAULT,
        key: PRNGKey,
    ) -> None:
        """See the class."""
        shape = output_shape(train_X, train_Y)
        kernel = InfiniteWidthKernel(
            activation,
            limit,
            depth=depth,
            ard_num_dims=n_columns(train_X, input_transform) if ard else None,
            batch_shape=shape,
        )
        super().__init__(
            train_X,
            train_Y,
            train_Yvar,
            kernel=CubeKernel(kernel),
            input_transform=input_transform,
            outcome_transform=outcome_transform,
            key=key,
            settings={"activation": activation, "limit": limit, "depth": depth, "ard": ard},
        )
