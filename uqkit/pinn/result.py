"""Arrays to a result."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float, Key
from scipy.special import ndtri

from uqkit.keys import numpy_generator
from uqkit.pinn.diagnose import Finding, constraint_residuals
from uqkit.pinn.fit import Fit
from uqkit.pinn.operators import outputs_and_quantities
from uqkit.pinn.outcome import Outcome
from uqkit.pinn.predict import PROBABILITY, Prediction, predict, predict_draws, prediction_stack
from uqkit.pinn.stack import PARAMETERS
from uqkit.pinn.target import NOISE_SCALE
from uqkit.problems import BoundaryValueProblem, FieldReference, Measured
from uqkit.problems.boundary import by_name
from uqkit.results import Provenance, as_record, build, schema

__all__ = ["assemble", "field_dataset", "units_of"]

_LEVELS = (0.5, 0.8, 0.95)
_N_PRIOR_DRAWS = 100
_INTERVAL = {schema.PROBABILITY: PROBABILITY, schema.INTERVAL_KIND: "equal-tailed credible interval"}


def assemble(
    found: Fit,
    outcome: Outcome,
    *,
    lattice: Mapping[str, Float[np.ndarray, " entry"]],
    findings: Sequence[Finding],
    settings: Mapping[str, Any],
    prior_key: Key[jax.Array, ""],
    key_text: str,
    started: float,
) -> xr.DataTree:
    """The result of `infer`."""
    problem = found.setting.problem
    stack = prediction_stack(problem, found.basis, outputs_and_quantities(problem), _grid_points(lattice))
    drawn = predict_draws(stack, outcome.position)
    predicted = (
        predict(stack, found.laplace) if outcome.gaussian else {n: Prediction.of_draws(v) for n, v in drawn.items()}
    )
    parameters = _parameter_draws(found, outcome)
    groups = {
        schema.ESTIMATES: _estimates(found, outcome, predicted, parameters, lattice),
        schema.POSTERIOR: _posterior(found, outcome, parameters),
        schema.POSTERIOR_PREDICTIVE: _predictive(problem, drawn, lattice, outcome.independent),
        schema.PRIOR_PREDICTIVE: _prior_predictive(found, stack, lattice, prior_key),
        schema.LOG_LIKELIHOOD: _log_likelihood(found, outcome),
        schema.SAMPLE_STATS: _sample_stats(outcome),
        schema.NOISE: _noise(found, outcome),
        schema.EVIDENCE: _evidence(found),
        schema.OPTIMISATION: xr.Dataset(
            {
                schema.OBJECTIVE: _variable(
                    (schema.ITERATION,),
                    found.laplace.mode.objective,
                    "nats",
                    "minus the log joint density, up to a constant",
                )
            }
        ),
        **_data_groups(found, lattice),
        schema.VARIATIONAL: _fitted_group(found, outcome),
        schema.DIAGNOSTICS: _diagnostics(found, outcome, predicted, lattice, findings),
    }
    provenance = Provenance(
        workflow="pinn",
        problem=problem.name,
        method=as_record(settings),
        key=key_text,
        n_model_evaluations=found.n_evaluations,
        wall_time=time.perf_counter() - started,
    )
    return build({name: group for name, group in groups.items() if group is not None and group.sizes}, provenance)


def _grid_points(lattice: Mapping[str, Float[np.ndarray, " entry"]]) -> Float[np.ndarray, "point coordinate"]:
    """All points of a lattice, the last coordinate running fastest."""
    return np.stack([axis.ravel() for axis in np.meshgrid(*lattice.values(), indexing="ij")], axis=1)


def _variable(dims: Sequence[str], values: Any, units: str, long_name: str) -> xr.Variable:
    return xr.Variable(tuple(dims), np.asarray(values), {"units": units, "long_name": long_name})


def units_of(problem: BoundaryValueProblem) -> dict[str, str]:
    """Unit of every output, quantity and parameter."""
    inputs = problem.inputs
    parameters = {} if inputs is None else inputs.units
    return {**problem.outputs, **{name: unit for name, (_, unit) in problem.quantities.items()}, **parameters}


def _lattice_coords(
    problem: BoundaryValueProblem, lattice: Mapping[str, Float[np.ndarray, " entry"]]
) -> dict[str, xr.Variable]:
    return {n: _variable((n,), axis, problem.domain.units[n], f"coordinate {n}") for n, axis in lattice.items()}


def field_dataset(
    predicted: Mapping[str, Prediction],
    dims: Sequence[str],
    shape: Sequence[int],
    units: Mapping[str, str],
    coords: Any,
) -> xr.Dataset:
    """Predictions as variables NAME, NAME_se, NAME_lower and NAME_upper."""
    variables = {}
    for name, value in predicted.items():
        for label, values, text in (
            (name, value.mean, "posterior mean"),
            (schema.standard_error(name), value.standard_deviation, "posterior standard deviation"),
            (schema.lower(name), value.lower, "lower end of the credible interval"),
            (schema.upper(name), value.upper, "upper end of the credible interval"),
        ):
            variables[label] = _variable(dims, values.reshape(shape), units[name], f"{text} of {name}")
            if label.endswith(("_lower", "_upper")):
                variables[label].attrs.update(_INTERVAL)
    return xr.Dataset(variables, coords)


def _parameter_draws(found: Fit, outcome: Outcome) -> dict[str, Float[np.ndarray, "chain draw"]]:
    """Parameters and sampled noise scales at each draw, in their own units."""
    names = found.stack.parameter_names
    drawn: dict[str, Float[np.ndarray, "chain draw"]] = {}
    if found.stack.scores is not None:
        scores = outcome.position[:, :, found.stack.dim_blocks[PARAMETERS]]
        with jax.enable_x64(True):
            flat = np.asarray(jax.vmap(found.stack.scores)(jax.numpy.asarray(scores.reshape(-1, len(names)))))
        drawn = dict(zip(names, np.moveaxis(flat.reshape(scores.shape), 2, 0), strict=True))
    for name in outcome.sampled_scales:
        drawn[f"{NOISE_SCALE}_{name}"] = outcome.noise_scale[:, :, found.stack.names.index(name)]
    return drawn


def _estimates(
    found: Fit,
    outcome: Outcome,
    predicted: Mapping[str, Prediction],
    parameters: Mapping[str, Float[np.ndarray, "chain draw"]],
    lattice: Mapping[str, Float[np.ndarray, " entry"]],
) -> xr.Dataset:
    problem = found.setting.problem
    shape = [len(axis) for axis in lattice.values()]
    fields = field_dataset(predicted, tuple(lattice), shape, units_of(problem), _lattice_coords(problem, lattice))
    own = {name: parameters[name][:, :, None] for name in found.stack.parameter_names}
    known = _gaussian_parameters(found) if outcome.gaussian else {n: Prediction.of_draws(v) for n, v in own.items()}
    return fields.merge(field_dataset(known, (), (), units_of(problem), {}))


def _gaussian_parameters(found: Fit) -> dict[str, Prediction]:
    """Parameters under the Laplace approximation, carried from standard normal scores to their own units."""
    scores = found.stack.scores
    if scores is None:
        return {}
    part = found.stack.dim_blocks[PARAMETERS]
    mode = found.laplace.mode.position[part]
    directions = np.eye(found.stack.n_dims)[part]
    covariance = found.laplace.covariance(directions, directions)
    with jax.enable_x64(True):
        slope = np.asarray(jax.jacfwd(scores)(jax.numpy.asarray(mode)))
        value = np.asarray(scores(jax.numpy.asarray(mode)))
    error = np.sqrt(np.diag(slope @ covariance @ slope.T))
    return {
        name: Prediction.normal(value[i : i + 1], error[i : i + 1])
        for i, name in enumerate(found.stack.parameter_names)
    }


def _posterior(found: Fit, outcome: Outcome, parameters: Mapping[str, Float[np.ndarray, "chain draw"]]) -> xr.Dataset:
    units = units_of(found.setting.problem)
    unit_of_scale = {f"{NOISE_SCALE}_{c.name}": c.unit for c in found.setting.problem.constraints}
    return xr.Dataset(
        {
            name: _variable((schema.CHAIN, schema.DRAW), values, {**units, **unit_of_scale}[name], name)
            for name, values in parameters.items()
        },
        _draw_coords(outcome.position),
        {schema.INDEPENDENT_DRAWS: int(outcome.independent)},
    )


def _draw_coords(position: Float[np.ndarray, "chain draw dim"]) -> dict[str, Any]:
    return {schema.CHAIN: np.arange(position.shape[0]), schema.DRAW: np.arange(position.shape[1])}


def _predictive(
    problem: BoundaryValueProblem,
    drawn: Mapping[str, Float[np.ndarray, "chain draw point"]],
    lattice: Mapping[str, Float[np.ndarray, " entry"]],
    independent: bool,
) -> xr.Dataset:
    units = units_of(problem)
    shape = [len(axis) for axis in lattice.values()]
    first = next(iter(drawn.values()))
    return xr.Dataset(
        {
            name: _variable(
                (schema.CHAIN, schema.DRAW, *lattice), values.reshape(*values.shape[:2], *shape), units[name], name
            )
            for name, values in drawn.items()
        },
        {**_draw_coords(first), **_lattice_coords(problem, lattice)},
        {schema.INDEPENDENT_DRAWS: int(independent)},
    )


def _prior_predictive(
    found: Fit, stack: Any, lattice: Mapping[str, Float[np.ndarray, " entry"]], key: Key[jax.Array, ""]
) -> xr.Dataset:
    prior = found.laplace.mode.scales.dims(found.stack.dim_blocks)
    white = numpy_generator(key).standard_normal((1, _N_PRIOR_DRAWS, len(prior)))
    return _predictive(found.setting.problem, predict_draws(stack, prior * white), lattice, independent=True)


def _log_likelihood(found: Fit, outcome: Outcome) -> xr.Dataset:
    """Of each measured observation; a law that is integrated has no observations."""
    measured = [c for c in found.setting.problem.constraints if isinstance(c.noise, Measured)]
    variables, coords = {}, _draw_coords(outcome.position)
    if not measured:
        return xr.Dataset()
    residual = predict_draws(found.stack, outcome.position)
    for constraint in measured:
        place = found.stack.names.index(constraint.name)
        scale, row_scale = outcome.noise_scale[:, :, place, None], found.setting.nodes[place].row_scale
        density = -0.5 * (residual[constraint.name] / scale) ** 2 - np.log(scale * row_scale) - 0.5 * np.log(2 * np.pi)
        dim = f"{constraint.name}_point"
        coords[dim] = np.arange(len(row_scale))
        variables[constraint.name] = _variable(
            (schema.CHAIN, schema.DRAW, dim), density, "nats", f"log likelihood of {constraint.name}"
        )
    return xr.Dataset(variables, coords)


def _sample_stats(outcome: Outcome) -> xr.Dataset:
    if outcome.draws is None:
        return xr.Dataset()
    return xr.Dataset(
        {
            name: _variable((schema.CHAIN, schema.DRAW), values, "nats" if name == "lp" else "1", name)
            for name, values in outcome.draws.statistics.items()
        },
        _draw_coords(outcome.position),
    )


def _noise(found: Fit, outcome: Outcome) -> xr.Dataset:
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
        return _variable((schema.CONSTRAINT,), values, units, text)

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
                [residuals[n][0] for n in names], "1", "rms residual at its points, over the scale"
            ),
            schema.HELD_OUT_RESIDUAL: along(
                [residuals[n][1] for n in names], "1", "rms residual at fresh points, over the scale"
            ),
            schema.IDENTIFIED: along(np.array(identified, dtype=np.int8), "1", "whether the data tell a learned scale"),
        },
        {
            schema.CONSTRAINT: list(names),
            "constraint_units": (schema.CONSTRAINT, [c.unit for c in problem.constraints]),
        },
    )
    for name in (schema.lower(schema.NOISE_SCALE), schema.upper(schema.NOISE_SCALE)):
        dataset[name].attrs.update(_INTERVAL)
    return dataset


def _evidence(found: Fit) -> xr.Dataset:
    choice = found.choice
    return xr.Dataset(
        {
            schema.LOG_EVIDENCE: _variable((schema.CANDIDATE,), choice.log_evidence, "nats", "log evidence"),
            schema.HELD_OUT_RESIDUAL: _variable(
                (schema.CANDIDATE,), choice.held_out, "1", "relative residual at fresh points"
            ),
            schema.CHOSEN: _variable(
                (schema.CANDIDATE,),
                (np.arange(len(choice.values)) == choice.chosen).astype(np.int8),
                "1",
                "the one taken",
            ),
        },
        {schema.CANDIDATE: _variable((schema.CANDIDATE,), choice.values, choice.unit, choice.meaning)},
        {schema.CRITERION: schema.LOG_EVIDENCE if choice.by_evidence else schema.HELD_OUT_RESIDUAL},
    )


def _data_groups(found: Fit, lattice: Mapping[str, Float[np.ndarray, " entry"]]) -> dict[str, xr.Dataset]:
    """Points, targets, relative scales and residuals of every constraint, and the references on the grid."""
    problem = found.setting.problem
    mode, rows = found.laplace.mode, found.stack.row_blocks
    observed, constant = {}, {}
    for constraint, nodes, operator in zip(
        problem.constraints, found.setting.nodes, found.setting.operators, strict=True
    ):
        name, dim = constraint.name, f"{constraint.name}_point"
        index = {dim: np.arange(len(nodes.target))}
        target = _variable((dim,), nodes.target, constraint.unit, f"right-hand side of {name}")
        if isinstance(constraint.noise, Measured):
            observed[name] = xr.DataArray(target, index)
            seen = [output for output, orders in operator.wanted if not any(orders)]
            if len(operator.wanted) == len(seen) == 1 and operator.arguments == (seen[0],):
                target.attrs[schema.FIELD] = seen[0]  # sensors of a field itself
        constant[f"{name}_target"] = xr.DataArray(target, index)
        constant[f"{name}_row_scale"] = xr.DataArray(
            _variable((dim,), nodes.row_scale, "1", f"relative noise scale of {name}"), index
        )
        constant[f"{name}_residual"] = xr.DataArray(
            _variable(
                (dim,), mode.residual[rows[name]] / mode.scales.noise[name], "1", f"residual of {name} over its scale"
            ),
            index,
        )
        constant[f"{name}_coordinates"] = xr.DataArray(
            _variable((dim, schema.COORDINATE), nodes.points, "see coordinates", f"points of {name}"),
            {**index, schema.COORDINATE: list(problem.domain.names)},
        )
    return {
        schema.OBSERVED_DATA: xr.Dataset(observed),
        schema.CONSTANT_DATA: xr.Dataset({**constant, **_references(problem, lattice)}),
    }


def _references(
    problem: BoundaryValueProblem, lattice: Mapping[str, Float[np.ndarray, " entry"]]
) -> dict[str, xr.DataArray]:
    """Known fields on the grid and known parameters, each as NAME_reference."""
    known, units = {}, units_of(problem)
    shape = [len(axis) for axis in lattice.values()]
    for name, reference in problem.references.items():
        if isinstance(reference, FieldReference):
            values = _reference_at(problem, reference, _grid_points(lattice)).reshape(shape)
            variable = _variable(tuple(lattice), values, units[name], f"{reference.kind} of {name}: {reference.source}")
            known[f"{name}_reference"] = xr.DataArray(variable, _lattice_coords(problem, lattice))
        else:
            text = f"{reference.kind} of {name}: {reference.source}"
            known[f"{name}_reference"] = xr.DataArray(_variable((), reference.values[0], units[name], text))
    return known


def _fitted_group(found: Fit, outcome: Outcome) -> xr.Dataset:
    """The fitted fields: features, weights at the mode, and the draws where they are no Gaussian's."""
    stack, basis, mode = found.stack, found.basis, found.laplace.mode
    n_outputs, m = len(stack.outputs), stack.n_features
    weights = mode.position[: n_outputs * m].reshape(n_outputs, m)
    amplitude = [mode.scales.prior[name] for name in stack.outputs]
    variables = {
        schema.FREQUENCY: _variable((schema.FEATURE, schema.COORDINATE), basis.frequency, "rad", "per half-width"),
        schema.PHASE: _variable((schema.FEATURE,), basis.phase, "rad", "phase"),
        schema.CENTRE: _variable((schema.COORDINATE,), basis.centre, "see coordinates", "centre of the domain"),
        schema.HALF_WIDTH: _variable(
            (schema.COORDINATE,), basis.half_width, "see coordinates", "half-width of the domain"
        ),
        schema.WEIGHT: _variable((schema.FIELD, schema.FEATURE), weights, "see field", "weights at the mode"),
        schema.AMPLITUDE: _variable((schema.FIELD,), amplitude, "see field", "prior standard deviation of the field"),
    }
    coords: dict[str, Any] = {
        schema.FIELD: list(stack.outputs),
        schema.COORDINATE: list(found.setting.problem.domain.names),
    }
    if stack.parameter_names:
        coords[schema.PARAMETER] = list(stack.parameter_names)
        variables[schema.PARAMETER_SCORE] = _variable(
            (schema.PARAMETER,),
            mode.position[n_outputs * m :],
            "1",
            "standard normal scores of the parameters at the mode",
        )
    if not outcome.gaussian:
        coords.update(_draw_coords(outcome.position))
        draws = outcome.position[:, :, : n_outputs * m].reshape(*outcome.position.shape[:2], n_outputs, m)
        chain = (schema.CHAIN, schema.DRAW)
        variables[schema.WEIGHT_DRAW] = _variable((*chain, schema.FIELD, schema.FEATURE), draws, "see field", "weights")
        if stack.parameter_names:
            variables[schema.PARAMETER_SCORE_DRAW] = _variable(
                (*chain, schema.PARAMETER), outcome.position[:, :, stack.dim_blocks[PARAMETERS]], "1", "scores"
            )
    return xr.Dataset(variables, coords, {"activation": type(basis.activation).__name__})


