"""A result in the forms that others expect: a data frame, and SALib's dict."""

from types import MethodType
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from uqkit.errors import InputError
from uqkit.results import schema, some_of

__all__ = ["to_dataframe", "to_salib"]


def to_dataframe(result: xr.DataTree, *, interactions: bool = False) -> pd.DataFrame:
    """Estimates with their intervals: indices, one row an output and input (or group), or expectations.

    Args:
        result: What a verb of the workflow returned.
        interactions: Second-order indices, one row an output and pair, instead of first-order and total ones.

    Raises:
        InputError: If the result does not have what is asked for.
    """
    estimates = result[schema.ESTIMATES].to_dataset()
    if schema.EXPECTATION in estimates:
        name = schema.EXPECTATION
        shown = {"expectation": name, "se": schema.standard_error(name)}
        shown |= {"lower": schema.lower(name), "upper": schema.upper(name)}
        return pd.DataFrame({column: estimates[variable].to_series() for column, variable in shown.items()})
    factor = schema.GROUP if schema.GROUP in estimates.dims else schema.INPUT
    if interactions:
        return _pairs(estimates, factor)
    columns = {}
    for short, variable in (("first", schema.SOBOL_FIRST), ("total", schema.SOBOL_TOTAL)):
        if variable in estimates:
            columns[short] = estimates[variable].to_series()
            columns[f"{short} lower"] = estimates[schema.lower(variable)].to_series()
            columns[f"{short} upper"] = estimates[schema.upper(variable)].to_series()
    if not columns:
        raise InputError("the result has second-order indices only; pass interactions=True.")
    frame = pd.DataFrame(columns)
    frame.index = frame.index.set_names([schema.OUTPUT, factor])
    return frame


def to_salib(result: xr.DataTree, output: str | None = None) -> Any:
    """Indices as the object that `SALib.analyze.sobol.analyze` returns: a dict with `to_df()` and `plot()`.

    Args:
        result: With first-order and total indices; with second-order ones, S2 is there too.
        output: Which output; may be left out where there is one.

    Returns:
        S1, S1_conf, ST, ST_conf and S2, S2_conf if present; `_conf` is the half width of the interval.

    Raises:
        InputError: If the output is unknown, or must be named, or an order is missing.
    """
    from SALib.analyze import sobol
    from SALib.util import ResultDict

    estimates = result[schema.ESTIMATES].to_dataset()
    known = [str(label) for label in estimates[schema.OUTPUT].values]
    if output is None and len(known) > 1:
        raise InputError(f"the result has the outputs {some_of(known)}; name one, to_salib(result, output=...).")
    if output is not None and output not in known:
        raise InputError(f"the result has no output {output!r}; it has {some_of(known)}.")
    one = estimates.sel({schema.OUTPUT: output or known[0]})
    missing = [name for name in (schema.SOBOL_FIRST, schema.SOBOL_TOTAL) if name not in one]
    if missing:
        raise InputError(f"the result has no {' and '.join(missing)}, which SALib's dict holds; ask for both orders.")
    indices = ResultDict()
    for short, variable in (("S1", schema.SOBOL_FIRST), ("ST", schema.SOBOL_TOTAL), ("S2", schema.SOBOL_SECOND)):
        if variable not in one:
            continue
        half = (one[schema.upper(variable)] - one[schema.lower(variable)]).values / 2
        values = one[variable].values
        if short == "S2":  # SALib fills the upper triangle only
            lower_triangle = np.tril_indices(len(values))
            values, half = values.copy(), half.copy()
            values[lower_triangle] = half[lower_triangle] = np.nan
        indices[short], indices[f"{short}_conf"] = values, half
    factor = schema.GROUP if schema.GROUP in one.dims else schema.INPUT
    names = [str(name) for name in one[factor].values]
    # SALib attaches both to the instance, and its own methods look for them there.
    vars(indices).update(problem={"num_vars": len(names), "names": names}, to_df=MethodType(sobol.to_df, indices))
    return indices


def _pairs(estimates: xr.Dataset, factor: str) -> pd.DataFrame:
    if schema.SOBOL_SECOND not in estimates:
        raise InputError("the result has no second-order indices; call with order=('first', 'total', 'second').")
    names = [str(name) for name in estimates[factor].values]
    i, j = np.triu_indices(len(names), k=1)
    outputs = [str(label) for label in estimates[schema.OUTPUT].values]
    index = pd.MultiIndex.from_tuples(
        [(output, f"{names[a]} x {names[b]}") for output in outputs for a, b in zip(i, j, strict=True)],
        names=[schema.OUTPUT, "pair"],
    )
    name = schema.SOBOL_SECOND
    shown = {"second": name, "second lower": schema.lower(name), "second upper": schema.upper(name)}
    return pd.DataFrame(
        {column: estimates[variable].values[:, i, j].ravel() for column, variable in shown.items()}, index=index
    )
