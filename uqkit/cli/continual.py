"""`uqkit continual`: tasks one after another, learned by a network of one-bit weights or by a baseline."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uqkit.cli.app import Key, Out, Panels, Plot, Quiet, app, draw, duration, echo_table, output_files, plain_errors

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["kept_arguments", "panels", "run", "table"]

# In the store's folder; what a user cannot give as the name of a task's file.
_COMMAND = "command.json"


@app.command()
@plain_errors()
def continual(
    model: Annotated[
        str,
        typer.Argument(help="Stream of tasks: catalogue name, file.py that defines `problem`, or module:attribute."),
    ],
    method: Annotated[
        str,
        typer.Option(
            help="variational (binary weights with a posterior), straight-through, metaplasticity, elastic (weight "
            "consolidation), published (the released loop of the method's authors)."
        ),
    ] = "variational",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting of the method, such as widths=128,128, n_epochs=60, learning_rate=0.1, "
            "first_strength=0.03, later_strength=0.1, memory=1, consolidation=10, strength=100, binary=no; or of the "
            "stream, such as stream.n_tasks=5.",
        ),
    ] = None,
    key: Key = 0,
    store: Annotated[
        Path | None, typer.Option(help="Folder that keeps the training after each epoch; makes it resumable.")
    ] = None,
    out: Out = None,
    plot: Plot = None,
    quiet: Quiet = False,
) -> None:
    """Tasks learned one after another: accuracies with their errors, a result file and a picture."""
    arguments = {
        "model": model,
        "method": method,
        "set_": set_,
        "key": key,
        "out": None if out is None else str(out),
        "plot": None if plot is None else str(plot),
        "quiet": quiet,
    }
    run(arguments, store)


def run(arguments: dict[str, Any], store: Path | None) -> None:
    """The command with its arguments as they are kept in a store."""
    from uqkit.continual import learn
    from uqkit.errors import InputError
    from uqkit.problems import TaskStream, load
    from uqkit.results import save

    out, plot = output_files(arguments["model"], arguments["out"], arguments["plot"])
    method, of_stream = _settings(arguments["method"], arguments["set_"] or [])
    try:
        stream = load(arguments["model"], **of_stream)
    except TypeError as error:
        raise InputError(f"--set stream: {error}.") from None
    if not isinstance(stream, TaskStream):
        raise InputError(
            f"model {arguments['model']!r} is a {type(stream).__name__}; continual learns a TaskStream: in a file, "
            "problem = uqkit.TaskStream(name=..., tasks=[uqkit.Task(...), ...], n_classes=...)."
        )
    if store is not None and not store.exists() and store.absolute().parent.is_dir():
        store.mkdir()
        (store / _COMMAND).write_text(json.dumps(arguments), encoding="utf-8")
    result = learn(
        stream, method=method, key=arguments["key"], store=store, progress=False if arguments["quiet"] else None
    )
    save(result, out)
    draw(panels(result), plot)
    if not arguments["quiet"]:
        table(result)
        typer.echo(f"wrote {out} and {plot}")


def kept_arguments(store: Path) -> dict[str, Any] | None:
    """The arguments of the command that a store is of, or None where no command of this workflow made it."""
    kept = store / _COMMAND
    return json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else None


def _settings(name: str, given: list[str]) -> tuple[Any, dict[str, Any]]:
    """The method, and settings of the stream."""
    from uqkit import continual
    from uqkit.errors import InputError

    kinds: dict[str, type[Any]] = {
        "variational": continual.BinaryVariational,
        "straight-through": continual.StraightThrough,
        "metaplasticity": continual.Metaplasticity,
        "elastic": continual.ElasticWeights,
        "published": continual.PublishedRule,
    }
    if name not in kinds:
        raise InputError(f"no method {name!r}; use --method {', '.join(kinds)}.")
    known = [field.name for field in dataclasses.fields(kinds[name])]
    settings: dict[str, Any] = {}
    of_stream: dict[str, Any] = {}
    for setting in given:
        label, equals, text = setting.partition("=")
        if equals and label.startswith("stream."):
            of_stream[label.removeprefix("stream.")] = _value(setting, text)
        elif not equals or label not in known:
            raise InputError(
                f"--set {setting}: write NAME=VALUE with a NAME of {', '.join(known)}, or stream.NAME=VALUE."
            )
        else:
            settings[label] = _value(setting, text)
    if isinstance(settings.get("widths"), int):
        settings["widths"] = (settings["widths"],)
    try:
        return kinds[name](**settings), of_stream
    except TypeError as error:
        raise InputError(f"--set: {error}.") from None


def _value(setting: str, text: str) -> Any:
    """A number, yes or no, none, or several numbers with commas between."""
    from uqkit.errors import InputError

    words = {"yes": True, "no": False, "none": None}
    if text in words:
        return words[text]
    parts = []
    for part in text.split(","):
        try:
            parts.append(int(part))
        except ValueError:
            try:
                parts.append(float(part))
            except ValueError:
                raise InputError(f"--set {setting}: {part!r} is no number, yes, no or none.") from None
    return tuple(parts) if len(parts) > 1 else parts[0]


def table(result: "xr.DataTree") -> None:
    """Print the matrix of accuracies, its summaries with intervals, and the verdict."""
    import pandas as pd

    from uqkit.results import schema

    attributes, estimates = result.attrs, result[schema.ESTIMATES].to_dataset()
    method = json.loads(attributes[schema.METHOD])
    typer.echo(
        f"{attributes[schema.PROBLEM]}: {method['method']['type']}, {len(estimates[schema.TASK_TRAINED])} tasks, "
        f"{duration(attributes[schema.WALL_TIME])}"
    )
    for decoder in estimates[schema.DECODER].values:
        typer.echo(f"\naccuracy, decoder {decoder}; rows: after learning, columns: judged on")
        matrix = estimates[schema.ACCURACY].sel(decoder=decoder)
        tasks = [str(name) for name in matrix[schema.TASK_TRAINED].values]
        echo_table(pd.DataFrame(matrix.values, index=tasks, columns=tasks))
    chosen = estimates.isel({schema.TASK_TRAINED: -1})
    rows = {}
    for name in (
        schema.AVERAGE_ACCURACY,
        schema.LEARNING_ACCURACY,
        schema.BACKWARD_TRANSFER,
        schema.FORWARD_TRANSFER,
        schema.FORGETTING,
    ):
        for decoder in chosen[schema.DECODER].values if name in chosen else ():
            ends = (name, schema.lower(name), schema.upper(name))
            rows[f"{name}, {decoder}"] = [chosen[end].sel(decoder=decoder).item() for end in ends]
    typer.echo("\nafter the last task")
    echo_table(pd.DataFrame.from_dict(rows, orient="index", columns=["value", "lower", "upper"]))
    diagnostics = result[schema.DIAGNOSTICS].to_dataset()
    typer.echo(f"{diagnostics[schema.VERDICT].item()}: {diagnostics[schema.VERDICT_TEXT].item()}")


def panels(result: "xr.DataTree") -> Panels:
    """The matrix, and accuracy along the tasks."""
    from uqkit.continual import plot_accuracy, plot_accuracy_matrix, plot_calibration

    return (
        lambda ax: plot_accuracy_matrix(result, ax=ax),
        lambda ax: plot_accuracy(result, ax=ax),
        lambda ax: plot_calibration(result, ax=ax),
    )
