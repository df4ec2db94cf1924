"""Functions whose expectations are known, under laws that make them hard to estimate from one sample."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpyro.distributions as dist
from jaxtyping import Float
from scipy import stats

from models.functions.cantilever import perturbed_laws
from uqkit.inputs import GaussianCopula, Inputs, ScrambledSobol
from uqkit.problems import ForwardModel, load

__all__ = [
    "Integrals",
    "correlated_inputs",
    "exponentials",
    "first_order",
    "gaussian_moments",
    "half_spaces",
    "many_laws",
    "pick_freeze_products",
    "student_magnitudes",
]

_LENGTH = 1.5  # of the directions of the exponentials
_N_NETS, _NET_ROWS = 4, 1 << 15


@dataclass(frozen=True, kw_only=True)
class Integrals:
    """Functions, their law or laws, and what their expectations are.

    Attributes:
        model: Its outputs are the functions.
        known: The expectations, functions before laws.
        variance: Of one draw of each function under the law itself; plain Monte Carlo divides it by its draws.
        laws: Where there are several.
        relative_error: Largest relative standard error of `known`.
    """

    model: ForwardModel
    known: Float[np.ndarray, " expectation"]
    variance: Float[np.ndarray, " expectation"]
    laws: dict[str, Inputs] | None = None
    relative_error: float = 0.0


def gaussian_moments() -> Integrals:
    """x^2, x^4, ..., x^20 of a standard normal x, the paper's first case."""
    power = np.arange(2, 21, 2)
    double_factorial = np.cumprod(np.arange(1.0, 40.0, 2))  # E x^(2k) = (2k - 1)!!
    known = double_factorial[:10]
    return Integrals(
        model=_model(lambda x: x**power, {"x": dist.Normal(0.0, 1.0)}, 10),
        known=known,
        variance=double_factorial[1::2] - known**2,
    )


def many_laws(n_laws: int) -> Integrals:
    """The cantilever beam's displacement under many laws, its means from scrambled Sobol' nets."""
    beam = load("cantilever")
    laws = {str(i): law for i, law in enumerate(perturbed_laws(n_laws, key=0))}
    unit = np.concatenate(
        [ScrambledSobol().unit_points(_NET_ROWS, len(beam.inputs), key=key) for key in range(_N_NETS)]
    )
    value = np.stack([beam.run(law.from_unit(unit)).reshape(_N_NETS, -1) for law in laws.values()])
    by_net = value.mean(axis=2)
    known = by_net.mean(axis=1)
    return Integrals(
        model=beam,
        known=known,
        variance=value.var(axis=(1, 2)),
        laws=laws,
        relative_error=float((by_net.std(axis=1, ddof=1) / np.sqrt(_N_NETS) / known).max()),
    )


def pick_freeze_products() -> ForwardModel:
    """phi(x) phi(x_i, x'_~i) for each input i, phi and phi^2 of the cantilever beam in 12 standard normal inputs."""
    beam = load("cantilever")
    n_inputs = len(beam.inputs)

    def products(pairs: Float[np.ndarray, "draw twice"]) -> Float[np.ndarray, "draw product"]:
        x, other = (beam.inputs.from_normal(half) for half in (pairs[:, :n_inputs], pairs[:, n_inputs:]))
        mixed = [np.where(np.arange(n_inputs) == i, x, other) for i in range(n_inputs)]
        value = beam.run(np.concatenate([x, *mixed])).reshape(1 + n_inputs, len(pairs)).T
        return np.column_stack([value[:, :1] * value[:, 1:], value[:, 0], value[:, 0] ** 2])

    # Every batch of the samplers is a multiple of this, so that JAX compiles the beam once.
    return _model(products, _standard_normal(2 * n_inputs), n_inputs + 2, batch_size=1_000)


def first_order(product: Float[np.ndarray, "key product"]) -> Float[np.ndarray, "key input"]:
    """First-order Sobol' indices from the expectations of `pick_freeze_products`."""
    mean, square = product[:, -2:-1], product[:, -1:]
    return (product[:, :-2] - mean**2) / (square - mean**2)


