"""What every command shares: options, plain errors, files and pictures."""

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uqkit.errors import RunInterrupted, UqkitError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = [
    "Key",
    "Out",
    "Panels",
    "Plot",
    "Quiet",
    "app",
    "check_files",
    "draw",
    "duration",
    "echo_table",
    "kept_command",
    "output_files",
    "plain_errors",
]

type Panels = Sequence[Callable[["Axes"], Any]]

app = typer.Typer(
    help="Uncertainty quantification from the command line.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# A table in a terminal; the file has all rows.
_MOST_ROWS = 40

Out = Annotated[Path | None, typer.Option(help="Result file, .nc (netCDF) or .zarr (Zarr).", show_default="MODEL.nc")]
Plot = Annotated[Path | None, typer.Option(help="Picture file.", show_default="MODEL.png")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No table and no progress.")]


Key = Annotated[int, typer.Option(help="Random key; the same key gives the same numbers.")]


@contextmanager
def plain_errors() -> Iterator[None]:
    """What a user can put right ends in one sentence and exit code 2, a stop on Ctrl-C in what is finished."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _plain_warning
            yield
    except RunInterrupted as stop:
        typer.echo(f"uqkit: {stop}", err=True)
        sys.exit(130)
    except UqkitError as error:
        typer.echo(f"uqkit: {error}", err=True)
        sys.exit(2)


def _plain_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    typer.echo(f"uqkit: {category.__name__}: {message}", err=True)


def _version(wanted: bool | None) -> None:
    if wanted:
        from importlib import metadata

        typer.echo(f"uqkit {metadata.version('uqkit')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool | None, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = None,
) -> None:
    """Uncertainty quantification from the command line."""


def output_files(model: str, out: str | None, plot: str | None) -> tuple[Path, Path]:
    """Where the result and the picture go, named after the model by default; checked that they can be written."""
    stem = Path(model.rpartition(":")[2]).stem
    files = Path(out or f"{stem}.nc"), Path(plot or f"{stem}.png")
    check_files(*files)
    return files


def check_files(out: Path | None, plot: Path) -> None:
    """Refuse files that could not be written, before anything is computed."""
    import matplotlib.pyplot as plt

    from uqkit.errors import InputError
    from uqkit.results.files import check_path

    if out is not None:
        check_path(out)
    known = plt.figure().canvas.get_supported_filetypes()
    plt.close()
    if plot.suffix.lstrip(".") not in known:
        raise InputError(f"{str(plot)!r} has no known suffix of a picture; end it in one of {', '.join(known)}.")
    if not plot.absolute().parent.is_dir():
        raise InputError(f"the folder {str(plot.absolute().parent)!r} does not exist; create it first.")


@contextmanager
def kept_command(store: Path | None, arguments: dict[str, Any]) -> Iterator[None]:
    """Keep a command in its store, for `uqkit resume`; one that cannot be run leaves there what was kept before."""
    from uqkit.errors import InputError, StoreError
    from uqkit.evaluate import Journal

    if store is None:
        yield
        return
    with Journal(store) as journal:
        before = journal.description("command")
        journal.describe("command", arguments)
    try:
        yield
    except (InputError, StoreError):
        if before is not None:
            with Journal(store) as journal:
                journal.describe("command", before)
        raise


def echo_table(table: "pd.DataFrame") -> None:
    """Print a table, the first rows of a long one."""
    typer.echo(table.head(_MOST_ROWS).to_string(float_format=lambda value: f"{value:z.4g}"))
    if len(table) > _MOST_ROWS:
        typer.echo(f"... and {len(table) - _MOST_ROWS} rows more, all in the result file")


def duration(seconds: float) -> str:
    """Seconds in words."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.2g} s"


def draw(panels: Panels, path: Path) -> None:
    """A picture with a panel each."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(panels), figsize=(5.8 * len(panels), 4.6), layout="constrained", squeeze=False)
    for panel, ax in zip(panels, axes[0], strict=True):
        panel(ax)
    figure.savefig(path, dpi=150)
    plt.close(figure)
