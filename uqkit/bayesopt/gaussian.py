"""What the surrogates that are Gaussian processes share: fit, leave-one-out predictions, one file each."""

import copy
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
import torch
from botorch.exceptions import BotorchWarning, ModelFittingError, OptimizationWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms.input import InputTransform
from botorch.models.transforms.outcome import OutcomeTransform, Standardize
from botorch.models.utils import validate_input_scaling
from botorch.optim.utils import sample_all_priors
from botorch.utils.types import DEFAULT, _DefaultType
from gpytorch.distributions import MultivariateNormal
from gpytorch.kernels import Kernel
from gpytorch.likelihoods import FixedNoiseGaussianLikelihood
from gpytorch.mlls import ExactMarginalLogLikelihood
from jaxtyping import Float
from linear_operator.utils.errors import NanError, NotPSDError
from torch import Tensor

from uqkit._typing import PRNGKey
from uqkit.bayesopt import files
from uqkit.bayesopt.diagnosis import Diagnosis, diagnosis_of
from uqkit.bayesopt.factory import Recipe
from uqkit.bayesopt.held_out import gaussian_held_out
from uqkit.bayesopt.kernels import NNGP, NTK, Erf, ReLU
from uqkit.bayesopt.training_data import checked_data
from uqkit.errors import InputError
from uqkit.inference.optimise import ConvergenceError
from uqkit.keys import as_key
from uqkit.running.chunks import progress_bar

__all__ = ["GaussianSurrogate", "n_columns", "objective_value", "output_shape"]

Surrogate = TypeVar("Surrogate", bound="GaussianSurrogate")

# What a file may hold beside numbers, text and tensors.
_SETTINGS = (ReLU, Erf, NNGP, NTK)


