"""From a problem to a trained network and its Gaussian posterior."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float, Key

from uqkit.inference import LevenbergMarquardt, MacKay, Scales
from uqkit.pinn.adam import AdamBalanced
from uqkit.pinn.collocation import ResidualAdaptive
from uqkit.pinn.fitted import Choice, Fit, held_out_score
from uqkit.pinn.methods import AttainedTolerance
from uqkit.pinn.network import Network, TrainedFeatures, plain
from uqkit.pinn.network_stack import FieldNetwork, NetworkStack, network_stack
from uqkit.pinn.scales import attained, first_noise
from uqkit.pinn.setting import Setting, adapted
from uqkit.pinn.stack import PARAMETERS, Nodes
from uqkit.pinn.trained import FrozenLayers, TrainedBasis, Training
from uqkit.running.scan import fingerprint

__all__ = ["network_fit", "with_trained_features"]

# Iterations on points that stay, after those on points that are drawn anew.
_POLISH = 30
# Relative decrease that ends them.
_ENOUGH = 1e-2
# Points that stay, relative to those of one draw: a network that sees the same points again and again fits them alone.
_DENSER = 2


@dataclass(frozen=True)
class _Trained:
    """A network after its training, with nodes and held-out points where its residual is large.

    Attributes:
        setting: With these points.
        fields: The network, its weights those before the training.
        position: Weights, and scores of the parameters.
        training: What happened.
    """

    setting: Setting
    fields: FieldNetwork
    position: Float[np.ndarray, " dim"]
    training: Training


def network_fit(
    setting: Setting,
    network: Network,
    method: LevenbergMarquardt | AdamBalanced,
    rule: MacKay,
    reached: AttainedTolerance | None,
    *,
    store: str | Path | None,
    progress: bool | None,
) -> Fit:
    """Train the network, then find the mode and the scales near it."""
    done = _trained(setting, network, method, store=store, progress=progress)
    if isinstance(method, AdamBalanced):
        # Where Adam has ended is shown as it is: its loss has another minimum than the posterior.
        polish = LevenbergMarquardt(max_iterations=0)
    else:
        polish = replace(method.refined(_ENOUGH), max_iterations=min(method.max_iterations, _POLISH))

    def solved(at: Setting, start: Float[np.ndarray, " dim"]) -> Fit:
        noise, priors = first_noise(at)
        with jax.enable_x64(True):
            stack = network_stack(at.problem, at.operators, at.nodes, done.fields, names=at.names)
        scales = Scales(noise=noise, prior=_prior_scales(network, done.fields, at))
        found = rule.fit(stack, scales, start, noise_priors=priors, nonlinear=stack.names, method=polish)
        alone = Choice(
            np.array([1.0]),
            np.array([found.laplace.log_evidence]),
            np.array([np.nan]),
            0,
            by_evidence=False,
            meaning="one network",
            unit="1",
        )
        made = Fit(
            at, done.fields, stack, stack.names, found, alone, np.nan, found.n_evaluations, training=done.training
        )
        return replace(made, held_out=held_out_score(made))

    def again(factors: Mapping[str, float], last: Fit) -> Fit:
        found = solved(replace(done.setting, relaxed=factors), last.laplace.mode.position)
        return replace(found, n_evaluations=found.n_evaluations + last.n_evaluations)

    found = solved(done.setting, done.position)
    found = replace(found, n_evaluations=found.n_evaluations + done.training.n_evaluations)
    return found if reached is None else attained(found, reached, again)


def with_trained_features(
    setting: Setting, prior: TrainedFeatures, *, store: str | Path | None, progress: bool | None
) -> Setting:
    """The setting with the features of a trained network, and nodes that suit them."""
    found = network_fit(setting, prior.network, prior.training, MacKay(), None, store=store, progress=progress)
    fields, position = found.representation, found.laplace.mode.position
    assert isinstance(fields, FieldNetwork)
    n_weights = fields.flat.n_weights
    with jax.enable_x64(True):
        network = fields.flat.restore(position[:n_weights])
        weights, bias = np.asarray(network.last.weight), np.asarray(network.last.bias)
    last = [np.append(row, b) * size for row, b, size in zip(weights, bias, fields.amplitude, strict=True)]
    start = np.concatenate([*last, position[n_weights:]])
    return replace(found.setting, trained=FrozenLayers(TrainedBasis(network), start, found.training))


def _trained(
    setting: Setting,
    network: Network,
    method: LevenbergMarquardt | AdamBalanced,
    *,
    store: str | Path | None,
    progress: bool | None,
) -> _Trained:
    build_key, train_key, node_key, held_out_key = jax.random.split(setting.basis_key, 4)
    with jax.enable_x64(True):
        built = network.build(setting.problem, key=build_key)
    if isinstance(method, AdamBalanced):
        fields, position, training = method.train(setting, built, key=train_key, store=store, progress=progress)
    else:
        fields = plain(built)
        position, training = _by_levenberg_marquardt(
            setting, network, fields, method, key=train_key, store=store, progress=progress
        )
    denser = setting
    if isinstance(setting.collocation, ResidualAdaptive) and isinstance(method, LevenbergMarquardt):
        denser = replace(setting, collocation=ResidualAdaptive(n=_DENSER * setting.collocation.n))
    nodes = _adapted(denser, fields, position, node_key)
    fresh = _adapted(denser, fields, position, held_out_key)
    held_out = tuple(None if old is None else new for old, new in zip(setting.held_out, fresh, strict=True))
    return _Trained(replace(setting, nodes=nodes, held_out=held_out), fields, position, training)


def _by_levenberg_marquardt(
    setting: Setting,
    network: Network,
    fields: FieldNetwork,
    method: LevenbergMarquardt,
    *,
    key: Key[jax.Array, ""],
    store: str | Path | None,
    progress: bool | None,
) -> tuple[Float[np.ndarray, " dim"], Training]:
    noise, _ = first_noise(setting)
    scales = Scales(noise=noise, prior=_prior_scales(network, fields, setting))

    def stack_at(nodes: tuple[Nodes, ...]) -> NetworkStack:
        with jax.enable_x64(True):
            return network_stack(setting.problem, setting.operators, nodes, fields, names=setting.names)

    def redrawn(position: Float[np.ndarray, " dim"], n_done: int) -> NetworkStack:
        return stack_at(_adapted(setting, fields, position, jax.random.fold_in(key, n_done)))

    drawn_anew = any(part is not None for part in setting.held_out)
    first = stack_at(setting.nodes)
    with jax.enable_x64(True):
        start = np.concatenate([np.asarray(fields.flat.vector), np.zeros(len(setting.problem.parameter_names))])
        at_start = np.asarray(first.residual(start))
    mode = method.mode(
        first,
        scales,
        start,
        redrawn=redrawn if drawn_anew else None,
        store=store,
        # Residuals at the start tell one problem from another: operators, targets, known parts, tolerances.
        identity=fingerprint(replace(method, max_iterations=1), network, scales, start, at_start),
        label=f"{setting.problem.name}: iterations",
        progress=progress,
    )
    return mode.position, Training(objective=mode.objective, n_evaluations=mode.n_evaluations)


def _prior_scales(network: Network, fields: FieldNetwork, setting: Setting) -> dict[str, float]:
    with jax.enable_x64(True):
        scales = network.prior_scales(fields)
    return {**scales, PARAMETERS: 1.0} if setting.problem.parameter_names else scales


def _adapted(
    setting: Setting, fields: FieldNetwork, position: Float[np.ndarray, " dim"], key: Key[jax.Array, ""]
) -> tuple[Nodes, ...]:
    """New nodes, dense where the residual of the network is large."""

    def residual(number: int, points: Float[np.ndarray, "point coordinate"]) -> Float[np.ndarray, " point"]:
        constraint, operator = setting.problem.constraints[number], setting.operators[number]
        shape = setting.problem.shape_at(constraint, points)
        node = Nodes(points, setting.problem.target_at(constraint, points), shape)
        stack = network_stack(setting.problem, [operator], [node], fields, names=(constraint.name,))
        return np.abs(np.asarray(stack.residual(position)))

    with jax.enable_x64(True):
        return adapted(setting, residual, key=key)
