"""A run killed with kill -9 goes on from its store, and evaluates nothing that was finished a second time."""

import signal
import subprocess
import sys
import time

import numpy as np

from uqkit.evaluate import Journal, evaluate
from uqkit.problems import load

MODEL = """
import os
import time
import numpy as np
from scipy import stats
import uqkit as uq

def logged(x):
    with open(os.environ["UQKIT_TEST_LOG"], "a") as log:
        log.write(f"{x[0].hex()}\\n")
    time.sleep(0.005)
    return x[0] ** 3

problem = uq.ForwardModel(logged, inputs={"a": stats.uniform(0, 1)})
"""
RUN = """
import sys
import numpy as np
import uqkit as uq
from uqkit.evaluate import evaluate
evaluate(uq.load(sys.argv[1]), np.linspace(0, 1, 400)[:, None], store=sys.argv[2])
"""


def test_resumed_after_a_kill(tmp_path, monkeypatch):
    path, store, log = tmp_path / "slow.py", tmp_path / "rows.sqlite", tmp_path / "calls.log"
    path.write_text(MODEL)
    log.touch()
    monkeypatch.setenv("UQKIT_TEST_LOG", str(log))
    process = subprocess.Popen([sys.executable, "-c", RUN, str(path), str(store)])
    deadline = time.monotonic() + 60
    while len(log.read_text().splitlines()) < 60 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL

    before = log.read_text().splitlines()
    assert 60 <= len(before) < 400
    points = np.linspace(0, 1, 400)[:, None]
    problem = load(str(path))
    with Journal(store) as journal:
        assert problem.version is not None
        n_finished = journal.versions()[problem.version]
    assert n_finished >= len(before) - 1

    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    rows = evaluate(problem, points, store=store)
    assert (rows.n_reused, rows.n_run) == (n_finished, 400 - n_finished)
    calls = log.read_text().splitlines()
    repeated = len(calls) - len(set(calls))
    assert set(calls) == {float(x).hex() for x in points[:, 0]}
    assert repeated == len(before) - n_finished <= 1
    np.testing.assert_array_equal(rows.values, evaluate(problem, points).values)
