"""`uqkit diffusion`: a density to a power, sampled along its path from noise."""

import json
from collections.abc import Callable, Mapping
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

    from uqkit.problems import Density

__all__ = ["kept_arguments", "panels", "run", "table"]

_N_DRAWS = 4_000
# A picture of moments has this many coordinates at most.
_MOST_COORDINATES = 12


@app.command()
@plain_errors()
def diffusion(
    model: Annotated[
        str,
        typer.Argument(help="Density: catalogue name, file.py that defines `problem`, or module:attribute."),
    ],
    exponent: Annotated[float, typer.Option(help="Power of the density; above 1 cools it.")] = 1.0,
    islands: Annotated[int, typer.Option(help="Independent groups of particles, from which errors come.")] = 8,
    particles: Annotated[int, typer.Option(help="Particles in each island.")] = 1_024,
    steps: Annotated[int, typer.Option(help="Steps from noise to data.")] = 64,
    draws: Annotated[
        int | None,
        typer.Option(
            help="Learn the score from so many exact draws. By default it is a Gaussian mixture's own, and learned "
            "from 4,000 where the density is none."
        ),
    ] = None,
    schedule: Annotated[
        str,
        typer.Option(
            help="Noise: edm or ve, in the units of the data: by default up to three times their largest standard "
            "deviation, and down to a fiftieth of the smallest of a component (of draws, of a coordinate); or vp, for "
            "data of a spread of about 1."
        ),
    ] = "edm",
    final: Annotated[
        bool,
        typer.Option(
            "--final", help="Weights from the model's own log density: exact whatever scores and steps are wrong."
        ),
    ] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting: sampler (heun, euler), transport (mean-expert, target), langevin, threshold (of the "
            "effective share, below which particles are resampled), resampling (systematic, stratified, residual, "
            "multinomial), divergence (exact, hutchinson), control (none, regression), polish (Metropolis steps, "
            "with --final), training_steps (of a learned score); of the noise sigma_min, sigma_max, rho, beta_min, "
            "beta_max.",
        ),
    ] = None,
    key: Key = 0,
    store: Annotated[
        Path | None, typer.Option(help="File (.npz) that keeps the run after each part; makes it resumable.")
    ] = None,
    out: Out = None,
    plot: Plot = None,
    quiet: Quiet = False,
) -> None:
    """A density to a power, by weighted particles: a table with its normaliser, a result file and a picture."""
    arguments = {
        "workflow": "diffusion",
        "model": model,
        "exponent": exponent,
        "islands": islands,
        "particles": particles,
        "steps": steps,
        "draws": draws,
        "schedule": schedule,
        "final": final,
        "set_": set_,
        "key": key,
        "out": None if out is None else str(out),
        "plot": None if plot is None else str(plot),
        "quiet": quiet,
    }
    run(arguments, store)


def run(arguments: dict[str, Any], store: Path | None) -> None:
    """The command with its arguments as they are kept beside a store."""
    from uqkit.diffusion import sample
    from uqkit.errors import InputError
    from uqkit.problems import Density, load
    from uqkit.results import save

    out, plot = output_files(arguments["model"], arguments["out"], arguments["plot"])
    exponent, final = arguments["exponent"], arguments["final"]
    if not 0 < exponent < float("inf"):
        raise InputError(f"--exponent {exponent:g}: pass a number above zero; other powers have no finite integral.")
    settings = _settings(arguments["set_"] or [])
    noise = _noise(arguments["schedule"], settings)
    polish = settings.pop("polish", None)
    if polish is not None and not final:
        raise InputError("--set polish: its steps need the density itself; pass --final, too.")
    training: dict[str, Any] = {"n_steps": settings.pop("training_steps")} if "training_steps" in settings else {}
    method = _method(settings, arguments["steps"], final)
    density = load(arguments["model"])
    if not isinstance(density, Density):
        raise InputError(
            f"model {arguments['model']!r} is a {type(density).__name__}; diffusion samples a Density: in a file, "
            "problem = uqkit.Density(name=..., coordinates=..., log_density=..., draw=...)."
        )
    if store is not None:
        _keep(arguments, store)
    expert, key = _expert(density, arguments, noise, training)

    def log_target(x: Any) -> Any:
        return exponent * density.log_density(x)

    result = sample(
        expert**exponent,
        method=method,
        islands=arguments["islands"],
        particles=arguments["particles"],
        final=log_target if final else None,
        polish=polish,
        coordinates=density.coordinates,
        name=density.name if exponent == 1 else f"{density.name} ** {exponent:g}",
        key=key,
        store=store,
        progress=False if arguments["quiet"] else None,
    )
    known = _known(density, exponent, final)
    save(result, out)
    draw(panels(result, known, log_target), plot)
    if not arguments["quiet"]:
        table(result, known)
        typer.echo(f"wrote {out} and {plot}")


