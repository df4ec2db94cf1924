"""The example objectives that BoTorch has too: equal values, domains, directions, optima and reference points."""

import numpy as np
import pytest
import torch
from botorch.test_functions import Ackley, Branin, BraninCurrin, Hartmann, Michalewicz

import uqkit as uq

PAIRS = [
    ("branin", Branin, {}, 1e-6),
    ("hartmann_6", Hartmann, {"dim": 6}, 1e-6),
    ("ackley_10", Ackley, {"dim": 10}, 0.0),
    ("michalewicz_5", Michalewicz, {"dim": 5}, 1e-6),
    ("branin_currin", BraninCurrin, {}, 0.0),
]


@pytest.fixture
def double_precision():
    """BoTorch makes the constants of Hartmann's function in torch's default precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.double)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize(("name", "kind", "settings", "digits"), PAIRS, ids=[name for name, *_ in PAIRS])
def test_botorch_has_the_same(name, kind, settings, digits):
    theirs = kind(**settings)
    ours = uq.load(name)
    np.testing.assert_array_equal(ours.bounds, theirs.bounds.numpy())
    points = ours.inputs.sample(200, key=0)
    expected = theirs(torch.from_numpy(points)).numpy().reshape(200, -1)
    np.testing.assert_allclose(ours.forward.run(points), expected, rtol=1e-10, atol=1e-13)
    assert not any(ours.maximise.values())
    assert ours.best is not None
    several = len(ours.maximise) > 1
    best = theirs.max_hv if several else theirs.optimal_value
    assert ours.best.values[0] == pytest.approx(best, rel=digits, abs=1e-12)
    if several:
        assert list(ours.reference_point.values()) == theirs.ref_point.tolist()
