"""What a Python function is made of: whether it is written in JAX, and a version that changes when it does."""

import functools
import hashlib
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

__all__ = ["function_version", "uses_jax"]

_JAX_PACKAGES = frozenset({"jax", "jaxlib", "equinox", "diffrax", "optimistix", "lineax"})


def uses_jax(function: Callable[..., Any]) -> bool:
    """Whether a function can be expected to trace under `jax.jit`: it, or a function it names, refers to JAX.

    The function is read, never called: tracing a simulator to find out would run it once with a tracer for its input.
    """
    return any(_package(part) in _JAX_PACKAGES for part in _parts(function))


def function_version(function: Callable[..., Any]) -> str | None:
    """Version of a function: a hash of its code, defaults, closure, and the globals that it names.

    Functions of the same package and of the user's own modules count in full, installed packages by name only.

    Returns:
        Hexadecimal text; None if something it holds cannot be hashed reproducibly.
    """
    digest = hashlib.sha256()
    try:
        for part in _parts(function):
            digest.update(_content(part))
    except (pickle.PicklingError, TypeError, AttributeError):
        return None
    return digest.hexdigest()[:16]


def _package(part: object) -> str:
    if isinstance(part, types.ModuleType):
        return part.__name__.partition(".")[0]
    module = getattr(part, "__module__", None) or type(part).__module__
    return module.partition(".")[0]


def _parts(function: object) -> Iterator[object]:
    """A function's own code, then all it refers to, each once; callables are opened if they are the user's."""
    home = _package(_opened(function))
    queue, seen = [function], set()
    while queue:
        part = queue.pop(0)
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        if callable(part) and (part is function or _package(_opened(part)) == home or _is_wrapper(part)):
            queue.extend(_referred(part))


def _is_wrapper(part: object) -> bool:
    return isinstance(part, (functools.partial, types.MethodType)) or hasattr(part, "__wrapped__")


def _opened(part: Any) -> Any:
    while True:
        if isinstance(part, functools.partial):
            part = part.func
        elif isinstance(part, types.MethodType):
            part = part.__func__
        elif hasattr(part, "__wrapped__"):  # jax.jit, functools.wraps
            part = part.__wrapped__
        else:
            return part


def _referred(part: Any) -> list[object]:
    if isinstance(part, functools.partial):
        return [part.func, *part.args, *part.keywords.values()]
    if isinstance(part, types.MethodType):
        return [part.__func__, *vars(part.__self__).values()] if hasattr(part.__self__, "__dict__") else [part.__func__]
    if hasattr(part, "__wrapped__"):
        return [part.__wrapped__]
    if isinstance(part, types.FunctionType):
        cells = [cell.cell_contents for cell in part.__closure__ or () if cell != types.CellType()]
        names = sorted(_names(part.__code__))
        return [
            part.__code__,
            *(part.__defaults__ or ()),
            *(part.__kwdefaults__ or {}).values(),
            *cells,
            *(part.__globals__[name] for name in names if name in part.__globals__),
        ]
    if isinstance(part, type):
        return []
    call = vars(type(part)).get("__call__")
    state = vars(part).values() if hasattr(part, "__dict__") else ()
    return [call, *state] if isinstance(call, types.FunctionType) else []


def _names(code: types.CodeType) -> set[str]:
    nested = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*(_names(inner) for inner in nested))


def _content(part: Any) -> bytes:
    if isinstance(part, types.CodeType):
        constants = b"".join(_content(c) for c in part.co_consts)
        return part.co_code + repr((part.co_names, part.co_varnames)).encode() + constants
    if isinstance(part, types.ModuleType):
        return part.__name__.encode() + _own_source(part)
    if isinstance(part, (np.ndarray, jax.Array)):
        array = np.asarray(part)
        return f"{array.dtype}{array.shape}".encode() + array.tobytes()
    if isinstance(part, type) or callable(part):
        # What a callable holds comes as parts of its own; an installed one is known by its name.
        opened = _opened(part)
        return getattr(opened, "__qualname__", type(opened).__qualname__).encode()
    if isinstance(part, (set, frozenset)):
        return b"".join(sorted(_content(item) for item in part))
    if isinstance(part, (tuple, list)):
        return b"(" + b",".join(_content(item) for item in part) + b")"
    if isinstance(part, dict):
        return b"{" + b",".join(_content(key) + b":" + _content(value) for key, value in part.items()) + b"}"
    if part is None or part is ... or isinstance(part, (bool, int, float, complex, str, bytes)):
        return repr(part).encode()
    return pickle.dumps(part, protocol=4)


def _own_source(module: types.ModuleType) -> bytes:
    """Source of a module that is the user's own, not installed: its functions are called by attribute."""
    file = getattr(module, "__file__", None)
    if file is None or not file.endswith(".py"):
        return b""
    path = Path(file).resolve()
    installed = any(path.is_relative_to(Path(prefix).resolve()) for prefix in (sys.prefix, sys.base_prefix))
    return b"" if installed else path.read_bytes()
