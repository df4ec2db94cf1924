"""Bayesian linear regression as a surrogate: the baseline that any network has to beat."""

from botorch.models.transforms.input import InputTransform
from botorch.models.transforms.outcome import OutcomeTransform
from botorch.utils.types import DEFAULT, _DefaultType
from torch import Tensor

from uqkit._typing import PRNGKey
from uqkit.bayesopt.gaussian import GaussianSurrogate, n_columns, output_shape
from uqkit.bayesopt.kernels import CubeKernel, InfiniteWidthKernel

__all__ = ["LinearGP"]


class LinearGP(GaussianSurrogate):
    """Bayesian linear regression with learned variances: a plane through the data, and how sure of it one can be.

    In many dimensions, with few points for each, it is hard to beat.

    Args:
        train_X: Inputs in [0, 1]^d, `n x d`; centred to [-1, 1]^d inside.
        train_Y: Outputs, `n x m`; independent.
        train_Yvar: Known noise variances, `n x m`; the noise of each output is learned where not given.
        ard: Whether to learn a scale of each input, besides the variance of all weights.
        input_transform: BoTorch's, say `Normalize(d)` where inputs are not in [0, 1]^d.
        outcome_transform: BoTorch's; outputs are standardised where not given.
        key: Of the restarts of the fit.

    Reference:
        Rasmussen & Williams (2006), section 2.1.
    """

    def __init__(
        self,
        train_X: Tensor,  # noqa: N803 - BoTorch's names
        train_Y: Tensor,  # noqa: N803
        train_Yvar: Tensor | None = None,  # noqa: N803
        *,
        ard: bool = False,
        input_transform: InputTransform | None = None,
        outcome_transform: OutcomeTransform | _DefaultType | None = DEFAULT,
        key: PRNGKey,
    ) -> None:
        """See the class."""
        shape = output_shape(train_X, train_Y)
        # A network without hidden layers.
        kernel = InfiniteWidthKernel(
            depth=0, ard_num_dims=n_columns(train_X, input_transform) if ard else None, batch_shape=shape
        )
        super().__init__(
            train_X,
            train_Y,
            train_Yvar,
            kernel=CubeKernel(kernel),
            input_transform=input_transform,
            outcome_transform=outcome_transform,
            key=key,
            settings={"ard": ard},
        )
