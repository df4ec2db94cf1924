# %% [markdown]
# # A Bayesian network in your own BoTorch loop
#
# Every surrogate of `uqkit.bayesopt` is a BoTorch `Model`, made like `SingleTaskGP`. A loop that you have keeps its
# acquisition function and its optimiser; one line changes. This notebook changes it in a single-objective and in a
# multi-objective loop, and then asks the network how far it can be trusted.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from botorch.acquisition.logei import qLogExpectedImprovement
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.optim import optimize_acqf
from botorch.test_functions import BraninCurrin
from botorch.utils.multi_objective.hypervolume import Hypervolume
from botorch.utils.multi_objective.pareto import is_non_dominated
from gpytorch.mlls import ExactMarginalLogLikelihood

import uqkit as uq

torch.set_default_dtype(torch.float64)
unit_square = torch.tensor([[0.0, 0.0], [1.0, 1.0]])

# %% [markdown]
# ## A function with one busy corner
#
# Gramacy and Lee's function is flat but for one corner of its domain: no single length scale fits it, which is where a
# network may be worth its cost. We look for its minimum, -0.4289 at (-0.7071, 0).


# %%
def gramacy_lee(unit):
    x = 8 * unit - 2
    return -(x[..., :1] * torch.exp(-(x**2).sum(-1, keepdim=True)))


def gaussian_process(train_X, train_Y, key):
    surrogate = SingleTaskGP(train_X, train_Y)
    fit_gpytorch_mll(ExactMarginalLogLikelihood(surrogate.likelihood, surrogate))
    return surrogate


def network(train_X, train_Y, key):
    return uq.bayesopt.HMCNetwork(train_X, train_Y, key=key).fit()


def optimise(surrogate_of, n_iterations=10):
    X = torch.quasirandom.SobolEngine(2, scramble=True, seed=0).draw(20)
    Y = gramacy_lee(X)
    for iteration in range(n_iterations):
        surrogate = surrogate_of(X, Y, iteration)
        acquisition = qLogExpectedImprovement(surrogate, best_f=Y.max())
        torch.manual_seed(iteration)
        candidate, _ = optimize_acqf(acquisition, unit_square, q=1, num_restarts=4, raw_samples=64)
        X, Y = torch.cat([X, candidate]), torch.cat([Y, gramacy_lee(candidate)])
    return X, Y


# %% [markdown]
# The loop is the same for both; `network` stands where `gaussian_process` stood. Twenty rows and ten more stay below
# 32, so that nothing is compiled again after the first fit.

# %%
found = {"Gaussian process": optimise(gaussian_process), "network (HMC)": optimise(network)}
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for (label, (_, Y)), marker in zip(found.items(), ("o", "s"), strict=True):
    best = torch.cummax(Y[:, 0], 0).values[19:]
    ax.semilogy(range(20, 31), 0.42888 - best.numpy() + 1e-6, marker=marker, label=label)
    print(f"{label:<18} best {-best[-1]:.4f} of -0.4289")
ax.set(xlabel="evaluations", ylabel="regret", title="Gramacy & Lee, one run each")
ax.legend()

# %% [markdown]
# One run of each says nothing about which is better: the initial points and the optimiser's starts decide as much. On
# smooth functions of few inputs the Gaussian process usually wins; compare on your own problem, over many seeds and
# with a paired test, before you change.
#
# ## Two objectives, one network
#
# With two columns of `train_Y` both outputs share the network's hidden layers, and the posterior is joint. The members
# of a network are functions: BoTorch's own sampler for ensembles draws other members at each position of a batch, which
# biases hypervolume improvement; `MemberSampler`, which BoTorch finds by itself for our posterior, takes every member
# once, everywhere.

# %%
problem = BraninCurrin(negate=True)
reference = torch.tensor([-18.0, -6.0])


def hypervolume(Y):
    front = Y[is_non_dominated(Y)]
    return Hypervolume(ref_point=reference).compute(front[(front > reference).all(-1)])


X = torch.quasirandom.SobolEngine(2, scramble=True, seed=1).draw(20)
Y = problem(X)
volumes = [hypervolume(Y)]
for iteration in range(4):
    surrogate = uq.bayesopt.EnsembleNetwork(X, Y, key=iteration).fit()
    acquisition = qLogNoisyExpectedHypervolumeImprovement(surrogate, reference, X, prune_baseline=True)
    torch.manual_seed(iteration)
    candidates, _ = optimize_acqf(acquisition, unit_square, q=2, num_restarts=2, raw_samples=32, sequential=True)
    X, Y = torch.cat([X, candidates]), torch.cat([Y, problem(candidates)])
    volumes.append(hypervolume(Y))
print("hypervolume after each batch of two:", np.round(volumes, 1), f"of {problem.max_hv:.1f}")

# %% [markdown]
# ## How far can it be trusted?
#
# `diagnose` refits on parts of the rows to predict the others, and asks whether the chains agree on the *function*:
# weights of a network need not agree, they can be permuted. The default of `HMCNetwork` is made for the middle of a
# loop and says so when its chains fall short.

# %%
X, Y = found["network (HMC)"]
import warnings

with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    quick = uq.bayesopt.HMCNetwork(X, Y, key=0).fit().diagnose(n_folds=3)
print(quick)
print(f"{len(told)} warning(s)")

# %% [markdown]
# What was inferred is a labelled result that ArviZ reads. A fitted surrogate saves to a file that holds numbers only,
# and exports to a module of torch alone.

# %%
import arviz as az

surrogate = uq.bayesopt.HMCNetwork(X, Y, key=0).fit()
print(az.summary(surrogate.posterior_tree, var_names=["scale_0", "scale_1", "scale_2", "noise_variance"], kind="stats"))
module = surrogate.to_torch()
print(f"largest difference: {float((module(X) - surrogate.posterior(X).values).abs().max()):.1e}")
