"""Mean-field theory of a learner with a posterior over signs against gradient descent on the same objective."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

from uqkit import InputError
from uqkit.continual.teacher_student import NotConvergedError, simulate, state_evolution
from uqkit.continual.teacher_student import state_evolution as face
from uqkit.continual.teacher_student.energetic import energetic

LOADS = (0.5, 1.0, 1.5)


@pytest.fixture(scope="module")
def simulated():
    return [simulate((load,), key=number) for number, load in enumerate(LOADS)]


def deviations(run, theory):
    """Differences of R and Q, and in standard errors of the simulation."""
    found = np.stack([run.overlap[:, 0, 0], run.self_overlap[:, 0]])
    error = found.std(axis=1, ddof=1) / np.sqrt(found.shape[1])
    difference = found.mean(axis=1) - [theory.overlap[0, 0], theory.self_overlap[0]]
    return np.abs(difference), np.abs(difference) / error


@pytest.mark.parametrize("number", range(len(LOADS)))
def test_one_task_agrees_with_gradient_descent(simulated, number):
    difference, z = deviations(simulated[number], state_evolution((LOADS[number],)))
    assert difference.max() < 0.010
    # Four errors' worth of finite size is allowed for beside five standard errors of eight seeds.
    assert z.max() < 5


def test_without_the_feedback_of_the_variance_it_does_not(simulated, monkeypatch):
    module = __import__("importlib").import_module("uqkit.continual.teacher_student.state_evolution")
    monkeypatch.setattr(module, "energetic", lambda *given: replace(energetic(*given), feedback=0.0))
    broken = [deviations(run, face((load,))) for run, load in zip(simulated, LOADS, strict=True)]
    assert all(difference.max() > 0.010 for difference, _ in broken)
    assert all(z.max() > 5 for _, z in broken)


# Strength, loads, similarity; R1, Q1, R2, T1, Q2 and the errors on both tasks, by an independent code for the theory.
PAIRS = [
    (1.0, (1.2, 1.0), 0.5, (0.4341, 0.3248, 0.4924, 0.4809, 0.4853, 0.2575, 0.2501)),
    (1.0, (1.2, 1.0), -0.5, (0.4341, 0.3248, 0.1387, 0.1576, 0.3373, 0.4125, 0.4232)),
    (1.0, (0.8, 1.2), 0.0, (0.2957, 0.2093, 0.3920, 0.1935, 0.3897, 0.3997, 0.2839)),
    (2.0, (1.2, 1.2), 0.5, (0.2612, 0.1317, 0.3598, 0.3343, 0.2523, 0.2682, 0.2458)),
    (0.7, (1.0, 0.8), 0.0, (0.4626, 0.4024, 0.3014, 0.3286, 0.4916, 0.3447, 0.3586)),
]


def numbers(overlap, self_overlap, accuracy):
    return np.stack(
        [
            overlap[..., 0, 0],
            self_overlap[..., 0],
            overlap[..., 1, 1],
            overlap[..., 1, 0],
            self_overlap[..., 1],
            1 - accuracy[..., 1, 0],
            1 - accuracy[..., 1, 1],
        ]
    )


@pytest.mark.parametrize(("strength", "loads", "similarity", "expected"), PAIRS)
def test_two_tasks_agree_with_gradient_descent(strength, loads, similarity, expected):
    theory = state_evolution(loads, strength=strength, similarity=similarity)
    predicted = numbers(theory.overlap, theory.self_overlap, theory.accuracy)
    assert predicted == pytest.approx(np.array(expected), abs=1e-4)
    run = simulate(loads, strength=strength, similarity=similarity, key=0)
    found = numbers(run.overlap, run.self_overlap, run.accuracy)
    difference = np.abs(found.mean(axis=1) - predicted)
    assert difference.max() < 0.012
    assert (difference / (found.std(axis=1, ddof=1) / np.sqrt(found.shape[1]))).max() < 5


def test_the_accuracy_matrix_of_five_tasks_agrees_with_gradient_descent():
    theory = state_evolution((1.0,) * 5)
    run = simulate((1.0,) * 5, n_seeds=4, key=0)
    seen = np.tril_indices(5)
    difference = np.abs(run.accuracy.mean(axis=0) - theory.accuracy)
    assert difference.max() < 0.015
    assert difference[seen].mean() < 0.005
    assert theory.accuracy[:, 0] == pytest.approx([0.751, 0.638, 0.596, 0.571, 0.556], abs=1.5e-3)
    assert np.diag(theory.accuracy) == pytest.approx([0.751, 0.675, 0.648, 0.634, 0.629], abs=1.5e-3)


def test_a_net_of_sites_agrees_with_the_product_of_grids():
    # Three tasks are solved on a digital net; their first two are those solved by quadrature.
    three = state_evolution((1.0, 1.2, 1.0), similarity=0.25)
    two = state_evolution((1.0, 1.2), similarity=0.25)
    assert three.overlap[:2, :2] == pytest.approx(two.overlap, abs=2e-3)
    assert three.self_overlap[:2] == pytest.approx(two.self_overlap, abs=2e-3)


def test_a_fading_memory_serves_the_last_task():
    kept, faded = (state_evolution((1.0,) * 5, memory=memory) for memory in (1.0, 0.5))
    assert faded.accuracy[-1, -1] > kept.accuracy[-1, -1] + 0.05
    assert faded.accuracy[-1].mean() < kept.accuracy[-1].mean()


def test_opposed_teachers_may_leave_the_second_task_worse_than_chance():
    assert state_evolution((1.2, 0.5), similarity=-0.5).accuracy[1, 1] == pytest.approx(1 - 0.514, abs=1e-3)


def test_where_the_imperfect_branch_costs_more_and_where_it_ends():
    crossing = brentq(lambda load: state_evolution((load,)).free_energy[0] - np.log(2), 1.6, 1.9, xtol=1e-4)
    assert crossing == pytest.approx(1.75, abs=0.01)
    low, high = 2.0, 2.3
    while high - low > 2e-3:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if state_evolution((middle,)).perfect else (middle, high)
    assert low == pytest.approx(2.13, abs=0.01)


def test_solutions_that_theory_does_not_vouch_for_are_refused():
    with pytest.raises(NotConvergedError, match="task 0 at load 0.8 and strength 0.3"):
        state_evolution((0.8,), strength=0.3)
    with pytest.raises(NotConvergedError, match="task 0 at load 3.0 .* learned perfectly"):
        state_evolution((3.0, 1.0))


@pytest.mark.parametrize(
    ("loads", "settings", "message"),
    [
        ((), {}, "pass a load above zero"),
        ((0.0,), {}, "pass a load above zero"),
        ((1.0,), {"strength": (1.0, 2.0)}, "one for each of 1 tasks"),
        ((1.0,), {"strength": -1.0}, "above zero"),
        ((1.0,), {"memory": 2.0}, "memory=2.0"),
        ((1.0,), {"similarity": 2.0}, "similarity=2.0"),
    ],
)
def test_wrong_arguments_are_refused(loads, settings, message):
    with pytest.raises(InputError, match=message):
        state_evolution(loads, **settings)
    with pytest.raises(InputError, match="odd number of inputs"):
        simulate((1.0,), n_inputs=10, key=0)
