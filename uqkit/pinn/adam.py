"""Training by Adam on mini-batches, the constraints' losses balanced by their gradients."""

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from uqkit.errors import InputError
from uqkit.pinn.mini_batches import BatchLosses, batch_losses
from uqkit.pinn.network import plain
from uqkit.pinn.network_stack import FieldNetwork, network_stack
from uqkit.pinn.setting import Setting
from uqkit.pinn.trained import Training
from uqkit.problems import Region
from uqkit.running.scan import fingerprint
from uqkit.running.training import train

__all__ = ["AdamBalanced", "PrintedGradientRatio", "SquareRootGradient"]

type Weights = Float[Array, " constraint"]


@dataclass(frozen=True, kw_only=True)
class _Moving:
    """Settings of weights that move towards a goal.

    Attributes:
        new_share: Share of the goal in the new weight; the old one keeps the rest.
        every: Steps between updates.
    """

    new_share: float = 0.1
    every: int = 10

    def __post_init__(self) -> None:
        """Check the settings."""
        if not 0 < self.new_share <= 1 or self.every < 1:
            raise InputError(f"{self}: pass a new_share above 0 and up to 1, and every >= 1.")


@dataclass(frozen=True, kw_only=True)
class SquareRootGradient(_Moving):
    """Balances the loss L_i of each constraint with the laws in the interior, L_r, by their gradients.

    The weight w_i of L_i starts at 1 and moves towards max |grad L_r| / mean |w_i grad L_i|. It comes to rest at the
    square root of max |grad L_r| / mean |grad L_i|, half-way between no balance and the rule as it was printed, which
    makes it stable. This is what the authors' released code does, and what their tables were computed with.

    The maximum is over the weight matrices of the hidden and the last layers, the mean is that of the layers' means;
    biases, encoders of a gated network and embeddings do not count.

    Reference:
        Wang, Teng & Perdikaris (2021), SIAM Journal on Scientific Computing 43(5), A3055, Algorithm 1, by the code at
        github.com/PredictiveIntelligenceLab/GradientPathologiesPINNs.
    """

    def goal(self, largest: Float[Array, ""], mean: Weights, weight: Weights) -> Weights:
        """Where the weights move to.

        Args:
            largest: Largest entry of the gradient of L_r.
            mean: Mean entry of the gradient of each L_i.
            weight: The weights now.
        """
        return largest / (mean * weight)


@dataclass(frozen=True, kw_only=True)
class PrintedGradientRatio(_Moving):
    """As `SquareRootGradient`, but moving towards max |grad L_r| / mean |grad L_i|, as the rule is printed.

    For comparison: the weights grow by many orders of magnitude, until homogeneous boundary values are all that is
    learned.

    Reference:
        Wang, Teng & Perdikaris (2020), arXiv 2001.04536v1, eq. 40.
    """

    def goal(self, largest: Float[Array, ""], mean: Weights, weight: Weights) -> Weights:
        """Where the weights move to; the arguments are those of `SquareRootGradient`."""
        return largest / mean


