"""A learner: what a method has made of the tasks so far, ready for the next one and for predictions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from uqkit._typing import PRNGKey
from uqkit.continual.decoders import CentralLimit, Decoder, FloatNetwork, SignNetwork, WeightDraws
from uqkit.continual.methods import Data, Method, MiniBatches, State
from uqkit.continual.network import shapes
from uqkit.continual.one_bit import OneBitNetwork
from uqkit.errors import InputError
from uqkit.keys import as_key
from uqkit.problems.tasks import Task, check_fits
from uqkit.running.scan import fingerprint
from uqkit.running.training import Trained, train

__all__ = ["Learner", "Scaling", "begin"]

# Rows that go through the network at once in a prediction.
_BATCH = 2_000


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """One shift and one scale for all inputs, of the first task: a task's own would tell which task it is.

    Attributes:
        centre: Mean of all inputs of all rows.
        scale: Their standard deviation.
    """

    centre: float
    scale: float

    @classmethod
    def of(cls, task: Task) -> "Scaling":
        """From the rows that a task learns from."""
        scale = float(task.inputs.std(dtype=np.float64))
        if scale == 0:
            raise InputError(
                f"all `inputs` of task {task.name!r} are {task.inputs[0, 0]}; there is nothing to learn from."
            )
        return cls(centre=float(task.inputs.mean(dtype=np.float64)), scale=scale)

    def __call__(self, rows: Any) -> Float[Array, "point input"]:
        """Rows of mean 0 and standard deviation 1, about."""
        return jnp.asarray((np.asarray(rows, np.float32) - np.float32(self.centre)) / np.float32(self.scale))


@dataclass(frozen=True, kw_only=True, eq=False)
class Learner:
    """A method's state after some tasks; `update` returns the next one and changes nothing.

    Attributes:
        method: Settings.
        state: Weights and memory.
        scaling: Of the inputs.
        n_inputs: Width of the input.
        n_classes: Of all tasks together.
        tasks: Names of the tasks learned so far.
    """

    method: Method
    state: State
    scaling: Scaling
    n_inputs: int
    n_classes: int
    tasks: tuple[str, ...] = ()

    def update(
        self, task: Task, *, key: PRNGKey, store: str | Path | None = None, progress: bool | None = None
    ) -> "Learner":
        """Learn one more task.

        Args:
            task: As wide as the first.
            key: A JAX key or an int; the same key gives the same numbers.
            store: File (.npz) that keeps the training after each epoch; the same call goes on from there.
            progress: Whether to show progress on stderr; None shows it only on a terminal.

        Raises:
            InputError: If the task does not fit; before training starts.
            DivergedError: If weights are no longer finite; the message names task and steps.
            RunInterrupted: On Ctrl-C; finished epochs are in the store.
        """
        return self.trained(task, key=key, store=store, progress=progress)[0]

    def trained(
        self, task: Task, *, key: PRNGKey, store: str | Path | None, progress: bool | None
    ) -> tuple["Learner", Trained]:
        """`update`, with the training's record beside."""
        check_fits(task, self.n_inputs, self.n_classes)
        x, y = task.train()
        mask = class_mask(task.classes, self.n_classes)
        data = Data(self.scaling(x), jnp.asarray(y), mask, number=len(self.tasks))
        batches = MiniBatches(data, size=min(self.method.batch_size, len(y)))
        n_steps = self.method.n_epochs * batches.n_steps
        gradient, carry = self.method.gradient(self.state, batches)
        training_key, absorbing_key = jax.random.split(as_key(key))
        identity = "" if store is None else fingerprint(self.method, self.state, data.x, data.y, mask)
        found = train(
            gradient,
            self.method.optimiser(n_steps),
            self.state.weights,
            n_steps,
            carry=carry,
            steps_per_chunk=batches.n_steps,
            key=training_key,
            label=f"steps of task {task.name!r}",
            progress=progress,
            store=store,
            identity=identity,
        )
        state = self.method.absorbed(self.state, found.weights, found.carry, data, absorbing_key)
        return replace(self, state=state, tasks=(*self.tasks, task.name)), found

    def predict(
        self,
        inputs: Any,
        *,
        decoder: Decoder | None = None,
        classes: Sequence[int] | None = None,
        key: PRNGKey = 0,
    ) -> Float[np.ndarray, "point class"]:
        """Probability of each class at given rows.

        Args:
            inputs: Rows (point, input), as they came: they are centred here.
            decoder: `CentralLimit()`, `WeightDraws()` or `SignNetwork()`; by default the method's own.
            classes: Those to choose between; all by default.
            key: Of the decoder's randomness.
        """
        return np.asarray(self.member_probabilities(inputs, decoder=decoder, classes=classes, key=key).mean(axis=0))

    def information(self, inputs: Any, *, n_draws: int = 30, key: PRNGKey) -> Float[np.ndarray, " point"]:
        """Mutual information of label and weights at each row, in nats: high where weight draws contradict each other.

        Args:
            inputs: Rows (point, input).
            n_draws: Weight draws.
            key: Of them.

        Reference:
            Houlsby et al. (2011), Bayesian active learning by disagreement, arXiv 1112.5745.
        """
        found = self.member_probabilities(inputs, decoder=WeightDraws(n_draws=n_draws), classes=None, key=key)
        whole, each = found.mean(axis=0), found
        return np.maximum(_entropy(whole) - _entropy(each).mean(axis=0), 0.0)

    def member_probabilities(
        self, inputs: Any, *, decoder: Decoder | None, classes: Sequence[int] | None, key: PRNGKey
    ) -> Float[np.ndarray, "draw point class"]:
        """Probabilities of each pass, draw or network of a decoder by itself."""
        chosen = self.decoders()[0] if decoder is None else decoder
        kinds = tuple(type(one) for one in self.decoders())
        if not isinstance(chosen, kinds) and not (CentralLimit in kinds and isinstance(chosen, WeightDraws)):
            raise InputError(
                f"a {type(self.method).__name__} learner has no {chosen!r}; pass "
                f"{' or '.join(kind.__name__ + '()' for kind in kinds)}."
            )
        rows = np.asarray(inputs, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.n_inputs:
            raise InputError(f"`inputs` has the shape {rows.shape}; pass rows of {self.n_inputs} inputs.")
        if not np.isfinite(rows).all():
            row = int(np.argwhere(~np.isfinite(rows))[0][0])
            raise InputError(f"row {row} of `inputs` is not finite; leave it out.")
        mask = class_mask(None if classes is None else tuple(classes), self.n_classes)
        weights = self.method.readout(self.state.weights)
        found = []
        for number, start in enumerate(range(0, len(rows), _BATCH)):
            part_key = as_key(key) if isinstance(chosen, WeightDraws) else jax.random.fold_in(as_key(key), number)
            part = self.scaling(rows[start : start + _BATCH])
            found.append(np.asarray(chosen.probabilities(weights, part, mask, part_key)))
        return np.concatenate(found, axis=1)

    def decoders(self) -> tuple[Decoder, ...]:
        """How the method's predictions are read out; the first is the default."""
        return tuple(_DECODERS[name] for name in self.method.decoders)

    def one_bit(self) -> OneBitNetwork:
        """The network of signs, one bit a weight.

        Raises:
            InputError: If the method's weights are no signs.
        """
        if "sign" not in self.method.decoders:
            raise InputError(f"weights of {type(self.method).__name__} are real numbers; there are no signs to export.")
        return OneBitNetwork.of(
            [np.asarray(weight) for weight in self.method.readout(self.state.weights)],
            self.scaling.centre,
            self.scaling.scale,
        )


_DECODERS: dict[str, Decoder] = {
    "central_limit": CentralLimit(),
    "sign": SignNetwork(),
    "float": FloatNetwork(),
}


def begin(task: Task, *, n_classes: int, method: Method, key: PRNGKey) -> Learner:
    """A learner that has seen nothing, to be fed task by task.

    Args:
        task: The first; it gives the width and the scaling of the inputs and is not learned yet.
        n_classes: Of all tasks to come.
        method: Settings.
        key: Of the first weights.
    """
    check_fits(task, task.n_inputs, n_classes)
    state = method.first_state(shapes(task.n_inputs, method.widths, n_classes), as_key(key))
    return Learner(method=method, state=state, scaling=Scaling.of(task), n_inputs=task.n_inputs, n_classes=n_classes)


def class_mask(classes: tuple[int, ...] | None, n_classes: int) -> Bool[Array, " output"]:
    """Which classes are chosen between."""
    if classes is None:
        return jnp.ones(n_classes, bool)
    return jnp.asarray(np.isin(np.arange(n_classes), classes))


def _entropy(share: Float[np.ndarray, "*draw point class"]) -> Float[np.ndarray, "*draw point"]:
    return -(share * np.log(np.maximum(share, 1e-30))).sum(axis=-1)
