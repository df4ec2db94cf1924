"""Training data of a surrogate: checked, encoded, and padded to lengths that compiled code is shared by."""

import warnings
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from uqkit.errors import InputError, UqkitWarning

__all__ = ["Encoder", "checked_data", "padded_length"]

# Fewer rows do not determine a mean and a standard deviation.
_LEAST_ROWS = 2
_SHORTEST = 16


def checked_data(
    train_X: Tensor,  # noqa: N803 - BoTorch's names
    train_Y: Tensor,  # noqa: N803
    train_Yvar: Tensor | None,  # noqa: N803
    categorical: Mapping[int, int] | None = None,
    *,
    stacklevel: int = 3,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Training data in double precision without rows that cannot be used.

    Args:
        train_X: Inputs, `n x d`.
        train_Y: Outputs, `n x m`.
        train_Yvar: Known noise variances, `n x m`.
        categorical: Column -> number of categories, coded 0, 1, ... in that column.
        stacklevel: Of the warnings.

    Returns:
        Inputs, outputs, noise variances: rows with a NaN are left out, with a warning; so are rows given twice.

    Raises:
        InputError: If shapes do not fit, an input is infinite, a category is out of range, a variance is not positive,
            or fewer than two rows are left.
    """
    for name, value in (("train_X", train_X), ("train_Y", train_Y), ("train_Yvar", train_Yvar)):
        if value is None and name == "train_Yvar":
            continue
        if not isinstance(value, Tensor) or value.ndim != 2:
            given = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise InputError(
                f"`{name}` is {given}; pass a tensor of two dimensions, rows by columns"
                f"{' (one output: train_Y.unsqueeze(-1))' if name != 'train_X' else ''}."
            )
        if not value.is_floating_point():
            raise InputError(f"`{name}` has dtype {value.dtype}; pass floating-point numbers: {name}.double().")
    assert train_Y is not None
    if len(train_X) != len(train_Y) or (train_Yvar is not None and train_Yvar.shape != train_Y.shape):
        given = f", `train_Yvar` {tuple(train_Yvar.shape)}" if train_Yvar is not None else ""
        raise InputError(
            f"`train_X` has shape {tuple(train_X.shape)} and `train_Y` {tuple(train_Y.shape)}{given}; pass one row of "
            "each for every observation, and a variance for every output."
        )
    X, Y = train_X.detach().double(), train_Y.detach().double()  # noqa: N806
    Yvar = None if train_Yvar is None else train_Yvar.detach().double()  # noqa: N806
    whole = ~(X.isnan().any(-1) | Y.isnan().any(-1))
    if Yvar is not None:
        whole &= ~Yvar.isnan().any(-1)
    if not whole.all():
        rows = torch.nonzero(~whole).ravel().tolist()
        warnings.warn(
            f"{len(rows)} of {len(X)} training rows hold NaN and are left out: rows {_listed(rows)}.",
            UqkitWarning,
            stacklevel=stacklevel,
        )
        X, Y, Yvar = X[whole], Y[whole], None if Yvar is None else Yvar[whole]  # noqa: N806
    _check_numbers(X, Y, Yvar)
    _check_categories(X, categorical or {})
    _, first = np.unique(torch.cat([X, Y], dim=-1).numpy(), axis=0, return_index=True)
    if len(first) < len(X):
        repeated = sorted(set(range(len(X))) - set(first.tolist()))
        warnings.warn(
            f"{len(repeated)} of {len(X)} training rows repeat another row, inputs and outputs alike, and are left "
            f"out: rows {_listed(repeated)}. An evaluation passed twice counts as two; the repetition of a noisy one "
            "differs.",
            UqkitWarning,
            stacklevel=stacklevel,
        )
        kept = torch.as_tensor(np.sort(first))
        X, Y, Yvar = X[kept], Y[kept], None if Yvar is None else Yvar[kept]  # noqa: N806
    if len(X) < _LEAST_ROWS:
        raise InputError(
            f"{len(X)} usable training rows of {len(train_X)}; pass at least {_LEAST_ROWS}, and better twice as many "
            "as there are inputs."
        )
    return X, Y, Yvar


def _check_numbers(X: Tensor, Y: Tensor, Yvar: Tensor | None) -> None:  # noqa: N803
    for name, value in (("train_X", X), ("train_Y", Y), ("train_Yvar", Yvar)):
        if value is not None and not value.isfinite().all():
            row = int(torch.nonzero(~value.isfinite())[0, 0])
            raise InputError(
                f"`{name}` is not finite in row {row}: {value[row].tolist()}; leave the row out, or put a finite "
                "penalty in its place."
            )
    if Yvar is not None and not (Yvar > 0).all():
        row = int(torch.nonzero(~(Yvar > 0))[0, 0])
        raise InputError(
            f"`train_Yvar` is {Yvar[row].tolist()} in row {row}; pass variances above zero, or leave `train_Yvar` out "
            "to learn the noise."
        )


def _check_categories(X: Tensor, categorical: Mapping[int, int]) -> None:  # noqa: N803
    for column, n_categories in categorical.items():
        if not 0 <= column < X.shape[-1] or n_categories < 2:
            raise InputError(
                f"categorical={dict(categorical)}: column {column} with {n_categories} categories; pass columns from 0 "
                f"to {X.shape[-1] - 1}, each with two categories or more."
            )
        codes = X[:, column]
        wrong = (codes != codes.round()) | (codes < 0) | (codes >= n_categories)
        if wrong.any():
            row = int(torch.nonzero(wrong)[0])
            raise InputError(
                f"column {column} of `train_X` has {n_categories} categories, coded 0 to {n_categories - 1}, but row "
                f"{row} holds {float(codes[row]):g}; recode it, or say categorical={{{column}: ...}} with their number."
            )


def padded_length(n_rows: int) -> int:
    """The power of two, at least 16, that rows are padded to: a growing sample compiles anew only when it doubles."""
    return max(_SHORTEST, 1 << (n_rows - 1).bit_length())


def _listed(rows: list[int]) -> str:
    return ", ".join(map(str, rows[:8])) + (", ..." if len(rows) > 8 else "")


class Encoder(torch.nn.Module):
    """Inputs as a network sees them: continuous ones standardised by their range, then categories as unit vectors.

    A coordinate uniform over the range of the training data gets mean 0 and variance 1.
    """

    centre: Tensor
    half_width: Tensor

    def __init__(self, inputs: Tensor, categorical: Mapping[int, int]) -> None:
        """See the class.

        Args:
            inputs: Training inputs, `n x d`.
            categorical: Column -> number of categories.
        """
        super().__init__()
        self.categorical = dict(sorted(categorical.items()))
        self.continuous = [column for column in range(inputs.shape[-1]) if column not in self.categorical]
        own = inputs[:, self.continuous]
        low, high = own.amin(0), own.amax(0)
        half_width = 0.5 * (high - low)
        self.register_buffer("centre", 0.5 * (low + high))
        # A column that never changed is only centred.
        self.register_buffer("half_width", torch.where(half_width > 0, half_width, torch.ones_like(half_width)))

    @property
    def n_columns(self) -> int:
        """Columns after encoding."""
        return len(self.continuous) + sum(self.categorical.values())

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """First encoded column and number of categories of each categorical input."""
        found, start = [], len(self.continuous)
        for n_categories in self.categorical.values():
            found.append((start, n_categories))
            start += n_categories
        return tuple(found)

    def points_between(self, n_points: int) -> Tensor:
        """Encoded Sobol' points over the range of the training data, categories included."""
        unit = torch.quasirandom.SobolEngine(len(self.continuous) + len(self.categorical), scramble=False)
        # The first is a corner.
        level = unit.draw(n_points + 1, dtype=torch.float64)[1:]
        points = torch.empty(n_points, level.shape[-1], dtype=torch.float64)
        n_continuous = len(self.continuous)
        points[:, self.continuous] = (2 * level[:, :n_continuous] - 1) * self.half_width + self.centre
        for place, (column, n_categories) in enumerate(self.categorical.items()):
            points[:, column] = (level[:, n_continuous + place] * n_categories).floor()
        return self(points)

    def forward(self, points: Tensor) -> Tensor:
        """Encoded points, `... x n_columns`.

        Args:
            points: `... x d`.

        Raises:
            InputError: If a category is out of range.
        """
        points = points.double()
        parts = [(points[..., self.continuous] - self.centre) / self.half_width * 3**0.5]
        for column, n_categories in self.categorical.items():
            codes = points[..., column].detach()
            # An optimiser that relaxes categories asks between them: the nearest answers.
            nearest = codes.round()
            wrong = (nearest < 0) | (nearest >= n_categories)
            if wrong.any():
                raise InputError(
                    f"column {column} has {n_categories} categories, coded 0 to {n_categories - 1}, but "
                    f"{float(codes[wrong].ravel()[0]):g} was asked for; set the bounds of the optimiser to these codes."
                )
            parts.append(torch.nn.functional.one_hot(nearest.nan_to_num(0).long(), n_categories).to(points))
        return torch.cat(parts, dim=-1)
