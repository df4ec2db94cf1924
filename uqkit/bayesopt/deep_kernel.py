"""Deep kernel learning: small networks make features, a Gaussian process lies over them and the inputs."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from botorch.models.transforms.input import InputTransform
from botorch.models.transforms.outcome import OutcomeTransform
from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
from botorch.utils.types import DEFAULT, _DefaultType
from gpytorch.kernels import Kernel
from gpytorch.priors import NormalPrior
from torch import Tensor

from uqkit._typing import PRNGKey
from uqkit.bayesopt.gaussian import GaussianSurrogate, n_columns, output_shape
from uqkit.errors import InputError
from uqkit.keys import as_key, numpy_generator

__all__ = ["DeepKernel", "DeepKernelGP"]


class DeepKernel(Kernel):
    """Mean over random tanh networks g_s of exp(-|(x, g_s(x)) - (x', g_s(x'))|^2 / 2), each coordinate scaled.

    The weights of network s are W_s = (e_s + t z) / sqrt(fan_in): e_s is standard normal and stays as it was drawn, z
    is learned under a standard normal prior, and is shared by all networks. At z = 0 the kernel is that of a Gaussian
    process over the features of networks drawn from their prior; z turns all networks one way, t says how readily.
    Were a single network free to move, its features would line the training outputs up and the intervals between
    them close; averaged, no part of a feature that the data leave open is relied on.

    Args:
        n_inputs: d.
        n_features: Outputs of a network.
        widths: Of the hidden layers.
        n_networks: Networks averaged.
        freedom: t.
        batch_shape: Of independent kernels; they share the drawn weights e_s.
        generator: Draws the weights.

    Reference:
        Wilson, Hu, Salakhutdinov & Xing (2016), Deep kernel learning; Ober, Rasmussen & van der Wilk (2021), The
        promises and pitfalls of deep kernel learning.
    """

    has_lengthscale = False

    def __init__(
        self,
        n_inputs: int,
        *,
        n_features: int,
        widths: Sequence[int],
        n_networks: int,
        freedom: float,
        batch_shape: torch.Size,
        generator: np.random.Generator,
    ) -> None:
        """See the class."""
        super().__init__(batch_shape=batch_shape)
        self.freedom = freedom
        # Only the scales of this one are used: it has the priors of `SingleTaskGP`.
        self.base_kernel: Kernel = get_covar_module_with_dim_scaled_prior(n_inputs + n_features, batch_shape)
        sizes = [n_inputs, *widths, n_features]
        self.n_layers = len(sizes) - 1
        # No buffers: they are made again from the key, and lack the batch dimensions that gpytorch slices.
        self._drawn: dict[str, Tensor] = {}
        for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            shapes = {f"weight_{layer}": (fan_in, fan_out), f"bias_{layer}": (1, fan_out)}
            if layer == self.n_layers - 1:
                # A shift of a feature changes no distance.
                del shapes[f"bias_{layer}"]
            for name, shape in shapes.items():
                self._drawn[name] = torch.from_numpy(generator.standard_normal((n_networks, *shape)))
                self.register_parameter(name, torch.nn.Parameter(torch.zeros(*batch_shape, *shape)))
                self.register_prior(f"{name}_prior", NormalPrior(0.0, 1.0), name)

    def features(self, x: Tensor) -> Tensor:
        """Features of each network, `batch x network x n x n_features`, of inputs in [0, 1]^d, `batch x n x d`."""
        hidden = 2.0 * x.unsqueeze(-3) - 1.0
        for layer in range(self.n_layers):
            weight = self._weight(f"weight_{layer}")
            hidden = hidden @ weight / math.sqrt(weight.shape[-2])
            if layer < self.n_layers - 1:
                hidden = torch.tanh(hidden + self._weight(f"bias_{layer}"))
        return hidden

    def _weight(self, name: str) -> Tensor:
        shift = getattr(self, name).unsqueeze(-3)
        return self._drawn[name].to(shift) + self.freedom * shift

    def forward(
        self, x1: Tensor, x2: Tensor, diag: bool = False, last_dim_is_batch: bool = False, **params: Any
    ) -> Tensor:
        """The kernel matrix, `batch x n1 x n2`, or its diagonal, `batch x n`.

        Args:
            x1: `batch x n1 x d`.
            x2: `batch x n2 x d`.
            diag: Whether only pairs of the same row are wanted.
            last_dim_is_batch: Not supported.
            params: Not used.
        """
        if last_dim_is_batch:
            raise InputError("last_dim_is_batch=True: a DeepKernel is of all inputs together.")
        lengthscale = self.base_kernel.lengthscale
        n_inputs = x1.shape[-1]
        of_inputs, of_features = lengthscale[..., :n_inputs], lengthscale[..., n_inputs:].unsqueeze(-3)
        features1 = self.features(x1)
        features2 = features1 if x1 is x2 else self.features(x2)
        near = _gaussian(x1 / of_inputs, x2 / of_inputs, diag)
        # Distances of inputs are common to all networks.
        return near * _gaussian(features1 / of_features, features2 / of_features, diag).mean(-2 if diag else -3)


def _gaussian(first: Tensor, second: Tensor, diag: bool) -> Tensor:
    """exp(-|a - b|^2 / 2) of all pairs of rows, or of pairs of the same row."""
    if diag:
        return torch.exp(-0.5 * (first - second).square().sum(-1))
    # A common shift leaves distances as they are, and less of them is lost in rounding.
    centre = first.mean(dim=-2, keepdim=True)
    first, second = first - centre, second - centre
    square = first.square().sum(-1, keepdim=True) + second.square().sum(-1, keepdim=True).mT
    return torch.exp(-0.5 * (square - 2.0 * first @ second.mT).clamp(min=0.0))


class DeepKernelGP(GaussianSurrogate):
    """A Gaussian process over the inputs and over features of them that small networks learn.

    Networks and scales are fitted together by the marginal likelihood, under priors. Where features are of no use
    their scales grow out of reach and what is left is `SingleTaskGP`. Features that are free to follow the data make
    intervals far too narrow (Ober, Rasmussen & van der Wilk 2021): here the kernel is a mean over networks drawn from
    their prior, of which one common shift is learned, under a standard normal prior.

    Args:
        train_X: Inputs in [0, 1]^d, `n x d`.
        train_Y: Outputs, `n x m`; independent.
        train_Yvar: Known noise variances, `n x m`; the noise of each output is learned where not given.
        n_features: Outputs of a network.
        widths: Of the hidden layers.
        n_networks: Networks averaged.
        freedom: Prior standard deviation of a weight's shift, where the weights themselves have 1. Larger follows
            non-stationary functions faster, and is overconfident on smooth ones of many inputs.
        input_transform: BoTorch's, say `Normalize(d)` where inputs are not in [0, 1]^d.
        outcome_transform: BoTorch's; outputs are standardised where not given.
        key: Of the networks' weights, and the restarts of the fit.

    Raises:
        InputError: If a setting cannot be used.

    Reference:
        Wilson, Hu, Salakhutdinov & Xing (2016), Deep kernel learning; Ober, Rasmussen & van der Wilk (2021), The
        promises and pitfalls of deep kernel learning.
    """

    # Later iterations gain little in the objective.
    n_iterations = 200

    def __init__(
        self,
        train_X: Tensor,  # noqa: N803 - BoTorch's names
        train_Y: Tensor,  # noqa: N803
        train_Yvar: Tensor | None = None,  # noqa: N803
        *,
        n_features: int = 4,
        widths: Sequence[int] = (20,),
        n_networks: int = 16,
        freedom: float = 0.1,
        input_transform: InputTransform | None = None,
        outcome_transform: OutcomeTransform | _DefaultType | None = DEFAULT,
        key: PRNGKey,
    ) -> None:
        """See the class."""
        if isinstance(widths, int) or not widths or min(widths) < 1:
            raise InputError(f"widths={widths!r}: pass the width of each hidden layer, say (20, 20).")
        for name, value in (("n_features", n_features), ("n_networks", n_networks)):
            if value < 1:
                raise InputError(f"{name}={value}: pass a number of at least 1.")
        if not 0 <= freedom < math.inf:
            raise InputError(f"freedom={freedom}: pass a finite number, 0 for networks that stay as they were drawn.")
        kernel = DeepKernel(
            n_columns(train_X, input_transform),
            n_features=n_features,
            widths=widths,
            n_networks=n_networks,
            freedom=freedom,
            batch_shape=output_shape(train_X, train_Y),
            generator=numpy_generator(as_key(key)),
        )
        super().__init__(
            train_X,
            train_Y,
            train_Yvar,
            kernel=kernel,
            input_transform=input_transform,
            outcome_transform=outcome_transform,
            key=key,
            settings={
                "n_features": n_features,
                "widths": tuple(widths),
                "n_networks": n_networks,
                "freedom": freedom,
            },
        )
