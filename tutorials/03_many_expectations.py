# %% [markdown]
# # Many expectations from one sample: when it pays, and when it does not
#
# A study often wants many averages: several quantities, or one quantity under many laws of the inputs. Importance
# sampling draws from a density g that is not the law f, and corrects with weights f/g. A good g makes a far-away
# quantity cheap. A bad g gives a wrong number with a short interval. So this tutorial is as much about the checks as
# about the gains.
#
# `sensitivity.expectations` has two methods. `AdaptiveImportanceSampling` fits g to the functions in a first part of
# the budget. `MixtureImportanceSampling` is for many laws and takes g as a mixture of them. Both use control variates:
# functions whose means are known, which take out noise and serve as checks.
#
# This file is a script and a notebook (percent format). It takes about half a minute.

# %%
import importlib
import math

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro.distributions as dist
import pandas as pd
from scipy import stats

import uqkit as uq
from uqkit import sensitivity
from uqkit.sensitivity import AdaptiveImportanceSampling, MixtureImportanceSampling, PolynomialSurrogate, StudentT


def say(result):
    print(result["diagnostics"]["verdict"].item(), "-", result["diagnostics"]["verdict_text"].item())


def estimates(result):
    return sensitivity.to_dataframe(result)[["expectation", "se"]]


def normals(n):
    return {f"x{i + 1}": dist.Normal(0.0, 1.0) for i in range(n)}


# %% [markdown]
# ## Where adaptation pays: far from the law
#
# The even moments of a standard normal are known: 1, 3, 15, ... Where x^20 gets its mean from, around |x| = 4.5, a
# plain sample hardly goes. Here are ten moments from 10,000 evaluations by each method.


# %%
def power(n):
    return lambda x: x[0] ** n


N = 10_000
moments = {f"x^{n}": power(n) for n in range(2, 21, 2)}
exact = np.array([math.prod(range(1, n, 2)) for n in range(2, 21, 2)], dtype=float)
adapted = sensitivity.expectations(moments, normals(1), method=AdaptiveImportanceSampling(), budget=N, key=0)

plain = np.random.default_rng(0).standard_normal(N)[:, None] ** np.arange(2, 21, 2)
table = pd.DataFrame({"exact": exact}, index=list(moments))
table["plain / exact"], table["plain se / exact"] = plain.mean(0) / exact, plain.std(0) / N**0.5 / exact
table["adaptive / exact"] = estimates(adapted)["expectation"] / exact
table["adaptive se / exact"] = estimates(adapted)["se"] / exact
say(adapted)
print(table.round(4).to_string())

# %%
figure, ax = plt.subplots(layout="constrained")
ax.semilogy(table.index, table["plain se / exact"], "o-", label="plain Monte Carlo")
ax.semilogy(table.index, table["adaptive se / exact"], "s-", label="adaptive importance sampling")
ax.semilogy(
    table.index, abs(table["plain / exact"] - 1), "o", color="C0", fillstyle="none", label="plain: actual error"
)
ax.set(xlabel="function", ylabel="share of the exact value", title="Estimated standard errors, 10,000 evaluations")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# The high moments show the danger of a plain sample: the estimate is off, and its own standard error, computed from
# the draws that happened to come, need not say by how much.
#
# ## Where one sample serves a hundred laws
#
# The catalogue's cantilever beam comes with a function that makes laws of its inputs: other means, other correlations.
# It lies in the model's file, which can be imported once the model is loaded.

# %%
beam = uq.load("cantilever")
perturbed_laws = importlib.import_module("uqkit.models.functions.cantilever").perturbed_laws
laws = {f"law {i + 1}": law for i, law in enumerate(perturbed_laws(100, key=0))}

N_LAWS = 10_000
without = sensitivity.expectations(beam, laws=laws, method=MixtureImportanceSampling(), budget=N_LAWS, key=0)
say(without)
controlled = MixtureImportanceSampling(surrogate=PolynomialSurrogate(net_exponent=10))
with_surrogate = sensitivity.expectations(beam, laws=laws, method=controlled, budget=N_LAWS, key=0)
say(with_surrogate)

# %% [markdown]
# The opponent is plain Monte Carlo with the same number of runs, 100 for each law.

