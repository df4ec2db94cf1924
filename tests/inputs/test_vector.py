"""The vector of inputs: maps between physical, unit and normal coordinates; names, units and groups."""

import inspect

import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from uqkit import InputError, Inputs
from uqkit.inputs import check_groups

LAWS = {"q": stats.gumbel_r(1013.0, 558.0), "k": dist.Normal(30.0, 8.0), "h": dist.Uniform(7.0, 9.0)}
INPUTS = Inputs(LAWS, units={"q": "m3/s", "h": "m"}, descriptions={"q": "discharge"})
UNIT = np.random.default_rng(0).random((50, 3))


def test_unit_and_physical_are_inverse():
    values = INPUTS.from_unit(UNIT)
    assert values.shape == (50, 3)
    np.testing.assert_allclose(INPUTS.to_unit(values), UNIT, rtol=1e-12)
    np.testing.assert_allclose(values[:, 2], 7 + 2 * UNIT[:, 2])


def test_normal_and_physical_are_inverse():
    normal = np.random.default_rng(1).standard_normal((50, 3))
    values = INPUTS.from_normal(normal)
    np.testing.assert_allclose(INPUTS.to_normal(values), normal, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(values[:, 1], 30 + 8 * normal[:, 1], rtol=1e-12)


def test_normal_coordinates_far_out_stay_finite():
    assert np.isfinite(INPUTS.from_normal(np.full((1, 3), 50.0))).all()
    assert np.isfinite(INPUTS.from_normal(np.full((1, 3), -50.0))).all()


def test_log_density_is_the_sum_over_inputs():
    values = INPUTS.from_unit(UNIT)
    known = stats.gumbel_r.logpdf(values[:, 0], 1013, 558) + stats.norm.logpdf(values[:, 1], 30, 8) + np.log(0.5)
    np.testing.assert_allclose(INPUTS.log_density(values), known, rtol=1e-12)
    assert INPUTS.log_density(np.array([[1000.0, 30.0, 9.5]]))[0] == -np.inf


@pytest.mark.parametrize("method", ["from_unit", "to_unit", "from_normal", "to_normal", "log_density"])
@pytest.mark.parametrize("shape", [(3,), (4, 2), (2, 3, 3)])
def test_wrong_shape(method, shape):
    # Without the suite's type hook, which callers do not have and which stops a wrong rank earlier.
    function = inspect.unwrap(getattr(Inputs, method))
    with pytest.raises(InputError) as caught:
        function(INPUTS, np.full(shape, 0.5))
    assert f"has shape {shape}; pass one row a draw" in str(caught.value)
    assert "(draw, 3), in the order q, k, h" in str(caught.value)


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1.1, np.nan])
def test_unit_points_at_or_beyond_the_ends_are_refused(value):
    unit = np.full((2, 3), 0.5)
    unit[1, 2] = value
    with pytest.raises(InputError, match="strictly between 0 and 1"):
        INPUTS.from_unit(unit)


def test_units_and_descriptions_have_defaults():
    assert INPUTS.units == {"q": "m3/s", "k": "1", "h": "m"}
    assert INPUTS.descriptions == {"q": "discharge", "k": "k", "h": "h"}
    assert len(INPUTS) == 3
    assert all(name in repr(INPUTS) for name in LAWS)


def test_labels_of_unknown_inputs_are_refused():
    with pytest.raises(InputError, match="`units` names z, which are no inputs; inputs: q, k, h"):
        Inputs(LAWS, units={"z": "m"})
    with pytest.raises(InputError, match="`descriptions` names z, which are no inputs; inputs: q, k, h"):
        Inputs(LAWS, descriptions={"z": "depth"})


@pytest.mark.parametrize("name", ["", "  ", "a/b"])
def test_names_that_cannot_label_a_result(name):
    with pytest.raises(InputError, match="cannot label a result"):
        Inputs({name: stats.norm()})


def test_no_inputs():
    with pytest.raises(InputError, match="no inputs given"):
        Inputs({})


def test_draws_follow_the_key():
    draws = INPUTS.sample(20, key=3)
    np.testing.assert_array_equal(draws, INPUTS.sample(20, key=3))
    assert not np.isin(draws, INPUTS.sample(20, key=4)).any()


def test_groups_are_completed_by_single_inputs():
    assert check_groups({"water": ["q", "h"]}, ("q", "k", "h")) == {"water": ("q", "h"), "k": ("k",)}


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"g": []}, "pass a list of at least one input name"),
        ({"g": "q"}, "pass a list of at least one input name"),
        ({"g": ["z"]}, "group 'g' names 'z', which is no input"),
        ({"g": ["q"], "h2": ["q", "k"]}, "input 'q' is in the groups 'g' and 'h2'"),
        ({"k": ["q", "h"]}, "group 'k' has the name of an input outside it"),
    ],
)
def test_wrong_groups(groups, message):
    with pytest.raises(InputError, match=message):
        Inputs(LAWS, groups=groups)
