"""Every surrogate made of members, in BoTorch's loop and against the exact posterior."""

import copy
import re
from typing import Any

import arviz as az
import jax
import numpy as np
import pytest
import torch
from botorch.acquisition.logei import qLogExpectedImprovement, qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.objective import ScalarizedPosteriorTransform
from botorch.generation import MaxPosteriorSampling
from botorch.models import SingleTaskGP
from botorch.models.model import ModelList
from botorch.models.transforms import Normalize, Standardize
from botorch.models.transforms.outcome import ChainedOutcomeTransform, Log
from botorch.optim import optimize_acqf
from botorch.posteriors.ensemble import EnsemblePosterior
from torch import Tensor

from tests.bayesopt.networks import (
    RECIPES,
    fitted,
    inputs,
    outputs,
    prior_network,
    prior_sites,
    surrogate,
    uniform,
)
from tests.callers import without_type_hook
from tests.statistical import assert_within_error
from uqkit.bayesopt import Embedding, EnsembleNetwork, HMCNetwork
from uqkit.bayesopt.network import NOISE_VARIANCE
from uqkit.errors import InputError, StoreError, UqkitWarning
from uqkit.inference import HMC, AdjustedMCLMC

each = pytest.mark.parametrize("name", RECIPES)
BOUNDS = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 2.0]], dtype=torch.double)
X, Y = inputs(12), outputs(inputs(12))


def points(*shape: int, seed: int = 5) -> Tensor:
    """Inputs anywhere, categories in turn."""
    found = inputs(int(np.prod(shape)), seed=seed)
    return found.reshape(*shape, 3)


def relative_error(predicted: Tensor, wanted: Tensor) -> Tensor:
    """Root mean square over rows, in standard deviations of what is wanted."""
    return ((predicted - wanted).square().mean(0) / wanted.var(0)).sqrt()


@each
def test_posterior_has_botorchs_shapes_and_is_joint_over_points(name):
    model = fitted(name)
    at = points(4, 2)
    posterior = model.posterior(at)
    assert isinstance(posterior, EnsemblePosterior)
    assert posterior.values.shape == (4, model.n_members, 2, 2)
    assert posterior.mean.shape == posterior.variance.shape == (4, 2, 2)
    assert model.posterior(at[0]).values.shape == (model.n_members, 2, 2)
    assert model.posterior(at.unsqueeze(1)).mean.shape == (4, 1, 2, 2)
    torch.testing.assert_close(model.posterior(at[2, 1:]).values, posterior.values[2, :, 1:])
    assert model.num_outputs == 2
    assert model.batch_shape == torch.Size()
    assert (posterior.variance > 0).all()
    assert model.posterior(at.float()).mean.dtype == torch.double


@each
def test_it_learned_the_function(name):
    predicted = fitted(name).posterior(X).mean
    assert relative_error(predicted, Y).max() < 0.6
    # The check can fail: the mean alone is one standard deviation off.
    assert relative_error(Y.mean(0).expand_as(Y), Y).min() > 0.9


@each
def test_gradient_of_the_mean_is_that_of_finite_differences(name):
    model, weight = fitted(name), uniform(3, 2, 2, seed=1)
    at = points(3, 2).requires_grad_()
    (model.posterior(at).mean * weight).sum().backward()
    assert at.grad is not None
    for column in (0, 1):
        step = torch.zeros(3, dtype=torch.double)
        step[column] = 1e-5
        high, low = (model.posterior(at.detach() + sign * step).mean for sign in (1, -1))
        expected = ((high - low) / 2e-5 * weight).sum(-1)
        torch.testing.assert_close(at.grad[..., column], expected, rtol=1e-6, atol=1e-8)
    assert (at.grad[..., 2] == 0).all()


