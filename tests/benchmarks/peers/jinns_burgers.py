"""The library jinns on Burgers' equation with nu = 0.01 / pi: one JSON line of its cost and its error.

    python jinns_burgers.py --steps 100 --seed 0 [--interior 8192]

Network and optimiser are those of its tutorial "implementing your own PDE problem": natural gradients, which it
recommends for small networks. The numbers of points are those of PINNacle (Hao et al., 2024), which its authors'
benchmark takes over: on the tutorial's 1,024 interior points the loss falls below 1e-6 at a wrong solution. It runs in
an environment of its own (`pip install jinns`).
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
from cole_hopf import NU, grid, relative_error

N_BOUNDARY, N_INITIAL = 2_048, 2_048


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--interior", type=int, default=8_192, help="collocation points")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    jax.config.update("jax_enable_x64", True)

    network_key, data_key, solve_key = jax.random.split(jax.random.key(arguments.seed), 3)
    layers = [(eqx.nn.Linear, 2, 16), (jax.nn.tanh,), *2 * [(eqx.nn.Linear, 16, 16), (jax.nn.tanh,)]]
    u, initial = jinns.nn.PINN_MLP.create(
        key=network_key, eqx_list=(*layers, (eqx.nn.Linear, 16, 1)), eq_type="PDENonStatio"
    )
    params = jinns.parameters.Params(nn_params=initial, eq_params={"nu": jnp.asarray(NU)})
    data = jinns.data.CubicMeshPDENonStatio(
        key=data_key,
        n=arguments.interior,
        nb=N_BOUNDARY,
        ni=N_INITIAL,
        dim=1,
        min_pts=(-1.0,),
        max_pts=(1.0,),
        tmin=0.0,
        tmax=1.0,
        method="uniform",
    )
    loss = jinns.loss.LossPDENonStatio(
        u=u,
        loss_weights=jinns.loss.LossWeightsPDENonStatio(dyn_loss=1.0, initial_condition=1.0, boundary_loss=1.0),
        dynamic_loss=jinns.loss.BurgersEquation(),
        boundary_condition=jinns.loss.Dirichlet(),
        initial_condition_fun=lambda x: -jnp.sin(jnp.pi * x),
        params=params,
    )
    optimizer = jinns.optimizers.vanilla_ngd()

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
        return solved[0]

    compiled = jax.jit(train).lower(params).compile()
    started = time.process_time()
    trained = jax.block_until_ready(compiled(params))
    seconds = time.process_time() - started

    x, t = grid()
    points = jnp.asarray(np.stack([t, x], axis=1))
    predicted = np.asarray(jax.vmap(lambda point: u(point, trained))(points))[:, 0]
    record = {
        "library": "jinns",
        "version": f"{metadata.version('jinns')}, JAX {jax.__version__}",
        "steps": arguments.steps,
        "ms_per_step": 1e3 * seconds / arguments.steps,
        "seconds": seconds,
        "error": relative_error(predicted),
        "settings": f"3x16 tanh, float64, vanilla_ngd, {arguments.interior:,} interior, {N_BOUNDARY:,} boundary and "
        f"{N_INITIAL:,} initial points, weights 1, seed {arguments.seed}",
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
