"""Results on disk: the same after a round trip, and either complete or not there."""

import json

import numpy as np
import pytest
import xarray as xr

from uqkit import InputError, StoreError
from uqkit.results import Provenance, build, load, save, schema

PROVENANCE = Provenance(
    workflow="sensitivity",
    problem="test",
    method={"name": "by hand", "nested": {"share": 0.5, "on": True, "none": None}},
    key="threefry2x32[0, 1]",
    n_model_evaluations=12,
    wall_time=0.25,
)


def variable(dims, values, units="1"):
    return (dims, values, {"units": units, "long_name": "made for the test"})


def result(seed=0):
    generator = np.random.default_rng(seed)
    inputs = {"input": ["a", "b"], "output": ["y", "z µ"]}
    estimates = xr.Dataset(
        {
            "sobol_first": variable(("input", "output"), generator.random((2, 2))),
            "sobol_first_se": variable(("input", "output"), np.array([[0.1, np.nan], [np.inf, 0.0]])),
        },
        coords=inputs,
    )
    evaluations = xr.Dataset(
        {
            "input_value": variable(("point", "input"), generator.random((5, 2)), "m"),
            "status": variable(("point",), np.array([0, 1, 0, 2, 0], dtype=np.int8)),
            "failure_message": variable(("failure",), np.array(["no convergence", "ünd µ"])),
        },
        coords={"input": inputs["input"]},
    )
    return build({schema.ESTIMATES: estimates, schema.EVALUATIONS: evaluations}, PROVENANCE)


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("suffix", [".nc", ".nc4", ".zarr"])
def test_round_trip(tmp_path, suffix):
    tree = result()
    path = tmp_path / f"result{suffix}"
    assert save(tree, path) == path
    assert names(tmp_path) == [path.name]
    loaded = load(path)
    for group in tree.children:
        xr.testing.assert_identical(loaded[group].to_dataset(), tree[group].to_dataset())
        for name, kept in tree[group].data_vars.items():
            if kept.dtype.kind != "U":
                assert loaded[group][str(name)].dtype == kept.dtype
    assert loaded.attrs == tree.attrs
    assert json.loads(loaded.attrs[schema.METHOD]) == PROVENANCE.method


def test_netcdf_and_zarr_hold_the_same(tmp_path):
    one, other = load(save(result(), tmp_path / "a.nc")), load(save(result(), tmp_path / "a.zarr"))
    xr.testing.assert_identical(one, other)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_loaded_result_is_in_memory_and_may_be_saved_over_its_file(tmp_path, suffix):
    path = save(result(), tmp_path / f"result{suffix}")
    save(load(path), path)
    xr.testing.assert_identical(load(path), load(save(result(), tmp_path / f"again{suffix}")))


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_new_result_replaces_the_old(tmp_path, suffix):
    path = save(result(), tmp_path / f"result{suffix}")
    save(result(seed=1), path)
    np.testing.assert_array_equal(
        load(path)["estimates"]["sobol_first"].values, result(seed=1)["estimates"]["sobol_first"].values
    )
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, suffix):
    path = save(result(), tmp_path / f"result{suffix}")
    before = load(path)
    broken = result(seed=1)
    # Late in the tree, so that something is written before it fails.
    broken["evaluations"]["status"] = ("point", np.array([{}, object(), 1, 2, 3], dtype=object))
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the library raises
        save(broken, path)
    assert names(tmp_path) == [path.name]
    xr.testing.assert_identical(load(path), before)


def test_an_unknown_suffix(tmp_path):
    with pytest.raises(InputError, match=r"result.hdf' has no known suffix; end it in .nc \(netCDF\) or .zarr"):
        save(result(), tmp_path / "result.hdf")
    assert names(tmp_path) == []


def test_a_missing_folder(tmp_path):
    with pytest.raises(InputError, match="the folder .*missing' does not exist; create it first"):
        save(result(), tmp_path / "missing" / "result.nc")


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_missing_file(tmp_path, suffix):
    with pytest.raises(StoreError, match="no result at .*none"):
        load(tmp_path / f"none{suffix}")


def test_a_foreign_netcdf(tmp_path):
    path = tmp_path / "foreign.nc"
    xr.Dataset({"temperature": ("time", np.arange(3.0))}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(StoreError, match="not a uqkit result: it has no root attribute `workflow`"):
        load(path)


def test_what_is_no_netcdf_or_zarr(tmp_path):
    path = tmp_path / "text.nc"
    path.write_text("no netCDF")
    with pytest.raises(StoreError, match="text.nc' is no readable netCDF or Zarr file"):
        load(path)
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(StoreError, match="empty.zarr' is no readable netCDF or Zarr file"):
        load(tmp_path / "empty.zarr")
