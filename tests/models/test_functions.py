"""The example functions: formulas written again in NumPy, references by Gauss quadrature of the whole cube."""

import ast
import math
import sys

import numpy as np
import pytest

import uqkit as uq

NAMES = ["borehole", "flood", "ishigami", "sobol_g"]
ALLOWED = (
    "uqkit.errors",
    "uqkit.inputs",
    "uqkit.keys",
    "uqkit.problems",
    "uqkit.results",
    "uqkit.stats",
    "jax",
    "numpy",
    "numpyro",
    "scipy",
)


def ishigami(x1, x2, x3):
    return np.sin(x1) + 7 * np.sin(x2) ** 2 + 0.1 * x3**4 * np.sin(x1)


def sobol_g(*x):
    a = (0, 1, 4.5, 9, 99, 99, 99, 99)
    return math.prod((np.abs(4 * xi - 2) + ai) / (1 + ai) for xi, ai in zip(x, a, strict=True))


def flood(q, ks, zv, zm, hd, cb, length, b):
    return zv + (q / (b * ks * np.sqrt((zm - zv) / length))) ** (3 / 5) - hd - cb


def borehole(rw, r, tu, hu, tl, hl, length, kw):
    log = np.log(r / rw)
    return 2 * np.pi * tu * (hu - hl) / (log * (1 + 2 * length * tu / (log * rw**2 * kw) + tu / tl))


FORMULAS = {"ishigami": ishigami, "sobol_g": sobol_g, "flood": flood, "borehole": borehole}


def law(density, *breaks, n):
    """Nodes and weights of a density by Gauss-Legendre between the breaks, normalised."""
    x, w = np.polynomial.legendre.leggauss(n)
    ends = list(zip(breaks[:-1], breaks[1:], strict=True))
    nodes = np.concatenate([(low + high) / 2 + (high - low) / 2 * x for low, high in ends])
    weights = np.concatenate([(high - low) / 2 * w for low, high in ends]) * density(nodes)
    return nodes, weights / weights.sum()


def uniform(low, high, n):
    return law(np.ones_like, low, high, n=n)


def triangular(low, peak, high, n):
    return law(lambda x: np.where(x < peak, (x - low) / (peak - low), (high - x) / (high - peak)), low, peak, high, n=n)


def normal(x):
    return np.exp(-(x**2) / 2)


def gumbel(x):
    return np.exp(-(x - 1013) / 558 - np.exp(-(x - 1013) / 558))


def borehole_laws(radius, influence):
    # Linear in the heads; the upper transmissivity hardly acts. Twice the nodes change the variance by 1e-5.
    aquifers = [uniform(63_070, 115_600, 2), uniform(990, 1110, 2), uniform(63.1, 116, 6), uniform(700, 820, 2)]
    return [radius, influence, *aquifers, uniform(1120, 1680, 6), uniform(9855, 12_045, 4)]


def log_normal(mean, sd, n):
    standard, weights = law(normal, -8, 0, 8, n=n)
    return np.exp(mean + sd * standard), weights


LAWS = {
    "ishigami": [uniform(-np.pi, np.pi, 30)] * 3,
    # Linear on either side of the kink: two nodes a side are exact for the square.
    "sobol_g": [law(np.ones_like, 0, 0.5, 1, n=2)] * 8,
    "flood": [
        law(gumbel, 500, 1200, 3000, n=10),
        law(lambda x: normal((x - 30) / 8), 15, 35, 95, n=12),
        triangular(49, 50, 51, 3),
        triangular(54, 55, 56, 3),
        uniform(7, 9, 2),
        triangular(55, 55.5, 56, 2),
        triangular(4990, 5000, 5010, 2),
        triangular(295, 300, 305, 2),
    ],
    "borehole": borehole_laws(
        law(lambda x: normal((x - 0.1) / 0.0161812), 0.002, 0.1, 0.24, n=20),
        log_normal(7.71, 1.0056, n=10),
    ),
}


def integrate(array, weights):
    """Sum over all axes with their weights, the last axis first."""
    for weight in reversed(weights):
        array = array @ weight
    return array


