"""Estimates beside their references: differences in standard errors, worked out by hand."""

import numpy as np
import pytest
import xarray as xr

from uqkit import Reference
from uqkit.results import Provenance, build, compare

PROVENANCE = Provenance(workflow="w", problem="p", method={}, key="0", n_model_evaluations=1, wall_time=0.1)
LABELS = {"units": "1", "long_name": "made for the test"}


def result():
    estimates = xr.Dataset(
        {
            "sobol_first": (("output", "input"), np.array([[0.30, 0.50, 0.0], [9.0, 9.0, 9.0]]), LABELS),
            "sobol_first_se": (("output", "input"), np.array([[0.04, 0.01, 0.0], [1.0, 1.0, 1.0]]), LABELS),
            "output_mean": (("output",), np.array([2.0, 5.0]), LABELS),
            "output_mean_se": (("output",), np.array([0.0, 0.5]), LABELS),
        },
        coords={"input": ["a", "b", "c"], "output": ["y", "z"]},
    )
    return build({"estimates": estimates}, PROVENANCE)


def reference(*values, **settings):
    return Reference(values=values, kind="closed form", source="by hand", **settings)


def test_differences_in_standard_errors():
    table = compare(result(), {"sobol_first": reference(0.38, 0.48, 0.0, standard_error=0.03)})
    assert table["of"].tolist() == ["a", "b", "c"]
    # (0.30 - 0.38) / hypot(0.04, 0.03) and (0.50 - 0.48) / hypot(0.01, 0.03)
    np.testing.assert_allclose(table["z"], [-1.6, 0.02 / 0.001**0.5, 0.0])
    assert table["reference"].tolist() == [0.38, 0.48, 0.0]
    assert table["standard_error"].tolist() == [0.04, 0.01, 0.0]
    assert table["value"].tolist() == [0.30, 0.50, 0.0]


def test_no_error_at_all():
    table = compare(result(), {"sobol_first": reference(0.3, 0.5, 0.1)})
    np.testing.assert_array_equal(table["z"], [0.0, 0.0, -np.inf])


def test_the_reference_chooses_the_output():
    table = compare(result(), {"output_mean": reference(4.0, output="z")})
    assert len(table) == 1
    assert table["value"].tolist() == [5.0]
    assert table["z"].tolist() == pytest.approx([2.0])


def test_references_the_result_does_not_have_are_passed_over():
    references = {"sobol_total": reference(1.0, 1.0, 1.0), "output_mean": reference(2.0)}
    table = compare(result(), references)
    assert table["estimate"].tolist() == ["output_mean"]
    assert table["z"].tolist() == [0.0]
