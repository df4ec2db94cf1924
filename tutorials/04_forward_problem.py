# %% [markdown]
# # A differential equation, its solution, and how far to trust it
#
# A solver returns numbers. Here a differential equation is treated as data: it says that a residual is zero, up to a
# tolerance, and so do the boundary values. What is unknown is a field, a sum of a few hundred waves with random
# frequencies. Its posterior gives the solution with a band, derivatives with theirs, and a verdict.
#
# The example is sound in a room whose air is warmer at the top, so that the wave number k depends on the height y:
#
#     p_xx + p_yy + k(y)^2 p = q    on [0, 2] x [0, 1],    p = 0 on the walls
#
# This file is a script and a notebook (percent format). It takes about half a minute.

# %%
import tempfile
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import uqkit as uq
from uqkit import pinn
from uqkit.problems import BoundaryValueProblem, Box, Constraint, FieldReference, Integrated, Measured

# %% [markdown]
# ## The problem, from scratch
#
# To be able to see the error, the source q is made from a solution that is chosen beforehand. It is computed by JAX,
# so there is nothing to differentiate by hand. With a measured or given source these lines are not needed.


# %%
def wave_number(y):
    return 6.0 / (1.0 + 0.3 * y)


def exact(x, y):
    return jnp.sin(2 * jnp.pi * x) * jnp.sin(jnp.pi * y) * jnp.exp(x * y)


def source(x, y):
    curvature = [jax.vmap(jax.grad(jax.grad(exact, axis), axis))(x, y) for axis in (0, 1)]
    return sum(curvature) + wave_number(y) ** 2 * exact(x, y)


# %% [markdown]
# A problem is a box and a list of constraints. An operator's argument *names* say what it wants: fields by the names
# of the outputs, coordinates by theirs. `noise` says how exactly the constraint holds: `Integrated(tolerance)` for a
# law, enforced everywhere.

# %%
room = Box(x=(0.0, 2.0), y=(0.0, 1.0), units={"x": "m", "y": "m"})


def room_problem(law=None, walls=None, operator=None, target=source):
    wave = Constraint(
        name="wave",
        operator=operator or (lambda p, y: p.laplacian() + wave_number(y) ** 2 * p.value),
        points=room.interior,
        target=target,
        noise=law or Integrated(1e-3),
        unit="Pa/m2",
    )
    hard_walls = Constraint(
        name="walls",
        operator=lambda p: p.value,
        points=room.boundary,
        noise=walls or Integrated(1e-5),
        unit="Pa",
    )
    return BoundaryValueProblem(
        name="room",
        domain=room,
        outputs={"p": "Pa"},
        constraints=(wave, hard_walls),
        quantities={"slope": (lambda p: p.d("x"), "Pa/m")},
        references={"p": FieldReference(function=exact, kind="closed form", source="the source is made from it")},
    )


problem = room_problem()

# %% [markdown]
# ## Its solution
#
# That is one call. `estimates` has the field and the derived quantity on a grid, each with its standard deviation
# `_se` and the ends of its 95% interval.


# %%
def say(result):
    print(result["diagnostics"]["verdict"].item(), "-", result["diagnostics"]["verdict_text"].item())


result = pinn.infer(problem, field=pinn.RandomFeatures(n_features=200), key=0)
say(result)
result["estimates"]

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.6), layout="constrained")
pinn.plot_solution(result, ax=left)
pinn.plot_error(result, ax=right)
left.set_title("Pressure, posterior mean")
right.set_title("Error against the band, point by point")
plt.show()

# %% [markdown]
# The error, known here, lies far below the band. The band says what the *tolerances* leave open, and those were chosen
# loosely: a residual of 0.001 Pa/m2 is negligible for us. Where features and points resolve the solution to better than
# that, the band is no forecast of the error but a cautious bound.
#
# ## Too few features
#
# A field that the features cannot represent does not occur in the model, so its band cannot contain it. This is the one
# thing to know about bands of this kind. Watch the error and the band as features are taken away.


# %%
def row(result):
    diagnostics, estimates = result["diagnostics"], result["estimates"]
    error = (estimates["p"] - result["constant_data"]["p_reference"]).values
    return {
        "rms error [Pa]": np.sqrt(np.mean(error**2)),
        "rms band, 1 sd [Pa]": np.sqrt(np.mean(estimates["p_se"].values ** 2)),
        "share inside 95%": diagnostics["coverage"].sel(quantity="p", level=0.95).item(),
        "verdict": diagnostics["verdict"].item(),
    }


by_features = {
    f"{n} features": pinn.infer(problem, field=pinn.RandomFeatures(n_features=n), key=0) for n in (60, 100, 140)
}
by_features["200 features"] = result
print(pd.DataFrame({name: row(each) for name, each in by_features.items()}).T.to_string())

