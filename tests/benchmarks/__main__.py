"""Measured comparisons with peers: `python -m tests.benchmarks NAME [--long] [--out FILE]`."""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from tests.benchmarks.comparison import PROBABILITY, Row

# A workflow joins by modules of this folder with `rows(long: bool) -> Iterator[Row]`, named here; each runs alone too.
WORKFLOWS = {
    "sensitivity": ("pick_freeze", "importance", "importance_limits"),
    "pinn": (
        *("pinn_forward", "pinn_inverse", "pinn_sampling", "pinn_scales"),
        *("pinn_networks", "pinn_network_sampling"),
    ),
    "diffusion": ("diffusion", "diffusion_throughput"),
    "continual": ("continual",),
    "bayesopt": ("bayesopt_surrogates", "bayesopt_bridge", "bayesopt_study"),
}
MODULES = tuple(module for modules in WORKFLOWS.values() for module in modules)

_HEAD = f"{'verdict':<10}{'ours':>10}{'opponent':>10}{'ratio':>9}  {'interval':<22}{'required':<20}what"


def main() -> int:
    """Measure, print and save; 1 if a row is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("name", choices=[*dict.fromkeys((*WORKFLOWS, *MODULES)), "all"])
    parser.add_argument("--long", action="store_true", help="more keys, slow opponents; hours rather than minutes")
    parser.add_argument("--out", type=Path, help="where the rows are saved; benchmark-NAME.json by default")
    arguments = parser.parse_args()
    path = arguments.out or Path(f"benchmark-{arguments.name}.json")
    if not path.absolute().parent.is_dir():
        parser.error(f"the folder of --out {path} does not exist; create it first.")

    form = "long" if arguments.long else "short"
    print(f"{form} form; keys are 0, 1, 2, ..., their number is in each row; intervals hold {PROBABILITY:.0%}\n{_HEAD}")
    measured = []
    for row in _rows(arguments.name, arguments.long):
        print(_line(row), flush=True)
        measured.append(row)
        path.write_text(json.dumps(_document(form, measured), indent=1) + "\n")
    counts = {verdict: sum(row.verdict == verdict for row in measured) for verdict in ("met", "undecided", "missed")}
    print(f"{', '.join(f'{n} {verdict}' for verdict, n in counts.items())}; saved as {path}")
    return int(counts["missed"] > 0)


def _rows(name: str, long: bool) -> Iterator[Row]:
    for module in MODULES if name == "all" else WORKFLOWS.get(name, (name,)):
        yield from importlib.import_module(f"tests.benchmarks.{module}").rows(long)


def _line(row: Row) -> str:
    theirs = "" if row.theirs is None else f"{row.theirs:.3g}"
    ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
    low, high = row.interval
    interval = f"[{low:.3g}, {high:.3g}]" if low < high else ""
    what = f"{row.what}; against {row.opponent}" if row.opponent else row.what
    return f"{row.verdict:<10}{row.ours:>10.3g}{theirs:>10}{ratio:>9}  {interval:<22}{row.required:<20}{what}"


def _document(form: str, measured: list[Row]) -> dict[str, object]:
    stated = ("uqkit", "numpy", "scipy", "jax", "equinox", "blackjax", "SALib")
    versions = {name: metadata.version(name) for name in stated}
    return {
        "form": form,
        "python": sys.version.split()[0],
        "versions": versions,
        # CPU seconds of linear algebra on several threads that share their cores are many times those on one.
        "threads": os.environ.get("OMP_NUM_THREADS", "unset"),
        "rows": [r.record() for r in measured],
    }


if __name__ == "__main__":
    sys.exit(main())
