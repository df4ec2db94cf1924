"""BoTorch's collection of test problems as objectives."""

import botorch
import numpy as np
import numpyro.distributions as dist
import torch
from botorch.test_functions.base import BaseTestProblem, ConstrainedBaseTestProblem, MultiObjectiveTestProblem
from jaxtyping import Float

from uqkit.bayesopt.versions import module_version
from uqkit.errors import InputError
from uqkit.problems import ForwardModel, Objective
from uqkit.results import Reference

__all__ = ["from_botorch"]


def from_botorch(test_function: BaseTestProblem) -> Objective:
    """Objective with the values, direction, limits and optimum of a test problem of BoTorch.

    Inputs are called x1, x2, ...; outputs y, or y1, y2, ... of several objectives, and slack1, slack2, ... of
    constraints, which a point keeps where they are not negative. With `negate=True` the values are negated and
    maximised, as BoTorch does. `best` is what BoTorch publishes, which may be rounded to a few digits.

    Args:
        test_function: An instance, as in `from_botorch(botorch.test_functions.Hartmann(dim=6))`, without noise, all of
            whose inputs are continuous. It is called as it is then; do not change it afterwards.

    Raises:
        InputError: If it is none, adds noise, or has discrete or categorical inputs.
    """
    _check(test_function)
    constrained = test_function if isinstance(test_function, ConstrainedBaseTestProblem) else None
    n_constraints = 0 if constrained is None else constrained.num_constraints
    n_objectives = test_function.num_objectives if isinstance(test_function, MultiObjectiveTestProblem) else 1
    objectives = ["y"] if n_objectives == 1 else [f"y{i}" for i in range(1, n_objectives + 1)]
    slacks = [f"slack{i}" for i in range(1, n_constraints + 1)]
    bounds = test_function.bounds
    assert isinstance(bounds, torch.Tensor)

    def evaluate(points: Float[np.ndarray, "point input"]) -> Float[np.ndarray, "point output"]:
        given = torch.from_numpy(np.array(points, dtype=float)).to(bounds)
        with torch.no_grad():
            parts = [test_function(given, noise=False).reshape(len(given), n_objectives)]
            if constrained is not None:
                parts.append(constrained.evaluate_slack(given, noise=False))
        return torch.cat(parts, dim=1).double().cpu().numpy()

    low, high = bounds.double().cpu().numpy()
    names = [f"x{i}" for i in range(1, len(low) + 1)]
    forward = ForwardModel(
        evaluate,
        inputs={name: dist.Uniform(float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)},
        outputs=objectives + slacks,
        takes="batch",
        name=type(test_function).__name__,
        version=module_version(test_function),
    )
    # BoTorch's own property answers for single objectives only; this is how it finds the answer.
    is_minimised = test_function._is_minimization_by_default != test_function.negate
    return Objective(
        forward,
        maximise=dict.fromkeys(objectives, not is_minimised),
        constraints=dict.fromkeys(slacks, (0.0, np.inf)),
        reference_point=_reference_point(test_function, objectives),
        best=_best(test_function, n_objectives),
    )


def _check(test_function: object) -> None:
    if not isinstance(test_function, BaseTestProblem):
        what = test_function.__name__ if isinstance(test_function, type) else type(test_function).__name__
        raise InputError(
            f"`test_function` is {'the class' if isinstance(test_function, type) else 'a'} {what}; pass an instance of "
            "one of botorch.test_functions, such as Hartmann(dim=6)."
        )
    for setting in ("noise_std", "constraint_noise_std"):
        noise = getattr(test_function, setting, None)
        if noise is not None:
            raise InputError(
                f"the test function was made with {setting}={noise!r}; an objective is a function without noise: leave "
                f"{setting} out."
            )
    columns = sorted([*test_function.discrete_inds, *test_function.categorical_inds])
    if columns:
        raise InputError(
            f"{type(test_function).__name__} has discrete or categorical inputs (columns {', '.join(map(str, columns))}"
            "); only continuous ones are adapted. Write a ForwardModel with Inputs(categories=...) for it."
        )


def _reference_point(test_function: BaseTestProblem, objectives: list[str]) -> dict[str, float] | None:
    """Worst values that count; BoTorch has negated them where it negates the values."""
    if len(objectives) == 1:
        return None
    reference_point = test_function.ref_point
    assert isinstance(reference_point, torch.Tensor)
    return dict(zip(objectives, reference_point.double().tolist(), strict=True))


def _best(test_function: BaseTestProblem, n_objectives: int) -> Reference | None:
    """Optimum or largest hypervolume, where BoTorch has one; some problems say so by raising."""
    try:
        best = getattr(test_function, "optimal_value" if n_objectives == 1 else "max_hv", None)
    except NotImplementedError:
        return None
    if best is None:
        return None
    return Reference(
        values=(float(best),),
        kind="published",
        source=f"BoTorch {botorch.__version__}, {type(test_function).__name__}",
        output="y" if n_objectives == 1 else "hypervolume",
    )
