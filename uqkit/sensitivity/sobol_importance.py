"""Sobol' indices as expectations: Jansen's forms, none negative, by adaptive importance sampling."""

import dataclasses
import time

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float, Key

from uqkit.errors import InputError
from uqkit.keys import key_label
from uqkit.problems import ForwardModel
from uqkit.results import as_record
from uqkit.sensitivity.campaign import Asker, Campaign
from uqkit.sensitivity.expectations_result import importance_diagnostics
from uqkit.sensitivity.importance import ImportanceMethod, MixtureImportanceSampling, Sampled, Targets
from uqkit.sensitivity.intervals import InfluenceFunction, Statistic
from uqkit.sensitivity.pick_freeze import FIRST, MEAN, TOTAL, VARIANCE, Layout, factor_columns
from uqkit.sensitivity.result import OutputIndices, assemble

__all__ = ["sobol_by_importance"]

_N_DRAWS = 1_000
_FEWEST_DRAWS = 100


def sobol_by_importance(
    problem: ForwardModel,
    method: ImportanceMethod,
    order: tuple[str, ...],
    groups: dict[str, tuple[str, ...]] | None,
    budget: int,
    key: Key[jax.Array, ""],
    asker: Asker,
    probability: float,
) -> xr.DataTree:
    """First-order and total indices from one importance sample of pairs of points.

    With x and x' independent, and y_i the output at x with factor i from x': V T_i = E (y(x) - y_i)^2 / 2,
    V (1 - S_i) = E (y(x') - y_i)^2 / 2 and V = E (y(x) - y(x'))^2 / 2.

    Raises:
        InputError: If the model has several outputs, second order is asked for, or the budget is too small.
    """
    started = time.perf_counter()
    layout = Layout(n_rows=1, blocks=factor_columns(problem.inputs, groups), with_ba=False)
    _check(problem, method, order, budget, layout)
    n_factors = len(layout.blocks)
    forms = [f"total {i}" for i in range(n_factors)] + [f"first {i}" for i in range(n_factors)] + ["variance", "mean"]
    targets = _pair_targets(problem, layout, asker, method, forms)
    # The mean rides along: it is no variance, and its own precision is not what is aimed at.
    weights = (1.0,) * (2 * n_factors + 1) + (0.0,)
    weighted = dataclasses.replace(method, expectation_weights=weights)  # pyright: ignore[reportArgumentType]
    campaign = Campaign(targets, weighted, asker, key, layout.points_per_row, budget)
    sampled = campaign.extend_within(budget, None)
    statistic, where = _statistic(sampled, n_factors, order)
    assessment = InfluenceFunction().assess(statistic, probability, _N_DRAWS, key=jax.random.fold_in(key, 2**30 + 2))
    diagnosis = campaign.diagnosis(sampled)
    diagnostics = importance_diagnostics(campaign, diagnosis, budget, ("function",), (len(forms),), {"function": forms})
    return assemble(
        [OutputIndices.of(statistic, assessment, where, 0.0, 1.0)],
        problem=problem,
        factors=tuple(groups) if groups else problem.inputs.names,
        grouped=groups is not None,
        evaluations=asker.evaluations(),
        diagnostics=diagnostics,
        probability=probability,
        interval_kind="InfluenceFunction",
        method={
            "type": type(method).__name__,
            "sampler": as_record(method),
            "order": list(order),
            "groups": {name: list(members) for name, members in groups.items()} if groups else None,
            "exploration_budget": campaign.exploration_budget,
            "blocks": list(campaign.blocks),
        },
        key_text=key_label(key),
        wall_time=time.perf_counter() - started,
    )


def _check(
    problem: ForwardModel, method: ImportanceMethod, order: tuple[str, ...], budget: int, layout: Layout
) -> None:
    if isinstance(method, MixtureImportanceSampling):
        raise InputError(
            "MixtureImportanceSampling() is for many laws; use AdaptiveImportanceSampling() or PickFreeze()."
        )
    if len(problem.outputs) != 1:
        raise InputError(
            f"{problem.name} has {len(problem.outputs)} outputs, and importance sampling aims at one; use PickFreeze() "
            "for all of them, or a model of one."
        )
    if set(order) - {FIRST, TOTAL}:
        raise InputError("importance sampling gives first-order and total indices; use PickFreeze() for second order.")
    if budget < _FEWEST_DRAWS * layout.points_per_row:
        raise InputError(
            f"`budget` is {budget}; importance sampling needs at least {_FEWEST_DRAWS} draws of "
            f"{layout.points_per_row} evaluations, {_FEWEST_DRAWS * layout.points_per_row}."
        )


def _pair_targets(
    problem: ForwardModel, layout: Layout, asker: Asker, method: ImportanceMethod, forms: list[str]
) -> Targets:
    """Jansen's forms on pairs (x, x') in the product law."""
    inputs, n_inputs, n_factors = problem.inputs, len(problem.inputs), len(layout.blocks)
    coordinates = method.coordinates
    (law,) = coordinates.laws(inputs, None)

    def values(pair: Float[np.ndarray, "draw twice"]) -> Float[np.ndarray, "draw form"]:
        a, b = (coordinates.to_physical(inputs, half) for half in (pair[:, :n_inputs], pair[:, n_inputs:]))
        outputs = asker(dataclasses.replace(layout, n_rows=len(pair)).points(a, b))[:, 0]
        table = outputs.reshape(len(pair), layout.points_per_row)
        y, mixed, other = table[:, :1], table[:, 1 : 1 + n_factors], table[:, -1:]
        return np.concatenate(
            [0.5 * (y - mixed) ** 2, 0.5 * (other - mixed) ** 2, 0.5 * (y - other) ** 2, 0.5 * (y + other)], axis=1
        )

    def log_density(pair: Float[np.ndarray, "draw twice"]) -> Float[np.ndarray, " draw"]:
        return law.log_density(pair[:, :n_inputs]) + law.log_density(pair[:, n_inputs:])

    def from_unit(unit: Float[np.ndarray, "draw twice"]) -> Float[np.ndarray, "draw twice"]:
        return np.concatenate([law.from_unit(unit[:, :n_inputs]), law.from_unit(unit[:, n_inputs:])], axis=1)

    product = type(law)(log_density=log_density, from_unit=from_unit)
    return Targets(values=values, laws=(product,), names=tuple(forms), law_names=None, dim=2 * n_inputs)


def _statistic(sampled: Sampled, n_factors: int, order: tuple[str, ...]) -> tuple[Statistic, dict[str, slice]]:
    """Indices, mean and variance as one function of the means of the residuals."""
    residual = sampled.estimate.residual
    variance = 2 * n_factors

    def function(means: np.ndarray) -> np.ndarray:
        whole = means[..., variance : variance + 1]
        parts = {
            FIRST: 1 - means[..., n_factors:variance] / whole,
            TOTAL: means[..., :n_factors] / whole,
            MEAN: means[..., variance + 1 :],
            VARIANCE: whole,
        }
        return np.concatenate([parts[name] for name in where], axis=-1)

    where: dict[str, slice] = {}
    start = 0
    for name in (*order, MEAN, VARIANCE):
        length = n_factors if name in (FIRST, TOTAL) else 1
        where[name] = slice(start, start + length)
        start += length
    return Statistic(residual, function, np.ones(len(residual), dtype=bool), ()), where
