"""Forward models: how each kind of function is called, and in what precision."""

import functools
import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from uqkit import ForwardModel, InputError

INPUTS = {"a": dist.Uniform(0.0, 1.0), "b": dist.Uniform(0.0, 1.0)}
POINTS = np.random.default_rng(0).random((7, 2))


def known(points=POINTS):
    return np.exp(points[:, :1]) * np.sin(points[:, 1:]) / 3


def in_jax(x):
    return jnp.exp(x[0]) * jnp.sin(x[1]) / 3


def in_numpy(x):
    assert type(x) is np.ndarray
    assert x.shape == (2,)
    return np.exp(x[0]) * np.sin(x[1]) / 3


def of_a_batch(x):
    assert type(x) is np.ndarray
    return np.exp(x[:, 0]) * np.sin(x[:, 1]) / 3


def by_name(*, a, b):
    return jnp.exp(a) * jnp.sin(b) / 3


def by_name_in_python(a, b):
    return math.exp(a) * math.sin(b) / 3


def scaled(scale, x):
    return jnp.exp(x[0]) * jnp.sin(x[1]) / scale


class Simulator:
    def __init__(self, scale):
        self.scale = scale

    def solve(self, x):
        return self.helped(x) / self.scale

    def helped(self, x):
        return math.exp(x[0]) * math.sin(x[1])

    __call__ = solve


class InheritedSimulator(Simulator):
    """Callable by what it inherits."""


@pytest.mark.parametrize(
    ("function", "takes", "is_jax"),
    [
        (in_jax, "point", True),
        (jax.jit(in_jax), "point", True),
        (functools.partial(scaled, 3.0), "point", True),
        (lambda x: in_jax(x), "point", True),
        (by_name, "named", True),
        (in_numpy, "point", False),
        (by_name_in_python, "named", False),
        (functools.partial(by_name_in_python), "named", False),
        (Simulator(3.0).solve, "point", False),
        (Simulator(3.0), "point", False),
        (InheritedSimulator(3.0), "point", False),
        (of_a_batch, "batch", False),
        (lambda x: jnp.exp(x[:, 0]) * jnp.sin(x[:, 1]) / 3, "batch", False),
    ],
)
def test_values_in_double_precision_whatever_the_function(function, takes, is_jax):
    model = ForwardModel(function, inputs=INPUTS, takes=takes)
    assert model.is_jax == is_jax
    assert not jax.config.jax_enable_x64
    values = model.run(POINTS)
    assert not jax.config.jax_enable_x64
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, known(), rtol=1e-12)


def test_jit_says_outright_that_a_function_is_jax():
    # Nothing in the body refers to JAX.
    plain = ForwardModel(lambda x: x[0] * x[1], inputs=INPUTS)
    jitted = ForwardModel(jax.jit(lambda x: x[0] * x[1]), inputs=INPUTS)
    assert not plain.is_jax
    assert jitted.is_jax
    np.testing.assert_array_equal(plain.run(POINTS), jitted.run(POINTS))


def test_the_function_is_read_but_not_called():
    def in_jax_never(x):
        raise AssertionError(f"called with {jnp.shape(x)}")

    def in_numpy_never(x):
        raise AssertionError(f"called with {np.shape(x)}")

    for function, is_jax in ((in_jax_never, True), (in_numpy_never, False), (jax.jit(in_numpy_never), True)):
        model = ForwardModel(function, inputs=INPUTS)
        assert model.is_jax == is_jax
        assert model.version
        assert model.name in repr(model)


def test_a_numpy_function_is_looped_and_called_once_a_point():
    calls = []

    def counted(x):
        calls.append(x.copy())
        return x.sum()

    model = ForwardModel(counted, inputs=INPUTS)
    assert not model.is_jax
    assert model.points_per_call == 1
    model.run(POINTS)
    np.testing.assert_array_equal(calls, POINTS)


def test_a_jax_function_is_traced_not_looped():
    calls = []

    def counted(x):
        calls.append(1)
        return jnp.sum(x)

    model = ForwardModel(counted, inputs=INPUTS, batch_size=64)
    assert model.points_per_call == 64
    model.run(POINTS)
    model.run(POINTS[::-1].copy())
    assert len(calls) < len(POINTS)


def test_jax_seen_through_a_helper_of_the_same_module():
    def helped(x):
        return in_jax(x)

    assert ForwardModel(helped, inputs=INPUTS).is_jax


def test_names():
    assert ForwardModel(in_numpy, inputs=INPUTS).name == "in_numpy"
    assert ForwardModel(lambda x: x[0], inputs=INPUTS).name == "model"
    assert ForwardModel(Simulator(1.0), inputs=INPUTS).name == "model"
    assert ForwardModel(in_numpy, inputs=INPUTS, name="mine").name == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"function": 3}, "the model is 3, which cannot be called"),
        ({"batch_size": 0}, "`batch_size` is 0; pass at least 1"),
        ({"inputs": {"a b": dist.Uniform(0.0, 1.0)}, "takes": "named"}, "inputs 'a b' cannot be keyword arguments"),
        ({"inputs": {}}, "no inputs given"),
        ({"inputs": {"a": 1.0}}, "input 'a': expected a NumPyro or SciPy distribution"),
        ({"outputs": "y"}, r"`outputs` is the text 'y'; pass a sequence of names, \('y',\)"),
        ({"outputs": ()}, "pass at least one name"),
    ],
)
def test_wrong_arguments(arguments, message):
    given = {"function": in_numpy, "inputs": INPUTS} | arguments
    # A wrong type would be stopped by the suite's type hook, so what is called is what the hook wraps.
    construct = inspect.unwrap(ForwardModel.__init__)
    with pytest.raises(InputError, match=message):
        construct(object.__new__(ForwardModel), given.pop("function"), **given)
