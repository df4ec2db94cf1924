"""The command line: arguments to the same functions a script calls. No numerics."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uqkit.errors import RunInterrupted, UqkitError

if TYPE_CHECKING:
    import xarray as xr

    from uqkit.sensitivity import PickFreeze

__all__ = ["app", "main"]

app = typer.Typer(
    help="Uncertainty quantification from the command line.", no_args_is_help=True, pretty_exceptions_enable=False
)

Out = Annotated[Path | None, typer.Option(help="Result file, .nc (netCDF) or .zarr (Zarr).", show_default="MODEL.nc")]
Plot = Annotated[Path | None, typer.Option(help="Picture file.", show_default="MODEL.png")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No table and no progress.")]


def main() -> None:
    """Entry point of the command `uqkit`."""
    app()


@contextmanager
def _plain_errors() -> Iterator[None]:
    """What a user can put right ends in one sentence and exit code 2, a stop on Ctrl-C in what is finished."""
    try:
        yield
    except RunInterrupted as stop:
        typer.echo(f"uqkit: {stop}", err=True)
        sys.exit(130)
    except UqkitError as error:
        typer.echo(f"uqkit: {error}", err=True)
        sys.exit(2)


@app.command()
@_plain_errors()
def models() -> None:
    """List the catalogue of ready-made models."""
    from uqkit.problems import catalogue

    entries = catalogue()
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        typer.echo(f"{entry.name:<{width}}  {entry.summary}  [{entry.folder}]")


@app.command()
@_plain_errors()
def sensitivity(
    model: Annotated[str, typer.Argument(help="Catalogue name, file.py that defines `problem`, or module:attribute.")],
    budget: Annotated[int, typer.Option(help="Most model evaluations to spend.")] = 10_240,
    method: Annotated[str, typer.Option(help="pick-freeze.")] = "pick-freeze",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting of the method: estimator, first, total (jansen, saltelli2010, martinez, janon, azzini), "
            "design (scrambled-sobol, monte-carlo), interval (sub-nets, influence-function, bayesian-bootstrap).",
        ),
    ] = None,
    order: Annotated[str, typer.Option(help="Which indices, of first,total,second.")] = "first,total",
    key: Annotated[int, typer.Option(help="Random key; the same key gives the same numbers.")] = 0,
    store: Annotated[
        Path | None, typer.Option(help="Keeps every finished evaluation; makes the run resumable.")
    ] = None,
    out: Out = None,
    plot: Plot = None,
    quiet: Quiet = False,
) -> None:
    """Sobol' indices of a model: a table, a result file and a picture."""
    arguments = {
        "model": model,
        "budget": budget,
        "method": method,
        "set_": set_,
        "order": order,
        "key": key,
        "out": None if out is None else str(out),
        "plot": None if plot is None else str(plot),
        "quiet": quiet,
    }
    _sensitivity(arguments, store)


def _sensitivity(arguments: dict[str, Any], store: Path | None) -> None:
    from uqkit.problems import load
    from uqkit.sensitivity import sobol_indices

    stem = Path(arguments["model"].rpartition(":")[2]).stem
    out, plot = (Path(arguments[name] or f"{stem}{suffix}") for name, suffix in (("out", ".nc"), ("plot", ".png")))
    _check_files(out, plot)
    method = _pick_freeze(arguments["method"], arguments["set_"] or [])
    problem = load(arguments["model"])
    if store is not None:
        from uqkit.evaluate import Journal

        with Journal(store) as journal:
            journal.describe("command", arguments)
    result = sobol_indices(
        problem,
        method=method,
        budget=arguments["budget"],
        key=arguments["key"],
        order=tuple(entry.strip() for entry in arguments["order"].split(",")),
        store=store,
        progress=False if arguments["quiet"] else None,
    )
    _deliver(result, out, plot, quiet=arguments["quiet"])


@app.command()
@_plain_errors()
def resume(store: Annotated[Path, typer.Argument(help="The store of a command that was stopped.")]) -> None:
    """Go on with a stopped command from its store; finished evaluations are not run again."""
    from uqkit.errors import StoreError
    from uqkit.evaluate import Journal

    if not store.exists():
        raise StoreError(f"no store at {str(store)!r}; give the file that --store named.")
    with Journal(store) as journal:
        arguments = journal.description("command")
    if arguments is None:
        raise StoreError(
            f"the store {str(store)!r} was not made by a uqkit command; run the script that made it again."
        )
    _sensitivity(arguments, store)


