"""The Bayes-optimal curve against published constants."""

import numpy as np
import pytest

from uqkit import InputError
from uqkit.continual.teacher_student import bayes_optimal, spinodal_load, transition_load


def test_the_transition_and_the_spinodal_are_the_known_ones():
    # Gyorgyi (1990): 1.245; Sompolinsky, Tishby & Seung (1990): 1.493; digits beyond by an independent trapezoid code.
    assert transition_load() == pytest.approx(1.244684, abs=1e-5)
    assert spinodal_load() == pytest.approx(1.49263, abs=1e-4)


@pytest.mark.parametrize(
    ("load", "overlap", "entropy"), [(0.5, 0.293089, 0.372133), (1.0, 0.560715, 0.106108), (1.2, 0.668661, 0.017965)]
)
def test_overlap_and_entropy_along_the_curve(load, overlap, entropy):
    found = bayes_optimal(load)
    assert found.load == pytest.approx(load, abs=1e-10)
    assert found.overlap == pytest.approx(overlap, abs=1e-6)
    assert found.free_entropy == pytest.approx(entropy, abs=1e-6)


def test_errors_at_the_transition():
    found = bayes_optimal(transition_load())
    assert found.overlap == pytest.approx(0.69376, abs=1e-5)
    assert found.gibbs_error == pytest.approx(0.25595, abs=1e-5)
    assert found.bayes_error == pytest.approx(0.18667, abs=1e-5)


def test_overlaps_satisfy_their_equation_for_draws():
    # An independent quadrature: normal draws by quantiles.
    found = bayes_optimal(0.9)
    from scipy.special import ndtri

    z = ndtri((np.arange(200_000) + 0.5) / 200_000)
    assert np.tanh(np.sqrt(found.conjugate) * z + found.conjugate).mean() == pytest.approx(found.overlap, abs=1e-5)


@pytest.mark.parametrize("load", [0.0, -1.0, 1.5, np.inf])
def test_loads_without_a_smooth_branch_are_refused(load):
    with pytest.raises(InputError, match=r"below 1\.49263"):
        bayes_optimal(load)
