"""More functions of the catalogue: formulas, laws and references, each recomputed another way."""

import math
from itertools import combinations

import jax
import numpy as np
import pytest

import uqkit as uq
from models.functions.cantilever import perturbed_laws
from tests.statistical import assert_within_error
from uqkit.inputs import ScrambledSobol
from uqkit.problems import ForwardModel

fold_in = jax.random.fold_in

NAMES = ("g_star", "linear_gaussian", "wing_weight", "cantilever", "morris", "indicator", "fire_spread")


def g_star(x, a, alpha, delta):
    y = 1.0
    for i, value in enumerate(x):
        shifted = (value + delta) % 1
        y *= ((1 + alpha) * abs(2 * shifted - 1) ** alpha + a[i]) / (1 + a[i])
    return y


def wing_weight(x):
    area, fuel, aspect, sweep, pressure, taper, thickness, load, gross, paint = x
    c = math.cos(math.radians(sweep))
    bare = 0.036 * area**0.758 * fuel**0.0035 * aspect**0.6 * c**-1.2 * pressure**0.006 * taper**0.04
    return bare * 100**-0.3 * thickness**-0.3 * c**0.3 * load**0.49 * gross**0.49 + area * paint


def cantilever(x):
    fx, fy, modulus, w, t, length = x
    return 4 * length**3 / (modulus * 1e9 * w * t) * math.hypot(fx / w**2, fy / t**2)


def morris(x):
    w = [2 * (1.1 * v / (v + 0.1) - 0.5) if i in (3, 5, 7) else 2 * (v - 0.5) for i, v in enumerate(x, start=1)]
    y = sum((20 if i <= 10 else (-1) ** i) * w[i - 1] for i in range(1, 21))
    for i, j in combinations(range(1, 21), 2):
        y += (-15 if j <= 6 else (-1) ** (i + j)) * w[i - 1] * w[j - 1]
    for i, j, k in combinations(range(5), 3):
        y -= 10 * w[i] * w[j] * w[k]
    return y + 5 * w[0] * w[1] * w[2] * w[3]


def fire_spread(x):
    delta, sigma, h, rho_p, m_l, m_d, s_t, u, tan_phi, p = x
    load = 0.98312 / (1 + math.exp((15 - delta) / 3.5)) * 0.204816  # lb/ft2
    depth, sigma, rho_p = delta / 30.48, sigma * 30.48, rho_p * 62.42796
    h, u = h * 1.798796, u * 54.68066
    rho_b = load / depth
    beta, beta_op = rho_b / rho_p, 3.348 * sigma**-0.8189
    gamma_max = sigma**1.5 / (495 + 0.0594 * sigma**1.5)
    a = 133 * sigma**-0.7913
    gamma = gamma_max * (beta / beta_op) ** a * math.exp(a * (1 - beta / beta_op))
    theta = min(1, max(0, (301.4 - 305.87 * (m_l - m_d) + 2260 * m_d) / (2260 * m_l)))
    mu_m = math.exp(-7.3 * p * m_d - (7.3 * theta + 2.13) * (1 - p) * m_l)
    mu_s = min(0.174 * s_t**-0.19, 1)
    xi = math.exp((0.792 + 0.681 * math.sqrt(sigma)) * (beta + 0.1)) / (192 + 0.2595 * sigma)
    c, b = 7.47 * math.exp(-0.133 * sigma**0.55), 0.02526 * sigma**0.54
    e = 0.715 * math.exp(-3.59e-4 * sigma)
    phi_w, phi_s = c * u**b * (beta / beta_op) ** -e, 5.275 * beta**-0.3 * tan_phi**2
    intensity = gamma * load * (1 - s_t) * h * mu_m * mu_s
    feet_a_minute = intensity * xi * (1 + phi_w + phi_s) / (rho_b * math.exp(-138 / sigma) * (130.87 + 1054.43 * m_d))
    return feet_a_minute * 30.48 / 60


A = (0.0, 1.0, 4.5, 9.0, 99.0, 99.0, 99.0, 99.0)
FORMULAS = {
    "g_star": lambda x: g_star(x, A, 1.0, 0.137),
    "linear_gaussian": sum,
    "wing_weight": wing_weight,
    "cantilever": cantilever,
    "morris": morris,
    "indicator": lambda x: float(sum((8 - i) * value for i, value in enumerate(x)) > 21.6),
    "fire_spread": fire_spread,
}


