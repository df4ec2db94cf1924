# %% [markdown]
# # Which uncertain input floods the town?
#
# A dyke protects a site beside a river. How high the water stands against its crest depends on eight quantities that
# nobody knows exactly: the discharge of a flood, the roughness of the bed, levels surveyed years ago. Some can be
# measured better, at a price. Which measurement is worth its price?
#
# Sobol' indices answer that. The *first-order* index of an input is the share of the output's variance that would go
# if that input were known; its *total* index is the share that would stay if everything else were known. An input
# with a total index near zero can be fixed at any value.
#
# This file is a script and a notebook (percent format). It takes a few seconds.

# %%
import matplotlib.pyplot as plt
import numpyro.distributions as dist
from scipy import stats

import uqkit as uq
from uqkit import sensitivity

# %% [markdown]
# ## What is uncertain
#
# Inputs are a dict of distributions, NumPyro's and SciPy's mixed as convenient. `Inputs` adds units and descriptions;
# where neither is wanted, the plain dict will do. The laws are those of the EDF case study (Iooss & Lemaitre 2015).


# %%
def triangular(low, peak, high):
    return stats.triang((peak - low) / (high - low), loc=low, scale=high - low)


gumbel = 1013 + 558 * stats.make_distribution(stats.gumbel_r)()
inputs = uq.Inputs(
    {
        "Q": stats.truncate(gumbel, 500, 3000),
        "Ks": dist.TruncatedNormal(30.0, 8.0, low=15.0),
        "Zv": triangular(49, 50, 51),
        "Zm": triangular(54, 55, 56),
        "Hd": dist.Uniform(7.0, 9.0),
        "Cb": triangular(55, 55.5, 56),
        "L": triangular(4990, 5000, 5010),
        "B": triangular(295, 300, 305),
    },
    units={"Q": "m3/s", "Ks": "m^(1/3)/s", "Zv": "m", "Zm": "m", "Hd": "m", "Cb": "m", "L": "m", "B": "m"},
)
inputs

# %% [markdown]
# ## The model
#
# Any Python function will do. This one is plain Python, one keyword argument an input; written with `jax.numpy` it
# would be vectorised and compiled. A simulator that takes minutes a run is used the same way.


# %%
def overflow(Q, Ks, Zv, Zm, Hd, Cb, L, B):
    """Metres by which the highest water passes the crest; below zero the site stays dry."""
    height = (Q / (Ks * B * ((Zm - Zv) / L) ** 0.5)) ** 0.6
    return Zv + height - Hd - Cb


flood = uq.ForwardModel(overflow, inputs=inputs, outputs={"S": "m"}, takes="named", name="flood")

# %% [markdown]
# ## Indices with intervals
#
# A row of the design costs ten evaluations (eight inputs and two), so 10,240 of them make 1,024 rows, a scrambled
# Sobol' net. With an expensive model add `store="flood.sqlite"`: every finished run is kept there at once, and the same
# call goes on where a crash or Ctrl-C stopped it.

# %%
result = sensitivity.sobol_indices(flood, budget=10_240, key=0)
sensitivity.to_dataframe(result).round(4)

# %%
print(result["diagnostics"]["verdict"].item(), "-", result["diagnostics"]["verdict_text"].item())
sensitivity.plot_indices(result)
plt.show()

# %% [markdown]
# Discharge, dyke height, bed level and roughness carry nearly all of the variance. First-order and total indices
# hardly differ: the inputs act almost additively, and knowing one helps no matter what the others are.
#
# Were these runs enough? The estimates from the first 32, 64, ... rows show how they settled.

# %%
sensitivity.plot_convergence(result)
plt.show()

# %% [markdown]
# ## First decision: what need not be modelled
#
# The upper ends of three total intervals lie below one percent. Those inputs can be fixed at their nominal values.

# %%
upper = result["estimates"]["sobol_total_upper"].sel(output="S")
negligible = [str(name) for name in upper["input"].values if upper.sel(input=name) < 0.01]
negligible

# %% [markdown]
# That is a claim about the model, so try it: with the three fixed, the variance should hardly change.

# %%
nominal = {"Zm": 55.0, "L": 5000.0, "B": 300.0}
assert set(negligible) == set(nominal)
kept = {name: law.distribution for name, law in inputs.marginals.items() if name not in nominal}
smaller = uq.ForwardModel(
    lambda **values: overflow(**values, **nominal), inputs=kept, outputs={"S": "m"}, takes="named", name="smaller"
)
simpler = sensitivity.sobol_indices(smaller, budget=7_168, key=0)
for name, tree in (("all eight", result), ("five", simpler)):
    variance, error = (float(tree["estimates"][v].sel(output="S")) for v in ("output_variance", "output_variance_se"))
    print(f"variance with {name} uncertain: {variance:.4f} +- {error:.4f} m2")

# %% [markdown]
# ## Second decision: what to measure
#
# Three campaigns are on offer: a gauging station (discharge and roughness), a new survey of the river bed, and a
# survey of the dyke and the bank. The index of a *group* of inputs is the share of variance that knowing all of
# them would remove.

# %%
campaigns = {"gauging": ["Q", "Ks"], "bed survey": ["Zv", "Zm", "L", "B"], "dyke survey": ["Hd", "Cb"]}
grouped = sensitivity.sobol_indices(flood, budget=10_240, key=0, groups=campaigns)
sensitivity.plot_indices(grouped)
plt.show()
sensitivity.to_dataframe(grouped).round(3)

# %% [markdown]
# Gauging removes close to half of the variance, more than either survey by far more than the intervals' width. The
# standard deviation of S today, and after each campaign on average:

# %%
total_variance = float(grouped["estimates"]["output_variance"].sel(output="S"))
print(f"today: {total_variance**0.5:.2f} m")
for campaign in campaigns:
    left = 1 - float(grouped["estimates"]["sobol_first"].sel(output="S", group=campaign))
    print(f"after {campaign}: {(left * total_variance) ** 0.5:.2f} m")

# %% [markdown]
# ## Keeping it
#
# A result is an xarray `DataTree`: it saves to netCDF or Zarr, ArviZ summarises the draws in it, and SALib's own
# functions take the dict made from it. `restore` analyses the saved evaluations again, here by another estimator.

# %%
import tempfile
from pathlib import Path

import arviz as az

with tempfile.TemporaryDirectory() as folder:
    loaded = uq.results.load(uq.results.save(result, Path(folder) / "flood.nc"))
sample = sensitivity.restore(loaded, flood)
jansen = sensitivity.PickFreeze(first=sensitivity.Jansen())
sensitivity.to_dataframe(sample.indices(method=jansen, key=0)).round(4)

# %%
az.summary(loaded, var_names=["sobol_total"])

# %%
sensitivity.to_salib(loaded).to_df()[0]
