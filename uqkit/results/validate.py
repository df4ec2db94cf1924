"""What every result must satisfy before it leaves the package, or after it comes from a file."""

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from uqkit.errors import StoreError
from uqkit.results import schema

__all__ = ["some_of", "validate"]


def validate(tree: xr.DataTree) -> None:
    """Check a result's groups, names, units, types and attributes.

    Raises:
        StoreError: Listing everything that a result may not have or must have.
    """
    if schema.WORKFLOW not in tree.attrs:
        raise StoreError("not a uqkit result: it has no root attribute `workflow`.")
    faults = [*_root_faults(tree)]
    for name, node in tree.children.items():
        if name not in schema.GROUPS:
            faults.append(f"group {name!r} is unknown")
        faults.extend(f"{name}/{fault}" for fault in _dataset_faults(node.to_dataset(), name))
    if faults:
        raise StoreError("not a uqkit result: " + "; ".join(faults) + ".")


def _root_faults(tree: xr.DataTree) -> Iterator[str]:
    for attribute in schema.ROOT_ATTRIBUTES:
        if attribute not in tree.attrs:
            yield f"root attribute {attribute!r} is missing"
        elif not isinstance(tree.attrs[attribute], (str, int, float, np.integer, np.floating)):
            yield f"root attribute {attribute!r} is a {type(tree.attrs[attribute]).__name__}, no text or number"


def _dataset_faults(dataset: xr.Dataset, group: str) -> Iterator[str]:
    companions = ("_se", "_lower", "_upper")
    # An estimate may have the problem's own name, if it comes with its error and interval.
    own = {str(name) for name in dataset if all(f"{name}{end}" in dataset for end in companions)}
    known = {name + end for name in schema.VARIABLES | own for end in ("", *companions)}
    for name, variable in dataset.data_vars.items():
        if group not in schema.OPEN_GROUPS and name not in known:
            yield f"{name} is no name of the schema"
        for attribute in ("units", "long_name"):
            if attribute not in variable.attrs:
                yield f"{name} has no {attribute}"
        if not isinstance(variable.data, np.ndarray) or variable.dtype.kind not in "iufUOST":
            # bool breaks ArviZ's summaries, complex and half floats break netCDF, JAX arrays break both
            yield f"{name} is a {type(variable.data).__name__} of {variable.dtype}, which files do not keep"
        for dimension in variable.dims:
            if dimension not in schema.DIMENSIONS and dimension not in dataset.coords:
                yield f"{name} has the unknown dimension {dimension!r}"


def some_of(labels: Sequence[str], most: int = 8) -> str:
    """The first labels of a list that may be long, for a message."""
    more = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(labels[:most]) + more