@each
def test_outputs_can_be_taken_apart(name):
    model, at = fitted(name), points(2, 3)
    whole = model.posterior(at).values
    for part in (model.subset_output([1]), model.subset_output([1, 0]).subset_output([0]), model.subset_output([-1])):
        assert part.num_outputs == 1
        torch.testing.assert_close(part.posterior(at).values, whole[..., 1:], rtol=0, atol=0)
    torch.testing.assert_close(model.posterior(at, output_indices=[1]).values, whole[..., 1:], rtol=0, atol=0)
    assert model.num_outputs == 2
    with pytest.raises(InputError, match=re.escape("idcs=[2]: pass outputs from 0 to 1")):
        model.subset_output([2])


@each
def test_the_same_key_gives_the_same_numbers_and_no_global_state_is_touched(name):
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - the global one
    again = surrogate(name).fit(progress=False)
    torch.testing.assert_close(again.posterior(X).values, fitted(name).posterior(X).values, rtol=0, atol=0)
    noisy = again.posterior(X, observation_noise=True).values
    torch.testing.assert_close(noisy, again.posterior(X, observation_noise=True).values, rtol=0, atol=0)
    again.path(0)
    assert (torch.get_rng_state() == state).all()
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002
    assert not jax.config.read("jax_enable_x64")
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "microcanonical"])
def test_another_key_gives_other_numbers(name):
    other = surrogate(name, key=1).fit(progress=False)
    assert (other.posterior(X).mean - fitted(name).posterior(X).mean).abs().max() > 1e-4


@each
def test_posterior_is_in_original_units_with_nonlinear_transforms_and_without(name):
    given, wanted = X * torch.tensor([1e3, 1e-3, 1.0]).double(), Y * torch.tensor([1e4, 1e-4]).double()
    cls, own = RECIPES[name]
    settings = dict(fitted(name)._settings) | own
    transforms = {
        "input_transform": Normalize(3, indices=[0, 1]),
        "outcome_transform": ChainedOutcomeTransform(log=Log(), scale=Standardize(2)),
    }
    model = cls(given, wanted, **settings, **transforms, key=0).fit(progress=False)
    posterior = model.posterior(given)
    assert relative_error(posterior.mean, wanted).max() < 0.6
    assert (posterior.values > 0).all()


@each
def test_acquisition_functions_and_their_optimisation(name):
    # BoTorch draws the seeds of its samplers from torch's random state.
    torch.manual_seed(0)
    model = fitted(name)
    first = model.subset_output([0])
    found = [
        qLogExpectedImprovement(first, best_f=Y[:, 0].max()),
        qLogNoisyExpectedImprovement(first, X, prune_baseline=True),
        qLogNoisyExpectedHypervolumeImprovement(model, ref_point=[3.0, 0.5], X_baseline=X, prune_baseline=True),
    ]
    for acquisition in found:
        at = points(3, 2).requires_grad_()
        value = acquisition(at)
        assert value.shape == (3,)
        value.sum().backward()
        assert at.grad is not None
        assert at.grad.isfinite().all()
        assert (at.grad[..., :2] != 0).any()
    torch.manual_seed(0)
    best, value = optimize_acqf(found[1], BOUNDS, q=1, num_restarts=2, raw_samples=16, options={"maxiter": 5})  # pyright: ignore[reportArgumentType]
    assert best.shape == (1, 3)
    torch.manual_seed(0)
    random = BOUNDS[0] + torch.rand(16, 1, 3, dtype=torch.double) * (BOUNDS[1] - BOUNDS[0])
    assert value >= found[1](random).detach().median()


@each
def test_thompson_sampling_by_paths_and_over_a_set(name):
    model = fitted(name)
    at = points(4, 2)
    path = model.path(3)
    assert path.num_outputs == 2
    torch.testing.assert_close(path.posterior(at).mean, model.posterior(at).values[:, 3], rtol=0, atol=0)
    first = model.subset_output([0])
    best, _ = optimize_acqf(
        qLogExpectedImprovement(first.path(3), best_f=0.0), BOUNDS, q=1, num_restarts=1, raw_samples=8,
        options={"maxiter": 3},
    )  # fmt: skip
    assert best.shape == (1, 3)
    candidates = points(20)
    chosen = MaxPosteriorSampling(first, replacement=True)(candidates, num_samples=16)
    values = first.posterior(candidates).values.squeeze(-1)
    possible = candidates[values.argmax(-1)]
    assert all((possible == one).all(-1).any() for one in chosen)
    with pytest.raises(InputError, match=f"member=-1: pass a number from 0 to {model.n_members - 1}"):
        model.path(-1)