# %%
say(by_features["60 features"])
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.6), layout="constrained")
pinn.plot_solution(by_features["60 features"], at={"y": 0.5}, ax=left)
pinn.plot_solution(result, at={"y": 0.5}, ax=right)
left.set_title("60 features, y = 0.5: the band is wrong")
right.set_title("200 features, y = 0.5")
plt.show()

# %% [markdown]
# The band stays as narrow as before, while the solution is wrong. Ordinarily there is no reference to see that by. What
# can be seen without one is that the features are used up and that the residual at *fresh* points, which were not
# fitted, is many tolerances. The verdict says so. The remedy is more features; their cost grows with the cube, and
# 3,000 are about the most for one core.
#
# ## Too few points
#
# Points are the other half. With fewer equations than features the field is free between them, and of that the band
# knows: it opens to many times the solution, which is its prior. The verdict compares the residual at the points with
# that at fresh ones, and a serious finding is a warning as well.

# %%
band = pinn.UniformBand(limit=8.0)
waves = pinn.RandomFeatures(n_features=200, frequencies=band)
with warnings.catch_warnings(action="ignore", category=uq.UqkitWarning):
    few = pinn.infer(problem, field=waves, collocation=pinn.GaussGrid(n=9), key=0)
print(pd.DataFrame({"9 x 9 points": row(few), "21 x 21 points": row(result)}).T.to_string())
say(few)

# %% [markdown]
# ## A law, or measurements of it
#
# `Integrated` and `Measured` differ in what a point *is*. `Measured(sigma)` is for sensors: each point is an
# independent observation, and four times as many of them halve the band. For a law, a collocation point is a node of a
# quadrature. Once the nodes resolve the residual, more of them tell nothing new, and the band must not move.

# %%
table = {}
for n in (20, 40):
    points = pinn.GaussGrid(n=n)
    for name, law, walls in (
        ("Integrated", Integrated(0.1), Integrated(0.001)),
        ("Measured", Measured(0.1), Measured(0.001)),
    ):
        solved = pinn.infer(room_problem(law, walls), field=waves, collocation=points, key=0)
        table.setdefault(name, {})[f"{n} x {n} points"] = row(solved)["rms band, 1 sd [Pa]"]
print(pd.DataFrame(table).T.round(5).to_string())

# %% [markdown]
# ## Keeping it, and asking for more
#
# The result is a file, and `restore` takes it up with the problem, whose operators are no part of the file. The
# posterior can then be asked at any point, for outputs, for derived quantities and for new operators. Here: slope and
# squared gradient along a line, and joint draws, from which follows what no single band tells, the largest pressure.

# %%
with tempfile.TemporaryDirectory() as folder:
    loaded = uq.results.load(uq.results.save(result, Path(folder) / "room.nc"))
posterior = pinn.restore(loaded, problem)
profile = {"x": np.linspace(1.0, 1.5, 6), "y": np.full(6, 0.6)}
posterior.predict(profile, "slope").to_dataframe().round(5)

# %%
squared = posterior.predict(profile, lambda p: p.d("x") ** 2 + p.d("y") ** 2)
print(squared[["quantity", "quantity_se"]].to_dataframe().round(4).to_string())
largest = posterior.draws(profile, "p", n_draws=500, key=1)["p"].max("point")
print(f"largest pressure on the line: {largest.mean().item():.6f} +- {largest.std().item():.6f} Pa")

# %% [markdown]
# ## A nonlinear equation: one line changes
#
# With a cubic term, the operator has one term more and so has the source. The posterior is then a Gaussian around the
# mode, found in some Gauss-Newton steps.

# %%
nonlinear = room_problem(
    operator=lambda p, y: p.laplacian() + wave_number(y) ** 2 * p.value + 5.0 * p.value**3,
    target=lambda x, y: source(x, y) + 5.0 * exact(x, y) ** 3,
)
cubic = pinn.infer(nonlinear, field=waves, key=0)
say(cubic)
print(pd.Series(row(cubic)).to_string())

# %%
ax = pinn.plot_solution(cubic, at={"x": 1.75})
ax.set_title("With a cubic term, x = 1.75")
plt.show()

# %% [markdown]
# ## In short
#
# - An equation, its boundary values and sensors are constraints; the argument names of an operator say what it wants.
# - `Integrated(tolerance)` for laws: choose the largest residual that does not matter. `Measured(sigma)` for sensors.
# - The band is what tolerances and missing points leave open. What the features cannot say is not in it.
# - Read the verdict; where it doubts, raise `n_features` or refine `collocation` until it does not.
