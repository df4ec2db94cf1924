"""Networks against Gaussian processes: predictions, regret and hypervolume with common random numbers.

The default network, the problems, budgets and numbers of keys below were fixed before the first run. Every run is kept
in the folder `benchmark-bayesopt`, from which a stopped study goes on.
"""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from botorch.models import ModelListGP, SingleTaskGP
from botorch.test_functions.multi_objective import Penicillin

import uqkit as uq
from tests.benchmarks.comparison import Row, with_interval
from uqkit.bayesopt import (
    DeepKernelGP,
    EnsembleNetwork,
    HMCNetwork,
    InfiniteWidthGP,
    LaplaceNetwork,
    LinearGP,
    compare,
    from_botorch,
)

__all__ = ["rows"]

STORE = Path("benchmark-bayesopt")
NETWORK = "HMCNetwork"
PROCESS = "SingleTaskGP"
SMOOTH = ("hartmann_6", "ackley_10", "michalewicz_5")
NON_STATIONARY = ("gramacy_lee", "warped_sine")
# Lunar lander needs an extra package; a run without it says so in its rows.
OTHERS = (*NON_STATIONARY, "pest_control", "polynomial_200", *(["lunar_lander"] if find_spec("gymnasium") else []))
BUDGET = dict.fromkeys((*SMOOTH, *OTHERS), 60) | {"gramacy_lee": 40, "pest_control": 80, "polynomial_200": 180}
INITIAL = dict.fromkeys(BUDGET, 20) | {"gramacy_lee": 10, "polynomial_200": 100}
BATCH = dict.fromkeys(BUDGET, 4) | {"polynomial_200": 10}
N_KEYS, N_KEYS_PROCESSES, N_KEYS_SEVERAL = 20, 5, 10
N_TRAIN, N_TEST = 60, 400


def rows(long: bool) -> Iterator[Row]:
    """Every claim, as it is measured."""
    keys = range(N_KEYS if long else 4)
    yield from _predictions(keys if long else range(2), SMOOTH if long else SMOOTH[:1])
    yield from _regret(keys, SMOOTH if long else SMOOTH[:1], OTHERS if long else OTHERS[:1])
    if long:
        yield from _high_dimension(range(N_KEYS_PROCESSES))
        yield from _several_objectives(range(N_KEYS_SEVERAL))


def contest(keys: Sequence[int], problems: Sequence[str]) -> xr.DataTree:
    """The default network against the default Gaussian process."""
    surrogates = {NETWORK: HMCNetwork.factory(), PROCESS: SingleTaskGP}
    return study(keys, problems, surrogates)


def study(keys: Sequence[int], problems: Sequence[str], surrogates: dict[str, Any]) -> xr.DataTree:
    """Optimisations of the fixed problems by surrogates."""
    return compare(
        [uq.load(name) for name in problems],
        surrogates,
        budget=BUDGET,
        n_initial=INITIAL,
        batch_size=BATCH,
        keys=keys,
        store=STORE / "regret",
    )


def predictions(keys: Sequence[int], problems: Sequence[str], surrogates: dict[str, Any]) -> xr.DataTree:
    """Fits to Sobol' points alone, judged on others."""
    return compare(
        [uq.load(name) for name in problems],
        surrogates,
        budget=N_TRAIN,
        n_initial=N_TRAIN,
        n_test=N_TEST,
        keys=keys,
        store=STORE / "predictions",
    )


def several_objectives(keys: Sequence[int]) -> xr.DataTree:
    """Hypervolumes of the default network and of BoTorch's process for every output."""
    objectives = [uq.load("branin_currin"), from_botorch(Penicillin())]
    names = [objective.name for objective in objectives]
    return compare(
        objectives,
        {NETWORK: HMCNetwork.factory(), "ModelListGP": ModelListGP},
        budget=dict(zip(names, (40, 60), strict=True)),
        n_initial=dict(zip(names, (12, 20), strict=True)),
        batch_size=4,
        keys=keys,
        store=STORE / "hypervolume",
    )


def _predictions(keys: Sequence[int], smooth: Sequence[str]) -> Iterator[Row]:
    surrogates = {NETWORK: HMCNetwork.factory(), PROCESS: SingleTaskGP}
    found = predictions(keys, (*smooth, *NON_STATIONARY), surrogates)["optimisation"].to_dataset()["crps"]
    log_crps: Any = np.log(found.isel(iteration=0))
    for of, problems, most in ((", ".join(smooth), list(smooth), 1.05), *((p, [p], 1.0) for p in NON_STATIONARY)):
        mean = log_crps.sel(study_problem=problems).mean("study_problem")
        ours, theirs = (mean.sel(surrogate=name).values for name in (NETWORK, PROCESS))
        ratio, interval = with_interval(lambda mine, other: np.exp(mine - other), ours, theirs)
        yield Row(
            what=f"CRPS of {NETWORK}, {of}, n={N_TRAIN} Sobol' points, geometric mean, {len(keys)} keys",
            ours=float(np.exp(ours.mean())),
            theirs=float(np.exp(ours.mean())) / ratio,
            opponent=PROCESS,
            judged="ratio",
            interval=interval,
            at_most=most,
        )