def kept_arguments(store: Path) -> dict[str, Any] | None:
    """The arguments of the command that a store is of, or None where no command of this workflow made it."""
    kept = _beside(store)
    return json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else None


def _keep(arguments: dict[str, Any], store: Path) -> None:
    # A store that is there belongs to the command that made it; if it is of another run, `sample` refuses it.
    if not store.exists() and store.absolute().parent.is_dir():
        _beside(store).write_text(json.dumps(arguments), encoding="utf-8")


def _beside(store: Path) -> Path:
    return store.with_name(f"{store.name}.json")


_OF_SCHEDULES = {
    "edm": ("sigma_min", "sigma_max", "rho"),
    "ve": ("sigma_min", "sigma_max"),
    "vp": ("beta_min", "beta_max"),
}


def _settings(given: list[str]) -> dict[str, Any]:
    """Settings by name, as the objects they stand for."""
    from uqkit import diffusion
    from uqkit.errors import InputError

    choices: dict[str, dict[str, Any]] = {
        "sampler": {"heun": diffusion.HeunSampler, "euler": diffusion.EulerMaruyamaSampler},
        "transport": {"mean-expert": diffusion.MeanExpertTransport(), "target": diffusion.TargetTransport()},
        "resampling": {
            "systematic": diffusion.SystematicResampling,
            "stratified": diffusion.StratifiedResampling,
            "residual": diffusion.ResidualResampling,
            "multinomial": diffusion.MultinomialResampling,
        },
        "divergence": {"exact": diffusion.ExactDivergence(), "hutchinson": diffusion.HutchinsonDivergence()},
        "control": {"none": None, "regression": diffusion.RegressionControl()},
    }
    numbers: dict[str, Callable[[str], Any]] = {
        "langevin": float,
        "threshold": float,
        "training_steps": int,
        "polish": lambda text: diffusion.MetropolisPolish(n_steps=int(text)),
    }
    numbers |= dict.fromkeys((name for names in _OF_SCHEDULES.values() for name in names), float)
    settings: dict[str, Any] = {}
    for setting in given:
        name, equals, value = setting.partition("=")
        if not equals or name not in (*choices, *numbers):
            raise InputError(f"--set {setting}: write NAME=VALUE with a NAME of {', '.join([*choices, *numbers])}.")
        if name in choices and value not in choices[name]:
            raise InputError(f"--set {setting}: {name} is one of {', '.join(choices[name])}.")
        try:
            settings[name] = choices[name][value] if name in choices else numbers[name](value)
        except InputError as error:
            raise InputError(f"--set {setting}: {error}") from None
        except ValueError:
            raise InputError(f"--set {setting}: {value!r} is no number of the right kind.") from None
    return settings


def _noise(schedule: str, settings: dict[str, Any]) -> dict[str, float]:
    """The settings of the noise, taken out of all."""
    from uqkit.errors import InputError

    if schedule not in _OF_SCHEDULES:
        raise InputError(f"no schedule {schedule!r}; use --schedule {', '.join(_OF_SCHEDULES)}.")
    for name in {name for names in _OF_SCHEDULES.values() for name in names} - {*_OF_SCHEDULES[schedule]}:
        if name in settings:
            raise InputError(
                f"--set {name}: --schedule {schedule} has no such setting; it has {', '.join(_OF_SCHEDULES[schedule])}."
            )
    return {name: settings.pop(name) for name in _OF_SCHEDULES[schedule] if name in settings}


