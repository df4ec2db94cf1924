"""The shell of the workflow: checks what was asked, moves the particles, assembles the result."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Key

from uqkit._typing import PRNGKey
from uqkit.diffusion.checks import check_final, check_noise, check_path, check_scores, resolved_divergence
from uqkit.diffusion.estimates import Estimate, ratio_of_normalizers
from uqkit.diffusion.polish import MetropolisPolish
from uqkit.diffusion.rates import MeanExpertTransport
from uqkit.diffusion.result import Run, assemble
from uqkit.diffusion.sampler import EulerMaruyamaSampler, HeunSampler, Particles, Sampler, Step, first_particles
from uqkit.diffusion.schedules import Scalar
from uqkit.diffusion.targets import Expert, Reward, Target
from uqkit.errors import InputError
from uqkit.keys import as_key, key_label, numpy_generator
from uqkit.problems import Density
from uqkit.results import schema
from uqkit.running.scan import DivergedError, fingerprint, run_scan
from uqkit.stats import log_mean_weight, systematic_ancestors

__all__ = ["sample", "transport_gap"]

# Steps that are kept at once: a checkpoint about every eighth of a run.
_N_CHUNKS = 8


def sample(
    target: Target | Expert,
    *,
    method: Sampler | None = None,
    islands: int = 8,
    particles: int = 1024,
    final: Density | Callable[[Array], Array] | None = None,
    polish: MetropolisPolish | None = None,
    coordinates: Sequence[str] | Mapping[str, str] | None = None,
    name: str = "target",
    key: PRNGKey,
    devices: int | Sequence[Any] | None = None,
    store: str | Path | None = None,
    progress: bool | None = None,
) -> xr.DataTree:
    """Sample a product of powers of diffusion models and rewards, and estimate its normaliser.

    Particles follow the reversed noising of the target, and weights make up for what their velocity leaves out; groups
    of particles that never meet, the islands, give every estimate its error.

    Args:
        target: An expert, or an algebra of experts and rewards: `q ** 3.0`, `q1 * q2 ** 0.5 * Reward(log_likelihood)`.
        method: `HeunSampler()` by default; with `final`, `EulerMaruyamaSampler()`.
        islands: Independent groups; the chains of the result. At least 2, for an interval.
        particles: In each island.
        final: The target's own log density without noise, in nats and up to a constant, where it is known: weights
            are then exact whatever the scores and the steps are, and the normaliser is that of `final`.
        polish: Metropolis steps on `final` that spread out draws which share an ancestor.
        coordinates: Names of the coordinates, or name -> unit; x0, x1, ... by default.
        name: What the target is called in the result.
        key: A JAX key or an int; the same key gives the same numbers.
        devices: Number of devices, or the devices, that islands are spread over; their number must divide that of
            islands.
        store: File (.npz) that keeps the run after each part of it; the same call goes on from there.
        progress: Whether to show progress on stderr; None shows it only on a terminal.

    Returns:
        A tree with `posterior` (equally weighted draws, a chain an island), `weighted_sample` (particles beside their
        log weights), `sample_stats` (ancestors and roots), `path` (each step: effective share, normaliser so far,
        resampling, Stein discrepancy, conflict of experts, stiffness), `estimates` (`log_normalizer` in nats, the
        target's mean and standard deviation, for a power alone its `renyi_entropy`; each with an error and 95%
        interval) and `diagnostics` with a verdict.

    Raises:
        InputError: If something cannot be used: a path that is not normalisable, a score of the wrong shape, a score
            that is not finite, too few islands; before sampling starts.
        DivergedError: If particles run off to infinity, since steps are too few for so steep a density; if none ends
            where the target is above zero, or `final` is NaN at one.

    Reference:
        Skreta et al. (2025), Feynman-Kac correctors in diffusion, ICML, arXiv 2503.02819, theorem 3.1; Del Moral,
        Doucet & Jasra (2006), Sequential Monte Carlo samplers.
    """
    started = time.perf_counter()
    target = Target.of([(target, 1.0)]) if isinstance(target, Expert) else target
    typed = as_key(key)
    method = _checked_method(target, method, final, polish)
    _check_sizes(islands, particles)
    labels = _labels(target, coordinates, final)
    mesh = _mesh(devices, islands)
    times = target.schedule.times(method.n_steps)
    margin = check_path(target, method, times)
    check_noise(target)
    density = final.log_density if isinstance(final, Density) else final
    start_key, step_key, choice_key, polish_key = jax.random.split(typed, 4)
    moving = tuple(place for place, moves in enumerate(target.moves) if moves)
    with jax.enable_x64(True):
        divergence = resolved_divergence(target, method, times)
        check_scores(target, times, labels, start_key)
        if density is not None:
            check_final(density, target, labels, start_key)
        traced = _traced(target)

        def start() -> Particles:
            made = first_particles(traced, method, divergence, moving, islands, particles, start_key)
            return made if mesh is None else jax.device_put(made, NamedSharding(mesh, PartitionSpec("island")))

        step = Step(traced, jnp.asarray(times), step_key, method, divergence, moving)
        identity = "" if store is None else fingerprint(target, method, typed, islands, particles, times)
        last, passage = run_scan(
            step,
            start,
            method.n_steps,
            chunk_size=math.ceil(method.n_steps / _N_CHUNKS),
            label="steps",
            progress=progress,
            store=store,
            identity=identity,
            is_sound=_is_sound,
        )
        correction = None if density is None else _at_all(density, last.position) + last.log_ratio - last.log_growth
        log_weight = last.log_weight if correction is None else last.log_weight + correction
        if density is None and target.rewards:
            allowed = _allowed(traced.rewards, last.position, times[-1])
            log_weight = jnp.where(allowed, log_weight, -jnp.inf)
            if not allowed.all():
                exact = np.asarray(jax.vmap(log_mean_weight)(log_weight))
                so_far = np.vstack([passage.log_normalizer[:-1], exact])
                passage = eqx.tree_at(lambda each: each.log_normalizer, passage, so_far)
        _check_weights(log_weight)
        ancestors, drawn = _equally_weighted(np.asarray(last.position), log_weight, choice_key)
        acceptance = None
        if polish is not None:
            assert density is not None
            drawn, acceptance = polish.applied(density, jnp.asarray(drawn), key=polish_key)
    return assemble(
        Run(
            target=target,
            method=method,
            divergence=divergence,
            times=times,
            margin=margin,
            passage=jax.tree.map(np.asarray, passage),
            position=np.asarray(last.position),
            log_weight=np.asarray(log_weight),
            correction=None if correction is None else np.asarray(correction),
            root=np.asarray(last.root),
            ancestor=ancestors,
            drawn=np.asarray(drawn),
            acceptance=acceptance,
            labels=labels,
            name=name,
        ),
        key_text=key_label(typed),
        started=started,
    )


def transport_gap(
    target: Target | Expert, *, method: Sampler | None = None, islands: int = 8, particles: int = 1024, key: PRNGKey
) -> Estimate:
    """How far the log normaliser moves when particles are transported otherwise: zero for true scores and fine steps.

    Scores that no density has, and scores that change with t as those of no diffused data do, show here; the right
    scores of a wrong density do not.

    Args:
        target: As for `sample`.
        method: `HeunSampler(n_steps=128)` by default, since steps that are too long show, too. The transport is
            replaced by `MeanExpertTransport()` at the full and at four fifths of the scores' part.
        islands: As for `sample`.
        particles: As for `sample`.
        key: As for `sample`; both runs have it.

    Returns:
        Difference of log normalisers in nats, with its error from the islands' differences.
    """
    chosen = HeunSampler(n_steps=128) if method is None else method
    found = []
    for factor in (1.0, 0.8):
        moved = replace(chosen, transport=MeanExpertTransport(factor=factor))
        result = sample(target, method=moved, islands=islands, particles=particles, key=key, progress=False)
        found.append(result[schema.PATH].to_dataset()[schema.ISLAND_LOG_NORMALIZER].values[-1])
    return ratio_of_normalizers(found[0], found[1])


_systematic = jax.jit(jax.vmap(systematic_ancestors))


def _equally_weighted(
    position: Float[np.ndarray, "island particle dim"],
    log_weight: Float[Array, "island particle"],
    key: Key[Array, ""],
) -> tuple[Int[np.ndarray, "island particle"], Float[np.ndarray, "island particle dim"]]:
    """Particles drawn by their weights, in random order, and which they are copies of."""
    choice_key, order_key = jax.random.split(key)
    chosen = _systematic(log_weight, jax.random.split(choice_key, len(position)))
    ancestors = numpy_generator(order_key).permuted(np.asarray(chosen), axis=1)
    return ancestors, np.take_along_axis(position, ancestors[:, :, None], axis=1)


@eqx.filter_jit
def _at_all(
    density: Callable[[Array], Array], position: Float[Array, "island particle dim"]
) -> Float[Array, "island particle"]:
    return jax.vmap(jax.vmap(density))(position)


@eqx.filter_jit
def _allowed(
    rewards: tuple[Reward, ...], position: Float[Array, "island particle dim"], t: Scalar
) -> Bool[Array, "island particle"]:
    """Whether no reward is -inf; along the path its wall stood for it."""

    def one(x: Array) -> Array:
        return jnp.stack([reward.allows(x, t) for reward in rewards]).all()

    return jax.vmap(jax.vmap(one))(position)


def _check_weights(log_weight: Float[Array, "island particle"]) -> None:
    if bool(jnp.isnan(log_weight).any() | (log_weight.max() == jnp.inf)):
        raise DivergedError("`final` is NaN or infinite at a particle; mend the function.")
    if bool(log_weight.max() == -jnp.inf):
        raise DivergedError(
            "no particle ended where the target is above zero: take more particles or steps, or a reward that falls "
            "off more gently."
        )


def _traced(target: Target) -> Target:
    """Fixed exponents as arrays: another exponent is then no other program."""
    exponents = tuple(e if callable(e) else jnp.asarray(float(e)) for e in target.exponents)
    return eqx.tree_at(lambda t: t.exponents, target, exponents)


def _checked_method(target: Any, method: Sampler | None, final: Any, polish: Any) -> Sampler:
    if not isinstance(target, Target):
        raise InputError(
            f"`target` is a {type(target).__name__}; pass an expert (ScoreModel, GaussianMixture) or a product of "
            "powers of experts and rewards."
        )
    if method is None:
        method = HeunSampler() if final is None else EulerMaruyamaSampler()
    if not isinstance(method, Sampler):
        raise InputError(f"`method` is {method!r}; pass HeunSampler() or EulerMaruyamaSampler().")
    if final is not None and not callable(final) and not isinstance(final, Density):
        raise InputError(f"`final` is {final!r}; pass a function of a point to its log density, or a Density.")
    if final is not None and (not isinstance(method, EulerMaruyamaSampler) or method.langevin == 0):
        raise InputError(
            "weights to a known final density need the densities of the steps, which only EulerMaruyamaSampler() with "
            "a positive langevin has; leave `method` out or pass that."
        )
    if polish is not None and final is None:
        raise InputError("`polish` moves draws by the target's own density: pass it as final=, too.")
    return method


def _check_sizes(islands: int, particles: int) -> None:
    for name, value in (("islands", islands), ("particles", particles)):
        if not isinstance(value, (int, np.integer)):
            raise InputError(f"{name}={value!r}: pass a whole number.")
    if islands < 2:
        raise InputError(f"islands={islands}: pass at least 2; errors and intervals come from how islands differ.")
    if particles < 2:
        raise InputError(f"particles={particles}: pass at least 2 in each island.")


def _labels(target: Target, coordinates: Any, final: Any) -> dict[str, str]:
    if coordinates is None and isinstance(final, Density):
        coordinates = final.coordinates
    if coordinates is None:
        coordinates = [f"x{i}" for i in range(target.dim)]
    labels = dict(coordinates) if isinstance(coordinates, Mapping) else dict.fromkeys(coordinates, "1")
    if len(labels) != target.dim:
        raise InputError(f"`coordinates` names {len(labels)}, but the target has {target.dim}; name each once.")
    return labels


def _mesh(devices: int | Sequence[Any] | None, islands: int) -> Mesh | None:
    if devices is None:
        return None
    known = jax.devices()
    if isinstance(devices, int):
        if not 1 <= devices <= len(known):
            raise InputError(f"devices={devices}: JAX sees {len(known)} here; pass a number from 1 to that.")
        devices = known[:devices]
    if not len(devices):
        raise InputError("`devices` is empty; pass some of jax.devices(), or leave it out.")
    if islands % len(devices):
        raise InputError(f"{islands} islands cannot be spread evenly over {len(devices)} devices; pass a multiple.")
    return Mesh(np.array(devices), ("island",))


def _is_sound(particles: Particles) -> bool:
    weight: Float[Array, "island particle"] = particles.log_weight
    return bool(jnp.isfinite(particles.position).all() & ~jnp.isnan(weight).any() & jnp.isfinite(weight.max()))
