"""The linear posterior against closed forms, and what BoTorch asks of a model that rests on it."""

from typing import Any

import gpytorch
import numpy as np
import pytest
import torch
from botorch.acquisition import LogExpectedImprovement, qLogExpectedImprovement, qLogNoisyExpectedImprovement
from botorch.acquisition.objective import ScalarizedPosteriorTransform
from botorch.models.transforms import Normalize, Standardize
from botorch.optim import optimize_acqf
from botorch.posteriors import GPyTorchPosterior
from botorch.sampling import SobolQMCNormalSampler
from torch import Tensor

from uqkit.bayesopt.linear_posterior import FunctionSpace, Rows, WeightSpace, linear_posterior
from uqkit.bayesopt.linearised import LinearisedModel
from uqkit.errors import InputError

SIDES = (FunctionSpace, WeightSpace)


class Quadratic(LinearisedModel):
    """Outputs that share six features; the scales are given."""

    def fit(self) -> "Quadratic":
        self._condition()
        return self

    def _rows(self, columns: Tensor, outputs: list[int]) -> Rows:
        x, y = columns[..., 0], columns[..., 1]
        features = torch.stack([torch.ones_like(x), x, y, x * y, x**2, y**2], dim=-1)
        mix = torch.tensor([[1.0, 1, 1, 1, 1, 1], [1, -1, 0.5, 0, 1, -0.2]], dtype=torch.double)
        shared = features[..., None, :] * mix[outputs]
        mean = (0.3 * x[..., None]).expand(*x.shape, len(outputs))
        return Rows.of(shared.flatten(-3, -2), mean.flatten(-2))

    def _noise_variance(self) -> Tensor:
        return torch.tensor([0.01, 0.04], dtype=torch.double)[: self.network.n_outputs]

    def _left_out(self, kept: Any, left: Any, key: Any) -> Any:
        raise NotImplementedError

    def _take_up(self, record: Any) -> None:
        raise NotImplementedError


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def data(n_rows: int = 12, n_outputs: int = 1) -> tuple[Tensor, Tensor]:
    X = torch.rand(n_rows, 2, dtype=torch.double, generator=generator()) * 3
    Y = torch.stack([torch.sin(2 * X[:, 0]) + X[:, 1], X[:, 0] * X[:, 1]], dim=-1)
    return X, Y[:, :n_outputs]


def model(n_outputs: int = 1, **settings) -> Quadratic:
    return Quadratic(*data(n_outputs=n_outputs), **settings, key=0).fit()


def linear_problem(n_rows: int, n_weights: int) -> tuple[Rows, Tensor, Tensor, Rows]:
    random = generator()
    features = torch.randn(n_rows, n_weights, dtype=torch.double, generator=random)
    points = torch.randn(3, n_weights, dtype=torch.double, generator=random)
    targets = torch.randn(n_rows, dtype=torch.double, generator=random)
    noise = 0.05 + torch.rand(n_rows, dtype=torch.double, generator=random)
    mean = torch.randn(n_rows, dtype=torch.double, generator=random)
    return Rows.of(features, mean), targets, noise, Rows.of(points)


def closed_form(rows: Rows, targets: Tensor, noise: Tensor, points: Rows) -> tuple[Tensor, Tensor]:
    features, at = rows.features(), points.features()
    covariance = torch.linalg.inv(torch.eye(rows.n_weights) + features.mT @ torch.diag(1 / noise) @ features)
    weights = covariance @ features.mT @ ((targets - rows.mean) / noise)
    return points.mean + at @ weights, at @ covariance @ at.mT


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("shape", [(8, 5), (5, 8)])
def test_both_sides_equal_the_closed_form(side, shape):
    problem = linear_problem(*shape)
    mean, covariance = side.of(*problem[:3]).moments(problem[3])
    expected_mean, expected_covariance = closed_form(*problem)
    assert torch.allclose(mean, expected_mean, atol=1e-11)
    assert torch.allclose(covariance, expected_covariance, atol=1e-11)


def test_the_shorter_side_is_taken():
    assert isinstance(linear_posterior(*linear_problem(8, 5)[:3]), WeightSpace)
    assert isinstance(linear_posterior(*linear_problem(5, 8)[:3]), FunctionSpace)


def test_outer_products_are_features():
    random = generator()
    left, right = (torch.randn(4, n, dtype=torch.double, generator=random) for n in (3, 2))
    rows = Rows(torch.zeros(4, dtype=torch.double), ((left, right), (right, left)))
    features = rows.features()
    assert features.shape == (4, rows.n_weights) == (4, 12)
    assert torch.allclose(rows.kernel(rows), features @ features.mT, atol=1e-12)


