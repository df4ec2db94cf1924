"""The example densities: references computed again, symmetries, exact draws, and what is refused."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from arviz_stats.base.array import array_stats
from scipy import integrate, optimize, special, stats
from scipy.spatial.distance import pdist

import uqkit as uq
from models.densities import double_well_4, gaussian_shards, inverse_problem, lennard_jones_13
from tests.statistical import assert_within_error
from uqkit import InputError
from uqkit.inference import NUTS
from uqkit.problems.target import TargetDensity

# SciPy's stubs take the shape for a number, all frozen laws for discrete ones, and sums for pairs.
multivariate_normal: Any = stats.multivariate_normal
normal: Any = stats.norm
logsumexp: Any = special.logsumexp
mcse: Any = array_stats.mcse

NAMES = [entry.name for entry in uq.catalogue() if entry.folder == "densities"]
PARTICLES = {"double_well_4": (double_well_4, 4, 2), "lennard_jones_13": (lennard_jones_13, 13, 3)}


def known(density, name):
    return np.asarray(density.references[name].values)


def log_density(density, points):
    with jax.enable_x64(True):
        return np.asarray(jax.jit(jax.vmap(lambda x: density.log_density(x)))(jnp.asarray(points)))


def starts(density, n):
    with jax.enable_x64(True):
        return np.asarray(jax.vmap(density.draw_prior)(jax.random.split(jax.random.key(0), n)), dtype=float)


def grid(half_width, n):
    """Points of a square, and the area of each."""
    axis = np.linspace(-half_width, half_width, n)
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2), (axis[1] - axis[0]) ** 2


def test_all_are_there():
    assert set(NAMES) == {
        "double_well_4",
        "eight_modes",
        "four_modes",
        "funnel",
        "gaussian_shards",
        "gmm_40",
        "inverse_problem",
        "lennard_jones_13",
        "many_well_32",
    }


@pytest.mark.parametrize("name", NAMES)
def test_they_are_targets_finite_at_their_starts_in_both_precisions(name):
    density = uq.load(name)
    assert all(isinstance(density, kind) for kind in (uq.Density, TargetDensity))
    points = starts(density, 8)
    double = log_density(density, points)
    single = jax.jit(jax.vmap(lambda x: density.log_density(x)))(jnp.asarray(points, "float32"))
    assert double.dtype == np.float64
    assert single.dtype == jnp.float32
    assert np.isfinite(double).all()
    np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-3)
    for reference in density.references.values():
        assert np.isfinite(reference.values).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in PARTICLES and name != "funnel"])
def test_draws_have_the_mean_and_variance_of_the_references(name):
    density = uq.load(name)
    assert density.draw is not None
    draws = density.draw(4_000, key=0)
    squares = (draws - known(density, "mean")) ** 2
    for values, truth in ((draws, known(density, "mean")), (squares, known(density, "variance"))):
        assert_within_error(
            values.mean(axis=0),
            values.std(axis=0) / np.sqrt(len(draws)),
            truth,
            max_error=0.05 * max(1.0, *known(density, "variance")),
        )
    wrong = known(density, "variance") * 1.3
    with pytest.raises(AssertionError):
        assert_within_error(squares.mean(axis=0), squares.std(axis=0) / np.sqrt(len(draws)), wrong, max_error=np.inf)


@pytest.mark.parametrize(
    ("name", "settings", "half_width", "n"),
    [
        ("gmm_40", {}, 64.0, 401),
        ("gmm_40", {"sd": math.log1p(math.e)}, 60.0, 501),
        ("four_modes", {}, 12.0, 501),
        ("eight_modes", {"dim": 2}, 8.0, 401),
    ],
)
def test_references_of_mixtures_in_the_plane_by_quadrature(name, settings, half_width, n):
    density = uq.load(name, **settings)
    points, area = grid(half_width, n)
    values = log_density(density, points)
    for power, suffix in ((1, ""), (2, "_power_2"), (3, "_power_3")):
        log_integral = logsumexp(power * values) + np.log(area)
        share = np.exp(power * values - log_integral) * area
        mean = share @ points
        assert known(density, f"log_normalizer{suffix}") == pytest.approx(log_integral, abs=1e-8)
        np.testing.assert_allclose(known(density, f"mean{suffix}"), mean, rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(known(density, f"variance{suffix}"), share @ (points - mean) ** 2, rtol=1e-7)
        if power == 1 and name == "gmm_40":
            assert known(density, "mean_log_density") == pytest.approx(share @ values, abs=1e-9)


def test_the_forty_means_are_the_published_ones():
    means = np.asarray(uq.load("gmm_40").mixture.mean)
    first = [(-0.2995, 21.4577), (-32.9218, -29.4376), (-15.4062, 10.7263), (-0.7925, 31.7156)]
    np.testing.assert_allclose(means[:4], first, atol=5e-5)
    assert means.shape == (40, 2)
    assert np.abs(means).max() <= 40
    np.testing.assert_array_equal(means, means.astype("float32"))
    assert pdist(means).min() == pytest.approx(1.18, abs=0.005)
    assert "mean_log_density" not in uq.load("gmm_40", sd=1.0).references


@pytest.mark.parametrize("dim", [2, 4, 10, 30])
def test_eight_modes_are_apart_and_their_powers_those_of_modes_alone(dim):
    density = uq.load("eight_modes", dim=dim)
    mixture = density.mixture
    assert pdist(np.asarray(mixture.mean)).min() > 3.06
    np.testing.assert_allclose(np.linalg.norm(mixture.mean, axis=1), 4.0)
    variance = np.asarray(mixture.eigenvalue)[:, 0]
    assert variance.max() == pytest.approx(0.16)
    assert (variance / variance.max()).min() ** (dim / 2) == pytest.approx(2 ** (-7 / 4))
    if dim > 2:
        for power in (2, 3):
            alone = power * np.log(mixture.weight) - 0.5 * dim * np.log(power)
            alone += 0.5 * (1 - power) * dim * np.log(2 * np.pi * variance)
            assert known(density, f"log_normalizer_power_{power}") == pytest.approx(logsumexp(alone), abs=1e-9)


def test_many_wells_by_adaptive_quadrature():
    density = uq.load("many_well_32")
    for power, suffix in ((1, ""), (2, "_power_2"), (3, "_power_3")):

        def integral(function, low=-4.0, power=power, high=4.0):
            found = integrate.quad(
                lambda x: function(x) * math.exp(power * (0.5 * x + 6 * x**2 - x**4 - 10)),
                low,
                high,
                epsabs=0,
                limit=200,
            )
            return found[0]

        total = integral(lambda x: 1.0)
        mean = integral(lambda x: x) / total
        log_pair = math.log(total) + 10 * power + 0.5 * math.log(2 * math.pi / power)
        assert known(density, f"log_normalizer{suffix}") == pytest.approx(16 * log_pair, rel=1e-10)
        assert known(density, f"left_well_mass{suffix}") == pytest.approx(
            integral(lambda x: 1.0, high=0.0) / total, rel=1e-8
        )
        np.testing.assert_allclose(known(density, f"mean{suffix}"), [mean, 0.0] * 16, rtol=1e-8)
        spread = integral(lambda x, mean=mean: (x - mean) ** 2) / total
        np.testing.assert_allclose(known(density, f"variance{suffix}"), [spread, 1 / power] * 16, rtol=1e-8)
    # Per pair, as in Midgley et al. (2023).
    assert known(density, "log_normalizer") == pytest.approx(164.695675, abs=1e-6)
    assert uq.load("many_well_32", dim=4).name == "many_well_4"


def test_wells_are_drawn_in_their_shares():
    density = uq.load("many_well_32", dim=2)
    left = density.draw(20_000, key=0)[:, 0] < 0
    error = left.std() / np.sqrt(left.size)
    assert_within_error(left.mean(), error, known(density, "left_well_mass")[0], max_error=0.003)
    with pytest.raises(AssertionError):
        assert_within_error(left.mean(), error, known(density, "left_well_mass_power_2")[0], max_error=0.003)
    points = np.random.default_rng(0).normal(size=(5, 2))
    expected = [0.5 * a + 6 * a**2 - a**4 - b**2 / 2 for a, b in points]
    np.testing.assert_allclose(log_density(density, points), expected, rtol=1e-13)


def test_the_funnel_is_its_two_laws():
    density = uq.load("funnel")
    draws = density.draw(4_000, key=0)
    v, rest = draws[:, 0], draws[:, 1:]
    expected = normal(0, 3).logpdf(v) + normal(0, np.exp(v / 2)[:, None]).logpdf(rest).sum(axis=1)
    np.testing.assert_allclose(log_density(density, draws), expected, rtol=1e-10)
    assert stats.kstest(v, normal(0, 3).cdf).pvalue > 1e-4
    assert stats.kstest((rest / np.exp(v / 2)[:, None]).ravel(), normal.cdf).pvalue > 1e-4
    assert stats.kstest(rest.ravel(), normal.cdf).pvalue < 1e-4


@pytest.mark.parametrize("power", [2, 3])
def test_powers_of_the_funnel_by_quadrature(power):
    # Relative to its scale each x_i has the same integral, so that one number does for all.
    one = integrate.quad(lambda z: normal.pdf(z) ** power, -12, 12)[0]
    v = np.linspace(-150.0, 50.0, 40_001)
    for dim in (2, 10):
        rest = (dim - 1) * (np.log(one) + 0.5 * (1 - power) * v)
        log_integral = logsumexp(power * normal(0, 3).logpdf(v) + rest) + np.log(v[1] - v[0])
        density = uq.load("funnel", dim=dim)
        assert known(density, f"log_normalizer_power_{power}") == pytest.approx(log_integral, abs=1e-9)


def moved(position, how):
    """Positions after a motion or an exchange that no energy of distances notices."""
    n, dim = position.shape
    rng = np.random.default_rng(1)
    return {
        "turned": position @ np.linalg.qr(rng.normal(size=(dim, dim)))[0],
        "exchanged": position[rng.permutation(n)],
        "shifted": position + rng.normal(size=dim),
        "stretched": 1.05 * position,
    }[how]


@pytest.mark.parametrize("name", PARTICLES)
def test_particles_that_move_together_or_change_places_have_the_same_density(name):
    _, n, dim = PARTICLES[name]
    start = starts(uq.load(name), 1).reshape(n, dim)
    hows = ("turned", "exchanged", "shifted", "stretched")
    points = np.stack([start, *(moved(start, how) for how in hows)])
    values = log_density(uq.load(name), points.reshape(5, -1))
    np.testing.assert_allclose(values[1:4], values[0], rtol=1e-10)
    assert abs(values[4] - values[0]) > 1e-2
    # With a law of the centre a shift shows, and nothing else does.
    held = log_density(uq.load(name, centre_sd=0.5), points.reshape(5, -1))
    np.testing.assert_allclose(held, values - 2 * (points.mean(axis=1) ** 2).sum(axis=1), rtol=1e-9)
    assert abs(held[3] - held[0]) > 1e-2


@pytest.mark.parametrize("name", PARTICLES)
def test_energies_by_sums_over_pairs(name):
    module, n, dim = PARTICLES[name]
    points = starts(uq.load(name), 3)
    expected = []
    for position in points.reshape(3, n, dim):
        r = pdist(position)
        if name == "double_well_4":
            expected.append(np.sum(0.9 * (r - 4) ** 4 - 4 * (r - 4) ** 2))
        else:
            springs = 0.5 * np.sum((position - position.mean(axis=0)) ** 2)
            expected.append(2 * np.sum(r**-12.0 - 2 * r**-6.0) + springs)
    np.testing.assert_allclose(log_density(module.make(temperature=1.0), points), -np.array(expected), rtol=1e-12)
    np.testing.assert_allclose(log_density(module.make(temperature=2.5), points), -np.array(expected) / 2.5, rtol=1e-12)


def double_well_integrals(power, n=256, n_nodes=100):
    """Log of the integral over relative positions, and means over a pair's distance.

    Two particles are held a distance apart; the others meet each in the same factor and each other in a third, which is
    a convolution.
    """

    def weight(x, y):
        r = np.hypot(x, y) - 4
        # The least energy of a pair is -40/9.
        return np.exp(-power * (0.9 * r**4 - 4 * r**2 + 40 / 9))

    axis = -14.0 + 28.0 / n * np.arange(n)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    kernel = np.fft.rfft2(np.fft.ifftshift(weight(x, y)))
    node, node_weight = np.polynomial.legendre.leggauss(n_nodes)
    distance = 4.25 * (node + 1)
    share = np.empty(n_nodes)
    for i, apart in enumerate(distance):
        field = weight(x - apart / 2, y) * weight(x + apart / 2, y)
        share[i] = np.sum(field * np.fft.irfft2(np.fft.rfft2(field) * kernel, s=field.shape))
    share *= 4.25 * node_weight * 2 * np.pi * distance * weight(distance, 0.0) * (28.0 / n) ** 4
    energy = 0.9 * (distance - 4) ** 4 - 4 * (distance - 4) ** 2
    total = share.sum()
    return math.log(total) + 6 * power * 40 / 9, *(
        share @ np.stack([6 * energy, distance, distance**2], axis=1) / total
    )


@pytest.mark.parametrize("power", [1, 2])
def test_integrals_of_the_double_wells(power):
    suffix = "" if power == 1 else f"_power_{power}"
    log_integral, energy, distance, square = double_well_integrals(power)
    density = double_well_4.make(centre_sd=1.5)
    for name, value in (("mean_energy", energy), ("mean_distance", distance), ("mean_square_distance", square)):
        assert known(density, f"{name}{suffix}") == pytest.approx(value, rel=1e-7)
    # From (orthonormal at rest) and from (centre, relative) to relative positions: how volumes change.
    relative = np.kron(np.array([[-1, 1, 0, 0], [-1, 0, 1, 0], [-1, 0, 0, 1]]), np.eye(2))
    centre = np.kron(np.full((1, 4), 0.25), np.eye(2))
    at_rest = np.linalg.svd(centre)[2][2:]
    log_change = np.linalg.slogdet(relative @ at_rest.T)[1]
    free = known(double_well_4.make(), f"log_normalizer{suffix}")
    assert free == pytest.approx(log_integral - log_change, abs=1e-7)
    assert np.linalg.slogdet(np.concatenate([relative, centre]))[1] == pytest.approx(0.0, abs=1e-12)
    of_centre = math.log(2 * math.pi * 1.5**2 / power)
    assert known(density, f"log_normalizer{suffix}") == pytest.approx(log_integral + of_centre, abs=1e-7)


def test_the_cluster_at_rest_has_the_published_energy():
    """Of the sum over pairs alone, -44.326801; the density counts every pair twice."""

    def without_springs(x):
        position = x.reshape(13, 3)
        return lennard_jones_13.energy(x) - 0.5 * jnp.sum((position - position.mean(axis=0)) ** 2)

    with jax.enable_x64(True):
        value_and_slope = jax.jit(jax.value_and_grad(without_springs))
        found = optimize.minimize(
            lambda x: [np.asarray(each, dtype=float) for each in value_and_slope(x)],
            lennard_jones_13.icosahedron().ravel(),
            jac=True,
            method="BFGS",
            tol=1e-8,
        )
    assert found.fun == pytest.approx(2 * -44.326801, abs=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.9, 1.5])
def test_a_sampled_cluster_has_the_known_energy_and_virial(temperature):
    density = lennard_jones_13.make(temperature=temperature, centre_sd=1.0)
    sampler = NUTS(n_warmup=400, n_draws=1_500, max_tree_depth=6)
    position = sampler.sample(density, key=0, progress=False, warn=False).position
    with jax.enable_x64(True):
        energy, slope = jax.vmap(jax.vmap(jax.value_and_grad(lennard_jones_13.energy)))(jnp.asarray(position))
    for values, name in ((np.asarray(energy), "mean_energy"), (np.sum(slope * position, axis=-1), "mean_virial")):
        error = math.hypot(float(mcse(values, 0, 1)), density.references[name].standard_error)
        assert_within_error(values.mean(), error, known(density, name)[0], max_error=1.2)
        with pytest.raises(AssertionError):
            assert_within_error(values.mean(), error, known(density, name)[0] / 2, max_error=1.2)


def test_shards_multiply_to_the_density():
    density = uq.load("gaussian_shards")
    shards = gaussian_shards.shards()
    points = density.draw(50, key=0)
    expected = sum(
        logsumexp(
            [
                np.log(w) + multivariate_normal(m, c).logpdf(points)
                for w, m, c in zip(shard.weight, np.asarray(shard.mean), shard.covariance, strict=True)
            ],
            axis=0,
        )
        for shard in shards
    )
    values = log_density(density, points)
    np.testing.assert_allclose(values, expected, rtol=1e-10)
    with jax.enable_x64(True):
        normalised = np.asarray(jax.jit(jax.vmap(lambda x: density.mixture.log_density(x)))(jnp.asarray(points)))
    np.testing.assert_allclose(values - normalised, known(density, "log_normalizer")[0], rtol=1e-9)
    assert len(shards) == 8


def test_the_evidence_of_shards_by_quadrature():
    density = uq.load("gaussian_shards", n_shards=3, dim=2)
    points, area = grid(9.0, 401)
    values = log_density(density, points)
    log_integral = logsumexp(values) + np.log(area)
    assert known(density, "log_normalizer") == pytest.approx(log_integral, abs=1e-9)
    np.testing.assert_allclose(known(density, "mean"), np.exp(values - log_integral) * area @ points, atol=1e-9)


def test_the_inverse_problem_is_prior_times_likelihood():
    density = uq.load("inverse_problem")
    before = inverse_problem.prior()
    operator, noise, data = inverse_problem.OPERATOR, inverse_problem.NOISE_COVARIANCE, inverse_problem.DATA
    points = density.draw(50, key=0)
    log_prior = logsumexp(
        [
            np.log(w) + multivariate_normal(m, c).logpdf(points)
            for w, m, c in zip(before.weight, np.asarray(before.mean), before.covariance, strict=True)
        ],
        axis=0,
    )
    log_likelihood = multivariate_normal(np.zeros(3), noise).logpdf(data - points @ operator.T)
    values = log_density(density, points)
    np.testing.assert_allclose(values, log_prior + log_likelihood, rtol=1e-10)
    with jax.enable_x64(True):
        posterior = np.asarray(jax.jit(jax.vmap(lambda x: density.mixture.log_density(x)))(jnp.asarray(points)))
    np.testing.assert_allclose(values - posterior, known(density, "log_normalizer")[0], rtol=1e-9)
    # The law of the data.
    of_data = [
        np.log(w) + multivariate_normal(operator @ m, operator @ c @ operator.T + noise).logpdf(data)
        for w, m, c in zip(before.weight, np.asarray(before.mean), before.covariance, strict=True)
    ]
    assert known(density, "log_normalizer") == pytest.approx(logsumexp(of_data), rel=1e-11)
    np.testing.assert_allclose(density.mixture.weight[[0, 2, 4, 5]], [0.85, 0.12, 0.014, 0.016], atol=5e-3)
    assert before.weight[0] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("gmm_40", {"sd": 0.0}, "`sd` is 0.0; pass a number above zero"),
        ("eight_modes", {"dim": 3}, "`dim` is 3; pass an even number"),
        ("many_well_32", {"dim": 0}, "`dim` is 0; pass an even number"),
        ("funnel", {"dim": 1}, "`dim` is 1 and `sd` 3.0; pass at least 2"),
        ("double_well_4", {"temperature": 0.0}, "`temperature` is 0.0 and `centre_sd` inf; pass numbers above zero"),
        ("lennard_jones_13", {"centre_sd": -1.0}, "`centre_sd` -1.0; pass numbers above zero"),
        ("gaussian_shards", {"n_shards": 13}, "`n_shards` is 13 and `dim` 5; pass 2 to 12 shards"),
    ],
)
def test_settings_are_checked(name, settings, message):
    with pytest.raises(InputError, match=message):
        uq.load(name, **settings)
