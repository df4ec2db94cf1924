"""The catalogue, and models found by text."""

import ast
import sys

import pytest

import uqkit as uq
from uqkit import InputError

MODEL = '''"""A model of the user's."""

import numpyro.distributions as dist
import uqkit as uq


def make(*, slope=2.0):
    return uq.ForwardModel(lambda x: slope * x[0], inputs={"x": dist.Uniform(0.0, 1.0)}, name=f"slope {slope}")


problem = make()
number = 3
'''


KINDS = {
    "densities": uq.Density,
    "functions": uq.ForwardModel,
    "objectives": uq.Objective,
    "pdes": uq.BoundaryValueProblem,
    "tasks": uq.TaskStream,
}


def test_entries_are_what_load_takes():
    entries = uq.catalogue()
    assert {entry.folder for entry in entries} == set(KINDS)
    assert {"ishigami", "sobol_g", "flood", "borehole"} <= {entry.name for entry in entries}
    assert len({entry.name for entry in entries}) == len(entries)
    for entry in entries:
        try:
            model = uq.load(entry.name)
        except InputError as error:
            # The pictures of clothing are a package of the system, which need not be there.
            assert "apt install" in str(error)  # noqa: PT017
            continue
        assert isinstance(model, KINDS[entry.folder])
        assert model.name == entry.name
        assert entry.path.stem == entry.name
        assert entry.path.parent.name == entry.folder


def test_summaries_are_the_first_lines_of_the_docstrings():
    for entry in uq.catalogue():
        docstring = ast.get_docstring(ast.parse(entry.path.read_text()))
        assert docstring is not None
        assert entry.summary == docstring.splitlines()[0]
        assert entry.summary


def test_parameters_go_to_make():
    assert len(uq.load("sobol_g", a=(0.0, 1.0)).inputs) == 2
    assert len(uq.load("sobol_g").inputs) == 8
    assert uq.load("ishigami", a=5.0).references["output_mean"].values == (2.5,)


def test_an_unknown_name_lists_the_catalogue():
    with pytest.raises(InputError, match="no model called 'ishigammi'; the catalogue has .*ishigami") as caught:
        uq.load("ishigammi")
    assert "model.py" in str(caught.value)


def test_by_path(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MODEL)
    assert uq.load(str(path)).name == "slope 2.0"
    assert uq.load(str(path), slope=3.0).name == "slope 3.0"


def test_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MODEL)
    uq.load(str(path))
    path.write_text(MODEL.replace("slope=2.0", "slope=14.5"))
    assert uq.load(str(path)).name == "slope 14.5"


def test_by_module_and_attribute(tmp_path, monkeypatch):
    (tmp_path / "uqkit_test_module.py").write_text(MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "uqkit_test_module", None)  # so that it is gone again after the test
    monkeypatch.delitem(sys.modules, "uqkit_test_module")
    assert uq.load("uqkit_test_module:problem").name == "slope 2.0"
    with pytest.raises(InputError, match="'uqkit_test_module:number' is a int; it must be a uqkit.ForwardModel"):
        uq.load("uqkit_test_module:number")
    with pytest.raises(InputError, match="defines no 'missing'; define one"):
        uq.load("uqkit_test_module:missing")


def test_missing_places(tmp_path):
    with pytest.raises(InputError, match="no model file .*none.py'; check the path"):
        uq.load(str(tmp_path / "none.py"))
    with pytest.raises(InputError, match="No module named 'uqkit_no_such'"):
        uq.load("uqkit_no_such:problem")


def test_a_file_without_make_takes_no_parameters(tmp_path):
    path = tmp_path / "plain.py"
    path.write_text(MODEL.replace("make", "build"))
    assert uq.load(str(path)).name == "slope 2.0"
    with pytest.raises(InputError, match="has no `make`, so it takes no parameters"):
        uq.load(str(path), slope=3.0)


def test_a_file_that_fails_says_so_itself(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("raise RuntimeError('licence expired')\n")
    with pytest.raises(RuntimeError, match="licence expired"):
        uq.load(str(path))
    assert "uqkit_model_broken" not in sys.modules
