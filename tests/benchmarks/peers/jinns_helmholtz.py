"""The library jinns on the Helmholtz problem of Wang, Teng & Perdikaris (2021): one JSON line of cost and error.

    python jinns_helmholtz.py --steps 5000 --seed 0 [--balance] [--laplacian jvp|library]

It runs in an environment of its own (`pip install jinns`) and uses nothing of this package.
"""

# pyright: reportMissingImports=false

import argparse
import json
import os
import time
import warnings
from importlib import metadata

# Both are read when JAX starts.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import equinox as eqx
import jax
import jax.numpy as jnp
import jinns
import numpy as np
import optax

N_PER_TERM = 128
# Minibatches are taken from this many points in turn, which are then shuffled.
N_POOL = 100 * N_PER_TERM


def by_jvp(x, u, params):
    """Laplacian by a directional derivative of a directional derivative, under `jax.grad` cheaper than a Hessian."""

    def second(direction):
        def first(point):
            return jax.jvp(lambda z: u(z, params), (point,), (direction,))[1]

        return jax.jvp(first, (x,), (direction,))[1]

    return sum(second(direction) for direction in jnp.eye(2))


class Helmholtz(jinns.loss.PDEStatio):
    laplacian: str = eqx.field(kw_only=True, static=True)

    def equation(self, x, u, params):
        laplacian = by_jvp if self.laplacian == "jvp" else jinns.loss.laplacian_rev
        source = (1 - 17 * jnp.pi**2) * jnp.sin(jnp.pi * x[:1]) * jnp.sin(4 * jnp.pi * x[1:])
        return laplacian(x, u, params) + u(x, params) - source


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--balance", action="store_true", help="weights by the library's `lr_annealing`")
    parser.add_argument("--laplacian", choices=("jvp", "library"), default="jvp")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")

    network_key, data_key, solve_key = jax.random.split(jax.random.key(arguments.seed), 3)
    layers = [(eqx.nn.Linear, 2, 50), (jax.nn.tanh,), *2 * [(eqx.nn.Linear, 50, 50), (jax.nn.tanh,)]]
    u, initial = jinns.nn.PINN_MLP.create(
        key=network_key, eqx_list=(*layers, (eqx.nn.Linear, 50, 1)), eq_type="PDEStatio"
    )
    params = jinns.parameters.Params(nn_params=initial, eq_params={})
    data = jinns.data.CubicMeshPDEStatio(
        key=data_key,
        n=N_POOL,
        nb=4 * N_PER_TERM,
        omega_batch_size=N_PER_TERM,
        dim=2,
        min_pts=(-1.0, -1.0),
        max_pts=(1.0, 1.0),
        method="uniform",
    )
    loss = jinns.loss.LossPDEStatio(
        u=u,
        loss_weights=jinns.loss.LossWeightsPDEStatio(dyn_loss=1.0, boundary_loss=1.0),
        dynamic_loss=Helmholtz(laplacian=arguments.laplacian),
        boundary_condition=jinns.loss.Dirichlet(),
        update_weight_method="lr_annealing" if arguments.balance else None,
        params=params,
    )
    optimizer = optax.adam(optax.exponential_decay(1e-3, 1_000, 0.9))

    def train(params):
        solved = jinns.solve(
            n_iter=arguments.steps,
            init_params=params,
            data=data,
            loss=loss,
            optimizer=optimizer,
            print_loss_every=arguments.steps,
            verbose=False,
            ahead_of_time=False,  # what its documentation asks for inside a transformation
            key=solve_key,
        )
        return solved[0], solved[4].loss_weights

    compiled = jax.jit(train).lower(params).compile()
    started = time.process_time()
    trained, weights = jax.block_until_ready(compiled(params))
    seconds = time.process_time() - started

    axis = np.linspace(-1, 1, 100)
    x, y = (part.ravel() for part in np.meshgrid(axis, axis))
    points = jnp.asarray(np.stack([x, y], axis=1), dtype=jnp.float32)
    predicted = np.asarray(jax.vmap(lambda point: u(point, trained))(points))[:, 0]
    known = np.sin(np.pi * x) * np.sin(4 * np.pi * y)
    record = {
        "library": "jinns",
        "version": f"{metadata.version('jinns')}, JAX {jax.__version__}",
        "steps": arguments.steps,
        "ms_per_step": 1e3 * seconds / arguments.steps,
        "error": float(np.linalg.norm(predicted - known) / np.linalg.norm(known)),
        "final_boundary_weight": float(weights.boundary_loss),
        "settings": f"3x50 tanh, float32, Adam 1e-3 decaying 0.9 per 1,000 steps, {N_PER_TERM} interior points of "
        f"{N_POOL:,} shuffled, 4x{N_PER_TERM} fixed boundary points, "
        f"{'lr_annealing' if arguments.balance else 'boundary weight 1'}, Laplacian by {arguments.laplacian}, "
        f"seed {arguments.seed}",
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
