"""Surrogates that are Gaussian processes: in BoTorch's loops, left-one-out, in files, and calibrated."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.acquisition.logei import qLogExpectedImprovement, qLogNoisyExpectedImprovement
from botorch.exceptions import ModelFittingError
from botorch.models import SingleTaskGP
from botorch.models.transforms import Normalize, Standardize
from botorch.models.transforms.outcome import Log
from botorch.optim import optimize_acqf
from botorch.sampling import SobolQMCNormalSampler
from botorch.test_functions import Hartmann
from gpytorch.kernels import RBFKernel
from gpytorch.likelihoods import FixedNoiseGaussianLikelihood
from torch import Tensor

from uqkit.bayesopt import gaussian
from uqkit.bayesopt.deep_kernel import DeepKernel, DeepKernelGP
from uqkit.bayesopt.gaussian import GaussianSurrogate
from uqkit.bayesopt.infinite_width import InfiniteWidthGP
from uqkit.bayesopt.kernels import NTK, Erf
from uqkit.bayesopt.linear import LinearGP
from uqkit.errors import InputError
from uqkit.inference.optimise import ConvergenceError

type Make = Callable[..., GaussianSurrogate]

# Points that coincide with others, or lie on one plane, have a singular covariance: BoTorch adds to its diagonal.
singular = pytest.mark.filterwarnings("ignore:A not p.d.:linear_operator.utils.warnings.NumericalWarning")

SMALL = {"n_features": 2, "widths": (5,), "n_networks": 4}
MAKERS: dict[str, Make] = {
    "relu": InfiniteWidthGP,
    "erf tangent": partial(InfiniteWidthGP, activation=Erf(), limit=NTK(), ard=False, depth=2),
    "deep": partial(DeepKernelGP, **SMALL),
    "linear": LinearGP,
    "linear ard": partial(LinearGP, ard=True),
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Make:
    return MAKERS[request.param]


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


INPUTS = uniform(14, 3)
NEW = uniform(5, 2, 3, seed=1)


def outputs_at(x: Tensor, n_outputs: int = 1) -> Tensor:
    columns = [torch.sin(4 * x[..., 0]) + x[..., 1], 3 + 10 * torch.cos(3 * x[..., 1]) * x[..., 2]]
    return torch.stack(columns[:n_outputs], dim=-1)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_shapes(make: Make, n_outputs: int) -> None:
    surrogate = make(INPUTS, outputs_at(INPUTS, n_outputs), key=0)
    posterior = surrogate.posterior(NEW)
    assert posterior.mean.shape == posterior.variance.shape == (5, 2, n_outputs)
    assert posterior.rsample(torch.Size([3])).shape == (3, 5, 2, n_outputs)
    noisy = surrogate.posterior(NEW, observation_noise=True)
    assert (noisy.variance > posterior.variance).all()
    assert surrogate.num_outputs == n_outputs


def test_each_output_is_fitted_as_if_it_were_alone(make: Make) -> None:
    both = make(INPUTS, outputs_at(INPUTS, 2), key=0).fit()
    for index in range(2):
        alone = make(INPUTS, outputs_at(INPUTS, 2)[:, [index]], key=0).fit()
        # Two optimisers, of one problem and of a batch of them, stop at their tolerance.
        found, expected = both.posterior(NEW), alone.posterior(NEW)
        torch.testing.assert_close(found.mean[..., [index]], expected.mean, rtol=0.02, atol=0.02)


def test_outputs_are_subset(make: Make) -> None:
    both = make(INPUTS, outputs_at(INPUTS, 2), key=0)
    for parameter in both.parameters():
        # Outputs must differ in all parameters to be told apart.
        parameter.data += 0.1 * uniform(*parameter.shape)
    expected = both.posterior(NEW)
    for index in range(2):
        posterior = both.subset_output([index]).posterior(NEW)
        torch.testing.assert_close(posterior.mean, expected.mean[..., [index]])
        torch.testing.assert_close(posterior.variance, expected.variance[..., [index]])


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_conditioning_is_to_have_had_more_data(make: Make, n_outputs: int) -> None:
    plain = {"outcome_transform": None, "key": 0}
    with pytest.warns(match="not standardized"):
        few = make(INPUTS[:9], outputs_at(INPUTS[:9], n_outputs), **plain)
    few.posterior(NEW)
    conditioned = few.condition_on_observations(INPUTS[9:], outputs_at(INPUTS[9:], n_outputs))
    with pytest.warns(match="not standardized"):
        many = make(INPUTS, outputs_at(INPUTS, n_outputs), **plain)
    torch.testing.assert_close(conditioned.posterior(NEW).mean, many.posterior(NEW).mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(conditioned.posterior(NEW).variance, many.posterior(NEW).variance, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_fantasies(make: Make, n_outputs: int) -> None:
    surrogate = make(INPUTS, outputs_at(INPUTS, n_outputs), key=0)
    sampler = SobolQMCNormalSampler(torch.Size([4]), seed=0)
    fantasy = surrogate.fantasize(NEW, sampler)
    posterior = fantasy.posterior(uniform(3, 3, seed=2))
    assert posterior.mean.shape == (4, 5, 3, n_outputs)
    assert (fantasy.posterior(NEW).variance < surrogate.posterior(NEW).variance).all()
    with pytest.raises(InputError, match="before it was conditioned on a batch"):
        GaussianSurrogate.loo(fantasy)


def test_transforms_only_change_units(make: Make) -> None:
    outputs = outputs_at(INPUTS)
    plain = make(INPUTS, outputs, key=0)
    low, width = torch.tensor([[-5.0], [40.0]], dtype=torch.float64)
    bounds = torch.stack([low.expand(3), (low + width).expand(3)])
    transformed = make(
        low + width * INPUTS,
        100 * outputs - 7,
        input_transform=Normalize(3, bounds=bounds),
        outcome_transform=Standardize(1),
        key=0,
    )
    found, expected = transformed.posterior(low + width * NEW), plain.posterior(NEW)
    torch.testing.assert_close(found.mean, 100 * expected.mean - 7, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(found.variance, 1e4 * expected.variance, rtol=1e-8, atol=1e-8)


def acquisitions(surrogate: GaussianSurrogate) -> list[AcquisitionFunction]:
    sampler = SobolQMCNormalSampler(torch.Size([16]), seed=0)
    best = outputs_at(INPUTS).max()
    return [
        LogExpectedImprovement(surrogate, best),
        qLogExpectedImprovement(surrogate, best, sampler=sampler),
        qLogNoisyExpectedImprovement(surrogate, INPUTS, sampler=sampler, prune_baseline=False),
    ]


@singular
def test_acquisition_functions_have_gradients_at_training_rows(make: Make) -> None:
    surrogate = make(INPUTS, outputs_at(INPUTS), key=0)
    for acquisition in acquisitions(surrogate):
        at = torch.cat([NEW[:, :1], INPUTS[:4].unsqueeze(-2)]).requires_grad_()
        (gradient,) = torch.autograd.grad(acquisition(at).sum(), at)
        assert gradient.isfinite().all()


def test_gradient_of_an_acquisition_function_at_a_training_row(make: Make) -> None:
    acquisition = LogExpectedImprovement(make(INPUTS, outputs_at(INPUTS), key=0), 0.0)
    at = INPUTS[:1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(acquisition(at), at)
    step = 1e-5
    difference = [
        (acquisition(INPUTS[:1] + step * unit) - acquisition(INPUTS[:1] - step * unit)).item() / (2 * step)
        for unit in torch.eye(3, dtype=torch.float64)
    ]
    np.testing.assert_allclose(gradient[0].numpy(), difference, rtol=1e-3, atol=1e-4)


@singular
def test_acquisition_functions_are_optimised(make: Make) -> None:
    acquisition = acquisitions(make(INPUTS, outputs_at(INPUTS), key=0).fit())[1]
    bounds = torch.tensor([[0.0] * 3, [1.0] * 3], dtype=torch.float64)
    options: dict[str, bool | float | int | str] = {"maxiter": 10, "seed": 0}
    candidates, value = optimize_acqf(acquisition, bounds, q=2, num_restarts=2, raw_samples=8, options=options)
    assert candidates.shape == (2, 3)
    assert value is not None
    assert value.isfinite()
    assert ((candidates >= 0) & (candidates <= 1)).all()


@pytest.mark.parametrize(("n_outputs", "known_noise"), [(1, False), (2, False), (2, True)])
def test_leaving_one_out_equals_refits_at_the_same_hyperparameters(
    make: Make, n_outputs: int, known_noise: bool
) -> None:
    outputs = outputs_at(INPUTS, n_outputs)
    noise = 0.01 + 0.1 * uniform(14, n_outputs, seed=3) if known_noise else None
    surrogate = make(INPUTS, outputs, noise, key=0).fit()
    mean, variance = surrogate.loo()
    assert mean.shape == variance.shape == (14, n_outputs)
    scale = outputs.std(0)
    for row in (0, 13):
        rest = torch.arange(14) != row
        with pytest.warns(match="not standardized"):
            refit = make(
                INPUTS[rest],
                (outputs[rest] - outputs.mean(0)) / scale,
                None if noise is None else (noise / scale**2)[rest],
                outcome_transform=None,
                key=0,
            )
        for theirs, ours in zip(refit.parameters(), surrogate.parameters(), strict=True):
            theirs.data = ours.data
        own = True if noise is None else (noise / scale**2)[row : row + 1]
        expected = refit.posterior(INPUTS[row : row + 1], observation_noise=own)
        np.testing.assert_allclose(mean[row], expected.mean[0].detach().numpy(), rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(variance[row], expected.variance[0].detach().numpy(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("n_outputs", "known_noise"), [(1, False), (2, False), (2, True)])
def test_a_file_gives_the_same_posterior(make: Make, n_outputs: int, known_noise: bool, tmp_path: Path) -> None:
    noise = 0.01 + 0.1 * uniform(14, n_outputs, seed=3) if known_noise else None
    scaled = 3 * INPUTS - 1
    surrogate = make(scaled, outputs_at(INPUTS, n_outputs), noise, input_transform=Normalize(3), key=0).fit()
    surrogate.save(tmp_path / "surrogate.pt")
    loaded = type(surrogate).load(tmp_path / "surrogate.pt", input_transform=Normalize(3))
    expected, found = surrogate.posterior(NEW, observation_noise=True), loaded.posterior(NEW, observation_noise=True)
    torch.testing.assert_close(found.mean, expected.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.variance, expected.variance, rtol=1e-12, atol=1e-12)
    assert isinstance(loaded.likelihood, FixedNoiseGaussianLikelihood) == known_noise
    for ours, theirs in zip(surrogate.loo(), loaded.loo(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_conditioned_and_subset_surrogates_are_saved_too(tmp_path: Path) -> None:
    surrogate = DeepKernelGP(INPUTS, outputs_at(INPUTS, 2), key=3, **SMALL)
    surrogate.posterior(NEW)
    more = surrogate.condition_on_observations(NEW[0], outputs_at(NEW[0], 2))
    for changed in (more, surrogate.subset_output([1])):
        assert isinstance(changed, DeepKernelGP)
        changed.save(tmp_path / "surrogate.pt")
        loaded = DeepKernelGP.load(tmp_path / "surrogate.pt")
        at = NEW[1:]
        torch.testing.assert_close(loaded.posterior(at).mean, changed.posterior(at).mean, rtol=1e-10, atol=1e-10)


def test_files_of_other_surrogates_and_transforms_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "surrogate.pt"
    LinearGP(INPUTS, outputs_at(INPUTS), input_transform=Normalize(3), key=0).save(path)
    with pytest.raises(InputError, match="holds a LinearGP"):
        InfiniteWidthGP.load(path)
    with pytest.raises(InputError, match="`input_transform` is None.*saved with Normalize"):
        LinearGP.load(path)
    with pytest.raises(InputError, match="`outcome_transform` is Log.*saved with Standardize"):
        LinearGP.load(path, input_transform=Normalize(3), outcome_transform=Log())


def test_the_same_key_gives_the_same_numbers_and_torchs_state_is_left_alone(make: Make) -> None:
    state = torch.random.get_rng_state()
    first, second = (make(INPUTS, outputs_at(INPUTS), key=7).fit().posterior(NEW).mean for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_another_key_gives_other_networks() -> None:
    first, second = (DeepKernelGP(INPUTS, outputs_at(INPUTS), key=key, **SMALL).posterior(NEW) for key in (0, 1))
    assert not torch.allclose(first.mean, second.mean)


def test_a_linear_surrogate_learns_a_plane() -> None:
    slope = torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)
    surrogate = LinearGP(INPUTS, INPUTS @ slope + 3, key=0).fit()
    torch.testing.assert_close(surrogate.posterior(NEW).mean, NEW @ slope + 3, rtol=0.01, atol=0.01)


def test_without_features_a_deep_kernel_is_botorchs_default() -> None:
    outputs = outputs_at(INPUTS)
    deep, plain = DeepKernelGP(INPUTS, outputs, key=0, **SMALL), SingleTaskGP(INPUTS, outputs)
    over_features, over_inputs = cast(DeepKernel, deep.covar_module).base_kernel, cast(RBFKernel, plain.covar_module)
    scale = over_features.lengthscale.detach().clone()
    scale[..., 3:] = 1e9
    over_features.lengthscale = scale
    over_inputs.lengthscale = scale[..., :3]
    torch.testing.assert_close(deep.posterior(NEW).mean, plain.posterior(NEW).mean, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(deep.posterior(NEW).variance, plain.posterior(NEW).variance, rtol=1e-8, atol=1e-8)


def test_more_starts_are_never_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    def objective(n_starts: int) -> Tensor:
        monkeypatch.setattr(InfiniteWidthGP, "n_starts", n_starts)
        surrogate = InfiniteWidthGP(INPUTS, outputs_at(INPUTS, 2), key=0).fit()
        return gaussian.objective_value(gaussian.ExactMarginalLogLikelihood(surrogate.likelihood, surrogate))

    assert (objective(3) >= objective(1) - 1e-8).all()


def test_a_fit_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise ModelFittingError("All attempts to fit the model have failed.")

    monkeypatch.setattr(gaussian, "fit_gpytorch_mll", fail)
    with pytest.raises(ConvergenceError, match="could not be fitted from any of 1 starts"):
        LinearGP(INPUTS, outputs_at(INPUTS), key=0).fit()


@pytest.mark.parametrize(
    "setting", [{"n_features": 0}, {"n_networks": 0}, {"widths": ()}, {"freedom": math.nan}, {"freedom": -1.0}]
)
def test_wrong_settings_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(setting))):
        DeepKernelGP(INPUTS, outputs_at(INPUTS), key=0, **setting)


@pytest.mark.slow
def test_deep_kernels_do_not_follow_the_data_too_closely() -> None:
    """Features that are free to move cover less than half where 90 percent are due, on the same rows."""
    problem = Hartmann(6).double()
    covered = {}
    for name, settings in {"default": {}, "free": {"freedom": 3.0, "n_networks": 1}}.items():
        inside = []
        for seed in range(3):
            design, test = uniform(60, 6, seed=seed), uniform(400, 6, seed=100 + seed)
            surrogate = DeepKernelGP(design, problem(design).unsqueeze(-1), **settings, key=seed).fit()
            posterior = surrogate.posterior(test, observation_noise=True)
            z = (problem(test) - posterior.mean[:, 0]) / posterior.variance[:, 0].sqrt()
            inside.append((z.abs() < 1.645).double().mean().item())
        covered[name] = float(np.mean(inside))
    assert 0.8 < covered["default"] < 0.97
    assert covered["free"] < 0.6