def exponentials(n_inputs: int, key: int) -> Integrals:
    """exp(theta . x) of standard normal x for five random theta of length 1.5."""
    theta = _LENGTH * _directions(5, n_inputs, key)
    mean_of_square = np.exp(2 * _LENGTH**2)
    return Integrals(
        model=_model(lambda x: np.exp(x @ theta.T), _standard_normal(n_inputs), 5),
        known=np.full(5, np.exp(_LENGTH**2 / 2)),
        variance=np.full(5, mean_of_square - np.exp(_LENGTH**2)),
    )


def student_magnitudes() -> Integrals:
    """|x_j| of five independent Student t inputs with three degrees of freedom."""
    known = 2 * np.sqrt(3) / np.pi
    return Integrals(
        model=_model(np.abs, {f"x{i}": stats.t(3) for i in range(1, 6)}, 5),
        known=np.full(5, known),
        variance=np.full(5, 3 - known**2),
    )


def half_spaces(n_inputs: int, key: int) -> Integrals:
    """Indicators of four half-spaces of standard normal x, 3.5 standard deviations out in random directions."""
    level, direction = 3.5, _directions(4, n_inputs, key)
    known = np.full(4, stats.norm.sf(level))
    return Integrals(
        model=_model(lambda x: (x @ direction.T > level).astype(float), _standard_normal(n_inputs), 4),
        known=known,
        variance=known * (1 - known),
    )


def correlated_inputs() -> Integrals:
    """A linear function of two correlated normal inputs, its square, and products with a lognormal third."""
    mean, deviation, sigma = np.array([1.0, -1.0]), np.array([1.0, 2.0]), 0.5
    correlation = {("x1", "x2"): -0.5, ("x1", "x3"): 0.4, ("x2", "x3"): 0.3}
    laws = {f"x{i + 1}": dist.Normal(mean[i], deviation[i]) for i in range(2)} | {"x3": dist.LogNormal(0.0, sigma)}
    coefficient = np.array([2.0, -1.0])

    def functions(x: Float[np.ndarray, "draw input"]) -> Float[np.ndarray, "draw function"]:
        linear = x[:, :2] @ coefficient
        return np.column_stack([linear, linear**2, x[:, 0] * x[:, 1], x[:, :2] * x[:, 2:], x[:, 2] ** 2])

    covariance = np.outer(deviation, deviation) * np.array([[1.0, -0.5], [-0.5, 1.0]])
    linear = coefficient @ mean
    # E x exp(sigma z) = exp(sigma^2 / 2) (mean + deviation sigma rho): the exponential shifts x by its covariance.
    shifted = np.exp(sigma**2 / 2) * (mean + deviation * sigma * np.array([0.4, 0.3]))
    known = [linear, linear**2 + coefficient @ covariance @ coefficient, mean[0] * mean[1] + covariance[0, 1], *shifted]
    return Integrals(
        model=_model(functions, Inputs(laws, copula=GaussianCopula(correlation)), 6),
        known=np.array([*known, np.exp(2 * sigma**2)]),
        variance=np.full(6, np.nan),  # nothing is compared with plain Monte Carlo
    )


def _model(
    function: Callable[[np.ndarray], np.ndarray],
    inputs: Inputs | dict[str, object],
    n_functions: int,
    batch_size: int = 1_024,
) -> ForwardModel:
    return ForwardModel(
        function,
        inputs=inputs,
        outputs=[f"f{j}" for j in range(1, n_functions + 1)],
        takes="batch",
        name="functions",
        batch_size=batch_size,
    )


def _standard_normal(n_inputs: int) -> dict[str, object]:
    return {f"x{i}": dist.Normal(0.0, 1.0) for i in range(1, n_inputs + 1)}


def _directions(n_directions: int, n_inputs: int, key: int) -> Float[np.ndarray, "direction input"]:
    """Random unit vectors."""
    direction = np.random.default_rng(key).standard_normal((n_directions, n_inputs))
    return direction / np.linalg.norm(direction, axis=1, keepdims=True)