def test_known_noise_says_which_rows_to_follow():
    exact = torch.full_like(Y, 1e-3 * float(Y.var(0).mean()))
    variance = torch.where(torch.arange(12)[:, None] % 2 == 0, exact, torch.full_like(Y, 50.0))
    # Rows of great noise are far off.
    shifted = Y + 5.0 * (torch.arange(12)[:, None] % 2)
    model = EnsembleNetwork(X, shifted, variance, **fitted("plain")._settings, key=0).fit(progress=False)
    predicted = model.posterior(X).mean
    assert (predicted - shifted)[::2].abs().max() < 0.3
    assert (shifted - predicted)[1::2].mean() > 3.0


def test_rows_with_nan_are_left_out():
    broken, missing = X.clone(), Y.clone()
    broken[2, 0], missing[7, 1] = float("nan"), float("nan")
    kept = [row for row in range(12) if row not in (2, 7)]
    cls, _ = RECIPES["plain"]
    settings = fitted("plain")._settings
    with pytest.warns(UqkitWarning, match="2 of 12 training rows hold NaN"):
        model = cls(broken, missing, **settings, key=0).fit(progress=False)
    expected = cls(X[kept], Y[kept], **settings, key=0).fit(progress=False)
    torch.testing.assert_close(model.posterior(X).values, expected.posterior(X).values, rtol=0, atol=0)


@pytest.mark.parametrize("outcome", [None, Standardize(2)])
@pytest.mark.parametrize("encoding", [{}, {"encoding": Embedding(n_dims=2)}])
def test_affine_transforms_change_nothing(outcome, encoding):
    plain = prior_network(**encoding)
    transformed = prior_network(
        input_transform=Normalize(3, indices=[0, 1]), outcome_transform=copy.deepcopy(outcome), **encoding
    )
    at = points(3, 2)
    for noise in (False, True):
        expected = plain.posterior(at, observation_noise=noise).values
        torch.testing.assert_close(transformed.posterior(at, observation_noise=noise).values, expected)


def assert_noise(found: Tensor, variance: Tensor) -> None:
    """Each member's squared noise in units of its variance is 1 on average, by the error of chi-square numbers."""
    ratio = (found.square() / variance).flatten(0, -2)
    assert_within_error(
        ratio.mean(0).numpy(), np.full(2, np.sqrt(2 / len(ratio))), 1.0, max_error=0.1
    )  # fmt: skip
    assert_within_error(
        found.mean((0, 1)).numpy(), (variance.mean((0, 1)) / len(ratio)).sqrt().numpy(), 0.0, max_error=1
    )


def test_noise_of_observations_has_the_variance_of_each_member():
    model = prior_network()
    at = points(3, 40)
    values = model.posterior(at).values
    found = (model.posterior(at, observation_noise=True).values - values)[0]
    members = torch.from_numpy(np.array((model.members or {})[NOISE_VARIANCE])).unsqueeze(-2)
    variance = (members * Y.var(0)).expand_as(found)
    assert_noise(found, variance)
    with pytest.raises(AssertionError):
        assert_noise(found, 1.3 * variance)
    given = torch.tensor([[0.5, 2.0]]).double()
    assert_noise((model.posterior(at, observation_noise=given).values - values)[0], given.expand_as(found))
    known = prior_network(Yvar=torch.tensor([0.1, 0.7]).double().expand_as(Y).contiguous())
    found = known.posterior(at, observation_noise=True).values - known.posterior(at).values
    assert_noise(found[0], torch.tensor([0.1, 0.7]).double().expand_as(found[0]))


