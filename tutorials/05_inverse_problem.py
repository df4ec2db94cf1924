# %% [markdown]
# # Parameters of a differential equation from measurements
#
# An aluminium rod is heated at one end and loses heat to the air along its sides. Fifteen thermocouples measure its
# steady temperature. How much heat flows in, how well does the surface pass it on, and how exact are the thermocouples?
# The equation holds up to its two unknown parameters, the measurements up to an unknown noise, and the temperature
# between them is unknown as well. All of it has one posterior.
#
# The first half analyses the data, against least squares and the published values. The second half asks whether such
# intervals hold what they promise, on some tens of data sets that are drawn anew.
#
# This file is a script and a notebook (percent format). It takes less than a minute.

# %%
import dataclasses
import importlib
import warnings

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import optimize

import uqkit as uq
from uqkit import pinn
from uqkit.problems import Integrated


def say(result):
    print(result["diagnostics"]["verdict"].item(), "-", result["diagnostics"]["verdict_text"].item())


# %% [markdown]
# ## The rod
#
# The data are those of Smith (2013), and the catalogue has the problem; its file, `models/pdes/heat_conduction_rod.py`,
# is short and shows how parameters come in: an operator names them among its arguments, and `parameters` has their
# prior.

# %%
rod = uq.load("heat_conduction_rod")
for constraint in rod.constraints:
    kind = type(constraint.noise).__name__
    scale = constraint.noise.tolerance if isinstance(constraint.noise, Integrated) else "unknown"
    print(f"{constraint.name:14s} {kind:10s} {scale} {constraint.unit}")
rod.inputs

# %% [markdown]
# The default field is made for solving; a rod's temperature is smooth, so a few features with low frequencies will do.

# %%
smooth = pinn.RandomFeatures(n_features=30, frequencies=pinn.UniformBand(limit=4.0))
result = pinn.infer(rod, field=smooth, key=0)
say(result)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.8), layout="constrained")
pinn.plot_solution(result, ax=left)
pinn.plot_residual(result, "thermocouples", ax=right)
plt.show()

# %% [markdown]
# ## Against least squares
#
# This equation has a closed form, so classical least squares can be done as well. With broad priors the two should
# agree, and both with the published estimates.

# %%
SIDE, LENGTH, CONDUCTIVITY, AIR = 0.95, 70.0, 2.37, 21.29
temperatures = result["observed_data"]["thermocouples"].values
positions = result["constant_data"]["thermocouples_coordinates"].sel(coordinate="x").values


def closed_form(x, flux, h):
    rate = np.sqrt(4 * h / (SIDE * CONDUCTIVITY))
    system = [
        [CONDUCTIVITY * rate, -CONDUCTIVITY * rate],
        [
            np.exp(rate * LENGTH) * (h + CONDUCTIVITY * rate),
            np.exp(-rate * LENGTH) * (h - CONDUCTIVITY * rate),
        ],
    ]
    growing, falling = np.linalg.solve(system, [flux, 0.0])
    return AIR + growing * np.exp(rate * x) + falling * np.exp(-rate * x)


best, covariance = optimize.curve_fit(closed_form, positions, temperatures, p0=(-18.0, 0.002))


def row(result, name):
    return [result["estimates"][label].item() for label in (name, f"{name}_se")]


table = pd.DataFrame(index=["flux", "+- ", "h", "+-"])
table["posterior"] = [*row(result, "flux"), *row(result, "h")]
table["least squares"] = np.ravel([best, np.sqrt(np.diag(covariance))], order="F")
published = [rod.references[name] for name in ("flux", "h")]
table["published"] = np.ravel([(each.values[0], each.standard_error) for each in published])
print(table.to_string(float_format=lambda value: f"{value:.4g}"))

