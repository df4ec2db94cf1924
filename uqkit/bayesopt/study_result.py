"""A study of surrogates as a labelled result: traces, scores, paired differences, ranks."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float, Int, Key
from scipy.stats import rankdata

from uqkit.bayesopt.result import best_so_far, regret_of
from uqkit.bayesopt.rounds import State
from uqkit.keys import key_label
from uqkit.problems import Objective
from uqkit.results import Provenance, build, schema
from uqkit.stats import friedman, holm, paired_difference, wilcoxon_signed_rank

__all__ = ["Cell", "assemble_study"]

_LEVEL = 0.05
# Regrets below count as this: their logarithms would decide everything.
_LEAST_REGRET = 1e-8
_CELL = (schema.STUDY_PROBLEM, schema.SURROGATE, schema.REPLICATE, schema.ITERATION)
_PAIR = (schema.STUDY_PROBLEM, schema.SURROGATE, schema.SURROGATE_OTHER)
_SCORES = {
    schema.CRPS: "continuous ranked probability score on the test points, in standard deviations of the test values",
    schema.LOG_SCORE: "negative log predictive density on the test points, standardised by the test values, in nats",
    schema.COVERAGE: "share of test values in central 90% intervals",
    schema.RMSE: "root mean squared error of the mean on the test points, in standard deviations of the test values",
}


@dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
        values: All outputs, in order.
        sizes: Evaluations after each iteration.
        states: What was done in each.
    """

    values: Float[np.ndarray, "point output"]
    sizes: list[int]
    states: list[State]


def assemble_study(
    cells: Mapping[tuple[str, str, int], Cell],
    *,
    problems: Mapping[str, Objective],
    surrogates: Mapping[str, bool],
    keys: list[str],
    settings: Mapping[str, Any],
    key: Key[jax.Array, ""],
    n_test_evaluations: int,
    wall_time: float,
) -> xr.DataTree:
    """The result of `compare`.

    Args:
        cells: (problem, surrogate, replicate) -> run.
        problems: What was optimised.
        surrogates: Name -> whether it is one; the others are searches.
        keys: Label of each replicate's key.
        settings: Of the study.
        key: Of the bootstrap.
        n_test_evaluations: Of points that surrogates were judged on, beside those of the runs.
        wall_time: From call to result, in seconds.
    """
    n_iterations = max(len(cell.sizes) for cell in cells.values())
    coords = {
        schema.STUDY_PROBLEM: list(problems),
        schema.SURROGATE: list(surrogates),
        schema.REPLICATE: np.arange(len(keys)),
        "replicate_key": (schema.REPLICATE, keys),
        schema.ITERATION: np.arange(n_iterations),
    }
    shape = (len(problems), len(surrogates), len(keys), n_iterations)
    index = {
        (problem, label, replicate): (i, j, replicate)
        for i, problem in enumerate(problems)
        for j, label in enumerate(surrogates)
        for replicate in range(len(keys))
    }
    table: dict[str, np.ndarray] = {}

    def put(name: str, place: tuple[int, int, int], values: Any) -> None:
        row = table.setdefault(name, np.full(shape, np.nan))[place]
        row[: len(values)] = values

    utility, n_failed = np.full(shape[:3], np.nan), np.zeros(shape[:3], dtype=np.int64)
    for where, cell in cells.items():
        place, objective = index[where], problems[where[0]]
        n_failed[place] = (~np.isfinite(cell.values).all(axis=1)).sum()
        best = best_so_far(objective, cell.values, cell.sizes)
        several = len(objective.maximise) > 1
        put(schema.HYPERVOLUME if several else schema.BEST_VALUE, place, best)
        regret = regret_of(objective, best)
        if regret is not None:
            put(schema.REGRET, place, regret)
        put(schema.N_EVALUATIONS_SO_FAR, place, cell.sizes)
        for name in _SCORES:
            put(name, place, [np.mean(state.scores[name]) if state.scores else np.nan for state in cell.states])
        for name, attribute in (
            (schema.FIT_SECONDS, "fit_seconds"),
            (schema.ACQUISITION_SECONDS, "acquisition_seconds"),
            (schema.R_HAT_95, "r_hat"),
        ):
            put(name, place, [getattr(state, attribute) for state in cell.states])
        # Without a feasible point, worse than all.
        utility[place] = -np.inf if np.isnan(best[-1]) else best[-1] * (1.0 if several else objective.signs[0])
    compared = _Compared(table, utility, list(problems), surrogates, key, n_failed)
    groups = {
        schema.ESTIMATES: compared.estimates(),
        schema.OPTIMISATION: _traces(table, coords),
        schema.DIAGNOSTICS: compared.tests()
        .merge(_costs(table, coords))
        .assign({schema.N_FAILED: _failures(n_failed)}),
    }
    n_evaluations = sum(len(cell.values) for cell in cells.values()) + n_test_evaluations
    provenance = Provenance(
        workflow="bayesopt",
        problem=", ".join(problems),
        method={"study": dict(settings)},
        key=key_label(key),
        n_model_evaluations=n_evaluations,
        wall_time=wall_time,
    )
    return build(groups, provenance)


