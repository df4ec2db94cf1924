"""Densities: what a sampler sees, precision, draws and references, and what is refused."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import uqkit as uq
from tests.callers import without_type_hook
from tests.inference.targets import assert_moments
from uqkit import Density, InputError
from uqkit.inference import NUTS
from uqkit.problems.target import TargetDensity
from uqkit.results import Reference
from uqkit.stats import GaussianMixture

MIXTURE = GaussianMixture.of(
    np.array([0.7, 0.3]),
    np.array([[0.0, 1.0], [2.0, -1.0]]),
    np.array([[[1.0, 0.3], [0.3, 0.5]], [[0.4, 0.0], [0.0, 1.0]]]),
)
KNOWN = Reference(values=(1.5,), kind="closed form", source="by hand")


def quartic(x):
    return -jnp.sum(x**4)


class Scaled(eqx.Module):
    """Its data are in double precision."""

    scale: np.ndarray

    def __call__(self, x):
        return -0.5 * jnp.sum((x / self.scale) ** 2)


def density(**changes):
    return Density(**({"name": "quartic", "coordinates": ("a", "b"), "log_density": quartic} | changes))


def test_a_density_is_a_target():
    some = density(coordinates={"a": "m", "b": "1"}, start=3.0)
    point = jnp.array([1.0, 2.0])
    assert isinstance(some, TargetDensity)
    assert some.n_dims == 2
    assert some.coordinates == {"a": "m", "b": "1"}
    assert float(some.log_density(point)) == float(some.log_likelihood(point)) == -17.0
    assert float(some.log_prior(point)) == 0.0
    assert {name: float(value) for name, value in some.constrain(point).items()} == {"a": 1.0, "b": 2.0}
    starts = jax.vmap(some.draw_prior)(jax.random.split(jax.random.key(0), 4_000))
    np.testing.assert_allclose(starts.std(axis=0), 3.0, rtol=0.06)  # 5 standard errors of 1 / sqrt(2 n)
    assert density().coordinates == {"a": "1", "b": "1"}


def test_a_start_may_be_a_function():
    some = density(start=lambda key: jnp.array([5.0, 6.0]))
    np.testing.assert_array_equal(some.draw_prior(jax.random.key(0)), [5.0, 6.0])


def test_a_sampler_takes_it():
    some = Density.of_mixture(
        GaussianMixture.of(np.ones(1), np.array([[1.0, -2.0]]), np.array([[[2.0, 0.5], [0.5, 1.0]]])),
        name="normal",
        coordinates=("a", "b"),
    )
    draws = NUTS(n_warmup=200, n_draws=500, n_chains=2).sample(some, key=0, progress=False, warn=False)
    assert_moments(draws.position, np.array([1.0, -2.0]), np.array([2.0, 1.0]), max_error=(0.15, 0.3))
    assert list(draws.quantities(some)) == ["a", "b"]


@pytest.mark.parametrize("function", [MIXTURE.log_density, Scaled(np.array([0.3, 0.7])), quartic])
def test_single_and_double_precision(function):
    some = density(log_density=function)
    point = np.array([0.3, -0.8])
    single = some.log_density(jnp.asarray(point, "float32"))
    assert single.dtype == jnp.float32
    with jax.enable_x64(True):
        double = some.log_density(jnp.asarray(point))
        assert double.dtype == jnp.float64
        assert some.log_density(jnp.asarray(point, "float32")).dtype == jnp.float32
        gradient = jax.grad(some.log_density)(jnp.asarray(point))
    assert float(single) == pytest.approx(float(double), rel=1e-5)
    np.testing.assert_allclose(jax.grad(some.log_density)(jnp.asarray(point, "float32")), gradient, rtol=1e-4)
    compiled = eqx.filter_jit(lambda some, x: some.log_density(x))(some, jnp.asarray(point, "float32"))
    assert float(compiled) == pytest.approx(float(single), rel=1e-5)


def test_arrays_of_a_density_are_traced():
    """Other data of the same shapes are no other program."""
    n_traces = 0

    @eqx.filter_jit
    def value(some, x):
        nonlocal n_traces
        n_traces += 1
        return some.log_density(x)

    point = jnp.ones(2)
    first = value(density(log_density=Scaled(np.array([1.0, 1.0]))), point)
    second = value(density(log_density=Scaled(np.array([2.0, 2.0]))), point)
    assert (float(first), float(second), n_traces) == (-1.0, -0.25, 1)


def test_draws_are_in_double_precision_and_the_keys_own():
    some = density(mixture=MIXTURE, log_density=None)
    assert some.draw is not None
    draws = some.draw(5, key=0)
    assert draws.shape == (5, 2)
    assert draws.dtype == np.float64
    assert np.any(draws != draws.astype("float32"))
    np.testing.assert_array_equal(draws, some.draw(5, key=jax.random.key(0)))
    assert np.any(draws != some.draw(5, key=1))
    own = density(draw=lambda n, *, key: jax.random.uniform(key, (n, 2)), mixture=MIXTURE)
    assert own.draw is not None
    assert own.draw(100, key=0).min() > 0
    assert density().draw is None
    with pytest.raises(InputError, match="n=0 draws of 'quartic'; pass at least 1"):
        some.draw(0, key=0)


def test_references_of_a_mixture():
    some = Density.of_mixture(MIXTURE, name="two", coordinates=("a", "b"), powers=(1, 2), references={"other": KNOWN})
    known = some.references
    names = {"log_normalizer", "mean", "variance"}
    assert set(known) == names | {f"{name}_power_2" for name in names} | {"other"}
    assert known["other"] == KNOWN
    assert known["log_normalizer"].values == (0.0,)
    log_integral, raised = MIXTURE.power(2)
    assert known["log_normalizer_power_2"].values == (log_integral,)
    mean, covariance = raised.moments()
    np.testing.assert_allclose(known["mean_power_2"].values, mean)
    np.testing.assert_allclose(known["variance_power_2"].values, np.diag(covariance))


def test_references_of_several_dimensions_are_kept():
    values: Any = [[1.0, 2.0], [3.0, 4.0]]
    with without_type_hook():
        some = density(references={"covariance": Reference(values=values, kind="published", source="a table")})
    assert some.references["covariance"].values == ((1.0, 2.0), (3.0, 4.0))


def test_what_it_looks_like():
    assert repr(density()) == "Density(quartic, 2 coordinates: a, b)"
    some = Density(
        name="six",
        coordinates=[f"x{i}" for i in range(6)],
        log_density=quartic,
        draw=quartic,
        references={"one": KNOWN},
    )
    assert repr(some) == "Density(six, 6 coordinates: x0, x1, ..., x5; exact draws; 1 reference)"
    assert "mixture of 2; exact draws" in repr(density(mixture=MIXTURE))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "`name` is ''; pass a text"),
        ({"log_density": None}, "neither `log_density` nor `mixture`"),
        ({"log_density": 3.0}, "`log_density` is 3.0, which cannot be called"),
        ({"log_density": lambda x: x}, r"returns .*at a point of shape \(2,\); it must return one real number"),
        ({"log_density": lambda x: 1}, "must return one real number"),
        ({"log_density": lambda x: 0.0 if x[0] > 0 else 1.0}, "is not written in JAX .*jnp.where in place of `if`"),
        ({"log_density": lambda x: np.sin(x).sum()}, "is not written in JAX"),
        ({"mixture": "two"}, r"`mixture` is a str; pass uqkit.stats.GaussianMixture.of"),
        ({"mixture": MIXTURE, "coordinates": ("a", "b", "c")}, "has 2 dimensions but `coordinates` names 3"),
        ({"draw": 3}, "`draw` is 3, which cannot be called"),
        ({"coordinates": "ab"}, "`coordinates` is 'ab'; pass name -> unit"),
        ({"coordinates": ()}, "pass name -> unit, or the names"),
        ({"coordinates": ("a", "a")}, "has the name 'a'; pass texts that differ"),
        ({"coordinates": ("a", "draw")}, "has the name 'draw'; .*chain, draw"),
        ({"coordinates": {"a": 1, "b": "m"}}, "has the unit 1; pass a text"),
        ({"references": {"mean": 3.0}}, "reference 'mean' is 3.0; pass a uqkit.Reference"),
        ({"start": 0.0}, "`start` is 0.0; pass a standard deviation above zero"),
        ({"start": "prior"}, "`start` is 'prior'; pass a standard deviation"),
    ],
)
def test_what_cannot_be_used_is_refused(changes, message):
    with without_type_hook(), pytest.raises(InputError, match=message):
        density(**changes)


def test_a_workflow_that_wants_a_model_says_so():
    with without_type_hook(), pytest.raises(InputError, match="the problem is a Density; pass a uqkit.ForwardModel"):
        uq.sensitivity.sobol_indices(density(), budget=100, key=0)  # pyright: ignore[reportArgumentType]
    with without_type_hook(), pytest.raises(InputError, match="Density"):
        uq.pinn.infer(density(), key=0)  # pyright: ignore[reportArgumentType]
