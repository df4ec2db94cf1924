"""`uqkit diffusion` as its users type it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from typer.testing import CliRunner

import uqkit as uq
from uqkit.cli.app import app
from uqkit.diffusion import EDM, GaussianMixture, HeunSampler, sample
from uqkit.results import load

QUICK = ["--islands", "4", "--particles", "64", "--steps", "16"]

BANANA = """
import jax
import jax.numpy as jnp
import uqkit as uq

def log_density(x):
    return -0.5 * x[0] ** 2 - 0.5 * (x[1] - x[0]) ** 2

def draw(n, *, key):
    z = jax.random.normal(key, (n, 2))
    return jnp.stack([z[:, 0], z[:, 0] + z[:, 1]], axis=1)

problem = uq.Density(name="sheared", coordinates={"a": "m", "b": "m"}, log_density=log_density, draw=draw)
"""

# Its mixture is normalised, its log density is not.
SHIFTED = """
import numpy as np
import uqkit as uq
from uqkit.stats import GaussianMixture

mixture = GaussianMixture.of(np.array([0.4, 0.6]), np.array([[-2.0], [2.0]]), np.array([[[1.0]], [[0.5]]]))
problem = uq.Density(
    name="shifted",
    coordinates=["x"],
    mixture=mixture,
    log_density=lambda x: mixture.log_density(x) + 7,
    references={"log_normalizer": uq.Reference(values=(7.0,), kind="closed form", source="shifted")},
)
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mpl.use("agg")


def typed(*arguments):
    return CliRunner().invoke(app, arguments)


def row(output, name):
    """The numbers of a line of the table."""
    (line,) = [line for line in output.splitlines() if line.startswith(name)]
    return [float(number) for number in line[len(name) :].split()]


def test_a_power_a_table_and_a_picture():
    done = typed("diffusion", "four_modes", "--exponent", "3", *QUICK, "--store", "run.npz")
    assert done.exit_code == 0, done.output
    assert "four_modes ** 3: HeunSampler, 16 steps, 4 islands of 64 particles, EDM(sigma_min=" in done.output
    assert "log of the integral of the expert's density to its power" in done.output
    assert "verdict " in done.output
    value, error, lower, upper, reference = row(done.output, "log normaliser [nat]")
    known = uq.load("four_modes").references
    assert reference == pytest.approx(known["log_normalizer_power_3"].values[0], rel=1e-3)
    assert lower < value < upper
    assert abs(value - reference) < 5 * error < 1.0
    assert row(done.output, "Renyi entropy [nat]")[4] == pytest.approx(-0.5 * reference, rel=1e-3)
    assert row(done.output, "mean of x2 [1]")[4] == pytest.approx(known["mean_power_3"].values[1], rel=1e-3)
    assert row(done.output, "sd of x2 [1]")[4] == pytest.approx(known["variance_power_3"].values[1] ** 0.5, rel=1e-3)
    assert Path("four_modes.png").stat().st_size > 10_000

    result = load("four_modes.nc")
    shown = typed("show", "four_modes.nc", "--plot", "again.png")
    assert shown.exit_code == 0, shown.output
    assert shown.output.splitlines()[0] == done.output.splitlines()[0]
    assert "reference" not in shown.output
    assert Path("again.png").exists()
    other = typed("diffusion", "four_modes", "--exponent", "3", *QUICK, "--store", "run.npz", "--key", "1")
    assert other.exit_code == 2
    assert "belongs to another run" in other.output
    # It did not take the place of the command that the store is of.
    resumed = typed("resume", "run.npz")
    assert resumed.exit_code == 0, resumed.output
    for group in ("estimates", "weighted_sample", "posterior", "path"):
        assert load("four_modes.nc")[group].to_dataset().identical(result[group].to_dataset())


def test_the_numbers_are_those_of_a_script():
    done = typed("diffusion", "four_modes", *QUICK, "--quiet", "--set", "sigma_min=0.01", "--set", "sigma_max=9")
    assert done.exit_code == 0, done.output
    assert done.output == ""
    density = uq.load("four_modes")
    method = HeunSampler(n_steps=16)
    expert = GaussianMixture(density.mixture, EDM(0.01, 9.0))
    direct = sample(expert, method=method, islands=4, particles=64, coordinates=density.coordinates, key=0)
    np.testing.assert_array_equal(
        load("four_modes.nc")["posterior"].to_dataset()["x"], direct["posterior"].to_dataset()["x"]
    )


