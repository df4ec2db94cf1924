"""Arrays to a result."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float, Key

from uqkit.inference import sample_stats
from uqkit.keys import numpy_generator
from uqkit.pinn.diagnose import Finding
from uqkit.pinn.fitted import Fit
from uqkit.pinn.labels import draw_coords, field_dataset, grid_points, lattice_coords, units_of, variable
from uqkit.pinn.network_stack import FieldNetwork
from uqkit.pinn.operators import outputs_and_quantities
from uqkit.pinn.outcome import Outcome
from uqkit.pinn.predict import Prediction, laplace_draws, predict, predict_draws, prediction_stack
from uqkit.pinn.representation_record import representation_record
from uqkit.pinn.stack import PARAMETERS, Stack
from uqkit.pinn.tables import diagnostics_group, evidence_group, noise_group, optimisation_group, reference_at
from uqkit.pinn.target import NOISE_SCALE
from uqkit.problems import BoundaryValueProblem, FieldReference, Measured
from uqkit.results import Provenance, as_record, build, schema

__all__ = ["assemble", "parameter_draws"]

_N_PRIOR_DRAWS = 100


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
    stack = prediction_stack(problem, found.representation, outputs_and_quantities(problem), grid_points(lattice))
    drawn = _drawn(found, outcome, stack)
    predicted = (
        predict(stack, found.laplace) if outcome.gaussian else {n: Prediction.of_draws(v) for n, v in drawn.items()}
    )
    parameters = parameter_draws(found, outcome)
    groups = {
        schema.ESTIMATES: _estimates(found, outcome, predicted, parameters, lattice),
        schema.POSTERIOR: _posterior(found, outcome, parameters),
        schema.POSTERIOR_PREDICTIVE: _predictive(problem, drawn, lattice, outcome.independent),
        schema.PRIOR_PREDICTIVE: _prior_predictive(found, stack, lattice, prior_key),
        schema.LOG_LIKELIHOOD: _log_likelihood(found, outcome),
        schema.SAMPLE_STATS: None if outcome.draws is None else sample_stats(outcome.draws),
        schema.NOISE: noise_group(found, outcome),
        schema.EVIDENCE: evidence_group(found),
        schema.OPTIMISATION: optimisation_group(found),
        **_data_groups(found, lattice),
        schema.VARIATIONAL: _fitted_group(found, outcome),
        schema.DIAGNOSTICS: diagnostics_group(found, outcome, predicted, lattice, findings),
    }
    provenance = Provenance(
        workflow="pinn",
        problem=problem.name,
        method=as_record(settings),
        key=key_text,
        n_model_evaluations=found.n_evaluations,
        wall_time=time.perf_counter() - started,
    )
    return build({name: group for name, group in groups.items() if group is not None and group.data_vars}, provenance)


def _drawn(found: Fit, outcome: Outcome, stack: Stack) -> dict[str, Float[np.ndarray, "chain draw point"]]:
    """Values of a stack's blocks at each draw."""
    if outcome.gaussian:
        return laplace_draws(stack, found.laplace, outcome.position)
    return predict_draws(stack, outcome.position)


