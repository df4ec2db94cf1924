"""The shell of the workflow: checks what was asked, solves, assembles the result."""

import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float, Key

from uqkit._typing import PRNGKey
from uqkit.errors import InputError, UqkitWarning
from uqkit.inference import Draws, GaussNewton, LevenbergMarquardt, MacKay, RandomisedMAP, Sampler
from uqkit.keys import as_key, key_label, numpy_generator
from uqkit.pinn.adam import AdamBalanced
from uqkit.pinn.collocation import Collocation, ResidualAdaptive
from uqkit.pinn.density import whitened
from uqkit.pinn.diagnose import Finding, findings
from uqkit.pinn.features import RandomFeatures
from uqkit.pinn.fit import fit
from uqkit.pinn.fitted import Fit
from uqkit.pinn.labels import grid_points
from uqkit.pinn.methods import AttainedTolerance, Exact, HeldOutTolerance, Sampled
from uqkit.pinn.network import Network
from uqkit.pinn.operators import outputs_and_quantities
from uqkit.pinn.outcome import Outcome
from uqkit.pinn.predict import predict_draws, prediction_stack
from uqkit.pinn.result import assemble, parameter_draws
from uqkit.pinn.setting import FieldPrior, Setting, prepare
from uqkit.pinn.target import FieldTarget
from uqkit.problems import BoundaryValueProblem, Integrated, Region

__all__ = ["infer"]

type Method = Exact | GaussNewton | LevenbergMarquardt | AdamBalanced | RandomisedMAP | Sampler
type Noise = MacKay | Sampled | HeldOutTolerance | AttainedTolerance

_N_CHAINS = 4
# Points for the posterior around weights that Adam found without them; networks that need Adam are large, and a
# factor of their posterior costs the weights times the points squared.
_N_AFTER_ADAM = 300
# Points of the grid at which the mixing of chains is judged.
_N_JUDGED = 30
# Points a coordinate at which fields are reported, by the number of coordinates.
_GRID = {1: 201, 2: 41, 3: 15}


def infer(
    problem: BoundaryValueProblem,
    *,
    field: FieldPrior | None = None,
    method: Method | None = None,
    noise: Noise | None = None,
    collocation: Collocation | None = None,
    key: PRNGKey,
    n_draws: int = 1_000,
    grid: int | Mapping[str, int] | None = None,
    store: str | Path | None = None,
    progress: bool | None = None,
) -> xr.DataTree:
    """Posterior of the fields, parameters and noise scales of a boundary value problem.

    Args:
        problem: Domain, constraints, parameters.
        field: Prior of the fields: `RandomFeatures()`, or for fronts `Network()` or `TrainedFeatures()`. By default
            features in a `UniformBand()` where laws hold on regions, 100, 400 or 1,000 of them in one, two or more
            coordinates; and 400 in `GaussianPairs()` where all is known from sensors.
        method: `GaussNewton()` by default, a Laplace approximation at the mode, exact where the problem is linear;
            `Exact()` to insist on that; `RandomisedMAP()`; or a sampler, `NUTS()`, `HMC()`, `MCLMC()`,
            `AdjustedMCLMC()`, which runs in coordinates whitened by the Laplace approximation. A network is found by
            `LevenbergMarquardt()`, its default, or `AdamBalanced()`.
        noise: How scales with a prior are learned: `MacKay()`, or with a sampler `Sampled()`, which is its default.
            `AttainedTolerance()`, the default with networks, also raises tolerances of laws to what the fields attain;
            `HeldOutTolerance(constraint=...)` chooses a law's tolerance relative to the others.
        collocation: How regions are filled with points; by default a Gauss grid of about two points a feature, and
            `ResidualAdaptive()` points for a network, which after Adam are for the posterior alone.
        key: A JAX key or an int; the same key gives the same numbers.
        n_draws: Draws of a Laplace approximation; samplers have their own setting.
        grid: Points along each coordinate at which fields are reported, or coordinate -> points.
        store: A file (.npz) that keeps a sampler's run, or else the training of a network, after each chunk; the same
            call with it goes on from there.
        progress: Whether to show progress on stderr; None shows it only on a terminal.

    Returns:
        A tree with `estimates` (each output, derived quantity and parameter with _se, the posterior standard deviation,
        and the 95% interval _lower, _upper), `posterior` (parameters and sampled noise scales),
        `posterior_predictive` and `prior_predictive` (fields on the grid), `log_likelihood` (of measured
        constraints), `noise`, `evidence`, `optimisation`, `sample_stats`, `observed_data`, `constant_data`,
        `variational` (what `restore` needs), and `diagnostics` with a verdict.

    Raises:
        InputError: If something cannot be used; before anything is solved.

    Reference:
        Yang, Meng & Karniadakis (2021), Journal of Computational Physics 425 (the model); Pfortner et al. (2022), arXiv
        2212.12474 (its exact posterior); MacKay (1992), Neural Computation 4 (evidence and scales).
    """
    started = time.perf_counter()
    method = _checked_method(field, method)
    typed = as_key(key)
    fit_key, draw_key, prior_key = jax.random.split(typed, 3)
    if collocation is None and isinstance(method, AdamBalanced):
        collocation = ResidualAdaptive(n=_N_AFTER_ADAM)
    setting = prepare(problem, field, collocation, key=fit_key)
    noise = _checked_noise(setting, method, noise)
    if n_draws < _N_CHAINS:
        raise InputError(f"n_draws={n_draws}: pass at least {_N_CHAINS}.")
    if store is not None and not isinstance(method, Sampler) and isinstance(setting.prior, RandomFeatures):
        raise InputError(
            f"`store` keeps the run of a sampler or the training of a network; {type(method).__name__}() is over in "
            "seconds, leave it out."
        )
    lattice = _lattice(problem, grid)
    found = _fitted(setting, method, noise, store, progress)
    outcome = _drawn(found, method, noise, n_draws, draw_key, lattice, store, progress)
    verdict = findings(found, outcome.draws)
    _warn(verdict)
    return assemble(
        found,
        outcome,
        lattice=lattice,
        findings=verdict,
        settings={
            "field": setting.prior,
            "method": method,
            "noise": noise,
            "collocation": setting.collocation,
        },
        prior_key=prior_key,
        key_text=key_label(typed),
        started=started,
    )


