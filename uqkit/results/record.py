"""Settings of a method as JSON types, and back: a result says how it was made."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from uqkit.errors import StoreError

__all__ = ["as_record", "from_record"]


def as_record(setting: Any) -> Any:
    """A settings object as its class's name and its fields."""
    if isinstance(setting, Mapping):
        return {str(name): as_record(value) for name, value in setting.items()}
    if isinstance(setting, (tuple, list)):
        return [as_record(value) for value in setting]
    if not dataclasses.is_dataclass(setting):
        return setting
    fields = {field.name: as_record(getattr(setting, field.name)) for field in dataclasses.fields(setting)}
    return {"type": type(setting).__name__, **fields}


def from_record(record: Any, known: Mapping[str, type]) -> Any:
    """The settings object that `as_record` wrote.

    Args:
        record: What was written.
        known: Name of a class -> the class.

    Raises:
        StoreError: If its class is not known.
    """
    if isinstance(record, list):
        return tuple(from_record(value, known) for value in record)
    if not isinstance(record, dict):
        return record
    if record["type"] not in known:
        raise StoreError(f"the result was made with {record['type']!r}, which this uqkit does not know.")
    fields = {name: from_record(value, known) for name, value in record.items() if name != "type"}
    return known[record["type"]](**fields)