@dataclass(frozen=True, kw_only=True)
class AdamBalanced:
    """Adam on fresh random points at each step, in single precision, as in the paper on gradient pathologies.

    The loss is the weighted sum over constraints of their mean squared residuals, in the operators' units; a region of
    several parts counts with the sum of their means. Unknown parameters are trained along. Tolerances and noise scales
    play no part, nor do priors: they are the posterior's, which is found around the weights that this ends with.

    Attributes:
        balance: How losses are weighted: `SquareRootGradient()`, `PrintedGradientRatio()`, or None for weights of 1.
        n_steps: How many steps.
        batch: Points a part of a region at each step; of given points all are used.
        learning_rate: Of the first step.
        decay: Factor on the learning rate over `decay_steps` steps, continuous in between.
        decay_steps: See `decay`.
        record_every: Steps between records of losses and weights; it divides `n_steps`.

    Raises:
        InputError: If a setting is out of range.

    Reference:
        Kingma & Ba (2015), arXiv 1412.6980; for the settings Wang, Teng & Perdikaris (2021), SIAM Journal on Scientific
        Computing 43(5), A3055.
    """

    balance: SquareRootGradient | PrintedGradientRatio | None = SquareRootGradient()
    n_steps: int = 40_000
    batch: int = 128
    learning_rate: float = 1e-3
    decay: float = 0.9
    decay_steps: int = 1_000
    record_every: int = 100

    def __post_init__(self) -> None:
        """Check the settings."""
        if not isinstance(self.balance, (SquareRootGradient, PrintedGradientRatio, type(None))):
            raise InputError(
                f"`balance` is {self.balance!r}; pass SquareRootGradient(), PrintedGradientRatio() or None."
            )
        if min(self.n_steps, self.batch, self.decay_steps, self.record_every) < 1:
            raise InputError(f"{self}: pass 1 or more for n_steps, batch, decay_steps and record_every.")
        if not 0 < self.learning_rate < np.inf or not 0 < self.decay <= 1:
            raise InputError(f"{self}: pass a finite learning_rate above 0, and a decay above 0 and up to 1.")
        if self.n_steps % self.record_every:
            raise InputError(
                f"n_steps={self.n_steps} is no multiple of record_every={self.record_every}; change one of them."
            )

    def train(
        self,
        setting: Setting,
        fields: FieldNetwork,
        *,
        key: Key[jax.Array, ""],
        store: str | Path | None,
        progress: bool | None,
    ) -> tuple[FieldNetwork, Float[np.ndarray, " dim"], Training]:
        """Train a network.

        Args:
            setting: The problem and its operators; its nodes are not used.
            fields: The network, with the weights to start from.
            key: Source of the points.
            store: File (.npz) that keeps the training after each thousand steps; the same call goes on from there.
            progress: Whether to show progress; None shows it only on a terminal.

        Returns:
            The fields with factorised weights multiplied out, their position after the training (weights, then scores
            of the parameters) in double precision, and the record.

        Raises:
            InputError: If losses cannot be balanced.
            DivergedError: If a loss is not finite.
        """
        problem, interior = setting.problem, _interior(setting)
        if self.balance is not None and not any(interior):
            raise InputError(
                f"{type(self.balance).__name__}() balances constraints with the laws in the interior, and problem "
                f"{problem.name!r} has none on a region of it; pass AdamBalanced(balance=None)."
            )
        pool_key, step_key = jax.random.split(key)
        with jax.enable_x64(True):
            # Residuals at the start tell one problem from another, whose functions have no content to compare.
            stack = network_stack(problem, setting.operators, setting.nodes, fields, names=setting.names)
            start = np.concatenate([np.asarray(fields.flat.vector), np.zeros(len(problem.parameter_names))])
            at_start = np.asarray(stack.residual(start))
        with jax.enable_x64(False):
            losses = batch_losses(problem, setting.operators, fields, n_points=self.batch, key=pool_key)
            gradient = _BalancedGradient(losses, self.balance, interior, _matrices(fields))
            n_parameters = len(problem.parameter_names)
            done = train(
                gradient,
                _adam(self.learning_rate, self.decay, self.decay_steps),
                jnp.concatenate([losses.fields.flat.vector, jnp.zeros(n_parameters)]),
                self.n_steps,
                carry=jnp.ones(len(problem.constraints)),
                record_every=self.record_every,
                key=step_key,
                label=f"{problem.name}: steps",
                progress=progress,
                store=store,
                identity=fingerprint(replace(self, n_steps=self.record_every), problem.name, losses, at_start),
            )
        training = Training(
            objective=np.empty(0),
            n_evaluations=self.n_steps,
            step=done.step,
            loss=done.outputs["loss"],
            balance=done.outputs["balance"],
        )
        position = np.asarray(done.weights, dtype=float)
        n_weights = fields.flat.n_weights
        with jax.enable_x64(True):
            trained = replace(fields.flat, network=fields.flat.restore(position[:n_weights]))
            vector = np.asarray(plain(replace(fields, flat=trained)).flat.vector)
            return plain(fields), np.concatenate([vector, position[n_weights:]]), training


