"""Where to evaluate next: an acquisition function of a fitted surrogate, optimised over the inputs."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import torch
from botorch.acquisition import qLogExpectedImprovement
from botorch.acquisition.multi_objective import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import WeightedMCMultiOutputObjective
from botorch.acquisition.objective import GenericMCObjective
from botorch.exceptions.warnings import BadInitialCandidatesWarning, OptimizationWarning
from botorch.optim import optimize_acqf
from botorch.optim.optimize_mixed import optimize_acqf_mixed_alternating
from botorch.sampling.get_sampler import get_sampler
from jaxtyping import Float, Key
from linear_operator.utils.warnings import NumericalWarning
from scipy.optimize import OptimizeWarning
from torch import Tensor

from uqkit.bayesopt.recipes import seeded
from uqkit.bayesopt.search import initial_points
from uqkit.errors import InputError
from uqkit.problems import Objective

__all__ = ["Acquisition", "modelled", "propose", "to_physical", "to_unit", "unrepeated", "whole_number"]


@dataclass(frozen=True, kw_only=True)
class Acquisition:
    """How the next points are chosen: expected improvement, or expected hypervolume improvement, and its maximiser.

    Attributes:
        n_samples: Draws of the posterior that the expectation is taken over; surrogates of members use every member.
        n_restarts: Starts of the maximiser.
        n_raw: Points from which the starts are chosen.
        max_iterations: Of L-BFGS-B from each start.

    Reference:
        Ament et al. (2023), Unexpected improvements to expected improvement for Bayesian optimization, NeurIPS;
        Daulton, Balandat & Bakshy (2021), Parallel Bayesian optimization of multiple noisy objectives, NeurIPS.
    """

    n_samples: int = 128
    n_restarts: int = 4
    n_raw: int = 128
    max_iterations: int = 50

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            InputError: If one is no whole number above zero, or there are fewer raw points than restarts.
        """
        for name in ("n_samples", "n_restarts", "n_raw", "max_iterations"):
            whole_number(name, getattr(self, name), 1)
        if self.n_raw < self.n_restarts:
            raise InputError(
                f"n_raw={self.n_raw} and n_restarts={self.n_restarts}: starts are chosen among raw points."
            )


