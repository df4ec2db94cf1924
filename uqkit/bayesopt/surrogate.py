"""What all network surrogates are: training data as a network sees it, and the manners of a BoTorch model."""

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import torch
from botorch.models.model import FantasizeMixin, Model
from botorch.models.transforms.input import InputTransform
from botorch.models.transforms.outcome import OutcomeTransform
from jaxtyping import Int, Key
from torch import Tensor

from uqkit._typing import PRNGKey
from uqkit.bayesopt import files
from uqkit.bayesopt.diagnosis import ChainDiagnosis, Diagnosis, diagnosis_of
from uqkit.bayesopt.factory import Recipe
from uqkit.bayesopt.held_out import HeldOut, folds
from uqkit.bayesopt.network import Embedding, NetworkData, NetworkModel, OneHot, WeightPrior
from uqkit.bayesopt.training_data import Encoder, checked_data, padded_length
from uqkit.errors import InputError
from uqkit.keys import as_key, key_from_label, key_label
from uqkit.nn import Activation, TanhUnit
from uqkit.running.chunks import progress_bar

__all__ = ["NetworkSurrogate"]


class NetworkSurrogate(Recipe, Model, FantasizeMixin):  # pyright: ignore[reportIncompatibleMethodOverride]
    """A Bayesian network on training data; what infers it is in the classes made of this.

    Outputs are standardised inside, by the mean and standard deviation of the training rows, whatever the outcome
    transform; inputs by the range of the training rows, after the input transform. Both are affine, and the posterior
    is in the units of `train_Y`.

    Args:
        train_X: Inputs, `n x d`. Rows with NaN are left out with a warning, as are rows given twice.
        train_Y: Outputs, `n x m`. The outputs of one network share its hidden layers.
        train_Yvar: Known noise variances, `n x m`; the noise of each output is learned where not given.
        widths: Of the hidden layers.
        activation: Of the hidden layers.
        prior: Of weights, their scales, and the noise.
        categorical: Column of `train_X` -> its number of categories, coded 0, 1, ...
        encoding: What the network sees of a category: `OneHot()`, or `Embedding()` for points that are learned.
        input_transform: BoTorch's, applied to all inputs.
        outcome_transform: BoTorch's, applied to the outputs and undone in the posterior.
        key: All randomness.

    Raises:
        InputError: If the data or settings cannot be used.
    """

    # What FantasizeMixin asks for; noise is in the posterior.
    likelihood = None
    # Classes that settings may be of, beside those of every surrogate.
    _more_settings: ClassVar[tuple[type, ...]] = ()
    output_mean: Tensor
    output_sd: Tensor

    def __init__(
        self,
        train_X: Tensor,  # noqa: N803 - BoTorch's names
        train_Y: Tensor,  # noqa: N803
        train_Yvar: Tensor | None = None,  # noqa: N803
        *,
        widths: Sequence[int] = (50, 50),
        activation: Activation = TanhUnit(),  # noqa: B008 - a frozen value
        prior: WeightPrior = WeightPrior(),  # noqa: B008
        categorical: Mapping[int, int] | None = None,
        encoding: OneHot | Embedding = OneHot(),  # noqa: B008
        input_transform: InputTransform | None = None,
        outcome_transform: OutcomeTransform | None = None,
        key: PRNGKey,
    ) -> None:
        """See the class."""
        super().__init__()
        if isinstance(widths, int) or not widths or min(widths) < 1:
            raise InputError(f"widths={widths!r}: pass the width of each hidden layer, say (50, 50).")
        if not isinstance(prior, WeightPrior):
            raise InputError(f"prior={prior!r}: pass WeightPrior(...).")
        X, Y, Yvar = checked_data(train_X, train_Y, train_Yvar, categorical, stacklevel=4)  # noqa: N806
        self.train_inputs = (X,)
        self.train_targets = Y
        self.train_Yvar = Yvar
        self.key = as_key(key)
        self._settings: dict[str, Any] = {
            "widths": tuple(widths),
            "activation": activation,
            "prior": prior,
            "categorical": dict(categorical or {}),
            "encoding": encoding,
        }
        self._outputs = list(range(Y.shape[-1]))
        with torch.no_grad():
            if input_transform is not None:
                self.input_transform = input_transform
                X = _categories_kept(input_transform, X, self._settings["categorical"])  # noqa: N806
            if outcome_transform is not None:
                self.outcome_transform = outcome_transform
                Y, Yvar = outcome_transform.train()(Y, Yvar, X=X)  # noqa: N806
        self.encoder = Encoder(X, self._settings["categorical"])
        sd = Y.std(0)
        self.register_buffer("output_mean", Y.mean(0))
        # An output that never changed is only centred.
        self.register_buffer("output_sd", torch.where(sd > 0, sd, torch.ones_like(sd)))
        self.network = NetworkModel(
            n_inputs=X.shape[-1],
            n_columns=self.encoder.n_columns,
            n_outputs=Y.shape[-1],
            widths=tuple(widths),
            activation=activation,
            prior=prior,
            blocks=self.encoder.blocks,
            encoding=encoding,
            known_noise=Yvar is not None,
        )
        self._standardised = (self.encoder(X), self._scaled(Y), None if Yvar is None else Yvar / self.output_sd**2)
        self.eval()

    def data(self, rows: Sequence[int] | None = None) -> NetworkData:
        """Training data as the network is conditioned on them, padded.

        Args:
            rows: Those that count; all where not given.
        """
        columns, outputs, variance = self._standardised
        n_rows = len(columns)
        length = padded_length(n_rows)
        present = np.zeros(length)
        present[np.arange(n_rows) if rows is None else np.asarray(rows)] = 1.0
        with jax.enable_x64(True):
            return NetworkData(
                columns=jnp.asarray(_padded(columns, length, 0.0)),
                outputs=jnp.asarray(_padded(outputs, length, 0.0)),
                present=jnp.asarray(present),
                noise_variance=None if variance is None else jnp.asarray(_padded(variance, length, 1.0)),
            )

    @property
    def n_rows(self) -> int:
        """Training rows that are used."""
        return len(self._standardised[0])

    @property
    def num_outputs(self) -> int:
        """Outputs of the posterior."""
        return len(self._outputs)

    def set_train_data(self, inputs: Any = None, targets: Any = None, strict: bool = True) -> None:
        """Nothing: BoTorch's switch between raw and transformed inputs, of which both are kept."""

    def _with_rows(self, X: Tensor, Y: Tensor, Yvar: Tensor | None) -> "NetworkSurrogate":  # noqa: N803
        """The same surrogate, not fitted, on more training rows."""
        rows = [torch.cat([self.train_inputs[0], X]), torch.cat([self.train_targets, Y])]
        if self.train_Yvar is not None:
            assert Yvar is not None
            rows.append(torch.cat([self.train_Yvar, Yvar]))
        transforms = {
            name: copy.deepcopy(getattr(self, name))
            for name in ("input_transform", "outcome_transform")
            if hasattr(self, name)
        }
        return type(self)(*rows, **self._settings, **transforms, key=self.key)

    def held_out(self, n_folds: int = 5, *, progress: bool | None = None) -> HeldOut:
        """Predictions of the training rows by fits to the others, a fold at a time; nothing is compiled anew.

        Weighting the members at hand, or leaving rows out in closed form at the scales found with them, costs nothing
        and is no substitute: all that was learned has seen the row.

        Args:
            n_folds: Parts that the rows are cut into, at random by the surrogate's key; at most the number of rows.
            progress: Whether to show a bar on stderr; None shows it only on a terminal.

        Raises:
            InputError: If there are fewer than two folds.
        """
        if n_folds < 2:
            raise InputError(f"n_folds={n_folds}: pass at least two.")
        outputs = self._standardised[1].numpy()
        n_parts = min(n_folds, self.n_rows)
        parts, order = [], []
        with progress_bar(n_parts, "folds", progress) as bar:
            for kept, left, key in folds(self.n_rows, n_parts, key=self.key):
                parts.append(self._left_out(kept, left, key))
                order.append(left)
                bar.update()
        in_place = np.argsort(np.concatenate(order))
        mean, variance = (np.concatenate(each, axis=1)[:, in_place] for each in zip(*parts, strict=True))
        return HeldOut(outputs, mean, np.sqrt(variance), f"{n_parts}-fold refits")

    def diagnose(self, n_folds: int = 5, *, progress: bool | None = None) -> Diagnosis:
        """Calibration and accuracy on left-out training rows, and agreement of the chains, where there are any.

        Args:
            n_folds: Parts of the rows that are left out in turn; each costs a fit.
            progress: Whether to show a bar on stderr; None shows it only on a terminal.

        Warns:
            UqkitWarning: With what was found wrong.
        """
        chains = self.chain_diagnosis()
        found = diagnosis_of(type(self).__name__, self.held_out(n_folds, progress=progress), chains)
        found.warn()
        return found

    def chain_diagnosis(self) -> ChainDiagnosis | None:
        """Agreement of the chains, without any further fit; None where no chains drew the posterior."""
        return None

    @abstractmethod
    def _left_out(
        self, kept: Int[np.ndarray, " kept"], left: Int[np.ndarray, " left"], key: Key[jax.Array, ""]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Means and variances (noise included) of rows left out, given those kept: `member x left x output`."""

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        input_transform: InputTransform | None = None,
        outcome_transform: OutcomeTransform | None = None,
    ) -> Any:
        """The surrogate that `save` wrote; a file runs no code of its own.

        Args:
            path: Of the file.
            input_transform: One made as that of the saved surrogate was, if it had one; it learns from the data again.
            outcome_transform: The same of the outcome transform.

        Raises:
            InputError: If the file is of another class, or the transforms are not of the classes saved.
        """
        record = files.read(path, cls.__name__, cls._more_settings)
        surrogate = cls._of_record(path, record, input_transform, outcome_transform)
        surrogate._take_up(record)
        return surrogate

    @abstractmethod
    def _take_up(self, record: dict[str, Any]) -> None:
        """What was inferred, from the record of a file."""

    def _record(self) -> dict[str, Any]:
        """What a file needs to make the surrogate again."""
        return {
            "settings": self._settings,
            "key": key_label(self.key),
            "train_X": self.train_inputs[0],
            "train_Y": self.train_targets,
            "train_Yvar": self.train_Yvar,
            "transforms": self._transform_names(),
        }

    @classmethod
    def _of_record(
        cls,
        path: str | Path,
        record: dict[str, Any],
        input_transform: InputTransform | None,
        outcome_transform: OutcomeTransform | None,
    ) -> "NetworkSurrogate":
        data = [record[name] for name in ("train_X", "train_Y", "train_Yvar")]
        transforms = {"input_transform": input_transform, "outcome_transform": outcome_transform}
        surrogate = cls(*data, **record["settings"], **transforms, key=key_from_label(record["key"]))
        for name, wanted in record["transforms"].items():
            given = surrogate._transform_names()[name]
            if given != wanted:
                raise InputError(
                    f"`{name}` is {given}, but {path} was saved with {wanted}; pass one made as that of the saved "
                    "surrogate was (None for none)."
                )
        return surrogate

    def _transform_names(self) -> dict[str, str | None]:
        return {
            name: type(getattr(self, name)).__name__ if hasattr(self, name) else None
            for name in ("input_transform", "outcome_transform")
        }

    def _encoded(self, X: Tensor) -> Tensor:  # noqa: N803
        """Encoded points of inputs as the user gives them."""
        if X.shape[-1] != self.train_inputs[0].shape[-1]:
            raise InputError(
                f"`X` has {X.shape[-1]} columns, but the surrogate was given {self.train_inputs[0].shape[-1]} inputs."
            )
        return self.encoder(self.transform_inputs(X))

    def _scaled(self, Y: Tensor) -> Tensor:  # noqa: N803
        return (Y - self.output_mean) / self.output_sd


def _categories_kept(transform: InputTransform, X: Tensor, categorical: Mapping[int, int]) -> Tensor:  # noqa: N803
    """Inputs after a transform, which learns its bounds, where it has any."""
    moved = transform.train()(X)
    columns = list(categorical)
    if not torch.equal(moved[..., columns], X[:, columns]):
        raise InputError(
            f"`input_transform` {type(transform).__name__} changes the codes of the categorical columns {columns}; let "
            "it change the others only, as Normalize(d, indices=[...]) does."
        )
    return moved


def _padded(values: Tensor, length: int, fill: float) -> np.ndarray:
    padded = np.full((length, values.shape[-1]), fill)
    padded[: len(values)] = values.numpy()
    return padded
