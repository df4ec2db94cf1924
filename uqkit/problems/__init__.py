"""What is solved: forward models, boundary value problems, densities, tasks, and the catalogue of ready-made ones."""

from uqkit.problems.boundary import BoundaryValueProblem, Constraint, FieldReference, Integrated, Measured
from uqkit.problems.call import Call
from uqkit.problems.catalogue import CatalogueEntry, catalogue, load
from uqkit.problems.density import Density
from uqkit.problems.domain import Box, Region
from uqkit.problems.forward import ForwardModel
from uqkit.problems.objective import Objective
from uqkit.problems.outputs import Output, Outputs
from uqkit.problems.tasks import Task, TaskStream

__all__ = [
    "BoundaryValueProblem",
    "Box",
    "Call",
    "CatalogueEntry",
    "Constraint",
    "Density",
    "FieldReference",
    "ForwardModel",
    "Integrated",
    "Measured",
    "Objective",
    "Output",
    "Outputs",
    "Region",
    "Task",
    "TaskStream",
    "catalogue",
    "load",
]
