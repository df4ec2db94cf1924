"""The loop of Bayesian optimisation: fit, propose, evaluate; every finished step kept."""

import dataclasses
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch
from botorch.exceptions.errors import BotorchError, ModelFittingError
from jaxtyping import Float, Key
from linear_operator.utils.errors import NanError, NotPSDError

from uqkit.bayesopt.candidates import Acquisition, modelled, propose, to_physical, to_unit, unrepeated
from uqkit.bayesopt.predictions import Scores, predict
from uqkit.bayesopt.recipes import Maker, seeded
from uqkit.bayesopt.search import Search, initial_points
from uqkit.errors import EvaluationError, RunInterrupted, StoreError
from uqkit.evaluate import Evaluations, FailurePolicy, Journal, evaluate
from uqkit.keys import key_label
from uqkit.problems import Objective
from uqkit.running.chunks import progress_bar

__all__ = ["History", "Loop", "State", "fitted_rows", "name_and_settings"]

_NOT_FITTED = (BotorchError, ModelFittingError, NanError, NotPSDError)


@dataclass(frozen=True)
class State:
    """What was done with the evaluations of one iteration.

    Attributes:
        points: Proposed next, in physical units; none after the last iteration.
        predicted: Of them before they were evaluated: mean, standard deviation, both ends of the 95% interval.
        fit_seconds: Of the surrogate's fit.
        acquisition_seconds: Of choosing the points.
        r_hat: 95% quantile over points of the R-hat of the surrogate's function; NaN where no chains drew it.
        scores: Of the surrogate on held-out values, where there are any.
    """

    points: list[list[float]]
    predicted: list[Any] = field(default_factory=list)
    fit_seconds: float = 0.0
    acquisition_seconds: float = 0.0
    r_hat: float = np.nan
    scores: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """A whole run.

    Attributes:
        evaluations: In order, the initial design first.
        sizes: Evaluations after each iteration.
        states: One an iteration.
        model: Fitted to all evaluations, if that was asked for.
    """

    evaluations: Evaluations
    sizes: list[int]
    states: list[State]
    model: Any = None


