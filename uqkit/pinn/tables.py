"""What a solution rests on: noise scales, the choice of the basis, diagnostics."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.special import ndtri

from uqkit.pinn.diagnose import Finding, constraint_residuals
from uqkit.pinn.fitted import Fit
from uqkit.pinn.gradients import gradient_shares, gradient_table
from uqkit.pinn.labels import INTERVAL, grid_points, variable
from uqkit.pinn.network_stack import NetworkStack
from uqkit.pinn.outcome import Outcome
from uqkit.pinn.predict import Prediction
from uqkit.pinn.stack import PARAMETERS
from uqkit.problems import BoundaryValueProblem, FieldReference
from uqkit.problems.boundary import by_name
from uqkit.results import schema

__all__ = ["diagnostics_group", "evidence_group", "noise_group", "optimisation_group", "reference_at"]

_LEVELS = (0.5, 0.8, 0.95)


def noise_group(found: Fit, outcome: Outcome) -> xr.Dataset:
    """Scale, size and residuals of every constraint."""
    problem, names = found.setting.problem, found.stack.names
    rows = found.stack.row_blocks
    effective, residuals = found.laplace.effective_parameters, constraint_residuals(found)
    noise = found.laplace.mode.scales.noise
    sampled = outcome.noise_scale.reshape(-1, len(names))
    scale = np.array([noise[name] for name in names])
    error = np.array([scale[i] * found.scales.relative_error.get(name, 0.0) for i, name in enumerate(names)])
    for name in outcome.sampled_scales:
        column = sampled[:, names.index(name)]
        scale[names.index(name)], error[names.index(name)] = column.mean(), column.std(ddof=1)
    low, high = np.maximum(scale - 1.96 * error, 0.0), scale + 1.96 * error
    units = {c.unit for c in problem.constraints}
    unit = units.pop() if len(units) == 1 else "see constraint_units"
    identified = [int(found.scales.identified.get(name, True)) for name in names]

    def along(values: Any, units: str, text: str) -> xr.Variable:
        return variable((schema.CONSTRAINT,), values, units, text)

    dataset = xr.Dataset(
        {
            schema.NOISE_SCALE: along(scale, unit, "noise scale, or tolerance"),
            schema.standard_error(schema.NOISE_SCALE): along(
                error, unit, "posterior standard deviation; 0 where given"
            ),
            schema.lower(schema.NOISE_SCALE): along(low, unit, "lower end of the interval"),
            schema.upper(schema.NOISE_SCALE): along(high, unit, "upper end of the interval"),
            schema.N_OBSERVATIONS: along([rows[n].stop - rows[n].start for n in names], "1", "rows"),
            schema.EFFECTIVE_PARAMETERS: along(
                [effective[n] for n in names], "1", "parameters that the rows determine"
            ),
            schema.RMS_RESIDUAL: along(
                [residuals[n][0] for n in names],
                "1",
                "residual at its points over the scale: rms, or root of the integral of squares of a law",
            ),
            schema.HELD_OUT_RESIDUAL: along([residuals[n][1] for n in names], "1", "the same at fresh points"),
            schema.IDENTIFIED: along(np.array(identified, dtype=np.int8), "1", "whether the data tell a learned scale"),
        },
        {
            schema.CONSTRAINT: list(names),
            "constraint_units": (schema.CONSTRAINT, [c.unit for c in problem.constraints]),
        },
    )
    for name in (schema.lower(schema.NOISE_SCALE), schema.upper(schema.NOISE_SCALE)):
        dataset[name].attrs.update(INTERVAL)
    return dataset


def evidence_group(found: Fit) -> xr.Dataset:
    """What the basis was chosen by."""
    choice = found.choice
    return xr.Dataset(
        {
            schema.LOG_EVIDENCE: variable((schema.CANDIDATE,), choice.log_evidence, "nats", "log evidence"),
            schema.HELD_OUT_RESIDUAL: variable(
                (schema.CANDIDATE,), choice.held_out, "1", "residual at fresh points / tolerance"
            ),
            schema.CHOSEN: variable(
                (schema.CANDIDATE,),
                (np.arange(len(choice.values)) == choice.chosen).astype(np.int8),
                "1",
                "the one taken",
            ),
        },
        {schema.CANDIDATE: variable((schema.CANDIDATE,), choice.values, choice.unit, choice.meaning)},
        {schema.CRITERION: schema.LOG_EVIDENCE if choice.by_evidence else schema.HELD_OUT_RESIDUAL},
    )


def optimisation_group(found: Fit) -> xr.Dataset:
    """How the mode was found; of a network also how it was trained, and what pulls at its weights."""
    names = list(found.stack.names)
    variables = {
        schema.OBJECTIVE: variable(
            (schema.ITERATION,),
            found.laplace.mode.objective,
            "nats",
            "minus the log joint density, up to a constant",
        )
    }
    coords: dict[str, Any] = {}
    training = found.training
    if training is not None and len(training.objective):
        variables[schema.TRAINING_OBJECTIVE] = variable(
            (schema.TRAINING_ITERATION,), training.objective, "nats", "the same while training, at changing points"
        )
    if training is not None and training.loss is not None:
        coords.update({schema.STEP: training.step, schema.CONSTRAINT: names})
        dims = (schema.STEP, schema.CONSTRAINT)
        variables[schema.LOSS] = variable(dims, training.loss, "see noise", "mean squared residual of a mini-batch")
        variables[schema.BALANCE] = variable(dims, training.balance, "1", "weight of the loss")
    if isinstance(found.stack, NetworkStack):
        layers = [name for name, part in found.stack.weight_blocks.items() for _ in range(part.stop - part.start)]
        coords.update({schema.CONSTRAINT: names, schema.LAYER: (schema.NETWORK_WEIGHT, layers)})
        variables[schema.GRADIENT] = variable(
            (schema.CONSTRAINT, schema.NETWORK_WEIGHT),
            _weighted_gradients(found, found.stack),
            "see noise",
            "derivative of the mean squared residual by each weight, where the search ended, times Adam's last weight",
        )
    return xr.Dataset(variables, coords)


def _weighted_gradients(found: Fit, stack: NetworkStack) -> Float[np.ndarray, "constraint weight"]:
    """What pulls at the weights: the gradient of each loss, times its weight where the training balanced them."""
    table = gradient_table(stack, found.laplace.mode.position)
    if found.training is None or found.training.balance is None:
        return table
    return found.training.balance[-1][:, None] * table


def diagnostics_group(
    found: Fit,
    outcome: Outcome,
    predicted: Mapping[str, Prediction],
    lattice: Mapping[str, Float[np.ndarray, " entry"]],
    findings: Sequence[Finding],
) -> xr.Dataset:
    """Verdict, comparison with references, conditioning, and what is known of the draws."""
    problem = found.setting.problem
    serious = any(finding.serious for finding in findings)
    verdict = "fail" if serious else "warn" if findings else "ok"
    text = " ".join(finding.text for finding in findings) or "nothing doubtful was found"
    variables: dict[str, xr.Variable] = {
        schema.VERDICT: variable((), verdict, "1", "verdict: ok, warn or fail"),
        schema.VERDICT_TEXT: variable((), text, "1", "why"),
        schema.CONDITION_NUMBER: variable(
            (), found.laplace.mode.factor.condition_number, "1", "of the root of the posterior precision"
        ),
    }
    coords: dict[str, Any] = {}
    if isinstance(found.stack, NetworkStack):
        coords[schema.CONSTRAINT] = list(found.stack.names)
        variables[schema.GRADIENT_SHARE] = variable(
            (schema.CONSTRAINT,),
            gradient_shares(_weighted_gradients(found, found.stack)),
            "1",
            "norm of the constraint's gradient over the sum of all, with the weights that Adam ended with",
        )
    known = {n: r for n, r in problem.references.items() if isinstance(r, FieldReference)}
    if known:
        points = grid_points(lattice)
        table = [_against_reference(predicted[name], reference_at(problem, r, points)) for name, r in known.items()]
        coords.update({schema.QUANTITY: list(known), schema.LEVEL: list(_LEVELS)})
        variables[schema.COVERAGE] = variable(
            (schema.QUANTITY, schema.LEVEL),
            [row[0] for row in table],
            "1",
            "share of the grid where the band holds the reference",
        )
        variables[schema.RMS_Z] = variable(
            (schema.QUANTITY,), [row[1] for row in table], "1", "rms of error over standard deviation"
        )
        variables[schema.RELATIVE_ERROR] = variable(
            (schema.QUANTITY,), [row[2] for row in table], "1", "relative L2 error"
        )
    if found.stack.parameter_names:
        coords[schema.PARAMETER] = list(found.stack.parameter_names)
        part = found.stack.dim_blocks[PARAMETERS]
        share = found.laplace.standard_deviation(np.eye(found.stack.n_dims)[part])
        variables[schema.PRIOR_SHARE] = variable((schema.PARAMETER,), share, "1", "posterior width over prior width")
        if not outcome.gaussian:
            scores = outcome.position[:, :, part].reshape(-1, len(share))
            shift = (scores.mean(axis=0) - found.laplace.mode.position[part]) / share
            variables[schema.LAPLACE_SHIFT] = variable(
                (schema.PARAMETER,), shift, "1", "posterior mean from the mode, in Laplace standard deviations"
            )
    if outcome.draws is not None:
        for name, value, text in (
            (schema.R_HAT, np.max(outcome.draws.r_hat), "largest R-hat of any coordinate"),
            (schema.ESS_BULK, np.min(outcome.draws.ess_bulk), "smallest bulk effective sample size of any coordinate"),
            (schema.ESS_TAIL, np.min(outcome.draws.ess_tail), "smallest tail effective sample size of any coordinate"),
        ):
            variables[name] = variable((), value, "1", text)
    return xr.Dataset(variables, coords)


def _against_reference(predicted: Prediction, exact: Float[np.ndarray, " point"]) -> tuple[list[float], float, float]:
    """Coverage at each level, rms of z, relative L2 error."""
    error = predicted.mean - exact
    z = error / np.maximum(predicted.standard_deviation, np.finfo(float).tiny)
    coverage = [float((np.abs(z) <= ndtri(0.5 + level / 2)).mean()) for level in _LEVELS]
    return coverage, float(np.sqrt(np.mean(z**2))), float(np.linalg.norm(error) / np.linalg.norm(exact))


def reference_at(
    problem: BoundaryValueProblem, reference: FieldReference, points: Float[np.ndarray, "point coordinate"]
) -> Float[np.ndarray, " point"]:
    """A known field at points, in double precision."""
    with jax.enable_x64(True):
        return np.broadcast_to(np.asarray(by_name(reference.function, problem.domain.columns(points))), len(points))
