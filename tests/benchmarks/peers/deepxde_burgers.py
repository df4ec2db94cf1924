"""DeepXDE on Burgers' equation with nu = 0.01 / pi: one JSON line of its cost and its error.

    python deepxde_burgers.py --steps 15000 --seed 0

The settings are those of its example "Burgers": Adam, then L-BFGS until it stops. It runs in an environment of its own
(`pip install torch deepxde`).
"""

# pyright: reportMissingImports=false

import argparse
import contextlib
import json
import os
import sys
import time

# Read on import by DeepXDE and by the libraries of linear algebra.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["DDE_BACKEND"] = "pytorch"

import deepxde as dde
import numpy as np
import torch
from cole_hopf import NU, grid, relative_error

N_WARM_UP = 20


def residual(x, u):
    u_x = dde.grad.jacobian(u, x, i=0, j=0)
    u_t = dde.grad.jacobian(u, x, i=0, j=1)
    return u_t + u * u_x - NU * dde.grad.hessian(u, x, i=0, j=0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=15_000, help="of Adam")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    with contextlib.redirect_stdout(sys.stderr):  # DeepXDE reports on stdout
        dde.config.set_random_seed(arguments.seed)
        domain = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))
        conditions = [
            dde.icbc.DirichletBC(domain, lambda _: 0, lambda _, on_boundary: on_boundary),
            dde.icbc.IC(domain, lambda x: -np.sin(np.pi * x[:, 0:1]), lambda _, on_initial: on_initial),
        ]
        data = dde.data.TimePDE(domain, residual, conditions, num_domain=2540, num_boundary=80, num_initial=160)
        model = dde.Model(data, dde.nn.FNN([2, 20, 20, 20, 1], "tanh", "Glorot normal"))
        model.compile("adam", lr=1e-3, verbose=0)
        model.train(iterations=N_WARM_UP, display_every=N_WARM_UP, verbose=0)
        started = time.process_time()
        model.train(iterations=arguments.steps - N_WARM_UP, display_every=arguments.steps, verbose=0)
        adam_seconds = time.process_time() - started
        x, t = grid()
        points = np.stack([x, t], axis=1)
        adam_error = relative_error(model.predict(points)[:, 0])
        model.compile("L-BFGS", verbose=0)
        model.train(display_every=arguments.steps, verbose=0)
        seconds = time.process_time() - started

    record = {
        "library": "DeepXDE",
        "version": f"{dde.__version__}, PyTorch {torch.__version__}",
        "steps": arguments.steps,
        "ms_per_step": 1e3 * adam_seconds / (arguments.steps - N_WARM_UP),
        "seconds": seconds,
        "error": relative_error(model.predict(points)[:, 0]),
        "error_after_adam": adam_error,
        "settings": f"3x20 tanh, float32, Adam 1e-3, then L-BFGS for {model.train_state.step - arguments.steps:,} "
        f"steps, 2,540 interior, 80 boundary and 160 initial points, weights 1, seed {arguments.seed}",
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