def _regret(keys: Sequence[int], smooth: Sequence[str], others: Sequence[str]) -> Iterator[Row]:
    result = contest(keys, (*smooth, *others))
    estimates, tests = result["estimates"].to_dataset(), result["diagnostics"].to_dataset()
    regret: Any = np.log10(result["optimisation"].to_dataset()["regret"].clip(min=1e-8))
    pair: dict[str, Any] = {"surrogate": NETWORK, "surrogate_other": PROCESS}
    last = _last(result, regret)
    means = last.sel(study_problem=list(smooth)).mean("study_problem")
    difference, interval = with_interval(
        lambda mine, other: mine - other, means.sel(surrogate=NETWORK).values, means.sel(surrogate=PROCESS).values
    )
    budgets = ", ".join(f"{name} at {BUDGET[name]}" for name in smooth)
    yield Row(
        what=f"log10 regret of {NETWORK} less that of {PROCESS}, mean over {budgets} evaluations, {len(keys)} keys",
        ours=difference,
        interval=interval,
        at_most=0.3,
    )
    for name in (*smooth, *others):
        chosen = estimates.sel(study_problem=name, **pair)
        known = np.isfinite(chosen["log_regret_difference"])
        variable = "log_regret_difference" if known else "final_difference"
        p = float(tests["p_value_holm"].sel(study_problem=name, **pair))
        what = "log10 regret" if known else "final value, larger better,"
        yield Row(
            what=f"{what} of {NETWORK} less that of {PROCESS}, {name} at {BUDGET[name]} evaluations, {len(keys)} keys; "
            f"Wilcoxon with Holm p = {p:.2g}",
            ours=float(chosen[variable]),
            interval=(float(chosen[f"{variable}_lower"]), float(chosen[f"{variable}_upper"])),
        )
    verdicts = [str(tests["verdict"].sel(study_problem=name, **pair).item()) for name in others]
    n_better = float(verdicts.count("better"))
    yield Row(
        what=f"problems on which {NETWORK} is better than {PROCESS} (Wilcoxon with Holm, 5%) of {', '.join(others)}, "
        f"{len(keys)} keys",
        ours=n_better,
        interval=(n_better, n_better),
        at_least=2,
    )


def _high_dimension(keys: Sequence[int]) -> Iterator[Row]:
    processes = {
        PROCESS: SingleTaskGP,
        "LinearGP": LinearGP.factory(),
        "InfiniteWidthGP": InfiniteWidthGP.factory(),
        "DeepKernelGP": DeepKernelGP.factory(),
    }
    networks = {
        NETWORK: HMCNetwork.factory(),
        "EnsembleNetwork": EnsembleNetwork.factory(),
        "LaplaceNetwork": LaplaceNetwork.factory(),
    }
    found = study(keys, ("polynomial_200",), processes | networks)["optimisation"].to_dataset()["best_value"]
    for label in (*processes, *networks, "RandomSearch", "SobolSearch"):
        values = found.sel(surrogate=label).isel(study_problem=0, iteration=-1).values
        best, interval = with_interval(lambda value: value, values)
        yield Row(
            what=f"best value of the 200-d polynomial after 100 + 80 evaluations, {label}, {len(keys)} keys",
            ours=best,
            interval=interval,
            at_least=60 if label in processes else -np.inf,
        )


def _several_objectives(keys: Sequence[int]) -> Iterator[Row]:
    result = several_objectives(keys)
    last = _last(result, result["optimisation"].to_dataset()["hypervolume"])
    for name in last["study_problem"].values:
        ours, theirs = (last.sel(study_problem=name, surrogate=label).values for label in (NETWORK, "ModelListGP"))
        ratio, interval = with_interval(lambda mine, other: mine / other, ours, theirs)
        yield Row(
            what=f"hypervolume of {NETWORK}, {name}, {len(keys)} keys",
            ours=float(ours.mean()),
            theirs=float(ours.mean()) / ratio,
            opponent="ModelListGP",
            judged="ratio",
            interval=interval,
            at_least=0.97,
        )


def _last(result: xr.DataTree, values: Any) -> Any:
    """Of each run; shorter ones end in NaN, and one without a feasible point is NaN to its end."""
    sizes = result["optimisation"].to_dataset()["n_evaluations_so_far"]
    return values.isel(iteration=sizes.notnull().sum("iteration") - 1)
