"""Users keep what they have: their ways of writing uncertain inputs become `Inputs`."""

from collections.abc import Mapping
from typing import Any, cast

from uqkit.errors import InputError
from uqkit.inputs.salib import inputs_from_salib, is_salib_problem
from uqkit.inputs.vector import Inputs

__all__ = ["as_inputs"]


def as_inputs(inputs: object) -> Inputs:
    """Inputs from an `Inputs`, a dict of distributions, or a SALib problem.

    Raises:
        InputError: If it is none of these.
    """
    if isinstance(inputs, Inputs):
        return inputs
    if isinstance(inputs, Mapping):
        mapping = cast(Mapping[str, Any], inputs)
        return inputs_from_salib(mapping) if is_salib_problem(mapping) else Inputs(mapping)
    raise InputError(
        f"`inputs` is a {type(inputs).__name__}; pass a dict of name -> distribution, a SALib problem, or uq.Inputs."
    )