def _traces(table: Mapping[str, np.ndarray], coords: Mapping[str, Any]) -> xr.Dataset:
    meaning = {
        schema.N_EVALUATIONS_SO_FAR: "evaluations after the iteration",
        schema.BEST_VALUE: "best feasible value so far, in the problem's own unit",
        schema.HYPERVOLUME: "hypervolume so far",
        schema.REGRET: "distance from the best value known, in the problem's own unit",
        **_SCORES,
    }
    variables = {
        name: (_CELL, table[name], {"units": "1", "long_name": text}) for name, text in meaning.items() if name in table
    }
    return xr.Dataset(variables, coords)


def _failures(n_failed: Int[np.ndarray, "problem surrogate replicate"]) -> xr.Variable:
    attributes = {"units": "1", "long_name": "evaluations without a finite output"}
    return xr.Variable(_CELL[:3], n_failed, attributes)


def _costs(table: Mapping[str, np.ndarray], coords: Mapping[str, Any]) -> xr.Dataset:
    meaning = {
        schema.FIT_SECONDS: ("s", "time of the surrogate's fit"),
        schema.ACQUISITION_SECONDS: ("s", "time of choosing the next points"),
        schema.R_HAT_95: ("1", "95% quantile over points of the R-hat of the surrogate's function"),
    }
    return xr.Dataset(
        {name: (_CELL, table[name], {"units": unit, "long_name": text}) for name, (unit, text) in meaning.items()},
        coords,
    )