class GaussianSurrogate(Recipe, SingleTaskGP):
    """A Gaussian process of a covariance function that a subclass names, with all of `SingleTaskGP`'s manners.

    Inputs are expected in [0, 1]^d (`input_transform=Normalize(d)` where they are not). Outputs are independent.

    Args:
        train_X: Inputs, `n x d`, or `batch x n x d`.
        train_Y: Outputs, `n x m`, or `batch x n x m`.
        train_Yvar: Known noise variances, of the shape of `train_Y`; the noise of each output is learned where not
            given.
        kernel: Covariance function of inputs in [0, 1]^d, its batch shape that of the outputs (`output_shape`).
        input_transform: BoTorch's.
        outcome_transform: BoTorch's; standardised outputs where not given, as they are where None.
        key: Of the restarts of the fit.
        settings: What the subclass was given beside these.
    """

    # Beginnings of the fit: the given one, then draws from the priors.
    n_starts = 1
    n_iterations = 200

    def __init__(
        self,
        train_X: Tensor,  # noqa: N803 - BoTorch's names
        train_Y: Tensor,  # noqa: N803
        train_Yvar: Tensor | None,  # noqa: N803
        *,
        kernel: Kernel,
        input_transform: InputTransform | None,
        outcome_transform: OutcomeTransform | _DefaultType | None,
        key: PRNGKey,
        settings: Mapping[str, Any],
    ) -> None:
        """See the class."""
        if train_X.ndim == 2:
            train_X, train_Y, train_Yvar = checked_data(train_X, train_Y, train_Yvar, stacklevel=4)  # noqa: N806
        super().__init__(
            train_X,
            train_Y,
            train_Yvar,
            covar_module=kernel,
            input_transform=input_transform,
            outcome_transform=outcome_transform,
        )
        with torch.no_grad():
            # SingleTaskGP looks at scales only where it chooses the kernel.
            outputs, _ = self._extract_targets_and_noise()
            validate_input_scaling(self.transform_inputs(train_X), outputs, None)
        self._settings = dict(settings)
        self._key_data = [int(word) for word in np.asarray(jax.random.key_data(as_key(key))).ravel()]
        # Every parameter leads with the dimensions of the independent outputs.
        self._subset_batch_dict = {
            name: len(self._aug_batch_shape) - 1 - parameter.ndim for name, parameter in self.named_parameters()
        }

    def fit(self: Surrogate, *, progress: bool | None = None) -> Surrogate:
        """Maximise the marginal likelihood times the priors, each output on its own.

        Args:
            progress: Whether to show a bar on stderr; None shows it only on a terminal.

        Returns:
            The surrogate itself, fitted.

        Raises:
            ConvergenceError: If no start gives a covariance matrix that can be factored.
        """
        objective = ExactMarginalLogLikelihood(self.likelihood, self)
        best, best_value = None, torch.full(self._aug_batch_shape, -math.inf)
        failure: Exception | None = None
        with (
            torch.random.fork_rng(devices=[]),
            progress_bar(self.n_starts, f"{type(self).__name__} starts", progress) as bar,
        ):
            torch.manual_seed(self._key_data[-1])
            for start in range(self.n_starts):
                if start > 0:
                    sample_all_priors(self)
                try:
                    _fit_once(objective, self.n_iterations)
                    value = objective_value(objective)
                except (ModelFittingError, NanError, NotPSDError) as error:
                    failure = error
                else:
                    improved = value > best_value
                    best = _better(improved, self, best)
                    best_value = torch.where(improved, value, best_value)
                bar.update()
        if best is None or not best_value.isfinite().all():
            raise ConvergenceError(
                f"{type(self).__name__} could not be fitted from any of {self.n_starts} starts ({failure}). Look for "
                "repeated or nearly repeated inputs with unlike outputs, outputs of very unlike sizes, and inputs "
                "far outside [0, 1] (`input_transform=Normalize(d)`)."
            ) from failure
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(best[name])
        self.eval()
        return self

    def loo(self) -> tuple[Float[np.ndarray, "row output"], Float[np.ndarray, "row output"]]:
        """Prediction of each training output by all other rows, at the hyperparameters fitted to all.

        Returns:
            Mean and variance, noise included, of the outputs as the outcome transform made them: standardised, unless
            another was given.

        Raises:
            InputError: If the surrogate is a batch of several.

        Reference:
            Sundararajan & Keerthi (2001), Predictive approaches for choosing hyperparameters in Gaussian processes;
            Rasmussen & Williams (2006), equations 5.10 to 5.12.
        """
        self._check_single("leave-one-out predictions are of one data set")
        self.eval()
        with torch.no_grad():
            inputs = self.train_inputs[0]
            predicted = cast(MultivariateNormal, self.likelihood(self.forward(inputs), [inputs]))
            precision = torch.cholesky_inverse(torch.linalg.cholesky(predicted.covariance_matrix))
            variance = 1.0 / precision.diagonal(dim1=-2, dim2=-1)
            residual = self.train_targets - predicted.mean
            mean = self.train_targets - variance * (precision @ residual.unsqueeze(-1)).squeeze(-1)
        rows = (len(inputs[0]) if inputs.ndim == 3 else len(inputs), self.num_outputs)
        return mean.reshape(rows[::-1]).mT.numpy(), variance.reshape(rows[::-1]).mT.numpy()

    def diagnose(self) -> Diagnosis:
        """Calibration and accuracy of the leave-one-out predictions, at the hyperparameters fitted to all rows.

        Warns:
            UqkitWarning: With what was found wrong.
        """
        mean, variance = self.loo()
        value = self.train_targets.reshape(mean.shape[::-1]).T.numpy()
        found = diagnosis_of(type(self).__name__, gaussian_held_out(value, mean, variance))
        found.warn()
        return found

    def save(self, path: str | Path) -> None:
        """Write settings, training data and all learned numbers to one file.

        Args:
            path: Of the file; replaced where it exists.

        Raises:
            InputError: If the surrogate is a batch of several.
        """
        self._check_single("one file holds one data set")
        self.eval()
        outputs, noise = self._extract_targets_and_noise()
        transform = getattr(self, "outcome_transform", None)
        if transform is not None:
            outputs, noise = transform.untransform(outputs, noise)
        raw = self._original_train_inputs if hasattr(self, "input_transform") else self.train_inputs[0]
        inputs = cast(Tensor, raw)
        record = {
            "settings": self._settings,
            "key_data": self._key_data,
            "input_transform": _class_name(getattr(self, "input_transform", None)),
            "outcome_transform": _class_name(transform),
            "train_X": inputs if self.num_outputs == 1 else inputs[0],
            "train_Y": outputs,
            "train_Yvar": noise if isinstance(self.likelihood, FixedNoiseGaussianLikelihood) else None,
            "targets": self.train_targets,
            "state": self.state_dict(),
        }
        files.write(path, type(self).__name__, record)

    @classmethod
    def load(
        cls: type[Surrogate],
        path: str | Path,
        *,
        input_transform: InputTransform | None = None,
        outcome_transform: OutcomeTransform | _DefaultType | None = DEFAULT,
    ) -> Surrogate:
        """The surrogate that `save` wrote; a file runs no code of its own.

        Args:
            path: Of the file.
            input_transform: One made as that of the saved surrogate was made, if it had one; what it had learned is in
                the file.
            outcome_transform: The same of the outcome transform.

        Raises:
            InputError: If the file is of another class, or the transforms are not of the classes saved.
        """
        record = files.read(path, cls.__name__, _SETTINGS)
        inputs, outputs, noise = record["train_X"], record["train_Y"], record["train_Yvar"]
        if isinstance(outcome_transform, _DefaultType):
            outcome_transform = Standardize(m=outputs.shape[-1])
        given = {"input_transform": input_transform, "outcome_transform": outcome_transform}
        for name, transform in given.items():
            if _class_name(transform) != record[name]:
                raise InputError(
                    f"`{name}` is {_class_name(transform)}, but {path} was saved with {record[name]}; pass one made as "
                    "that of the saved surrogate was made (None for none)."
                )
        key = jax.random.wrap_key_data(jnp.array(record["key_data"], dtype=jnp.uint32))
        with warnings.catch_warnings():
            # The data are as they were when the surrogate was first made.
            warnings.simplefilter("ignore", BotorchWarning)
            surrogate = cls(inputs, outputs, noise, **given, **record["settings"], key=key)
        surrogate.load_state_dict(record["state"], keep_transforms=False)
        surrogate.set_train_data(targets=record["targets"], strict=False)
        surrogate.eval()
        return surrogate

    def _check_single(self, reason: str) -> None:
        if len(self._input_batch_shape) > 0:
            raise InputError(
                f"this {type(self).__name__} is a batch of {tuple(self._input_batch_shape)}, and {reason}; take the "
                "surrogate before it was conditioned on a batch."
            )


