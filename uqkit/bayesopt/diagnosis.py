"""How far a surrogate can be trusted, on its own training rows: agreement of chains, calibration, accuracy."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats as scipy_stats

from uqkit.bayesopt.held_out import HeldOut
from uqkit.errors import UqkitWarning
from uqkit.stats import gaussian_mixture_cdf, gaussian_mixture_crps, gaussian_mixture_log_score

__all__ = ["ChainDiagnosis", "Diagnosis", "diagnosis_of"]

LEVELS = (0.5, 0.9)
# Of functions at points: a looser limit than for parameters, at which chains differ by less than half of their spread.
_LARGEST_R_HAT = 1.1
_WEIGHT_NORM_BAND = 0.1
# That a calibrated surrogate is told to be overconfident.
_FALSE_ALARM = 0.01


@dataclass(frozen=True, kw_only=True)
class ChainDiagnosis:
    """Whether chains agree.

    Attributes:
        r_hat_median: Of the function at the training rows and at points between them.
        r_hat_95: 95 percent quantile of the same.
        ess_median: Effective draws of the function there, all chains together.
        r_hat_scales: Largest of the layers' scales and the noise that are sampled; NaN where all are fixed.
        weight_norm_ratio: Mean squared weight over its prior variance. Most weights of a network are hardly informed
            by few rows: far from 1 the chains have not left their start.
        n_diverging: Divergent draws.
        n_gradients: Gradients in all.
    """

    r_hat_median: float
    r_hat_95: float
    ess_median: float
    r_hat_scales: float
    weight_norm_ratio: float
    n_diverging: int
    n_gradients: int


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What is known of a surrogate's quality; `print` it.

    Attributes:
        surrogate: Its class.
        held_out: Predictions of the training rows by others.
        coverage: Share of rows in the central interval of each level of `levels`, for each output.
        levels: Nominal coverages.
        crps: Mean continuous ranked probability score of each output, in its standard deviations.
        log_score: Mean negative log predictive density of each output, in nats, standardised.
        rmse: Of the predictive mean of each output, in its standard deviations.
        chains: Whether chains agree; None where there are none.
        findings: What is wrong, one sentence each.
    """

    surrogate: str
    held_out: HeldOut
    coverage: Float[np.ndarray, "level output"]
    levels: tuple[float, ...] = LEVELS
    crps: Float[np.ndarray, " output"]
    log_score: Float[np.ndarray, " output"]
    rmse: Float[np.ndarray, " output"]
    chains: ChainDiagnosis | None = None
    findings: tuple[str, ...] = field(default=())

    @property
    def verdict(self) -> str:
        """`ok`, or `warn` where something was found."""
        return "warn" if self.findings else "ok"

    def warn(self, stacklevel: int = 2) -> None:
        """One `UqkitWarning` with all findings; nothing where there are none."""
        if self.findings:
            warnings.warn(f"{self.surrogate}: {' '.join(self.findings)}", UqkitWarning, stacklevel=stacklevel + 1)

    def __str__(self) -> str:
        """A table that a person can read."""
        n_rows, n_outputs = self.held_out.value.shape
        lines = [f"{self.surrogate}: {self.verdict} ({n_rows} rows predicted by {self.held_out.how})"]
        lines.append(
            f"{'output':>8}{'RMSE':>9}{'CRPS':>9}{'-log p':>9}" + "".join(f"{f'in {p:.0%}':>9}" for p in self.levels)
        )
        for j in range(n_outputs):
            cover = "".join(f"{self.coverage[i, j]:>9.2f}" for i in range(len(self.levels)))
            lines.append(f"{j:>8}{self.rmse[j]:>9.3f}{self.crps[j]:>9.3f}{self.log_score[j]:>9.3f}{cover}")
        if self.chains is not None:
            c = self.chains
            lines.append(
                f"chains: R-hat of the function {c.r_hat_median:.3f} (median), {c.r_hat_95:.3f} (95%), of scales "
                f"{c.r_hat_scales:.3f}; effective draws {c.ess_median:.0f}; weight norm {c.weight_norm_ratio:.3f}; "
                f"{c.n_diverging} divergent; {c.n_gradients:,} gradients"
            )
        return "\n".join([*lines, *(f"- {finding}" for finding in self.findings)])


def diagnosis_of(surrogate: str, held_out: HeldOut, chains: ChainDiagnosis | None = None) -> Diagnosis:
    """Scores and findings from held-out predictions and chains."""
    pit = _scored(gaussian_mixture_cdf, held_out)
    coverage = np.stack([(np.abs(2 * pit - 1) <= level).mean(axis=0) for level in LEVELS])
    findings = [*_chain_findings(chains), *_calibration_findings(held_out, np.abs(2 * pit - 1))]
    return Diagnosis(
        surrogate=surrogate,
        held_out=held_out,
        coverage=coverage,
        crps=_scored(gaussian_mixture_crps, held_out).mean(axis=0),
        log_score=_scored(gaussian_mixture_log_score, held_out).mean(axis=0),
        rmse=np.sqrt(((held_out.mean.mean(axis=0) - held_out.value) ** 2).mean(axis=0)),
        chains=chains,
        findings=tuple(findings),
    )


def _scored(score: Callable[..., Any], held_out: HeldOut) -> Float[np.ndarray, "row output"]:
    return score(held_out.value, held_out.mean, held_out.sd)


def _chain_findings(chains: ChainDiagnosis | None) -> list[str]:
    if chains is None:
        return []
    found = []
    if not chains.r_hat_95 <= _LARGEST_R_HAT:  # so that NaN counts
        found.append(
            f"The chains do not agree on the function: R-hat is {chains.r_hat_95:.3g} at its 95% quantile (at most "
            f"{_LARGEST_R_HAT} is wanted). Draw longer chains, as sampler=HMCNetwork.converged does."
        )
    if not abs(chains.weight_norm_ratio - 1) <= _WEIGHT_NORM_BAND:
        found.append(
            f"The mean squared weight is {chains.weight_norm_ratio:.2g} of its prior variance where nearly 1 is due: "
            "the chains are still near their start, or the network is small for the data. Draw longer chains."
        )
    if chains.n_diverging:
        found.append(f"{chains.n_diverging} draws diverged, so that a part of the posterior may be missing.")
    return found


def _calibration_findings(held_out: HeldOut, centrality: Float[np.ndarray, "row output"]) -> list[str]:
    found = []
    n_rows, n_outputs = held_out.value.shape
    level = LEVELS[-1]
    for j in range(n_outputs):
        n_inside = int((centrality[:, j] <= level).sum())
        if scipy_stats.binom.cdf(n_inside, n_rows, level) < _FALSE_ALARM / n_outputs:
            of = f" of output {j}" if n_outputs > 1 else ""
            found.append(
                f"Its {level:.0%} intervals{of} hold {n_inside} of {n_rows} left-out rows: it is overconfident."
            )
        error = held_out.mean[..., j].mean(axis=0) - held_out.value[:, j]
        relative = float(np.sqrt((error**2).mean()) / held_out.value[:, j].std())
        if relative >= 1:
            of = f" of output {j}" if n_outputs > 1 else ""
            found.append(
                f"Left-out rows{of} are predicted no better than by their mean (RMSE {relative:.2f} of their standard "
                "deviation): it takes the function for noise, or has too few rows."
            )
    return found