def test_given_noise_belongs_to_the_outputs_that_are_left():
    model, at = prior_network(), points(5)
    noise = torch.tensor([[0.3, 4.0]]).double()
    expected = model.posterior(at, observation_noise=noise).values[..., 1:]
    part = model.subset_output([1]).posterior(at, observation_noise=noise[:, 1:]).values
    torch.testing.assert_close(part, expected)


def test_posterior_transforms_act_on_every_member():
    model, at = prior_network(), points(3, 2)
    scalar = ScalarizedPosteriorTransform(torch.tensor([2.0, -1.0]).double(), offset=0.5)
    values = model.posterior(at).values
    found = model.posterior(at, posterior_transform=scalar)
    expected = 2 * values[..., :1] - values[..., 1:] + 0.5
    torch.testing.assert_close(found.values, expected)
    torch.testing.assert_close(found.mean, expected.mean(-3))


def test_beside_a_gaussian_process_in_a_model_list():
    gp = SingleTaskGP(X[:, :2].repeat(1, 2)[:, :3], Y[:, 1:])
    # It has more members than the acquisition function wants samples: those of a list must be of one number.
    both = ModelList(fitted("hmc").subset_output([0]), gp)
    at = points(3, 2)
    assert both.posterior(at).mean.shape == (3, 2, 2)  # pyright: ignore[reportAttributeAccessIssue]
    found = qLogNoisyExpectedHypervolumeImprovement(both, ref_point=[3.0, 0.5], X_baseline=X)(at)
    assert found.shape == (3,)
    assert found.isfinite().all()


def test_copies_are_independent_of_the_original():
    model, at = prior_network(), points(4)
    expected = model.posterior(at).values
    twin = copy.deepcopy(model)
    twin.output_mean += 3.0
    torch.testing.assert_close(model.posterior(at).values, expected, rtol=0, atol=0)
    torch.testing.assert_close(twin.posterior(at).values, expected + 3.0)


def test_training_mode_and_back_change_nothing():
    model = prior_network(input_transform=Normalize(3, indices=[0, 1]), outcome_transform=Standardize(2))
    expected = model.posterior(X).values
    torch.testing.assert_close(model.train().eval().posterior(X).values, expected, rtol=0, atol=0)


def test_an_output_that_never_changes_and_a_single_column():
    model = EnsembleNetwork(X[:, :1], 0 * Y[:, :1] + 0.1, widths=(4,), training=RECIPES["plain"][1]["training"], key=0)
    posterior = model.fit(progress=False).posterior(X[:, :1])
    assert posterior.values.isfinite().all()


@each
def test_unfitted_surrogates_and_wrong_points_are_refused(name):
    bare = surrogate(name)
    for call in (
        lambda: bare.posterior(X),
        lambda: bare.path(0),
        lambda: bare.n_members,
        lambda: bare.save("nowhere"),
        lambda: bare.posterior_tree,
        bare.to_torch,
        lambda: bare.condition_on_observations(X, Y),
    ):
        with pytest.raises(InputError, match=f"{type(bare).__name__} is not fitted yet: call .fit"):
            call()
    with pytest.raises(InputError, match="`X` has 2 columns, but the surrogate was given 3 inputs"):
        fitted(name).posterior(X[:, :2])


def test_wrong_settings_are_refused():
    with without_type_hook():
        with pytest.raises(InputError, match="sampler='nuts': pass a sampler of uqkit.inference, say HMC"):
            HMCNetwork(X, Y, sampler="nuts", key=0)  # pyright: ignore[reportArgumentType]
        with pytest.raises(InputError, match="training='plain': pass AnchoredTraining"):
            EnsembleNetwork(X, Y, training="plain", key=0)  # pyright: ignore[reportArgumentType]
        with pytest.raises(InputError, match="prior=1.0: pass WeightPrior"):
            HMCNetwork(X, Y, prior=1.0, key=0)