def _checked_method(field: Any, method: Method | None) -> Method:
    """The method, chosen where it is None, if it can find fields of this kind."""
    network = isinstance(field, Network)
    if method is None:
        return LevenbergMarquardt() if network else GaussNewton()
    search = method.method if isinstance(method, RandomisedMAP) else method
    if isinstance(search, Sampler):
        return method
    if network and not isinstance(search, (LevenbergMarquardt, AdamBalanced)):
        raise InputError(
            f"`method` is {method!r}, but the field is a Network; pass LevenbergMarquardt(), AdamBalanced(), "
            "RandomisedMAP(method=LevenbergMarquardt()), NUTS() or another sampler."
        )
    if not network and not isinstance(search, (Exact, GaussNewton)):
        raise InputError(
            f"`method` is {method!r}; pass Exact(), GaussNewton(), RandomisedMAP(), NUTS(), MCLMC() or alike; "
            "LevenbergMarquardt() and AdamBalanced() are for field=Network(...)."
        )
    return method


def _checked_noise(setting: Setting, method: Method, noise: Noise | None) -> Noise:
    problem, sampler = setting.problem, isinstance(method, Sampler)
    if noise is None:
        if sampler:
            return Sampled()
        fresh = any(
            isinstance(c.noise, Integrated) and part is not None
            for c, part in zip(problem.constraints, setting.held_out, strict=True)
        )
        return AttainedTolerance() if fresh and not isinstance(setting.prior, RandomFeatures) else MacKay()
    if not isinstance(noise, (MacKay, Sampled, HeldOutTolerance, AttainedTolerance)):
        raise InputError(
            f"`noise` is {noise!r}; pass MacKay(), AttainedTolerance(), HeldOutTolerance(constraint=...), or with a "
            "sampler Sampled()."
        )
    if isinstance(noise, HeldOutTolerance) and not isinstance(setting.prior, RandomFeatures):
        raise InputError("HeldOutTolerance() is for RandomFeatures; with a network use AttainedTolerance().")
    laws = [c.name for c in problem.constraints if isinstance(c.noise, Integrated) and isinstance(c.points, Region)]
    if isinstance(noise, HeldOutTolerance) and noise.constraint not in laws:
        raise InputError(
            f"HeldOutTolerance(constraint={noise.constraint!r}): it must be a constraint with Integrated noise on a "
            "region, "
            f"of which {problem.name!r} has {', '.join(laws) or 'none'}."
        )
    if isinstance(noise, HeldOutTolerance):
        nodes = setting.nodes[setting.names.index(noise.constraint)]
        if not nodes.target.any() and not problem.known_part:
            raise InputError(
                f"HeldOutTolerance(constraint={noise.constraint!r}) compares the law's residual with what it is "
                "without a field, which is zero here: it has no right-hand side and the problem no known part; state "
                "its tolerance, or use AttainedTolerance()."
            )
    if isinstance(noise, Sampled) and not sampler:
        raise InputError(
            f"noise=Sampled() wants a sampler as method, such as NUTS(); {type(method).__name__}() has none."
        )
    return noise


