"""Fitted networks in files that hold numbers and settings, and run no code when they are read."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from uqkit.bayesopt.network import Embedding, OneHot, WeightPrior
from uqkit.bayesopt.training import AnchoredTraining, PlainTraining
from uqkit.errors import InputError
from uqkit.inference import (
    HMC,
    MCLMC,
    NUTS,
    SGHMC,
    SVI,
    AdjustedMCLMC,
    FullRankNormal,
    LowRankNormal,
    MeanFieldNormal,
)
from uqkit.nn import SineUnit, SwishUnit, TanhUnit

__all__ = ["as_arrays", "as_tensor", "as_tensors", "read", "write"]

_FORMAT = 1
# What settings are made of, beside numbers and text.
SETTINGS = [
    *(WeightPrior, OneHot, Embedding, AnchoredTraining, PlainTraining, TanhUnit, SineUnit, SwishUnit),
    *(HMC, NUTS, SGHMC, MCLMC, AdjustedMCLMC, SVI, MeanFieldNormal, FullRankNormal, LowRankNormal),
]


def write(path: str | Path, surrogate: str, record: dict[str, Any]) -> None:
    """One file of a record, replaced where it exists.

    Args:
        path: Of the file.
        surrogate: Name of the class.
        record: Tensors, numbers, text, and the settings this module knows.

    Raises:
        InputError: If a setting cannot be written down.
    """
    for name, value in record["settings"].items():
        plain = value is None or isinstance(value, (int, float, str, tuple, list, dict))
        if not plain and type(value).__module__.partition(".")[0] != "uqkit":
            raise InputError(
                f"{name}={value!r} cannot be written to a file, which holds no code; use one of uqkit's, such as "
                "activation=TanhUnit()."
            )
    torch.save({"format": _FORMAT, "surrogate": surrogate} | record, path)


def read(path: str | Path, surrogate: str, more_settings: tuple[type, ...] = ()) -> dict[str, Any]:
    """The record of a file.

    Args:
        path: Of the file.
        surrogate: Name of the class that is wanted.
        more_settings: Further classes that settings may be of.

    Raises:
        InputError: If the file is of another class or format, or holds what this does not read.
    """
    try:
        with torch.serialization.safe_globals([*SETTINGS, *more_settings]):
            record = torch.load(path, weights_only=True)
    except UnpicklingError as error:
        raise InputError(f"{path} cannot be read as a {surrogate}: it holds other things than its settings.") from error
    if record.get("format") != _FORMAT or record.get("surrogate") != surrogate:
        raise InputError(
            f"{path} holds a {record.get('surrogate')} of format {record.get('format')}; this reads a {surrogate} of "
            f"format {_FORMAT}."
        )
    return record


def as_tensor(array: Any) -> torch.Tensor:
    """A JAX array as a tensor of its own."""
    return torch.from_numpy(np.array(array))


def as_tensors(arrays: dict[str, Any]) -> dict[str, torch.Tensor]:
    """JAX arrays as tensors of their own."""
    return {name: as_tensor(value) for name, value in arrays.items()}


def as_arrays(tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Tensors as JAX arrays in their own precision."""
    with jax.enable_x64(True):
        return {name: jnp.asarray(value.numpy()) for name, value in tensors.items()}
