"""SALib problems as inputs, against SALib's own scaling of unit points."""

import numpy as np
import numpyro.distributions as dist
import pytest
from SALib import ProblemSpec
from SALib.util import scale_samples

from uqkit import InputError, Inputs
from uqkit.inputs import as_inputs, inputs_from_salib, is_salib_problem

BOUNDS = {
    "unif": [-1.5, 4.0],
    "logunif": [0.2, 30.0],
    "triang": [-1.0, 4.0, 0.3],
    "norm": [-2.0, 0.7],
    "truncnorm": [-1.0, 2.0, 0.3, 1.7],
    "lognorm": [0.4, 0.6],
    "weibull": [1.7, 2.5, -0.4],
}
UNIT = np.random.default_rng(0).uniform(1e-4, 1 - 1e-4, size=(200, 3))


@pytest.mark.parametrize("kind", BOUNDS)
def test_each_distribution_scales_as_in_salib(kind):
    problem = {
        "num_vars": 3,
        "names": ["a", "b", "c"],
        "bounds": [[0.0, 1.0], BOUNDS[kind], [2.0, 3.0]],
        "dists": ["unif", kind, "unif"],
    }
    known = scale_samples(UNIT.copy(), problem)
    assert np.ptp(known[:, 1]) > 0
    np.testing.assert_allclose(inputs_from_salib(problem).from_unit(UNIT), known, rtol=1e-10, atol=1e-12)


def test_uniform_without_dists():
    problem = {"num_vars": 3, "names": ["a", "b", "c"], "bounds": [[0.0, 1.0], [-3.0, 3.0], [2.0, 5.0]]}
    np.testing.assert_allclose(inputs_from_salib(problem).from_unit(UNIT), scale_samples(UNIT.copy(), problem))


def test_problem_spec_is_taken_with_its_groups():
    spec = ProblemSpec(
        {
            "names": ["a", "b", "c"],
            "groups": ["soil", "rain", "soil"],
            "bounds": [[0.0, 1.0], [0.0, 2.0], [1.0, 3.0]],
            "outputs": ["Y"],
        }
    )
    assert is_salib_problem(spec)
    inputs = as_inputs(spec)
    assert inputs.names == ("a", "b", "c")
    assert inputs.groups == {"soil": ("a", "c"), "rain": ("b",)}


def test_no_groups_stay_none():
    assert inputs_from_salib({"names": ["a"], "bounds": [[0.0, 1.0]], "groups": None}).groups is None


def test_a_dict_of_distributions_is_no_salib_problem():
    inputs = as_inputs({"names_of_fish": dist.Normal(0.0, 1.0)})
    assert inputs.names == ("names_of_fish",)
    assert as_inputs(inputs) is inputs
    with pytest.raises(InputError, match="pass a dict of name -> distribution"):
        as_inputs([("a", dist.Normal(0.0, 1.0))])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dists": ["unif", "gauss"]}, "input 'b' has the unknown distribution 'gauss'; use one of unif"),
        ({"bounds": [[0.0, 1.0]]}, "2 `names` but 1 `bounds`"),
        ({"bounds": [[0.0, 1.0], [0.0, 1.0, 2.0]]}, "input 'b': unif takes lower and upper bound"),
        ({"dists": ["unif"]}, "2 `names` but 1 `dists`"),
        ({"groups": ["g"]}, "2 `names` but 1 `groups`"),
        ({"names": ["a", "a"]}, "`names` repeats an input: a, a"),
        ({"bounds": [[0.0, 1.0], [2.0, 1.0]]}, r"input 'b': unif takes .*\[2.0, 1.0\] is not such a law"),
        ({"bounds": [[0.0, 1.0], [2.0, -1.0]], "dists": ["unif", "norm"]}, "input 'b': norm takes mean and standard"),
        ({"bounds": [[0.0, 1.0], [0.0, 1.0, 1.5]], "dists": ["unif", "triang"]}, "peak as a share of the width"),
        ({"bounds": [[0.0, 1.0], [-1.0, 1.0]], "dists": ["unif", "logunif"]}, "input 'b': logunif takes"),
    ],
)
def test_errors(change, message):
    problem = {"num_vars": 2, "names": ["a", "b"], "bounds": [[0.0, 1.0], [0.0, 1.0]]} | change
    with pytest.raises(InputError, match=message):
        inputs_from_salib(problem)


def test_inputs_are_public():
    assert isinstance(inputs_from_salib({"names": ["a"], "bounds": [[0.0, 1.0]]}), Inputs)
