"""`uqkit bayesopt` as its users type it."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import uqkit as uq
from uqkit.bayesopt import LinearGP, compare
from uqkit.cli.app import app
from uqkit.results import load, save

QUICK = ["--surrogate", "linear-gp", "--budget", "8", "--set", "initial=6"]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def typed(*arguments):
    return CliRunner().invoke(app, arguments)


def test_an_optimisation_a_table_and_a_picture():
    done = typed("bayesopt", "branin", *QUICK, "--set", "batch=2", "--store", "run.sqlite")
    assert done.exit_code == 0, done.output
    assert "branin: LinearGP, 8 evaluations" in done.output
    assert "x1 [1]" in done.output
    assert "regret: " in done.output
    assert "verdict " in done.output
    assert Path("branin.png").stat().st_size > 10_000
    result = load("branin.nc")
    assert list(result["optimisation"].to_dataset()["n_evaluations_so_far"].values) == [6, 8]
    shown = typed("show", "branin.nc", "--plot", "again.png")
    assert shown.exit_code == 0
    assert Path("again.png").exists()
    resumed = typed("resume", "run.sqlite")
    assert resumed.exit_code == 0, resumed.output
    assert load("branin.nc")["evaluations"].to_dataset().identical(result["evaluations"].to_dataset())


def test_a_mistaken_command_leaves_a_store_resumable():
    assert typed("bayesopt", "branin", *QUICK, "--store", "run.sqlite").exit_code == 0
    before = load("branin.nc")
    for wrong, message in ((("--key", "1"), "key was"), (("--budget", "0"), "`budget` is 0")):
        refused = typed("bayesopt", "branin", *QUICK, *wrong, "--store", "run.sqlite")
        assert refused.exit_code == 2
        assert message in refused.output
        Path("branin.nc").unlink(missing_ok=True)
        resumed = typed("resume", "run.sqlite")
        assert resumed.exit_code == 0, resumed.output
        assert load("branin.nc")["evaluations"].to_dataset().identical(before["evaluations"].to_dataset())
    # With a larger budget and the same initial design it goes on.
    longer = typed("bayesopt", "branin", *QUICK[:2], "--budget", "9", *QUICK[4:], "--store", "run.sqlite")
    assert longer.exit_code == 0, longer.output
    assert load("branin.nc")["evaluations"].to_dataset().sizes["point"] == 9


RARE = """
import numpy as np
from scipy import stats
import uqkit as uq

inputs = {"a": stats.uniform(0, 1), "b": stats.uniform(0, 1)}
model = uq.ForwardModel(
    lambda x: np.array([x[0], x[1]]), inputs=inputs, outputs=("y", "slack"), name="rare", version="1"
)
problem = uq.Objective(model, maximise={"y": False}, constraints={"slack": (LIMIT, 3.0)})
"""


def test_a_run_without_a_feasible_point_has_no_table_of_best_points():
    Path("rare.py").write_text(RARE.replace("LIMIT", "2.0"))
    done = typed("bayesopt", "rare.py", "--surrogate", "random", "--budget", "5")
    assert done.exit_code == 0, done.output
    assert "Empty DataFrame" not in done.output
    assert "no point keeps all limits" in done.output


def test_a_study_shows_the_mean_of_last_values():
    Path("rare.py").write_text(RARE.replace("LIMIT", "0.95"))
    study = compare(
        uq.load("rare.py"), {"linear, plain": LinearGP.factory()}, budget=6, n_initial=4, batch_size=1, keys=range(4)
    )
    save(study, "study.nc")
    shown = typed("show", "study.nc", "--plot", "study.png")
    assert shown.exit_code == 0, shown.output
    values = study["optimisation"].to_dataset()["best_value"].values[0]
    # Some runs have nothing feasible in the beginning, some never.
    assert np.isnan(values[..., 0]).any()
    (row,) = [line.split()[1:] for line in shown.output.splitlines() if line.startswith("rare ")]
    assert "linear, plain" in shown.output
    for found, last in zip(row, values[..., -1], strict=True):
        assert (found == "NaN") == np.isnan(last).any()
        if found != "NaN":
            assert float(found) == pytest.approx(last.mean(), abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("flood",), "model 'flood' is a ForwardModel; an optimisation needs an Objective"),
        (("branin", "--surrogate", "forest"), "no surrogate 'forest'; use --surrogate gp"),
        (("branin", "--set", "depth=3"), "--set depth=3: write NAME=VALUE with a NAME of initial, batch, widths"),
        (("branin", "--set", "batch=two"), "'two' is no number of the right kind"),
        (("branin", "--surrogate", "gp", "--set", "widths=5,5"), "--surrogate gp takes no such setting"),
        (("branin", "--budget", "0"), "`budget` is 0"),
        (("branin", "--plot", "x.unknown"), "has no known suffix of a picture"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(arguments, message):
    done = typed("bayesopt", *arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
    assert not list(Path.cwd().iterdir())
