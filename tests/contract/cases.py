"""One tiny case of every workflow; a workflow joins by adding its case to `CASES`."""

import dataclasses
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import xarray as xr
from scipy import stats

import uqkit as uq
from uqkit import continual, diffusion, pinn
from uqkit.problems import BoundaryValueProblem, Box, Constraint, FieldReference, Integrated, Measured
from uqkit.stats import GaussianMixture as Mixture


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """What the promises that all workflows keep are checked on.

    Attributes:
        name: The workflow.
        problem: Makes the problem: around a Python function of one point that stands for an expensive model, or, where
            `no_model` says why there is none, from nothing.
        solve: The workflow's verb: (problem, key=, store=, progress=) to a result; with an expensive model, failures=.
        restore: Result and problem to an object that goes on.
        go_on: What the restored object gives, to be compared before and after saving.
        plots: Estimate -> a function of a result that draws it.
        bad_point: Solves a problem with NaN at one point where that is not to be borne; with the error that is due and
            what it must say.
        shown: What progress counts, when it is asked for.
        more_plots: Functions of a result that draw something else than an estimate.
        no_model: Why no points of a model are counted, left out where they fail, or kept in a journal; empty where they
            are.
        in_chunks: Whether the verb runs a loop in chunks with a checkpoint after each.
    """

    name: str
    problem: Callable[..., Any]
    solve: Callable[..., xr.DataTree]
    restore: Callable[[xr.DataTree, Any], Any]
    go_on: Callable[[Any], np.ndarray]
    plots: dict[str, Callable[[xr.DataTree], Any]]
    bad_point: tuple[Callable[[], Any], type[Exception], str]
    shown: str
    more_plots: tuple[Callable[[xr.DataTree], Any], ...] = ()
    no_model: str = ""
    in_chunks: bool = False

    def tiny(self) -> Any:
        """The problem, with nothing wrong."""
        return self.problem() if self.no_model else self.problem(answer)


def answer(point: np.ndarray) -> float:
    """A model of one point."""
    return point[0] / (point[1] * point[2] ** 2)


def broken(point: np.ndarray) -> float:
    """The same, with a corner where it fails."""
    return np.nan if point[1] > 1.48 else answer(point)


def _forward_model(function: Callable[[np.ndarray], float]) -> uq.ForwardModel:
    inputs = {"load": stats.norm(1.0, 0.3), "width": stats.uniform(0.5, 1.0), "depth": stats.uniform(1.0, 1.0)}
    return uq.ForwardModel(function, inputs=inputs, outputs={"stress": "Pa"}, name="beam", version="1")


def _sobol_indices(problem: uq.ForwardModel, **settings: Any) -> xr.DataTree:
    return uq.sensitivity.sobol_indices(problem, budget=400, order=("first", "total", "second"), **settings)


SENSITIVITY = Case(
    name="sensitivity",
    problem=_forward_model,
    solve=_sobol_indices,
    restore=uq.sensitivity.restore,
    go_on=lambda sample: sample.indices(key=1)["posterior"].to_dataset()["sobol_total"].values,
    plots={
        "sobol_first": uq.sensitivity.plot_indices,
        "sobol_total": uq.sensitivity.plot_convergence,
        "sobol_second": uq.sensitivity.plot_second_order,
        "output_mean": uq.sensitivity.plot_output,
        "output_variance": uq.sensitivity.plot_output,
    },
    bad_point=(
        lambda: _sobol_indices(_forward_model(broken), key=0, failures=uq.FailurePolicy(on_error="raise")),
        uq.EvaluationError,
        r"beam at point \d+ \(load=.*, width=1\.4[89]",
    ),
    shown="beam",
)


# Functions with names, since what is compiled for an operator serves every problem that has the same one.
def _decay(u: Any, k: Any) -> Any:
    return u.d("t") + k * u.value


def _value(u: Any) -> Any:
    return u.value


def _slope(u: Any) -> Any:
    return u.d("t")


def _decayed(t: Any) -> Any:
    return jnp.exp(-0.7 * t)


