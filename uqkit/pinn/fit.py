"""From a problem to its Gaussian posterior: nodes, the choice of the basis, scales, and the mode."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from scipy import optimize

from uqkit.errors import InputError
from uqkit.inference import GaussNewton, MacKay, ScalePrior, Scales
from uqkit.pinn.features import GaussianPairs
from uqkit.pinn.fitted import Choice, Fit, held_out_score
from uqkit.pinn.methods import HeldOutTolerance
from uqkit.pinn.setting import Setting
from uqkit.pinn.stack import PARAMETERS, Nodes, nonlinear_blocks, stack_of
from uqkit.problems import Constraint, Integrated, Measured
from uqkit.running.chunks import progress_bar

__all__ = ["fit"]

# A learned noise scale stays above this share of what it is the noise of.
_FLOOR = 1e-6
# Prior standard deviation of a field that laws determine, relative to its size. A prior that is learned from laws
# shrinks the field, and with it the parameters in the laws; this one leaves both free and only keeps the solution
# unique.
_FREE = 1e6
# Evaluations that refine a length scale between its neighbours on the grid.
_N_REFINE = 5


def fit(
    setting: Setting,
    method: GaussNewton,
    noise: MacKay | HeldOutTolerance,
    *,
    require_linear: bool = False,
    progress: bool | None = None,
) -> Fit:
    """Choose what is left open, then solve.

    Raises:
        InputError: If `require_linear` and a constraint is not.
    """
    rule = noise if isinstance(noise, MacKay) else MacKay()
    factors = sorted(noise.factors) if isinstance(noise, HeldOutTolerance) else []
    n_fits = len(setting.prior.frequencies.candidates) + len(factors)
    with progress_bar(n_fits, f"{setting.problem.name}: candidates", progress) as bar:
        return _chosen(_Search(setting, method, rule, require_linear, bar), noise)


def _chosen(search: "_Search", noise: MacKay | HeldOutTolerance) -> Fit:
    setting = search.setting
    by_evidence = isinstance(setting.prior.frequencies, GaussianPairs) or all(part is None for part in setting.held_out)
    found = search.by_evidence() if by_evidence else search.by_held_out()
    if not isinstance(noise, HeldOutTolerance):
        return found
    value = float(found.choice.values[found.choice.chosen])
    tried = []
    for factor in sorted(noise.factors):
        relaxed = replace(search, setting=replace(setting, relaxed={noise.constraint: float(factor)}))
        tried.append(relaxed.solved(value))
    scores = np.array([one.held_out for one in tried])
    taken = int(np.flatnonzero(scores <= noise.slack * np.nanmin(scores))[-1])
    spent = found.n_evaluations + sum(one.n_evaluations for one in tried)
    return replace(tried[taken], choice=found.choice, n_evaluations=spent)


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
        values = [float(value) for value in self.setting.prior.frequencies.candidates]
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
        values = [float(value) for value in self.setting.prior.frequencies.candidates]
        tried = {value: self._fitted(value) for value in values}
        scores = {value: one.held_out for value, one in tried.items() if np.isfinite(one.held_out)}
        best = min(scores, key=lambda value: scores[value])
        return replace(_taken(tried, best), **_solution(self.solved(best, start=tried[best])))

    def solved(self, value: float, start: Fit | None = None) -> Fit:
        """At one value, with amplitudes that leave the fields free at the size they turn out to have."""
        first = self._fitted(value) if start is None else start
        amplitude = {name: _FREE * float(np.sqrt(np.mean(part**2))) for name, part in _fields_at_nodes(first).items()}
        free = {name: value for name, value in amplitude.items() if value > 0}
        final = self._fitted(value, amplitude=free)
        return replace(final, n_evaluations=first.n_evaluations + final.n_evaluations)

    def _fitted(
        self, value: float, *, learn_amplitude: bool = False, amplitude: Mapping[str, float] | None = None
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
            np.zeros(stack.n_dims),
            noise_priors=priors,
            free_priors=unknown if learn_amplitude else (),
            nonlinear=nonlinear,
            method=self.method,
        )
        frequencies = setting.prior.frequencies
        alone = Choice(
            np.array([value]),
            np.array([found.laplace.log_evidence]),
            np.array([np.nan]),
            0,
            learn_amplitude,
            frequencies.meaning,
            frequencies.unit,
        )
        self.bar.update(1)
        made = Fit(setting, basis, stack, nonlinear, found, alone, np.nan, found.n_evaluations)
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
    noise, priors = {}, {}
    for constraint, nodes in zip(problem.constraints, setting.nodes, strict=True):
        prior = scale_prior(constraint, nodes)
        if prior is not None:
            priors[constraint.name] = prior
            noise[constraint.name] = prior.start
        elif isinstance(constraint.noise, Integrated):
            noise[constraint.name] = float(constraint.noise.tolerance) * setting.relaxed.get(constraint.name, 1.0)
        else:
            noise[constraint.name] = float(constraint.noise.sigma)
    amplitude = setting.prior.amplitude
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


def scale_prior(constraint: Constraint, nodes: Nodes) -> ScalePrior | None:
    """Prior of an unknown noise scale, bounded below by a share of what it is the noise of."""
    if not isinstance(constraint.noise, Measured) or constraint.noise.prior is None:
        return None
    marginal = constraint.noise.prior
    start = float(marginal.quantile(np.array(0.5)))
    size = float(np.sqrt(np.mean((nodes.target / nodes.row_scale) ** 2)))
    return ScalePrior(
        log_density=lambda log_scale: float(marginal.log_density(np.exp(log_scale)) + log_scale),
        start=start,
        floor=min(_FLOOR * (size if size > 0 else start), start),
    )


def _fields_at_nodes(found: Fit) -> dict[str, Float[np.ndarray, " point"]]:
    """Values of each output, without its known part, at all collocation points."""
    points = np.concatenate([nodes.points for nodes in found.setting.nodes])
    still = (0,) * len(found.setting.problem.domain)
    design = found.basis.matrices(points, [still])[still]
    blocks = found.stack.dim_blocks
    return {name: design @ found.laplace.mode.position[blocks[name]] for name in found.stack.outputs}
