import inspect

import numpy as np
import pytest
from SALib.analyze import sobol as salib_sobol

import uqkit as uq
from uqkit.sensitivity import sobol_indices, to_dataframe, to_salib

ISHIGAMI = uq.load("ishigami")


@pytest.fixture(scope="module")
def result():
    return sobol_indices(ISHIGAMI, budget=512, key=0, order=("first", "total", "second"))


def test_salib_s_dict_has_its_keys_shapes_and_methods(result):
    problem = {"num_vars": 3, "names": ["x1", "x2", "x3"], "bounds": [[-np.pi, np.pi]] * 3}
    theirs = salib_sobol.analyze(problem, result["evaluations"].to_dataset()["output_value"].values[:, 0], seed=1)
    ours = to_salib(result)
    assert list(ours) == list(theirs)
    for name in theirs:
        assert ours[name].shape == theirs[name].shape
        assert np.array_equal(np.isnan(ours[name]), np.isnan(theirs[name]))
    for mine, their in zip(ours.to_df(), theirs.to_df(), strict=True):
        assert list(mine.columns) == list(their.columns)
        assert list(mine.index) == list(their.index)


def test_conf_is_half_the_interval(result):
    estimates = result["estimates"].to_dataset().squeeze("output")
    half = (estimates["sobol_total_upper"] - estimates["sobol_total_lower"]).values / 2
    assert np.allclose(to_salib(result)["ST_conf"], half)


def test_what_salib_s_dict_cannot_hold_is_refused():
    first_only = sobol_indices(ISHIGAMI, budget=320, key=0, order=("first",))
    with pytest.raises(uq.InputError, match="has no sobol_total"):
        to_salib(first_only)
    two = uq.ForwardModel(lambda x: x[:, :2], takes="batch", inputs=ISHIGAMI.inputs, outputs=("u", "v"))
    result = sobol_indices(two, budget=320, key=0)
    with pytest.raises(uq.InputError, match="has the outputs u, v; name one"):
        to_salib(result)
    with pytest.raises(uq.InputError, match="no output 'w'; it has u, v"):
        to_salib(result, output="w")
    assert np.allclose(to_salib(result, output="v")["ST"], [0, 1, 0], atol=0.1)


def test_the_table_has_a_row_an_output_and_input(result):
    table = to_dataframe(result)
    assert table.index.names == ["output", "input"]
    assert table.loc[("y", "x2"), "first"] == float(
        result["estimates"].to_dataset()["sobol_first"].sel(output="y", input="x2")
    )
    assert list(table.columns) == ["first", "first lower", "first upper", "total", "total lower", "total upper"]
    assert inspect.signature(to_dataframe).return_annotation is not None
