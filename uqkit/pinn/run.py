"""The shell of the workflow: checks what was asked, solves, assembles the result."""

import time
import warnings
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float, Key

from uqkit._typing import PRNGKey
from uqkit.errors import InputError, UqkitWarning
from uqkit.inference import GaussNewton, MacKay, RandomisedMAP, Sampler
from uqkit.keys import as_key, key_label, numpy_generator
from uqkit.pinn.collocation import Collocation
from uqkit.pinn.density import whitened
from uqkit.pinn.diagnose import Finding, findings
from uqkit.pinn.features import RandomFeatures
from uqkit.pinn.fit import fit
from uqkit.pinn.fitted import Fit
from uqkit.pinn.methods import Exact, HeldOutTolerance, Sampled
from uqkit.pinn.outcome import Outcome
from uqkit.pinn.result import assemble
from uqkit.pinn.setting import Setting, prepare
from uqkit.pinn.target import FieldTarget
from uqkit.problems import BoundaryValueProblem, Integrated, Region

__all__ = ["infer"]

type Method = Exact | GaussNewton | RandomisedMAP | Sampler

_N_CHAINS = 4
# Points a coordinate at which fields are reported, by the number of coordinates.
_GRID = {1: 201, 2: 41, 3: 15}


def infer(
    problem: BoundaryValueProblem,
    *,
    field: RandomFeatures | None = None,
    method: Method | None = None,
    noise: MacKay | Sampled | HeldOutTolerance | None = None,
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
        field: Prior of the fields. By default `UniformBand()` where laws hold on regions, with 100, 400 or 1,000
            features in one, two or more coordinates; and 400 in `GaussianPairs()` where all is known from sensors.
        method: `GaussNewton()` by default, a Laplace approximation at the mode, exact where the problem is linear;
            `Exact()` to insist on that; `RandomisedMAP()`; or a sampler, `NUTS()`, `HMC()`, `MCLMC()`,
            `AdjustedMCLMC()`, which runs in coordinates whitened by the Laplace approximation.
        noise: How scales with a prior are learned: `MacKay()`, or with a sampler `Sampled()`, which is its default.
            `HeldOutTolerance(constraint=...)` chooses a law's tolerance relative to the others.
        collocation: How regions are filled with points; by default a Gauss grid of about two points a feature.
        key: A JAX key or an int; the same key gives the same numbers.
        n_draws: Draws of a Laplace approximation; samplers have their own setting.
        grid: Points along each coordinate at which fields are reported, or coordinate -> points.
        store: A file (.npz) that keeps a sampler's run after each chunk; the same call with it goes on from there.
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
    method = GaussNewton() if method is None else method
    if not isinstance(method, (Exact, GaussNewton, RandomisedMAP, Sampler)):
        raise InputError(
            f"`method` is {method!r}; pass Exact(), GaussNewton(), RandomisedMAP(), NUTS(), MCLMC() or alike."
        )
    typed = as_key(key)
    fit_key, draw_key, prior_key = jax.random.split(typed, 3)
    setting = prepare(problem, field, collocation, key=fit_key)
    noise = _checked_noise(problem, method, noise)
    if n_draws < _N_CHAINS:
        raise InputError(f"n_draws={n_draws}: pass at least {_N_CHAINS}.")
    if store is not None and not isinstance(method, Sampler):
        raise InputError(
            f"`store` keeps the run of a sampler, and {type(method).__name__}() is over in seconds; leave it out."
        )
    lattice = _lattice(problem, grid)
    found = _fitted(setting, method, noise, progress)
    outcome = _drawn(found, method, noise, n_draws, draw_key, store, progress)
    _warn(findings(found, None))  # a sampler warns of its draws itself
    verdict = findings(found, outcome.draws)
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


def _checked_noise(
    problem: BoundaryValueProblem, method: Method, noise: MacKay | Sampled | HeldOutTolerance | None
) -> MacKay | Sampled | HeldOutTolerance:
    sampler = isinstance(method, Sampler)
    if noise is None:
        return Sampled() if sampler else MacKay()
    if not isinstance(noise, (MacKay, Sampled, HeldOutTolerance)):
        raise InputError(
            f"`noise` is {noise!r}; pass MacKay(), HeldOutTolerance(constraint=...), or with a sampler Sampled()."
        )
    laws = [c.name for c in problem.constraints if isinstance(c.noise, Integrated) and isinstance(c.points, Region)]
    if isinstance(noise, HeldOutTolerance) and noise.constraint not in laws:
        raise InputError(
            f"HeldOutTolerance(constraint={noise.constraint!r}): it must be a constraint with Integrated noise on a "
            "region, "
            f"of which {problem.name!r} has {', '.join(laws) or 'none'}."
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


def _fitted(setting: Setting, method: Method, noise: MacKay | Sampled | HeldOutTolerance, progress: bool | None) -> Fit:
    search = method.method if isinstance(method, RandomisedMAP) else method
    return fit(
        setting,
        search if isinstance(search, GaussNewton) else GaussNewton(),
        MacKay() if isinstance(noise, Sampled) else noise,
        require_linear=isinstance(method, Exact),
        progress=progress,
    )


def _drawn(
    found: Fit,
    method: Method,
    noise: MacKay | Sampled | HeldOutTolerance,
    n_draws: int,
    key: Key[jax.Array, ""],
    store: str | Path | None,
    progress: bool | None,
) -> Outcome:
    mode = found.laplace.mode
    learned = np.array([mode.scales.noise[name] for name in found.stack.names])
    if isinstance(method, Sampler):
        return _sampled(found, method, noise, key, store, progress)
    if isinstance(method, RandomisedMAP):
        members = method.members(found.stack, mode, nonlinear=found.nonlinear, key=key, progress=progress)
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
    noise: MacKay | Sampled | HeldOutTolerance,
    key: Key[jax.Array, ""],
    store: str | Path | None,
    progress: bool | None,
) -> Outcome:
    white, sampled = whitened(found, noise)
    draws = method.sample(white, key=key, store=store, progress=progress)
    target = white.target
    assert isinstance(target, FieldTarget)
    with jax.enable_x64(True):
        flat = jax.vmap(white.unwhitened)(jax.numpy.asarray(draws.position.reshape(-1, white.n_dims)))
        scales = np.asarray(jax.vmap(target.noise_scales)(flat)).reshape(*draws.position.shape[:2], -1)
        position = np.asarray(flat).reshape(draws.position.shape)
    return Outcome(position, scales, sampled, independent=draws.independent, gaussian=False, draws=draws)


def _warn(found: list[Finding]) -> None:
    for finding in found:
        if finding.serious:
            warnings.warn(finding.text, UqkitWarning, stacklevel=3)