def whole_number(name: str, value: object, least: int) -> int:
    """An argument that counts something, as an int.

    Raises:
        InputError: If it is none, or too small.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"`{name}` is {value!r}; pass a whole number of at least {least}.")
    return int(value)


def modelled(objective: Objective) -> list[int]:
    """Columns of the outputs that the surrogate learns: objectives, then constraints."""
    labels = objective.forward.outputs.labels
    return [labels.index(name) for name in dict.fromkeys([*objective.maximise, *objective.constraints])]


def to_physical(objective: Objective, unit: Float[np.ndarray, "point input"]) -> Float[np.ndarray, "point input"]:
    """Values of the inputs from [0, 1], within the bounds however they are rounded; codes stay as they are."""
    low, high = _ends(objective)
    return np.clip(low + unit * (high - low), *objective.bounds)


def to_unit(objective: Objective, points: Float[np.ndarray, "point input"]) -> Float[np.ndarray, "point input"]:
    """The inverse of `to_physical`, for points within the bounds."""
    low, high = _ends(objective)
    # Rounding may leave the cube, or the codes.
    return np.clip((points - low) / (high - low), 0.0, (objective.bounds[1] - low) / (high - low))


def _ends(objective: Objective) -> Float[np.ndarray, "end input"]:
    ends = objective.bounds
    ends[:, list(objective.categorical)] = [[0.0], [1.0]]
    return ends


def propose(
    model: Any,
    objective: Objective,
    acquisition: Acquisition,
    inputs: Float[np.ndarray, "row input"],
    outputs: Float[np.ndarray, "row output"],
    n_points: int,
    key: Key[jax.Array, ""],
) -> Float[np.ndarray, "point input"]:
    """The next points, in the unit inputs of the surrogate.

    Args:
        model: Fitted surrogate of the modelled outputs.
        objective: What is optimised.
        acquisition: How.
        inputs: Rows so far, unit inputs.
        outputs: All outputs of them.
        n_points: How many points, chosen one after the other, each with those before it pending.
        key: Of the draws, the starts and everything random in them.
    """
    bounds = torch.tensor([[0.0] * inputs.shape[1], [1.0] * inputs.shape[1]], dtype=torch.double)
    cat_dims = {column: [float(code) for code in range(n)] for column, n in objective.categorical.items()}
    for column, codes in cat_dims.items():
        bounds[1, column] = codes[-1]
    # BoTorch tries again by itself after each of these, or hands SciPy an option that it does not know.
    quiet = (NumericalWarning, BadInitialCandidatesWarning, OptimizationWarning, OptimizeWarning)
    with seeded(key) as seed, warnings.catch_warnings():
        for category in quiet:
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("ignore", message="Optimization failed in", category=RuntimeWarning)
        # Of torch, about what GPyTorch makes of several outputs.
        warnings.filterwarnings("ignore", message="Sparse invariant checks")
        function = _function(model, objective, acquisition, inputs, outputs, seed)
        starts: dict[str, Any] = {
            "q": n_points,
            "num_restarts": acquisition.n_restarts,
            "raw_samples": acquisition.n_raw,
        }
        if cat_dims:
            options: dict[str, Any] = {"maxiter_continuous": acquisition.max_iterations}
            chosen, _ = optimize_acqf_mixed_alternating(function, bounds, cat_dims=cat_dims, options=options, **starts)
        else:
            options = {"maxiter": acquisition.max_iterations}
            chosen, _ = optimize_acqf(function, bounds, options=options, sequential=True, **starts)
    return chosen.detach().numpy()


def unrepeated(
    objective: Objective,
    unit: Float[np.ndarray, "point input"],
    evaluated: Float[np.ndarray, "row input"],
    key: Key[jax.Array, ""],
) -> Float[np.ndarray, "point input"]:
    """Points of which none was evaluated before: others take their place, in the order of the initial sequence.

    Args:
        objective: What is optimised.
        unit: Proposed, unit inputs.
        evaluated: Points so far, in physical units: two unit inputs may be the same number there.
        key: Of the initial sequence.
    """
    seen, chosen = {tuple(row) for row in evaluated.tolist()}, []
    spare = iter(initial_points(objective, len(evaluated) + 64, key)[len(evaluated) :])

    def physical(point: Float[np.ndarray, " input"]) -> tuple[float, ...]:
        return tuple(to_physical(objective, point[None])[0].tolist())

    for point in unit:
        while physical(point) in seen:
            other = next(spare, None)
            if other is None:
                break
            point = other
        seen.add(physical(point))
        chosen.append(point)
    return np.stack(chosen)


def _function(
    model: Any,
    objective: Objective,
    acquisition: Acquisition,
    inputs: Float[np.ndarray, "row input"],
    outputs: Float[np.ndarray, "row output"],
    seed: int,
) -> Any:
    rows = torch.from_numpy(inputs)
    with torch.no_grad():
        sampler = get_sampler(model.posterior(rows[:1]), torch.Size([acquisition.n_samples]), seed=seed)
    signs = torch.from_numpy(objective.signs)
    limits = _limits(objective)
    if len(signs) > 1:
        assert objective.reference_point is not None
        reference = np.array(list(objective.reference_point.values())) * objective.signs
        return qLogNoisyExpectedHypervolumeImprovement(
            model=model,
            ref_point=reference.tolist(),
            X_baseline=rows,
            sampler=sampler,
            objective=WeightedMCMultiOutputObjective(signs, outcomes=list(range(len(signs)))),
            constraints=limits or None,
            prune_baseline=True,
        )
    utility, feasible = objective.utilities(outputs)[:, 0], objective.feasible(outputs)
    # Without a feasible point any is an improvement: the chance to keep the limits decides, times the gain on the
    # worst value.
    best = utility[feasible].max() if feasible.any() else utility.min()
    return qLogExpectedImprovement(
        model=model,
        best_f=float(best),
        sampler=sampler,
        objective=GenericMCObjective(lambda Y, X=None: signs[0] * Y[..., 0]),  # noqa: N803, ARG005
        constraints=limits or None,
    )


def _limits(objective: Objective) -> list[Callable[[Tensor], Tensor]]:
    """Functions of draws that are negative where a limit is kept."""
    columns = {column: place for place, column in enumerate(modelled(objective))}
    found: list[Callable[[Tensor], Tensor]] = []
    for name, (low, high) in objective.constraints.items():
        place = columns[objective.forward.outputs.labels.index(name)]
        if np.isfinite(low):
            found.append(lambda Y, place=place, low=low: low - Y[..., place])  # noqa: N803
        if np.isfinite(high):
            found.append(lambda Y, place=place, high=high: Y[..., place] - high)  # noqa: N803
    return found