# %% [markdown]
# ## The noise that nobody gave
#
# No one said how exact the thermocouples are, only that about 0.3 degrees is plausible. `MacKay()`, the default, takes
# the scale that maximises the evidence, with the parameters that were fitted taken off the degrees of freedom.
# `Sampled()` makes it one more unknown of a sampler, here NUTS.
#
# One thing has to be looked after. Where the equation holds to 0.00001 and the parameters vary by a percent, the
# posterior is a thin curved sheet, and samplers move along curved sheets slowly or not at all; the verdict would say
# so. A tolerance says which residual is negligible, and 0.001 degrees/cm2 still is: T'' is about half a degree per cm2
# at the heated end. With it, both answer in seconds.

# %%
looser = dataclasses.replace(
    rod,
    constraints=[
        dataclasses.replace(each, noise=Integrated(1e-3)) if isinstance(each.noise, Integrated) else each
        for each in rod.constraints
    ],
)
mackay = pinn.infer(looser, field=smooth, key=0)
nuts = pinn.NUTS(n_warmup=500, n_draws=1_000)
sampled = pinn.infer(looser, field=smooth, method=nuts, noise=pinn.Sampled(), key=0)
say(sampled)
table = {}
for name, each in (("strict law, MacKay", result), ("MacKay", mackay), ("Sampled, NUTS", sampled)):
    noise = each["noise"].to_dataset().sel(constraint="thermocouples")
    scale = [noise["noise_scale"].item(), noise["noise_scale_se"].item()]
    table[name] = [*row(each, "flux"), *row(each, "h"), *scale]
index = ["flux", "+-", "h", "+-", "noise", "+-"]
print(pd.DataFrame(table, index=index).to_string(float_format=lambda value: f"{value:.4g}"))

# %% [markdown]
# The estimates agree. The intervals of NUTS are a little wider, since it knows that the noise might be larger than the
# single best value.

# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
pinn.plot_parameter(sampled, "flux", ax=axes[0])
pinn.plot_parameter(sampled, "h", ax=axes[1])
pinn.plot_parameter(sampled, "noise_scale_thermocouples", ax=axes[2])
plt.show()

# %% [markdown]
# ## ArviZ reads it
#
# The result is a tree with the groups that ArviZ expects. `log_likelihood` has the measured constraints, one entry a
# thermocouple; a law that is enforced everywhere has no observations to leave out.

# %%
print(az.summary(sampled, round_to="none").round(6).to_string())

# %%
left_out = az.loo(sampled, var_name="thermocouples", pointwise=True)
print(left_out)
print("Pareto k:", left_out.pareto_k.values.round(2))

# %%
az.plot_trace_dist(sampled, compact=True)
plt.show()

# %% [markdown]
# A Pareto k above 0.7 marks a thermocouple that sways the posterior, so that leaving it out by weights is not exact.
# The largest is that of the first one, at the hot end, which says the most about the flux.
#
# ## Do the intervals hold what they promise?
#
# One data set cannot tell. The inverse problem of B-PINNs (Yang, Meng & Karniadakis 2021) can be drawn anew as often as
# one likes: 0.01 u'' + k tanh(u) = f, with f measured at 32 sensors and u at eight, all with noise 0.1, and k = 0.7 to
# be found. A 95% interval should contain 0.7 for 95% of the data sets.
#
# Here all is known from sensors, so that the field's own prior matters: `GaussianPairs()`, the prior of a Gaussian
# process. Its length scale is found by the evidence, from the first data set, and kept, which saves time.

# %%
uq.load("bpinn_inverse_1d")
make = importlib.import_module("uqkit.models.pdes.bpinn_inverse_1d").make
first = make(noise=0.1, key=0)
found = pinn.infer(first, field=pinn.RandomFeatures(n_features=60, frequencies=pinn.GaussianPairs()), key=0)
evidence = found["evidence"].to_dataset()
length_scale = evidence["candidate"][evidence["chosen"].values == 1].item()
print(f"length scale {length_scale:.3f} half-widths; k = {row(found, 'k')[0]:.3f} +- {row(found, 'k')[1]:.3f}")
pinn.plot_evidence(found)
plt.show()

# %% [markdown]
# What was compiled for one problem serves another with the same operators. So a data set is put into the first problem,
# instead of solving a new one, and each takes a fraction of a second.

# %%
N_SETS = 40


