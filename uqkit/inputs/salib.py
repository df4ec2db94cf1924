"""Inputs from a SALib problem: the border where its dictionaries become distributions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from uqkit.errors import InputError
from uqkit.inputs.vector import Inputs

__all__ = ["inputs_from_salib", "is_salib_problem"]


def is_salib_problem(value: object) -> bool:
    """Whether a mapping is a SALib `problem` or `ProblemSpec` rather than a dict of distributions."""
    return isinstance(value, Mapping) and "names" in value and "bounds" in value


def _triangular(lower: float, upper: float, peak: float) -> Any:
    return stats.triang(peak, loc=lower, scale=upper - lower)


def _truncated_normal(lower: float, upper: float, mean: float, sd: float) -> Any:
    return stats.truncnorm((lower - mean) / sd, (upper - mean) / sd, loc=mean, scale=sd)


def _weibull(shape: float, scale: float, location: float = 0.0) -> Any:
    return stats.weibull_min(shape, loc=location, scale=scale)


# SALib's name -> (distribution of its `bounds`, what the bounds mean, how many there may be).
_DISTRIBUTIONS: dict[str, tuple[Callable[..., Any], str, tuple[int, ...]]] = {
    "unif": (lambda low, high: stats.uniform(low, high - low), "lower and upper bound", (2,)),
    "logunif": (stats.loguniform, "lower and upper bound", (2,)),
    "triang": (_triangular, "lower bound, upper bound, and the peak as a share of the width", (3,)),
    "norm": (stats.norm, "mean and standard deviation", (2,)),
    "truncnorm": (_truncated_normal, "lower bound, upper bound, mean and standard deviation", (4,)),
    "lognorm": (lambda mean, sd: stats.lognorm(sd, scale=np.exp(mean)), "mean and sd of the logarithm", (2,)),
    "weibull": (_weibull, "shape, scale and optionally location", (2, 3)),
}


def inputs_from_salib(problem: Mapping[str, Any]) -> Inputs:
    """Inputs from a SALib `problem` dict or `ProblemSpec`; groups are kept.

    Args:
        problem: With `names`, `bounds` (the distribution's parameters where `dists` is given), and optionally
            `dists` and `groups`, in SALib's meaning (its 1.6 documentation).

    Raises:
        InputError: If lengths differ, a distribution is unknown, or its parameters make none.
    """
    names = list(problem["names"])
    bounds = [[float(value) for value in row] for row in problem["bounds"]]
    kinds = list(problem.get("dists") or ["unif"] * len(names))
    groups = problem.get("groups")
    if groups is not None and list(groups) == names:
        groups = None  # ProblemSpec writes every input as a group of its own
    if "num_vars" in problem and problem["num_vars"] != len(names):
        raise InputError(
            f"SALib problem: `num_vars` is {problem['num_vars']} but there are {len(names)} `names`; make them agree."
        )
    for label, entries in (("bounds", bounds), ("dists", kinds), *((("groups", list(groups)),) if groups else ())):
        if len(entries) != len(names):
            raise InputError(
                f"SALib problem: {len(names)} `names` but {len(entries)} `{label}`; give one entry an input, in order."
            )
    distributions = {name: _distribution(name, kind, row) for name, kind, row in zip(names, kinds, bounds, strict=True)}
    if len(distributions) != len(names):
        raise InputError(f"SALib problem: `names` repeats an input: {', '.join(names)}; names must differ.")
    return Inputs(distributions, groups=_members(names, list(groups)) if groups else None)


def _distribution(name: str, kind: str, bounds: Sequence[float]) -> Any:
    if kind not in _DISTRIBUTIONS:
        raise InputError(
            f"SALib problem: input {name!r} has the unknown distribution {kind!r}; "
            f"use one of {', '.join(_DISTRIBUTIONS)}, or pass a dict of scipy.stats distributions."
        )
    make, meaning, lengths = _DISTRIBUTIONS[kind]
    if kind == "triang" and len(bounds) == 2:
        bounds = [0.0, *bounds]  # SALib's older form: the lower bound is 0
    if len(bounds) not in lengths:
        raise InputError(f"SALib problem: input {name!r}: {kind} takes {meaning}, got {list(bounds)}.")
    ordered = bounds[0] < bounds[1] if kind in {"unif", "logunif", "triang", "truncnorm"} else True
    with np.errstate(all="ignore"):
        frozen = make(*bounds) if ordered else None
    if frozen is None or np.isnan(frozen.support()).any():
        raise InputError(f"SALib problem: input {name!r}: {kind} takes {meaning}; {list(bounds)} is not such a law.")
    return frozen


def _members(names: list[str], labels: list[str]) -> dict[str, tuple[str, ...]]:
    """SALib's one label an input as group -> inputs, in order of first appearance."""
    return {
        group: tuple(name for name, label in zip(names, labels, strict=True) if label == group)
        for group in dict.fromkeys(labels)
    }
