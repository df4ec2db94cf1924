"""The shell of an optimisation: checks what was asked, runs the loop, assembles the result."""

import json
import time
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import xarray as xr

from uqkit._typing import PRNGKey
from uqkit.bayesopt.candidates import Acquisition, whole_number
from uqkit.bayesopt.optimisation import Optimisation, restored
from uqkit.bayesopt.recipes import Maker, maker_of
from uqkit.bayesopt.result import assemble
from uqkit.bayesopt.rounds import Loop
from uqkit.bayesopt.sampled import HMCNetwork
from uqkit.bayesopt.search import RandomSearch, Search, SobolSearch
from uqkit.errors import InputError
from uqkit.evaluate import FailurePolicy
from uqkit.keys import as_key
from uqkit.problems import Objective

__all__ = ["checked_loop", "maker_or_search", "optimize", "restore"]


def optimize(
    objective: Objective,
    *,
    surrogate: Any = None,
    acquisition: Acquisition | None = None,
    budget: int,
    n_initial: int | None = None,
    batch_size: int = 1,
    key: PRNGKey,
    failures: FailurePolicy | None = None,
    store: str | Path | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> xr.DataTree:
    """Bayesian optimisation: an initial design, then points where a surrogate expects to gain most.

    One objective is improved by expected improvement, several by expected hypervolume improvement, both within the
    constraints. A failed point counts as bad as the worst that was seen. What was learned so far is not lost if the run
    stops: pass `store`, and the same call goes on; with a larger budget and the same `n_initial`, so does a finished
    run.

    Args:
        objective: What is optimised.
        surrogate: `Surrogate.factory(...)`, BoTorch's `SingleTaskGP` or `ModelListGP`, a function (train_X, train_Y, *,
            key) that gives a fitted BoTorch model of inputs in [0, 1], or `RandomSearch()` or `SobolSearch()`;
            `HMCNetwork.factory()` by default. On smooth functions of few inputs `SingleTaskGP` is hard to beat.
        acquisition: How points are chosen.
        budget: Evaluations in all.
        n_initial: Of them by a scrambled Sobol' sequence; by default twice the number of inputs, and two, up to half of
            the budget or four: it depends on the budget.
        batch_size: Points between two fits, evaluated side by side where an executor is given.
        key: A JAX key or an int; the same key gives the same points.
        failures: What to do about failed points; by default up to half of them may fail.
        store: A SQLite file that keeps every evaluation and every iteration.
        executor: A concurrent.futures executor that runs the points of a batch.
        progress: Whether to show progress on stderr; None shows it only on a terminal.

    Returns:
        A tree with `optimisation` (best value or hypervolume and regret by iteration, the best points), `estimates` and
        `posterior` (what the last surrogate knows of the outputs there), `evaluations` with the prediction that each
        proposal was made with, and `diagnostics` with a verdict.

    Raises:
        InputError: If an argument cannot be used; before any evaluation.
        EvaluationError: If too many points fail or the surrogate cannot be fitted; what is finished is its
            `evaluations`.
        StoreError: If the store is of another run.
        RunInterrupted: On Ctrl-C; finished rows are its `evaluations`, and in the store.
    """
    started = time.perf_counter()
    loop = checked_loop(
        objective,
        maker_or_search(surrogate),
        acquisition=acquisition,
        budget=budget,
        n_initial=n_initial,
        batch_size=batch_size,
        key=key,
        failures=failures,
        store=store,
        executor=executor,
    )
    return assemble(loop, loop.run(progress, with_model=True), time.perf_counter() - started)


def restore(result: xr.DataTree, objective: Objective, *, surrogate: Any = None) -> Optimisation:
    """A finished optimisation to go on with: its surrogate, fitted again, predicts and suggests.

    Args:
        result: Of `optimize`.
        objective: The one it is of.
        surrogate: The recipe it was made with; the default of `optimize` where not given.

    Raises:
        InputError: If the surrogate or the objective is not the one of the result.
    """
    method = json.loads(result.attrs["method"])
    maker = maker_or_search(surrogate)
    if not isinstance(maker, Maker) or maker.description != method.get("settings"):
        mine = maker.description if isinstance(maker, Maker) else repr(maker)
        raise InputError(
            f"the result was made with {method.get('settings')}, `surrogate` is {mine}; pass the recipe it was made "
            "with, of a surrogate."
        )
    return restored(result, objective, maker, method)


def maker_or_search(surrogate: Any) -> Maker | Search:
    """What is passed as `surrogate=`."""
    if isinstance(surrogate, (RandomSearch, SobolSearch)):
        return surrogate
    if surrogate is None:
        return maker_of(HMCNetwork.factory())
    return maker_of(surrogate)


def checked_loop(
    objective: Any,
    maker: Maker | Search,
    *,
    acquisition: Acquisition | None,
    budget: int,
    n_initial: int | None,
    batch_size: int,
    key: PRNGKey,
    failures: FailurePolicy | None,
    **further: Any,
) -> Loop:
    """The loop of arguments that can be used.

    Raises:
        InputError: If one cannot.
    """
    if not isinstance(objective, Objective):
        raise InputError(
            f"the objective is a {type(objective).__name__}; pass uqkit.Objective(forward_model, maximise=...), or "
            'uqkit.load("branin") and its like.'
        )
    for name, value, kind in (("acquisition", acquisition, Acquisition), ("failures", failures, FailurePolicy)):
        if value is not None and not isinstance(value, kind):
            raise InputError(f"`{name}` is {value!r}; pass a uqkit {kind.__name__}(...), or None.")
    # A surrogate needs rows.
    allowed = whole_number("budget", budget, 2)
    if n_initial is None:
        n_initial = min(2 * len(objective.inputs) + 2, max(allowed // 2, 4), allowed)
    n_initial = whole_number("n_initial", n_initial, 2)
    if n_initial > allowed:
        raise InputError(f"`n_initial` is {n_initial} of a budget of {allowed}; pass at most the budget.")
    batch_size = whole_number("batch_size", batch_size, 1)
    return Loop(
        objective=objective,
        maker=maker,
        acquisition=Acquisition() if acquisition is None else acquisition,
        budget=allowed,
        n_initial=n_initial,
        batch_size=batch_size,
        key=as_key(key),
        failures=FailurePolicy(max_failed_share=0.5) if failures is None else failures,
        **further,
    )
