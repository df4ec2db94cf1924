"""Results on disk: netCDF or Zarr by the suffix, complete or not there at all."""

import os
import shutil
import uuid
from pathlib import Path

import xarray as xr

from uqkit.errors import InputError, StoreError
from uqkit.results.validate import validate

__all__ = ["check_path", "load", "save"]

_NETCDF, _ZARR = (".nc", ".nc4", ".netcdf"), (".zarr",)


def check_path(path: str | Path) -> Path:
    """The path, if a result can be written there.

    Raises:
        InputError: If the suffix is neither netCDF's nor Zarr's, or the folder does not exist.
    """
    path = Path(path)
    if path.suffix not in _NETCDF + _ZARR:
        raise InputError(f"{str(path)!r} has no known suffix; end it in .nc (netCDF) or .zarr (Zarr).")
    if not path.absolute().parent.is_dir():
        raise InputError(f"the folder {str(path.absolute().parent)!r} does not exist; create it first.")
    return path


def save(result: xr.DataTree, path: str | Path) -> Path:
    """Write a result, replacing the file only when the new one is complete.

    Args:
        result: What a uqkit verb returned.
        path: Ending in .nc (netCDF 4) or .zarr (Zarr 3).

    Returns:
        The path written.

    Raises:
        InputError: If the suffix is unknown or the folder missing.
    """
    path = check_path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{path.suffix}")
    try:
        if path.suffix in _ZARR:
            result.to_zarr(temporary, consolidated=False)
            if path.exists():
                shutil.rmtree(path)
        else:
            result.to_netcdf(temporary, engine="h5netcdf")
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)
    return path


def load(path: str | Path) -> xr.DataTree:
    """Read a saved result into memory; the file is closed again.

    Raises:
        StoreError: If there is no such file, it cannot be read, or it is no uqkit result.
    """
    path = Path(path)
    if not path.exists():
        raise StoreError(f"no result at {str(path)!r}; check the name.")
    try:
        if path.suffix in _ZARR:
            opened = xr.open_datatree(path, engine="zarr", consolidated=False)
        else:
            opened = xr.open_datatree(path, engine="h5netcdf")
    except (OSError, ValueError, KeyError) as error:
        hint = " A store of evaluations is resumed, not shown: `uqkit resume`." if "sqlite" in path.suffix else ""
        raise StoreError(f"{str(path)!r} is no readable netCDF or Zarr file: {error}.{hint}") from error
    with opened:
        result = opened.load().copy(deep=True)
    validate(result)
    return result