# %%
shared = N_LAWS // len(laws)
outputs = np.column_stack([beam.run(law.sample(shared, key=i))[:, 0] for i, law in enumerate(laws.values())])
errors = {
    "plain Monte Carlo": outputs.std(axis=0) / shared**0.5,
    "mixture": without["estimates"]["expectation_se"].values[0],
    "mixture and surrogate": with_surrogate["estimates"]["expectation_se"].values[0],
}
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.5), layout="constrained")
for (label, values), marker in zip(errors.items(), "os^", strict=True):
    left.semilogy(np.arange(100), values, marker, markersize=4, label=label)
    print(f"{label}: median standard error {np.median(values):.1e} m")
left.set(xlabel="law", ylabel="standard error (m)")
left.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
sensitivity.plot_expectations(with_surrogate, ax=right)
right.set_title("Mean displacement (m), mixture and surrogate")
plt.show()

# %% [markdown]
# A surrogate is a polynomial fitted to a part of the runs and corrected by the others, so a bad fit costs precision and
# not truth. It helps because the beam is a smooth function of six inputs. On an indicator it would not.
#
# A verdict of "warn" is a sentence to be read, not an alarm. The Pareto k here is that of the terms which are averaged:
# above 0.7 a few of them dominate, and the standard error itself is not well known.
#
# ## Where it does not pay
#
# ### Heavy tails
#
# Five inputs follow Student's t with 3 degrees of freedom, and the functions are |x_i|. The published algorithm fits
# Gaussians, whose tails are too light.


# %%
def magnitude(i):
    return lambda x: jnp.abs(x[i])


heavy = {f"x{i + 1}": dist.StudentT(3.0, 0.0, 1.0) for i in range(5)}
magnitudes = {f"|x{i + 1}|": magnitude(i) for i in range(5)}
exact, spread = 2 * 3**0.5 / np.pi, (3 - 12 / np.pi**2) ** 0.5
methods = {
    "published": AdaptiveImportanceSampling.published(),
    "default": AdaptiveImportanceSampling(),
    "Student t": AdaptiveImportanceSampling(family=StudentT()),
}
tails = {
    name: sensitivity.expectations(magnitudes, heavy, method=method, budget=10_000, key=0)
    for name, method in methods.items()
}
print(f"exact {exact:.4f}, standard error of plain Monte Carlo {spread / 100:.4f}")
for name, result in tails.items():
    print(f"\n{name}: mean of the five {estimates(result)['expectation'].mean():.4f}")
    print("their standard errors", estimates(result)["se"].round(4).tolist())
    say(result)

# %% [markdown]
# The published run has longer errors than a plain sample and its five numbers lie low. The verdict fails it by looking
# the other way round: draws of the *law* show weights f/g that have no mean. The default cannot do this, because at
# least a tenth of its draws come from the law itself, which bounds every weight.
#
# ### A smooth function under its own law
#
# When a function is smooth and its mean comes from the bulk of the law, there is nothing far away to find. Points of a
# scrambled Sobol' net, which `sobol_indices` uses, do about as well for the indices and better for the mean. The table
# has the beam's mean and the half widths of its total indices from the same number of runs.

# %%
rows = {}
for name, method in (("pick-freeze", sensitivity.PickFreeze()), ("adaptive", AdaptiveImportanceSampling())):
    e = sensitivity.sobol_indices(beam, method=method, budget=8_192, key=0)["estimates"].sel(output="displacement")
    half = (e["sobol_total_upper"] - e["sobol_total_lower"]) / 2
    rows[name] = {"mean": float(e["output_mean"]), "mean se": float(e["output_mean_se"])}
    rows[name] |= {f"+- {i}": float(half.sel(input=i)) for i in beam.inputs.names}
print(f"exact mean {beam.references['output_mean'].values[0]:.6f}")
print(pd.DataFrame(rows).T.round(6).to_string())

# %% [markdown]
# ### Many inputs
#
# Five functions exp(theta . x) in more and more inputs. The best density for each is a normal law around theta, so the
# family is right, and still the gain shrinks: a mean and a covariance in 40 dimensions are hard to learn from a few
# thousand weighted draws. The gain is the variance of plain Monte Carlo, known here, over the variance that the run
# claims; a claim is worth something only if the errors agree with it, so z is the worst of the five actual errors over
# its standard error.

# %%
LENGTH, N_TILTS = 1.5, 5_000
truth = math.exp(LENGTH**2 / 2)
plain_variance = (math.exp(2 * LENGTH**2) - truth**2) / N_TILTS


def tilt(theta):
    return lambda x: jnp.exp(x @ theta)


