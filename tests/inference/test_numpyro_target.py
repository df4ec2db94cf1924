"""A NumPyro model as a target: the split of its density, its coordinates, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.distributions import constraints
from numpyro.infer.util import potential_energy

from uqkit.errors import InputError
from uqkit.inference import HMC, NumpyroTarget
from uqkit.problems.target import TargetDensity


def regression(design, observed, n_groups, *, noise=0.5):
    scale = numpyro.sample("scale", dist.HalfNormal(2.0))
    with numpyro.plate("groups", n_groups):
        level = numpyro.sample("level", dist.Normal(0.0, scale))
    share = numpyro.sample("share", dist.Dirichlet(jnp.ones(3)))
    top = numpyro.sample("top", dist.Uniform(0.0, 1.0 + scale))
    numpyro.deterministic("sum", jnp.sum(jnp.asarray(level)) + top)
    numpyro.factor("penalty", -jnp.sum(share**2))
    with handlers.scale(scale=3.0):
        numpyro.sample("observed", dist.Normal(design @ level + top, noise), obs=observed)


DESIGN, OBSERVED = np.arange(8.0).reshape(4, 2), np.array([0.0, 1.0, 3.0, 4.0])


@pytest.fixture
def target():
    return NumpyroTarget.of(regression, DESIGN, OBSERVED, 2, key=0, noise=0.7)


def test_the_density_is_numpyros(target):
    as_protocol: object = target
    assert isinstance(as_protocol, TargetDensity)
    assert target.n_dims == 1 + 2 + 2 + 1
    with jax.enable_x64(True):
        for key in jax.random.split(jax.random.key(0), 3):
            position = jax.random.normal(key, (6,))
            params = {
                "scale": position[0],
                "level": position[1:3],
                "share": position[3:5],
                "top": position[5],
            }
            theirs = -potential_energy(regression, (DESIGN, OBSERVED, 2), {"noise": 0.7}, params)
            ours = target.log_prior(position) + target.log_likelihood(position)
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)
            named = target.constrain(position)
            residual = (OBSERVED - DESIGN @ named["level"] - named["top"]) / 0.7
            normal = -0.5 * residual**2 - np.log(0.7) - 0.5 * np.log(2 * np.pi)
            likelihood = 3.0 * normal.sum() - (named["share"] ** 2).sum()
            np.testing.assert_allclose(target.log_likelihood(position), likelihood, rtol=1e-12)
            np.testing.assert_allclose(target.unconstrain(named), position, rtol=1e-8)
            np.testing.assert_allclose(named["sum"], named["level"].sum() + named["top"])


def test_draws_of_the_prior(target):
    with jax.enable_x64(True):
        position = jax.vmap(target.draw_prior)(jax.random.split(jax.random.key(0), 4_000))
        named = {name: np.asarray(value) for name, value in jax.vmap(target.constrain)(position).items()}
    assert position.dtype == np.float64
    error = np.sqrt(4.0 * (1 - 2 / np.pi) / 4_000)
    assert abs(named["scale"].mean() - 2.0 * np.sqrt(2 / np.pi)) < 5 * error
    np.testing.assert_allclose(named["share"].mean(axis=0), 1 / 3, atol=5 * np.sqrt(1 / 18 / 4_000))


def test_data_are_leaves_and_the_rest_is_the_model(target):
    leaves = [leaf for leaf in jax.tree.leaves(target) if isinstance(leaf, jax.Array)]
    assert {leaf.shape for leaf in leaves} == {(4, 2), (4,), ()}  # the noise and the key are scalars
    moved = target.with_data(DESIGN, OBSERVED + 1.0, 2, noise=0.7)
    assert jax.tree.structure(moved) == jax.tree.structure(target)
    wider = target.with_data(np.ones((4, 3)), OBSERVED, 3, noise=0.7)
    assert wider.n_dims == 7


def test_a_subsampled_plate_keeps_one_subset():
    def model(observed):
        mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
        with numpyro.plate("rows", 100, subsample_size=10) as rows:
            numpyro.sample("observed", dist.Normal(mean, 1.0), obs=observed[rows])

    observed = np.arange(100.0)
    target = NumpyroTarget.of(model, observed, key=0)
    with jax.enable_x64(True):
        position = jnp.array([0.3])
        first, again = target.log_likelihood(position), target.log_likelihood(position)
        sites = handlers.trace(handlers.substitute(handlers.seed(model, jax.random.key(0)), {"mean": jnp.asarray(0.3)}))
        rows = np.asarray(sites.get_trace(observed)["rows"]["value"])
        expected = 10 * np.sum(-0.5 * (observed[rows] - 0.3) ** 2 - 0.5 * np.log(2 * np.pi))
    assert first == again
    np.testing.assert_allclose(first, expected, rtol=1e-12)
    other = NumpyroTarget.of(model, observed, key=1)
    with jax.enable_x64(True):
        assert other.log_likelihood(position) != first


def test_models_that_cannot_be_sampled():
    def discrete():
        numpyro.sample("count", dist.Poisson(3.0))

    def nothing(observed):
        numpyro.sample("observed", dist.Normal(0.0, 1.0), obs=observed)

    def free():
        scale = numpyro.param("scale", 1.0, constraint=constraints.positive)
        numpyro.sample("x", dist.Normal(0.0, scale))

    for model, arguments, message in (
        (discrete, (), r"discrete latent sites \(count\).*sum them out"),
        (nothing, (np.ones(2),), "no latent site"),
        (free, (), r"`numpyro.param` sites \(scale\)"),
    ):
        with pytest.raises(InputError, match=message):
            NumpyroTarget.of(model, *arguments, key=0)


def improper(observed):
    mean = numpyro.sample("mean", dist.ImproperUniform(constraints.real, (), ()))
    numpyro.sample("observed", dist.Normal(mean, 1.0), obs=observed)


def test_an_improper_prior_needs_starts():
    target = NumpyroTarget.of(improper, np.array([1.0, 3.0]), key=0)
    with pytest.raises(InputError, match="`initial=`"):
        HMC(n_leapfrog=5).sample(target, key=0)
    draws = HMC(n_leapfrog=5).sample(target, key=0, initial=np.array([[-1.0], [0.0], [1.0], [2.0]]))
    assert abs(draws.position.mean() - 2.0) < 5 * np.sqrt(0.5 / draws.ess_bulk[0])


def test_values_of_all_latent_sites_are_needed(target):
    with pytest.raises(InputError, match="lacks share, top"):
        target.unconstrain({"scale": 1.0, "level": np.zeros(2)})
