"""What a Python function is made of: whether it is written in JAX, and a version that changes when it does."""

import dis
import functools
import hashlib
import io
import pickle
import sys
import types
from collections import deque
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
    # The type as well: what `jax.jit` returns carries the module of the function it wraps.
    return any(not _JAX_PACKAGES.isdisjoint({_package(part), _package(type(part))}) for part, _ in _parts(function))


def function_version(function: Callable[..., Any]) -> str | None:
    """Version of a function: a hash of its code, defaults, closure, and the globals that it names.

    Functions, classes and objects of the same package and of the user's own modules count in full, installed packages
    by name only.

    Returns:
        Hexadecimal text; None if something it holds cannot be hashed reproducibly.
    """
    digest = hashlib.sha256()
    try:
        for part, number in _parts(function):
            digest.update(_framed([str(number).encode(), _content(part, opened=number is not None)]))
    except (pickle.PicklingError, TypeError, AttributeError):
        return None
    return digest.hexdigest()[:16]


def _package(part: object) -> str:
    return _module(part).partition(".")[0]


def _module(part: object) -> str:
    if isinstance(part, types.ModuleType):
        return part.__name__
    if isinstance(part, types.FunctionType):
        # Where it was written: `__module__` of a decorator's wrapper is copied from what it wraps.
        return part.__globals__.get("__name__", "builtins")
    module = getattr(part, "__module__", None)
    return module if isinstance(module, str) else type(part).__module__


def _parts(function: object) -> Iterator[tuple[object, int | None]]:
    """A function, then all it refers to, breadth first, as often as it is referred to.

    What is the user's is opened once; with it comes the number of its opening, so that two of one name differ.
    """
    home = _package(_opened(function))
    queue: deque[object] = deque([function])
    numbers: dict[int, int] = {}
    kept = []
    while queue:
        part = queue.popleft()
        if isinstance(part, tuple):  # opened every time: whether equal tuples are one object is up to the compiler
            yield part, 0
            queue.extend(part)
        elif id(part) in numbers:
            yield part, numbers[id(part)]
        elif part is function or _is_open(part, home):
            numbers[id(part)] = len(numbers)
            kept.append(part)  # alive, so that its id stays its own
            yield part, numbers[id(part)]
            queue.extend(_referred(part, home))
        else:
            yield part, None


def _is_open(part: object, home: str) -> bool:
    """Whether a part is described by what it holds: containers, wrappers, and what the user wrote."""
    if isinstance(part, (list, dict, functools.partial, types.MethodType)) or hasattr(part, "__wrapped__"):
        return True
    return not isinstance(part, (types.ModuleType, np.ndarray, jax.Array)) and _is_own(part, home)


def _is_own(part: object, home: str) -> bool:
    if _module(part) == "builtins":
        return isinstance(part, types.FunctionType)
    return _package(part) == home or _is_own_module(sys.modules.get(_module(part)))


def _is_own_module(module: types.ModuleType | None) -> bool:
    """Whether a module is the user's: not installed, and not of uqkit."""
    if module is None or module.__name__ == "__main__":
        return module is not None
    file = getattr(module, "__file__", None)
    if file is None or not file.endswith(".py") or _package(module) == "uqkit":
        return False
    path = Path(file).resolve()
    return not any(path.is_relative_to(Path(prefix).resolve()) for prefix in (sys.prefix, sys.base_prefix))


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


def _referred(part: Any, home: str) -> list[object]:
    if isinstance(part, list):
        return part
    if isinstance(part, dict):
        return [entry for item in part.items() for entry in item]
    if isinstance(part, functools.partial):
        return [part.func, part.args, part.keywords]
    if isinstance(part, types.MethodType):
        return [part.__func__, part.__self__]
    wrapped = getattr(part, "__wrapped__", None)
    # Of a wrapper by an installed decorator only what it wraps counts; the user's own decorator counts too.
    if wrapped is not None and not (isinstance(part, types.FunctionType) and _is_own(part, home)):
        return [wrapped]
    if isinstance(part, types.FunctionType):
        cells = [cell.cell_contents for cell in part.__closure__ or () if cell != types.CellType()]
        names = [name for name in sorted(_names(part.__code__)) if name in part.__globals__]
        values = [part.__globals__[name] for name in names]
        return [part.__code__, part.__defaults__, part.__kwdefaults__, wrapped, *cells, *names, *values]
    if isinstance(part, type):
        return [*part.__bases__, *_class_entries(part)]
    return [type(part), *_state(part)]