def test_settings_reach_the_method():
    Path("shifted.py").write_text(SHIFTED)
    settings = ["sampler=euler", "transport=target", "langevin=0.5", "threshold=0.7", "resampling=stratified"]
    settings += ["divergence=hutchinson", "control=regression", "beta_max=12"]
    given = [part for setting in settings for part in ("--set", setting)]
    done = typed("diffusion", "shifted.py", *QUICK, *given, "--schedule", "vp", "--out", "a.zarr")
    assert done.exit_code == 0, done.output
    assert "VP(beta_max=12.0)" in done.output
    method = load("a.zarr").attrs["method"]
    kinds = ("EulerMaruyamaSampler", "TargetTransport", "StratifiedResampling", "HutchinsonDivergence")
    for kind in (*kinds, "RegressionControl"):
        assert kind in method
    assert '"langevin": 0.5' in method
    assert '"threshold": 0.7' in method
    # Of the mixture, which is normalised.
    assert row(done.output, "log normaliser [nat]")[4] == 0


def test_final_weights_are_of_the_models_own_log_density():
    Path("shifted.py").write_text(SHIFTED)
    done = typed("diffusion", "shifted.py", "--final", *QUICK, "--set", "polish=5")
    assert done.exit_code == 0, done.output
    value, error, _, _, reference = row(done.output, "log normaliser [nat]")
    assert reference == 7
    assert abs(value - 7) < 5 * error < 1.0
    assert "log of the integral of the final density" in done.output


def test_a_score_is_learned_where_there_is_no_mixture():
    Path("sheared.py").write_text(BANANA)
    learned = ["--draws", "500", "--set", "training_steps=20"]
    done = typed("diffusion", "sheared.py", "--exponent", "2", "--final", *QUICK, *learned)
    assert done.exit_code == 0, done.output
    assert "sheared ** 2: EulerMaruyamaSampler" in done.output
    value, error, *_ = row(done.output, "log normaliser [nat]")
    # Of exp(-a^2 - (b - a)^2).
    assert abs(value - np.log(np.pi)) < 5 * error < 1.0
    assert "mean of a [m]" in done.output


def test_a_stopped_command_says_where_to_go_on():
    # A suite started in the background hands its children an ignored Ctrl-C; a terminal does not.
    as_in_a_terminal = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from uqkit.cli import main; main()"
    )
    arguments = ["diffusion", "four_modes", "--islands", "2", "--particles", "64", "--steps", "40000"]
    command = [sys.executable, "-c", as_in_a_terminal, *arguments, "--store", "s.npz"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while not Path("s.npz").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert re.search(r"stopped after \d+ of 40000 steps; the finished chunks are in 's.npz'", errors)
    assert Path("s.npz.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("flod",), "no model called 'flod'; the catalogue has"),
        (("flood",), "model 'flood' is a ForwardModel; diffusion samples a Density"),
        (("double_well_4",), "neither a Gaussian mixture nor exact draws"),
        (("four_modes", "--exponent", "-1"), "--exponent -1: pass a number above zero"),
        (("four_modes", "--exponent", "nan"), "--exponent nan: pass a number above zero"),
        (("four_modes", "--schedule", "cosine"), "no schedule 'cosine'; use --schedule edm, ve, vp"),
        (("four_modes", "--set", "stride=3"), "--set stride=3: write NAME=VALUE with a NAME of sampler, transport"),
        (("four_modes", "--set", "langevin"), "--set langevin: write NAME=VALUE"),
        (("four_modes", "--set", "langevin=two"), "'two' is no number of the right kind"),
        (("four_modes", "--set", "transport=car"), "transport is one of mean-expert, target"),
        (("four_modes", "--set", "langevin=0"), "particles of one ancestor never part; add threshold=0"),
        (("four_modes", "--set", "beta_min=1"), "--schedule edm has no such setting; it has sigma_min, sigma_max"),
        (("four_modes", "--set", "sigma_max=0.001"), "pass 0 < sigma_min < sigma_max"),
        (("four_modes", "--set", "polish=50"), "pass --final, too"),
        (("four_modes", "--final", "--set", "polish=1"), "--set polish=1: n_steps=1"),
        (("four_modes", "--final", "--set", "sampler=heun"), "which euler has alone"),
        (("four_modes", "--set", "training_steps=9"), "the score of 'four_modes' is known; add --draws to learn it"),
        (("four_modes", "--draws", "9"), "`draws` has 9 rows"),
        (("four_modes", "--islands", "1"), "islands=1: pass at least 2"),
        (("four_modes", "--steps", "0"), "n_steps=0: pass a whole number, at least 1"),
        (("four_modes", "--store", "nowhere/s.npz"), "does not exist"),
        (("four_modes", "--plot", "x.unknown"), "has no known suffix of a picture"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(arguments, message):
    done = typed("diffusion", *arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
    assert done.output.count("\n") == 1
    assert not list(Path.cwd().iterdir())
