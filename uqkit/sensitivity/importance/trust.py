"""Is the answer to be trusted? Effective sizes, tail indices in both directions, z-scores of every known mean.

Draws of the proposal g cannot show the mass that g misses, so the Pareto k of the weights under g is not enough. Two
checks see it: every known mean (that of f / g, of each control) with its z-score, and the ratios f / g at fresh draws
of the law itself, which call no function: E_f[f / g] = E_g[(f / g)^2] must be finite, so their Pareto k stays below 1.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp
from scipy.stats import norm

from uqkit.sensitivity.importance.method import Exploration, Sampled
from uqkit.sensitivity.importance.proposals import LARGEST_LOG_RATIO, clipped_exp, law_points
from uqkit.sensitivity.importance.targets import Targets
from uqkit.stats import effective_sample_size, pareto_tail_index

__all__ = ["Diagnosis", "diagnose"]

# Pareto k from which a mean converges too slowly to be used, and from which there is none.
_TAIL_WARN, _TAIL_FAIL = 0.7, 1.0
_DRAWS_WARN, _DRAWS_FAIL = 100.0, 10.0
# A right sampler warns of its known means once in a thousand runs, however many there are.
_FAMILY_WISE_ERROR = 1e-3


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The checks and what they say.

    Attributes:
        effective_draws: Of |phi| f / g for every expectation; 0 where no draw hit.
        tail_index: Pareto k of |phi| f / g under g.
        law_tail_index: Pareto k of f / g under f; -inf where the nominal law's share bounds f / g.
        law_z: Of mean(f / g) - 1, every law.
        control_z: Of the mean of every control.
        verdict: "ok", "warn" or "fail": the worst check.
        text: A sentence for each check that did not pass.
    """

    effective_draws: Float[np.ndarray, " expectation"]
    tail_index: Float[np.ndarray, " expectation"]
    law_tail_index: float
    law_z: Float[np.ndarray, " law"]
    control_z: Float[np.ndarray, " control"]
    verdict: str
    text: str


def diagnose(
    targets: Targets, exploration: Exploration, sampled: Sampled, rng: np.random.Generator, n_law_draws: int = 20_000
) -> Diagnosis:
    """All checks of one sample; `n_law_draws` fresh draws of the laws call no function."""
    magnitude = np.abs(sampled.ratio)
    with np.errstate(divide="ignore"):
        effective = np.array([effective_sample_size(column) for column in np.log(magnitude).T])
    tail = np.array([pareto_tail_index(column) for column in magnitude.T])
    law_tail = _law_tail_index(targets, exploration, rng, n_law_draws)
    law_z = _z_scores(clipped_exp(sampled.draws.log_law - sampled.log_proposal[:, None]) - 1.0)
    control_z = _z_scores(sampled.control)
    limit = float(norm.isf(_FAMILY_WISE_ERROR / 2 / (len(law_z) + len(control_z))))
    z = float(np.abs(np.concatenate([law_z, control_z])).max())
    fewest, heaviest = int(effective.argmin()), int(tail.argmax())
    findings = [
        _below(
            f"effective draws that carry {targets.name(fewest)}", float(effective[fewest]), _DRAWS_WARN, _DRAWS_FAIL
        ),
        _above(
            f"Pareto k of phi f/g for {targets.name(heaviest)}",
            float(tail[heaviest]),
            _TAIL_WARN,
            _TAIL_FAIL,
            "a few draws dominate: raise the budget, or the share of the law itself",
        ),
        _above(
            "Pareto k of f/g under the law itself",
            law_tail,
            _TAIL_WARN,
            _TAIL_FAIL,
            "the proposal's tails are lighter than the law's: give the law a defensive share or use StudentT()",
        ),
        _above("z-score of a known mean", z, limit, 2 * limit, "the proposal misses mass: raise the budget"),
    ]
    if exploration.scarce.any():
        first = targets.name(int(np.flatnonzero(exploration.scarce)[0]))
        others = int(exploration.scarce.sum()) - 1
        more = f" and {others} more" if others else ""
        findings.append(("warn", f"too few exploration draws carried {first}{more}: raise the budget"))
    levels = [level for level, _ in findings]
    verdict = "fail" if "fail" in levels else "warn" if "warn" in levels else "ok"
    return Diagnosis(
        effective_draws=effective,
        tail_index=tail,
        law_tail_index=law_tail,
        law_z=law_z,
        control_z=control_z,
        verdict=verdict,
        text="; ".join(text for level, text in findings if level != "ok") or "every check passed",
    )


def _above(name: str, value: float, warn: float, fail: float, advice: str) -> tuple[str, str]:
    level = "fail" if value > fail else "warn" if value > warn else "ok"
    return level, f"{name} is {value:.3g} (warns at {warn:.3g}, fails at {fail:.3g}): {advice}"


def _below(name: str, value: float, warn: float, fail: float) -> tuple[str, str]:
    level = "fail" if value < fail else "warn" if value < warn else "ok"
    return level, f"{name} are {value:.3g} (warns at {warn:.3g}, fails at {fail:.3g}): raise the budget"


def _law_tail_index(targets: Targets, exploration: Exploration, rng: np.random.Generator, n_draws: int) -> float:
    """Pareto k of f / g at draws of the nominal law; -inf when g holds it, or is a mixture of the laws themselves."""
    proposal = exploration.proposal
    if proposal.stack is None or proposal.share[-1] > 0:
        return -np.inf
    per_law = max(n_draws // len(targets.laws), 1)
    x = np.concatenate([law_points(targets, law, per_law, rng) for law in range(len(targets.laws))])
    log_law = np.column_stack([law.log_density(x) for law in targets.laws])
    log_nominal = np.asarray(logsumexp(log_law, axis=1)) - np.log(len(targets.laws))
    log_ratio = log_nominal - proposal.log_density(x, log_nominal)
    # Scaled by where the tail starts: under light-tailed proposals the largest is beyond what exp can hold.
    scaled = np.clip(log_ratio - np.quantile(log_ratio, 0.95), -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
    return pareto_tail_index(np.exp(scaled))


def _z_scores(values: Float[np.ndarray, "draw column"]) -> Float[np.ndarray, " column"]:
    """Mean over standard error of each column whose mean is known to be zero; constant columns get 0."""
    mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
    negligible = spread <= 1e-12 * np.maximum(np.abs(values).max(axis=0), 1.0)
    return np.where(negligible, 0.0, mean / np.where(negligible, 1.0, spread))
