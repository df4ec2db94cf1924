"""What a posterior says of the fields at any points: means, bands and draws of outputs and derived quantities."""

from collections.abc import Mapping
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import special

from uqkit.inference import Laplace
from uqkit.pinn.network_stack import NetworkStack
from uqkit.pinn.operators import Operator
from uqkit.pinn.representation import Representation, stack_of
from uqkit.pinn.stack import Nodes, Stack
from uqkit.problems import BoundaryValueProblem

__all__ = ["PROBABILITY", "Prediction", "laplace_draws", "predict", "predict_draws", "prediction_stack"]

# Of every interval that leaves the workflow.
PROBABILITY = 0.95
_DRAWS_AT_ONCE = 32


@dataclass(frozen=True)
class Prediction:
    """One number a point, with its uncertainty.

    Attributes:
        mean: Posterior mean.
        standard_deviation: Posterior standard deviation.
        lower: Lower end of the interval.
        upper: Upper end.
    """

    mean: Float[np.ndarray, " point"]
    standard_deviation: Float[np.ndarray, " point"]
    lower: Float[np.ndarray, " point"]
    upper: Float[np.ndarray, " point"]

    @staticmethod
    def normal(mean: Float[np.ndarray, " point"], standard_deviation: Float[np.ndarray, " point"]) -> "Prediction":
        """With the interval of a normal law."""
        reach = special.ndtri(0.5 + PROBABILITY / 2) * standard_deviation
        return Prediction(mean, standard_deviation, mean - reach, mean + reach)

    @staticmethod
    def of_draws(values: Float[np.ndarray, "chain draw point"]) -> "Prediction":
        """With the equal-tailed interval of draws."""
        flat = values.reshape(-1, values.shape[-1])
        lower, upper = np.quantile(flat, [0.5 - PROBABILITY / 2, 0.5 + PROBABILITY / 2], axis=0)
        return Prediction(flat.mean(axis=0), flat.std(axis=0, ddof=1), lower, upper)


def prediction_stack(
    problem: BoundaryValueProblem,
    representation: Representation,
    operators: Mapping[str, Operator],
    points: Float[np.ndarray, "point coordinate"],
) -> Stack:
    """A stack whose residuals are the values wanted: target 0 and scale 1, one block a quantity."""
    nodes = Nodes(points, np.zeros(len(points)), np.ones(len(points)))
    with jax.enable_x64(True):
        stack = stack_of(
            problem, list(operators.values()), [nodes] * len(operators), representation, names=tuple(operators)
        )
    return stack


def predict(stack: Stack, laplace: Laplace) -> dict[str, Prediction]:
    """Predictions by the linear model at the mode; exact where the posterior is Gaussian and the quantity linear."""
    with jax.enable_x64(True):
        value, slope = stack.residual_and_jacobian(laplace.mode.position)
    mean, error = np.asarray(value), laplace.standard_deviation(np.asarray(slope))
    return {name: Prediction.normal(mean[rows], error[rows]) for name, rows in stack.row_blocks.items()}


def predict_draws(
    stack: Stack, positions: Float[np.ndarray, "chain draw dim"]
) -> dict[str, Float[np.ndarray, "chain draw point"]]:
    """Values at each draw of the position."""
    flat = positions.reshape(-1, positions.shape[-1])[:, : stack.n_dims]
    with jax.enable_x64(True):
        values = np.asarray(_at_all(stack, jnp.asarray(flat)))
    shaped = values.reshape(*positions.shape[:2], -1)
    return {name: shaped[:, :, rows] for name, rows in stack.row_blocks.items()}


def laplace_draws(
    stack: Stack, laplace: Laplace, positions: Float[np.ndarray, "chain draw dim"]
) -> dict[str, Float[np.ndarray, "chain draw point"]]:
    """Values at draws of a Laplace approximation; those of a network by its linear model at the mode.

    The approximation is of the linear model: in the network itself, weights that the data leave free would give fields
    that the data rule out (Immer, Korzepa & Bauer 2021, arXiv 2008.08400).
    """
    if not isinstance(stack, NetworkStack):
        return predict_draws(stack, positions)
    with jax.enable_x64(True):
        value, slope = (np.asarray(part) for part in stack.residual_and_jacobian(laplace.mode.position))
    values = value + (positions - laplace.mode.position) @ slope.T
    return {name: values[:, :, rows] for name, rows in stack.row_blocks.items()}


@eqx.filter_jit
def _at_all(stack: Stack, positions: Float[Array, "draw dim"]) -> Float[Array, "draw row"]:
    return jax.lax.map(stack.residual, positions, batch_size=_DRAWS_AT_ONCE)
