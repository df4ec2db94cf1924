"""Posterior that is a finite set of functions, and the sampler that uses every one of them."""

from typing import Any

import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.posteriors.ensemble import EnsemblePosterior
from botorch.posteriors.posterior import Posterior
from botorch.posteriors.transformed import TransformedPosterior
from botorch.sampling.base import MCSampler
from botorch.sampling.get_sampler import GetSampler
from torch import Tensor

from uqkit.errors import InputError

__all__ = ["MemberPosterior", "MemberSampler", "transformed"]

# Keeps a systematic grid off the borders of equal weights, where rounding would decide.
_MARGIN = 1e-6


class MemberPosterior(EnsemblePosterior):
    """Values of every member, a draw of the whole function each.

    A sample picks a member and takes its values at all points and outputs. The same members are picked in every
    t-batch, unless the weights differ from batch to batch: the value of a candidate does not depend on where in a batch
    it stands, and samples of different calls belong together.
    """

    def __init__(self, values: Tensor, weights: Tensor | None = None) -> None:
        """Hold values and weights.

        Args:
            values: `batch x member x q x m`.
            weights: Non-negative, with a sum above zero, `member` or `batch x member`; all alike where not given.

        Raises:
            InputError: If the shapes do not fit.
        """
        if values.ndim < 3 or values.shape[-3] == 0:
            raise InputError(f"`values` has shape {tuple(values.shape)}; pass batch x member x q x m.")
        if weights is not None:
            lead, wanted = weights.shape, values.shape[:-2]
            fits = 1 <= len(lead) <= len(wanted) and lead[-1] == wanted[-1]
            if not fits or any(one not in (1, other) for one, other in zip(lead[::-1], wanted[::-1], strict=False)):
                raise InputError(
                    f"`weights` has shape {tuple(lead)}, but `values` has {tuple(values.shape)}; pass one weight per "
                    f"member, ({wanted[-1]},), or one per batch position and member, {tuple(wanted)}."
                )
        super().__init__(values, weights)

    @property
    def variance(self) -> Tensor:
        """Unbiased variance of members as draws, `batch x q x m`: sum w (f - mean)^2 / (1 - sum w^2).

        Weights are normalised in each batch position by itself. Zero where one member has all the weight.
        """
        weights = self.weights[..., None, None]
        squared = (self.values - self.mean.unsqueeze(-3)).square()
        free = 1 - self.weights.square().sum(-1)[..., None, None]
        alone = free <= torch.finfo(self.dtype).eps
        # One in place of what is not used, so that gradients stay finite.
        return (weights * squared).sum(-3) * ~alone / torch.where(alone, torch.ones_like(free), free)

    @property
    def base_sample_shape(self) -> torch.Size:
        """One number a sample: it picks the member."""
        return torch.Size([1] * (len(self.batch_shape) + 2))

    @property
    def batch_range(self) -> tuple[int, int]:
        """All but the last two dimensions."""
        return 0, -2

    def members_at(self, level: Tensor) -> Tensor:
        """Members at levels of the cumulative weight, in their own order.

        Args:
            level: Numbers in [0, 1), `n`.

        Returns:
            Member indices: `n`, or `n x batch` if the weights have batch dimensions.
        """
        if self._weights is None:
            return (level * self.ensemble_size).long().clamp(max=self.ensemble_size - 1)
        cumulative = self.weights.detach().double().cumsum(-1)
        wanted = level.expand(*cumulative.shape[:-1], len(level)).contiguous()
        # Rounding may leave the last sum below a level; a member without weight is never the last one.
        last = (self.weights > 0).long().cumsum(-1).argmax(-1, keepdim=True)
        return torch.searchsorted(cumulative, wanted, right=True).minimum(last).movedim(-1, 0)

    def rsample(self, sample_shape: torch.Size | None = None) -> Tensor:
        """Random members, independent of each other, by torch's random state.

        Args:
            sample_shape: Of the samples; one where not given.

        Returns:
            `sample_shape x batch x q x m`.
        """
        shape = sample_shape or torch.Size([1])
        return self._taken(shape, self.members_at(torch.rand(shape.numel(), dtype=torch.float64, device=self.device)))

    def rsample_from_base_samples(self, sample_shape: torch.Size, base_samples: Tensor) -> Tensor:
        """The members that base samples pick.

        Args:
            sample_shape: Of the samples.
            base_samples: Member indices, `sample_shape` or `sample_shape x batch`; or normal numbers, `sample_shape x
                base_sample_shape`, as BoTorch's normal samplers draw them. These are ranked, and rank r of n picks the
                member at level (r + 1/2)/n: every one equally often, up to one, whatever the numbers.

        Returns:
            `sample_shape x batch x q x m`.

        Raises:
            InputError: If the shape of the base samples does not fit.
        """
        n_samples, own = sample_shape.numel(), base_samples.shape[len(sample_shape) :]
        if base_samples.shape[: len(sample_shape)] != sample_shape:
            raise InputError(
                f"`base_samples` has shape {tuple(base_samples.shape)}; it must begin with {tuple(sample_shape)}."
            )
        if not base_samples.is_floating_point():
            return self._taken(sample_shape, base_samples.reshape(n_samples, *own))
        if own.numel() != 1:
            raise InputError(
                f"`base_samples` has shape {tuple(base_samples.shape)}; a sample is picked by one number: "
                f"{tuple(sample_shape + self.base_sample_shape)}."
            )
        rank = base_samples.flatten().argsort(stable=True).argsort()
        return self._taken(sample_shape, self.members_at((rank.double() + 0.5) / n_samples))

    def _taken(self, sample_shape: torch.Size, members: Tensor) -> Tensor:
        """Values of members, `n` or `n x batch`."""
        values = self.values.movedim(-3, 0)
        if members.ndim == 1:
            return values[members].reshape(self._extended_shape(sample_shape))
        missing = len(self.batch_shape) - (members.ndim - 1)
        aligned = members.reshape(len(members), *[1] * missing, *members.shape[1:], 1, 1)
        return torch.take_along_dim(values, aligned, dim=0).reshape(self._extended_shape(sample_shape))


