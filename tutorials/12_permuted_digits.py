# %% [markdown]
# # Learning one task after another with one bit a weight
#
# A network that learns a second task forgets the first, unless something holds its weights. Here every weight is a
# sign, -1 or +1, with a probability of its own, and the posterior after each task is the prior of the next ([Li,
# Huang, Zou & Huang 2023](https://arxiv.org/abs/2212.02846)). Weights that the first task is sure of are held, the
# others are free.
#
# The tasks: 1,797 handwritten digits of 8 x 8 pixels, whose pixels each task permutes anew.

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np

import uqkit as uq
from uqkit import continual

stream = uq.load("permuted_digits", n_tasks=4)
print(stream)

# %% [markdown]
# ## Learn, and look at what is left of each task
#
# `learn` trains on each task in turn and judges the learner on all tasks after each. The two strengths are the weight
# of the prior in the first task, where it is fair coins, and in later ones. Few rows need small ones: at strength 1,
# which is Bayes' rule for exact likelihoods, this posterior would never leave its prior on so few digits.

# %%
shared = {"widths": (128, 128), "n_epochs": 40, "batch_size": 64}
method = continual.BinaryVariational(**shared, learning_rate=0.3, first_strength=0.03, later_strength=0.2)
with warnings.catch_warnings(action="ignore", category=uq.UqkitWarning):  # of saturation, looked at below
    result = continual.learn(stream, method=method, key=0)
continual.plot_accuracy_matrix(result)
plt.show()

# %% [markdown]
# The diagonal is what was just learned, below it is what was kept. Without the prior (both strengths zero), and with
# signs that nothing holds:

# %%
others = {
    "variational": None,
    "no prior": continual.BinaryVariational(**shared, learning_rate=0.1, first_strength=0.0, later_strength=0.0),
    "straight-through": continual.StraightThrough(**shared),
    "elastic, signs": continual.ElasticWeights(**shared, strength=800.0),
    "elastic, real weights": continual.ElasticWeights(**shared, binary=False, learning_rate=0.03, strength=100.0),
}
results = {}
with warnings.catch_warnings(action="ignore", category=uq.UqkitWarning):
    for name, other in others.items():
        results[name] = result if other is None else continual.learn(stream, method=other, key=0)


def final(name, estimate):
    values = results[name]["estimates"].to_dataset().isel(decoder=0)
    return float(values[estimate].values.ravel()[-1])


print(f"{'':22}  average  learned  backward transfer")
for name in results:
    numbers = [final(name, e) for e in ("average_accuracy", "learning_accuracy", "backward_transfer")]
    error = final(name, "average_accuracy_se")
    print(f"{name:22}  {numbers[0]:7.3f}  {numbers[1]:7.3f}  {numbers[2]:17.3f}   +- {error:.3f}")

# %% [markdown]
# All settings were chosen on held-out rows of five such tasks, from about ten a method. All learn each task while it is
# there; they differ in what they keep. Without a guard a network keeps little. Among networks of signs the posterior is
# ahead of elastic consolidation by a few points, about as much as a run differs from the next; that of real weights, 32
# bits each, is on a level with it. Several keys are needed to tell such methods apart, and a baseline that was not
# tuned tells nothing.
#
# ## Calibration
#
# Probabilities are averages over networks. After the last task, over all tasks:

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
continual.plot_calibration(result, ax=axes[0])
continual.plot_calibration(results["no prior"], ax=axes[1])
axes[1].set_title("without the prior")
plt.show()

# %% [markdown]
# On the diagonal, a confidence of 0.8 is right in 80% of cases. Forgotten tasks are predicted too confidently, the
# more so the less was kept.
#
# ## What the posterior looks like, and what its diagnosis says

# %%
continual.plot_weights(result)
plt.show()
diagnostics = result["diagnostics"].to_dataset()
print(diagnostics["verdict_text"].item())
print("mean of 1 - m^2, by task and layer:")
print(diagnostics["mean_variance"].to_pandas().round(3).to_string())

# %% [markdown]
# The last layer has few weights and sees every task: it is the first to be sure of most of its signs, and has the least
# room for more.
#
# ## One bit a weight
#
# `one_bit` packs the likelier signs; the file needs an eighth of a byte a weight and predicts the same.

# %%
learner = continual.restore(result, stream)
network = learner.one_bit()
x, label = stream.tasks[-1].test()
print(f"{network.n_weights:,} weights in {network.n_bytes:,} bytes")
print("same predictions:", np.array_equal(network.predict(x), learner.predict(x, decoder=continual.SignNetwork())))

# %% [markdown]
# A restored learner also goes on: `learner.update(task, key=...)` learns one more task.
#
# ## When not to use it
#
# Where weights may be real numbers, elastic consolidation or replay of old rows keeps more. Where tasks share a head
# but not their classes (`split_digits` with `a_head_a_task=False`), no method without replay keeps the old classes.
# Strengths and learning rate must be chosen on held-out rows, `stream.validation(key=...)`; the learning rate matters
# most.