dimensions, gains = (2, 5, 10, 20, 40), {"published": [], "default": []}
for n in dimensions:
    theta = np.random.default_rng(n).standard_normal((5, n))
    theta *= LENGTH / np.linalg.norm(theta, axis=1, keepdims=True)
    functions = {f"f{j + 1}": tilt(theta[j]) for j in range(5)}
    for name in gains:
        result = sensitivity.expectations(functions, normals(n), method=methods[name], budget=N_TILTS, key=0)
        value, se = estimates(result).to_numpy().T
        gains[name].append(float(np.median(plain_variance / se**2)))
        verdict = result["diagnostics"]["verdict"].item()
        print(
            f"{n:2d} inputs, {name}: gain {gains[name][-1]:.3g}, z {np.abs((value - truth) / se).max():.1f}, {verdict}"
        )

# %%
figure, ax = plt.subplots(layout="constrained")
for (name, gain), style in zip(gains.items(), ("s--", "o-"), strict=True):
    ax.loglog(dimensions, gain, style, label=name)
ax.axhline(1, color="0.5", linewidth=0.8)
ax.set_xticks(dimensions, [str(n) for n in dimensions])
ax.minorticks_off()
ax.set(xlabel="inputs", ylabel="claimed gain over plain Monte Carlo", title="exp(theta . x), 5,000 evaluations")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# Below the line a plain sample is better. The published algorithm gets there, and in this run its verdict says so.
#
# ## Rare events
#
# Four events, each a half-space 3.5 standard deviations out in ten dimensions, probability 0.00023. A plain sample of
# 10,000 sees about two draws of each. The published algorithm has nothing to start from. The default is led there by
# tempering: it first draws from a wider law, and narrows it as draws arrive.


# %%
def half_space(i, sign):
    return lambda x: jnp.where(sign * x[i] > 3.5, 1.0, 0.0)


events = {f"{'+' if s > 0 else '-'}x{i + 1}": half_space(i, s) for i in (0, 1) for s in (1, -1)}
try:
    sensitivity.expectations(events, normals(10), method=methods["published"], budget=10_000, key=0)
except uq.errors.InputError as error:
    print("published:", error)
rare = sensitivity.expectations(events, normals(10), budget=10_000, key=0)
say(rare)
probability = stats.norm.sf(3.5)
table = estimates(rare)
table["exact"] = probability
table["plain se"] = (probability * (1 - probability) / 10_000) ** 0.5
table["gain"] = (table["plain se"] / table["se"]) ** 2
print(table.to_string())

# %% [markdown]
# ## Reading the diagnostics
#
# Two pictures. The weights f/g should not reach far to the right: a weight of 1,000 means that one draw speaks for a
# thousand. The known means (that of f/g is 1, and every control has one) should have z-scores inside the grey band but
# for one in twenty. Above the published run on heavy tails, below the default.

# %%
figure, axes = plt.subplots(2, 2, figsize=(10.5, 6.5), layout="constrained")
for row, name in zip(axes, ("published", "default"), strict=True):
    sensitivity.plot_weights(tails[name], ax=row[0])
    sensitivity.plot_known_means(tails[name], ax=row[1])
    row[0].set_title(f"{name.capitalize()}. {row[0].get_title()}")
plt.show()

# %% [markdown]
# The published run's effective share and known means alone would not have failed it: draws of g cannot show what g
# misses. That is why the verdict looks from both sides, and why its text is worth printing in every script.
#
# ## Stopping when it is precise enough, and going on later
#
# With `tolerance=0.005` the run stops as soon as every 95% interval is at most half a percent of its estimate to each
# side, or when the budget is spent. `extend` continues a result, from a file as well, without evaluating a point twice.

# %%
start = sensitivity.expectations(magnitudes, heavy, budget=100_000, tolerance=0.005, key=0)
longer = sensitivity.extend(start, magnitudes, heavy, budget=10_000)
for name, result in (("tolerance reached", start), ("extended", longer)):
    widest = (1.96 * estimates(result)["se"] / estimates(result)["expectation"]).max()
    print(f"{name}: {result.attrs['n_model_evaluations']:,} evaluations, widest interval +- {widest:.2%}")
    say(result)

# %% [markdown]
# ## In short
#
# - Far from the law (high moments, rare events) adaptation is worth it, and so is one sample for many laws.
# - A surrogate as control is worth it where the model is smooth.
# - In the bulk of the law a scrambled net does as well, and in many inputs the gain shrinks.
# - Effective draws alone are no proof. Read the verdict, and its text.
