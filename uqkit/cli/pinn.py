"""`uqkit pinn`: the posterior of a boundary value problem."""

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
    output_files,
    plain_errors,
)

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["panels", "table"]


@app.command()
@plain_errors()
def pinn(
    model: Annotated[str, typer.Argument(help="Catalogue name, file.py that defines `problem`, or module:attribute.")],
    field: Annotated[
        str, typer.Option(help="features (random waves), network (for fronts), or trained-features (its last layer).")
    ] = "features",
    method: Annotated[
        str | None,
        typer.Option(
            help="gauss-newton, exact, randomised-map, nuts, mclmc or adjusted-mclmc; of a network "
            "levenberg-marquardt or adam. The first of each by default."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting: frequencies (uniform-band, gaussian-pairs), features, limit, length-scale, nodes (of "
            "collocation, along each coordinate), draws, chains; of a network widths (as 20,20,20), points (drawn "
            "inside), iterations, steps.",
        ),
    ] = None,
    key: Key = 0,
    store: Annotated[Path | None, typer.Option(help="File (.npz) that makes a sampler's run resumable.")] = None,
    out: Out = None,
    plot: Plot = None,
    quiet: Quiet = False,
) -> None:
    """Posterior of a differential equation's solution and parameters: a table, a result file and a picture."""
    from uqkit.errors import InputError
    from uqkit.pinn import infer
    from uqkit.problems import load
    from uqkit.results import save

    result_file, picture = output_files(model, None if out is None else str(out), None if plot is None else str(plot))
    settings = _settings(set_ or [])
    networked = field in _NETWORKS
    if not networked and field != "features":
        raise InputError(f"no field {field!r}; use --field features, {', '.join(_NETWORKS)}.")
    _check_settings(field, settings)
    by_default = "levenberg-marquardt" if field == "network" else "gauss-newton"
    chosen = _method(by_default if method is None else method, settings)
    fields = _network_and_points(field, settings) if networked else _field_and_nodes(settings)
    result = infer(
        load(model),
        method=chosen,
        key=key,
        store=store,
        progress=False if quiet else None,
        **fields,
    )
    save(result, result_file)
    draw(panels(result), picture)
    if not quiet:
        table(result)
        typer.echo(f"wrote {result_file} and {picture}")


_NUMBERS: dict[str, Callable[[str], Any]] = {
    "features": int,
    "limit": float,
    "length-scale": float,
    "nodes": int,
    "draws": int,
    "chains": int,
    "points": int,
    "iterations": int,
    "steps": int,
    "widths": lambda text: tuple(int(width) for width in text.split(",")),
}
_NETWORKS = ("network", "trained-features")
# Settings of one kind of field alone.
_OF_FEATURES = frozenset({"frequencies", "features", "limit", "length-scale", "nodes"})
_OF_NETWORKS = frozenset({"widths", "points", "iterations", "steps"})


def _settings(given: list[str]) -> dict[str, Any]:
    from uqkit.errors import InputError

    settings: dict[str, Any] = {}
    for setting in given:
        name, equals, value = setting.partition("=")
        if not equals or name not in ("frequencies", *_NUMBERS):
            raise InputError(f"--set {setting}: write NAME=VALUE with a NAME of frequencies, {', '.join(_NUMBERS)}.")
        try:
            settings[name] = _NUMBERS[name](value) if name in _NUMBERS else value
        except ValueError:
            raise InputError(f"--set {setting}: {value!r} is no number of the right kind.") from None
    return settings


def _check_settings(field: str, settings: dict[str, Any]) -> None:
    from uqkit.errors import InputError

    wrong = sorted((_OF_FEATURES if field in _NETWORKS else _OF_NETWORKS) & set(settings))
    if wrong:
        raise InputError(f"--set {', '.join(wrong)}: --field {field} takes no such setting.")


def _method(name: str, settings: dict[str, Any]) -> Any:
    from uqkit import pinn
    from uqkit.errors import InputError

    samplers = {"nuts": pinn.NUTS, "mclmc": pinn.MCLMC, "adjusted-mclmc": pinn.AdjustedMCLMC}
    others = {"gauss-newton": pinn.GaussNewton, "exact": pinn.Exact, "randomised-map": pinn.RandomisedMAP}
    trainings = {
        "levenberg-marquardt": (pinn.LevenbergMarquardt, {"iterations": "max_iterations"}),
        "adam": (pinn.AdamBalanced, {"steps": "n_steps"}),
    }
    sizes = {field: settings.pop(option) for option, field in _SIZES.items() if option in settings}
    if name in samplers:
        return samplers[name](**sizes)
    if name in trainings and not sizes:
        kind, options = trainings[name]
        return kind(**{field: settings.pop(option) for option, field in options.items() if option in settings})
    if name not in (*others, *trainings):
        raise InputError(f"no method {name!r}; use --method {', '.join([*others, *samplers, *trainings])}.")
    if sizes:
        raise InputError(
            f"--set {', '.join(sizes)}: {name} takes none of these; they are settings of {', '.join(samplers)}."
        )
    return others[name]()


_SIZES = {"draws": "n_draws", "chains": "n_chains"}


def _field_and_nodes(settings: dict[str, Any]) -> dict[str, Any]:
    from uqkit import pinn
    from uqkit.errors import InputError

    arguments: dict[str, Any] = {}
    if "nodes" in settings:
        arguments["collocation"] = pinn.GaussGrid(n=settings["nodes"])
    wanted = settings.get("frequencies") or ("gaussian-pairs" if "length-scale" in settings else "uniform-band")
    kinds = {
        "uniform-band": lambda: pinn.UniformBand(limit=settings.get("limit")),
        "gaussian-pairs": lambda: pinn.GaussianPairs(length_scale=settings.get("length-scale")),
    }
    if wanted not in kinds:
        raise InputError(f"--set frequencies={wanted}: it is one of {', '.join(kinds)}.")
    other = "length-scale" if wanted == "uniform-band" else "limit"
    if other in settings:
        raise InputError(f"--set {other}: frequencies={wanted} takes no such setting.")
    if {"frequencies", "features", "limit", "length-scale"} & set(settings):
        size = {"n_features": settings["features"]} if "features" in settings else {}
        arguments["field"] = pinn.RandomFeatures(frequencies=kinds[wanted](), **size)
    return arguments


def _network_and_points(field: str, settings: dict[str, Any]) -> dict[str, Any]:
    from uqkit import pinn

    network = pinn.Network(architecture=pinn.MLP(widths=settings.get("widths", (20, 20, 20))))
    arguments: dict[str, Any] = {"field": network}
    if field == "trained-features":
        most = {"max_iterations": settings["iterations"]} if "iterations" in settings else {}
        arguments["field"] = pinn.TrainedFeatures(network=network, training=pinn.LevenbergMarquardt(**most))
    if "points" in settings:
        arguments["collocation"] = pinn.ResidualAdaptive(n=settings["points"])
    return arguments


def table(result: "xr.DataTree") -> None:
    """Print parameters, fields and noise, and the verdict."""
    import numpy as np
    import pandas as pd

    from uqkit.results import schema

    attributes = result.attrs
    method = json.loads(attributes[schema.METHOD])
    typer.echo(
        f"{attributes[schema.PROBLEM]}: {method['method']['type']}, {_kind(method['field'])}, "
        f"{attributes[schema.N_MODEL_EVALUATIONS]:,} evaluations of the residual, "
        f"{duration(attributes[schema.WALL_TIME])}"
    )
    estimates, diagnostics = result[schema.ESTIMATES].to_dataset(), result[schema.DIAGNOSTICS].to_dataset()
    names = [str(name) for name in estimates.data_vars if schema.standard_error(str(name)) in estimates]
    parameters = [name for name in names if estimates[name].ndim == 0]
    if parameters:
        ends = ("", "_se", "_lower", "_upper")
        columns = ("value", "sd", "lower", "upper")
        echo_table(
            pd.DataFrame(
                [[float(estimates[name + end]) for end in ends] for name in parameters],
                index=pd.Index([f"{name} [{estimates[name].attrs['units']}]" for name in parameters]),
                columns=list(columns),
            )
        )
        probability = estimates[schema.lower(parameters[0])].attrs[schema.PROBABILITY]
        typer.echo(f"lower, upper: {probability:.0%} credible interval")
    fields = [name for name in names if estimates[name].ndim]
    rows = {
        f"{name} [{estimates[name].attrs['units']}]": {
            "smallest": float(estimates[name].min()),
            "largest": float(estimates[name].max()),
            "largest sd": float(estimates[schema.standard_error(name)].max()),
        }
        for name in fields
    }
    if schema.RELATIVE_ERROR in diagnostics:
        for name in map(str, diagnostics[schema.QUANTITY].values):
            row = rows[f"{name} [{estimates[name].attrs['units']}]"]
            row["relative error"] = float(diagnostics[schema.RELATIVE_ERROR].sel(quantity=name))
            row["in 95% band"] = float(diagnostics[schema.COVERAGE].sel(quantity=name, level=0.95))
    echo_table(pd.DataFrame(list(rows.values()), index=pd.Index(list(rows))))
    noise = result[schema.NOISE].to_dataset()
    shown = {
        "scale": schema.NOISE_SCALE,
        "sd": schema.standard_error(schema.NOISE_SCALE),
        "points": schema.N_OBSERVATIONS,
        "effective parameters": schema.EFFECTIVE_PARAMETERS,
        "residual / scale": schema.RMS_RESIDUAL,
        "at fresh points": schema.HELD_OUT_RESIDUAL,
    }
    echo_table(
        pd.DataFrame(
            {title: np.asarray(noise[name]) for title, name in shown.items()},
            index=pd.Index([str(name) for name in noise[schema.CONSTRAINT].values]),
        )
    )
    typer.echo(f"verdict {diagnostics[schema.VERDICT].item()}: {diagnostics[schema.VERDICT_TEXT].item()}")


def _kind(field: dict[str, Any]) -> str:
    """The field in words, from its record."""
    if "n_features" in field:
        return f"{field['n_features']} features"
    network = field.get("network", field)
    widths = "x".join(map(str, network["architecture"]["widths"]))
    return f"network {widths}" if network is field else f"last layer of a network {widths}"


def panels(result: "xr.DataTree") -> Panels:
    """What a picture of this result shows: the solution, what it leaves, and the first parameter."""
    from uqkit import pinn
    from uqkit.results import schema

    estimates = result[schema.ESTIMATES].to_dataset()
    names = [str(name) for name in estimates.data_vars if schema.standard_error(str(name)) in estimates]
    field = next(name for name in names if estimates[name].ndim)
    held = {str(dim): float(estimates[dim].mean()) for dim in estimates[field].dims[2:]}
    drawn: list[Callable[..., Any]] = [
        lambda ax: pinn.plot_solution(result, field, at=held or None, ax=ax),
        lambda ax: pinn.plot_noise(result, ax=ax),
    ]
    if f"{field}_reference" in result[schema.CONSTANT_DATA].to_dataset():
        drawn.insert(1, lambda ax: pinn.plot_error(result, field, ax=ax))
    if json.loads(result.attrs[schema.METHOD])["field"]["type"] == "Network":
        drawn.append(lambda ax: pinn.plot_training(result, ax=ax))
    parameters = [name for name in names if estimates[name].ndim == 0]
    if parameters:
        drawn.append(lambda ax: pinn.plot_parameter(result, parameters[0], ax=ax))
    return drawn
