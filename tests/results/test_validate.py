"""Every fault of a result is found and named, all at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from uqkit import StoreError
from uqkit.results import Provenance, build, validate

PROVENANCE = Provenance(workflow="w", problem="p", method={}, key="0", n_model_evaluations=1, wall_time=0.1)
LABELS = {"units": "1", "long_name": "made for the test"}


def tree(name="sobol_first", values=None, dims=("input",), attrs=LABELS, group="estimates"):
    values = np.array([0.1, 0.2]) if values is None else values
    made = build({}, PROVENANCE)
    made[group] = xr.Dataset({name: (dims, values, attrs)})
    return made


def test_a_right_one_passes():
    validate(tree())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"attrs": {"long_name": "x"}}, "estimates/sobol_first has no units"),
        ({"attrs": {"units": "1"}}, "estimates/sobol_first has no long_name"),
        ({"values": np.array([True, False])}, "estimates/sobol_first is a ndarray of bool, which files do not keep"),
        ({"values": np.array([1j, 2.0])}, "estimates/sobol_first is a ndarray of complex128"),
        ({"name": "sobol_frist"}, "estimates/sobol_frist is no name of the schema"),
        ({"dims": ("inputs",)}, "estimates/sobol_first has the unknown dimension 'inputs'"),
        ({"group": "estimate"}, "group 'estimate' is unknown"),
    ],
)
def test_each_fault_is_named(change, fault):
    with pytest.raises(StoreError) as caught:
        validate(tree(**change))
    assert fault in str(caught.value)


def test_a_jax_array():
    made = tree()
    made["estimates"] = xr.Dataset({"sobol_first": xr.Variable("input", jnp.arange(2.0), LABELS, fastpath=True)})
    assert isinstance(made["estimates"]["sobol_first"].variable.data, jax.Array)
    with pytest.raises(StoreError, match="estimates/sobol_first is a ArrayImpl of float32"):
        validate(made)


def test_root_attributes():
    made = tree()
    del made.attrs["key"]
    made.attrs["method"] = {"a": 1}
    with pytest.raises(StoreError, match="root attribute 'method' is a dict, no text or number; .*'key' is missing"):
        validate(made)


def test_all_faults_are_listed():
    made = tree(name="sobol_frist", attrs={}, dims=("inputs",))
    made.attrs = {"workflow": "sensitivity"}
    with pytest.raises(StoreError) as caught:
        validate(made)
    assert str(caught.value).count(";") == 9
    for word in ("wall_time_seconds", "sobol_frist", "no units", "no long_name", "'inputs'"):
        assert word in str(caught.value)


def test_errors_and_interval_ends_belong_to_an_estimate():
    for suffix in ("_se", "_lower", "_upper"):
        validate(tree(name=f"sobol_total{suffix}"))
    with pytest.raises(StoreError, match="sobol_total_sd is no name"):
        validate(tree(name="sobol_total_sd"))