class _BalancedGradient(eqx.Module):
    """Gradient of the weighted loss on a new mini-batch, as `uqkit.running.training` takes it; it carries the weights.

    Attributes:
        losses: Of the constraints.
        rule: How they are balanced.
        interior: Which of them are laws in the interior.
        matrices: Where the position holds weight matrices.
    """

    losses: BatchLosses
    rule: SquareRootGradient | PrintedGradientRatio | None = eqx.field(static=True)
    interior: tuple[bool, ...] = eqx.field(static=True)
    matrices: tuple[tuple[int, int], ...] = eqx.field(static=True)

    def __call__(
        self, weights: Float[Array, " dim"], carry: Weights, key: Any, number: Any
    ) -> tuple[Float[Array, " dim"], Weights, dict[str, Weights]]:
        """Gradient, weights of the losses, and what is recorded."""
        batches = self.losses.draw(key)

        def together(position: Any, balance: Weights) -> Any:
            def weighted(position: Any) -> Any:
                loss = self.losses.each(position, batches)
                return balance @ loss, loss

            (_, loss), slope = jax.value_and_grad(weighted, has_aux=True)(position)
            return slope, balance, loss

        def apart(position: Any, balance: Weights) -> Any:
            # As many operations as together: each point is differentiated once either way.
            found = [
                jax.value_and_grad(functools.partial(self.losses.one, i))(position, batch)
                for i, batch in enumerate(batches)
            ]
            slopes = jnp.stack([slope for _, slope in found])
            balance = self.rebalanced(slopes, balance)
            return balance @ slopes, balance, jnp.stack([loss for loss, _ in found])

        if self.rule is None:
            slope, balance, loss = together(weights, carry)
        else:
            slope, balance, loss = jax.lax.cond(number % self.rule.every == 0, apart, together, weights, carry)
        return slope, balance, {"loss": loss, "balance": balance}

    def rebalanced(self, slopes: Float[Array, "constraint dim"], balance: Weights) -> Weights:
        """The next weights, from the gradient of each loss."""
        assert self.rule is not None
        law = np.array(self.interior)
        parts = [jnp.abs(slopes[:, start:stop]) for start, stop in self.matrices]
        laws = jnp.abs(slopes[law].sum(axis=0))
        largest = jnp.stack([laws[start:stop].max() for start, stop in self.matrices]).max()
        mean = jnp.stack([part.mean(axis=1) for part in parts]).mean(axis=0)
        goal = self.rule.goal(largest, mean, balance)
        moved = (1.0 - self.rule.new_share) * balance + self.rule.new_share * goal
        # What holds exactly, by an envelope say, has no gradient to balance.
        return jnp.where(law | (mean == 0.0), balance, moved)


def _interior(setting: Setting) -> tuple[bool, ...]:
    """Which constraints are laws in the interior: on a region with a part where no coordinate is fixed."""
    return tuple(
        isinstance(constraint.points, Region) and any(not fixed for fixed in constraint.points.parts)
        for constraint in setting.problem.constraints
    )


def _matrices(fields: FieldNetwork) -> tuple[tuple[int, int], ...]:
    """Where the vector of weights holds the weight matrices of hidden and last layers, factorised ones as they are."""
    network = fields.flat.network
    leaves = {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(network)
    }
    return tuple(
        (part.start, part.stop)
        for name, part in fields.flat.blocks.items()
        if leaves[name].ndim == 2 and name.split(".")[0] not in ("inputs", "encoders")
    )


@functools.lru_cache(maxsize=32)
def _adam(learning_rate: float, decay: float, decay_steps: int) -> optax.GradientTransformation:
    # One object for the same settings, so that compiled code is found again.
    return optax.adam(optax.exponential_decay(learning_rate, decay_steps, decay))
