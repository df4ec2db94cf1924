"""Sixty-four random networks as a BoTorch model: once with uqkit's posterior, once as BoTorch's own ensemble."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import torch
from botorch.models.ensemble import EnsembleModel
from botorch.models.model import Model
from torch import Tensor

from uqkit.bayesopt.bridge import member_values
from uqkit.bayesopt.posterior import MemberPosterior, transformed

N_MEMBERS, N_INPUTS, N_HIDDEN = 64, 3, 8

_rng = np.random.default_rng(0)
_first = torch.from_numpy(_rng.normal(size=(N_MEMBERS, N_INPUTS, N_HIDDEN)))
_bias = torch.from_numpy(_rng.normal(size=(N_MEMBERS, 1, N_HIDDEN)))
_last = torch.from_numpy(_rng.normal(size=(N_MEMBERS, N_HIDDEN, 2)) / N_HIDDEN**0.5)


def function_values(points: Tensor) -> Tensor:
    """Of every member: `batch x member x q x m`."""
    return torch.tanh(points.unsqueeze(-3) @ _first + _bias) @ _last


class Members(Model):
    """The networks with `MemberPosterior`; `weights` over them, `member` or `batch x member`."""

    def __init__(self, outputs: tuple[int, ...] = (0, 1), weights: Tensor | None = None) -> None:
        super().__init__()
        self.outputs, self.weights = list(outputs), weights

    @property
    def num_outputs(self) -> int:
        return len(self.outputs)

    @property
    def batch_shape(self) -> torch.Size:
        return torch.Size() if self.weights is None else self.weights.shape[:-1]

    def function_values(self, points: Tensor) -> Tensor:
        return function_values(points)

    def posterior(
        self,
        X: Tensor,  # noqa: N803 - BoTorch's name
        output_indices: list[int] | None = None,
        observation_noise: Any = False,
        posterior_transform: Any = None,
    ) -> Any:
        values = self.function_values(X)[..., self.outputs]
        if output_indices is not None:
            values = values[..., output_indices]
        posterior = MemberPosterior(values, self.weights)
        return posterior if posterior_transform is None else transformed(posterior, posterior_transform, X)


class JaxMembers(Members):
    """The networks evaluated by JAX."""

    def function_values(self, points: Tensor) -> Tensor:
        stacked = tuple(part.numpy() for part in (_first, _bias, _last))
        return member_values(_one_network, stacked, points).movedim(0, -3)


def _one_network(weights: Any, points: Any) -> Any:
    first, bias, last = weights
    return jnp.tanh(points @ first + bias) @ last


class BotorchMembers(EnsembleModel):
    """The networks with BoTorch's `EnsemblePosterior`."""

    def __init__(self, outputs: tuple[int, ...] = (0, 1)) -> None:
        super().__init__()
        self.outputs, self._num_outputs = list(outputs), len(outputs)

    def forward(self, X: Tensor) -> Tensor:  # noqa: N803
        return function_values(X)[..., self.outputs]
