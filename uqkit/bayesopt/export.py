"""Networks as modules of torch alone."""

from collections.abc import Callable, Sequence

import torch
from botorch.models.transforms.input import InputTransform
from botorch.models.transforms.outcome import OutcomeTransform
from torch import Tensor

from uqkit.bayesopt.training_data import Encoder
from uqkit.errors import InputError
from uqkit.nn import Activation, SineUnit, SwishUnit, TanhUnit

__all__ = ["TorchMembers", "torch_activation"]


class TorchMembers(torch.nn.Module):
    """Members of a surrogate, evaluated by torch; made by `to_torch()`.

    Calling it with points `batch x q x d` gives `batch x member x q x m`, in the units of the training outputs.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        layers: Sequence[tuple[Tensor, Tensor]],
        embeddings: Sequence[Tensor],
        blocks: Sequence[tuple[int, int]],
        activation: Callable[[Tensor], Tensor],
        mean: Tensor,
        sd: Tensor,
        outputs: Sequence[int],
        input_transform: InputTransform | None,
        outcome_transform: OutcomeTransform | None,
    ) -> None:
        """See the class; weights are `member x input x output`, biases `member x output`."""
        super().__init__()
        self.encoder, self.activation = encoder, activation
        self.blocks, self.outputs, self.n_layers = list(blocks), list(outputs), len(layers)
        self.input_transform, self.outcome_transform = input_transform, outcome_transform
        for layer, (weight, bias) in enumerate(layers):
            self.register_buffer(f"weight_{layer}", weight)
            self.register_buffer(f"bias_{layer}", bias.unsqueeze(-2))
        for number, embedding in enumerate(embeddings):
            self.register_buffer(f"embedding_{number}", embedding)
        self.n_embeddings = len(embeddings)
        self.register_buffer("mean", mean)
        self.register_buffer("sd", sd)

    def forward(self, points: Tensor) -> Tensor:
        """Values of all members.

        Args:
            points: `batch x q x d`.
        """
        given = points if self.input_transform is None else self.input_transform(points)
        columns = self.encoder(given).unsqueeze(-3)
        if self.n_embeddings:
            parts = [columns[..., : self.blocks[0][0]].expand(*columns.shape[:-3], *self._members, -1, -1)]
            for number, (start, n_categories) in enumerate(self.blocks):
                parts.append(columns[..., start : start + n_categories] @ self.get_buffer(f"embedding_{number}"))
            columns = torch.cat(parts, dim=-1)
        for layer in range(self.n_layers):
            if layer:
                columns = self.activation(columns)
            columns = columns @ self.get_buffer(f"weight_{layer}") + self.get_buffer(f"bias_{layer}")
        values = columns * self.get_buffer("sd") + self.get_buffer("mean")
        if self.outcome_transform is not None:
            values, _ = self.outcome_transform.untransform(values, X=points)
        return values[..., self.outputs]

    @property
    def _members(self) -> tuple[int]:
        return (len(self.get_buffer("weight_0")),)


def torch_activation(activation: Activation) -> Callable[[Tensor], Tensor]:
    """The same activation of torch.

    Raises:
        InputError: If it is none of this package's.
    """
    for unit, function in ((TanhUnit, torch.tanh), (SineUnit, torch.sin), (SwishUnit, torch.nn.functional.silu)):
        if isinstance(activation, unit):
            return function
    raise InputError(
        f"activation={activation!r} is not known to torch; use TanhUnit(), SineUnit() or SwishUnit() for a network "
        "that is to be exported."
    )