@pytest.mark.parametrize("name", NAMES)
def test_formulas(name):
    model = uq.load(name)
    assert model.is_jax
    points = model.inputs.sample(64, key=0)
    ours = model.run(points)[:, 0]
    assert np.ptp(ours) > 0
    # The units of the fire model are typed to six digits above.
    np.testing.assert_allclose(ours, [FORMULAS[name](x) for x in points], rtol=1e-4 if name == "fire_spread" else 1e-9)


def test_parameters_of_g_star_reach_the_formula():
    a = (0.5, 2.0, 9.0)
    model = uq.load("g_star", a=a, alpha=(2.0, 2.0, 2.0), delta=0.6)
    points = model.inputs.sample(64, key=0)
    np.testing.assert_allclose(model.run(points)[:, 0], [g_star(x, a, 2.0, 0.6) for x in points], rtol=1e-12)


def test_the_logarithm_of_the_rate_of_spread():
    rate, log_rate = uq.load("fire_spread"), uq.load("fire_spread", logarithm=True)
    points = rate.inputs.sample(16, key=0)
    np.testing.assert_allclose(log_rate.run(points), np.log(rate.run(points)), rtol=1e-12)


def known(model: ForwardModel, name: str) -> np.ndarray:
    return np.asarray(model.references[name].values)