def _decay_problem(nan_at: int | None = None) -> BoundaryValueProblem:
    domain = Box(t=(0.0, 2.0), units={"t": "s"})
    times = np.linspace(0.0, 2.0, 12)
    data = np.exp(-0.7 * times) + 0.05 * np.random.default_rng(0).standard_normal(12)
    if nan_at is not None:
        data[nan_at] = np.nan
    return BoundaryValueProblem(
        name="decay",
        domain=domain,
        outputs={"u": "m"},
        constraints=(
            Constraint(name="law", operator=_decay, points=domain.interior, noise=Integrated(0.01), unit="m/s"),
            Constraint(
                name="sensors",
                operator=_value,
                points=times[:, None],
                target=data,
                noise=Measured(dist.LogNormal(-3.0, 1.0)),
                unit="m",
            ),
        ),
        parameters=uq.Inputs({"k": dist.Normal(1.0, 1.0)}, units={"k": "1/s"}),
        quantities={"slope": (_slope, "m/s")},
        references={"u": FieldReference(function=_decayed, kind="closed form", source="the data are drawn from it")},
    )


def _sampled(problem: BoundaryValueProblem, **settings: Any) -> xr.DataTree:
    field = pinn.RandomFeatures(n_features=10, frequencies=pinn.UniformBand(limit=3.0), amplitude=3.0)
    method = pinn.NUTS(n_warmup=150, n_draws=150, n_chains=2)
    with warnings.catch_warnings(action="ignore", category=uq.UqkitWarning):  # so few draws are warned of, rightly
        return pinn.infer(problem, field=field, method=method, **settings)


PINN = Case(
    name="pinn",
    problem=_decay_problem,
    solve=_sampled,
    restore=pinn.restore,
    go_on=lambda field: field.predict({"t": np.array([0.1, 1.3])}).to_array().values,
    plots={
        "u": pinn.plot_solution,
        "slope": lambda result: pinn.plot_solution(result, "slope"),
        "k": lambda result: pinn.plot_parameter(result, "k"),
    },
    more_plots=(
        pinn.plot_error,
        pinn.plot_evidence,
        pinn.plot_noise,
        pinn.plot_residual,
        lambda result: pinn.plot_parameter(result, "noise_scale_sensors"),
    ),
    bad_point=(lambda: _sampled(_decay_problem(nan_at=3), key=0), uq.InputError, r"sensors.* nan at \(t=0\.545"),
    shown="steps",
    no_model="operators are JAX functions of all points at once, which are cheap, and compiled into the loop",
    in_chunks=True,
)


def _objective(function: Callable[[np.ndarray], float]) -> uq.Objective:
    inputs = {"load": stats.uniform(0.1, 1.9), "width": stats.uniform(0.5, 1.0), "depth": stats.uniform(1.0, 1.0)}
    return uq.Objective(uq.ForwardModel(function, inputs=inputs, outputs={"stress": "Pa"}, name="beam", version="1"))


def _optimised(problem: uq.Objective, **settings: Any) -> xr.DataTree:
    from botorch.models import SingleTaskGP

    from uqkit import bayesopt

    quick = bayesopt.Acquisition(n_samples=16, n_restarts=1, n_raw=16, max_iterations=5)
    sizes: dict[str, Any] = {"budget": 106, "n_initial": 96, "batch_size": 5}
    return bayesopt.optimize(problem, surrogate=SingleTaskGP, acquisition=quick, **sizes, **settings)


def _go_on(result: xr.DataTree, problem: uq.Objective) -> Any:
    from botorch.models import SingleTaskGP

    return uq.bayesopt.restore(result, problem, surrogate=SingleTaskGP)


BAYESOPT = Case(
    name="bayesopt",
    problem=_objective,
    solve=_optimised,
    restore=_go_on,
    go_on=lambda optimisation: optimisation.suggest(1, key=1),
    plots={"objective_value": lambda result: uq.bayesopt.plot_best(result)},
    more_plots=(
        lambda result: uq.bayesopt.plot_progress(result),
        lambda result: uq.bayesopt.plot_predictions(result),
    ),
    bad_point=(
        lambda: _optimised(_objective(broken), key=0, failures=uq.FailurePolicy(on_error="raise")),
        uq.EvaluationError,
        r"beam at point \d+ \(load=.*, width=1\.4[89]",
    ),
    shown="beam",
)


