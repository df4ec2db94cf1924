"""From a problem to its Gaussian posterior: nodes, the choice of the basis, scales, and the mode."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from scipy import optimize

from uqkit.errors import InputError
from uqkit.inference import GaussNewton, LevenbergMarquardt, MacKay, ScalePrior, Scales
from uqkit.pinn.adam import AdamBalanced
from uqkit.pinn.features import GaussianPairs, RandomFeatures
from uqkit.pinn.fitted import Choice, Fit, held_out_score, relative_held_out_score
from uqkit.pinn.methods import AttainedTolerance, HeldOutTolerance
from uqkit.pinn.network import Network, TrainedFeatures
from uqkit.pinn.network_fit import network_fit, with_trained_features
from uqkit.pinn.network_stack import FieldNetwork
from uqkit.pinn.representation import stack_of
from uqkit.pinn.scales import attained, first_noise
from uqkit.pinn.setting import Setting
from uqkit.pinn.stack import PARAMETERS, nonlinear_blocks
from uqkit.running.chunks import progress_bar

__all__ = ["fit"]

# Prior standard deviation of a field that laws determine, relative to its size. A prior that is learned from laws
# shrinks the field, and with it the parameters in the laws; this one leaves both free and only keeps the solution
# unique.
_FREE = 1e6
# Relative tolerance and iterations (at each relaxed scale) while candidates are compared.
_ROUGH = 1e-4
_ROUGH_ITERATIONS = 12
# Features with which a tolerance is searched.
_N_COARSE = 256
# Evaluations that refine a length scale between its neighbours on the grid.
_N_REFINE = 5


def fit(
    setting: Setting,
    method: GaussNewton | LevenbergMarquardt | AdamBalanced,
    noise: MacKay | HeldOutTolerance | AttainedTolerance,
    *,
    require_linear: bool = False,
    store: str | Path | None = None,
    progress: bool | None = None,
) -> Fit:
    """Choose what is left open, then solve.

    Raises:
        InputError: If `require_linear` and a constraint is not.
    """
    rule = noise if isinstance(noise, MacKay) else MacKay()
    reached = noise if isinstance(noise, AttainedTolerance) else None
    if isinstance(setting.prior, Network):
        assert not isinstance(method, GaussNewton)
        return network_fit(setting, setting.prior, method, rule, reached, store=store, progress=progress)
    assert isinstance(method, GaussNewton)
    if isinstance(setting.prior, TrainedFeatures):
        setting = with_trained_features(setting, setting.prior, store=store, progress=progress)
        method = method.refined(0.0)  # the trained weights are near the mode
    factors = sorted(noise.factors) if isinstance(noise, HeldOutTolerance) else []
    n_fits = len(setting.candidates) + len(factors) + 1
    with progress_bar(n_fits, f"{setting.problem.name}: candidates", progress) as bar:
        search = _Search(setting, method, rule, require_linear, bar)
        if isinstance(noise, HeldOutTolerance):
            return search.by_tolerance(noise)
        no_regions = all(part is None for part in setting.held_out)
        gaussian = isinstance(setting.prior, RandomFeatures) and isinstance(setting.prior.frequencies, GaussianPairs)
        found = search.by_evidence() if no_regions or gaussian else search.by_held_out()
        return found if reached is None else attained(found, reached, search.at_tolerances)


@dataclass(frozen=True)
class _Search:
    """The choice of the one number that the frequencies leave open."""

    setting: Setting
    method: GaussNewton
    noise: MacKay
    require_linear: bool
    bar: Any

    def by_evidence(self) -> Fit:
        """The largest evidence on the grid, refined between its neighbours; amplitudes are learned with it."""
        values = list(self.setting.candidates)
        tried: dict[float, Fit] = {}

        def minus_log_evidence(log_value: float) -> float:
            value = float(np.exp(log_value))
            tried[value] = self._fitted(value, learn_amplitude=True)
            return -tried[value].laplace.log_evidence

        scores = [minus_log_evidence(np.log(value)) for value in values]
        if len(values) > 2:
            # Evidence has several maxima in a length scale: a grid first, never one descent.
            place = int(np.argmin(scores))
            ends = (np.log(values[max(place - 1, 0)]), np.log(values[min(place + 1, len(values) - 1)]))
            optimize.minimize_scalar(
                minus_log_evidence, bounds=ends, method="bounded", options={"maxiter": _N_REFINE, "xatol": 0.02}
            )
        return _taken(tried, min(tried, key=lambda value: -tried[value].laplace.log_evidence))

    def by_held_out(self) -> Fit:
        """The smallest residual at fresh points."""
        values = list(self.setting.candidates)
        # Which candidate is best shows long before its mode is exact.
        rough = replace(
            self.method,
            tolerance=max(self.method.tolerance, _ROUGH),
            max_iterations=min(self.method.max_iterations, _ROUGH_ITERATIONS),
        )
        method = self.method if len(values) == 1 else rough
        tried = {value: self._fitted(value, method=method) for value in values}
        scores = {value: one.held_out for value, one in tried.items() if np.isfinite(one.held_out)}
        best = min(scores, key=lambda value: scores[value])
        return replace(_taken(tried, best), **_solution(self.solved(best, start=tried[best])))

    def by_tolerance(self, rule: HeldOutTolerance) -> Fit:
        """A law's tolerance by residuals held out, then the frequencies; with fewer features, as both cost fits."""
        values = list(self.setting.candidates)
        coarse = replace(self, setting=self.setting.coarser(_N_COARSE))
        # As many waves as the features can follow: their number goes with the highest frequency to the power of d.
        share = coarse.n_features / self.n_features
        shrink = share ** (1 / len(self.setting.problem.domain))
        near = replace(
            self.method,
            continuation=(1.0,),
            tolerance=max(self.method.tolerance, _ROUGH),
            max_iterations=min(self.method.max_iterations, _ROUGH_ITERATIONS),
        )
        by_factor: dict[float, Fit] = {}
        start = None
        for factor in sorted(map(float, rule.factors), reverse=True):
            relaxed = coarse._relaxed(rule.constraint, factor)
            method = self.method if start is None else near
            by_factor[factor] = relaxed._fitted(shrink * values[len(values) // 2], start=start, method=method)
            start = by_factor[factor].laplace.mode.position
        scores = {factor: relative_held_out_score(one) for factor, one in by_factor.items()}
        taken = max(factor for factor, score in scores.items() if score <= rule.slack * min(scores.values()))
        relaxed = coarse._relaxed(rule.constraint, taken)
        by_value = {value: relaxed._fitted(shrink * value) for value in values}
        chosen = min(by_value, key=lambda value: by_value[value].held_out)
        final = self._relaxed(rule.constraint, taken).solved(chosen)
        spent = sum(one.n_evaluations for one in (*by_factor.values(), *by_value.values(), final))
        return replace(final, choice=_taken(by_value, chosen).choice, n_evaluations=spent)

    @property
    def n_features(self) -> int:
        """Features of a field."""
        return self.setting.basis(self.setting.candidates[0]).n_features

    def at_tolerances(self, factors: Mapping[str, float], last: Fit) -> Fit:
        """The fit again with other tolerances."""
        relaxed = replace(self, setting=replace(self.setting, relaxed=factors))
        found = relaxed.solved(float(last.choice.values[last.choice.chosen]), start=last)
        return replace(found, choice=last.choice)

    def _relaxed(self, constraint: str, factor: float) -> "_Search":
        return replace(self, setting=replace(self.setting, relaxed={constraint: factor}))

    def solved(self, value: float, start: Fit | None = None) -> Fit:
        """At one value, with amplitudes that leave the fields free at the size they turn out to have."""
        first = self._fitted(value) if start is None else start
        amplitude = {name: _FREE * float(np.sqrt(np.mean(part**2))) for name, part in _fields_at_nodes(first).items()}
        free = {name: value for name, value in amplitude.items() if value > 0}
        again = replace(self.method, continuation=(1.0,))
        final = self._fitted(value, amplitude=free, start=first.laplace.mode.position, method=again)
        return replace(final, n_evaluations=first.n_evaluations + final.n_evaluations)

    def _fitted(
        self,
        value: float,
        *,
        learn_amplitude: bool = False,
        amplitude: Mapping[str, float] | None = None,
        start: Float[np.ndarray, " dim"] | None = None,
        method: GaussNewton | None = None,
    ) -> Fit:
        setting = self.setting
        with jax.enable_x64(True):
            basis = setting.basis(value)
            stack = stack_of(setting.problem, setting.operators, setting.nodes, basis, names=setting.names)
            nonlinear = nonlinear_blocks(stack)
        if self.require_linear and nonlinear:
            raise InputError(
                f"Exact() solves linear problems, but the constraint {', '.join(nonlinear)} of "
                f"{setting.problem.name!r} is not linear in the fields and parameters; use GaussNewton()."
            )
        if start is None:
            start = np.zeros(stack.n_dims) if setting.trained is None else setting.trained.start
        first, priors, unknown = _first_scales(setting, 1.0 if learn_amplitude else _FREE)
        scales = Scales(
            noise=first.noise,
            prior={
                name: (amplitude or {}).get(name, scale) if name in unknown else scale
                for name, scale in first.prior.items()
            },
        )
        found = self.noise.fit(
            stack,
            scales,
            start,
            noise_priors=priors,
            free_priors=unknown if learn_amplitude else (),
            nonlinear=nonlinear,
            method=self.method if method is None else method,
        )
        meaning, unit = "features of a trained network", "1"
        if isinstance(setting.prior, RandomFeatures):
            meaning, unit = setting.prior.frequencies.meaning, setting.prior.frequencies.unit
        alone = Choice(
            np.array([value]),
            np.array([found.laplace.log_evidence]),
            np.array([np.nan]),
            0,
            learn_amplitude,
            meaning,
            unit,
        )
        self.bar.update(1)
        training = None if setting.trained is None else setting.trained.training
        made = Fit(setting, basis, stack, nonlinear, found, alone, np.nan, found.n_evaluations, training)
        return replace(made, held_out=held_out_score(made))


def _solution(found: Fit) -> dict[str, Any]:
    return {"scales": found.scales, "held_out": found.held_out, "stack": found.stack}


def _taken(tried: Mapping[float, Fit], best: float) -> Fit:
    """One of the fits tried, with the record of all."""
    order = sorted(tried)
    choice = replace(
        tried[best].choice,
        values=np.array(order),
        log_evidence=np.array([tried[value].laplace.log_evidence for value in order]),
        held_out=np.array([tried[value].held_out for value in order]),
        chosen=order.index(best),
    )
    return replace(tried[best], choice=choice, n_evaluations=sum(one.n_evaluations for one in tried.values()))


def _first_scales(
    setting: Setting, amplitude_if_unknown: float
) -> tuple[Scales, dict[str, ScalePrior], tuple[str, ...]]:
    """Known scales, first values of the unknown ones, and which amplitudes are unknown."""
    problem = setting.problem
    noise, priors = first_noise(setting)
    amplitude = setting.prior.amplitude if isinstance(setting.prior, RandomFeatures) else None
    given = dict(amplitude) if isinstance(amplitude, Mapping) else dict.fromkeys(problem.outputs, amplitude)
    unknown = set(given) - set(problem.outputs)
    if unknown:
        raise InputError(
            f"`amplitude` names {', '.join(sorted(unknown))}; the outputs are {', '.join(problem.outputs)}."
        )
    size = {name: given.get(name) for name in problem.outputs}
    dims = {name: amplitude_if_unknown if value is None else float(value) for name, value in size.items()}
    if problem.parameter_names:
        dims[PARAMETERS] = 1.0
    return Scales(noise=noise, prior=dims), priors, tuple(name for name, value in size.items() if value is None)


def _fields_at_nodes(found: Fit) -> dict[str, Float[np.ndarray, " point"]]:
    """Values of each output, without its known part, at all collocation points."""
    points = np.concatenate([nodes.points for nodes in found.setting.nodes])
    still = (0,) * len(found.setting.problem.domain)
    assert not isinstance(found.representation, FieldNetwork)
    design = found.representation.matrices(points, [still])[still]
    blocks = found.stack.dim_blocks
    return {name: design @ found.laplace.mode.position[blocks[name]] for name in found.stack.outputs}
