# %% [markdown]
# # An inverse problem whose prior is a diffusion model
#
# Three noisy sums of ten unknowns were measured. The prior is known by its score, as that of a diffusion model is. It
# has six shapes, and the data come from a rare one. Methods that only follow the gradient of the likelihood find *a*
# shape that fits, but in false proportions, and none of them tells the evidence, the probability of the data. Weighted
# particles give both, with errors.
#
# In this problem the prior is a Gaussian mixture, so that evidence and posterior are known exactly. At the end the
# score is made wrong, which no diagnostic of the run can see, and repaired by the known density.
#
# This file is a script and a notebook (percent format). It takes less than a minute.

# %%
import importlib

import jax
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.special import logsumexp

import uqkit as uq
from uqkit import diffusion
from uqkit.stats import GaussianMixture


def say(result):
    print(result["diagnostics"]["verdict"].item(), "-", result["diagnostics"]["verdict_text"].item())


# %% [markdown]
# ## Prior, data, and what is known
#
# `models/densities/inverse_problem.py` has the parts: the prior, the matrix H, the data y and the covariance of their
# noise. `problem` is their posterior, prior times likelihood, with its references.

# %%
problem = uq.load("inverse_problem")
parts = importlib.import_module("uqkit.models.densities.inverse_problem")
posterior = problem.mixture
evidence = problem.references["log_normalizer"].values[0]
exact_mean, covariance = posterior.moments()
exact_sd = np.sqrt(np.diag(covariance))
shapes = pd.DataFrame({"prior": parts.prior().weight, "posterior": posterior.weight}, index=range(1, 7))
print(shapes.round(3).T.to_string())
print(f"log evidence {evidence:.3f}")

# %% [markdown]
# The data lift the first shape from the rarest to the most probable. Four remain that matter.
#
# ## The posterior as a product
#
# `diffusion.GaussianMixture` noises the mixture and has its score; a trained network would stand in its place, made by
# `ScoreModel`. Times the likelihood it is the posterior. A likelihood is about a clean point, but on the way points are
# noisy. `LinearObservations` knows what the data say about a noisy one: it looks at the clean point that the score
# expects, and adds to the noise what is still open about it. `Reward(log_likelihood)` serves where observations are not
# linear; it takes more particles for the same error.

# %%
schedule = diffusion.VP()
prior = diffusion.GaussianMixture(parts.prior(), schedule)
observations = diffusion.LinearObservations(parts.OPERATOR, parts.DATA, parts.NOISE_COVARIANCE)
target = prior * observations.reward(prior)
settings = {"particles": 512, "coordinates": list(problem.coordinates), "key": 0}
by_score = diffusion.sample(target, name="posterior", **settings)
say(by_score)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 5.2), layout="constrained")
chosen = [2, 4]
marginal = GaussianMixture.of(
    posterior.weight, np.asarray(posterior.mean)[:, chosen], posterior.covariance[:, chosen][:, :, chosen]
)
with jax.enable_x64(True):
    across, up = np.linspace(-2.0, 5.0, 150), np.linspace(-3.5, 3.5, 150)
    points = np.stack(np.meshgrid(across, up, indexing="ij"), axis=-1)
    log_density = jax.jit(jax.vmap(jax.vmap(marginal.log_density)))(points)
diffusion.plot_particles(by_score, ("x3", "x5"), density=(across, up, log_density), ax=left)
diffusion.plot_moments(by_score, {"target_mean": exact_mean, "target_sd": exact_sd}, ax=right)
left.set_title("Two of ten unknowns, and their exact posterior")
right.set_title("Moments, and the exact ones")
plt.show()

# %% [markdown]
# ## Where the prior's density is known
#
# Priors of physics often are known up to a constant, and the diffusion model is only the means to draw from them. Then
# pass the posterior's own density as `final`. The weights become those of the whole path, backward over forward, and
# are exact, whatever the score or the steps have wrong. `problem` is such a density.

# %%
by_density = diffusion.sample(target, final=problem, name="posterior, known density", **settings)
say(by_density)

# %% [markdown]
# The simplest method draws from the prior and weights by the likelihood. It gets as many draws.


# %%
def weighted_prior(n, key):
    with jax.enable_x64(True):
        draws = parts.prior().draw(n, key=jax.random.key(key))
        return np.asarray(draws), np.asarray(jax.vmap(observations.log_likelihood)(draws))