def anova(formula, laws):
    """Mean, variance, first-order and total indices by the tensor product of the quadratures."""
    values = formula(*np.ix_(*(nodes for nodes, _ in laws)))
    weights = [weight for _, weight in laws]
    mean = integrate(values, weights)
    values = values - mean
    variance = integrate(values**2, weights)
    first, total = [], []
    for i, weight in enumerate(weights):
        others = [*weights[:i], *weights[i + 1 :]]
        given_i = integrate(np.moveaxis(values, i, 0), others)
        given_others = np.tensordot(values, weight, axes=(i, 0))
        first.append(given_i**2 @ weight / variance)
        total.append(1 - integrate(given_others**2, others) / variance)
    return {"output_mean": [mean], "output_variance": [variance], "sobol_first": first, "sobol_total": total}


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_the_formula(name):
    model = uq.load(name)
    points = model.inputs.sample(64, key=0)
    np.testing.assert_allclose(model.run(points)[:, 0], FORMULAS[name](*points.T), rtol=1e-12)


def check(model, known, rtol):
    assert set(model.references) >= {"sobol_first", "sobol_total"}
    for estimate, reference in model.references.items():
        assert reference.output == model.outputs.labels[0]
        assert reference.source
        # A stated error is what the reference itself claims; six decimals are given of the indices.
        error = 5 * reference.standard_error + 1e-6 if reference.kind == "monte carlo" else 0.0
        np.testing.assert_allclose(
            reference.values, known[estimate], rtol=rtol, atol=max(error, 1e-12), err_msg=estimate
        )


@pytest.mark.parametrize("name", NAMES)
def test_references_are_those_of_quadrature(name):
    model = uq.load(name)
    check(model, anova(FORMULAS[name], LAWS[name]), rtol=1e-9)


def test_the_stated_errors_are_small():
    for name in NAMES:
        for reference in uq.load(name).references.values():
            assert reference.standard_error <= 1e-5 * max(1.0, *np.abs(reference.values))


def test_the_uniform_borehole():
    known = anova(borehole, borehole_laws(uniform(0.05, 0.15, 14), law(np.ones_like, 100, 2000, 50_000, n=8)))
    check(uq.load("borehole", uniform=True), known, rtol=1e-9)


@pytest.mark.parametrize(("a", "b"), [(7.0, 0.05), (5.0, 0.1)])
def test_ishigami_with_other_coefficients(a, b):
    def formula(x1, x2, x3):
        return np.sin(x1) + a * np.sin(x2) ** 2 + b * x3**4 * np.sin(x1)

    check(uq.load("ishigami", a=a, b=b), anova(formula, LAWS["ishigami"]), rtol=1e-9)


def test_g_function_with_other_coefficients():
    def formula(x1, x2):
        return np.abs(4 * x1 - 2) * (np.abs(4 * x2 - 2) + 3) / 4

    check(uq.load("sobol_g", a=(0.0, 3.0)), anova(formula, LAWS["sobol_g"][:2]), rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_inputs_have_the_laws_of_the_quadrature(name):
    # The distribution function of a random number at that number is uniform; two nodes a side are coarse for it.
    for marginal, (nodes, weights) in zip(uq.load(name).inputs.marginals.values(), LAWS[name], strict=True):
        share = marginal.cdf(nodes)
        for power in (1, 2):
            assert share**power @ weights == pytest.approx(1 / (power + 1), abs=1e-2)


@pytest.mark.parametrize("entry", uq.catalogue(), ids=lambda entry: entry.name)
def test_files_import_only_what_problems_may_and_have_docstrings(entry):
    tree = ast.parse(entry.path.read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module)
    foreign = [
        name
        for name in imported
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not any(name == known or name.startswith(f"{known}.") for known in ALLOWED)
    ]
    assert foreign == []
    first = (ast.get_docstring(tree) or "").partition("\n")[0]
    assert first.endswith(".")
    assert "Source:" in (ast.get_docstring(tree) or "")