def _method(settings: dict[str, Any], steps: int, final: bool) -> Any:
    from uqkit import diffusion
    from uqkit.errors import InputError

    kind = settings.pop("sampler", diffusion.EulerMaruyamaSampler if final else diffusion.HeunSampler)
    if final and kind is diffusion.HeunSampler:
        raise InputError("--set sampler=heun: --final needs densities of steps, which euler has alone; leave it out.")
    scheme = settings.pop("resampling", diffusion.SystematicResampling)
    threshold = {name: settings.pop(name) for name in ("threshold",) if name in settings}
    if settings.get("langevin") == 0 and (final or threshold.get("threshold") != 0):
        wanted = "--final needs Langevin noise" if final else "particles of one ancestor never part; add threshold=0"
        raise InputError(f"--set langevin=0: {wanted}, or take a positive langevin.")
    return kind(n_steps=steps, resampling=scheme(**threshold), **settings)


def _expert(
    density: "Density", arguments: dict[str, Any], noise: dict[str, float], training: dict[str, Any]
) -> tuple[Any, Any]:
    """The density with its noised versions, and the key that is left for the particles."""
    import jax
    import numpy as np

    from uqkit.diffusion import GaussianMixture, ScoreModel
    from uqkit.errors import InputError
    from uqkit.keys import as_key

    schedule, n_draws, key = arguments["schedule"], arguments["draws"], arguments["key"]
    if density.mixture is not None and n_draws is None:
        if training:
            raise InputError(f"--set training_steps: the score of {density.name!r} is known; add --draws to learn it.")
        largest = float(np.linalg.eigvalsh(density.mixture.moments()[1]).max())
        smallest = float(np.linalg.eigvalsh(density.mixture.covariance).min())
        return GaussianMixture(density.mixture, _schedule(schedule, noise, largest, smallest)), key
    if density.draw is None:
        raise InputError(
            f"density {density.name!r} has neither a Gaussian mixture nor exact draws, from which its score is "
            "learned: give it `mixture` or `draw`, or use uqkit.diffusion.ScoreModel with a score of your own."
        )
    draw_key, fit_key, sample_key = jax.random.split(as_key(key), 3)
    points = density.draw(_N_DRAWS if n_draws is None else n_draws, key=draw_key)
    variance = points.var(axis=0)
    noised = _schedule(schedule, noise, float(variance.max()), float(variance.min()))
    shown = False if arguments["quiet"] else None
    return ScoreModel.fit(points, noised, key=fit_key, progress=shown, **training), sample_key


def _schedule(name: str, noise: dict[str, float], largest: float, smallest: float) -> Any:
    """Noise from three times the largest standard deviation to a fiftieth of the smallest, of these variances."""
    from uqkit import diffusion

    if name == "vp":
        return diffusion.VP(**noise)
    scaled = {"sigma_min": smallest**0.5 / 50, "sigma_max": 3 * largest**0.5}
    kinds = {"edm": diffusion.EDM, "ve": diffusion.VE}
    return kinds[name](**({label: float(f"{value:.3g}") for label, value in scaled.items()} | noise))


def _known(density: "Density", exponent: float, final: bool) -> dict[str, Any]:
    """Estimate -> its known value; of an expert those of the normalised density."""
    import numpy as np

    references = {name: np.asarray(reference.values, float) for name, reference in density.references.items()}
    end = "" if exponent == 1 else f"_power_{exponent:g}"
    known: dict[str, Any] = {}
    whole, own = references.get(f"log_normalizer{end}"), references.get("log_normalizer")
    if whole is not None and final:
        known["log_normalizer"] = whole.item()
    elif whole is not None and own is not None:
        known["log_normalizer"] = (whole - exponent * own).item()
    if whole is not None and own is not None and exponent != 1:
        known["renyi_entropy"] = (whole - exponent * own).item() / (1 - exponent)
    if f"mean{end}" in references:
        known["target_mean"] = references[f"mean{end}"]
    if f"variance{end}" in references:
        known["target_sd"] = np.sqrt(references[f"variance{end}"])
    return known