def parameter_draws(found: Fit, outcome: Outcome) -> dict[str, Float[np.ndarray, "chain draw"]]:
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
    fields = field_dataset(predicted, tuple(lattice), shape, units_of(problem), lattice_coords(problem, lattice))
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
            name: variable((schema.CHAIN, schema.DRAW), values, {**units, **unit_of_scale}[name], name)
            for name, values in parameters.items()
        },
        draw_coords(outcome.position),
        {schema.INDEPENDENT_DRAWS: int(outcome.independent)},
    )


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
            name: variable(
                (schema.CHAIN, schema.DRAW, *lattice), values.reshape(*values.shape[:2], *shape), units[name], name
            )
            for name, values in drawn.items()
        },
        {**draw_coords(first), **lattice_coords(problem, lattice)},
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
    variables, coords = {}, draw_coords(outcome.position)
    if not measured:
        return xr.Dataset()
    residual = _drawn(found, outcome, found.stack)
    for constraint in measured:
        place = found.stack.names.index(constraint.name)
        scale, row_scale = outcome.noise_scale[:, :, place, None], found.setting.nodes[place].row_scale
        density = -0.5 * (residual[constraint.name] / scale) ** 2 - np.log(scale * row_scale) - 0.5 * np.log(2 * np.pi)
        dim = f"{constraint.name}_point"
        coords[dim] = np.arange(len(row_scale))
        variables[constraint.name] = variable(
            (schema.CHAIN, schema.DRAW, dim), density, "nats", f"log likelihood of {constraint.name}"
        )
    return xr.Dataset(variables, coords)


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
        target = variable((dim,), nodes.target, constraint.unit, f"right-hand side of {name}")
        if isinstance(constraint.noise, Measured):
            observed[name] = xr.DataArray(target, index)
            seen = [output for output, orders in operator.wanted if not any(orders)]
            if len(operator.wanted) == len(seen) == 1 and operator.arguments == (seen[0],):
                target.attrs[schema.FIELD] = seen[0]  # sensors of a field itself
        constant[f"{name}_target"] = xr.DataArray(target, index)
        constant[f"{name}_row_scale"] = xr.DataArray(
            variable((dim,), nodes.row_scale, "1", f"relative noise scale of {name}"), index
        )
        constant[f"{name}_residual"] = xr.DataArray(
            variable(
                (dim,), mode.residual[rows[name]] / mode.scales.noise[name], "1", f"residual of {name} over its scale"
            ),
            index,
        )
        constant[f"{name}_coordinates"] = xr.DataArray(
            variable((dim, schema.COORDINATE), nodes.points, "see coordinates", f"points of {name}"),
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
            values = reference_at(problem, reference, grid_points(lattice)).reshape(shape)
            labelled = variable(tuple(lattice), values, units[name], f"{reference.kind} of {name}: {reference.source}")
            known[f"{name}_reference"] = xr.DataArray(labelled, lattice_coords(problem, lattice))
        else:
            text = f"{reference.kind} of {name}: {reference.source}"
            known[f"{name}_reference"] = xr.DataArray(variable((), reference.values[0], units[name], text))
    return known


def _fitted_group(found: Fit, outcome: Outcome) -> xr.Dataset:
    """The fitted fields: what they are made of, weights at the mode, and the draws where they are no Gaussian's."""
    stack, mode = found.stack, found.laplace.mode
    variables, coords, attrs = representation_record(found.setting, found.representation)
    dims, shape = ((schema.FIELD, schema.FEATURE), (len(stack.outputs), -1))
    units, text = "see field", "prior standard deviation of the field"
    if isinstance(found.representation, FieldNetwork):
        dims, shape, units, text = (schema.NETWORK_WEIGHT,), (-1,), "1", "prior standard deviation of each weight"
        prior = mode.scales.dims(stack.dim_blocks)[: stack.n_weights]
        variables[schema.WEIGHT_SCALE] = variable(dims, prior, units, text)
    else:
        amplitude = [mode.scales.prior[name] for name in stack.outputs]
        variables[schema.AMPLITUDE] = variable((schema.FIELD,), amplitude, units, text)
    weights = mode.position[: stack.n_weights].reshape(shape)
    variables[schema.WEIGHT] = variable(dims, weights, units, "weights at the mode")
    coords[schema.FIELD] = list(stack.outputs)
    coords[schema.COORDINATE] = list(found.setting.problem.domain.names)
    if stack.parameter_names:
        coords[schema.PARAMETER] = list(stack.parameter_names)
        variables[schema.PARAMETER_SCORE] = variable(
            (schema.PARAMETER,),
            mode.position[stack.n_weights :],
            "1",
            "standard normal scores of the parameters at the mode",
        )
    if not outcome.gaussian:
        coords.update(draw_coords(outcome.position))
        chain = (schema.CHAIN, schema.DRAW)
        draws = outcome.position[:, :, : stack.n_weights].reshape(*outcome.position.shape[:2], *shape)
        variables[schema.WEIGHT_DRAW] = variable((*chain, *dims), draws, units, "weights")
        if stack.parameter_names:
            variables[schema.PARAMETER_SCORE_DRAW] = variable(
                (*chain, schema.PARAMETER), outcome.position[:, :, stack.dim_blocks[PARAMETERS]], "1", "scores"
            )
    return xr.Dataset(variables, coords, attrs)
