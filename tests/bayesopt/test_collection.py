"""Test problems of BoTorch as objectives: values, directions, limits, reference points and optima are BoTorch's."""

import botorch
import numpy as np
import pytest
import torch
from botorch.test_functions import Branin, BraninCurrin, ConstrainedBraninCurrin, Cosine8, Hartmann, Penicillin
from botorch.test_functions.synthetic import AckleyMixed, ConstrainedHartmann
from botorch.utils.multi_objective.hypervolume import Hypervolume
from botorch.utils.multi_objective.pareto import is_non_dominated

from tests.callers import without_type_hook
from uqkit import InputError, Objective
from uqkit.bayesopt.collection import from_botorch

PROBLEMS = [
    (Hartmann(dim=6), ["y"], False, -3.32237),
    (Hartmann(dim=6, negate=True), ["y"], True, 3.32237),
    (Cosine8(), ["y"], True, 0.8),
    (Cosine8(negate=True), ["y"], False, -0.8),
    (BraninCurrin(), ["y1", "y2"], False, 59.36011874867746),
    (BraninCurrin(negate=True), ["y1", "y2"], True, 59.36011874867746),
    (Penicillin(), ["y1", "y2", "y3"], False, 2183455.909507436),
    (ConstrainedHartmann(dim=6), ["y"], False, -3.32237),
    (ConstrainedBraninCurrin(), ["y1", "y2"], False, 608.4004237022673),
]
NAMES = [f"{type(problem).__name__}{'-negated' * problem.negate}" for problem, *_ in PROBLEMS]


def best_of(objective: Objective) -> float:
    assert objective.best is not None
    return float(objective.best.values[0])


@pytest.mark.parametrize(("problem", "names", "is_maximised", "best"), PROBLEMS, ids=NAMES)
def test_values_and_directions_are_botorchs(problem, names, is_maximised, best):
    objective = from_botorch(problem)
    assert objective.name == type(problem).__name__
    assert objective.maximise == dict.fromkeys(names, is_maximised)
    assert best_of(objective) == best
    np.testing.assert_array_equal(objective.bounds, problem.bounds.numpy())
    points = objective.inputs.sample(64, key=0)
    given = torch.from_numpy(points)
    values = objective.forward.run(points)
    np.testing.assert_array_equal(values[:, : len(names)], problem(given).numpy().reshape(64, -1))
    if len(names) == 1:
        assert problem.is_minimization_problem is not is_maximised
        assert objective.reference_point is None
    else:
        assert objective.reference_point == dict(zip(names, problem.ref_point.tolist(), strict=True))
    if objective.constraints:
        assert objective.constraints == dict.fromkeys(objective.constraints, (0.0, np.inf))
        np.testing.assert_array_equal(values[:, len(names) :], problem.evaluate_slack(given).numpy())
        feasible = objective.feasible(values)
        np.testing.assert_array_equal(feasible, problem.is_feasible(given).numpy())
        assert 0 < feasible.sum() < 64
    else:
        assert values.shape[1] == len(names)
    assert not objective.forward.is_jax
    assert objective.forward.points_per_call > 1


@pytest.mark.parametrize("negate", [False, True])
def test_the_hypervolume_is_measured_on_the_right_side_of_the_reference_point(negate):
    """With values and reference point so signed that larger is better, much of the largest hypervolume is covered."""
    objective = from_botorch(BraninCurrin(negate=negate))
    assert objective.reference_point is not None
    values = torch.from_numpy(objective.utilities(objective.forward.run(objective.inputs.sample(2_000, key=0))))
    worst = torch.tensor(list(objective.reference_point.values())).double() * torch.from_numpy(objective.signs)
    covered = Hypervolume(worst).compute(values[is_non_dominated(values)])
    assert 0.85 * best_of(objective) < covered < best_of(objective)


def test_optima_are_attained():
    for problem in (Hartmann(dim=6), Branin(negate=True), Cosine8()):
        optimizers = problem.optimizers
        assert isinstance(optimizers, torch.Tensor)
        values = from_botorch(problem).forward.run(optimizers.numpy())
        np.testing.assert_allclose(values, best_of(from_botorch(problem)), atol=1e-5)


def test_no_optimum_is_none():
    assert from_botorch(botorch.test_functions.Michalewicz(dim=3)).best is None
    assert from_botorch(botorch.test_functions.DTLZ5(dim=4)).best is None


def test_calling_it_leaves_the_points_alone():
    points = np.full((2, 6), 0.5)
    from_botorch(Hartmann(dim=6)).forward.run(points)
    assert (points == 0.5).all()
    points.flags.writeable = False
    from_botorch(Hartmann(dim=6)).forward.run(points)


def test_single_precision_stays_what_it_is():
    problem = Hartmann(dim=6, dtype=torch.float)
    objective = from_botorch(problem)
    points = objective.inputs.sample(8, key=0)
    expected = problem(torch.from_numpy(points).float())
    np.testing.assert_array_equal(objective.forward.run(points)[:, 0], expected.double().numpy())


class Doubled(Branin):
    def _evaluate_true(self, X):
        return 2 * super()._evaluate_true(X)


def test_versions_are_those_of_what_is_computed():
    def version(problem):
        return from_botorch(problem).forward.version

    assert version(Hartmann(dim=6)) == version(Hartmann(dim=6))
    kinds = [
        Hartmann(dim=6),
        Hartmann(dim=3),
        Hartmann(dim=6, negate=True),
        Hartmann(dim=6, bounds=[(0.0, 2.0)] * 6),
        Branin(),
        Doubled(),
    ]
    assert len({version(kind) for kind in kinds}) == len(kinds)


class Wrapped(Branin):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def _evaluate_true(self, X):
        return self.function(super()._evaluate_true(X))


def test_what_a_problem_holds_counts_in_its_version():
    versions = [from_botorch(Wrapped(function)).forward.version for function in (torch.sin, torch.cos)]
    assert versions[0] is None or versions[0] != versions[1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Hartmann, r"`test_function` is the class Hartmann; pass an instance of .* such as Hartmann\(dim=6\)"),
        (np.sin, "`test_function` is a ufunc; pass an instance"),
        (Branin(noise_std=0.1), "made with noise_std=0.1; .* leave noise_std out"),
        (ConstrainedHartmann(constraint_noise_std=0.5), "made with constraint_noise_std=0.5"),
        (AckleyMixed(dim=4), "AckleyMixed has discrete or categorical inputs .*; only continuous ones are adapted"),
    ],
)
def test_what_cannot_be_taken(given, message):
    with without_type_hook(), pytest.raises(InputError, match=message):
        from_botorch(given)
