"""`uqkit sensitivity`: Sobol' indices of a model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uqkit.cli.app import (
    Key,
    Out,
    Panels,
    Plot,
    Quiet,
    app,
    draw,
    duration,
    echo_table,
    kept_command,
    output_files,
    plain_errors,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

__all__ = ["panels", "run", "table"]


@app.command()
@plain_errors()
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
    key: Key = 0,
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
    run(arguments, store)


def run(arguments: dict[str, Any], store: Path | None) -> None:
    """The command with its arguments as they are kept in a store."""
    from uqkit.problems import load
    from uqkit.results import save
    from uqkit.sensitivity import sobol_indices

    out, plot = output_files(arguments["model"], arguments["out"], arguments["plot"])
    method = _method(arguments["method"], arguments["set_"] or [])
    problem = load(arguments["model"])
    with kept_command(store, arguments):
        result = sobol_indices(
            problem,
            method=method,
            budget=arguments["budget"],
            key=arguments["key"],
            order=tuple(entry.strip() for entry in arguments["order"].split(",")),
            store=store,
            progress=False if arguments["quiet"] else None,
        )
    save(result, out)
    draw(panels(result), plot)
    if not arguments["quiet"]:
        table(result)
        typer.echo(f"wrote {out} and {plot}")


def table(result: "xr.DataTree") -> None:
    """Print the estimates with their intervals, and the verdict."""
    from uqkit.results import schema
    from uqkit.sensitivity import to_dataframe

    attributes = result.attrs
    diagnostics = result[schema.DIAGNOSTICS].to_dataset()
    estimates = result[schema.ESTIMATES].to_dataset()
    reused = int(diagnostics[schema.N_REUSED])
    typer.echo(
        f"{attributes[schema.PROBLEM]}: {json.loads(attributes[schema.METHOD])['type']}, "
        f"{attributes[schema.N_MODEL_EVALUATIONS]:,} evaluations{f' ({reused:,} reused)' if reused else ''}, "
        f"{duration(attributes[schema.WALL_TIME])}"
    )
    interactions_only = schema.SOBOL_SECOND in estimates and schema.SOBOL_FIRST not in estimates
    if not (interactions_only and schema.SOBOL_TOTAL not in estimates):
        echo_table(to_dataframe(result))
    if schema.SOBOL_SECOND in estimates:
        echo_table(to_dataframe(result, interactions=True))
    kind = next(v.attrs for v in estimates.data_vars.values() if schema.PROBABILITY in v.attrs)
    typer.echo(f"lower, upper: {kind[schema.PROBABILITY]:.0%} interval, {kind[schema.INTERVAL_KIND]}")
    typer.echo(f"verdict {diagnostics[schema.VERDICT].item()}: {diagnostics[schema.VERDICT_TEXT].item()}")


def panels(result: "xr.DataTree") -> Panels:
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
    drawn: list[Callable[[Axes], Any]] = []
    if schema.SOBOL_FIRST in estimates or schema.SOBOL_TOTAL in estimates:
        if len(labels) > 1 and along:
            drawn.append(lambda ax: sensitivity.plot_field_indices(result, along[0], order=order, ax=ax))
        else:
            drawn.append(lambda ax: sensitivity.plot_indices(result, output=labels[0], ax=ax))
        if schema.CONVERGENCE in result.children:
            last = labels[-1] if along else labels[0]
            drawn.append(lambda ax: sensitivity.plot_convergence(result, output=last, order=order, ax=ax))
    if schema.SOBOL_SECOND in estimates:
        drawn.append(lambda ax: sensitivity.plot_second_order(result, output=labels[-1 if along else 0], ax=ax))
    return drawn


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