def with_data_of(other):
    pairs = zip(first.constraints, other.constraints, strict=True)
    return dataclasses.replace(first, constraints=[dataclasses.replace(a, target=b.target) for a, b in pairs])


data_sets = [with_data_of(make(noise=0.1, key=key)) for key in range(N_SETS)]


def intervals(n_sets=N_SETS, **settings):
    solved = [pinn.infer(problem, key=0, **settings)["estimates"].to_dataset() for problem in data_sets[:n_sets]]
    return pd.DataFrame([{name: each[name].item() for name in ("k", "k_se", "k_lower", "k_upper")} for each in solved])


def report(name, table):
    inside = (table["k_lower"] <= 0.7) & (table["k_upper"] >= 0.7)
    share, z = inside.mean(), (table["k"] - 0.7) / table["k_se"]
    error = np.sqrt(0.95 * 0.05 / len(table))
    print(f"{name}: {share:.3f} inside (0.950 +- {error:.3f} expected), mean z {z.mean():.2f}, sd of z {z.std():.2f}")


pairs = pinn.RandomFeatures(n_features=60, frequencies=pinn.GaussianPairs(length_scale=length_scale))
laplace = intervals(field=pairs)
report("Laplace", laplace)
by_nuts = intervals(10, field=pairs, method=nuts)
report("NUTS, the first 10", by_nuts)
report("Laplace, the first 10", laplace[:10])
apart = (by_nuts["k"] - laplace["k"][:10]) / laplace["k_se"][:10]
wider = (by_nuts["k_se"] / laplace["k_se"][:10]).mean()
print(f"NUTS lies {apart.mean():.2f} standard deviations to the right of Laplace, and is {wider:.2f} times as wide")

# %%
figure, ax = plt.subplots(figsize=(10.5, 3.6), layout="constrained")
for label, table, shift, style in (("Laplace", laplace, -0.15, "o"), ("NUTS", by_nuts, 0.15, "s")):
    reach = [table["k"] - table["k_lower"], table["k_upper"] - table["k"]]
    ax.errorbar(np.arange(len(table)) + shift, table["k"], reach, fmt=style, markersize=3, linewidth=1, label=label)
ax.axhline(0.7, color="0.3", linewidth=0.8)
ax.set(xlabel="data set", ylabel="k", title="95% intervals of k; the line is the truth")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# 35 of Laplace's 40 intervals contain the truth where 38 are expected, which is two standard errors short: forty data
# sets tell this much and no more. 150 further ones (keys from 1000 on) gave 0.960 +- 0.016. What is no accident is that
# z has a mean above zero, 0.31 +- 0.08 in those 150. The prior of the field draws u towards zero, and k makes up for
# it; a larger amplitude lessens that. Bayesian intervals are calibrated on average over fields from the prior, not for
# each one.
#
# NUTS and Laplace agree set by set. k enters as a product with the field, and at this noise a Gaussian will do.
#
# ## How to get it wrong
#
# The interval is only as good as the field's prior. Twice the length scale and a fixed amplitude make a field that is
# too stiff for sin(6x)^3. It cannot reach the peaks, and k makes up for what is missing: a bias with a short interval.

# %%
stiff = pinn.RandomFeatures(n_features=60, frequencies=pinn.GaussianPairs(length_scale=0.3), amplitude=1.0)
with warnings.catch_warnings(action="ignore", category=uq.UqkitWarning):  # each would say what `say` prints once
    report("stiff field", intervals(field=stiff))
    again = pinn.infer(first, field=stiff, key=0)
for name, each in (("length scale by evidence", found), ("stiff", again)):
    chosen = each["evidence"]["log_evidence"].where(each["evidence"]["chosen"] == 1).max()
    print(f"{name}: log evidence {chosen.item():.1f}")
    say(each)

# %% [markdown]
# Two numbers tell without knowing the truth. The residuals of the sensors, whose noise is known here, should be about
# as large as that noise; they are several times larger, and the verdict fails the run for it. And the evidence is lower
# by 300 nats, which is why length scales and amplitudes are left open by default.

# %%
pinn.plot_noise(again)
plt.show()
