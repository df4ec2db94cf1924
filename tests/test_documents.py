"""The README's code and the tutorials run as they stand."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(script, folder):
    environment = os.environ | {"MPLBACKEND": "agg"}
    return subprocess.run([sys.executable, script], cwd=folder, env=environment, capture_output=True, text=True)


WITH_BOTORCH = importlib.util.find_spec("botorch") is not None


def can_run(code):
    return WITH_BOTORCH or "botorch" not in code


@pytest.mark.parametrize("tutorial", sorted((ROOT / "tutorials").glob("*.py")), ids=lambda path: path.stem)
def test_tutorial_runs(tutorial, tmp_path):
    if not can_run(tutorial.read_text()):
        pytest.skip("needs BoTorch, which is not installed")
    done = run(tutorial, tmp_path)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir()), "a tutorial leaves no files behind"


def test_readme_code_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    blocks = [block for block in blocks if can_run(block)]
    assert blocks
    script = tmp_path / "readme.py"
    script.write_text("\n".join(blocks))
    done = run(script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "intervals are short" in done.stdout


def test_readme_commands_exist():
    commands = re.findall(
        r"uqkit (\w+)[ \n]", "".join(re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S))
    )
    listed = subprocess.run([sys.executable, "-m", "uqkit.cli", "--help"], capture_output=True, text=True, check=True)
    assert commands
    for command in set(commands):
        assert command in listed.stdout