def _class_entries(kind: type) -> list[object]:
    """Methods and constants of a class, with their names."""
    entries: list[object] = []
    for name, value in vars(kind).items():
        if isinstance(value, (staticmethod, classmethod)):
            entries += [name, value.__func__]
        elif isinstance(value, property):
            entries += [name, value.fget]
        elif isinstance(value, functools.cached_property):
            entries += [name, value.func]
        elif isinstance(value, types.FunctionType) or not _is_bookkeeping(name, value):
            entries += [name, value]
    return entries


def _is_bookkeeping(name: str, value: object) -> bool:
    """Whether an entry of a class is Python's: its name and doc, where slots are stored, caches of `abc`."""
    storage = isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType))
    return storage or name.startswith(("__", "_abc_"))


def _state(part: object) -> list[object]:
    slots = [
        name
        for kind in type(part).__mro__
        for name in np.atleast_1d(vars(kind).get("__slots__", ())).tolist()
        if hasattr(part, name)
    ]
    named = {name: getattr(part, name) for name in slots} | getattr(part, "__dict__", {})
    return [entry for item in named.items() for entry in item]


_READS_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})


def _names(code: types.CodeType) -> set[str]:
    """Names that code reads as globals; attributes, which its own list of names holds too, are none."""
    nested = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    read = {step.argval for step in dis.get_instructions(code) if step.opname in _READS_GLOBAL}
    return read.union(*(_names(inner) for inner in nested))


def _framed(contents: list[bytes]) -> bytes:
    """Contents behind their lengths: 1 and 23 are not 12 and 3."""
    return b"".join(len(content).to_bytes(8, "little") + content for content in contents)


def _content(part: Any, *, opened: bool = False) -> bytes:
    """What is hashed of a part; of an opened one its kind and name, for what it holds comes as parts of its own."""
    if isinstance(part, types.CodeType):
        signature = (part.co_argcount, part.co_posonlyargcount, part.co_kwonlyargcount, part.co_flags)
        names = (part.co_names, part.co_varnames, part.co_freevars, part.co_cellvars)
        return _framed(
            [part.co_code, part.co_exceptiontable, repr((signature, names)).encode(), *map(_content, part.co_consts)]
        )
    if isinstance(part, types.ModuleType):
        return part.__name__.encode() + (Path(str(part.__file__)).read_bytes() if _is_own_module(part) else b"")
    if isinstance(part, (np.ndarray, jax.Array)) and part.dtype != object:
        array = np.asarray(part)
        return f"{array.dtype}{array.shape}".encode() + array.tobytes()
    if isinstance(part, (tuple, list, dict)):
        if opened:
            return f"{type(part).__name__} of {len(part)}".encode()
        return _framed([type(part).__name__.encode(), *map(_content, part)])  # a constant of a code object
    if opened:
        return getattr(_opened(part), "__qualname__", type(part).__qualname__).encode()
    # An installed function or class is known by its name.
    name = part.__name__ if isinstance(part, np.ufunc) else getattr(part, "__qualname__", None)
    if callable(part) and name is not None:
        return f"{_module(part)}.{name}".encode()
    if isinstance(part, (set, frozenset)):
        return _framed(sorted(_content(item) for item in part))
    if part is None or part is ... or isinstance(part, (bool, int, float, complex, str, bytes)):
        return repr(part).encode()
    buffer = io.BytesIO()
    _ByValue(buffer, protocol=4).dump(part)
    return buffer.getvalue()


class _ByValue(pickle.Pickler):
    """A pickler that refuses the user's functions and classes, which pickles hold by name only."""

    def persistent_id(self, obj: Any) -> None:
        """Called for every object on the way."""
        if isinstance(obj, (type, types.FunctionType)) and _is_own_module(sys.modules.get(_module(obj))):
            raise pickle.PicklingError(f"{obj!r} would be pickled by name")
