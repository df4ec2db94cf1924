"""Output: the names in a result, how one is built, checked, saved, loaded and compared with references."""

from uqkit.results import schema
from uqkit.results.build import Provenance, build
from uqkit.results.files import load, save
from uqkit.results.record import as_record, from_record
from uqkit.results.reference import Reference, compare
from uqkit.results.validate import some_of, validate

__all__ = [
    "Provenance",
    "Reference",
    "as_record",
    "build",
    "compare",
    "from_record",
    "load",
    "save",
    "schema",
    "some_of",
    "validate",
]
