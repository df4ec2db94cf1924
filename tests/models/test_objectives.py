"""The example objectives: optima where they are known, formulas written again, and a package that may be missing."""

import ast
import math
import sys
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import Bounds, minimize

import uqkit as uq
from models.objectives import brusselator, lunar_lander, pest_control
from uqkit import InputError
from uqkit.inputs import ScrambledSobol

ALLOWED = ("uqkit.errors", "uqkit.inputs", "uqkit.keys", "uqkit.problems", "uqkit.results", "jax", "numpy", "numpyro")
FILES = [entry.path for entry in uq.catalogue() if entry.folder == "objectives"]

HARTMANN_MINIMISER = (0.20168951, 0.15001069, 0.47687398, 0.27533243, 0.31165162, 0.65730054)
MICHALEWICZ_MINIMISER = (2.2029055, 1.5707963, 1.2849916, 1.9230585, 1.7204698)

# How near the value there must come to the optimum is as near as the minimiser is written down.
OPTIMA = [
    ("branin", (-math.pi, 12.275), 1e-12),
    ("branin", (math.pi, 2.275), 1e-12),
    ("branin", (3 * math.pi, 2.475), 1e-12),
    ("hartmann_6", HARTMANN_MINIMISER, 1e-12),
    ("ackley_10", np.zeros(10), 1e-14),
    ("michalewicz_5", MICHALEWICZ_MINIMISER, 1e-12),
    ("gramacy_lee", (-math.sqrt(0.5), 0.0), 1e-15),
    ("warped_sine", ((3 * math.pi / 40) ** 0.25, 0.0, 1.0, 0.0), 1e-14),
    ("warped_sine", ((11 * math.pi / 40) ** 0.25, 0.0, 1.0, 0.0), 1e-14),
]


def best_of(objective):
    assert objective.best is not None
    return float(objective.best.values[0])


