"""`uqkit bayesopt`: optimisation of a model."""

import importlib
import json
import warnings
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

__all__ = ["panels", "run", "table"]

_SURROGATES = {
    "gp": "SingleTaskGP",
    "hmc-network": "HMCNetwork",
    "ensemble-network": "EnsembleNetwork",
    "laplace-network": "LaplaceNetwork",
    "infinite-width-gp": "InfiniteWidthGP",
    "deep-kernel-gp": "DeepKernelGP",
    "linear-gp": "LinearGP",
    "random": "RandomSearch",
    "sobol": "SobolSearch",
}
_NETWORKS = ("hmc-network", "ensemble-network", "laplace-network")


@app.command()
@plain_errors()
def bayesopt(
    model: Annotated[str, typer.Argument(help="Catalogue name, file.py that defines `problem`, or module:attribute.")],
    budget: Annotated[int, typer.Option(help="Model evaluations in all.")] = 40,
    surrogate: Annotated[str, typer.Option(help=f"{', '.join(_SURROGATES)}.")] = "hmc-network",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting: initial (points before the first fit, which depends on the budget: give it to go on with "
            "a larger one), batch (points between two fits); of a network widths (as 50,50).",
        ),
    ] = None,
    key: Key = 0,
    store: Annotated[
        Path | None, typer.Option(help="Keeps every finished evaluation; makes the run resumable.")
    ] = None,
    out: Out = None,
    plot: Plot = None,
    quiet: Quiet = False,
) -> None:
    """Bayesian optimisation of a model: a table, a result file and a picture."""
    arguments = {
        "workflow": "bayesopt",
        "model": model,
        "budget": budget,
        "surrogate": surrogate,
        "set_": set_,
        "key": key,
        "out": None if out is None else str(out),
        "plot": None if plot is None else str(plot),
        "quiet": quiet,
    }
    run(arguments, store)


def run(arguments: dict[str, Any], store: Path | None) -> None:
    """The command with its arguments as they are kept in a store."""
    from uqkit.errors import InputError
    from uqkit.problems import Objective, load
    from uqkit.results import save

    optimize = _workflow().optimize
    out, plot = output_files(arguments["model"], arguments["out"], arguments["plot"])
    chosen, sizes = _chosen(arguments["surrogate"], arguments["set_"] or [])
    problem = load(arguments["model"])
    if not isinstance(problem, Objective):
        raise InputError(
            f"model {arguments['model']!r} is a {type(problem).__name__}; an optimisation needs an Objective: in a "
            "file, problem = uqkit.Objective(forward_model, maximise=False)."
        )
    with kept_command(store, arguments):
        result = optimize(
            problem,
            surrogate=chosen,
            budget=arguments["budget"],
            key=arguments["key"],
            store=store,
            progress=False if arguments["quiet"] else None,
            **sizes,
        )
    save(result, out)
    draw(panels(result), plot)
    if not arguments["quiet"]:
        table(result)
        typer.echo(f"wrote {out} and {plot}")


def _workflow() -> Any:
    """The workflow, where BoTorch is installed."""
    from uqkit.errors import InputError

    with warnings.catch_warnings():
        # linear_operator compiles two functions in an old way when it is imported.
        warnings.simplefilter("ignore", FutureWarning)
        try:
            return importlib.import_module("uqkit.bayesopt")
        except ImportError as error:
            raise InputError(str(error)) from None


def _chosen(name: str, settings: list[str]) -> tuple[Any, dict[str, int]]:
    """The surrogate, and sizes of the run."""
    from uqkit.errors import InputError

    if name not in _SURROGATES:
        raise InputError(f"no surrogate {name!r}; use --surrogate {', '.join(_SURROGATES)}.")
    kinds: dict[str, Callable[[str], Any]] = {
        "initial": int,
        "batch": int,
        "widths": lambda text: tuple(int(width) for width in text.split(",")),
    }
    given: dict[str, Any] = {}
    for setting in settings:
        label, equals, value = setting.partition("=")
        if not equals or label not in kinds:
            raise InputError(f"--set {setting}: write NAME=VALUE with a NAME of {', '.join(kinds)}.")
        try:
            given[label] = kinds[label](value)
        except ValueError:
            raise InputError(f"--set {setting}: {value!r} is no number of the right kind.") from None
    own = {"widths": given.pop("widths")} if "widths" in given else {}
    if own and name not in _NETWORKS:
        raise InputError(f"--set widths: --surrogate {name} takes no such setting; {', '.join(_NETWORKS)} do.")
    options = {"initial": "n_initial", "batch": "batch_size"}
    sizes = {option: given[label] for label, option in options.items() if label in given}
    workflow = _workflow()
    if name == "gp":
        return workflow.recipes.SingleTaskGP, sizes
    kind = getattr(workflow, _SURROGATES[name])
    return (kind() if name in ("random", "sobol") else kind.factory(**own)), sizes


