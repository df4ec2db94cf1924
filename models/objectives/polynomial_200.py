"""Polynomial of two hundred inputs: fifty products of four factors, each input in one of them.

    y = sum_t (x_{4t+1} - c_{4t+1}) (x_{4t+2} - c_{4t+2}) (x_{4t+3} - c_{4t+3}) (x_{4t+4} - c_{4t+4}),
    c_j ~ Normal(0, 1), x in [0, 1]^200, maximised

A product is linear in each of its inputs, so that it is largest at one of the 16 vertices of its own cube, and the
maximum of the sum is the sum of these.

Source: Li, Rudner & Wilson (2024), A study of Bayesian neural network surrogates for Bayesian optimization, ICLR,
arXiv 2305.20028; the coefficients are draws of our own.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from uqkit.errors import InputError
from uqkit.keys import as_key
from uqkit.problems import ForwardModel, Objective
from uqkit.results import Reference

_FACTORS = 4


def make(*, n_inputs: int = 200, n_terms: int = 50, key: object = 0) -> Objective:
    """Polynomial with coefficients drawn from `key`.

    Args:
        n_inputs: Four a term.
        n_terms: How many products are added.
        key: A JAX key or an int.

    Raises:
        InputError: If there are not four inputs a term.
    """
    if n_terms < 1 or n_inputs != _FACTORS * n_terms:
        raise InputError(
            f"`n_inputs` is {n_inputs} and `n_terms` {n_terms}; every term takes {_FACTORS} inputs: "
            f"n_inputs={_FACTORS * max(n_terms, 1)}, n_terms={max(n_terms, 1)}."
        )
    with jax.enable_x64(True):
        coefficients = np.asarray(jax.random.normal(as_key(key), (n_terms, _FACTORS), dtype=jnp.float64))

    def polynomial(x):
        return jnp.sum(jnp.prod(x.reshape(n_terms, _FACTORS) - coefficients, axis=1))

    vertices = np.array(list(itertools.product((0.0, 1.0), repeat=_FACTORS)))
    largest = np.prod(vertices[:, None] - coefficients, axis=2).max(axis=0)
    best = Reference(
        values=(float(largest.sum()),), kind="closed form", source="best vertex of every term's own cube", output="y"
    )
    inputs = {f"x{j}": dist.Uniform(0.0, 1.0) for j in range(1, n_inputs + 1)}
    forward = ForwardModel(polynomial, name=f"polynomial_{n_inputs}", inputs=inputs, outputs=("y",))
    return Objective(forward, maximise=True, best=best)


problem = make()
