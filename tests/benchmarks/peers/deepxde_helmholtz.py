"""DeepXDE on the Helmholtz problem of Wang, Teng & Perdikaris (2021): one JSON line of its cost and its error.

    python deepxde_helmholtz.py --steps 5000 --seed 0 [--balance | --hard]

It runs in an environment of its own (`pip install torch deepxde`) and uses nothing of this package.
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

N_PER_TERM = 128
N_WARM_UP = 20
# The weight of the boundary in DeepXDE's own example Helmholtz_Dirichlet_2d, whose default is the hard constraint.
BOUNDARY_WEIGHT = 100.0


def exact(x, y):
    return np.sin(np.pi * x) * np.sin(4 * np.pi * y)


def residual(x, u):
    u_xx = dde.grad.hessian(u, x, i=0, j=0)
    u_yy = dde.grad.hessian(u, x, i=1, j=1)
    source = (1 - 17 * np.pi**2) * torch.sin(np.pi * x[:, 0:1]) * torch.sin(4 * np.pi * x[:, 1:2])
    return u_xx + u_yy + u - source


def vanishing_at_the_edges(x, u):
    return (1 - x[:, 0:1] ** 2) * (1 - x[:, 1:2] ** 2) * u


def edges():
    """Random points of each edge, a term of the loss of its own as in the paper; they stay the same points."""
    for axis in (0, 1):
        for end in (-1.0, 1.0):
            points = np.random.uniform(-1, 1, (N_PER_TERM, 2))  # noqa: NPY002 - the generator that DeepXDE seeds
            points[:, axis] = end
            yield dde.icbc.PointSetBC(points, 0.0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    constraint = parser.add_mutually_exclusive_group()
    constraint.add_argument("--balance", action="store_true", help=f"weight {BOUNDARY_WEIGHT:g} on the boundary")
    constraint.add_argument("--hard", action="store_true", help="boundary values by an output transform")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    with contextlib.redirect_stdout(sys.stderr):  # DeepXDE reports on stdout
        dde.config.set_random_seed(arguments.seed)
        boundary = [] if arguments.hard else list(edges())
        # Boundary points of `num_boundary` would enter the residual too and nearly double the cost of a step.
        data = dde.data.PDE(
            dde.geometry.Rectangle([-1, -1], [1, 1]),
            residual,
            boundary,
            num_domain=N_PER_TERM,
            train_distribution="pseudo",
        )
        network = dde.nn.FNN([2, 50, 50, 50, 1], "tanh", "Glorot normal")
        if arguments.hard:
            network.apply_output_transform(vanishing_at_the_edges)
        model = dde.Model(data, network)
        weight = BOUNDARY_WEIGHT if arguments.balance else 1.0
        model.compile(
            "adam",
            lr=1e-3,
            decay=("exponential", 0.9 ** (1 / 1_000)),
            loss_weights=[1.0] + [weight] * len(boundary),
            verbose=0,
        )

        def train(n_steps):
            fresh = dde.callbacks.PDEPointResampler(period=1)
            model.train(iterations=n_steps, display_every=n_steps, callbacks=[fresh], verbose=0)

        train(N_WARM_UP)
        started = time.process_time()
        train(arguments.steps - N_WARM_UP)
        seconds = time.process_time() - started

    axis = np.linspace(-1, 1, 100)
    x, y = (part.ravel() for part in np.meshgrid(axis, axis))
    predicted = model.predict(np.stack([x, y], axis=1))[:, 0]
    known = exact(x, y)
    treatment = "hard boundary values" if arguments.hard else f"boundary weight {weight:g}"
    record = {
        "library": "DeepXDE",
        "version": f"{dde.__version__}, PyTorch {torch.__version__}",
        "steps": arguments.steps,
        "ms_per_step": 1e3 * seconds / (arguments.steps - N_WARM_UP),
        "error": float(np.linalg.norm(predicted - known) / np.linalg.norm(known)),
        "settings": f"3x50 tanh, float32, Adam 1e-3 decaying 0.9 per 1,000 steps, {N_PER_TERM} fresh interior points"
        f"{'' if arguments.hard else f', 4x{N_PER_TERM} fixed boundary points'}, {treatment}, seed {arguments.seed}",
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