def indices(values: np.ndarray, weights: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Moments and indices from the values on a tensor grid, one axis an input, and the rule's weights on each axis."""

    def average(array, kept=()):
        for axis in reversed([axis for axis in range(values.ndim) if axis not in kept]):
            array = np.tensordot(array, weights[axis], axes=(axis, 0))
        return array

    every = range(values.ndim)
    mean = average(values)
    variance = average(values**2) - mean**2
    first = [weights[i] @ (average(values, (i,)) - mean) ** 2 for i in every]
    total = []
    for i in every:
        others = [axis for axis in every if axis != i]
        inner = np.tensordot(values, weights[i], axes=(i, 0)) ** 2
        for axis in reversed(others):
            inner = np.tensordot(inner, weights[axis], axes=(inner.ndim - 1, 0))
        total.append(average(values**2) - inner)
    return {
        "output_mean": np.array([mean]),
        "output_variance": np.array([variance]),
        "sobol_first": np.array(first) / variance,
        "sobol_total": np.array(total) / variance,
    }


def assert_references(model: ForwardModel, recomputed: dict[str, np.ndarray], *, rtol: float, atol: float) -> None:
    assert set(model.references) == set(recomputed)
    for name, values in recomputed.items():
        np.testing.assert_allclose(known(model, name), values, rtol=rtol, atol=atol, err_msg=name)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_references_of_g_star(alpha):
    a = (0.0, 1.0, 4.5, 9.0)
    model = uq.load("g_star", a=a, alpha=alpha, delta=0.3)
    # Each factor is linear in h = (1 + alpha) |2 x - 1|^alpha: two points of its mean and variance integrate exactly.
    cells = (np.arange(200_000) + 0.5) / 200_000
    h = (1 + alpha) * np.abs(2 * cells - 1) ** alpha
    nodes = h.mean() + h.std() * np.array([-1.0, 1.0])
    values = np.ones((2,) * 4)
    for i, coefficient in enumerate(a):
        values = values * ((nodes + coefficient) / (1 + coefficient)).reshape([2 if j == i else 1 for j in range(4)])
    assert_references(model, indices(values, [np.array([0.5, 0.5])] * 4), rtol=2e-5, atol=0)


def test_references_of_morris():
    # y is linear in each w: on the 2^20 corners at mean +- standard deviation of w, every index is exact.
    nodes, shares = np.polynomial.legendre.leggauss(60)
    x, shares = (nodes + 1) / 2, shares / 2
    y = np.zeros((2,) * 20)
    corners = []
    for i in range(20):
        w = 2 * (1.1 * x / (x + 0.1) - 0.5) if i in (2, 4, 6) else 2 * (x - 0.5)
        mean = shares @ w
        ends = mean + math.sqrt(shares @ (w - mean) ** 2) * np.array([-1.0, 1.0])
        corners.append(ends.reshape([2 if j == i else 1 for j in range(20)]))
    for i in range(20):
        y += (20 if i < 10 else (-1) ** (i + 1)) * corners[i]
        # Partial sums over j > i have few axes, so the products stay cheap.
        partners = sum((-15 if j < 6 and i < 6 else (-1) ** (i + j)) * corners[j] for j in range(i + 1, 20))
        y += corners[i] * partners
    for members in combinations(range(5), 3):
        y -= 10 * np.prod(np.broadcast_arrays(*(corners[i] for i in members)), axis=0)
    y += 5 * corners[0] * corners[1] * corners[2] * corners[3]
    variance = y.var()
    first, total = [], []
    for i in range(20):
        low, high = np.take(y, 0, axis=i), np.take(y, 1, axis=i)
        first.append(((high.mean() - low.mean()) / 2) ** 2 / variance)
        total.append(np.mean((high - low) ** 2) / 4 / variance)
    recomputed = {
        "output_mean": np.array([y.mean()]),
        "output_variance": np.array([variance]),
        "sobol_first": np.array(first),
        "sobol_total": np.array(total),
    }
    assert_references(uq.load("morris"), recomputed, rtol=1e-9, atol=0)


@pytest.mark.parametrize("threshold", [0.6, 0.35])
def test_references_of_the_indicator(threshold):
    model = uq.load("indicator", threshold=threshold)
    # The law of a sum gains one term by averaging over a window: convolution on a grid instead of the formula.
    cells = 200
    grid = np.arange(-8 * cells, 36 * cells + 1) / cells

    def distribution(weights):
        below = np.clip(grid / weights[0], 0, 1)
        for weight in weights[1:]:
            area = np.concatenate([[0], np.cumsum(below[1:] + below[:-1]) / 2])
            window = weight * cells
            below = np.where(np.arange(grid.size) >= window, area - np.roll(area, window), 0.0) / window
        return below

    level = 36 * threshold
    probability = 1 - np.interp(level, grid, distribution(range(8, 0, -1)))
    variance = probability * (1 - probability)
    first, total = [], []
    for weight in range(8, 0, -1):
        below = distribution([other for other in range(8, 0, -1) if other != weight])
        x = (np.arange(20_000) + 0.5) / 20_000
        exceeded = 1 - np.interp(level - weight * x, grid, below)
        first.append((np.mean(exceeded**2) - probability**2) / variance)
        # Given the others, y is one with the probability that x_i lifts their sum over the level.
        lifted = np.clip((grid + weight - level) / weight, 0, 1)
        between = (lifted[1:] + lifted[:-1]) / 2
        total.append(np.sum(between * (1 - between) * np.diff(below)) / variance)
    recomputed = {
        "output_mean": np.array([probability]),
        "output_variance": np.array([variance]),
        "sobol_first": np.array(first),
        "sobol_total": np.array(total),
    }
    assert_references(model, recomputed, rtol=0, atol=2e-5)
    assert_references(model, recomputed, rtol=2e-3, atol=0)


def test_references_of_the_cantilever():
    # Hermite rules instead of the references' Legendre rules, over the four inputs that do not factor out.
    nodes, weights = np.polynomial.hermite_e.hermegauss(16)
    weights = weights / weights.sum()

    def grid(i):
        return nodes.reshape([16 if j == i else 1 for j in range(4)])

    def lognormal(mean, variation, z):
        deviation = math.sqrt(math.log1p(variation**2))
        return mean * np.exp(deviation * z - deviation**2 / 2)

    fx, fy = lognormal(556.8, 0.08, grid(0)), lognormal(453.6, 0.08, grid(1))
    w, t = 0.062 * (1 + 0.1 * grid(2)), 0.0987 * (1 + 0.1 * grid(3))
    bending = indices(np.sqrt((fx / w**2) ** 2 + (fy / t**2) ** 2) / (w * t), [weights] * 4)
    mean, variance = float(bending["output_mean"][0]), float(bending["output_variance"][0])
    # E[1/E] and E[1/E^2] of a lognormal, E[L^3] and E[L^6] of a normal.
    modulus_mean, modulus_square = (1 + 0.06**2) / 200e9, (1 + 0.06**2) ** 3 / 200e9**2
    length_mean, length_square = (1 + 3 * 0.01), (1 + 15 * 0.01 + 45 * 0.01**2 + 15 * 0.01**3)
    length_mean, length_square = 4 * 4.29**3 * length_mean, 16 * 4.29**6 * length_square
    square = mean**2 + variance
    whole = square * modulus_square * length_square - (mean * modulus_mean * length_mean) ** 2
    scale = variance * (modulus_mean * length_mean) ** 2 / whole
    first = list(bending["sobol_first"] * scale)
    total = list(bending["sobol_total"] * variance * modulus_square * length_square / whole)
    modulus_variance, length_variance = modulus_square - modulus_mean**2, length_square - length_mean**2
    first.insert(2, (mean * length_mean) ** 2 * modulus_variance / whole)
    total.insert(2, square * length_square * modulus_variance / whole)
    first.append((mean * modulus_mean) ** 2 * length_variance / whole)
    total.append(square * modulus_square * length_variance / whole)
    recomputed = {
        "output_mean": np.array([mean * modulus_mean * length_mean]),
        "output_variance": np.array([whole]),
        "sobol_first": np.array(first),
        "sobol_total": np.array(total),
    }
    assert_references(uq.load("cantilever"), recomputed, rtol=1e-6, atol=2e-8)


def test_references_of_the_wing():
    # W = Sw^0.758 x (powers of the other eight) + Sw Wp: the eight are one more input of known mean and variance.
    model = uq.load("wing_weight")
    nodes, weights = np.polynomial.legendre.leggauss(24)
    weights = weights / 2
    powers = [
        (150, 200, lambda x: x**0.758),
        (220, 300, lambda x: x**0.0035),
        (6, 10, lambda x: x**0.6),
        (-10, 10, lambda x: np.cos(np.radians(x)) ** -0.9),
        (16, 45, lambda x: x**0.006),
        (0.5, 1, lambda x: x**0.04),
        (0.08, 0.18, lambda x: (100 * x) ** -0.3),
        (2.5, 6, lambda x: x**0.49),
        (1700, 2500, lambda x: x**0.49),
    ]
    means, squares = [], []
    for low, high, power in powers:
        u = power((low + high + (high - low) * nodes) / 2)
        means.append(weights @ u)
        squares.append(weights @ u**2)
    area, paint = 175 + 25 * nodes, 0.0525 + 0.0275 * nodes
    first, total = np.zeros(10), np.zeros(10)
    for i in range(1, 9):
        rest_mean = math.prod(means[j] for j in range(1, 9) if j != i)
        rest_square = math.prod(squares[j] for j in range(1, 9) if j != i)
        own = squares[i] - means[i] ** 2
        first[i] = 0.036**2 * own * (means[0] * rest_mean) ** 2
        total[i] = 0.036**2 * own * squares[0] * rest_square
    product, product_square = 0.036 * math.prod(means[1:]), 0.036**2 * math.prod(squares[1:])
    spread = math.sqrt(product_square - product**2)
    values = (
        area[:, None, None] ** 0.758 * (product + spread * np.array([-1.0, 1.0]))[None, :, None]
        + area[:, None, None] * paint
    )
    three = indices(values, [weights, np.array([0.5, 0.5]), weights])
    variance = float(three["output_variance"][0])
    first, total = first / variance, total / variance
    first[[0, 9]], total[[0, 9]] = three["sobol_first"][[0, 2]], three["sobol_total"][[0, 2]]
    recomputed = {
        "output_mean": three["output_mean"],
        "output_variance": three["output_variance"],
        "sobol_first": first,
        "sobol_total": total,
    }
    assert_references(model, recomputed, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("rho", [-0.6, 0.0, 0.9])
def test_references_of_the_linear_function_are_those_published(rho):
    model = uq.load("linear_gaussian", correlation={("x2", "x3"): rho})
    s = 2.0
    variance = 2 + s**2 + 2 * rho * s
    np.testing.assert_allclose(known(model, "output_variance"), [variance])
    np.testing.assert_allclose(
        known(model, "sobol_first") * variance, [1, (1 + rho * s) ** 2, (s + rho) ** 2], atol=1e-12
    )
    np.testing.assert_allclose(known(model, "sobol_total") * variance, [1, 1 - rho**2, s**2 * (1 - rho**2)])


def test_references_of_the_linear_function_are_shares_of_conditional_variances():
    deviations, coefficients = np.array([1.0, 2.0, 0.5, 1.5]), (1.0, -2.0, 3.0, 0.5)
    correlation = np.array([[1, 0.3, 0, -0.4], [0.3, 1, 0.5, 0], [0, 0.5, 1, 0.2], [-0.4, 0, 0.2, 1]])
    model = uq.load(
        "linear_gaussian",
        coefficients=coefficients,
        standard_deviations=deviations,
        means=(1.0, 2.0, 3.0, 4.0),
        correlation=correlation,
    )
    c, covariance = np.array(coefficients), correlation * np.outer(deviations, deviations)
    variance = c @ covariance @ c

    def closed(u):
        rest = [i for i in range(4) if i not in u]
        own, cross = covariance[np.ix_(u, u)], covariance[np.ix_(u, rest)]
        b = c[u] + np.linalg.solve(own, cross @ c[rest])
        return b @ own @ b / variance

    np.testing.assert_allclose(known(model, "output_mean"), [1 - 4 + 9 + 2])
    np.testing.assert_allclose(known(model, "sobol_first"), [closed([i]) for i in range(4)])
    np.testing.assert_allclose(
        known(model, "sobol_total"), [1 - closed([j for j in range(4) if j != i]) for i in range(4)]
    )
    x = model.inputs.sample(2**14, key=0, design=ScrambledSobol())
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=0.05)


def replicated_indices(model: ForwardModel, *, n_rows: int, n_replicates: int) -> tuple[dict, dict]:
    """Value and standard error of moments and indices, over independent scrambled nets."""
    n_inputs = len(model.inputs)
    runs = []
    for key in range(n_replicates):
        unit = ScrambledSobol().unit_points(n_rows, 2 * n_inputs, key=key)
        a, b = unit[:, :n_inputs], unit[:, n_inputs:]
        mixed = [np.where(np.arange(n_inputs) == i, b, a) for i in range(n_inputs)]
        y = model.run(model.inputs.from_unit(np.concatenate([a, b, *mixed])))[:, 0].reshape(-1, n_rows)
        centred = y - y[:2].mean()
        variance = np.mean(centred[:2] ** 2)
        first = np.mean(centred[1] * (centred[2:] - centred[0]), axis=1) / variance
        total = np.mean((centred[2:] - centred[0]) ** 2, axis=1) / (2 * variance)
        runs.append({"output_mean": y[:2].mean(), "output_variance": variance, "sobol_first": first})
        runs[-1]["sobol_total"] = total
    values = {name: np.mean([run[name] for run in runs], axis=0) for name in runs[0]}
    errors = {name: np.std([run[name] for run in runs], axis=0, ddof=1) / math.sqrt(n_replicates) for name in runs[0]}
    return values, errors


@pytest.mark.parametrize("name", [name for name in NAMES if name != "fire_spread"])
def test_references_are_those_of_the_model_under_its_laws(name):
    model = uq.load(name)
    values, errors = replicated_indices(model, n_rows=1_024, n_replicates=32)
    scale = known(model, "output_variance")[0]
    limits = {"output_mean": 0.005 * math.sqrt(scale), "output_variance": 0.01 * scale}
    for reference in model.references:
        error = np.maximum(errors[reference], 1e-9 * limits.get(reference, 1.0))
        assert_within_error(values[reference], error, known(model, reference), max_error=limits.get(reference, 0.01))


def test_references_of_the_log_rate_of_spread():
    model = uq.load("fire_spread", logarithm=True)
    moments = []
    for key in range(32):
        y = model.run(model.inputs.sample(2_048, key=key, design=ScrambledSobol()))[:, 0]
        moments.append((y.mean(), y.var()))
    for i, name in enumerate(("output_mean", "output_variance")):
        own = np.array(moments)[:, i]
        error = math.hypot(own.std(ddof=1) / math.sqrt(32), model.references[name].standard_error)
        assert_within_error(own.mean(), error, known(model, name)[0], max_error=0.005)


def test_the_check_of_references_can_fail():
    values, errors = replicated_indices(uq.load("wing_weight"), n_rows=1_024, n_replicates=32)
    with pytest.raises(AssertionError, match="standard errors away"):
        assert_within_error(
            values["sobol_total"], errors["sobol_total"], known(uq.load("wing_weight"), "sobol_first"), max_error=0.01
        )


def test_laws_of_the_fire():
    inputs = uq.load("fire_spread").inputs
    x = inputs.sample(2**14, key=0, design=ScrambledSobol())
    column = dict(zip(inputs.names, x.T, strict=True))
    assert inputs.dependent == ("m_d", "U")
    assert column["sigma"].min() > 5
    assert column["P"].max() < 1
    assert min(column[name].min() for name in ("m_l", "S_t", "tan_phi")) > 0
    scores = np.corrcoef(column["m_d"], np.log(column["U"]))[0, 1]
    assert scores == pytest.approx(-0.8, abs=0.005)
    assert np.median(column["U"]) == pytest.approx(6.9 * math.exp(1.0174), rel=0.01)
    np.testing.assert_allclose(inputs.from_unit(inputs.to_unit(x)), x, rtol=1e-9)
    # The densities of the two laws of our own integrate to one, and their quantiles keep their digits in the tails.
    for name, low, high in (("sigma", 5.0, 200.0), ("P", 0.0, 1.0)):
        marginal = inputs.marginals[name]
        nodes, weights = np.polynomial.legendre.leggauss(400)
        density = np.exp(marginal.log_density((low + high + (high - low) * nodes) / 2))
        assert weights @ density * (high - low) / 2 == pytest.approx(1, abs=1e-9)
        tail = np.array([1e-12, 1e-3, 0.5])
        np.testing.assert_allclose(marginal.cdf(marginal.quantile(tail)), tail, rtol=1e-9)
        np.testing.assert_allclose(marginal.survival(marginal.upper_quantile(tail)), tail, rtol=1e-3)
    assert uq.load("fire_spread", correlation=0.0).inputs.dependent == ()


def test_perturbed_laws_are_a_latin_hypercube_of_the_published_ranges():
    laws = perturbed_laws(key=0)
    assert len(laws) == 100
    names = ("FX", "FY", "E", "w", "t", "L")
    ranges = ((525, 575), (425, 475), (175, 225), (0.06, 0.07), (0.09, 0.1), (4, 5), (-0.6, 0), (0, 0.5), (0, 0.5))
    rows = []
    for law in laws:
        assert law.names == names
        unit = (np.arange(4_000) + 0.5) / 4_000
        draws = np.column_stack([law.marginals[name].quantile(unit) for name in names])
        np.testing.assert_allclose(draws.std(axis=0) / draws.mean(axis=0), (0.08, 0.08, 0.06, 0.1, 0.1, 0.1), rtol=2e-3)
        r = law.correlation
        assert law.dependent == ("w", "t", "L")
        assert np.array_equal(r[:3, :3], np.eye(3))
        rows.append([*draws.mean(axis=0), r[3, 4], r[3, 5], r[4, 5]])
    for column, (low, high) in zip(np.array(rows).T, ranges, strict=True):
        strata = (np.sort(column) - low) / (high - low) * 100
        np.testing.assert_allclose(strata, np.arange(100) + 0.5, atol=0.51)


def test_perturbed_laws_follow_the_key():
    def widths(key):
        return [law.marginals["w"].quantile(np.array(0.5)) for law in perturbed_laws(5, key=key)]

    assert np.array_equal(widths(3), widths(3))
    assert not np.array_equal(widths(3), widths(4))


def test_a_hypercube_with_a_contradiction_is_drawn_again(monkeypatch):
    # One triple of correlations in 850 is one that no three variables can have, which `Inputs` would refuse.
    attempts = []
    monkeypatch.setattr(jax.random, "fold_in", lambda key, attempt: attempts.append(attempt) or fold_in(key, attempt))
    assert len(perturbed_laws(400, key=3)) == 400
    assert attempts == [0, 1, 2]