def test_a_stored_fit_goes_on_and_belongs_to_one_surrogate(tmp_path):
    store = tmp_path / "run.npz"
    first = surrogate("hmc").fit(progress=False, store=store)
    again = surrogate("hmc").fit(progress=False, store=store)
    torch.testing.assert_close(again.posterior(X).values, first.posterior(X).values, rtol=0, atol=0)
    with pytest.raises(StoreError):
        surrogate("hmc", key=1).fit(progress=False, store=store)
    with pytest.raises(StoreError):
        surrogate("hmc", n_rows=11).fit(progress=False, store=store)


FEW = 3
TESTS = torch.tensor([[0.1, 0.9, 0.0], [0.5, 0.5, 1.0], [0.9, 0.2, 2.0], [0.2, 0.1, 2.0]]).double()


def exact_moments(model: Any, n_draws: int = 50_000) -> tuple[np.ndarray, np.ndarray]:
    """First and second moments at `TESTS` and their errors: the last layer summed out, the others as weighted draws."""
    network = model.network
    columns, observed = (part.numpy() for part in model._standardised[:2])
    at = np.vstack([columns, model.encoder(TESTS).numpy()])  # pyright: ignore[reportArgumentType, reportCallIssue]
    sites: Any = prior_sites(network, n_draws, np.random.default_rng(0))
    first, last = (sites[f"scale_{layer}"][:, None, None] for layer in (0, 1))
    hidden = np.tanh(first * (at @ sites["weight_0"] / np.sqrt(network.n_inputs) + sites["bias_0"][:, None]))
    covariance = last**2 * (hidden @ hidden.mT / network.widths[0] + 1)
    log_weight, moments = np.zeros(n_draws), []
    for output in range(network.n_outputs):
        variance = sites[NOISE_VARIANCE][:, output, None, None]
        seen, across = covariance[:, :FEW, :FEW] + variance * np.eye(FEW), covariance[:, FEW:, :FEW]
        solved = np.linalg.solve(seen, observed[:, [output]])  # pyright: ignore[reportOptionalSubscript]
        log_weight -= 0.5 * (observed[:, output] @ solved)[:, 0] + 0.5 * np.linalg.slogdet(seen)[1]  # pyright: ignore[reportOptionalSubscript]
        mean = (across @ solved)[..., 0]
        removed = np.einsum("npk,nkp->np", across, np.linalg.solve(seen, across.mT))
        spread = np.diagonal(covariance[:, FEW:, FEW:], axis1=1, axis2=2) - removed
        moments.append(np.concatenate([mean, mean**2 + spread], axis=1))
    drawn, weight = np.stack(moments, axis=-1), np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    expected = np.einsum("n,n...->...", weight, drawn)
    return expected, np.sqrt(np.einsum("n,n...->...", weight**2, (drawn - expected) ** 2))


def chain_moments(model: Any, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """The same of the members, by ArviZ's Monte Carlo errors; `scale` spoils them."""
    values = ((model.posterior(TESTS).values - model.output_mean) / model.output_sd).numpy() * scale
    by_chain = values.reshape(model.chains["n_chains"], -1, *values.shape[1:])
    drawn = np.concatenate([by_chain, by_chain**2], axis=2)
    error = az.mcse(az.convert_to_datatree({"f": drawn}), method="mean")["f"].values
    return drawn.mean(axis=(0, 1)), error


LONG: dict[str, Any] = {
    "hmc": HMC(n_leapfrog=10, n_warmup=200, n_draws=3_000, n_chains=4),
    "microcanonical": AdjustedMCLMC(n_warmup=200, n_draws=1_000, n_chains=4),
}


@pytest.mark.parametrize("name", LONG)
def test_draws_have_the_moments_of_the_exact_posterior(name):
    model = surrogate(name, FEW, sampler=LONG[name]).fit(progress=False)
    exact, exact_error = exact_moments(model)
    assert exact_error.max() < 0.02
    found, error = chain_moments(model)
    total = np.hypot(error, exact_error)
    assert_within_error(found, total, exact, max_error=0.3)
    spoilt, error = chain_moments(model, scale=1.4)
    with pytest.raises(AssertionError):
        assert_within_error(spoilt, np.hypot(error, exact_error), exact, max_error=0.5)
