"""Claims of the bridge from torch to JAX: member values with their gradient, against the same members in torch.

`python -m tests.benchmarks.bayesopt_bridge` measures in a process of its own, kept to one core: one thread each.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

from tests.benchmarks.comparison import Row
from uqkit.bayesopt.bridge import member_values

__all__ = ["rows"]

N_INPUTS = 6
_OURS = "uqkit"
_CHUNKS = (32, 128, 512, None)
# In a run, after one that is not timed: an optimiser asks for many in a row.
_LEAST_CALLS = 3
# Two results agree if only rounding is between them.
_AGREEMENT = 1e-10


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Networks of two hidden layers, how often they are measured, and how many times faster we have to be."""

    n_points: int
    n_outputs: int
    width: int = 50
    n_members: int = 100
    n_runs: int = 7
    times_faster: float = 1.0


def rows(long: bool) -> Iterator[Row]:
    """Every claim, as it is measured."""
    settings = [
        Setting(n_points=512 * 4, n_outputs=1, times_faster=1.5),
        Setting(n_points=512 * 4, n_outputs=2),
        Setting(n_points=8 * 4, n_outputs=1),
    ]
    if long:
        settings += [Setting(n_points=512 * 4, n_outputs=1, width=100), Setting(n_points=512 * 4, n_outputs=4)]
    for setting in settings:
        yield _speed(setting)


def _speed(setting: Setting) -> Row:
    seconds = _seconds(setting)
    ours = np.array(seconds.pop(_OURS))
    medians = {name: float(np.median(runs)) for name, runs in seconds.items()}
    best = min(medians, key=lambda name: medians[name])
    ratios = ours / np.array(seconds[best])
    others = ", ".join(
        f"{name} {1e3 * median:.3g} ms" for name, median in sorted(medians.items(), key=lambda one: one[1])
    )
    return Row(
        what=f"CPU s of values and gradient, {setting.n_points:,} points of {N_INPUTS} inputs, {setting.n_members} "
        f"tanh networks 2x{setting.width}, outputs: {setting.n_outputs}, 64 bits, one core; "
        f"median of {setting.n_runs} runs",
        ours=float(np.median(ours)),
        theirs=medians[best],
        opponent=f"torch {torch.__version__}, its fastest way; {others}",
        judged="ratio",
        interval=(float(ratios.min()), float(ratios.max())),
        at_most=1 / setting.times_faster,
    )


def _seconds(setting: Setting) -> dict[str, list[float]]:
    """CPU seconds of every run by who ran, measured in a new process."""
    command = [sys.executable, "-m", "tests.benchmarks.bayesopt_bridge", json.dumps(asdict(setting))]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)


def _random_weights(setting: Setting) -> list[np.ndarray]:
    """Weights and biases, each with a leading axis over the members."""
    rng, widths, parts = np.random.default_rng(0), (N_INPUTS, setting.width, setting.width, setting.n_outputs), []
    for n_in, n_out in zip(widths, widths[1:], strict=False):
        parts.append(rng.normal(size=(setting.n_members, n_in, n_out)) / n_in**0.5)
        parts.append(rng.normal(size=(setting.n_members, 1, n_out)))
    return parts


def _network(weights: Any, points: Any) -> Any:
    first, first_bias, second, second_bias, last, last_bias = weights
    return jnp.tanh(jnp.tanh(points @ first + first_bias) @ second + second_bias) @ last + last_bias


def _one_by_one(weights: list[Tensor]) -> Callable[[Tensor], Tensor]:
    members = list(zip(*(part.unbind(0) for part in weights), strict=True))

    def values(points: Tensor) -> Tensor:
        found = []
        for first, first_bias, second, second_bias, last, last_bias in members:
            hidden = torch.tanh(torch.addmm(first_bias, points, first))
            found.append(torch.addmm(last_bias, torch.tanh(torch.addmm(second_bias, hidden, second)), last))
        return torch.stack(found)

    return values


def _batched(weights: list[Tensor], chunk: int | None) -> Callable[[Tensor], Tensor]:
    first, first_bias, second, second_bias, last, last_bias = weights

    def values(points: Tensor) -> Tensor:
        hidden = torch.tanh(torch.baddbmm(first_bias, points.expand(len(first), *points.shape), first))
        return torch.baddbmm(last_bias, torch.tanh(torch.baddbmm(second_bias, hidden, second)), last)

    return lambda points: torch.cat([values(part) for part in points.split(chunk or len(points))], dim=1)


def _vmapped(weights: list[Tensor], chunk: int | None) -> Callable[[Tensor], Tensor]:
    width, n_outputs = weights[2].shape[-1], weights[4].shape[-1]
    network = torch.nn.Sequential(
        torch.nn.Linear(N_INPUTS, width),
        torch.nn.Tanh(),
        torch.nn.Linear(width, width),
        torch.nn.Tanh(),
        torch.nn.Linear(width, n_outputs),
    )
    parameters = {}
    for i, layer in enumerate((0, 2, 4)):
        parameters[f"{layer}.weight"] = weights[2 * i].transpose(-1, -2).contiguous()
        parameters[f"{layer}.bias"] = weights[2 * i + 1].squeeze(-2)
    over_members = torch.func.vmap(
        lambda one, points: torch.func.functional_call(network, one, (points,)), in_dims=(0, None), chunk_size=chunk
    )
    return lambda points: over_members(parameters, points)


def _measure(setting: Setting) -> dict[str, list[float]]:
    weights, rng = _random_weights(setting), np.random.default_rng(1)
    points = torch.from_numpy(rng.uniform(size=(setting.n_points, N_INPUTS))).requires_grad_()
    cotangent = torch.from_numpy(rng.normal(size=(setting.n_members, setting.n_points, setting.n_outputs)))
    with jax.enable_x64(True):
        stacked = [jnp.asarray(part) for part in weights]
    tensors = [torch.from_numpy(part) for part in weights]
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        _OURS: lambda points: member_values(_network, stacked, points),
        "loop over members": _one_by_one(tensors),
        **{f"baddbmm, {chunk or 'all'} points at once": _batched(tensors, chunk) for chunk in _CHUNKS},
        **{f"functional_call, vmap of {chunk or 'all'} members": _vmapped(tensors, chunk) for chunk in (10, None)},
    }

    def values_and_gradient(way: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        values = way(points)
        return values.detach(), torch.autograd.grad(values, points, cotangent)[0]

    expected = values_and_gradient(ways[_OURS])
    for name, way in ways.items():
        for found, ours in zip(values_and_gradient(way), expected, strict=True):
            if not torch.allclose(found, ours, rtol=_AGREEMENT, atol=_AGREEMENT):
                raise RuntimeError(f"{name} found other values or gradients.")
    n_calls = max(_LEAST_CALLS, 2_048 // setting.n_points)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    # In turns, so that what else the machine does falls on all of them.
    for _ in range(setting.n_runs):
        for name, way in ways.items():
            values_and_gradient(way)
            started = time.process_time()
            for _ in range(n_calls):
                values_and_gradient(way)
            seconds[name].append((time.process_time() - started) / n_calls)
    return seconds


if __name__ == "__main__":
    # Before XLA's first use, which makes a thread for every core that it may use.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    print(json.dumps(_measure(Setting(**json.loads(sys.argv[1])))))
