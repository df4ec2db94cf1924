"""The command line: arguments to the same functions a script calls. No numerics."""

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uqkit.errors import RunInterrupted, UqkitError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes

__all__ = ["app", "main"]

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


def main() -> None:
    """Entry point of the command `uqkit`."""
    app()


@contextmanager
def _plain_errors() -> Iterator[None]:
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
    method: Annotated[str, typer.Option(help="pick-freeze, or adaptive-importance-sampling.")] = "pick-freeze",
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
    method = _method(arguments["method"], arguments["set_"] or [])
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


def _method(method: str, settings: list[str]) -> Any:
    from uqkit import inputs, sensitivity
    from uqkit.errors import InputError

    if method == "adaptive-importance-sampling":
        if settings:
            raise InputError(f"--set {settings[0]}: adaptive-importance-sampling takes no settings here.")
        return sensitivity.AdaptiveImportanceSampling()
    if method != "pick-freeze":
        raise InputError(f"no method {method!r}; use --method pick-freeze or adaptive-importance-sampling.")
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
    estimates = result[schema.ESTIMATES].to_dataset()
    reused = int(diagnostics[schema.N_REUSED])
    typer.echo(
        f"{attributes[schema.PROBLEM]}: {json.loads(attributes[schema.METHOD])['type']}, "
        f"{attributes[schema.N_MODEL_EVALUATIONS]:,} evaluations{f' ({reused:,} reused)' if reused else ''}, "
        f"{_duration(attributes[schema.WALL_TIME])}"
    )
    interactions_only = schema.SOBOL_SECOND in estimates and schema.SOBOL_FIRST not in estimates
    if not (interactions_only and schema.SOBOL_TOTAL not in estimates):
        _echo_table(to_dataframe(result))
    if schema.SOBOL_SECOND in estimates:
        _echo_table(to_dataframe(result, interactions=True))
    kind = next(v.attrs for v in estimates.data_vars.values() if schema.PROBABILITY in v.attrs)
    typer.echo(f"lower, upper: {kind[schema.PROBABILITY]:.0%} interval, {kind[schema.INTERVAL_KIND]}")
    typer.echo(f"verdict {diagnostics[schema.VERDICT].item()}: {diagnostics[schema.VERDICT_TEXT].item()}")


def _echo_table(table: "pd.DataFrame") -> None:
    typer.echo(table.head(_MOST_ROWS).to_string(float_format=lambda value: f"{value:z.4g}"))
    if len(table) > _MOST_ROWS:
        typer.echo(f"... and {len(table) - _MOST_ROWS} rows more, all in the result file")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.2g} s"


def _draw(result: "xr.DataTree", path: Path) -> None:
    import matplotlib.pyplot as plt

    panels = _panels(result)
    figure, axes = plt.subplots(1, len(panels), figsize=(5.8 * len(panels), 4.6), layout="constrained", squeeze=False)
    for draw, ax in zip(panels, axes[0], strict=True):
        draw(ax)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _panels(result: "xr.DataTree") -> list[Callable[["Axes"], Any]]:
    """What a picture of this result shows; each entry draws on the axes it is given."""
    from uqkit import sensitivity
    from uqkit.results import schema

    estimates = result[schema.ESTIMATES].to_dataset()
    if schema.EXPECTATION in estimates:
        function = str(estimates[schema.FUNCTION].values[0]) if schema.LAW in estimates.dims else None
        return [
            lambda ax: sensitivity.plot_expectations(result, function=function, ax=ax),
            lambda ax: sensitivity.plot_known_means(result, ax=ax),
        ]
    labels = [str(label) for label in estimates[schema.OUTPUT].values]
    order = "total" if schema.SOBOL_TOTAL in estimates else "first"
    along = [
        str(name)
        for name, coordinate in estimates.coords.items()
        if coordinate.dims == (schema.OUTPUT,) and coordinate.dtype.kind in "iuf" and coordinate.to_index().is_unique
    ]
    panels: list[Callable[[Axes], Any]] = []
    if schema.SOBOL_FIRST in estimates or schema.SOBOL_TOTAL in estimates:
        if len(labels) > 1 and along:
            panels.append(lambda ax: sensitivity.plot_field_indices(result, along[0], order=order, ax=ax))
        else:
            panels.append(lambda ax: sensitivity.plot_indices(result, output=labels[0], ax=ax))
        if schema.CONVERGENCE in result.children:
            last = labels[-1] if along else labels[0]
            panels.append(lambda ax: sensitivity.plot_convergence(result, output=last, order=order, ax=ax))
    if schema.SOBOL_SECOND in estimates:
        panels.append(lambda ax: sensitivity.plot_second_order(result, output=labels[-1 if along else 0], ax=ax))
    return panels


if __name__ == "__main__":
    main()
