"""Five permutations of the digits: what the prior keeps, beside a baseline whose settings were chosen as carefully."""

import warnings

import numpy as np
import pytest

import uqkit as uq
from uqkit import UqkitWarning, continual

SHARED = {"widths": (128, 128), "n_epochs": 60, "batch_size": 64}


@pytest.fixture(scope="module")
def averages():
    """Final average accuracy of each method and its standard error."""
    methods = {
        "variational": continual.BinaryVariational(
            **SHARED, learning_rate=0.3, first_strength=0.03, later_strength=0.2
        ),
        "no prior": continual.BinaryVariational(**SHARED, learning_rate=0.1, first_strength=0.0, later_strength=0.0),
        # The best of seventeen settings on held-out rows.
        "elastic": continual.ElasticWeights(**SHARED, learning_rate=0.002, strength=800.0),
    }
    stream, found = uq.load("permuted_digits"), {}
    with warnings.catch_warnings(action="ignore", category=UqkitWarning):
        for name, method in methods.items():
            estimates = continual.learn(stream, method=method, key=0)["estimates"].to_dataset().isel(decoder=0)
            found[name] = [estimates[f"average_accuracy{end}"].values[-1] for end in ("", "_se")]
    return found


def lead(averages, other):
    return averages["variational"][0] - averages[other][0], np.hypot(averages["variational"][1], averages[other][1])


def test_the_prior_keeps_a_quarter_of_all_rows_more(averages):
    value, error = lead(averages, "no prior")
    assert error < 0.03
    assert value - 5 * error > 0.25


def test_one_bit_weights_with_a_posterior_keep_no_less_than_those_with_a_penalty(averages):
    value, error = lead(averages, "elastic")
    assert value > 0
    assert value + 5 * error > 0.04
