"""What is solved: forward models, boundary value problems, and the catalogue of ready-made ones."""

from uqkit.problems.boundary import BoundaryValueProblem, Constraint, FieldReference, Integrated, Measured
from uqkit.problems.call import Call
from uqkit.problems.catalogue import CatalogueEntry, catalogue, load
from uqkit.problems.domain import Box, Region
from uqkit.problems.forward import ForwardModel
from uqkit.problems.outputs import Output, Outputs

__all__ = [
    "BoundaryValueProblem",
    "Box",
    "Call",
    "CatalogueEntry",
    "Constraint",
    "FieldReference",
    "ForwardModel",
    "Integrated",
    "Measured",
    "Output",
    "Outputs",
    "Region",
    "catalogue",
    "load",
]