@pytest.mark.parametrize("side", SIDES)
def test_conditioning_in_batches_equals_conditioning_at_once(side):
    rows, targets, noise, points = linear_problem(8, 5)
    first, random = side.of(rows, targets, noise), generator()
    features = torch.randn(4, 2, 5, dtype=torch.double, generator=random)
    more = torch.randn(3, 4, 2, dtype=torch.double, generator=random)
    conditioned = first.conditioned(Rows.of(features), more, torch.full((2,), 0.3, dtype=torch.double))
    assert conditioned.batch_shape == (3, 4)
    mean, covariance = conditioned.moments(points)
    for fantasy in range(3):
        for batch in range(4):
            joined = rows.joined(Rows.of(features[batch]))
            whole = side.of(
                joined, torch.cat([targets, more[fantasy, batch]]), torch.cat([noise, torch.full((2,), 0.3)])
            )
            expected_mean, expected_covariance = whole.moments(points)
            assert torch.allclose(mean[fantasy, batch], expected_mean, atol=1e-10)
            assert torch.allclose(covariance.expand(3, 4, 3, 3)[fantasy, batch], expected_covariance, atol=1e-10)
    again = conditioned.conditioned(Rows.of(features[:, :1]), more[..., :1], torch.ones(1, dtype=torch.double))
    assert again.moments(points)[0].shape == (3, 4, 3)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_leaving_out_equals_brute_force(side, n_outputs):
    rows, targets, noise, _ = linear_problem(8, 5)
    mean, variance = side.of(rows, targets, noise).left_out(n_outputs)
    for point in range(8 // n_outputs):
        left = torch.arange(n_outputs) + point * n_outputs
        kept = torch.tensor([row for row in range(8) if row not in left])
        others = Rows.of(rows.features()[kept], rows.mean[kept])
        out = Rows.of(rows.features()[left], rows.mean[left])
        expected_mean, covariance = closed_form(others, targets[kept], noise[kept], out)
        assert torch.allclose(mean[point], expected_mean, atol=1e-10)
        assert torch.allclose(variance[point], covariance.diagonal() + noise[left], atol=1e-10)


def test_it_is_a_gaussian_process_with_a_linear_kernel():
    rows, targets, _, points = linear_problem(8, 5)
    noise = torch.full((8,), 0.1, dtype=torch.double)

    class LinearKernelGP(gpytorch.models.ExactGP):
        def __init__(self) -> None:
            likelihood = gpytorch.likelihoods.FixedNoiseGaussianLikelihood(noise)
            super().__init__(rows.features(), targets - rows.mean, likelihood)
            self.mean_module, self.covar_module = gpytorch.means.ZeroMean(), gpytorch.kernels.LinearKernel()
            self.covar_module.variance = 1.0

        def forward(self, x: Tensor) -> gpytorch.distributions.MultivariateNormal:
            mean: Any = self.mean_module(x)
            return gpytorch.distributions.MultivariateNormal(mean, self.covar_module(x))

    other: Any = LinearKernelGP().double().eval()
    with torch.no_grad(), gpytorch.settings.fast_computations(False, False, False):
        expected = other(points.features())
    mean, covariance = linear_posterior(rows, targets, noise).moments(points)
    assert torch.allclose(mean, expected.mean, atol=1e-8)
    assert torch.allclose(covariance, expected.covariance_matrix, atol=1e-8)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_joint_posterior_of_points_and_outputs_equals_brute_force(n_outputs):
    surrogate = model(n_outputs)
    X, Y = data(n_outputs=n_outputs)
    points = torch.rand(4, 3, 2, dtype=torch.double, generator=generator())
    posterior = surrogate.posterior(points)
    assert isinstance(posterior, GPyTorchPosterior)
    assert posterior.mean.shape == (4, 3, n_outputs)
    mean, sd, outputs = Y.mean(0), Y.std(0), list(range(n_outputs))
    rows = surrogate._rows(surrogate.encoder(X), outputs)
    noise = surrogate._noise_variance().repeat(len(X))
    at = surrogate._rows(surrogate.encoder(points[1]), outputs)
    expected_mean, covariance = closed_form(rows, ((Y - mean) / sd).flatten(), noise, at)
    scale = sd.repeat(3)
    assert torch.allclose(posterior.mean[1], expected_mean.reshape(3, n_outputs) * sd + mean, atol=1e-10)
    expected = covariance * (scale[:, None] * scale)
    assert torch.allclose(posterior.distribution.covariance_matrix[1], expected, atol=1e-10)
    noisy = surrogate.posterior(points, observation_noise=True)
    assert torch.allclose(noisy.variance - posterior.variance, (surrogate._noise_variance() * sd**2).expand(4, 3, -1))
    given = surrogate.posterior(points, observation_noise=torch.full((1, n_outputs), 0.7, dtype=torch.double))
    assert torch.allclose(given.variance - posterior.variance, torch.tensor(0.7, dtype=torch.double))


def test_affine_transforms_change_nothing():
    plain = model(2)
    transformed = model(2, input_transform=Normalize(2), outcome_transform=Standardize(2))
    points = torch.rand(3, 2, 2, dtype=torch.double, generator=generator())
    one, other = plain.posterior(points, observation_noise=True), transformed.posterior(points, observation_noise=True)
    assert torch.allclose(one.mean, other.mean, atol=1e-9)
    assert torch.allclose(one.distribution.covariance_matrix, other.distribution.covariance_matrix, atol=1e-9)
    more = torch.rand(2, 2, dtype=torch.double, generator=generator()), torch.zeros(2, 2, dtype=torch.double)
    one, other = (m.condition_on_observations(*more).posterior(points) for m in (plain, transformed))
    assert torch.allclose(one.mean, other.mean, atol=1e-9)
    part = transformed.subset_output([1])
    assert torch.allclose(part.posterior(points).mean, plain.posterior(points, output_indices=[1]).mean, atol=1e-9)


def test_posterior_transform():
    points = torch.rand(3, 2, 2, dtype=torch.double, generator=generator())
    weights = torch.tensor([0.5, 2.0], dtype=torch.double)
    scalar = model(2).posterior(points, posterior_transform=ScalarizedPosteriorTransform(weights))
    assert torch.allclose(scalar.mean[..., 0], model(2).posterior(points).mean @ weights)


def test_known_noise_is_used_row_by_row():
    X, Y = data()
    Yvar = torch.linspace(0.01, 1.0, len(X), dtype=torch.double)[:, None]
    surrogate = Quadratic(X, Y, Yvar, key=0).fit()
    points = X[:2] + 0.1
    rows, at = (surrogate._rows(surrogate.encoder(x), [0]) for x in (X, points))
    expected, _ = closed_form(rows, ((Y - Y.mean()) / Y.std()).flatten(), (Yvar / Y.var()).flatten(), at)
    assert torch.allclose(surrogate.posterior(points).mean[:, 0], expected * Y.std() + Y.mean(), atol=1e-9)
    difference = surrogate.posterior(points, observation_noise=True).variance - surrogate.posterior(points).variance
    assert torch.allclose(difference, Yvar.mean())


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_fantasies_have_batches_and_average_to_the_posterior(n_outputs):
    surrogate = model(n_outputs)
    X = torch.rand(3, 2, 2, dtype=torch.double, generator=generator())
    fantasies = surrogate.fantasize(X, SobolQMCNormalSampler(torch.Size([256]), seed=0))
    assert fantasies.batch_shape == (256, 3)
    assert fantasies.num_outputs == n_outputs
    assert fantasies.train_inputs[0].shape == (256, 3, 14, 2)
    points = torch.rand(2, 2, dtype=torch.double, generator=generator())
    posterior = fantasies.posterior(points)
    assert posterior.mean.shape == (256, 3, 2, n_outputs)
    assert posterior.rsample(torch.Size([2])).shape == (2, 256, 3, 2, n_outputs)
    before = surrogate.posterior(points)
    # Total variance: what is left and how far the means spread.
    spread = posterior.mean.var(0) + posterior.variance.mean(0)
    assert torch.allclose(posterior.mean.mean(0)[1], before.mean, atol=0.02)
    assert torch.allclose(spread[1], before.variance, rtol=0.1)
    assert surrogate.batch_shape == ()


def test_a_part_of_the_outputs_keeps_what_the_others_taught_and_can_be_conditioned():
    whole, points = model(2), torch.rand(3, 2, dtype=torch.double, generator=generator())
    part = whole.subset_output([1])
    assert part.num_outputs == 1
    assert torch.allclose(part.posterior(points).variance, whole.posterior(points).variance[:, 1:])
    more = part.condition_on_observations(points, torch.zeros(3, 1, dtype=torch.double))
    assert (more.posterior(points).variance < part.posterior(points).variance).all()
    with pytest.raises(InputError, match="outputs from 0 to 1"):
        whole.subset_output([2])


def test_leave_one_out_of_a_surrogate():
    mean, variance = model(2).loo()
    assert isinstance(mean, np.ndarray)
    assert mean.shape == variance.shape == (12, 2)
    with pytest.raises(InputError, match="all outputs"):
        model(2).subset_output([0]).loo()


def test_acquisition_functions_and_their_gradients():
    surrogate, bounds = model(), torch.tensor([[0.0, 0.0], [3.0, 3.0]], dtype=torch.double)
    X, Y = data()
    sampler = SobolQMCNormalSampler(torch.Size([16]), seed=0)
    for acquisition, q in (
        (LogExpectedImprovement(surrogate, best_f=Y.max()), 1),
        (qLogExpectedImprovement(surrogate, best_f=Y.max(), sampler=sampler), 2),
        (qLogNoisyExpectedImprovement(surrogate, X_baseline=X[:3], sampler=sampler), 2),
    ):
        candidate, value = optimize_acqf(
            acquisition, bounds, q=q, num_restarts=2, raw_samples=8, options={"seed": 0, "maxiter": 5}
        )
        assert candidate.shape == (q, 2)
        assert value is not None
        assert torch.isfinite(value)


def test_inputs_are_checked():
    with pytest.raises(InputError, match=r"call \.fit\(\) first"):
        Quadratic(*data(), key=0).posterior(torch.zeros(1, 2, dtype=torch.double))
    with pytest.raises(InputError, match="one row of each"):
        model().condition_on_observations(torch.zeros(2, 2), torch.zeros(3, 1))
    with pytest.raises(InputError, match="3 columns"):
        model().posterior(torch.zeros(1, 3, dtype=torch.double))