def value(objective, point):
    return float(objective.forward.run(np.atleast_2d(np.asarray(point, dtype=float)))[0, 0])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_file_says_what_it_is_and_imports_little(path: Path):
    tree = ast.parse(path.read_text())
    imported = [
        name
        for node in ast.walk(tree)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else getattr(node, "names", ()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    names = [name if isinstance(name, str) else name.name for name in imported if name]
    foreign = [name for name in names if name.split(".")[0] not in sys.stdlib_module_names]
    assert [name for name in foreign if not name.startswith(ALLOWED)] == []
    docstring = ast.get_docstring(tree) or ""
    assert docstring.partition("\n")[0].endswith(".")
    assert "Source:" in docstring


@pytest.mark.parametrize(("name", "minimiser", "tolerance"), OPTIMA)
def test_the_optimum_is_attained(name, minimiser, tolerance):
    objective = uq.load(name)
    assert value(objective, minimiser) == pytest.approx(best_of(objective), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("name", sorted({name for name, *_ in OPTIMA} | {"polynomial_200"}))
def test_nothing_is_better_than_the_optimum(name):
    objective = uq.load(name)
    points = objective.inputs.sample(2**14, key=0, design=ScrambledSobol())
    utilities = objective.utilities(objective.forward.run(points))[:, 0]
    assert utilities.max() < objective.signs[0] * best_of(objective)


@pytest.mark.parametrize("name", ["hartmann_6", "michalewicz_5"])
def test_the_optimum_is_a_stationary_point(name):
    """It also has the digits that the file gives: the gradient there is rounding only once it is polished."""
    objective = uq.load(name)
    start = HARTMANN_MINIMISER if name == "hartmann_6" else MICHALEWICZ_MINIMISER
    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(objective.forward.function))
        found = minimize(
            lambda x: value(objective, x), start, jac=lambda x: np.asarray(gradient(x)), method="BFGS", tol=1e-11
        )
    np.testing.assert_allclose(found.fun, best_of(objective), rtol=1e-13)
    np.testing.assert_allclose(found.x, start, atol=1e-6)


def test_formulas_that_botorch_does_not_have():
    rng = np.random.default_rng(0)
    points = rng.uniform(-2, 6, (50, 2))
    expected = [a * math.exp(-a * a - b * b) for a, b in points]
    np.testing.assert_allclose(uq.load("gramacy_lee").forward.run(points)[:, 0], expected, rtol=1e-13)
    points = rng.uniform(size=(50, 4))
    expected = [math.sin(20 * a**4) + (2 * b - 2 * c + d) / 20 for a, b, c, d in points]
    np.testing.assert_allclose(uq.load("warped_sine").forward.run(points)[:, 0], expected, rtol=1e-12, atol=1e-14)


def test_the_number_of_inputs_is_a_parameter():
    assert len(uq.load("ackley_10", d=3).inputs) == 3
    assert uq.load("ackley_10", d=3).name == "ackley_3"
    assert best_of(uq.load("michalewicz_5", d=2)) == pytest.approx(-1.80130341, abs=1e-8)
    assert best_of(uq.load("michalewicz_5", d=10)) == pytest.approx(-9.66015, abs=1e-5)
    for name in ("ackley_10", "michalewicz_5"):
        with pytest.raises(InputError, match="`d` is 0; pass at least one input"):
            uq.load(name, d=0)


def test_branin_currin_at_its_edge():
    """At x2 = 0 the exponential is zero, not missing."""
    objective = uq.load("branin_currin")
    values = objective.forward.run(np.array([[0.5, 0.0], [0.0, 1.0]]))
    assert values[0, 1] == pytest.approx((2300 / 8 + 1900 / 4 + 2092 / 2 + 60) / (100 / 8 + 500 / 4 + 2 + 20))
    assert values[1, 1] == pytest.approx((1 - math.exp(-0.5)) * 3)
    assert list(objective.maximise.values()) == [False, False]


def test_the_polynomial_is_a_sum_of_products_with_its_maximum_at_a_vertex():
    objective = uq.load("polynomial_200", n_inputs=8, n_terms=2, key=3)
    vertices = np.stack(np.meshgrid(*[[0.0, 1.0]] * 8, indexing="ij"), axis=-1).reshape(-1, 8)
    values = objective.forward.run(vertices)[:, 0]
    assert values.max() == pytest.approx(best_of(objective), rel=1e-13)
    # Two groups that do not mix: f(x, z) + f(x', z') = f(x, z') + f(x', z).
    table = values.reshape(16, 16)
    np.testing.assert_allclose(table + table[0, 0], table[:, :1] + table[:1], atol=1e-12)


def test_the_polynomial_has_no_larger_value_inside():
    objective = uq.load("polynomial_200", n_inputs=8, n_terms=2)
    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(objective.forward.function))
        found = [
            minimize(
                lambda x: -value(objective, x),
                start,
                jac=lambda x: -np.asarray(gradient(x)),
                bounds=Bounds(0, 1),
                method="L-BFGS-B",
            )
            for start in np.random.default_rng(0).uniform(size=(30, 8))
        ]
    assert max(-each.fun for each in found) == pytest.approx(best_of(objective), rel=1e-9)


def test_the_coefficients_of_the_polynomial_come_from_the_key():
    point = np.full((1, 200), 0.3)
    first = uq.load("polynomial_200").forward.run(point)
    np.testing.assert_array_equal(first, uq.load("polynomial_200", key=jax.random.key(0)).forward.run(point))
    assert first != uq.load("polynomial_200", key=1).forward.run(point)
    with pytest.raises(InputError, match="`n_inputs` is 200 and `n_terms` 40; every term takes 4 inputs: n_inputs=160"):
        uq.load("polynomial_200", n_terms=40)


def pest_control_by_hand(choices, key, n_histories):
    """The benchmark as a loop over histories and stages, with the draws that the file's key gives."""
    n_stages = len(choices)
    initial_key, spread_key, control_key = jax.random.split(jax.random.key(key), 3)
    with jax.enable_x64(True):
        initial = np.asarray(jax.random.uniform(initial_key, (n_histories,), dtype="float64"))
        spread = np.asarray(jax.random.uniform(spread_key, (n_stages, n_histories), dtype="float64"))
        control = np.asarray(jax.random.uniform(control_key, (n_stages, n_histories), dtype="float64"))
    price, discount = {1: 1.0, 2: 0.8, 3: 0.7, 4: 0.5}, {1: 0.2, 2: 0.3, 3: 0.3, 4: 0.0}
    parameter, tolerance = {1: 2 / 7, 2: 3 / 7, 3: 3 / 7, 4: 5 / 7}, {1: 1 / 7, 2: 2.5 / 7, 3: 2 / 7, 4: 0.5 / 7}
    loss = 0.0
    for history in range(n_histories):
        infested, used = 1 - (1 - initial[history]) ** (1 / 30), dict.fromkeys(price, 0)
        for stage, choice in enumerate(choices):
            loss += (infested > 0.1) / n_histories
            if choice == 0:
                infested += (1 - (1 - spread[stage, history]) ** (3 / 17)) * (1 - infested)
            else:
                b = parameter[choice] + used[choice] * tolerance[choice] / n_stages
                infested *= (1 - control[stage, history]) ** (1 / b)
                used[choice] += 1
    for choice in price:
        n_uses = list(choices).count(choice)
        loss += n_uses * price[choice] * (1 - discount[choice] * n_uses / n_stages)
    return loss


def test_pest_control_is_its_loop():
    objective = uq.load("pest_control")
    assert objective.categorical == dict.fromkeys(range(25), 5)
    points = np.random.default_rng(0).integers(0, 5, (6, 25)).astype(float)
    points[0], points[1] = 0, 4
    expected = [pest_control_by_hand(point.astype(int), 0, 100) for point in points]
    values = objective.forward.run(points)[:, 0]
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    np.testing.assert_array_equal(objective.forward.run(points)[:, 0], values)
    # Rounded down, so that draws of the inputs are points too; the upper end is the last category.
    np.testing.assert_array_equal(objective.forward.run(np.minimum(points + 0.999, 5.0))[:, 0], values)
    np.testing.assert_array_equal(objective.forward.run(np.full((1, 25), 5.0))[:, 0], values[1])


def test_pest_control_depends_on_its_key_and_sizes():
    point = np.tile([0.0, 1.0, 2.0, 3.0, 4.0], 2)[None]
    other = uq.load("pest_control", n_stages=10, n_histories=7, key=5)
    assert value(other, point) == pytest.approx(pest_control_by_hand(point[0].astype(int), 5, 7), rel=1e-12)
    assert value(uq.load("pest_control", n_stages=10, key=1), point) != value(other, point)
    assert pest_control.CHOICES[0] == "none"


def brusselator_by_lines(point, n_cells, noise):
    """Weighted variance by the method of lines, the Laplacian a matrix, time by SciPy's stiff solver."""
    a, b, d0, d1 = point
    line = np.diag(np.full(n_cells, -2.0)) + np.eye(n_cells, k=1) + np.eye(n_cells, k=-1)
    line[0, 0] = line[-1, -1] = -1

    def rate(_, state):
        u, v = state.reshape(2, n_cells, n_cells)
        du = d0 * (line @ u + u @ line) + a - (b + 1) * u + u * u * v
        dv = d1 * (line @ v + v @ line) + b * u - u * u * v
        return np.concatenate([du.ravel(), dv.ravel()])

    start = np.concatenate([np.full(n_cells**2, a), (b / a + 0.1 * noise).ravel()])
    end = solve_ivp(rate, (0, 20), start, method="LSODA", rtol=1e-10, atol=1e-11).y[:, -1]
    edge = np.minimum(np.arange(n_cells), np.arange(n_cells)[::-1]) < 2
    weight = np.where(edge[:, None] | edge, 1.0, 0.1)
    return np.var(end.reshape(2, n_cells, n_cells) * weight, ddof=1)


@cache
def small_brusselator():
    """Compiled once for all tests."""
    return brusselator.make(n_cells=10)


@pytest.mark.parametrize(
    "point",
    [(1.0, 3.0, 1.0, 0.1), (2.0, 2.0, 0.5, 0.5), (0.5, 4.2, 3.9, 1.2), (5.0, 0.1, 5.0, 5.0), (0.3, 4.0, 0.5, 5.0)],
)
def test_the_brusselator_is_its_method_of_lines(point):
    with jax.enable_x64(True):
        noise = np.asarray(jax.random.normal(jax.random.key(0), (10, 10), dtype="float64"))
    assert value(small_brusselator(), point) == pytest.approx(brusselator_by_lines(point, 10, noise), rel=2e-5)


def test_where_even_states_are_stable_the_brusselator_ends_in_one():
    """u = a and v = b / a: the variance is that of these values times the weight."""
    weight = np.full((10, 10), 1.0)
    weight[2:8, 2:8] = 0.1
    expected = np.var(np.stack([2.0 * weight, 0.5 * weight]), ddof=1)
    assert value(small_brusselator(), (2.0, 1.0, 3.0, 3.0)) == pytest.approx(expected, rel=1e-6)


def test_a_brusselator_that_runs_out_of_steps_is_no_number(monkeypatch):
    monkeypatch.setattr(brusselator, "_MOST_STEPS", 20)
    objective = brusselator.make(n_cells=8)
    values = objective.forward.run(np.array([[1.0, 3.0, 1.0, 0.1]]))
    assert np.isnan(values).all()
    assert not objective.feasible(values).any()


def test_settings_of_the_brusselator():
    point = (1.0, 3.0, 1.0, 0.1)
    assert value(brusselator.make(n_cells=10, key=1), point) != value(small_brusselator(), point)
    with pytest.raises(InputError, match="`n_cells` is 4 and `tolerance` 1e-06; pass at least 5"):
        brusselator.make(n_cells=4)


LANDER = (0.5, 1.0, 0.4, 0.55, 0.5, 1.0, 0.5, 0.5, 0.0, 0.5, 0.05, 0.05)


@pytest.mark.parametrize(
    ("state", "action"),
    [
        ((0, 1, 0, 0, 0, 0, 0, 0), 0),  # upright above the pad: nothing
        ((0, 0, 0, -1, 0, 0, 0, 0), 2),  # falling: main engine
        ((0, 1, 0, 0, 0.5, 0, 0, 0), 3),  # tilted one way
        ((0, 1, 0, 0, -0.5, 0, 0, 0), 1),  # and the other
        ((0, 0, 0, -0.2, 0.5, 0.5, 1, 0), 2),  # on the ground only the fall counts
        ((0, 0, 0, 0, 0.5, 0.5, 0, 1), 0),
        ((9, 1, 0, 0, 0.4, 0, 0, 0), 2),  # wanted tilt at its limit; wanted height far above
    ],
)
def test_what_the_lander_fires(state, action):
    assert lunar_lander.controller_action(state, LANDER) == action


def test_without_gymnasium_the_lander_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    objective = uq.load("lunar_lander")
    assert objective.maximise == {"reward": True}
    assert not objective.forward.is_jax
    with pytest.raises(InputError, match=r"needs Gymnasium with Box2D.*pip install gymnasium\[box2d\]"):
        objective.forward.run(np.ones((1, 12)))


def test_a_lander_needs_a_landing():
    with pytest.raises(InputError, match="`n_episodes` is 0; pass at least one landing"):
        uq.load("lunar_lander", n_episodes=0)


@pytest.mark.filterwarnings("ignore:builtin type .* has no __module__ attribute:DeprecationWarning")
def test_the_lander_of_gymnasium():
    pytest.importorskip("Box2D")
    gymnasium = pytest.importorskip("gymnasium")
    heuristic = pytest.importorskip("gymnasium.envs.box2d.lunar_lander").heuristic
    environment = gymnasium.make("LunarLander-v3")
    rng = np.random.default_rng(0)
    actions = []
    for _ in range(500):
        state = np.concatenate([rng.uniform(-1, 1, 6), rng.random(2) < 0.2])
        actions.append(lunar_lander.controller_action(state, LANDER))
        assert actions[-1] == heuristic(environment, state)
    assert set(actions) == {0, 1, 2, 3}
    total, seed = 0.0, 1
    state, _ = environment.reset(seed=seed)
    is_over = False
    while not is_over:
        state, reward, ended, out_of_time, _ = environment.step(heuristic(environment, state))
        total, is_over = total + float(reward), ended or out_of_time
    both, first = (value(uq.load("lunar_lander", n_episodes=n), LANDER) for n in (2, 1))
    assert 2 * both - first == pytest.approx(total)
    assert both > 200 > value(uq.load("lunar_lander", n_episodes=2), np.full(12, 1.0))
