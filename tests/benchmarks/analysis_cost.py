"""CPU time and memory of the analysis step, in a process of its own: `cost_of` starts it, `python -m` is it.

Linux only: the peak is read from /proc. It is not `ru_maxrss`, which a child takes over from the parent that started
it; and it is counted from what was resident when the analysis began, so that an earlier peak (imports) can only make
it look larger.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import numpy as np
from SALib.analyze import sobol

from uqkit.sensitivity import BayesianBootstrap, InfluenceFunction, PickFreeze, SubNets
from uqkit.sensitivity.pick_freeze import FIRST, SECOND, TOTAL, Layout, index_statistic

__all__ = ["N_INPUTS", "N_RESAMPLES", "N_ROWS", "cost_of"]

N_INPUTS, N_ROWS, N_RESAMPLES = 20, 1 << 14, 1_000
_WARM_UP_ROWS = 64
_INTERVALS = {
    "bootstrap": BayesianBootstrap(n_resamples=N_RESAMPLES),
    "influence": InfluenceFunction(),
    "sub-nets": SubNets(),
}


def cost_of(analysis: str, *, second: bool = False) -> tuple[float, float]:
    """CPU seconds and MB of peak growth of one analysis: "salib" or an interval of ours."""
    command = [sys.executable, "-m", "tests.benchmarks.analysis_cost", analysis, *(["second"] if second else [])]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True)
    cpu_seconds, megabytes = json.loads(done.stdout)
    return cpu_seconds, megabytes


def _outputs(n_rows: int, *, second: bool) -> np.ndarray:
    # What the numbers are does not change the work.
    return np.random.default_rng(0).standard_normal(n_rows * (2 + N_INPUTS * (2 if second else 1)))


def _ours(interval: str, n_rows: int, *, second: bool) -> Callable[[], object]:
    outputs = _outputs(n_rows, second=second)
    used, key = np.ones(n_rows, dtype=bool), jax.random.key(0)
    layout = Layout(n_rows=n_rows, blocks=tuple(np.arange(N_INPUTS)[:, None]), with_ba=second)
    order = (FIRST, TOTAL, SECOND) if second else (FIRST, TOTAL)

    def analyse() -> object:
        standardised = (outputs - outputs.mean()) / outputs.std()
        statistic, _ = index_statistic(standardised, used, layout, PickFreeze(), order)
        return _INTERVALS[interval].assess(statistic, 0.95, N_RESAMPLES, key=key)

    return analyse


def _salib(n_rows: int, *, second: bool) -> Callable[[], object]:
    names = [f"x{i}" for i in range(N_INPUTS)]
    problem = {"num_vars": N_INPUTS, "names": names, "bounds": [[0.0, 1.0]] * N_INPUTS}
    outputs = _outputs(n_rows, second=second)
    return lambda: sobol.analyze(problem, outputs, calc_second_order=second, num_resamples=N_RESAMPLES, seed=1)


def _resident(line: str) -> float:
    """VmRSS (now) or VmHWM (peak) of this process in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{line}:")[1].split()[0]) / 1e3


def _measure(analysis: str, *, second: bool) -> tuple[float, float]:
    prepared = partial(_salib if analysis == "salib" else partial(_ours, analysis), second=second)
    prepared(_WARM_UP_ROWS)()
    analyse = prepared(N_ROWS)
    resident, started = _resident("VmRSS"), time.process_time()
    analyse()
    return time.process_time() - started, _resident("VmHWM") - resident


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], second="second" in sys.argv)))
