"""Tasks learned one after another by a network whose every weight is one bit, with a posterior over its sign.

    stream = uqkit.load("permuted_digits")
    result = learn(stream, method=BinaryVariational(widths=(128, 128), n_epochs=60), key=0)
    learner = restore(result)                          # predict, or go on with learner.update(task, key=1)

The posterior is a product over weights, the expectation a central-limit one, the strength of its memory a setting. Real
weights with elastic consolidation hold about as much at 32 times the size; what is gained here is one bit a weight,
calibrated predictions and a network that still learns the last task. For the perceptron `predict_teacher_student`
computes the whole matrix of accuracies, and `uqkit.continual.teacher_student` has the theory behind it.

Reference:
    Li, Huang, Zou & Huang (2023), Statistical mechanics of continual learning: variational principle and mean-field
    potential, Physical Review E 108, 014309.
"""

import importlib
from typing import TYPE_CHECKING, Any

from uqkit.continual.baselines import ElasticWeights, Metaplasticity, PublishedRule, StraightThrough
from uqkit.continual.binary_weights import SignBernoulli
from uqkit.continual.decoders import CentralLimit, FloatNetwork, SignNetwork, WeightDraws
from uqkit.continual.learner import Learner, begin
from uqkit.continual.methods import BinaryVariational
from uqkit.continual.one_bit import OneBitNetwork
from uqkit.continual.result import restore
from uqkit.continual.run import learn
from uqkit.continual.teacher import predict_teacher_student, simulate_teacher_student

if TYPE_CHECKING:
    from uqkit.continual.plots import plot_accuracy, plot_accuracy_matrix, plot_calibration, plot_transfer, plot_weights

__all__ = [
    "BinaryVariational",
    "CentralLimit",
    "ElasticWeights",
    "FloatNetwork",
    "Learner",
    "Metaplasticity",
    "OneBitNetwork",
    "PublishedRule",
    "SignBernoulli",
    "SignNetwork",
    "StraightThrough",
    "WeightDraws",
    "begin",
    "learn",
    "plot_accuracy",
    "plot_accuracy_matrix",
    "plot_calibration",
    "plot_transfer",
    "plot_weights",
    "predict_teacher_student",
    "restore",
    "simulate_teacher_student",
]


def __getattr__(name: str) -> Any:
    """Load the plots, and matplotlib with them, when they are first used."""
    if name.startswith("plot_") and name in __all__:
        return getattr(importlib.import_module("uqkit.continual.plots"), name)
    raise AttributeError(f"module 'uqkit.continual' has no attribute {name!r}")