def n_columns(train_X: Tensor, input_transform: InputTransform | None) -> int:  # noqa: N803
    """Inputs that the kernel sees: a transform may make several of one, as codes of categories do."""
    if input_transform is None:
        return train_X.shape[-1]
    # On a copy, since a transform learns from what it is first given.
    with torch.no_grad():
        return copy.deepcopy(input_transform)(train_X).shape[-1]


def output_shape(train_X: Tensor, train_Y: Tensor) -> torch.Size:  # noqa: N803
    """Batch shape of the parameters of independent outputs."""
    return SingleTaskGP.get_batch_dimensions(train_X, train_Y)[1]


def _class_name(transform: torch.nn.Module | None) -> str | None:
    return None if transform is None else type(transform).__name__


def _fit_once(objective: ExactMarginalLogLikelihood, n_iterations: int) -> None:
    with warnings.catch_warnings():
        # A start that stalls is tried anew, and one that fails five times raises.
        warnings.simplefilter("ignore", OptimizationWarning)
        fit_gpytorch_mll(objective, optimizer_kwargs={"options": {"maxiter": n_iterations}})


def objective_value(objective: ExactMarginalLogLikelihood) -> Tensor:
    """Log marginal likelihood and log priors per row, of each output."""
    model = cast(SingleTaskGP, objective.model.train())
    with torch.no_grad():
        return cast(Tensor, objective(model(*model.train_inputs), model.train_targets))


def _better(improved: Tensor, model: torch.nn.Module, best: dict[str, Tensor] | None) -> dict[str, Tensor]:
    """Parameters of the outputs that a start improved, and the old ones of the others."""
    found = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    if best is None:
        return found
    return {
        name: torch.where(improved.reshape(improved.shape + (1,) * (new.ndim - improved.ndim)), new, best[name])
        for name, new in found.items()
    }
