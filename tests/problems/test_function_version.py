"""The version of a function: the same as long as it computes the same, another when anything it uses changes."""

import functools
import importlib
import math
import subprocess
import sys
import threading
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from uqkit.problems.callables import function_version, uses_jax

TEMPLATE = """
import math
import numpy as np

OFFSET = {offset}
TABLE = np.array({table})
TERMS = [lambda x: {term}]
OPTIONS = {options}

def helper(x):
    return {helper}

class Solver:
    tolerance = {tolerance}

    def solve(self, x):
        return self.inner(x) + self.tolerance

    def inner(self, x):
        return {inner}

SOLVER = Solver()

def make(factor):
    def model(x, power={power}, *, shift={shift}):
        nested = [{constant} * value for value in x]
        return factor * helper(x) ** power + shift + OFFSET + TABLE.sum() + TERMS[0](x) + SOLVER.solve(x) + nested[0]
    return model

model = make({factor})
"""
DEFAULTS = {
    "offset": "0.5",
    "table": "[1.0, 2.0]",
    "term": "x[0]",
    "options": "{'unused': 1}",
    "helper": "math.sin(x[0])",
    "tolerance": "1e-6",
    "inner": "x[1]",
    "power": "2",
    "shift": "0.0",
    "constant": "3",
    "factor": "7.0",
}


def model(**changes):
    namespace: dict[str, Any] = {"__name__": "uqkit_test_version"}
    exec(TEMPLATE.format(**(DEFAULTS | changes)), namespace)
    return namespace["model"]


def test_the_same_source_has_the_same_version():
    version = function_version(model())
    assert version is not None
    assert version == function_version(model())


@pytest.mark.parametrize(
    "change",
    [
        {"offset": "0.25"},
        {"table": "[1.0, 2.5]"},
        {"term": "x[1]"},
        {"helper": "math.cos(x[0])"},
        {"tolerance": "1e-7"},
        {"inner": "x[0]"},
        {"power": "3"},
        {"shift": "1.0"},
        {"constant": "4"},
        {"factor": "7.5"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_change_of_anything_it_uses_changes_the_version(change):
    assert function_version(model(**change)) != function_version(model())


def test_a_change_of_what_it_does_not_use_keeps_the_version():
    assert function_version(model(options="{'unused': 2}")) == function_version(model())


def with_closure(*values):
    a, b, c = values
    return lambda x: a * x + b * x**2 + c


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda x: 12 * x + 3, lambda x: 1 * x + 23),
        (lambda x, a=1, b=23: a * x + b, lambda x, a=12, b=3: a * x + b),
        (lambda x, a=1, b=1, c=2: a + b * x + c, lambda x, a=1, b=2, c=2: a + b * x + c),
        (with_closure(1, 1, 2), with_closure(1, 2, 2)),
        (with_closure(1, 2, 3), with_closure(3, 2, 1)),
        (with_closure(1, 2, (3, 4)), with_closure(1, (2, 3), 4)),
        (with_closure("1", 2, 3), with_closure(1, 2, 3)),
        (lambda x, a=(1, 2): a, lambda x, a=(1, (2,)): a),
        (lambda x, a=True: a, lambda x, a=1: a),
        (functools.partial(pow, 2), functools.partial(pow, 3)),
        (functools.partial(pow, mod=2), functools.partial(pow, exp=2)),
        (lambda x: jnp.sin(x), lambda x: jnp.cos(x)),
        (jax.jit(lambda x: 2 * x), jax.jit(lambda x: 3 * x)),
    ],
)
def test_functions_that_differ_in_little(one, other):
    assert function_version(one) is not None
    assert function_version(one) != function_version(other)


class Callable:
    __slots__ = ("scale",)

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, x):
        return self.scale * x

    def method(self, x):
        return self.scale * x


class Inherits(Callable):
    def __init__(self, scale):
        super().__init__(1.0)
        self.other = scale


@pytest.mark.parametrize(
    "make", [Callable, Inherits, lambda scale: Callable(scale).method, lambda scale: Inherits(scale).method]
)
def test_the_state_of_objects_counts(make):
    assert function_version(make(2.0)) == function_version(make(2.0))
    assert function_version(make(2.0)) != function_version(make(3.0))


def scaled_by(factor):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(x):
            return factor * function(x)

        return wrapper

    return decorate


def test_the_users_own_decorator_counts():
    def plain(x):
        return x[0]

    assert function_version(scaled_by(2.0)(plain)) != function_version(scaled_by(3.0)(plain))


def test_recursion_and_cycles_end():
    table: list = [1]
    table.append(table)

    def recursive(n):
        return recursive(n - 1) if n else table

    assert function_version(recursive) is not None


def test_distributions_in_a_closure_count():
    def made(sd):
        law = stats.Normal(mu=0.0, sigma=sd)
        return lambda x: law.cdf(x)

    one, other = function_version(made(1.0)), function_version(made(2.0))
    assert one is None or one != other


def test_a_generator_has_no_version():
    assert function_version(with_closure(1, 2, (i for i in range(3)))) is None


def test_installed_functions_count_by_name():
    versions = {function_version(with_closure(1, 2, held)) for held in (open, np.sin, math.sin, np.random.default_rng)}
    assert None not in versions
    assert len(versions) == 4


def test_a_lock_has_no_version():
    lock = threading.Lock()
    assert function_version(lambda x: (lock, x)) is None


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from user_model import model
from uqkit.problems.callables import function_version
print(function_version(model))
"""


def write_modules(folder, helper):
    (folder / "user_helper.py").write_text(f"def helper(x):\n    return {helper}\n")
    (folder / "user_model.py").write_text(
        "import numpy as np\nfrom user_helper import helper\n"
        "SET = {'b', 'a', 'c'}\nTABLE = {'u': np.arange(3.0), 'v': ('text', 1.5)}\n"
        "def model(x):\n    return helper(x[0]) if x[0] in {'p', 'q'} else (SET, TABLE)\n"
    )


def version_here(monkeypatch):
    for name in ("user_helper", "user_model"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return function_version(importlib.import_module("user_model").model)


def test_processes_agree_and_see_a_changed_helper_of_another_module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # the two files below differ within one second
    write_modules(tmp_path, "2 * x")
    version = version_here(monkeypatch)
    assert version is not None
    elsewhere = subprocess.run(
        [sys.executable, "-B", "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert elsewhere.stdout.strip() == version
    write_modules(tmp_path, "3 * x")
    assert version_here(monkeypatch) != version


ATTRIBUTES = """
import jax.numpy as jnp
import types

space = types.SimpleNamespace(make=abs)

def make(x):
    return jnp.sin(x)

def model(x):
    def inner():
        return {call}(x)
    return inner()
"""


def test_an_attribute_is_not_the_global_of_its_name():
    for call, is_jax in (("space.make", False), ("make", True)):
        namespace: dict[str, Any] = {"__name__": "uqkit_test_attributes"}
        exec(ATTRIBUTES.format(call=call), namespace)
        assert uses_jax(namespace["model"]) == is_jax
