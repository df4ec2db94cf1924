# %% [markdown]
# # One posterior from eight parts of the data
#
# Data lie in eight places and may not be brought together: hospitals, banks, machines. Each can sample the posterior of
# its own part. If each part counts the prior to the power 1/8, the posterior of all data is the product of the eight,
#
#     p(b | y) ~ prior(b) prod_m p(y_m | b) = prod_m [ prior(b)^(1/8) p(y_m | b) ]
#
# Draws have no product. Averages of draws are what one takes instead (consensus Monte Carlo: Scott et al. 2016, Bayes
# and big data, International Journal of Management Science and Engineering Management 11), which are exact for
# Gaussians. Here each place learns the score of its draws, the scores are multiplied, and weighted particles sample the
# product. NUTS on all data tells what is right.
#
# This file is a script and a notebook (percent format). It takes less than a minute.

# %%
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
from scipy import stats

from uqkit import diffusion
from uqkit.inference import NUTS, NumpyroTarget

N_SHARDS, N_EACH, PRIOR_SD = 8, 75, 2.0
NAMES = ["intercept", "slope 1", "slope 2"]

# %% [markdown]
# ## A logistic regression, and its parts
#
# Two covariates, 600 observations, and an event that happens in about one of six. The prior of each coefficient is
# Normal(0, 2). A normal density to the power 1/8 is a normal density with sqrt(8) times the standard deviation, so that
# the parts take the same model with another number.


# %%
def regression(x, y, prior_sd):
    coefficients = numpyro.sample("b", dist.Normal(jnp.zeros(3), prior_sd).to_event(1))
    numpyro.sample("y", dist.Bernoulli(logits=x @ coefficients), obs=y)


random = np.random.default_rng(0)
x = np.column_stack([np.ones(N_SHARDS * N_EACH), random.standard_normal((N_SHARDS * N_EACH, 2))])
chance = 1 / (1 + np.exp(-x @ np.array([-2.0, 1.0, -0.7])))
y = (random.random(len(x)) < chance).astype(float)
parts = [slice(m * N_EACH, (m + 1) * N_EACH) for m in range(N_SHARDS)]
print("events in each part:", [int(y[part].sum()) for part in parts])

nuts = NUTS(n_warmup=300, n_draws=2_500)
whole = nuts.sample(NumpyroTarget.of(regression, x, y, PRIOR_SD, key=0), key=0)
all_draws = whole.position.reshape(-1, 3)
mean, sd = all_draws.mean(axis=0), all_draws.std(axis=0)

wide_sd = PRIOR_SD * N_SHARDS**0.5
part_of = NumpyroTarget.of(regression, x[parts[0]], y[parts[0]], wide_sd, key=0)
shards = [nuts.sample(part_of.with_data(x[part], y[part], wide_sd), key=m) for m, part in enumerate(parts, 1)]
draws = np.stack([each.position.reshape(-1, 3) for each in shards])

skewness = stats.skew(draws, axis=1)
table = pd.DataFrame({"mean": mean, "sd": sd, "sd of a part": draws.std(axis=1).mean(axis=0)}, index=NAMES)
table["largest skewness of a part"] = skewness[np.abs(skewness).argmax(axis=0), range(3)]
print(table.round(2).to_string())

# %% [markdown]
# With a dozen events in a part, its posterior is wide and skewed: no large slope can be excluded, a small one can. The
# posterior of all data is near a Gaussian, but the eight that it is made of are not.
#
# ## Scores, and their product
#
# A small net is enough for three coordinates. The schedule is in the units of the coefficients: noise from a small
# fraction of the posterior's width to several times that of the widest part.

# %%
schedule = diffusion.EDM(sigma_min=0.05, sigma_max=5.0)
experts = [
    diffusion.ScoreModel.fit(each, schedule, widths=(32, 32), n_steps=1_000, key=m) for m, each in enumerate(draws)
]
product = diffusion.Product(experts)
result = diffusion.sample(product, particles=512, name="product of eight parts", coordinates=NAMES, key=0)
print(result["diagnostics"]["verdict"].item(), "-", result["diagnostics"]["verdict_text"].item())

# %% [markdown]
# Two averages are the baseline. The simple one takes the mean of one draw of each part. The weighted one, consensus
# Monte Carlo, weights each part's draws by the inverse of their covariance. How far means are off is in standard
# deviations of the posterior, and each standard deviation is over that of NUTS. The standard errors of NUTS itself and
# of the product's particles stand beside them.

