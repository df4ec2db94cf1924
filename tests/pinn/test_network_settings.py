"""Settings of networks as fields: every mistake is named before anything is trained."""

import jax
import numpy as np
import pytest

from tests.callers import without_type_hook
from uqkit import InputError
from uqkit.nn import MLP, GatedMLP, SwishUnit
from uqkit.pinn.network import Network, TrainedFeatures
from uqkit.problems import BoundaryValueProblem, Box, Constraint, Integrated

BOX = Box(x=(0.0, 1.0), t=(0.0, 2.0))
PROBLEM = BoundaryValueProblem(
    name="plate",
    domain=BOX,
    outputs={"u": "K", "v": "K"},
    constraints=(
        Constraint(name="law", operator=lambda u, v: u.value + v.value, points=BOX.interior, noise=Integrated(0.1)),
    ),
)


@pytest.fixture(autouse=True)
def _as_users_call():
    with without_type_hook():
        yield


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": (20, 20)}, r"`architecture` is \(20, 20\); pass MLP\(...\) or GatedMLP\(...\) of uqkit.nn"),
        ({"architecture": MLP}, r"`architecture` is <class.*MLP'>; pass MLP\(...\)"),
        (
            {"architecture": MLP(activation=lambda x: x)},
            r"which a result cannot write down; use TanhUnit\(\), SineUnit\(\) or SwishUnit\(\) as its activation",
        ),
        ({"architecture": GatedMLP(activation=jax.numpy.tanh)}, r"which a result cannot write down"),
        ({"amplitude": 0.0}, r"amplitude=0.0: pass finite numbers above zero"),
        ({"amplitude": np.inf}, r"amplitude=inf: pass finite numbers above zero"),
        ({"amplitude": {"u": 1.0, "v": -2.0}}, r"amplitude=\{'u': 1.0, 'v': -2.0\}: pass finite numbers above zero"),
        ({"amplitude": {"u": np.nan}}, r"amplitude=\{'u': nan\}: pass finite numbers above zero"),
    ],
)
def test_networks_that_cannot_be(settings, message):
    with pytest.raises(InputError, match=message):
        Network(**settings)


@pytest.mark.parametrize(
    ("amplitude", "message"),
    [
        ({"u": 1.0}, r"`amplitude` names u; name the outputs u, v"),
        ({"u": 1.0, "v": 1.0, "w": 1.0}, r"`amplitude` names u, v, w; name the outputs u, v"),
    ],
)
def test_amplitudes_name_the_outputs(amplitude, message):
    with pytest.raises(InputError, match=message):
        Network(amplitude=amplitude).build(PROBLEM, key=jax.random.key(0))


def test_amplitudes_in_any_order():
    network = Network(architecture=MLP(widths=(3,), activation=SwishUnit()), amplitude={"v": 2.0, "u": 3.0})
    assert network.build(PROBLEM, key=jax.random.key(0)).amplitude == (3.0, 2.0)


@pytest.mark.parametrize("settings", [{"network": MLP()}, {"training": 300}])
def test_trained_features_that_cannot_be(settings):
    with pytest.raises(InputError, match=r"pass network=Network\(...\) and training=LevenbergMarquardt\(...\)"):
        TrainedFeatures(**settings)
