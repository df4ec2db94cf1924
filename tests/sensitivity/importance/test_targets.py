"""Laws in the coordinates of the sampler: densities that integrate to one, and laws the inputs cannot speak for."""

import numpy as np
import pytest
from scipy import stats

import uqkit as uq
from tests.statistical import assert_within_error
from uqkit.sensitivity import Physical, StandardNormal
from uqkit.sensitivity.importance import Law

INPUTS = uq.Inputs(
    {"load": stats.lognorm(0.5, scale=2.0), "width": stats.uniform(0.0, 1.0), "depth": stats.norm(5.0, 2.0)}
)
LAWS = {
    "shifted": uq.Inputs(
        {"load": stats.lognorm(0.4, scale=2.3), "width": stats.beta(2, 2), "depth": stats.norm(5.5, 1.5)}
    ),
    "dependent": uq.Inputs(
        {"load": stats.lognorm(0.5, scale=2.0), "width": stats.uniform(0.1, 0.8), "depth": stats.norm(5.0, 2.0)},
        copula=uq.GaussianCopula({("load", "depth"): 0.6, ("width", "depth"): -0.3}),
    ),
}
every_coordinates = pytest.mark.parametrize("coordinates", [StandardNormal(), Physical()], ids=["normal", "physical"])


def unit(n_draws, dim=3):
    return np.random.default_rng(0).random((n_draws, dim)) + 2.0**-54


@every_coordinates
def test_ratios_of_laws_have_mean_one_under_the_inputs_law(coordinates):
    (nominal,) = coordinates.laws(INPUTS, None)
    x = nominal.from_unit(unit(40_000))
    for law in coordinates.laws(INPUTS, LAWS):
        ratio = np.exp(law.log_density(x) - nominal.log_density(x))
        assert_within_error(ratio.mean(), ratio.std() / 200, 1.0, max_error=0.02)
        # A density without the Jacobian's constant is told from a right one.
        with pytest.raises(AssertionError):
            assert_within_error(1.2 * ratio.mean(), 1.2 * ratio.std() / 200, 1.0, max_error=0.02)


@every_coordinates
def test_weighted_draws_have_the_means_of_the_law(coordinates):
    (nominal,) = coordinates.laws(INPUTS, None)
    x = nominal.from_unit(unit(40_000))
    physical = coordinates.to_physical(INPUTS, x)
    means = {"shifted": [2.3 * np.exp(0.08), 0.5, 5.5], "dependent": [2.0 * np.exp(0.125), 0.5, 5.0]}
    for (name, known), law in zip(means.items(), coordinates.laws(INPUTS, LAWS), strict=True):
        weight = np.exp(law.log_density(x) - nominal.log_density(x))
        values = weight[:, None] * physical
        assert_within_error(values.mean(axis=0), values.std(axis=0) / 200, np.array(known), max_error=0.15)
        assert name in LAWS


@every_coordinates
def test_draws_are_those_of_the_law(coordinates):
    for law, given in zip(coordinates.laws(INPUTS, LAWS), LAWS.values(), strict=True):
        physical = coordinates.to_physical(INPUTS, law.from_unit(unit(500)))
        np.testing.assert_allclose(physical, given.from_unit(unit(500)), rtol=1e-9)


def test_normal_coordinates_of_the_inputs_own_law_are_standard():
    for inputs in (INPUTS, LAWS["dependent"]):
        (plain,) = StandardNormal().laws(inputs, None)
        (same,) = StandardNormal().laws(inputs, {"same": inputs})
        x = plain.from_unit(unit(200))
        np.testing.assert_allclose(plain.log_density(x), stats.norm.logpdf(x).sum(axis=1), rtol=1e-12)
        np.testing.assert_allclose(same.log_density(x), plain.log_density(x), rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "law"),
    [
        ("width", {"load": stats.lognorm(0.5), "width": stats.uniform(0.0, 1.2), "depth": stats.norm()}),
        ("load", {"load": stats.norm(0.0, 1.0), "width": stats.uniform(0.0, 1.0), "depth": stats.norm()}),
    ],
)
def test_a_law_without_support_in_the_inputs_is_named(name, law):
    (wider,) = StandardNormal().laws(INPUTS, {"wider": uq.Inputs(law)})
    with pytest.raises(uq.InputError, match=f"law 'wider' puts '{name}' where the law of `inputs` has no mass"):
        wider.from_unit(unit(200))


def test_law_is_what_both_coordinates_give():
    for coordinates in (StandardNormal(), Physical()):
        assert all(isinstance(law, Law) for law in coordinates.laws(INPUTS, LAWS))
