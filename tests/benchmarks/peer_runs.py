"""Optional opponents that live in environments of their own: their scripts in `peers/` print one JSON line each.

An environment variable names the Python of each library's environment; without it the benchmark does without that
opponent. They are never dependencies of this package, and some pin what it does not.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["run_peer"]

_SCRIPTS = Path(__file__).parent / "peers"
# Variable, and what to install there, by the first word of the script's name.
_ENVIRONMENTS = {
    "deepxde": ("UQKIT_DEEPXDE_PYTHON", "torch==2.13.0 deepxde==1.15.0"),
    # Importing jinns 1.10.2 crashes the interpreter of Python 3.12.1.
    "jinns": ("UQKIT_JINNS_PYTHON", "jinns==1.10.2"),
}
# One thread each, so that CPU seconds count arithmetic and not waiting.
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
# Backends and precisions that the caller set for itself would change what the opponent measures.
_NOT_PASSED_ON = ("DDE_BACKEND", "JAX_ENABLE_X64", "JAX_PLATFORMS", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


def run_peer(script: str, *arguments: str | int) -> dict[str, Any] | None:
    """What a script of `peers/` measured, in its own process and environment.

    Args:
        script: Its name without ending, such as "jinns_helmholtz".
        arguments: Its command-line arguments.

    Returns:
        Its record; None, with a printed line that says how to install it, if its environment is not given.

    Raises:
        RuntimeError: The script failed; the end of what it wrote is in the message.
    """
    variable, packages = _ENVIRONMENTS[script.split("_")[0]]
    python = os.environ.get(variable)
    if not python:
        print(
            f"({script} is left out: `python -m venv FOLDER`, `FOLDER/bin/pip install {packages}`, "
            f"then set {variable}=FOLDER/bin/python)"
        )
        return None
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
    finished = subprocess.run(
        [python, str(_SCRIPTS / f"{script}.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**kept, **_ONE_THREAD},
        check=False,
    )
    if finished.returncode != 0:
        raise RuntimeError(
            f"{script} ended with status {finished.returncode} under {variable}={python}; it wrote:\n"
            f"{finished.stderr[-2_000:]}"
        )
    return json.loads(finished.stdout.splitlines()[-1])
