"""uqkit: uncertainty quantification whose every result is a labelled DataTree.

The names below load when first used, so that `import uqkit` costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uqkit import bayesopt as bayesopt
    from uqkit import continual as continual
    from uqkit import diffusion as diffusion
    from uqkit import inference as inference
    from uqkit import pinn as pinn
    from uqkit import results as results
    from uqkit import sensitivity as sensitivity
    from uqkit.errors import EvaluationError as EvaluationError
    from uqkit.errors import InputError as InputError
    from uqkit.errors import RunInterrupted as RunInterrupted
    from uqkit.errors import StoreError as StoreError
    from uqkit.errors import UqkitError as UqkitError
    from uqkit.errors import UqkitWarning as UqkitWarning
    from uqkit.evaluate import FailurePolicy as FailurePolicy
    from uqkit.inputs import GaussianCopula as GaussianCopula
    from uqkit.inputs import Inputs as Inputs
    from uqkit.inputs import LatinHypercube as LatinHypercube
    from uqkit.inputs import MonteCarlo as MonteCarlo
    from uqkit.inputs import ScrambledSobol as ScrambledSobol
    from uqkit.problems import BoundaryValueProblem as BoundaryValueProblem
    from uqkit.problems import Box as Box
    from uqkit.problems import Constraint as Constraint
    from uqkit.problems import Density as Density
    from uqkit.problems import FieldReference as FieldReference
    from uqkit.problems import ForwardModel as ForwardModel
    from uqkit.problems import Integrated as Integrated
    from uqkit.problems import Measured as Measured
    from uqkit.problems import Objective as Objective
    from uqkit.problems import Task as Task
    from uqkit.problems import TaskStream as TaskStream
    from uqkit.problems import catalogue as catalogue
    from uqkit.problems import load as load
    from uqkit.results import Reference as Reference

# Name -> where it lives; None: the name is a subpackage.
_HOME: dict[str, str | None] = {
    "BoundaryValueProblem": "problems",
    "Box": "problems",
    "Constraint": "problems",
    "Density": "problems",
    "EvaluationError": "errors",
    "FailurePolicy": "evaluate",
    "FieldReference": "problems",
    "ForwardModel": "problems",
    "GaussianCopula": "inputs",
    "InputError": "errors",
    "Inputs": "inputs",
    "Integrated": "problems",
    "LatinHypercube": "inputs",
    "Measured": "problems",
    "MonteCarlo": "inputs",
    "Objective": "problems",
    "Reference": "results",
    "RunInterrupted": "errors",
    "ScrambledSobol": "inputs",
    "StoreError": "errors",
    "Task": "problems",
    "TaskStream": "problems",
    "UqkitError": "errors",
    "UqkitWarning": "errors",
    "bayesopt": None,
    "catalogue": "problems",
    "continual": None,
    "diffusion": None,
    "inference": None,
    "load": "problems",
    "pinn": None,
    "results": None,
    "sensitivity": None,
}


def __getattr__(name: str) -> Any:
    """Load a name when it is first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'uqkit' has no attribute {name!r}")
    home = _HOME[name]
    value = importlib.import_module(f"uqkit.{home or name}")
    if home is not None:
        value = getattr(value, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted(_HOME)
