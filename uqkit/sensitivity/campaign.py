"""An importance-sampling campaign: a model asked where the sampler wants to know, a sample that can be continued."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float, Key

from uqkit.errors import EvaluationError, RunInterrupted, StoreError
from uqkit.evaluate import Evaluations, FailurePolicy, evaluate
from uqkit.inputs import Inputs
from uqkit.keys import numpy_generator
from uqkit.problems import ForwardModel
from uqkit.sensitivity.importance import (
    Diagnosis,
    Exploration,
    ImportanceMethod,
    Sampled,
    Targets,
    diagnose,
    join,
)

__all__ = ["Asker", "Campaign", "targets_of"]


@dataclass
class Asker:
    """Runs the model at the sampler's points and keeps every evaluation.

    Attributes:
        model: What is run.
        failures: What to do about failed points.
        store: Where finished evaluations are kept.
        executor: Where points are run.
        progress: Whether to show progress.
        known: Evaluations of an earlier run, in their order, taken instead of new ones.
        parts: What was evaluated so far.
    """

    model: ForwardModel
    failures: FailurePolicy | None
    store: str | Path | None
    executor: Executor | None
    progress: bool | None
    known: Evaluations | None = None
    parts: list[Evaluations] = field(default_factory=list)

    def __call__(self, points: Float[np.ndarray, "point input"]) -> Float[np.ndarray, "point output"]:
        """Outputs; NaN where the model failed.

        Raises:
            StoreError: If the points of an earlier run come out elsewhere; before the model is run.
            EvaluationError, RunInterrupted: As `evaluate` does, with the rows of all batches.
        """
        if self.known is not None:
            earlier = self.known.points[self.n_points : self.n_points + len(points)]
            if len(earlier) and not np.array_equal(earlier, points):
                raise StoreError(
                    "the draws of the earlier run came out elsewhere this time; pass the functions, inputs and laws it "
                    "was made with, and use the versions of uqkit and NumPy in its attributes."
                )
        try:
            part = evaluate(
                self.model,
                points,
                failures=self.failures,
                store=self.store,
                known=self.known,
                executor=self.executor,
                progress=self.progress,
            )
        except (EvaluationError, RunInterrupted) as stop:
            stop.evaluations = _joined([*self.parts, stop.evaluations])
            raise
        self.parts.append(part)
        return np.where(part.ok[:, None], part.values, np.nan)

    @property
    def n_points(self) -> int:
        """Evaluations so far."""
        return sum(len(part.points) for part in self.parts)

    def evaluations(self) -> Evaluations:
        """All of them, in order."""
        return _joined(self.parts)


def _joined(parts: list[Evaluations]) -> Evaluations:
    offsets = np.cumsum([0, *(len(part.points) for part in parts[:-1])])
    messages = {
        int(offset) + row: text
        for offset, part in zip(offsets, parts, strict=True)
        for row, text in part.messages.items()
    }
    return Evaluations(
        points=np.concatenate([part.points for part in parts]),
        values=np.concatenate([part.values for part in parts]),
        status=np.concatenate([part.status for part in parts]),
        messages=messages,
        n_run=sum(part.n_run for part in parts),
        n_reused=sum(part.n_reused for part in parts),
    )


@dataclass
class Campaign:
    """Exploration, then blocks of the final sample; the same key and sizes give the same draws again.

    Attributes:
        targets: What is integrated.
        method: The sampler.
        asker: Counts and keeps the evaluations.
        key: Of the exploration and of every block.
        calls_per_draw: Evaluations that a draw costs.
        exploration_budget: Evaluations that exploration reckons with.
        blocks: Draws of each block so far.
    """

    targets: Targets
    method: ImportanceMethod
    asker: Asker
    key: Key[jax.Array, ""]
    calls_per_draw: int
    exploration_budget: int
    blocks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Explore, and draw the blocks there are to be."""
        draws = self.exploration_budget // self.calls_per_draw
        self.exploration: Exploration = self.method.explore(self.targets, draws, self._generator(0))
        self.n_exploration = self.asker.n_points
        blocks, self.blocks, self._final = self.blocks, (), []
        for n_draws in blocks:
            self.extend(n_draws)

    def _generator(self, number: int) -> np.random.Generator:
        return numpy_generator(jax.random.fold_in(self.key, number))

    def extend(self, n_draws: int) -> None:
        """One more block."""
        rng = self._generator(1 + len(self.blocks))
        self._final.append(self.method.draw(self.targets, self.exploration, n_draws, rng))
        self.blocks = (*self.blocks, n_draws)

    def extend_within(self, budget: int, short_enough: Callable[[Sampled], float] | None) -> Sampled:
        """Spend what is left of a budget on the final sample, or as much of it as `short_enough` asks for.

        Args:
            budget: Evaluations in all.
            short_enough: The factor by which the widest interval exceeds the wanted one; None spends everything.
        """
        while True:
            left = (budget - self.asker.n_points) // self.calls_per_draw
            step = left
            if short_enough is not None and self.blocks:
                sampled = self.sampled()
                excess = short_enough(sampled)
                # Half-widths shrink as one over the root of the draws; early errors are rough, so in steps.
                n_draws = len(sampled.draws)
                step = 0 if excess <= 1 else min(left, int(np.ceil(n_draws * min(excess**2 - 1, 3.0))))
            elif short_enough is not None:
                step = min(left, max(self.exploration_budget // self.calls_per_draw // 2, 1))
            if step <= 0:
                return self.sampled()
            self.extend(step)
            if short_enough is None:
                return self.sampled()

    def sampled(self) -> Sampled:
        """Estimates from all blocks."""
        return self.method.combine(self.targets, self.exploration, join(self._final), self._generator(2**30))

    def diagnosis(self, sampled: Sampled) -> Diagnosis:
        """What can be checked about them."""
        return diagnose(self.targets, self.exploration, sampled, self._generator(2**30 + 1))


def targets_of(
    model: ForwardModel, laws: Mapping[str, Inputs] | None, method: ImportanceMethod, asker: Asker
) -> Targets:
    """The outputs of a model under its inputs' law, or under several laws."""
    inputs, coordinates = model.inputs, method.coordinates
    return Targets(
        values=lambda x: asker(coordinates.to_physical(inputs, x)),
        laws=coordinates.laws(inputs, laws),
        names=model.outputs.labels,
        law_names=None if laws is None else tuple(laws),
        dim=len(inputs),
    )
