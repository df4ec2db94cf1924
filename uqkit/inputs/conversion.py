"""Users keep what they have: their ways of writing uncertain inputs become `Inputs`."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from jaxtyping import Float
from scipy import stats

from uqkit.errors import InputError
from uqkit.inputs.salib import inputs_from_salib, is_salib_problem
from uqkit.inputs.vector import Inputs

__all__ = ["as_inputs"]


def as_inputs(inputs: object) -> Inputs:
    """Inputs from an `Inputs`, a dict of distributions, a SALib problem, or BoTorch bounds.

    Args:
        inputs: Bounds are an array or tensor of shape (2, d), lower ends over upper ends; they become uniform laws of
            x1, ..., xd.

    Raises:
        InputError: If it is none of these.
    """
    if isinstance(inputs, Inputs):
        return inputs
    if isinstance(inputs, Mapping):
        mapping = cast(Mapping[str, Any], inputs)
        return inputs_from_salib(mapping) if is_salib_problem(mapping) else Inputs(mapping)
    if len(getattr(inputs, "shape", ())) == 2:
        return _from_bounds(np.asarray(inputs, dtype=float))
    raise InputError(
        f"`inputs` is a {type(inputs).__name__}; pass a dict of name -> distribution, a SALib problem, BoTorch bounds "
        "(2 x d), or uq.Inputs."
    )


def _from_bounds(bounds: Float[np.ndarray, "end input"]) -> Inputs:
    if bounds.shape[0] != 2 or not (bounds[0] < bounds[1]).all():
        raise InputError(
            f"`inputs` is an array of shape {bounds.shape}; bounds have the shape (2, d), each lower end in the first "
            "row below its upper end in the second."
        )
    return Inputs({f"x{i + 1}": stats.uniform(low, high - low) for i, (low, high) in enumerate(bounds.T)})