class MemberSampler(MCSampler):
    """Every member exactly once, the same ones in every t-batch: an average over samples is exactly that over members.

    With fewer samples than members, members evenly spaced in their own order, so that every chain is represented. With
    unequal weights, systematic resampling to at most as many samples as there are members, in each batch position with
    the same random numbers.

    BoTorch finds it by itself. Only hypervolume improvement without any baseline point needs it passed, as
    `MemberSampler(torch.Size([n_members]))`: it counts on 128 samples there before it has seen a posterior.
    """

    def __init__(self, sample_shape: torch.Size, seed: int | None = None) -> None:
        """Set the number of samples.

        Args:
            sample_shape: Of the samples wanted. A single dimension longer than there are members is cut to their
                number.
            seed: Of the order of the samples, and of which members are taken where not all are; 0 where not given, so
                that torch's random state is left alone.
        """
        super().__init__(sample_shape, 0 if seed is None else seed)

    def forward(self, posterior: Posterior) -> Tensor:
        """Samples of a `MemberPosterior`, also one with a transform around it.

        Args:
            posterior: Of `batch x q x m`.

        Returns:
            `sample x batch x q x m`.

        Raises:
            InputError: If it is another posterior.
        """
        members = posterior
        while isinstance(members, TransformedPosterior):
            members = members._posterior
        if not isinstance(members, MemberPosterior):
            raise InputError(
                f"MemberSampler was given a {type(members).__name__}, which has no members; leave `sampler` out, and "
                "BoTorch finds the one that fits."
            )
        shape = _fitting_shape(self.sample_shape, members)
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(shape.numel(), generator=generator)
        offset = torch.rand(1, generator=generator, dtype=torch.float64).clamp(_MARGIN, 1 - _MARGIN)
        index = members.members_at(((order + offset) / shape.numel()).to(members.device))
        return posterior.rsample_from_base_samples(shape, index.reshape(shape + index.shape[1:]))

    def _update_base_samples(self, posterior: Posterior, base_sampler: MCSampler) -> None:
        # Members depend on the seed and the weights only: those at the baseline are those at the candidates already.
        self._instance_check(base_sampler)


def transformed(posterior: MemberPosterior, transform: PosteriorTransform, points: Tensor) -> Any:
    """A posterior after a transform of BoTorch, applied to every member, which is exact for nonlinear ones too.

    Args:
        posterior: Of `batch x q x m`.
        transform: One that evaluates outcomes, such as `ScalarizedPosteriorTransform`, which by itself knows only
            Gaussian posteriors; others are left to make of the posterior what they can.
        points: Those of the posterior, `batch x q x d`.
    """
    try:
        values = transform.evaluate(posterior.values, points.unsqueeze(-3))
    except NotImplementedError:
        return transform(posterior=posterior, X=points)
    if values.ndim < posterior.values.ndim:
        values = values.unsqueeze(-1)
    return MemberPosterior(values, posterior._weights)


def _fitting_shape(sample_shape: torch.Size, posterior: MemberPosterior) -> torch.Size:
    return torch.Size([min(sample_shape[0], posterior.ensemble_size)]) if len(sample_shape) == 1 else sample_shape


@GetSampler.register(MemberPosterior)
def _member_sampler(posterior: MemberPosterior, sample_shape: torch.Size, *, seed: int | None = None) -> MCSampler:
    # Cut here already: some acquisition functions ask the sampler for its shape.
    return MemberSampler(_fitting_shape(sample_shape, posterior), seed)
