import os
import signal
import subprocess
import sys
import time

import matplotlib as mpl
import numpy as np
import pytest
from typer.testing import CliRunner

import uqkit as uq
from uqkit.cli import app

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mpl.use("agg")


def run(*arguments):
    return RUNNER.invoke(app, [str(argument) for argument in arguments])


def test_sensitivity_prints_a_table_and_writes_result_and_picture(tmp_path):
    answer = run("sensitivity", "flood", "--budget", 640)
    assert answer.exit_code == 0, answer.output
    assert "flood: PickFreeze, 640 evaluations" in answer.output
    assert "verdict" in answer.output
    result = uq.results.load(tmp_path / "flood.nc")
    direct = uq.sensitivity.sobol_indices(uq.load("flood"), budget=640, key=0)
    assert np.array_equal(
        result["estimates"].to_dataset()["sobol_total"].values, direct["estimates"].to_dataset()["sobol_total"].values
    )
    assert (tmp_path / "flood.png").read_bytes()[:4] == b"\x89PNG"


def test_settings_reach_the_method():
    arguments = ("--set", "estimator=jansen", "--set", "design=monte-carlo", "--set", "interval=bayesian-bootstrap")
    answer = run("sensitivity", "ishigami", "--budget", 640, *arguments, "--order", "first", "--out", "a.zarr")
    assert answer.exit_code == 0, answer.output
    method = uq.sensitivity.restore(uq.results.load("a.zarr"), uq.load("ishigami")).method
    assert method == uq.sensitivity.PickFreeze(
        first=uq.sensitivity.Jansen(),
        total=uq.sensitivity.Jansen(),
        design=uq.MonteCarlo(),
        interval=uq.sensitivity.BayesianBootstrap(),
    )


def test_quiet_says_nothing():
    answer = run("sensitivity", "ishigami", "--budget", 320, "--quiet")
    assert answer.exit_code == 0
    assert answer.output == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sensitivity", "flod"), "no model called 'flod'; the catalogue has"),
        (("sensitivity", "flood", "--budget", "5"), "raise the budget to at least 20"),
        (("sensitivity", "flood", "--budget", "-5"), "above zero"),
        (("sensitivity", "flood", "--order", "third"), "pass some of first, total, second"),
        (("sensitivity", "flood", "--method", "guess"), "use --method pick-freeze or"),
        (("sensitivity", "flood", "--set", "first"), "write NAME=VALUE"),
        (("sensitivity", "flood", "--set", "last=jansen"), "write NAME=VALUE"),
        (("sensitivity", "flood", "--set", "first=jensen"), "first is one of saltelli2010, jansen"),
        (("sensitivity", "flood", "--out", "flood.csv"), "end it in .nc"),
        (("sensitivity", "flood", "--plot", "flood.doc"), "no known suffix of a picture"),
        (("sensitivity", "flood", "--out", "nowhere/flood.nc"), "does not exist; create it first"),
        (("sensitivity", "missing.py"), "no model file 'missing.py'"),
        (("sensitivity", "nowhere:problem"), "importable module"),
        (("show", "missing.nc"), "no result at 'missing.nc'"),
        (("resume", "missing.sqlite"), "no store at 'missing.sqlite'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, message, tmp_path):
    answer = run(*arguments)
    assert answer.exit_code == 2
    assert message in answer.output
    assert answer.output.count("\n") == 1
    assert "Traceback" not in answer.output
    assert not list(tmp_path.iterdir())


def test_models_lists_the_catalogue_without_running_it():
    answer = run("models")
    assert answer.exit_code == 0
    for entry in uq.catalogue():
        assert f"{entry.name} " in answer.output
        assert entry.summary in answer.output


def test_show_prints_and_draws_a_saved_result(tmp_path):
    printed = run("sensitivity", "ishigami", "--budget", 320).output
    answer = run("show", "ishigami.nc", "--plot", "again.pdf")
    assert answer.exit_code == 0
    assert answer.output.splitlines()[:5] == printed.splitlines()[:5]
    assert (tmp_path / "again.pdf").read_bytes()[:4] == b"%PDF"


def test_info_names_versions_and_devices():
    answer = run("info")
    assert answer.exit_code == 0
    assert "uqkit 0." in answer.output
    assert "jax " in answer.output
    assert "devices: " in answer.output


MODEL = """
import time
from scipy import stats
import uqkit as uq

def spring(x):
    with open("calls.log", "a") as log:
        log.write(f"{x[0]!r}\\n")
    time.sleep(0.01)
    return x[0] * x[1]

problem = uq.ForwardModel(spring, inputs={"k": stats.uniform(1, 1), "u": stats.norm(0, 1)})
"""


def test_a_stopped_command_resumes_from_its_store(tmp_path):
    (tmp_path / "spring.py").write_text(MODEL)
    # A suite started in the background hands its children an ignored Ctrl-C; a terminal does not.
    as_in_a_terminal = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from uqkit.cli import main; main()"
    )
    arguments = ["sensitivity", "spring.py", "--budget", "256", "--store", "s.sqlite"]
    command = [sys.executable, "-c", as_in_a_terminal, *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "calls.log"
    deadline = time.monotonic() + 60
    while (not log.exists() or len(log.read_text().splitlines()) < 20) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "evaluations; they are in 's.sqlite'" in errors
    answer = run("resume", "s.sqlite")
    assert answer.exit_code == 0, answer.output
    assert "spring: PickFreeze, 256 evaluations (" in answer.output
    # At most the evaluation that Ctrl-C broke off was begun twice.
    assert 256 <= len(log.read_text().splitlines()) <= 257
    assert uq.results.load("spring.nc").attrs["n_model_evaluations"] == 256


def test_a_mistaken_command_leaves_a_store_resumable(tmp_path):
    command = ("sensitivity", "ishigami", "--store", "run.sqlite", "--budget")
    assert run(*command, 320).exit_code == 0
    assert run(*command, 5).exit_code == 2
    (tmp_path / "ishigami.nc").unlink()
    resumed = run("resume", "run.sqlite")
    assert resumed.exit_code == 0, resumed.output
    assert "320 evaluations (320 reused)" in resumed.output