class _Compared:
    """Pairs of surrogates on each problem, and ranks over all of them."""

    def __init__(
        self,
        table: Mapping[str, np.ndarray],
        utility: Float[np.ndarray, "problem surrogate replicate"],
        problems: list[str],
        surrogates: Mapping[str, bool],
        key: Key[jax.Array, ""],
        n_failed: Int[np.ndarray, "problem surrogate replicate"],
    ) -> None:
        self.n_failed = n_failed
        self.utility, self.problems, self.labels, self.key = utility, problems, list(surrogates), key
        self.are_surrogates = list(surrogates.values())
        self.log_regret = self._last_log(table.get(schema.REGRET), _LEAST_REGRET)
        self.log_crps = self._last_log(table[schema.CRPS], 0.0)
        self.n_replicates = utility.shape[2]

    @staticmethod
    def _last_log(values: np.ndarray | None, least: float) -> np.ndarray | None:
        """Logarithm to base 10 of the last number of each run."""
        if values is None or np.isnan(values).all():
            return None
        last = np.full(values.shape[:3], np.nan)
        for place in np.ndindex(*last.shape):
            finite = values[place][np.isfinite(values[place])]
            last[place] = np.log10(max(finite[-1], least)) if len(finite) else np.nan
        return last

    def coords(self) -> dict[str, Any]:
        """Of pairs."""
        return {
            schema.STUDY_PROBLEM: self.problems,
            schema.SURROGATE: self.labels,
            schema.SURROGATE_OTHER: self.labels,
        }

    def estimates(self) -> xr.Dataset:
        """Mean paired differences with intervals, where there are two replicates."""
        variables: dict[str, Any] = {}
        for name, values, text in (
            (schema.FINAL_DIFFERENCE, self.utility, "final value, larger better, of the first less that of the other"),
            (schema.LOG_REGRET_DIFFERENCE, self.log_regret, "log10 of the final regret, of the first less the other's"),
            (
                schema.LOG_CRPS_DIFFERENCE,
                self.log_crps,
                "log10 of the CRPS on test points, of the first less the other's",
            ),
        ):
            if values is None:
                continue
            found = np.full((4, len(self.problems), len(self.labels), len(self.labels)), np.nan)
            for i, j, k in self._pairs():
                both = values[i, [j, k]]
                if self.n_replicates > 1 and np.isfinite(both).all():
                    pair = paired_difference(*both, key=self.key)
                    entries = np.array([pair.mean, pair.standard_error, pair.lower, pair.upper])
                    found[:, i, j, k] = entries
                    found[:, i, k, j] = -entries[[0, 1, 3, 2]] * [1, -1, 1, 1]
            names = (name, schema.standard_error(name), schema.lower(name), schema.upper(name))
            attributes = {"units": "1", "long_name": f"mean over replicates: {text}"}
            interval = {schema.PROBABILITY: 0.95, schema.INTERVAL_KIND: "of the mean of paired differences"}
            for each, entries in zip(names, found, strict=True):
                variables[each] = (_PAIR, entries, attributes | interval)
        return xr.Dataset(variables, self.coords())

    def tests(self) -> xr.Dataset:
        """P-values of pairs, mean ranks over problems, and what may be said."""
        p = np.full((len(self.problems), len(self.labels), len(self.labels)), np.nan)
        sign = np.zeros(p.shape, dtype=int)
        for i, j, k in self._pairs():
            first, other = self.utility[i, j], self.utility[i, k]
            alike = first == other
            # Equal where neither has a feasible point.
            difference = np.subtract(first, other, out=np.zeros(len(first)), where=~alike)
            test = wilcoxon_signed_rank(difference)
            p[i, j, k] = test.p_value
            sign[i, j, k], sign[i, k, j] = test.sign, -test.sign
        between = np.array(self.are_surrogates)
        tested = np.where(between[:, None] | between[None, :], p, np.nan)
        adjusted = holm(tested)
        for one in (p, adjusted):
            one[:] = np.fmax(one, one.transpose(0, 2, 1))
        verdict = np.full(p.shape, "", dtype=object)
        for i, j, k in itertools.product(*map(range, p.shape)):
            if j != k:
                verdict[i, j, k] = _verdict(adjusted[i, j, k], int(sign[i, j, k]))
        variables: dict[str, Any] = {
            schema.P_VALUE: (_PAIR, p, {"units": "1", "long_name": "Wilcoxon's signed-rank test of final values"}),
            schema.P_VALUE_HOLM: (
                _PAIR,
                adjusted,
                {"units": "1", "long_name": "the same after Holm's correction for all pairs and problems"},
            ),
            schema.VERDICT: (_PAIR, verdict.astype(str), {"units": "1", "long_name": "what may be said of the pair"}),
        }
        mean_rank = np.full(len(self.labels), np.nan)
        p_ranks = critical = np.nan
        if len(self.problems) > 1 and len(self.labels) > 2:
            # A problem counts once, however many replicates it has.
            place = rankdata(-self.utility, axis=1).mean(axis=2)
            ranks = friedman(place)
            mean_rank, p_ranks, critical = ranks.mean_rank, ranks.p_value, ranks.critical_difference
        variables[schema.MEAN_RANK] = (
            (schema.SURROGATE,),
            mean_rank,
            {"units": "1", "long_name": "mean over problems of the rank, 1 the best"},
        )
        for name, value, text in (
            (
                schema.FRIEDMAN_P_VALUE,
                p_ranks,
                "Friedman's test that all have the same rank: counted where it can be, else Iman and Davenport's form",
            ),
            (schema.CRITICAL_DIFFERENCE, critical, "Nemenyi's critical difference of mean ranks at 5%"),
        ):
            variables[name] = ((), value, {"units": "1", "long_name": text})
        variables[schema.VERDICT_TEXT] = (
            (),
            self._text(adjusted, sign),
            {"units": "1", "long_name": "what may be said"},
        )
        return xr.Dataset(variables, self.coords())

    def _pairs(self) -> list[tuple[int, int, int]]:
        return [
            (i, j, k) for i in range(len(self.problems)) for j, k in itertools.combinations(range(len(self.labels)), 2)
        ]

    def _text(
        self,
        adjusted: Float[np.ndarray, "problem surrogate surrogate_other"],
        sign: Int[np.ndarray, "problem surrogate surrogate_other"],
    ) -> str:
        """A sentence for every pair of surrogates, over the problems."""
        said = []
        if self.n_failed.any():
            most = np.unravel_index(self.n_failed.argmax(), self.n_failed.shape)
            said.append(
                f"{self.n_failed.sum()} evaluations failed and were taken for as bad as the worst of their run, at "
                f"most {self.n_failed.max()} in one: {self.labels[most[1]]} on {self.problems[most[0]]}."
            )
        # Holm's first step multiplies by the number of pairs that are tested.
        n_tests = int(np.isfinite(adjusted).sum()) // 2
        least = min(1.0, n_tests * 2.0 ** (1 - self.n_replicates))
        if least >= _LEVEL:
            said.append(
                f"{self.n_replicates} replicates cannot tell any two apart (the least p-value of {n_tests} tests, "
                f"corrected, is {least:.2g}); take at least {int(1 + np.log2(n_tests / _LEVEL)) + 1}."
            )
        chosen = [j for j, is_one in enumerate(self.are_surrogates) if is_one]
        for j, k in itertools.combinations(chosen, 2):
            verdicts = {name: _verdict(adjusted[i, j, k], int(sign[i, j, k])) for i, name in enumerate(self.problems)}
            parts = [
                f"{word} on {', '.join(name for name, verdict in verdicts.items() if verdict == word)}"
                for word in ("better", "worse", "not told apart")
                if word in verdicts.values()
            ]
            said.append(f"{self.labels[j]} against {self.labels[k]}: {'; '.join(parts)}.")
        return " ".join(said)


def _verdict(p: float, sign: int) -> str:
    """What may be said of a pair.

    Args:
        p: Of the test, corrected; NaN where there was none.
        sign: 1 where the ranks speak for the first. The median difference may be zero where a test decides.
    """
    if np.isnan(p):
        return "not tested"
    if p >= _LEVEL:
        return "not told apart"
    return "better" if sign > 0 else "worse"
