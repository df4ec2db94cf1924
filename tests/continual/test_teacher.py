"""Theory and simulation as results."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import uqkit as uq
from uqkit import InputError, continual


def test_theory_and_simulation_are_drawn_on_one_axes_and_agree(tmp_path):
    mpl.use("agg")
    theory = continual.predict_teacher_student((0.8, 1.0), similarity=0.5)
    run = continual.simulate_teacher_student((0.8, 1.0), similarity=0.5, n_inputs=501, n_seeds=4, key=0)
    predicted, found = (each["estimates"].to_dataset() for each in (theory, run))
    difference = np.abs(found["accuracy"].values - predicted["accuracy"].values)[np.tril_indices(2)]
    # Half the weights of the figures elsewhere, and half the seeds.
    assert difference.max() < 0.03
    ax = continual.plot_accuracy(run, theory=theory, decoder="sign")
    assert ax.get_title() == "teacher and student, simulation, sign; lines: theory"
    plt.close("all")
    loaded = uq.results.load(uq.results.save(run, tmp_path / "run.nc"))
    np.testing.assert_array_equal(loaded["theory"]["overlap"], run["theory"]["overlap"])
    with pytest.raises(InputError, match="the result is a theory's"):
        continual.restore(theory)
    with pytest.raises(InputError, match="n_seeds=1"):
        continual.simulate_teacher_student((1.0,), n_seeds=1, key=0)
    with pytest.raises(InputError, match="no bins of confidence"):
        continual.plot_calibration(run)
