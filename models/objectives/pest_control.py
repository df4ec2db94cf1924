"""Pest control: at each of 25 stages one of four pesticides or none, each weaker and cheaper the more it is used.

A fraction p of the products is infested when a stage begins. What is minimised is the money spent plus, at every
stage, the share of simulated histories whose p is above a tenth:

    p' = p + s (1 - p)                                           without pesticide, s ~ Beta(1, 17/3)
    p' = (1 - c) p                                               with pesticide i,  c ~ Beta(1, b_i + n_i t_i / 25)
    cost of pesticide i = price_i (1 - discount_i N_i / 25)

n_i is how often i was used before the stage, N_i in all; at first p ~ Beta(1, 30). Tolerance t_i makes control weaker
with every use, so that alternating is better than keeping to one. The original draws the histories anew at every
evaluation; here they are fixed by a key, so that the objective is a function. All laws are Beta(1, b), whose quantile
is 1 - (1 - q)^(1 / b): a history keeps its uniform draws q whatever is chosen.

Source: Oh, Tomczak, Gavves & Welling (2019), Combinatorial Bayesian optimization using the graph Cartesian product,
NeurIPS, arXiv 1902.00448, and the constants of the code they published with it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from uqkit.inputs import Inputs
from uqkit.keys import as_key
from uqkit.problems import ForwardModel, Objective

CHOICES = ("none", "pesticide 1", "pesticide 2", "pesticide 3", "pesticide 4")

# One entry a choice; that of "none" is never used.
_PRICE = np.array([0.0, 1.0, 0.8, 0.7, 0.5])
_DISCOUNT = np.array([0.0, 0.2, 0.3, 0.3, 0.0])
_CONTROL = np.array([1.0, 2 / 7, 3 / 7, 3 / 7, 5 / 7])
_TOLERANCE = np.array([0.0, 1 / 7, 2.5 / 7, 2 / 7, 0.5 / 7])
_SPREAD = 17 / 3
_INITIAL = 30.0
_THRESHOLD = 0.1


def _beta_quantile(q, b):
    return 1 - (1 - q) ** (1 / b)


def make(*, n_stages: int = 25, n_histories: int = 100, key: object = 0) -> Objective:
    """Pest control with histories drawn from `key`.

    Args:
        n_stages: One input each.
        n_histories: Simulated at every evaluation.
        key: A JAX key or an int.
    """
    initial_key, spread_key, control_key = jax.random.split(as_key(key), 3)
    with jax.enable_x64(True):
        initial_draws = np.asarray(jax.random.uniform(initial_key, (n_histories,), dtype=jnp.float64))
        spread_draws = np.asarray(jax.random.uniform(spread_key, (n_stages, n_histories), dtype=jnp.float64))
        control_draws = np.asarray(jax.random.uniform(control_key, (n_stages, n_histories), dtype=jnp.float64))

    def pest_control(x):
        choice = jnp.clip(jnp.floor(x), 0, len(CHOICES) - 1).astype(int)

        def stage(state, given):
            infested, resistance = state
            chosen, spread_draw, control_draw = given
            above = jnp.mean(infested > _THRESHOLD, dtype=infested.dtype)
            spread = _beta_quantile(spread_draw, _SPREAD)
            control = _beta_quantile(control_draw, resistance[chosen])
            after = jnp.where(chosen > 0, (1 - control) * infested, infested + spread * (1 - infested))
            resistance = resistance.at[chosen].add(jnp.asarray(_TOLERANCE)[chosen] / n_stages)
            return (after, resistance), above

        start = (_beta_quantile(jnp.asarray(initial_draws), _INITIAL), jnp.asarray(_CONTROL))
        _, above = jax.lax.scan(stage, start, (choice, jnp.asarray(spread_draws), jnp.asarray(control_draws)))
        uses = jnp.sum(choice[:, None] == jnp.arange(len(CHOICES)), axis=0)
        spent = jnp.sum(uses * _PRICE * (1 - _DISCOUNT * uses / n_stages))
        return spent + jnp.sum(above)

    names = [f"stage_{number}" for number in range(1, n_stages + 1)]
    inputs = Inputs(
        {name: dist.Uniform(0.0, float(len(CHOICES))) for name in names}, categories=dict.fromkeys(names, CHOICES)
    )
    return Objective(ForwardModel(pest_control, name="pest_control", inputs=inputs, outputs={"loss": "1"}))


problem = make()