def row(log_evidence, error, particles):
    mass = particles.expectation(posterior.responsibilities).value
    mean = particles.expectation(lambda x: x).value
    weight = np.exp(particles.log_weight - particles.log_weight.max())
    return {
        "log evidence": log_evidence,
        "standard error": error,
        "shape 1": mass[0],
        "shape 3": mass[2],
        "mean off by, sd": np.abs((mean - exact_mean) / exact_sd).max(),
        "effective share": weight.sum() ** 2 / (weight**2).sum() / weight.size,
    }


def of_run(result):
    estimates = result["estimates"].to_dataset()
    particles = diffusion.restore(result, target)
    return row(estimates["log_normalizer"].item(), estimates["log_normalizer_se"].item(), particles)


position, log_likelihood = weighted_prior(8 * 512, key=0)
as_islands = diffusion.WeightedParticles(
    position=position.reshape(8, 512, 10), log_weight=log_likelihood.reshape(8, 512)
)
simple = logsumexp(log_likelihood) - np.log(log_likelihood.size)
relative = np.exp(log_likelihood - simple)
rows = {
    "exact": {
        "log evidence": evidence,
        "shape 1": posterior.weight[0],
        "shape 3": posterior.weight[2],
        "mean off by, sd": 0.0,
    },
    "weighted prior draws": row(simple, relative.std() / relative.size**0.5, as_islands),
    "score": of_run(by_score),
    "score, known density": of_run(by_density),
}
print(pd.DataFrame(rows).T.round(3).to_string(na_rep=""))

# %% [markdown]
# `mean off by` is the largest error of the ten posterior means, in posterior standard deviations. Following the score
# leaves far more of the particles than drawing from the prior does. Exact weights cost some: they pay for every step's
# noise, and the effective share is lower, so do not pass `final` where score and steps are known to be good.
#
# ## A score that is wrong
#
# Now the score is that of another prior: weights, means and spreads of the shapes are off, as after a training on too
# few data. The likelihood is the right one.

# %%
true = parts.prior()
shift = 0.3 * np.sin(np.arange(60.0)).reshape(6, 10)
other = GaussianMixture.of(true.weight[::-1] + 0.05, np.asarray(true.mean) + shift, 1.3 * true.covariance)
wrong_prior = diffusion.GaussianMixture(other, schedule)
wrong_target = wrong_prior * observations.reward(wrong_prior)
wrong = diffusion.sample(wrong_target, name="wrong score", **settings)
repaired = diffusion.sample(wrong_target, final=problem, name="wrong score, known density", **settings)
for each in (wrong, repaired):
    say(each)
rows |= {"wrong score": of_run(wrong), "wrong score, known density": of_run(repaired)}
print(pd.DataFrame(rows).T.round(3).to_string(na_rep=""))

# %% [markdown]
# The first run is the right answer to a wrong prior: its evidence is off by many of its standard errors, its moments
# are off, and its verdict has nothing to say. No check of a run can know that a score is the wrong one, as no MCMC
# knows that a model is. With the known density the same wrong score serves as a proposal. Evidence and posterior are
# right within their errors, and the effective share is lower again: that is what a wrong score costs.

# %%
figure, axes = plt.subplots(1, 3, figsize=(14, 5.0), layout="constrained", sharey=True)
for ax, each in zip(axes, (by_density, wrong, repaired), strict=True):
    diffusion.plot_log_normalizer(each, reference=evidence, ax=ax)
for ax in axes[1:]:
    ax.set_ylabel("")
axes[0].set_title("Right score, known density")
axes[1].set_title("Wrong score")
axes[2].set_title("Wrong score, known density")
plt.show()

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 5.2), layout="constrained", sharex=True)
for ax, each, title in ((left, wrong, "Wrong score"), (right, repaired, "Wrong score, known density")):
    diffusion.plot_moments(each, {"target_mean": exact_mean, "target_sd": exact_sd}, ax=ax)
    ax.set_title(title)
plt.show()

# %% [markdown]
# ## When not to use it
#
# - Where data are few and vague, so that a fair share of prior draws fits them: weight prior draws, as in the table.
# - Where the posterior's density is known, smooth and of one mode: NUTS is simpler, and more precise for the moments.
# - Where data are very exact: the likelihood of noisy points is then an approximation that weights have a lot to mend
#   of. Watch the effective share.
# - Where the score's errors matter and no density is known, nothing here repairs them. Check the prior's own draws
#   against held-out data first.