# %%
precision = np.stack([np.linalg.inv(np.cov(each, rowvar=False)) for each in draws])
simple = draws.mean(axis=0)
consensus = np.linalg.solve(precision.sum(axis=0), np.einsum("mij,mnj->in", precision, draws)).T
estimates = result["estimates"].to_dataset()


def row(found_mean, found_sd):
    errors = dict(zip([f"{name}: mean off by, sd" for name in NAMES], (found_mean - mean) / sd, strict=True))
    return errors | dict(zip([f"{name}: sd ratio" for name in NAMES], found_sd / sd, strict=True))


rows = {
    "NUTS, its error": dict.fromkeys(row(mean, sd), np.nan)
    | {f"{name}: mean off by, sd": size**-0.5 for name, size in zip(NAMES, whole.ess_bulk, strict=True)},
    "simple average": row(simple.mean(axis=0), simple.std(axis=0)),
    "consensus": row(consensus.mean(axis=0), consensus.std(axis=0)),
    "product": row(estimates["target_mean"].values, estimates["target_sd"].values),
    "its error": {
        f"{name}: {what}": float(estimates[f"{moment}_se"].values[i] / sd[i])
        for what, moment in (("mean off by, sd", "target_mean"), ("sd ratio", "target_sd"))
        for i, name in enumerate(NAMES)
    },
}
print(pd.DataFrame(rows).round(3).to_string(na_rep=""))

# %%
figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
particles = result["posterior"]["x"].values.reshape(-1, 3)
for i, (ax, name) in enumerate(zip(axes, NAMES, strict=True)):
    ends = mean[i] - 7 * sd[i], mean[i] + 7 * sd[i]
    places = np.linspace(*ends, 300)
    for m in range(N_SHARDS):
        ax.plot(places, stats.gaussian_kde(draws[m, :, i])(places), color="0.75", linewidth=0.8)
    kinds = (("NUTS, all data", all_draws, "k-"), ("simple average", simple, "C1:"), ("consensus", consensus, "C2--"))
    for label, each, line in (*kinds, ("product of scores", particles, "C0-")):
        ax.plot(places, stats.gaussian_kde(each[:, i])(places), line, linewidth=1.6, label=label)
    ax.set(xlabel=f"{name} [1]", xlim=ends, ylim=(0, None))
axes[0].plot([], [], color="0.75", linewidth=0.8, label="parts")
axes[0].set_ylabel("probability density [1]")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
plt.show()

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.6), layout="constrained")
across, up = (np.linspace(mean[i] - 4 * sd[i], mean[i] + 4 * sd[i], 60) for i in (0, 1))
points = np.stack(np.meshgrid(across, up, indexing="ij")).reshape(2, -1)
log_density = stats.gaussian_kde(all_draws[:, :2].T).logpdf(points).reshape(60, 60)
diffusion.plot_particles(result, density=(across, up, log_density), ax=left)
diffusion.plot_path(result, ax=right)
left.set_title("Product of scores; contours of NUTS on all data")
right.set_title("The particles on their way")
plt.show()

# %% [markdown]
# The simple average is far off: it forgets that parts differ in how much they know. Consensus Monte Carlo is good here,
# and cheap. It is exact for Gaussians, and what it has to ignore is the skewness of the parts: its standard deviations
# are some eight or ten percent too large. Those of the product are closer. In the means the two are about level, within
# a tenth or two of a standard deviation; a single run does not rank them.
#
# The product is not exact. Its means are off by more than the standard errors beside them, since those are of the
# particles alone. What the scores have wrong is not in them, and eight small errors add up. Longer chains in the parts
# help, and so does a longer training. The verdict need not see any of this: each score is nearly that of some density,
# only not quite of the right one.
#
# ## When not to use it
#
# - Where parts are large: their posteriors are Gaussian, and consensus Monte Carlo is exact, at no cost. Look at the
#   parts' skewness first.
# - Where all data fit into one machine, and may be there: run NUTS on all of them.
# - Where parts disagree. The product then lies in everyone's tails, where no score was learned; a part with next to no
#   events is such a case, too. Check that the product's mean is within two or three standard deviations of each part.
# - With many parameters. A few thousand draws teach a score in a handful of coordinates, and each part adds its error.