def table(result: "xr.DataTree", known: Mapping[str, Any] | None = None) -> None:
    """Print the normaliser and the moments with their intervals, known values beside them, and the verdict."""
    import numpy as np
    import pandas as pd

    from uqkit.results import schema

    attributes, estimates = result.attrs, result[schema.ESTIMATES].to_dataset()
    diagnostics, known = result[schema.DIAGNOSTICS].to_dataset(), known or {}
    method = json.loads(attributes[schema.METHOD])
    sizes = result[schema.WEIGHTED_SAMPLE].to_dataset().sizes
    typer.echo(
        f"{attributes[schema.PROBLEM]}: {method['method']['type']}, {method['method']['n_steps']} steps, "
        f"{sizes[schema.CHAIN]} islands of {sizes[schema.DRAW]:,} particles, {method['schedule']}, "
        f"{attributes[schema.N_MODEL_EVALUATIONS]:,} scores, {duration(attributes[schema.WALL_TIME])}"
    )
    rows: dict[str, dict[str, float]] = {}
    columns = {"value": "", "standard error": "_se", "lower": "_lower", "upper": "_upper"}
    for name, title in _TITLES.items():
        if name not in estimates:
            continue
        labels = [""] if estimates[name].ndim == 0 else [f" of {each}" for each in estimates[schema.COORDINATE].values]
        units = [estimates[name].attrs["units"]] if labels == [""] else estimates["coordinate_units"].values
        values = {column: np.ravel(estimates[name + end].values) for column, end in columns.items()}
        if name in known:
            values["reference"] = np.ravel(known[name])
        for place, (label, unit) in enumerate(zip(labels, units, strict=True)):
            rows[f"{title}{label} [{unit}]"] = {column: float(each[place]) for column, each in values.items()}
    echo_table(pd.DataFrame(list(rows.values()), index=pd.Index(list(rows))))
    typer.echo(estimates[schema.LOG_NORMALIZER].attrs["long_name"])
    kind = estimates[schema.lower(schema.LOG_NORMALIZER)].attrs
    typer.echo(f"lower, upper: {kind[schema.PROBABILITY]:.0%} interval, {kind[schema.INTERVAL_KIND]}")
    typer.echo(f"verdict {diagnostics[schema.VERDICT].item()}: {diagnostics[schema.VERDICT_TEXT].item()}")


_TITLES = {
    "log_normalizer": "log normaliser",
    "renyi_entropy": "Renyi entropy",
    "target_mean": "mean",
    "target_sd": "sd",
}


def panels(
    result: "xr.DataTree",
    known: Mapping[str, Any] | None = None,
    log_density: Callable[..., Any] | None = None,
) -> Panels:
    """What a picture of this result shows: particles, the path they took, the normaliser and the moments."""
    from uqkit import diffusion
    from uqkit.results import schema

    known = known or {}
    names = [str(name) for name in result[schema.ESTIMATES].to_dataset()[schema.COORDINATE].values]
    exact = log_density if len(names) == 2 else None
    moments = {name: known[name] for name in (schema.TARGET_MEAN, schema.TARGET_SD) if name in known}
    return [
        lambda ax: diffusion.plot_particles(result, density=exact, ax=ax),
        lambda ax: diffusion.plot_path(result, ax=ax),
        lambda ax: diffusion.plot_log_normalizer(result, known.get(schema.LOG_NORMALIZER), ax=ax),
        lambda ax: diffusion.plot_moments(result, moments, coordinates=names[:_MOST_COORDINATES], ax=ax),
    ]