def table(result: "xr.DataTree") -> None:
    """Print the best points, or what a study says."""
    import pandas as pd

    from uqkit.results import schema

    attributes, diagnostics = result.attrs, result[schema.DIAGNOSTICS].to_dataset()
    trace = result[schema.OPTIMISATION].to_dataset()
    method = json.loads(attributes[schema.METHOD])
    spent = f"{attributes[schema.N_MODEL_EVALUATIONS]:,} evaluations, {duration(attributes[schema.WALL_TIME])}"
    if schema.SURROGATE in trace.coords:
        labels = ", ".join(map(str, trace[schema.SURROGATE].values))
        typer.echo(f"{attributes[schema.PROBLEM]}: a study of {labels}, {spent}")
        name = next(each for each in (schema.REGRET, schema.HYPERVOLUME, schema.BEST_VALUE) if each in trace)
        # Runs of smaller budgets end in NaN, and those without a feasible point begin with it.
        last = trace[name].isel(iteration=trace[schema.N_EVALUATIONS_SO_FAR].notnull().sum(schema.ITERATION) - 1)
        typer.echo(f"{name.replace('_', ' ')}, mean over replicates:")
        index, columns = pd.Index(trace[schema.STUDY_PROBLEM].values), pd.Index(trace[schema.SURROGATE].values)
        means = last.transpose(schema.STUDY_PROBLEM, schema.SURROGATE, ...).mean(schema.REPLICATE, skipna=False)
        echo_table(pd.DataFrame(means.values, index=index, columns=columns))
        typer.echo(diagnostics[schema.VERDICT_TEXT].item())
        return
    typer.echo(f"{attributes[schema.PROBLEM]}: {method['surrogate']}, {spent}")
    inputs, outputs = trace[schema.BEST_INPUT], trace[schema.BEST_OUTPUT]
    columns = {
        f"{name} [{unit}]": inputs.sel(input=name).values
        for name, unit in zip(inputs[schema.INPUT].values, trace["input_units"].values, strict=True)
    }
    for name, unit in zip(outputs[schema.OUTPUT].values, trace["output_units"].values, strict=True):
        columns[f"{name} [{unit}]"] = outputs.sel(output=name).values
    if trace.sizes[schema.BEST_POINT]:
        echo_table(pd.DataFrame(columns, index=pd.Index(trace[schema.BEST_POINT].values, name="best point")))
    for name in (schema.REGRET, schema.HYPERVOLUME):
        if name in trace:
            typer.echo(f"{name}: {float(trace[name][-1]):.4g}")
    typer.echo(f"verdict {diagnostics[schema.VERDICT].item()}: {diagnostics[schema.VERDICT_TEXT].item()}")


def panels(result: "xr.DataTree") -> Panels:
    """What a picture of this result shows: progress, predictions and front; of a study regret and ranks."""
    import numpy as np

    from uqkit.results import schema

    plots = _workflow()

    trace = result[schema.OPTIMISATION].to_dataset()
    drawn: list[Callable[..., Any]] = []
    if schema.SURROGATE in trace.coords:
        problems = [str(name) for name in trace[schema.STUDY_PROBLEM].values]
        drawn += [lambda ax, name=name: plots.plot_regret(result, name, ax=ax) for name in problems[:3]]
        if len(problems) > 1:
            drawn.append(lambda ax: plots.plot_ranks(result, ax=ax))
        return drawn
    drawn.append(lambda ax: plots.plot_progress(result, ax=ax))
    if np.isfinite(result[schema.EVALUATIONS].to_dataset()[schema.PREDICTED]).any():
        drawn.append(lambda ax: plots.plot_predictions(result, ax=ax))
    if schema.HYPERVOLUME in trace:
        drawn.append(lambda ax: plots.plot_front(result, ax=ax))
    return drawn
