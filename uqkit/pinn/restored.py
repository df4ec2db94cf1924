"""A result taken up again: fields at new points, new draws, other derived quantities."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float

from uqkit._typing import PRNGKey
from uqkit.errors import InputError, StoreError
from uqkit.inference import Laplace, Mode, Scales, solve_stack
from uqkit.keys import as_key, numpy_generator
from uqkit.pinn.labels import field_dataset, units_of
from uqkit.pinn.network_stack import NetworkStack
from uqkit.pinn.operators import Operator, compile_operator, outputs_and_quantities
from uqkit.pinn.predict import Prediction, laplace_draws, predict, predict_draws, prediction_stack
from uqkit.pinn.representation import Representation, stack_of
from uqkit.pinn.representation_record import representation_of
from uqkit.pinn.stack import PARAMETERS, Nodes, Stack
from uqkit.problems import BoundaryValueProblem
from uqkit.results import schema

__all__ = ["PosteriorField", "restore"]


@dataclass(frozen=True)
class PosteriorField:
    """The posterior of a problem's fields, to be asked at any point of its domain.

    Attributes:
        problem: The problem.
        representation: What the fields are made of.
        laplace: The Gaussian posterior, where the result is one.
        position: Draws of weights and parameters, where it is not.
    """

    problem: BoundaryValueProblem
    representation: Representation
    laplace: Laplace | None
    position: Float[np.ndarray, "chain draw dim"] | None

    def predict(
        self,
        points: Float[np.ndarray, "point coordinate"] | Mapping[str, Any] | Sequence[Any],
        quantity: str | Callable[..., Any] | None = None,
    ) -> xr.Dataset:
        """Mean, standard deviation and 95% interval at points.

        Args:
            points: An array with one column a coordinate, or coordinate -> values of one shape.
            quantity: Name of an output or derived quantity; or an operator as a constraint has it, such as
                `lambda u: u.d("x")`; all outputs and quantities by default.

        Returns:
            NAME, NAME_se, NAME_lower and NAME_upper along `point`, with the coordinates; an operator's NAME is
            `quantity`.

        Raises:
            InputError: If points lie outside the domain or the quantity is unknown.
        """
        points = self._points(points)
        stack, units = self._stack(points, quantity)
        if self.laplace is not None:
            predicted = predict(stack, self.laplace)
        else:
            assert self.position is not None
            predicted = {n: Prediction.of_draws(v) for n, v in predict_draws(stack, self.position).items()}
        return field_dataset(predicted, (schema.POINT,), (len(points),), units, self._coords(points))

    def draws(
        self,
        points: Float[np.ndarray, "point coordinate"] | Mapping[str, Any] | Sequence[Any],
        quantity: str | Callable[..., Any] | None = None,
        *,
        n_draws: int = 100,
        key: PRNGKey,
    ) -> xr.Dataset:
        """Joint posterior draws at points, over (draw, point).

        Args:
            points: As in `predict`.
            quantity: As in `predict`.
            n_draws: How many; of a sampler's result, that many of its draws at random.
            key: A JAX key or an int.

        Raises:
            InputError: If points lie outside the domain or the quantity is unknown.
        """
        points = self._points(points)
        stack, units = self._stack(points, quantity)
        generator = numpy_generator(as_key(key))
        if self.laplace is not None:
            position = self.laplace.draws(generator.standard_normal((n_draws, len(self.laplace.mode.position))))
            values = laplace_draws(stack, self.laplace, position[None])
        else:
            assert self.position is not None
            flat = self.position.reshape(-1, self.position.shape[-1])
            position = flat[generator.choice(len(flat), n_draws, replace=n_draws > len(flat))]
            values = predict_draws(stack, position[None])
        return xr.Dataset(
            {
                name: ((schema.DRAW, schema.POINT), value[0], {"units": units[name], "long_name": f"draws of {name}"})
                for name, value in values.items()
            },
            self._coords(points),
        )

    def _points(self, points: Any) -> Float[np.ndarray, "point coordinate"]:
        domain = self.problem.domain
        if isinstance(points, Mapping):
            missing = set(domain.names) ^ set(points)
            if missing:
                raise InputError(
                    f"`points` must name exactly {', '.join(domain.names)}; {', '.join(missing)} is wrong."
                )
            points = np.stack([np.ravel(points[name]) for name in domain.names], axis=1)
        array = np.asarray(points, dtype=float)
        if array.ndim != 2 or array.shape[1] != len(domain):
            raise InputError(
                f"`points` has shape {array.shape}; pass (point, {len(domain)}), a column each for "
                f"{', '.join(domain.names)}."
            )
        outside = domain.outside(array)
        if not np.isfinite(array).all() or outside.any():
            raise InputError(
                f"{np.count_nonzero(outside > 0)} of {len(array)} points lie outside {domain} or are not finite; a "
                "field "
                "fitted there says nothing of what is beyond."
            )
        return array

    def _coords(self, points: Float[np.ndarray, "point coordinate"]) -> dict[str, Any]:
        domain = self.problem.domain
        return {n: (schema.POINT, c, {"units": domain.units[n]}) for n, c in domain.columns(points).items()}

    def _stack(
        self, points: Float[np.ndarray, "point coordinate"], quantity: str | Callable[..., Any] | None
    ) -> tuple[Stack, dict[str, str]]:
        units = units_of(self.problem)
        known = outputs_and_quantities(self.problem)
        if callable(quantity):
            with jax.enable_x64(True):
                operators: dict[str, Operator] = {
                    schema.QUANTITY: compile_operator(self.problem, "the quantity", quantity, points[0])
                }
            units[schema.QUANTITY] = "1"
        elif quantity is None:
            operators = known
        elif quantity in known:
            operators = {quantity: known[quantity]}
        else:
            raise InputError(f"no quantity {quantity!r}; there are {', '.join(known)}, or pass an operator.")
        return prediction_stack(self.problem, self.representation, operators, points), units


def restore(result: xr.DataTree, problem: BoundaryValueProblem) -> PosteriorField:
    """The posterior of the fields from a result, of this session or loaded from a file.

    Args:
        result: What `infer` returned.
        problem: The problem that it is of; its operators are not in the file.

    Raises:
        StoreError: If the result is not of this problem.
    """
    if result.attrs.get(schema.WORKFLOW) != "pinn":
        raise StoreError(
            f"the result is of the workflow {result.attrs.get(schema.WORKFLOW)!r}; pass one of pinn.infer."
        )
    fitted = result[schema.VARIATIONAL].to_dataset()
    names = tuple(str(name) for name in result[schema.NOISE].to_dataset()[schema.CONSTRAINT].values)
    same = (
        names == tuple(constraint.name for constraint in problem.constraints)
        and tuple(fitted[schema.FIELD].values) == tuple(problem.outputs)
        and (tuple(fitted[schema.PARAMETER].values) if schema.PARAMETER in fitted else ()) == problem.parameter_names
        and tuple(fitted[schema.COORDINATE].values) == problem.domain.names
    )
    if not same or result.attrs[schema.PROBLEM] != problem.name:
        raise StoreError(
            f"the result is of {result.attrs[schema.PROBLEM]!r} with the constraints {', '.join(names)}; the problem "
            "given is "
            f"{problem.name!r} with {', '.join(constraint.name for constraint in problem.constraints)}. Pass the same "
            "one."
        )
    representation = representation_of(fitted, problem)
    if schema.WEIGHT_DRAW in fitted:
        weights = fitted[schema.WEIGHT_DRAW].values
        parts = [weights.reshape(*weights.shape[:2], -1)]
        if schema.PARAMETER_SCORE_DRAW in fitted:
            parts.append(fitted[schema.PARAMETER_SCORE_DRAW].values)
        return PosteriorField(problem, representation, None, np.concatenate(parts, axis=2))
    return PosteriorField(problem, representation, _laplace(result, problem, representation, names), None)


def _laplace(
    result: xr.DataTree, problem: BoundaryValueProblem, representation: Representation, names: tuple[str, ...]
) -> Laplace:
    """The Gaussian posterior from its mode: the linear model there is computed again."""
    fitted, noise = result[schema.VARIATIONAL].to_dataset(), result[schema.NOISE].to_dataset()
    constant = result[schema.CONSTANT_DATA].to_dataset()
    nodes = [
        Nodes(
            constant[f"{name}_coordinates"].values,
            constant[f"{name}_target"].values,
            constant[f"{name}_row_scale"].values,
        )
        for name in names
    ]
    with jax.enable_x64(True):
        operators = [
            compile_operator(problem, f"the operator of constraint {c.name!r}", c.operator, part.points[0])
            for c, part in zip(problem.constraints, nodes, strict=True)
        ]
        stack = stack_of(problem, operators, nodes, representation, names=names)
        position = fitted[schema.WEIGHT].values.ravel()
        if problem.parameter_names:
            position = np.concatenate([position, fitted[schema.PARAMETER_SCORE].values])
        residual, jacobian = (np.asarray(part) for part in stack.residual_and_jacobian(position))
    if isinstance(stack, NetworkStack):
        each = fitted[schema.WEIGHT_SCALE].values
        prior = {name: float(each[part.start]) for name, part in stack.weight_blocks.items()}
    else:
        prior = dict(zip(problem.outputs, fitted[schema.AMPLITUDE].values.tolist(), strict=True))
    if problem.parameter_names:
        prior[PARAMETERS] = 1.0
    scales = Scales(noise=dict(zip(names, noise[schema.NOISE_SCALE].values.tolist(), strict=True)), prior=prior)
    rows, dims = scales.rows(stack.row_blocks), scales.dims(stack.dim_blocks)
    _, factor = solve_stack(jacobian * dims / rows[:, None], residual / rows, position / dims)
    objective = result[schema.OPTIMISATION].to_dataset()[schema.OBJECTIVE].values
    return Laplace(stack, Mode(position, scales, residual, jacobian, factor, objective, True, 0))
