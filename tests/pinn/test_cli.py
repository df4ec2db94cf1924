"""`uqkit pinn` from the command line."""

import matplotlib as mpl
import pytest
from typer.testing import CliRunner

import uqkit as uq
from uqkit.cli import app


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mpl.use("agg")


def run(*arguments):
    return CliRunner().invoke(app, ["pinn", *map(str, arguments)])


def test_features_by_default(tmp_path):
    answer = run("poisson_1d", "--set", "features=60", "--set", "limit=12")
    assert answer.exit_code == 0, answer.output
    assert "poisson_1d: GaussNewton, 60 features" in answer.output
    assert "verdict ok" in answer.output
    assert (tmp_path / "poisson_1d.png").read_bytes()[:4] == b"\x89PNG"
    found = uq.results.load(tmp_path / "poisson_1d.nc")
    assert float(found["diagnostics"].to_dataset()["relative_error"].values[0]) < 1e-6


@pytest.mark.parametrize(
    ("field", "said"), [("network", "network 8x8"), ("trained-features", "last layer of a network 8x8")]
)
def test_networks(field, said, tmp_path):
    arguments = ("--set", "widths=8,8", "--set", "points=60", "--set", "iterations=30")
    if field == "trained-features":
        answer = run("poisson_1d", "--field", field, *arguments, "--quiet")
        assert answer.output == ""
        answer = CliRunner().invoke(app, ["show", "poisson_1d.nc"])
    else:
        answer = run("poisson_1d", "--field", field, *arguments)
    assert answer.exit_code == 0, answer.output
    assert said in answer.output
    assert (tmp_path / "poisson_1d.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--field", "net"), "no field 'net'; use --field features, network, trained-features."),
        (("--field", "network", "--set", "limit=3"), "--set limit: --field network takes no such setting."),
        (("--set", "steps=3", "--set", "widths=4"), "--set steps, widths: --field features takes no such setting."),
        (("--set", "widths=4,x"), "'4,x' is no number of the right kind."),
        (("--field", "network", "--method", "exact"), "the field is a Network; pass LevenbergMarquardt()"),
        (("--method", "adamw"), "no method 'adamw'; use --method gauss-newton, exact, randomised-map, nuts"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(arguments, message):
    answer = run("poisson_1d", *arguments)
    assert answer.exit_code != 0
    assert message in " ".join(answer.output.split())
