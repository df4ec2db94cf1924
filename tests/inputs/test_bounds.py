import numpy as np
import pytest

from uqkit.errors import InputError
from uqkit.inputs import as_inputs


class Tensor:
    """Stands for a torch tensor: a shape, and a conversion to NumPy."""

    def __init__(self, values):
        self.values = np.asarray(values)
        self.shape = self.values.shape

    def __array__(self, dtype=None, copy=None):
        return self.values.astype(dtype)


@pytest.mark.parametrize("kind", [np.array, Tensor])
def test_botorch_bounds_are_uniform_laws(kind):
    inputs = as_inputs(kind([[0, -5, 1e3], [1, 5, 1e4]]))
    assert inputs.names == ("x1", "x2", "x3")
    assert [marginal.support for marginal in inputs.marginals.values()] == [(0, 1), (-5, 5), (1e3, 1e4)]


@pytest.mark.parametrize("bounds", [[[0.0, 1.0]], [[0.0, 1.0], [1.0, 1.0]], [[0.0], [1.0], [2.0]]])
def test_what_are_no_bounds_is_refused(bounds):
    with pytest.raises(InputError, match=r"bounds have the shape \(2, d\)"):
        as_inputs(np.array(bounds))
