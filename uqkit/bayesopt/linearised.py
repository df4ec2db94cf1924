"""Surrogates that are linear in what is uncertain: their posterior is exactly normal, and conditioning is exact."""

import copy
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.posteriors import GPyTorchPosterior
from gpytorch.distributions import MultitaskMultivariateNormal, MultivariateNormal
from jaxtyping import Float
from linear_operator import to_linear_operator
from torch import Tensor

from uqkit.bayesopt.linear_posterior import FunctionSpace, Rows, WeightSpace, linear_posterior
from uqkit.bayesopt.surrogate import NetworkSurrogate
from uqkit.errors import InputError

__all__ = ["LinearisedModel"]

# Added to the variances, of outputs in their standard deviations: what GPyTorch would add after failing without.
_JITTER = 1e-8


class LinearisedModel(NetworkSurrogate):
    """A network made linear, f(x) = mean(x) + Phi(x) w with w ~ Normal(0, I); outputs share the weights w.

    Joint posteriors of points and outputs are `GPyTorchPosterior`s, so that closed-form acquisition functions work.
    """

    output_mean: Tensor
    output_sd: Tensor
    _state: FunctionSpace | WeightSpace | None = None

    @abstractmethod
    def _rows(self, columns: Tensor, outputs: list[int]) -> Rows:
        """Prior mean and features at encoded points, outputs running fastest, in standardised outputs."""

    @abstractmethod
    def _noise_variance(self) -> Tensor:
        """Learned noise variance of each output, standardised."""

    @property
    def batch_shape(self) -> torch.Size:
        """Of the conditioned posteriors; empty unless fantasies were added."""
        return self._fitted.batch_shape

    def posterior(
        self,
        X: Tensor,  # noqa: N803 - BoTorch's names
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
    ) -> Any:
        """Joint posterior of the function at points.

        Args:
            X: Points, `batch x q x d`.
            output_indices: Outputs wanted; all where not given.
            observation_noise: True adds the noise of an observation (the mean of the known ones, where they are
                known); a tensor gives the variances, `... x q x m` or `... x 1 x m`, after the outcome transform.
            posterior_transform: BoTorch's.

        Raises:
            InputError: If the surrogate is not fitted, or the points do not fit.
        """
        self.eval()
        state = self._fitted
        columns = self._encoded(X)
        outputs = self._outputs if output_indices is None else [self._outputs[index] for index in output_indices]
        mean, covariance = state.moments(self._rows(columns, outputs))
        shape = (columns.shape[-2], len(outputs))
        sd = self.output_sd[outputs].repeat(shape[0])
        mean = mean * sd + self.output_mean[outputs].repeat(shape[0])
        # Fewer weights than points, or one point twice, leave it singular.
        covariance = covariance + _JITTER * torch.eye(len(sd), dtype=covariance.dtype)
        covariance = covariance * (sd[:, None] * sd)
        if isinstance(observation_noise, Tensor) or observation_noise:
            variance = self._observation_variance(observation_noise, outputs, output_indices)
            variance = variance.expand(*variance.shape[:-2], *shape).flatten(-2)
            covariance = covariance + torch.diag_embed(variance)
        batch = torch.broadcast_shapes(mean.shape[:-1], covariance.shape[:-2])
        mean = mean.expand(*batch, mean.shape[-1])
        covariance = covariance.expand(*batch, *covariance.shape[-2:])
        # As an operator, for as a tensor it would be factorised here and now, without jitter.
        operator = to_linear_operator(covariance)
        if len(outputs) == 1:
            distribution = MultivariateNormal(mean, operator)
        else:
            distribution = MultitaskMultivariateNormal(mean.reshape(*batch, *shape), operator)
        posterior = GPyTorchPosterior(distribution)
        if hasattr(self, "outcome_transform"):
            posterior = self._outcome_transform(outputs).untransform_posterior(posterior, X=X)
        return posterior if posterior_transform is None else posterior_transform(posterior=posterior, X=X)

    def condition_on_observations(self, X: Tensor, Y: Tensor, **kwargs: Any) -> "LinearisedModel":  # noqa: N803
        """The posterior given further observations; exact for the linear model, which stays where it was made.

        Args:
            X: Inputs, `batch x n' x d`.
            Y: Outputs there, `batch' x n' x m`, in the units of `train_Y`.
            kwargs: `noise`, the variances of the observations after the outcome transform, `... x n' x m`; the learned
                ones, or the mean of the known ones, where not given.
        """
        state = self._fitted
        X, Y = X.double(), Y.double()  # noqa: N806
        if Y.shape[-1] != self.num_outputs or X.shape[-2] != Y.shape[-2]:
            raise InputError(
                f"`X` has shape {tuple(X.shape)} and `Y` {tuple(Y.shape)}; pass one row of each for every observation "
                f"and {self.num_outputs} outputs."
            )
        columns = self.encoder(self.input_transform.preprocess_transform(X) if hasattr(self, "input_transform") else X)
        transformed = self._outcome_transform(self._outputs)(Y, X=X)[0] if hasattr(self, "outcome_transform") else Y
        scale = self.output_sd[self._outputs]
        targets = (transformed - self.output_mean[self._outputs]) / scale
        variance = self._observation_variance(kwargs.pop("noise", True), self._outputs, None) / scale**2
        variance = variance.expand(*variance.shape[:-2], *Y.shape[-2:])
        rows = self._rows(columns, self._outputs)
        added = self._copy()
        added._state = state.conditioned(rows, targets.flatten(-2), variance.flatten(-2))
        added.train_inputs = (_appended(self.train_inputs[0], X, added.batch_shape),)
        added.train_targets = _appended(self.train_targets, Y, added.batch_shape)
        return added

    def subset_output(self, idcs: list[int]) -> "LinearisedModel":
        """The same posterior of some of the outputs, all of which it rests on."""
        if not idcs or not all(-self.num_outputs <= index < self.num_outputs for index in idcs):
            raise InputError(f"idcs={idcs}: pass outputs from 0 to {self.num_outputs - 1}.")
        part = self._copy()
        part._outputs = [self._outputs[index] for index in idcs]
        part.train_targets = self.train_targets[..., idcs]
        return part

    def loo(self) -> tuple[Float[np.ndarray, "row output"], Float[np.ndarray, "row output"]]:
        """Prediction of each training row from the others: means and variances, noise included, standardised.

        A row is left out with all of its outputs, in closed form. The linear model and its scales were found with the
        row, so that this judges better than new data will.

        Raises:
            InputError: If the surrogate is not fitted, or holds fantasies or some of the outputs only.
        """
        state = self._fitted
        if state.batch_shape or len(self._outputs) < self.network.n_outputs:
            raise InputError("leave-one-out predictions are of a surrogate with all outputs and without fantasies.")
        with torch.no_grad():
            mean, variance = state.left_out(self.network.n_outputs)
        return mean.numpy(), variance.numpy()

    def _condition(self) -> None:
        """The posterior given the training rows."""
        columns, outputs, variance = self._standardised
        with torch.no_grad():
            rows = self._rows(columns, list(range(self.network.n_outputs)))
            noise = self._noise_variance().expand_as(outputs) if variance is None else variance
            self._state = linear_posterior(rows, outputs.flatten(), noise.flatten())

    @property
    def _fitted(self) -> FunctionSpace | WeightSpace:
        if self._state is None:
            raise InputError(f"{type(self).__name__} is not fitted yet: call .fit() first.")
        return self._state

    def _copy(self) -> Any:
        """Another surrogate of the same parts, none of which a copy changes."""
        other: Any = copy.copy(self)
        other.__dict__ = dict(self.__dict__)
        return other

    def _outcome_transform(self, outputs: list[int]) -> Any:
        whole = outputs == list(range(self.network.n_outputs))
        return self.outcome_transform if whole else self.outcome_transform.subset_output(outputs)

    def _observation_variance(
        self, noise: bool | Tensor | None, outputs: list[int], output_indices: list[int] | None
    ) -> Tensor:
        """Noise variances after the outcome transform, `... x 1 or q x output`."""
        if isinstance(noise, Tensor):
            chosen = noise.double()
            return chosen if output_indices is None or chosen.shape[-1] == 1 else chosen[..., output_indices]
        known = self._standardised[2]
        variance = self._noise_variance() if known is None else known.mean(0)
        return (variance * self.output_sd**2)[outputs][None]


def _appended(first: Tensor, second: Tensor, batch: torch.Size) -> Tensor:
    parts = [part.expand(*batch, *part.shape[-2:]) for part in (first, second)]
    return torch.cat(parts, dim=-2).detach()