def _mixture(nan: bool = False) -> Any:
    mixture = Mixture.of(
        np.array([0.3, 0.7]), np.array([[-1.0, 0.5], [1.5, 0.0]]), np.array([np.eye(2), 0.5 * np.eye(2)])
    )
    exact = diffusion.GaussianMixture(mixture, diffusion.VP())
    if not nan:
        return exact**2.0

    def score(x: Any, t: Any) -> Any:
        return jnp.where(x[0] > 0, jnp.nan, exact.score(x, t))

    return diffusion.ScoreModel(score, diffusion.VP(), *mixture.moments()) ** 2.0


def _sampled_path(target: Any, **settings: Any) -> xr.DataTree:
    method = diffusion.HeunSampler(n_steps=16)
    return diffusion.sample(target, method=method, islands=4, particles=128, name="cooled", **settings)


DIFFUSION = Case(
    name="diffusion",
    problem=_mixture,
    solve=_sampled_path,
    restore=diffusion.restore,
    go_on=lambda particles: particles.expectation(_first_coordinate).value,
    plots={
        "log_normalizer": diffusion.plot_log_normalizer,
        "renyi_entropy": diffusion.plot_log_normalizer,
        "target_mean": diffusion.plot_moments,
        "target_sd": diffusion.plot_moments,
    },
    more_plots=(diffusion.plot_particles, diffusion.plot_path),
    bad_point=(
        lambda: _sampled_path(_mixture(nan=True), key=0),
        uq.InputError,
        r"score of expert 0 is \[nan nan\] at t=1, x0=",
    ),
    shown="steps",
    no_model="scores are JAX functions of all particles at once, compiled into the loop",
    in_chunks=True,
)


def _first_coordinate(x: Any) -> Any:
    return x[0]


def _blobs(nan: bool = False) -> uq.TaskStream:
    stream = uq.load("gaussian_blobs", n_tasks=2, n_train=128, n_test=100)
    if not nan:
        return stream
    inputs = stream.tasks[1].inputs.copy()
    inputs[7, 1] = np.nan
    return uq.TaskStream(
        name="blobs", tasks=[stream.tasks[0], dataclasses.replace(stream.tasks[1], inputs=inputs)], n_classes=2
    )


def _learned(stream: uq.TaskStream, **settings: Any) -> xr.DataTree:
    method = continual.BinaryVariational(widths=(16,), learning_rate=0.1, n_epochs=3, batch_size=32)
    return continual.learn(stream, method=method, **settings)


CONTINUAL = Case(
    name="continual",
    problem=_blobs,
    solve=_learned,
    restore=continual.restore,
    go_on=lambda learner: learner.predict(np.array([[1.0, 0.5], [-2.0, 0.1]]), key=3),
    plots={
        **dict.fromkeys(("accuracy", "average_accuracy"), continual.plot_accuracy),
        "log_score": lambda result: continual.plot_accuracy_matrix(result, "log_score"),
        "brier": lambda result: continual.plot_accuracy_matrix(result, "brier"),
        **dict.fromkeys(
            ("learning_accuracy", "backward_transfer", "forward_transfer", "forgetting"), continual.plot_transfer
        ),
        **dict.fromkeys(
            ("expected_calibration_error", "bin_share", "bin_confidence", "bin_accuracy"), continual.plot_calibration
        ),
    },
    more_plots=(continual.plot_weights,),
    bad_point=(lambda: _blobs(nan=True), uq.InputError, r"`inputs` of task 'angle 45' is nan at row 7, column 1"),
    shown="steps of task",
    no_model="rows of data take the place of a model",
    in_chunks=True,
)


CASES = [SENSITIVITY, PINN, DIFFUSION, CONTINUAL, *([BAYESOPT] if find_spec("botorch") else [])]
