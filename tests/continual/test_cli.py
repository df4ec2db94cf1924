"""`uqkit continual` as its users type it."""

import json

import matplotlib as mpl
import numpy as np
import pytest
from typer.testing import CliRunner

import uqkit as uq
from uqkit import continual
from uqkit.cli.app import app

QUICK = ["--set", "widths=16,", "--set", "n_epochs=5", "--set", "batch_size=32"]
SMALL = ["--set", "stream.n_tasks=2", "--set", "stream.n_train=128", "--set", "stream.n_test=200"]


@pytest.fixture
def command(tmp_path, monkeypatch):
    mpl.use("agg")
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, list(words))


def test_a_stream_is_learned_shown_and_kept(command, tmp_path):
    done = command("continual", "gaussian_blobs", *SMALL, "--set", "widths=16", *QUICK[2:], "--key", "3")
    assert done.exit_code == 0, done.output
    assert "gaussian_blobs: BinaryVariational, 2 tasks" in done.output
    assert "backward_transfer, central_limit" in done.output
    assert "wrote gaussian_blobs.nc and gaussian_blobs.png" in done.output
    stream = uq.load("gaussian_blobs", n_tasks=2, n_train=128, n_test=200)
    same = continual.learn(stream, method=continual.BinaryVariational(widths=(16,), n_epochs=5, batch_size=32), key=3)
    kept = uq.results.load(tmp_path / "gaussian_blobs.nc")
    np.testing.assert_array_equal(kept["variational"]["weight_field"], same["variational"]["weight_field"])
    shown = command("show", "gaussian_blobs.nc", "--plot", "again.png")
    assert shown.exit_code == 0, shown.output
    assert "judged on" in shown.output


@pytest.mark.parametrize("method", ["straight-through", "metaplasticity", "elastic", "published"])
def test_every_method_has_its_word(command, method):
    done = command(
        "continual", "gaussian_blobs", "--method", method, *SMALL, "--set", "widths=16", "--set", "n_epochs=9"
    )
    assert done.exit_code == 0, done.output
    assert "accuracy, decoder" in done.output


def test_a_stopped_command_goes_on_from_its_store(command, tmp_path, monkeypatch):
    words = ["continual", "gaussian_blobs", *SMALL, "--set", "widths=16", *QUICK[2:], "--store", "kept", "--quiet"]
    chunks = []

    def stop(*_):
        chunks.append(1)
        if len(chunks) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr("uqkit.running.scan._check", stop)
    assert command(*words).exit_code == 130
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert json.loads((tmp_path / "kept" / "command.json").read_text())["model"] == "gaussian_blobs"
    resumed = command("resume", "kept")
    assert resumed.exit_code == 0, resumed.output
    kept = uq.results.load(tmp_path / "gaussian_blobs.nc")
    command(*words[:-3], "--out", "whole.nc")
    whole = uq.results.load(tmp_path / "whole.nc")
    np.testing.assert_array_equal(kept["variational"]["weight_field"], whole["variational"]["weight_field"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ishigami"], "continual learns a TaskStream"),
        (["gaussian_blobs", "--method", "magic"], "no method 'magic'; use --method variational"),
        (["gaussian_blobs", "--set", "width=3"], "NAME of widths"),
        (["gaussian_blobs", "--set", "n_epochs=many"], "'many' is no number"),
        (["gaussian_blobs", "--set", "memory=2.0"], "memory=2.0"),
        (
            ["gaussian_blobs", "--set", "stream.rows=2"],
            "--set stream: make() got an unexpected keyword argument 'rows'",
        ),
        (["gaussian_blobs", "--out", "result.txt"], "result.txt"),
    ],
)
def test_wrong_words_are_answered_in_one_sentence(command, words, message):
    done = command("continual", *words)
    assert done.exit_code == 2, done.output
    assert message in done.output
    assert "Traceback" not in done.output