@app.command()
@_plain_errors()
def show(
    result: Annotated[Path, typer.Argument(help="A saved result.")],
    plot: Annotated[Path | None, typer.Option(help="Picture file.")] = None,
) -> None:
    """Print a saved result, and draw it."""
    from uqkit.results import load

    tree = load(result)
    _print(tree)
    if plot is not None:
        _check_files(None, plot)
        _draw(tree, plot)
        typer.echo(f"wrote {plot}")


@app.command()
@_plain_errors()
def info() -> None:
    """Print versions and devices, for a bug report."""
    import platform
    from importlib import metadata

    import jax

    typer.echo(f"uqkit {metadata.version('uqkit')}, Python {platform.python_version()}, {platform.platform()}")
    for name in ("jax", "numpyro", "numpy", "scipy", "xarray", "arviz", "SALib", "matplotlib"):
        try:
            typer.echo(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            typer.echo(f"{name} is not installed")
    typer.echo(f"devices: {', '.join(str(device) for device in jax.devices())}")


def _check_files(out: Path | None, plot: Path) -> None:
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


def _pick_freeze(method: str, settings: list[str]) -> "PickFreeze":
    from uqkit import inputs, sensitivity
    from uqkit.errors import InputError

    if method != "pick-freeze":
        raise InputError(f"no method {method!r}; use --method pick-freeze.")
    estimators = {
        name.lower(): getattr(sensitivity, name) for name in ("Saltelli2010", "Jansen", "Martinez", "Janon", "Azzini")
    }
    choices: dict[str, dict[str, Callable[[], Any]]] = {
        "first": estimators,
        "total": estimators,
        "design": {"scrambled-sobol": inputs.ScrambledSobol, "monte-carlo": inputs.MonteCarlo},
        "interval": {
            "sub-nets": sensitivity.SubNets,
            "influence-function": sensitivity.InfluenceFunction,
            "bayesian-bootstrap": sensitivity.BayesianBootstrap,
        },
    }
    chosen: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        for field in ("first", "total") if name == "estimator" else (name,):
            if not equals or field not in choices:
                raise InputError(f"--set {setting}: write NAME=VALUE with a NAME of estimator, {', '.join(choices)}.")
            if value not in choices[field]:
                raise InputError(f"--set {setting}: {name} is one of {', '.join(choices[field])}.")
            chosen[field] = choices[field][value]()
    return sensitivity.PickFreeze(**chosen)


def _deliver(result: "xr.DataTree", out: Path, plot: Path, *, quiet: bool) -> None:
    from uqkit.results import save

    save(result, out)
    _draw(result, plot)
    if not quiet:
        _print(result)
        typer.echo(f"wrote {out} and {plot}")


def _print(result: "xr.DataTree") -> None:
    from uqkit.results import schema
    from uqkit.sensitivity import to_dataframe

    attributes = result.attrs
    diagnostics = result[schema.DIAGNOSTICS].to_dataset()
    method = json.loads(attributes[schema.METHOD])
    typer.echo(
        f"{attributes[schema.PROBLEM]}: Sobol' indices by {method['type']}, "
        f"{attributes[schema.N_MODEL_EVALUATIONS]:,} evaluations in {method['n_rows']:,} rows, "
        f"{attributes[schema.WALL_TIME]:.2g} s"
    )
    table = to_dataframe(result)
    typer.echo(table.to_string(max_rows=60, float_format=lambda value: f"{value:z.4f}"))
    kind = result[schema.ESTIMATES].to_dataset()[schema.lower(schema.OUTPUT_MEAN)].attrs
    typer.echo(f"lower, upper: {kind[schema.PROBABILITY]:.0%} interval, {kind[schema.INTERVAL_KIND]}")
    unused = int(diagnostics[schema.BUDGET_UNUSED])
    if unused:
        typer.echo(
            f"{unused:,} evaluations of the budget were left: a design takes whole rows, a Sobol' net 2^k of them"
        )
    typer.echo(f"verdict {diagnostics[schema.VERDICT].item()}: {diagnostics[schema.VERDICT_TEXT].item()}")


def _draw(result: "xr.DataTree", path: Path) -> None:
    import matplotlib.pyplot as plt

    from uqkit.results import schema
    from uqkit.sensitivity import plot_convergence, plot_indices

    estimates = result[schema.ESTIMATES].to_dataset()
    output = str(estimates[schema.OUTPUT].values[0])
    order = "total" if schema.SOBOL_TOTAL in estimates else "first"
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    plot_indices(result, output=output, ax=left)
    plot_convergence(result, output=output, order=order, ax=right)
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
