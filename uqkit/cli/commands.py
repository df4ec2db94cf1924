"""The commands that belong to no workflow: the catalogue, saved results, stores, versions."""

from pathlib import Path
from typing import Annotated

import typer

from uqkit.cli import bayesopt, continual, diffusion, pinn, sensitivity
from uqkit.cli.app import app, check_files, draw, plain_errors

# Workflow -> how its results are printed and drawn.
_SHOWN = {
    "sensitivity": sensitivity,
    "pinn": pinn,
    "bayesopt": bayesopt,
    "diffusion": diffusion,
    "continual": continual,
}
_RESUMED = {"sensitivity": sensitivity, "bayesopt": bayesopt}


@app.command()
@plain_errors()
def models() -> None:
    """List the catalogue of ready-made models."""
    from uqkit.problems import catalogue

    entries = catalogue()
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        typer.echo(f"{entry.name:<{width}}  {entry.summary}  [{entry.folder}]")


@app.command()
@plain_errors()
def resume(store: Annotated[Path, typer.Argument(help="The store of a command that was stopped.")]) -> None:
    """Go on with a stopped command from its store; finished evaluations are not run again."""
    from uqkit.errors import StoreError
    from uqkit.evaluate import Journal

    # Particles are kept in another kind of file, with the command in one beside it.
    if (arguments := diffusion.kept_arguments(store)) is not None:
        diffusion.run(arguments, store)
        return
    if (arguments := continual.kept_arguments(store)) is not None:
        continual.run(arguments, store)
        return
    if not store.exists():
        raise StoreError(f"no store at {str(store)!r}; give the file that --store named.")
    with Journal(store) as journal:
        arguments = journal.description("command")
    if arguments is None:
        raise StoreError(
            f"the store {str(store)!r} was not made by a uqkit command; run the script that made it again."
        )
    # Stores of sensitivity name no workflow.
    _RESUMED[arguments.get("workflow", "sensitivity")].run(arguments, store)


@app.command()
@plain_errors()
def show(
    result: Annotated[Path, typer.Argument(help="A saved result.")],
    plot: Annotated[Path | None, typer.Option(help="Picture file.")] = None,
) -> None:
    """Print a saved result, and draw it."""
    from uqkit.errors import StoreError
    from uqkit.results import load, schema

    tree = load(result)
    workflow = tree.attrs[schema.WORKFLOW]
    if workflow not in _SHOWN:
        raise StoreError(f"{str(result)!r} is of the workflow {workflow!r}; known here: {', '.join(_SHOWN)}.")
    _SHOWN[workflow].table(tree)
    if plot is not None:
        check_files(None, plot)
        draw(_SHOWN[workflow].panels(tree), plot)
        typer.echo(f"wrote {plot}")


@app.command()
@plain_errors()
def info() -> None:
    """Print versions and devices, for a bug report."""
    import platform
    from importlib import metadata

    import jax

    typer.echo(f"uqkit {metadata.version('uqkit')}, Python {platform.python_version()}, {platform.platform()}")
    for name in (
        "jax",
        "numpyro",
        "numpy",
        "scipy",
        "xarray",
        "arviz",
        "blackjax",
        "equinox",
        "SALib",
        "matplotlib",
        "botorch",
        "torch",
    ):
        try:
            typer.echo(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            typer.echo(f"{name} is not installed")
    typer.echo(f"devices: {', '.join(str(device) for device in jax.devices())}")
