"""Brusselator: which reaction and diffusion rates leave two reacting chemicals most evenly spread.

    u_t = D0 laplace(u) + a - (b + 1) u + u^2 v,    v_t = D1 laplace(v) + b u - u^2 v

on a square of n x n cells of side 1 with no flux through its edges, from u = a, v = b / a + 0.1 noise, to t = 20. The
output, minimised, is the variance over both fields and all cells of the final state times a weight, 1 in the two
outermost rows of cells and 1/10 elsewhere; a, b in [0.1, 5], D0, D1 in [0.01, 5]. Where b > 1 + a^2 the even state is
unstable and the chemicals oscillate, for small a in short bursts.

Space is discretised by the five-point stencil, as in the original; time by the pair of Dormand & Prince (1980), which
chooses its steps by the estimated error, where the original took steps of 0.001 of Euler's method, which blow up where
bursts are strong. The noise of the initial state is fixed by a key. An evaluation takes about 0.1 s on one core, and
some seconds in the corner of small a and large b, where bursts run over the square cell by cell. Were the steps to run
out, the output would be NaN.

Source: Maddox, Balandat, Wilson & Bakshy (2021), Bayesian optimization with high-dimensional outputs, NeurIPS, arXiv
2106.12997; in this form Li, Rudner & Wilson (2024), ICLR, arXiv 2305.20028, with the weights of the code they
published.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from uqkit.errors import InputError
from uqkit.keys import as_key
from uqkit.problems import ForwardModel, Objective

_END = 20.0
_MOST_STEPS = 200_000

# Dormand & Prince (1980), Journal of Computational and Applied Mathematics 6: what a stage adds of those before it; the
# last row is the solution of fifth order, from which the embedded one of fourth order differs by `_ERROR`.
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


def _laplace(fields):
    """Five-point stencil in cells of side 1; a cell beyond the edge has the value of the one before it."""
    padded = jnp.pad(fields, ((0, 0), (1, 1), (1, 1)), mode="edge")
    neighbours = padded[:, 2:, 1:-1] + padded[:, :-2, 1:-1] + padded[:, 1:-1, 2:] + padded[:, 1:-1, :-2]
    return neighbours - 4 * fields


def _rate(fields, a, b, diffusion):
    u, v = fields
    burst = u**2 * v
    return diffusion[:, None, None] * _laplace(fields) + jnp.stack([a - (b + 1) * u + burst, b * u - burst])


def _weighted(rates, weights):
    return sum(weight * rate for weight, rate in zip(weights, rates, strict=True) if weight)


def final_state(x, noise, *, tolerance: float):
    """Fields (2, n, n) at the end.

    Args:
        x: a, b, D0, D1.
        noise: (n, n), standard normal.
        tolerance: Error that a step may add to a cell, relative to one plus its value.

    Returns:
        NaN where the steps run out.
    """
    a, b, diffusion = x[0], x[1], x[2:]
    start = jnp.stack([jnp.full_like(noise, a), b / a + 0.1 * noise])

    def is_going_on(state):
        time, _, _, _, n_steps = state
        return (time < _END) & (n_steps < _MOST_STEPS)

    def attempt(state):
        time, fields, rate, step, n_steps = state
        is_last = step >= _END - time
        step = jnp.where(is_last, _END - time, step)
        rates, after = [rate], fields
        for weights in _STAGES:
            after = fields + step * _weighted(rates, weights)
            rates.append(_rate(after, a, b, diffusion))
        # The largest over the cells: a mean would let a burst in one corner pass.
        errors = jnp.abs(step * _weighted(rates, _ERROR)) / (1 + jnp.maximum(jnp.abs(fields), jnp.abs(after)))
        error = jnp.max(errors) / tolerance
        # A step far too long may overflow: its error is NaN, which fails the comparison.
        is_kept = error <= 1
        factor = jnp.where(jnp.isfinite(error), 0.9 * jnp.maximum(error, 1e-10) ** -0.2, 0.0)
        return (
            jnp.where(is_kept, jnp.where(is_last, _END, time + step), time),
            jnp.where(is_kept, after, fields),
            jnp.where(is_kept, rates[-1], rate),
            step * jnp.clip(factor, 0.2, 5.0),
            n_steps + 1,
        )

    first = (jnp.zeros_like(a), start, _rate(start, a, b, diffusion), jnp.full_like(a, 1e-3), jnp.array(0))
    time, fields, *_ = jax.lax.while_loop(is_going_on, attempt, first)
    return jnp.where(time >= _END, fields, jnp.nan)


def make(*, n_cells: int = 64, tolerance: float = 1e-6, key: object = 0) -> Objective:
    """Weighted variance of the final state.

    Args:
        n_cells: Along an edge.
        tolerance: Error that a time step may add to a cell, relative to one plus its value.
        key: Of the noise in the initial state; a JAX key or an int.
    """
    if n_cells < 5 or not 0 < tolerance < 1:
        raise InputError(f"`n_cells` is {n_cells} and `tolerance` {tolerance}; pass at least 5 and one in (0, 1).")
    with jax.enable_x64(True):
        noise = np.asarray(jax.random.normal(as_key(key), (n_cells, n_cells), dtype=jnp.float64))
    weight = np.ones((n_cells, n_cells))
    weight[2:-2, 2:-2] = 0.1

    def brusselator(x):
        return jnp.var(weight * final_state(x, jnp.asarray(noise), tolerance=tolerance), ddof=1)

    inputs = {
        "a": dist.Uniform(0.1, 5.0),
        "b": dist.Uniform(0.1, 5.0),
        "D0": dist.Uniform(0.01, 5.0),
        "D1": dist.Uniform(0.01, 5.0),
    }
    # A batch ends with its slowest point: small batches waste less.
    forward = ForwardModel(brusselator, name="brusselator", inputs=inputs, outputs=("variance",), batch_size=8)
    return Objective(forward)


problem = make()
