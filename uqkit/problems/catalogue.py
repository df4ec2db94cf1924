"""The catalogue of example problems, and how a model named by text is found."""

import ast
import importlib
import importlib.util
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from uqkit.errors import InputError
from uqkit.problems.boundary import BoundaryValueProblem
from uqkit.problems.density import Density
from uqkit.problems.forward import ForwardModel
from uqkit.problems.objective import Objective
from uqkit.problems.tasks import TaskStream

__all__ = ["CatalogueEntry", "catalogue", "load"]

_PROBLEMS = (ForwardModel, BoundaryValueProblem, Objective, Density, TaskStream)

# What goes wrong in a file that a user is still writing.
_USUAL_ERRORS = (SyntaxError, ImportError, NameError, AttributeError, TypeError, ValueError, LookupError, OSError)


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """One problem of the catalogue.

    Attributes:
        name: What `load` takes.
        folder: The kind of problem.
        summary: First line of the file's docstring.
        path: The file.
    """

    name: str
    folder: str
    summary: str
    path: Path


def _root() -> Path:
    package = Path(__file__).resolve().parents[1]
    installed = package / "models"
    return installed if installed.is_dir() else package.parent / "models"


def catalogue() -> list[CatalogueEntry]:
    """The problems that come with uqkit, by folder and name; files are read, not run."""
    return [
        CatalogueEntry(name=path.stem, folder=path.parent.name, summary=_summary(path), path=path)
        for path in sorted(_root().glob("*/*.py"))
        if not path.stem.startswith("_")
    ]


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def load(model: str, **parameters: Any) -> Any:
    """Model by name.

    Args:
        model: A catalogue name ("ishigami"), the path of a Python file that defines `problem`, or
            "module:attribute".
        parameters: Passed to the catalogue file's `make`, where it has parameters.

    Raises:
        InputError: If there is no such model, or what is found is no `ForwardModel`,
            `BoundaryValueProblem`, `Objective`, `Density` or `TaskStream`.
    """
    if model.endswith(".py"):
        path = Path(model)
        if not path.is_file():
            raise InputError(f"no model file {model!r}; check the path.")
        found = _attribute(_module(f"uqkit_model_{path.stem}", path, fresh=True), "problem", parameters)
    elif ":" in model:
        name, _, attribute = model.partition(":")
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise InputError(f"model {model!r}: {error}; give `module:attribute` of an importable module.") from error
        found = _attribute(module, attribute, parameters)
    else:
        entries = {entry.name: entry for entry in catalogue()}
        if model not in entries:
            raise InputError(
                f"no model called {model!r}; the catalogue has {', '.join(entries)}. "
                "For your own, give a file `model.py` that defines `problem`, or `module:attribute`."
            )
        entry = entries[model]
        module = _module(f"uqkit.models.{entry.folder}.{entry.name}", entry.path, fresh=False)
        found = _attribute(module, "problem", parameters)
    if not isinstance(found, _PROBLEMS):
        raise InputError(
            f"model {model!r} is a {type(found).__name__}; it must be a uqkit.ForwardModel, "
            "uqkit.BoundaryValueProblem, uqkit.Objective, uqkit.Density or uqkit.TaskStream."
        )
    return found


def _module(name: str, path: Path, *, fresh: bool) -> ModuleType:
    if name in sys.modules and not fresh:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except InputError:
        raise
    except _USUAL_ERRORS as error:
        line = error.lineno if isinstance(error, SyntaxError) else _line_in(path, error)
        raise InputError(f"{path} cannot be loaded: line {line}: {type(error).__name__}: {error}.") from error
    finally:
        if not hasattr(module, "problem") and not hasattr(module, "make"):
            sys.modules.pop(name, None)
    return module


def _line_in(path: Path, error: BaseException) -> int | None:
    """The last line of the file that the error passed through."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve() == path.resolve()
    ]
    return lines[-1] if lines else None


def _attribute(module: ModuleType, attribute: str, parameters: dict[str, Any]) -> Any:
    if parameters:
        if not hasattr(module, "make"):
            raise InputError(f"{module.__name__} has no `make`, so it takes no parameters.")
        return module.make(**parameters)
    # A file whose data may not be installed makes nothing before it is asked to.
    if attribute == "problem" and not hasattr(module, attribute) and hasattr(module, "make"):
        return module.make()
    if not hasattr(module, attribute):
        raise InputError(f"{getattr(module, '__file__', module.__name__)} defines no {attribute!r}; define one.")
    return getattr(module, attribute)
