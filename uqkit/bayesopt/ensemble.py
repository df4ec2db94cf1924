"""Ensembles of networks that are trained, not sampled: anchored, so that their spread is a posterior's, or plain."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from uqkit.bayesopt.laplace_fit import EvidenceFit
from uqkit.bayesopt.members import Members, MemberSurrogate
from uqkit.bayesopt.network import NOISE_VARIANCE, NetworkData, NetworkModel
from uqkit.bayesopt.training import AnchoredTraining, PlainTraining
from uqkit.errors import InputError
from uqkit.inference import Draws
from uqkit.running.scan import fingerprint
from uqkit.running.training import train

__all__ = ["EnsembleNetwork"]


class EnsembleNetwork(MemberSurrogate):
    """An ensemble of trained networks.

    Args:
        data: `train_X`, `train_Y` and `train_Yvar`, see `NetworkSurrogate`.
        training: How members are trained: `AnchoredTraining()` or `PlainTraining()`.
        settings: See `NetworkSurrogate`.
    """

    def __init__(
        self,
        *data: Any,
        training: AnchoredTraining | PlainTraining = AnchoredTraining(),  # noqa: B008 - a frozen value
        **settings: Any,
    ) -> None:
        """See the class."""
        super().__init__(*data, **settings)
        if not isinstance(training, (AnchoredTraining, PlainTraining)):
            raise InputError(f"training={training!r}: pass AnchoredTraining() or PlainTraining().")
        self.training_setting = training
        self._settings["training"] = training

    def _infer(
        self, data: NetworkData, key: Key[jax.Array, ""], store: str | Path | None, progress: bool | None
    ) -> tuple[Members, Draws | None]:
        setting = self.training_setting
        evidence_key, prior_key, data_key, train_key = jax.random.split(key, 4)
        with jax.enable_x64(True):
            if isinstance(setting, AnchoredTraining):
                sites = EvidenceFit()(self.network, data, evidence_key).sites
                fixed = {name: value for name, value in sites.items() if name not in self.network.shapes}
            else:
                fixed = _medians(self.network)
            shape = (setting.n_members, self.network.n_weights)
            anchor = jax.random.normal(prior_key, shape)
            loss = _Misfit(self.network, setting, data, fixed, anchor, data_key).in_single_precision()
        with jax.enable_x64(False):
            # Single precision is enough: a gradient method stops long before its rounding shows.
            trained = train(
                loss,
                _adam(setting.learning_rate, setting.n_steps),
                jnp.asarray(anchor, jnp.float32),
                setting.n_steps,
                record_every=setting.n_steps,
                key=train_key,
                label="steps",
                progress=progress,
                store=store,
                identity=fingerprint(repr(setting), repr(self.network), data),
            )
        with jax.enable_x64(True):
            white = jnp.asarray(trained.weights, dtype=float)
            scales = jnp.stack([fixed[name] for name in self.network.scale_names])
            members = jax.vmap(lambda one: self.network.named(scales, one))(white)
            return members | {
                name: jnp.broadcast_to(value, (setting.n_members, *value.shape))
                for name, value in fixed.items()
                if name == NOISE_VARIANCE
            }, None


@cache
def _adam(learning_rate: float, n_steps: int) -> optax.GradientTransformation:
    """One object a setting: compiled loops are found again by the identity of its functions."""
    return optax.adam(optax.cosine_decay_schedule(learning_rate, n_steps, alpha=0.01))


class _Misfit(eqx.Module):
    """Gradient of all members' objectives."""

    network: NetworkModel = eqx.field(static=True)
    data: NetworkData
    fixed: Mapping[str, Array]
    anchor: Float[Array, "member weight"]
    outputs: Float[Array, "member row output"]
    present: Float[Array, "member row"]

    def __init__(
        self,
        network: NetworkModel,
        setting: AnchoredTraining | PlainTraining,
        data: NetworkData,
        fixed: Mapping[str, Array],
        anchor: Float[Array, "member weight"],
        key: Key[Array, ""],
    ) -> None:
        self.network, self.data, self.fixed = network, data, fixed
        shape = (setting.n_members, *data.outputs.shape)
        if isinstance(setting, AnchoredTraining):
            self.anchor = anchor
            self.outputs = data.outputs + jnp.sqrt(self._variance()) * jax.random.normal(key, shape)
            self.present = jnp.broadcast_to(data.present, shape[:2])
        else:
            self.anchor = jnp.zeros_like(anchor)
            self.outputs = jnp.broadcast_to(data.outputs, shape)
            # The rows of smallest random numbers, padding last.
            level = jax.random.uniform(key, shape[:2]) + 2.0 * (1.0 - data.present)
            n_kept = jnp.ceil(setting.share * data.present.sum()).astype(int)
            self.present = jnp.where(level.argsort(axis=1).argsort(axis=1) < n_kept, data.present, 0.0)

    def in_single_precision(self) -> "_Misfit":
        return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), self)

    def _variance(self) -> Array:
        return self.fixed[NOISE_VARIANCE] if self.data.noise_variance is None else self.data.noise_variance

    def __call__(self, weights: Any, carry: Any, key: Any, number: Any) -> tuple[Any, Any, Any]:
        scales = jnp.stack([self.fixed[name] for name in self.network.scale_names])

        def gradient(member: tuple[Array, Array, Array, Array]) -> Array:
            white, anchor, outputs, present = member

            def objective(white: Array) -> Array:
                values = self.network.values(self.network.named(scales, white), self.data.columns)
                misfit = present[:, None] * (values - outputs) ** 2 / self._variance()
                return 0.5 * (misfit.sum() + ((white - anchor) ** 2).sum())

            return jax.grad(objective)(white)

        return jax.lax.map(gradient, (weights, self.anchor, self.outputs, self.present)), carry, ()


def _medians(network: NetworkModel) -> dict[str, Array]:
    prior = network.prior
    fixed = {name: jnp.asarray(prior.scale, dtype=float) for name in network.scale_names[:-1]}
    fixed[network.scale_names[-1]] = jnp.asarray(prior.output_scale, dtype=float)
    return fixed | {NOISE_VARIANCE: jnp.full((network.n_outputs,), prior.noise_sd**2)}
