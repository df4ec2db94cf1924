"""`import uqkit` loads nothing heavy, and using it leaves the caller's settings as they were."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import uqkit

HEAVY = ("jax", "torch", "scipy", "xarray", "matplotlib", "numpyro", "arviz", "pandas", "SALib", "equinox", "blackjax")

LIGHT = f"""
import sys
import uqkit
loaded = {{name.partition(".")[0] for name in sys.modules}}
heavy = sorted(loaded & set({HEAVY!r}))
assert not heavy, heavy
assert set(dir(uqkit)) >= {{"ForwardModel", "sensitivity", "load", "catalogue"}}
assert not {{name.partition(".")[0] for name in sys.modules}} & set({HEAVY!r})
"""

UNCHANGED = """
import importlib.util
import os
import pickle
import warnings
import jax
import matplotlib
import numpy as np

def settings():
    return (
        jax.config.jax_enable_x64, pickle.dumps(np.random.get_state()), os.getcwd(), dict(matplotlib.rcParams),
        np.geterr(), np.get_printoptions(), warnings.filters[:],
    )

before = settings()
import importlib
import pkgutil
import uqkit
def complain(name):
    raise ImportError(name)
left_out = () if importlib.util.find_spec("botorch") else ("bayesopt",)
packages = [m for m in pkgutil.iter_modules(uqkit.__path__, "uqkit.") if not m.name.endswith(left_out or "()")]
for package in packages:
    within = importlib.import_module(package.name)
    modules = pkgutil.walk_packages(within.__path__, package.name + ".", complain) if package.ispkg else []
    for module in modules:
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
for name in dir(uqkit):
    if name not in left_out:
        getattr(uqkit, name)
for entry in uqkit.catalogue():
    model = uqkit.load(entry.name)
    if isinstance(model, uqkit.ForwardModel):
        model.run(model.inputs.sample(4, key=0))
after = settings()
changed = [i for i, (old, new) in enumerate(zip(before[:-1], after[:-1])) if old != new]
assert not changed, changed
"""


def run(script):
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_import_loads_nothing_heavy():
    run(LIGHT)


def test_importing_everything_leaves_the_callers_settings():
    run(UNCHANGED)


def test_every_public_name_can_be_got():
    names = dir(uqkit)
    assert names == sorted(set(names))
    for name in names:
        if name == "bayesopt" and importlib.util.find_spec("botorch") is None:
            with pytest.raises(ImportError, match=r"uqkit\[bayesopt\]"):
                getattr(uqkit, name)
        else:
            assert getattr(uqkit, name) is not None
    assert names == dir(uqkit)


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="module 'uqkit' has no attribute 'sobol'"):
        _ = uqkit.sobol


def test_the_names_that_type_checkers_see_are_the_public_ones():
    tree = ast.parse(Path(uqkit.__file__).read_text())
    seen = {
        alias.asname
        for block in tree.body
        if isinstance(block, ast.If)
        for line in block.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }
    assert seen == set(dir(uqkit))
