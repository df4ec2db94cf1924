"""What sets the width of a band: noise scales learned from data, no noise at all, and more points.

All on the Helmholtz problem of Wang, Teng & Perdikaris (2021), SIAM Journal on Scientific Computing 43(5), whose
solution is known, but for the doubled points, which want a parameter.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist
import xarray as xr
from jaxtyping import Float

from models.pdes import bpinn_inverse_1d, helmholtz
from tests.benchmarks.comparison import Row, measured, share_within
from uqkit import pinn
from uqkit.inference import GaussNewton, Scales
from uqkit.inputs import ScrambledSobol
from uqkit.keys import as_key, numpy_generator
from uqkit.pinn.representation import stack_of
from uqkit.pinn.setting import prepare
from uqkit.pinn.stack import Stack
from uqkit.problems import BoundaryValueProblem, Constraint, FieldReference, Integrated, Measured
from uqkit.results import schema

__all__ = ["rows"]

_SIGMA = {"pde": 5.0, "boundary": 0.02}
# The median of the priors of the scales, where their search starts, in units of the scales.
_START = {"pde": 6.0, "boundary": 15.0}
_LENGTH_SCALES = (0.1, 0.14, 0.2, 0.28, 0.4)
# Maximum likelihood without bounds needs a basis that can follow every reading: more features than readings, and a
# length scale among those to choose from that is short enough.
_N_TWIN, _TWIN_LENGTH_SCALES = 1_200, (0.05, 0.1, 0.2)
_ROUNDS = 25
_COLLAPSED = 1e-6

# Interior points along each direction; each edge has twice as many.
_RESOLUTIONS = (6, 9, 12, 16, 20)
_BAND = pinn.RandomFeatures(n_features=2_400, frequencies=pinn.GaussianPairs(grid=(0.14, 0.2, 0.28, 0.4, 0.56, 0.8)))
# Noise that is none, a millionth of what is read; the readings are exact.
_EXACT = {"pde": 1e-4, "boundary": 1e-6}
# From this relative error on, the solution counts as resolved, and a wide band is a safe one.
_RESOLVED = 1e-3


def rows(long: bool) -> Iterator[Row]:
    """Every claim, as it is measured."""
    yield from _scales_learned(10 if long else 2)
    yield from _by_two_rules(3 if long else 1)
    yield from _without_noise(_RESOLUTIONS if long else _RESOLUTIONS[:4])
    yield from _points_doubled()


def _scales_learned(n_keys: int) -> Iterator[Row]:
    """Both noise scales unknown, and the same by maximum likelihood."""
    columns: dict[str, list[Any]] = {name: [] for name in ("pde", "boundary", "covered", "seconds")}
    for key in range(n_keys):
        problem = _noisy(key)
        started = time.process_time()
        result = pinn.infer(
            problem,
            field=pinn.RandomFeatures(n_features=600, frequencies=pinn.GaussianPairs(grid=_LENGTH_SCALES)),
            key=key,
            n_draws=4,
        )
        columns["seconds"].append(time.process_time() - started)
        learned = result[schema.NOISE].to_dataset()[schema.NOISE_SCALE]
        for name, sigma in _SIGMA.items():
            columns[name].append(float(learned.sel(constraint=name)) / sigma)
        columns["covered"].append(_covered(result))
    what = f"Helmholtz, 600 noisy forcings, 120 noisy boundary values, 600 features; {n_keys} data sets"
    for name, sigma in _SIGMA.items():
        yield measured(
            f"learned / true noise scale of the {name}, {sigma:g}, sought from {_START[name]:g} times it, {what}",
            *columns[name],
            at_least=0.8,
            at_most=1.2,
        )
    yield share_within(f"95% band of u covers, {what}", np.array(columns["covered"]), at_least=0.90, at_most=0.99)
    yield measured(f"CPU seconds a data set, choice of the length scale included, {what}", *columns["seconds"])


def _by_two_rules(n_keys: int) -> Iterator[Row]:
    """Scales and length scale by evidence and by maximum likelihood, on the same features and data."""
    problems = [_noisy(key) for key in range(n_keys)]
    what = (
        f"length scale from {', '.join(map(str, _TWIN_LENGTH_SCALES))} by the same rule, "
        f"600 noisy forcings, 120 noisy boundary values; {n_keys} data set{'s' * (n_keys > 1)}"
    )
    yield measured(
        f"noise scale of the pde / true, by evidence, {_N_TWIN:,} features, {what}",
        *(_by_evidence(problem, key) for key, problem in enumerate(problems)),
        at_least=0.8,
        at_most=1.2,
    )
    yield measured(
        f"noise scale of the pde / true, by maximum likelihood: it collapses, {_N_TWIN:,} features, {what}",
        *(_by_maximum_likelihood(problem, key, _N_TWIN) for key, problem in enumerate(problems)),
        at_most=1e-3,
    )
    yield measured(
        f"noise scale of the pde / true, by maximum likelihood: too small, but no collapse, 600 features, {what}",
        *(_by_maximum_likelihood(problem, key, 600) for key, problem in enumerate(problems)),
    )


def _noisy(key: int) -> BoundaryValueProblem:
    generator = numpy_generator(as_key(key))
    along, end = generator.uniform(-1, 1, size=30), np.ones(30)
    points = {
        "pde": generator.uniform(-1, 1, size=(600, 2)),
        "boundary": _edges(along, end),
    }
    priors = {name: dist.LogNormal(np.log(_START[name] * sigma), 2.0) for name, sigma in _SIGMA.items()}
    return _sampled_at(points, {name: Measured(prior) for name, prior in priors.items()}, generator=generator)


def _sampled_at(
    points: dict[str, Float[np.ndarray, "point 2"]],
    noise: dict[str, Measured],
    *,
    generator: np.random.Generator | None = None,
    a2: int = 4,
) -> BoundaryValueProblem:
    """The Helmholtz problem known at points only; exactly, or with the noise of `_SIGMA`."""
    problem = helmholtz.make(a2=a2)

    def sampled(constraint: Constraint) -> Constraint:
        place = points[constraint.name]
        exact = np.broadcast_to(constraint.target(*place.T) if callable(constraint.target) else 0.0, len(place))
        error = 0.0 if generator is None else _SIGMA[constraint.name] * generator.standard_normal(len(place))
        return replace(constraint, points=place, target=exact + error, noise=noise[constraint.name])

    return replace(problem, constraints=tuple(map(sampled, problem.constraints)))


def _edges(along: Float[np.ndarray, " point"], end: Float[np.ndarray, " point"]) -> Float[np.ndarray, "point 2"]:
    """The same points along all four edges of [-1, 1]^2."""
    return np.concatenate([np.column_stack(edge) for s in (-1, 1) for edge in ((s * end, along), (along, s * end))])


def _covered(result: xr.DataTree) -> Float[np.ndarray, " point"]:
    estimates = result[schema.ESTIMATES].to_dataset()
    known = result[schema.CONSTANT_DATA].to_dataset()["u_reference"].values
    inside = (estimates[schema.lower("u")].values <= known) & (known <= estimates[schema.upper("u")].values)
    return inside.ravel()


def _by_evidence(problem: BoundaryValueProblem, key: int) -> float:
    """Learned over true noise scale of the equation, on the features that `_by_maximum_likelihood` has."""
    frequencies = pinn.GaussianPairs(grid=_TWIN_LENGTH_SCALES)
    field = pinn.RandomFeatures(n_features=_N_TWIN, frequencies=frequencies)
    result = pinn.infer(problem, field=field, key=key, n_draws=4)
    learned = result[schema.NOISE].to_dataset()[schema.NOISE_SCALE]
    return float(learned.sel(constraint="pde")) / _SIGMA["pde"]


def _by_maximum_likelihood(problem: BoundaryValueProblem, key: int, n_features: int) -> float:
    """The same with weights, scales and length scale at the largest joint likelihood.

    Each noise scale is then the rms of its residuals: what the weights take of their degrees of freedom is not
    counted, and the weights have no prior to speak of.
    """
    found = []
    for length_scale in _TWIN_LENGTH_SCALES:
        field = pinn.RandomFeatures(n_features=n_features, frequencies=pinn.GaussianPairs(length_scale=length_scale))
        setting = prepare(problem, field, None, key=as_key(key))
        with jax.enable_x64(True):
            basis = setting.basis(length_scale)
            stack = stack_of(problem, setting.operators, setting.nodes, basis, names=setting.names)
        found.append(_largest_likelihood(stack))
    return max(found)[1] / _SIGMA["pde"]


def _largest_likelihood(stack: Stack) -> tuple[float, float]:
    """Log likelihood up to a constant, and the noise scale of the equation."""
    noise, position = {name: _START[name] * sigma for name, sigma in _SIGMA.items()}, np.zeros(stack.n_dims)
    for _ in range(_ROUNDS):
        mode = GaussNewton().mode(stack, Scales(noise=noise, prior={"u": 1e6}), position)
        position = mode.position
        noise = {n: float(np.sqrt(np.mean(mode.residual[part] ** 2))) for n, part in stack.row_blocks.items()}
        if min(noise[name] / sigma for name, sigma in _SIGMA.items()) < _COLLAPSED:
            break  # what follows is rounding
    likelihood = -sum((part.stop - part.start) * np.log(noise[n]) for n, part in stack.row_blocks.items())
    return float(likelihood), noise["pde"]


@dataclass(frozen=True, kw_only=True)
class Band:
    """How a band stands to the error.

    Attributes:
        relative_error: Relative L2 error.
        coverage: Of the 95% band.
        rms_z: Root mean square of error over standard deviation.
    """

    relative_error: float
    coverage: float
    rms_z: float


def _without_noise(resolutions: tuple[int, ...]) -> Iterator[Row]:
    for a2 in (4, 1):
        bands = [_band(a2, n) for n in resolutions]
        places = ", ".join(f"{n * n}+{8 * n}" for n in resolutions)
        what = f"noise-free Helmholtz, {a2} waves in y, 2,400 features, at {places} points"
        yield measured(f"95% band covers, at each, {what}", *(band.coverage for band in bands), at_least=0.80)
        unresolved = [band for band in bands if band.relative_error > _RESOLVED]
        if unresolved:
            yield measured(
                f"rms of error / sd, at the {len(unresolved)} of them with an error above {_RESOLVED:g}, {what}",
                *(band.rms_z for band in unresolved),
                at_least=0.3,
                at_most=1.7,
            )
        errors = [band.relative_error for band in bands]
        yield measured(
            f"first / last relative error ({errors[0]:.1e} / {errors[-1]:.1e}), {what}",
            errors[0] / errors[-1],
            # The slow wave is resolved from the first on, and what it can fall to is the noise.
            at_least=1e4 if errors[0] > _RESOLVED else -np.inf,
        )


def _band(a2: int, n: int, key: int = 0) -> Band:
    # On a grid an unresolved wave looks like a slower one, and the evidence believes it.
    net = ScrambledSobol().unit_points(2 ** (n * n - 1).bit_length(), 2, key=as_key(key))
    along = -np.cos(np.pi * np.arange(2 * n) / (2 * n - 1))
    points = {"pde": 2.0 * net[: n * n] - 1.0, "boundary": _edges(along, np.ones(2 * n))}
    problem = _sampled_at(points, {name: Measured(sigma) for name, sigma in _EXACT.items()}, a2=a2)
    result = pinn.infer(problem, field=_BAND, noise=pinn.MacKay(max_rounds=10), key=key, grid=30, n_draws=4)
    table = result[schema.DIAGNOSTICS].to_dataset()
    return Band(
        relative_error=float(table[schema.RELATIVE_ERROR].values[0]),
        coverage=float(table[schema.COVERAGE].sel(level=0.95).values[0]),
        rms_z=float(table[schema.RMS_Z].values[0]),
    )


def _points_doubled() -> Iterator[Row]:
    """The law of the inverse problem enforced at twice as many points: as a law, and as so many sensors."""
    for noise, text, low, high in (
        (Integrated(0.002), "as a law (Integrated): the points are a quadrature", 0.9, 1.1),
        (Measured(0.01), "as sensors (Measured): 1 / sqrt 2 = 0.71", 0.64, 0.78),
    ):
        few, many = (_width_of_k(noise, n) for n in (32, 64))
        yield measured(
            f"posterior sd of k, 64 points / 32 points of the equation, {text}, reaction in 1-D",
            many / few,
            at_least=low,
            at_most=high,
        )


def _width_of_k(noise: Integrated | Measured, n: int) -> float:
    problem = bpinn_inverse_1d.make(noise=1e-3)
    known, sensors = problem.references["u"], np.linspace(-0.7, 0.7, 41)
    assert isinstance(known, FieldReference)
    pde, _, within = problem.constraints
    with jax.enable_x64(True):
        values = np.asarray(known.function(sensors))
    forcing: Any = bpinn_inverse_1d._forcing
    constraints = (
        replace(pde, points=problem.domain.interior, target=forcing, noise=noise),
        replace(within, points=sensors[:, None], target=values),
    )
    result = pinn.infer(
        replace(problem, constraints=constraints),
        field=pinn.RandomFeatures(n_features=100, frequencies=pinn.GaussianPairs(length_scale=0.14)),
        collocation=pinn.GaussGrid(n=n),
        key=0,
        n_draws=4,
    )
    return float(result[schema.ESTIMATES].to_dataset()[schema.standard_error("k")])
