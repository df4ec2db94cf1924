"""A bowl over two inputs, and other small objectives, with quick optimisations of them."""

from functools import cache
from typing import Any

import numpy as np
from botorch.models import SingleTaskGP
from scipy import stats

import uqkit as uq
from uqkit.bayesopt import Acquisition, optimize

QUICK = Acquisition(n_samples=32, n_restarts=2, n_raw=32, max_iterations=20)
ENDS = {"a": stats.uniform(-1.0, 3.0), "b": stats.uniform(10.0, 5.0)}


def bowl(x: np.ndarray) -> float:
    return float((x[0] - 0.7) ** 2 + 0.1 * (x[1] - 11.0) ** 2)


def objective(function: Any = bowl, outputs: Any = ("y",), **settings: Any) -> uq.Objective:
    best = uq.Reference(values=(0.0,), kind="closed form", source="a square") if function is bowl else None
    model = uq.ForwardModel(function, inputs=ENDS, outputs=outputs, name="bowl", version="1")
    chosen: dict[str, Any] = {"best": best} | settings
    return uq.Objective(model, **chosen)


def run(problem: uq.Objective | None = None, **settings: Any) -> Any:
    own = {"surrogate": SingleTaskGP, "budget": 14, "n_initial": 6, "batch_size": 2, "key": 0, "acquisition": QUICK}
    return optimize(objective() if problem is None else problem, **(own | settings))


def group(result: Any, name: str) -> Any:
    return result[name].to_dataset()


@cache
def finished() -> Any:
    return run()


def limited(x: np.ndarray) -> np.ndarray:
    return np.array([bowl(x), x[0]])


def two(x: np.ndarray) -> np.ndarray:
    return np.array([x[0] ** 2, (x[0] - 1.0) ** 2 + 0.05 * (x[1] - 12.0) ** 2])


def bits() -> uq.Objective:
    inputs = {name: stats.uniform(0, 2) for name in ("a", "b", "c")}
    inputs = uq.Inputs(inputs, categories=dict.fromkeys(inputs, ("no", "yes")))
    return uq.Objective(uq.ForwardModel(lambda x: float(x.sum()), inputs=inputs, name="bits", version="1"))