def _diagnostics(
    found: Fit,
    outcome: Outcome,
    predicted: Mapping[str, Prediction],
    lattice: Mapping[str, Float[np.ndarray, " entry"]],
    findings: Sequence[Finding],
) -> xr.Dataset:
    problem = found.setting.problem
    serious = any(finding.serious for finding in findings)
    verdict = "do not trust" if serious else "look closer" if findings else "ok"
    text = " ".join(finding.text for finding in findings) or "nothing doubtful was found"
    variables: dict[str, xr.Variable] = {
        schema.VERDICT: _variable((), verdict, "1", "verdict"),
        schema.VERDICT_TEXT: _variable((), text, "1", "why"),
        schema.CONDITION_NUMBER: _variable(
            (), found.laplace.mode.factor.condition_number, "1", "of the root of the posterior precision"
        ),
    }
    coords: dict[str, Any] = {}
    known = {n: r for n, r in problem.references.items() if isinstance(r, FieldReference)}
    if known:
        points = _grid_points(lattice)
        table = [_against_reference(predicted[name], _reference_at(problem, r, points)) for name, r in known.items()]
        coords.update({schema.QUANTITY: list(known), schema.LEVEL: list(_LEVELS)})
        variables[schema.COVERAGE] = _variable(
            (schema.QUANTITY, schema.LEVEL),
            [row[0] for row in table],
            "1",
            "share of the grid where the band holds the reference",
        )
        variables[schema.RMS_Z] = _variable(
            (schema.QUANTITY,), [row[1] for row in table], "1", "rms of error over standard deviation"
        )
        variables[schema.RELATIVE_ERROR] = _variable(
            (schema.QUANTITY,), [row[2] for row in table], "1", "relative L2 error"
        )
    if found.stack.parameter_names:
        coords[schema.PARAMETER] = list(found.stack.parameter_names)
        part = found.stack.dim_blocks[PARAMETERS]
        share = found.laplace.standard_deviation(np.eye(found.stack.n_dims)[part])
        variables[schema.PRIOR_SHARE] = _variable((schema.PARAMETER,), share, "1", "posterior width over prior width")
        if not outcome.gaussian:
            scores = outcome.position[:, :, part].reshape(-1, len(share))
            shift = (scores.mean(axis=0) - found.laplace.mode.position[part]) / share
            variables[schema.LAPLACE_SHIFT] = _variable(
                (schema.PARAMETER,), shift, "1", "posterior mean from the mode, in Laplace standard deviations"
            )
    if outcome.draws is not None:
        for name, value, text in (
            (schema.R_HAT, np.max(outcome.draws.r_hat), "largest R-hat of any coordinate"),
            (schema.ESS_BULK, np.min(outcome.draws.ess_bulk), "smallest bulk effective sample size of any coordinate"),
            (schema.ESS_TAIL, np.min(outcome.draws.ess_tail), "smallest tail effective sample size of any coordinate"),
        ):
            variables[name] = _variable((), value, "1", text)
    return xr.Dataset(variables, coords)


def _reference_at(
    problem: BoundaryValueProblem, reference: FieldReference, points: Float[np.ndarray, "point coordinate"]
) -> Float[np.ndarray, " point"]:
    with jax.enable_x64(True):
        return np.broadcast_to(np.asarray(by_name(reference.function, problem.domain.columns(points))), len(points))


def _against_reference(predicted: Prediction, exact: Float[np.ndarray, " point"]) -> tuple[list[float], float, float]:
    """Coverage at each level, rms of z, relative L2 error."""
    error = predicted.mean - exact
    z = error / np.maximum(predicted.standard_deviation, np.finfo(float).tiny)
    coverage = [float((np.abs(z) <= ndtri(0.5 + level / 2)).mean()) for level in _LEVELS]
    return coverage, float(np.sqrt(np.mean(z**2))), float(np.linalg.norm(error) / np.linalg.norm(exact))