@dataclass(frozen=True, kw_only=True)
class Loop:
    """One optimisation: what is solved, how, and where it is kept.

    Attributes:
        objective: What is optimised.
        maker: Of the surrogate; or a search that does without.
        acquisition: How points are chosen.
        budget: Evaluations in all.
        n_initial: Of them by the initial design.
        batch_size: Evaluations between two fits.
        key: Of everything.
        failures: What to do about failed points.
        store: File that keeps evaluations and states.
        executor: Where points are run.
        score: Judges each fitted surrogate on held-out values.
        n_test: Points of them.
        last_fit: Whether the surrogate is fitted to all evaluations in the end, if only to be judged.
    """

    objective: Objective
    maker: Maker | Search
    acquisition: Acquisition
    budget: int
    n_initial: int
    batch_size: int
    key: Key[jax.Array, ""]
    failures: FailurePolicy
    store: str | Path | None = None
    executor: Executor | None = None
    score: Callable[[Any], Scores] | None = None
    n_test: int = 0
    last_fit: bool = True

    def description(self) -> dict[str, Any]:
        """What a store must have been made with to go on from it; the budget may grow."""
        objective = self.objective
        return {
            "problem": objective.name,
            "model_version": objective.forward.version,
            "inputs": list(objective.inputs.names),
            "bounds": objective.bounds.tolist(),
            "surrogate": name_and_settings(self.maker)[1],
            "acquisition": repr(self.acquisition),
            "n_initial": self.n_initial,
            "batch_size": self.batch_size,
            "key": key_label(self.key),
            "maximise": objective.maximise,
            "constraints": {name: list(limits) for name, limits in objective.constraints.items()},
            "reference_point": objective.reference_point,
            "n_test": self.n_test,
        }

    def run(self, progress: bool | None, *, with_model: bool = False) -> History:
        """All iterations, those in the store read from it.

        Args:
            progress: Whether to show a bar on stderr; None shows it only on a terminal.
            with_model: Whether the surrogate of all evaluations is wanted, which no store keeps.

        Raises:
            EvaluationError: If too many points fail, or the surrogate cannot be fitted.
            StoreError: If the store was made with other settings.
            RunInterrupted: On Ctrl-C.
        """
        with Journal(self.store) if self.store is not None else nullcontext() as journal:
            self._check(journal)
            states: list[State] = []
            unit = initial_points(self.objective, self.n_initial, jax.random.fold_in(self.key, 0))
            points, sizes = to_physical(self.objective, unit), [self.n_initial]
            evaluations, model = None, None
            with progress_bar(self.budget, self.objective.name, progress) as bar:
                while True:
                    evaluations = self._evaluated(points, evaluations)
                    bar.update(len(points) - bar.n)
                    number, left = len(states), self.budget - len(points)
                    try:
                        state = self._kept(journal, len(points), left)
                        if state is None or (left == 0 and with_model):
                            made, model = self._state(evaluations, number, min(self.batch_size, left))
                            state = made if state is None else state
                    except RunInterrupted:
                        raise
                    except KeyboardInterrupt:
                        raise RunInterrupted(self._interrupted(evaluations), evaluations) from None
                    except _NOT_FITTED as error:
                        raise EvaluationError(
                            f"the surrogate could not be fitted to {len(points)} evaluations of {self.objective.name}: "
                            f"{type(error).__name__}: {error}. The evaluations are this exception's `evaluations`.",
                            evaluations,
                        ) from error
                    self._keep(journal, len(points), state, left)
                    states.append(state)
                    if not state.points:
                        return History(evaluations, sizes, states, model)
                    points = np.concatenate([points, np.array(state.points)])
                    sizes.append(len(points))

    def _check(self, journal: Journal | None) -> None:
        if journal is None:
            return
        mine, found = self.description(), journal.description("optimisation")
        if found is not None and found != mine:
            other = "; ".join(
                f"{name} was {found.get(name)!r}, is {mine[name]!r}" for name in mine if found.get(name) != mine[name]
            )
            raise StoreError(
                f"store {str(self.store)!r} is of another run: {other}; pass what it was made with to go on, or "
                "another path."
            )
        journal.describe("optimisation", mine)

    def _kept(self, journal: Journal | None, n_points: int, left: int) -> State | None:
        record = journal.description(_label(n_points, left)) if journal is not None else None
        if record is None:
            return None
        state = State(**record)
        # A batch that another budget cut, or that this one cuts, is chosen anew.
        return state if len(state.points) == min(self.batch_size, left) else None

    def _keep(self, journal: Journal | None, n_points: int, state: State, left: int) -> None:
        if journal is not None:
            journal.describe(_label(n_points, left), dataclasses.asdict(state))

    def _evaluated(self, points: Float[np.ndarray, "point input"], known: Evaluations | None) -> Evaluations:
        found = evaluate(
            self.objective.forward,
            points,
            failures=self.failures,
            store=self.store,
            known=known,
            executor=self.executor,
            progress=False,
        )
        if known is None:
            return found
        # What this very run evaluated before was not reused from anywhere.
        n_reused = found.n_reused - len(known.points) + known.n_reused
        return dataclasses.replace(found, n_reused=n_reused, n_run=len(found.points) - n_reused)

    def _state(self, evaluations: Evaluations, number: int, n_next: int) -> tuple[State, Any]:
        """Fit, judge, propose; and the fitted surrogate."""
        key = jax.random.fold_in(self.key, 1 + number)
        if not isinstance(self.maker, Maker):
            if n_next == 0:
                return State(points=[]), None
            # One sequence for the whole run, which the initial design began.
            unit = self.maker.points(self.objective, n_next, len(evaluations.points), jax.random.fold_in(self.key, 0))
            return State(points=to_physical(self.objective, unit).tolist()), None
        if n_next == 0 and not self.last_fit:
            return State(points=[]), None
        fit_key, propose_key = jax.random.split(key)
        inputs, outputs = fitted_rows(self.objective, evaluations)
        started = time.perf_counter()
        targets = torch.from_numpy(outputs[:, modelled(self.objective)].copy())
        with seeded(fit_key):
            model = self.maker.make(torch.from_numpy(inputs), targets, self.objective.categorical, fit_key)
        fitted = time.perf_counter()
        if not hasattr(model, "posterior"):
            raise EvaluationError(
                f"the surrogate {self.maker.name} gave a {type(model).__name__}; its function must return a fitted "
                "BoTorch model, which has a `posterior`. The evaluations are this exception's `evaluations`.",
                evaluations,
            )
        judged = {}
        if self.score is not None:
            scores = self.score(model)
            judged = {name: list(map(float, values)) for name, values in dataclasses.asdict(scores).items()}
        chains = model.chain_diagnosis() if hasattr(model, "chain_diagnosis") else None
        measured = {"r_hat": np.nan if chains is None else float(chains.r_hat_95), "scores": judged}
        if n_next == 0:
            return State(points=[], fit_seconds=fitted - started, **measured), model
        began = time.perf_counter()
        unit = propose(model, self.objective, self.acquisition, inputs, outputs, n_next, propose_key)
        unit = unrepeated(self.objective, unit, evaluations.points, jax.random.fold_in(self.key, 0))
        seconds = time.perf_counter() - began
        state = State(
            points=to_physical(self.objective, unit).tolist(),
            predicted=predict(model, unit).summary().tolist(),
            fit_seconds=fitted - started,
            acquisition_seconds=seconds,
            **measured,
        )
        return state, model

    def _interrupted(self, evaluations: Evaluations) -> str:
        done = f"stopped after {len(evaluations.points)} of {self.budget} evaluations of {self.objective.name}"
        if self.store is None:
            return (
                f"{done}; they are this exception's `evaluations`. With a store (`store=`, --store) a run can resume."
            )
        return f"{done}; they are in {str(self.store)!r}: run the same call again to go on."


def name_and_settings(maker: Maker | Search) -> tuple[str, str]:
    """Name and description of a surrogate or search."""
    return (maker.name, maker.description) if isinstance(maker, Maker) else (type(maker).__name__, repr(maker))


def fitted_rows(
    objective: Objective, evaluations: Evaluations
) -> tuple[Float[np.ndarray, "row input"], Float[np.ndarray, "row output"]]:
    """Unit inputs and outputs that a surrogate learns from.

    A failed point counts as bad as the worst that was seen, so that the search leaves its surroundings: each objective
    at its worst value, each constraint at the value farthest on the wrong side.
    """
    values, ok = evaluations.values.copy(), evaluations.ok
    labels = objective.forward.outputs.labels
    for column, name in enumerate(labels):
        seen = values[ok, column]
        if name in objective.maximise:
            worst = seen.min() if objective.maximise[name] else seen.max()
        elif name in objective.constraints:
            low, high = objective.constraints[name]
            worst = seen[np.argmax(np.maximum(low - seen, seen - high))]
        else:
            continue
        values[~ok, column] = worst
    return to_unit(objective, evaluations.points), values


def _label(n_points: int, left: int) -> str:
    """Of a state in a store: the last one of a budget proposes nothing, and is not that of a larger budget."""
    return f"last after {n_points}" if left == 0 else f"after {n_points}"