def _lattice(
    problem: BoundaryValueProblem, grid: int | Mapping[str, int] | None
) -> dict[str, Float[np.ndarray, " entry"]]:
    domain = problem.domain
    if grid is None:
        counts = dict.fromkeys(domain.names, _GRID.get(len(domain), 7))
    elif isinstance(grid, Mapping):
        counts = {name: grid.get(name, 0) for name in domain.names}
    else:
        counts = dict.fromkeys(domain.names, grid)
    if min(counts.values()) < 2:
        raise InputError(f"grid={grid!r}: pass at least 2 points along each of {', '.join(domain.names)}.")
    lattice = {}
    for name, low, high in zip(domain.names, domain.lower, domain.upper, strict=True):
        n = counts[name]
        # A known part is there for singularities, and those sit on the boundary.
        ends = 0.5 * (high - low) / n if problem.known_part else 0.0
        lattice[name] = np.linspace(low + ends, high - ends, n)
    return lattice


def _fitted(setting: Setting, method: Method, noise: Noise, store: str | Path | None, progress: bool | None) -> Fit:
    search = method.method if isinstance(method, RandomisedMAP) else method
    if not isinstance(search, (GaussNewton, LevenbergMarquardt, AdamBalanced)):
        search = LevenbergMarquardt() if isinstance(setting.prior, Network) else GaussNewton()
    return fit(
        setting,
        search,
        MacKay() if isinstance(noise, Sampled) else noise,
        require_linear=isinstance(method, Exact),
        store=None if isinstance(method, Sampler) else store,
        progress=progress,
    )


def _drawn(
    found: Fit,
    method: Method,
    noise: Noise,
    n_draws: int,
    key: Key[jax.Array, ""],
    lattice: Mapping[str, Float[np.ndarray, " entry"]],
    store: str | Path | None,
    progress: bool | None,
) -> Outcome:
    mode = found.laplace.mode
    learned = np.array([mode.scales.noise[name] for name in found.stack.names])
    if isinstance(method, Sampler):
        return _sampled(found, method, noise, key, lattice, store, progress)
    if isinstance(method, RandomisedMAP):
        members = method.members(
            found.stack,
            mode,
            nonlinear=found.nonlinear,
            key=key,
            from_prior=isinstance(found.setting.prior, Network),
            progress=progress,
        )
        position = members[: len(members) // 2 * 2].reshape(2, -1, members.shape[1])
    else:
        n_each = n_draws // _N_CHAINS
        white = numpy_generator(key).standard_normal((_N_CHAINS * n_each, len(mode.position)))
        position = found.laplace.draws(white).reshape(_N_CHAINS, n_each, -1)
    return Outcome(
        position,
        np.broadcast_to(learned, (*position.shape[:2], len(learned))),
        sampled_scales=(),
        independent=True,
        gaussian=not isinstance(method, RandomisedMAP),
        draws=None,
    )


def _sampled(
    found: Fit,
    method: Sampler,
    noise: Noise,
    key: Key[jax.Array, ""],
    lattice: Mapping[str, Float[np.ndarray, " entry"]],
    store: str | Path | None,
    progress: bool | None,
) -> Outcome:
    white, sampled = whitened(found, noise)
    # Not the weights count here but parameters and fields, and they are judged below.
    draws = method.sample(white, key=key, store=store, progress=progress, warn=False)
    target = white.target
    assert isinstance(target, FieldTarget)
    with jax.enable_x64(True):
        flat = jax.vmap(white.unwhitened)(jax.numpy.asarray(draws.position.reshape(-1, white.n_dims)))
        scales = np.asarray(jax.vmap(target.noise_scales)(flat)).reshape(*draws.position.shape[:2], -1)
        position = np.asarray(flat).reshape(draws.position.shape)
    outcome = Outcome(position, scales, sampled, independent=draws.independent, gaussian=False, draws=None)
    return replace(outcome, draws=_judged(found, outcome, draws, lattice))


def _judged(found: Fit, outcome: Outcome, draws: Draws, lattice: Mapping[str, Float[np.ndarray, " entry"]]) -> Draws:
    """The draws with R-hat and effective sizes of the parameters, of sampled scales, and of the fields at some points.

    Weights themselves are not unique, least of all those of a network.
    """
    problem = found.setting.problem
    points = grid_points(lattice)
    points = points[np.linspace(0, len(points) - 1, min(len(points), _N_JUDGED)).astype(int)]
    operators = {name: outputs_and_quantities(problem)[name] for name in problem.outputs}
    stack = prediction_stack(problem, found.representation, operators, points)
    values = {
        f"{name} at {_place(problem, points, i)}": column
        for name, field in predict_draws(stack, outcome.position).items()
        for i, column in enumerate(np.moveaxis(field, 2, 0))
    }
    # A value that is known exactly does not move.
    values = {name: column for name, column in values.items() if np.ptp(column) > 0}
    values |= parameter_draws(found, outcome)
    return draws.judged_by(np.stack(list(values.values()), axis=2), list(values))


def _place(problem: BoundaryValueProblem, points: Float[np.ndarray, "point coordinate"], i: int) -> str:
    return ", ".join(f"{name}={value:.3g}" for name, value in zip(problem.domain.names, points[i], strict=True))


def _warn(found: list[Finding]) -> None:
    for finding in found:
        if finding.serious:
            warnings.warn(finding.text, UqkitWarning, stacklevel=3)
