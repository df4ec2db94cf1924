# %% [markdown]
# # How much five tasks leave of the first, computed
#
# For a perceptron with a posterior over signs, mean-field theory predicts the accuracy on every task after every
# task, for infinitely many weights and without drawing a single row ([Li, Huang, Zou & Huang
# 2023](https://arxiv.org/abs/2212.02846) for two tasks; here for any number). This notebook checks it against
# gradient descent and asks it what would be dear to measure.

# %%
import matplotlib.pyplot as plt
import numpy as np

from uqkit import continual
from uqkit.continual import teacher_student

# %% [markdown]
# ## Learning as well as it can be done
#
# A teacher of N signs labels random rows, alpha N of them. A student that draws from all vectors of signs that fit
# has overlap q with the teacher. Above 1.245 rows a weight the teacher alone fits, but an algorithm meets it only
# above 1.493, where the smooth branch ends (Gyorgyi 1990; Sompolinsky, Tishby & Seung 1990).

# %%
print(
    f"transition at {teacher_student.transition_load():.6f}, end of the branch at {teacher_student.spinodal_load():.6f}"
)
loads = np.linspace(0.05, 1.49, 60)
exact = [teacher_student.bayes_optimal(float(load)) for load in loads]
far = np.linspace(0.05, 2.12, 60)
mean_field = [teacher_student.state_evolution((float(load),)) for load in far]
ax = plt.subplots(figsize=(6, 4), layout="constrained")[1]
ax.plot(loads, [one.bayes_error for one in exact], label="best possible")
ax.plot(far, [1 - one.accuracy[0, 0] for one in mean_field], "--", label="posterior that is a product over weights")
ax.axvline(teacher_student.transition_load(), color="0.6", linewidth=1)
ax.set(xlabel="rows over weights [1]", ylabel="error on new rows [1]")
ax.legend()
plt.show()

# %% [markdown]
# The product posterior needs more rows, 2.13 a weight instead of 1.49 before it finds the teacher. That is the price
# of ignoring how weights depend on each other.
#
# ## Five tasks, theory against simulation
#
# Five independent teachers, as many rows as weights for each. Lines are theory, points with intervals are gradient
# descent on perceptrons of 1,001 weights; nothing was fitted.

# %%
theory = continual.predict_teacher_student((1.0,) * 5)
simulated = continual.simulate_teacher_student((1.0,) * 5, n_seeds=4, key=0)
continual.plot_accuracy(simulated, theory=theory)
plt.show()
difference = np.abs(simulated["estimates"].to_dataset()["accuracy"] - theory["estimates"].to_dataset()["accuracy"]).sel(
    decoder="central_limit"
)
print(f"largest difference of the 25 accuracies: {float(difference.max()):.4f}, mean {float(difference.mean()):.4f}")
print(f"seconds: theory {theory.attrs['wall_time_seconds']:.1f}, simulation {simulated.attrs['wall_time_seconds']:.1f}")
continual.plot_accuracy_matrix(theory)
plt.show()

# %% [markdown]
# Down a column, a task is forgotten; along the diagonal, each new task is learned a little less well than the one
# before. The first is forgetting, the second loss of plasticity, and here both follow from theory.
#
# ## What theory is good for: how much to remember
#
# `memory` multiplies the fields of the last posterior before it becomes the prior. Less memory serves the last task,
# more the earlier ones. For each value theory needs seconds, no training:

# %%
kept = np.array([0.5, 0.8, 1.0])
final = np.array([teacher_student.state_evolution((1.0,) * 5, memory=float(one)).accuracy[-1] for one in kept])
for one, row in zip(kept, final, strict=True):
    print(f"memory {one:.1f}: first task {row[0]:.3f}, last {row[-1]:.3f}, average {row.mean():.4f}")

# %% [markdown]
# The whole memory has the best average; a fading one buys the recent task with the old ones.
#
# Teachers that contradict each other are worth a look: two tasks with an overlap of -0.5, few rows of the second.

# %%
second = np.array([0.1, 0.3, 0.5, 0.8, 1.2])
opposed = [teacher_student.state_evolution((1.2, float(load)), similarity=-0.5).accuracy[1] for load in second]
for load, row in zip(second, opposed, strict=True):
    print(
        f"{load:.1f} rows a weight of the second task: accuracy on the first {row[0]:.3f}, on the second {row[1]:.3f}"
    )

# %% [markdown]
# With few rows the second task stays below one half: what was learned before points the wrong way, and the prior says
# so with confidence. That is negative transfer.
#
# ## When not to trust it
#
# The theory is of perceptrons with random rows, not of deep networks with pictures. It assumes replica symmetry,
# checks its stability, and refuses what it cannot vouch for:

# %%
try:
    teacher_student.state_evolution((0.8,), strength=0.3)
except teacher_student.NotConvergedError as error:
    print(error)
