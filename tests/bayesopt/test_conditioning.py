"""Further observations: weights of the members against their likelihoods in NumPy, and new fits."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from botorch.acquisition import qKnowledgeGradient
from botorch.models.transforms import Standardize
from botorch.models.transforms.outcome import Log
from botorch.sampling import SobolQMCNormalSampler
from scipy import stats
from scipy.special import softmax
from torch import Tensor

from tests.bayesopt.networks import SETTINGS, PriorNetwork, fitted, inputs, outputs, prior_network, surrogate
from uqkit.bayesopt import MemberSampler
from uqkit.bayesopt.network import NOISE_VARIANCE
from uqkit.errors import InputError, UqkitWarning

# Fantasies of few members may rest on fewer yet, which is told.
few_members = pytest.mark.filterwarnings("ignore:after conditioning:uqkit.errors.UqkitWarning")
AT = inputs(5, seed=7)
NEW, VALUE = inputs(1, seed=8), outputs(inputs(1, seed=8))
# Noise so great that no member loses all weight.
GREAT = torch.tensor([[30.0, 20.0]]).double()


def noise_of(model: Any) -> np.ndarray:
    """Variance of each member in original units, `member x 1 x m`."""
    return (torch.from_numpy(np.array(model.members[NOISE_VARIANCE])) * model.output_sd**2).unsqueeze(-2).numpy()


def weights(model: Any, X: Tensor, Y: Tensor, variance: Any) -> np.ndarray:  # noqa: N803
    """Normalised likelihoods of observations, `batch x member`, in original units."""
    values = model.posterior(X).values.detach().numpy()
    law = stats.norm(values, np.sqrt(np.asarray(variance)))
    return softmax(law.logpdf(Y.detach().unsqueeze(-3).numpy()).sum(axis=(-1, -2)), axis=-1)  # pyright: ignore[reportAttributeAccessIssue]


def assert_weighted(conditioned: Any, model: Any, weight: np.ndarray) -> None:
    posterior = conditioned.posterior(AT)
    np.testing.assert_allclose(posterior.weights, weight, rtol=1e-9, atol=1e-12)
    values = model.posterior(AT).values.numpy()
    np.testing.assert_allclose(posterior.mean, np.einsum("...n,nqm->...qm", weight, values), rtol=1e-9)
    assert conditioned.batch_shape == torch.Size(weight.shape[:-1])


@pytest.mark.parametrize("outcome", [None, Standardize(2)])
def test_weights_are_normalised_likelihoods(outcome):
    model = prior_network(outcome_transform=outcome)
    X, Y = inputs(2, seed=8), model.posterior(inputs(2, seed=8)).mean  # noqa: N806
    scale = 1.0 if outcome is None else outcome.stdvs.square()
    conditioned = model.condition_on_observations(X, Y, noise=(GREAT / scale).expand_as(Y))
    assert_weighted(conditioned, model, weights(model, X, Y, GREAT))
    assert (weights(model, X, Y, GREAT) - 1 / model.n_members).max() > 1e-3
    # The original is as it was.
    assert model.posterior(AT).weights.numpy() == pytest.approx(1 / model.n_members)


def test_one_observation_after_another_is_both_at_once():
    model = prior_network()
    X, Y = inputs(2, seed=8), model.posterior(inputs(2, seed=8)).mean  # noqa: N806
    in_turn = model
    for row in (0, 1):
        in_turn = in_turn.condition_on_observations(X[[row]], Y[[row]], noise=GREAT)
    assert_weighted(in_turn, model, weights(model, X, Y, GREAT))


def test_a_nonlinear_outcome_transform_is_applied_to_observations():
    model = prior_network(outcome_transform=Log())
    noise = torch.tensor([[4.0, 4.0]]).double()
    conditioned = model.condition_on_observations(NEW, VALUE, noise=noise)
    law = stats.norm(np.log(model.posterior(NEW).values.numpy()), 2.0)
    weight = softmax(law.logpdf(np.log(VALUE.numpy())).sum(axis=(-1, -2)), axis=-1)  # pyright: ignore[reportAttributeAccessIssue]
    assert_weighted(conditioned, model, weight)


@few_members
def test_batches_of_observations_are_weighted_by_the_noise_of_each_member():
    model = prior_network()
    X, Y = inputs(4, seed=8).reshape(2, 2, 3), torch.stack([outputs(inputs(2, seed=s)) for s in (1, 2, 3, 4, 5, 6)])  # noqa: N806
    Y = Y.reshape(3, 2, 2, 2)  # noqa: N806
    conditioned = model.condition_on_observations(X, Y)
    assert_weighted(conditioned, model, weights(model, X, Y, noise_of(model)))
    assert conditioned.posterior(AT.expand(3, 2, 5, 3)).mean.shape == (3, 2, 5, 2)
    part = conditioned.subset_output([1])
    torch.testing.assert_close(part.posterior(AT).mean, conditioned.posterior(AT).mean[..., 1:])


def test_known_noise_is_that_of_the_training_rows_on_average():
    variance = torch.linspace(20, 60, 24, dtype=torch.double).reshape(12, 2)
    model = prior_network(Yvar=variance)
    conditioned = model.condition_on_observations(NEW, VALUE)
    assert_weighted(conditioned, model, weights(model, NEW, VALUE, variance.mean(0)))


@few_members
@pytest.mark.parametrize("sampler", [SobolQMCNormalSampler(torch.Size([4]), seed=0), MemberSampler(torch.Size([4]))])
def test_fantasies_are_draws_that_the_members_are_weighted_by(sampler):
    model, X = prior_network(), inputs(4, seed=8).reshape(2, 2, 3)  # noqa: N806
    observed = sampler(model.posterior(X, observation_noise=True))
    fantasies = model.fantasize(X, sampler)
    assert_weighted(fantasies, model, weights(model, X, observed, noise_of(model)))
    assert fantasies.batch_shape == (4, 2)
    given = model.fantasize(X, sampler, observation_noise=GREAT)
    observed = sampler(model.posterior(X, observation_noise=GREAT))
    assert_weighted(given, model, weights(model, X, observed, GREAT))


@few_members
@pytest.mark.parametrize("name", ["hmc", "sghmc", "microcanonical", "variational", "plain", "anchored"])
def test_every_surrogate_can_fantasize(name):
    model, X = fitted(name), inputs(2, seed=8).reshape(2, 1, 3)  # noqa: N806
    fantasies = model.fantasize(X, MemberSampler(torch.Size([3])))
    assert fantasies.posterior(AT.expand(3, 2, 5, 3)).mean.shape == (3, 2, 5, 2)


@few_members
def test_no_points_change_nothing():
    model = prior_network()
    fantasies = model.fantasize(inputs(3)[:0], MemberSampler(torch.Size([4])))
    torch.testing.assert_close(fantasies.posterior(AT).mean, model.posterior(AT).mean.expand(4, 5, 2))


@few_members
def test_acquisition_functions_that_look_ahead_have_the_gradient_of_finite_differences():
    model, sampler = prior_network(), MemberSampler(torch.Size([4]))

    def ahead(X: Tensor) -> Tensor:  # noqa: N803
        return (model.fantasize(X, sampler, observation_noise=GREAT).posterior(AT).mean ** 2).sum()

    X = inputs(2, seed=8).requires_grad_()  # noqa: N806
    ahead(X).backward()
    assert X.grad is not None
    for column in (0, 1):
        step = torch.zeros_like(X)
        step[1, column] = 1e-5
        expected = (ahead(X.detach() + step) - ahead(X.detach() - step)) / 2e-5
        torch.testing.assert_close(X.grad[1, column], expected, rtol=1e-5, atol=1e-8)


@few_members
def test_knowledge_gradient():
    single = PriorNetwork(inputs(12), outputs(inputs(12))[:, :1], **SETTINGS, key=0).fit()
    acquisition = qKnowledgeGradient(single, num_fantasies=4)
    X = inputs(5, seed=8).unsqueeze(0).requires_grad_()  # noqa: N806
    value = acquisition(X)
    value.sum().backward()
    assert value.isfinite().all()
    assert X.grad is not None
    # The first is the candidate, which acts through the fantasies alone.
    assert (X.grad[0, :, :2] != 0).all()


def test_only_all_outputs_can_be_conditioned():
    with pytest.raises(InputError, match="condition the surrogate of all outputs"):
        prior_network().subset_output([0]).condition_on_observations(NEW, VALUE[:, :1])


def test_fantasies_of_too_few_members_are_told():
    model = prior_network()
    far = VALUE + torch.tensor([0.0, 100.0])
    with pytest.warns(UqkitWarning, match="50% of the fantasies rest on less than a quarter of 32 members"):
        model.condition_on_observations(
            NEW, torch.stack([VALUE, far]), noise=torch.tensor([[[1e4, 1e4]], [[1.0, 1.0]]]).double()
        )


def test_a_surprising_observation_is_fitted():
    model = surrogate("hmc").fit(progress=False)
    expected = model.posterior(NEW)
    value = expected.mean + 4 * expected.variance.sqrt()
    again = model.condition_on_observations(NEW, value)
    assert (model.n_rows, again.n_rows) == (12, 13)
    assert again.log_weight is None
    found = again.posterior(NEW).mean
    assert ((found - expected.mean) > 0.5 * (value - expected.mean)).all()
    # Transforms, settings and key are those of the first.
    torch.testing.assert_close(again.train_inputs[0], torch.cat([inputs(12), NEW]))
    assert again._settings == model._settings


def test_a_new_fit_knows_what_the_members_were_weighted_by():
    model = prior_network(outcome_transform=Standardize(2))
    weighted = model.condition_on_observations(NEW, VALUE, noise=GREAT)
    assert weighted.n_rows == 12
    surprise = inputs(1, seed=9), outputs(inputs(1, seed=9)) + 50.0
    again = weighted.condition_on_observations(*surprise)
    torch.testing.assert_close(again.train_inputs[0], torch.cat([inputs(12), NEW, surprise[0]]))
    torch.testing.assert_close(again.train_targets, torch.cat([outputs(inputs(12)), VALUE, surprise[1]]))


def test_a_new_fit_knows_the_noise():
    variance = torch.linspace(0.2, 0.6, 24, dtype=torch.double).reshape(12, 2)
    far, given = VALUE + 50.0, torch.tensor([[0.3, 0.4]]).double()
    model = prior_network(Yvar=variance)
    again = model.condition_on_observations(NEW, far)
    torch.testing.assert_close(again.train_Yvar, torch.cat([variance, variance.mean(0, keepdim=True)]))
    again = model.condition_on_observations(NEW, far, noise=given)
    torch.testing.assert_close(again.train_Yvar, torch.cat([variance, given]))
    transformed = prior_network(Yvar=variance, outcome_transform=Standardize(2))
    with pytest.raises(InputError, match="make a new surrogate with all rows"):
        transformed.condition_on_observations(NEW, far)


def test_a_conditioned_surrogate_is_not_saved(tmp_path):
    conditioned = prior_network().condition_on_observations(NEW, VALUE, noise=GREAT)
    with pytest.raises(InputError, match=re.escape("conditioned on fantasies cannot be saved")):
        conditioned.save(tmp_path / "file")
