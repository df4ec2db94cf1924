"""The posterior of members and its sampler inside BoTorch, against sums over the members written out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from botorch.acquisition import LogExpectedImprovement, qExpectedImprovement, qNoisyExpectedImprovement
from botorch.acquisition.logei import qLogExpectedImprovement, qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.monte_carlo import qNoisyExpectedHypervolumeImprovement
from botorch.acquisition.objective import (
    ExpectationPosteriorTransform,
    LinearMCObjective,
    PosteriorTransform,
    ScalarizedPosteriorTransform,
)
from botorch.models.model import ModelList
from botorch.optim import optimize_acqf
from botorch.posteriors import TransformedPosterior
from botorch.posteriors.ensemble import EnsemblePosterior
from botorch.sampling import IIDNormalSampler, SobolQMCNormalSampler
from botorch.sampling.get_sampler import GetSampler
from botorch.sampling.list_sampler import ListSampler
from botorch.utils.multi_objective.hypervolume import Hypervolume
from botorch.utils.multi_objective.pareto import is_non_dominated
from torch import Tensor
from torch.distributions import Normal

from tests.bayesopt.member_models import N_INPUTS, N_MEMBERS, BotorchMembers, JaxMembers, Members, function_values
from tests.statistical import assert_within_error
from uqkit.bayesopt.posterior import MemberPosterior, MemberSampler, transformed
from uqkit.errors import InputError

# BoTorch advises against acquisition functions without a logarithm; they are those that sums can be compared with.
pytestmark = pytest.mark.filterwarnings("ignore:q.*has known numerical issues")

N_POSITIONS = 6
BEST, REFERENCE = 0.5, torch.tensor([-2.0, -2.0], dtype=torch.float64)
# Smooth stand-ins for maximum and rectifier, made sharp enough to be compared with these.
SHARP = {"tau_relu": 1e-7, "tau_max": 1e-7, "fat": False}


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(size=shape))


BASELINE, CANDIDATES, PENDING = uniform(8, N_INPUTS), uniform(2, N_INPUTS, seed=1), uniform(2, N_INPUTS, seed=2)


def repeated(candidates: Tensor = CANDIDATES) -> Tensor:
    """The same q-batch in every position of a t-batch."""
    return candidates.expand(N_POSITIONS, *candidates.shape).clone()


def hypervolume(values: Tensor) -> float:
    return Hypervolume(REFERENCE).compute(values[is_non_dominated(values)])


def expected_improvement(points: Tensor) -> float:
    """Over a known best value, of the first output."""
    values = function_values(points)[..., 0]
    return float(np.mean([max(float(member.max()) - BEST, 0.0) for member in values]))


def expected_noisy_improvement(points: Tensor) -> float:
    """Over each member's own best value at the baseline, of the first output."""
    values, before = function_values(points)[..., 0], function_values(BASELINE)[..., 0]
    pairs = zip(values, before, strict=True)
    return float(np.mean([max(float(member.max() - own.max()), 0.0) for member, own in pairs]))


def expected_hypervolume_improvement(points: Tensor, baseline: Tensor = BASELINE) -> float:
    """Over each member's own front at the baseline."""
    after, before = function_values(torch.cat([baseline, points])), function_values(baseline)
    return float(np.mean([hypervolume(more) - hypervolume(own) for more, own in zip(after, before, strict=True)]))


def log_of(function: Callable[..., float]) -> Callable[..., float]:
    return lambda *arguments: float(np.log(function(*arguments)))


ACQUISITIONS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...], Callable[[Tensor], float], float]] = {
    "qEI": (lambda m: qExpectedImprovement(m, best_f=BEST), (0,), expected_improvement, 1e-12),
    "qNEI": (
        lambda m: qNoisyExpectedImprovement(m, X_baseline=BASELINE, prune_baseline=False),
        (0,),
        expected_noisy_improvement,
        1e-12,
    ),
    "qNEHVI": (
        lambda m: qNoisyExpectedHypervolumeImprovement(m, REFERENCE, BASELINE),
        (0, 1),
        expected_hypervolume_improvement,
        1e-12,
    ),
    "qLogEI": (
        lambda m: qLogExpectedImprovement(m, best_f=BEST, **SHARP),
        (0,),
        log_of(expected_improvement),
        1e-5,
    ),
    "qLogNEI": (
        lambda m: qLogNoisyExpectedImprovement(m, X_baseline=BASELINE, prune_baseline=False, **SHARP),
        (0,),
        log_of(expected_noisy_improvement),
        1e-5,
    ),
    "qLogNEI, pruned": (
        lambda m: qLogNoisyExpectedImprovement(m, X_baseline=BASELINE, prune_baseline=True, **SHARP),
        (0,),
        log_of(expected_noisy_improvement),
        1e-5,
    ),
    "qLogNEHVI": (
        lambda m: qLogNoisyExpectedHypervolumeImprovement(m, REFERENCE, BASELINE, **SHARP),
        (0, 1),
        log_of(expected_hypervolume_improvement),
        1e-5,
    ),
    "qLogNEHVI, pruned": (
        lambda m: qLogNoisyExpectedHypervolumeImprovement(m, REFERENCE, BASELINE, prune_baseline=True, **SHARP),
        (0, 1),
        log_of(expected_hypervolume_improvement),
        1e-5,
    ),
}


@pytest.mark.parametrize("name", ACQUISITIONS)
def test_acquisition_values_are_averages_over_the_members(name: str):
    make, outputs, by_hand, tolerance = ACQUISITIONS[name]
    found = make(Members(outputs))(repeated())
    assert found.max() - found.min() <= 1e-9
    assert float(found[0].detach()) == pytest.approx(by_hand(CANDIDATES), rel=tolerance)
    # Among other candidates the value is the same.
    mixed = torch.cat([uniform(3, 2, N_INPUTS, seed=3), repeated()])
    torch.testing.assert_close(make(Members(outputs))(mixed)[3:], found, rtol=1e-9, atol=0.0)


@pytest.mark.parametrize("name", ["qEI", "qNEI", "qNEHVI", "qLogEI", "qLogNEI", "qLogNEHVI"])
def test_botorchs_own_ensemble_still_depends_on_the_position(name: str):
    # Should this fail, BoTorch samples ensembles alike in all positions by now, and our sampler is needed less.
    make, outputs, _, _ = ACQUISITIONS[name]
    torch.manual_seed(0)
    found = make(BotorchMembers(outputs))(repeated())
    assert found.max() - found.min() > 1e-3


def test_botorchs_own_ensemble_still_overestimates_hypervolume_improvement():
    # Baseline and candidates take values of different members there.
    torch.manual_seed(0)
    found = ACQUISITIONS["qNEHVI"][0](BotorchMembers())(repeated())
    assert found[1:].mean() > 5 * expected_hypervolume_improvement(CANDIDATES)


def test_pending_points():
    found = qExpectedImprovement(Members((0,)), best_f=BEST, X_pending=PENDING)(repeated())
    assert found.max() - found.min() <= 1e-9
    assert float(found[0]) == pytest.approx(expected_improvement(torch.cat([CANDIDATES, PENDING])), rel=1e-12)
    acquisition = qNoisyExpectedHypervolumeImprovement(Members(), REFERENCE, BASELINE)
    before = float(acquisition(repeated())[0])
    acquisition.set_X_pending(PENDING)
    found = acquisition(repeated())
    assert found.max() - found.min() <= 1e-9
    with_pending = expected_hypervolume_improvement(CANDIDATES, torch.cat([BASELINE, PENDING]))
    assert float(found[0]) == pytest.approx(with_pending, rel=1e-12)
    assert with_pending < before


def test_no_baseline_point_beyond_the_reference_point():
    # BoTorch then makes boxes for the samples that it expects, so the sampler has to be passed.
    far, n_samples = torch.tensor([50.0, 50.0], dtype=torch.float64), torch.Size([N_MEMBERS])
    acquisition = qLogNoisyExpectedHypervolumeImprovement(
        Members(), far, BASELINE, prune_baseline=True, sampler=MemberSampler(n_samples)
    )
    assert acquisition.X_baseline.shape == (0, N_INPUTS)
    assert acquisition(repeated()).shape == (N_POSITIONS,)


@pytest.mark.parametrize("n_samples", [N_MEMBERS, 2 * N_MEMBERS])
@pytest.mark.parametrize("sampler", [SobolQMCNormalSampler, IIDNormalSampler])
def test_normal_samplers_of_the_user(sampler: type[Any], n_samples: int):
    own = sampler(torch.Size([n_samples]), seed=0)
    found = qExpectedImprovement(Members((0,)), best_f=BEST, sampler=own)(repeated())
    assert found.max() - found.min() <= 1e-9
    assert float(found[0]) == pytest.approx(expected_improvement(CANDIDATES), rel=1e-12)
    own = sampler(torch.Size([n_samples]), seed=0)
    found = qNoisyExpectedHypervolumeImprovement(Members(), REFERENCE, BASELINE, sampler=own)(repeated())
    assert found.max() - found.min() <= 1e-9
    assert float(found[0]) == pytest.approx(expected_hypervolume_improvement(CANDIDATES), rel=1e-12)


@pytest.mark.parametrize("n_samples", [1, 7, 60, 64, 65, 100, 128, 200])
def test_normal_numbers_pick_every_member_equally_often(n_samples: int):
    numbered = MemberPosterior(torch.arange(N_MEMBERS, dtype=torch.float64).reshape(N_MEMBERS, 1, 1))
    samples = SobolQMCNormalSampler(torch.Size([n_samples]), seed=0)(numbered)
    counts = torch.bincount(samples.long().flatten(), minlength=N_MEMBERS)
    assert set(counts.tolist()) <= {n_samples // N_MEMBERS, -(-n_samples // N_MEMBERS)}


@pytest.mark.parametrize("n_samples", [1, 4, 16, 33, 64, 512])
def test_fewer_samples_than_members_are_evenly_spaced(n_samples: int):
    numbered = MemberPosterior(torch.arange(N_MEMBERS, dtype=torch.float64).reshape(N_MEMBERS, 1, 1))
    for seed in range(20):
        found = MemberSampler(torch.Size([n_samples]), seed)(numbered).flatten()
        assert len(found) == len(found.unique()) == min(n_samples, N_MEMBERS)
        gaps = found.sort().values.diff()
        spacing = N_MEMBERS / len(found)
        assert all(int(spacing) <= gap <= -int(-spacing // 1) for gap in gaps)
        # In no particular order, so that models side by side are not coupled by it.
        assert n_samples <= 4 or not torch.equal(found, found.sort().values)


def test_a_sample_shape_of_several_dimensions_is_filled():
    posterior = Members().posterior(repeated())
    for shape in (torch.Size([]), torch.Size([3, 40])):
        assert MemberSampler(shape)(posterior).shape == shape + (N_POSITIONS, 2, 2)
        assert posterior.rsample(shape or None).shape == (shape or torch.Size([1])) + (N_POSITIONS, 2, 2)


def test_moments_are_those_of_the_members_as_draws():
    posterior = Members().posterior(repeated())
    values = function_values(CANDIDATES).numpy()
    np.testing.assert_allclose(posterior.mean[3], values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(posterior.variance[3], values.var(0, ddof=1), rtol=1e-12)


def test_analytic_acquisition():
    points = CANDIDATES[:1].unsqueeze(0)
    found = LogExpectedImprovement(Members((0,)), best_f=BEST)(points)
    values = function_values(points[0])[:, 0, 0]
    mean, sd = values.mean(), values.std()
    standard, z = Normal(torch.zeros_like(mean), torch.ones_like(mean)), (mean - BEST) / sd
    assert float(found) == pytest.approx(float((sd * (standard.log_prob(z).exp() + z * standard.cdf(z))).log()), 1e-9)


def batched_weights() -> Tensor:
    return torch.from_numpy(np.random.default_rng(4).dirichlet(np.full(N_MEMBERS, 0.3), size=N_POSITIONS))


def test_moments_with_weights_of_each_batch_position():
    values, weights = Members().posterior(repeated()).values, batched_weights()
    posterior = MemberPosterior(values, weights)
    for i in range(N_POSITIONS):
        alone = EnsemblePosterior(values[i], weights[i])
        torch.testing.assert_close(posterior.mean[i], alone.mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(posterior.variance[i], alone.variance, rtol=1e-12, atol=1e-12)
    # BoTorch adds the squared weights of all positions, so its variances may even be negative.
    botorchs = EnsemblePosterior(values, weights).variance
    assert not torch.allclose(botorchs, posterior.variance, rtol=0.1)


def test_all_weight_on_one_member():
    values = Members().posterior(CANDIDATES).values
    weights = torch.zeros(N_MEMBERS, dtype=torch.float64)
    weights[5] = 1.0
    weights.requires_grad_()
    posterior = MemberPosterior(values, weights)
    assert torch.equal(posterior.variance, torch.zeros(2, 2, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(posterior.variance.sum() + posterior.mean.sum(), weights)
    assert gradient.isfinite().all()
    for samples in (MemberSampler(torch.Size([9]))(posterior), posterior.rsample(torch.Size([9]))):
        assert torch.equal(samples.detach(), values[5].expand(9, 2, 2))


@pytest.mark.parametrize("shape", [(N_MEMBERS,), (N_POSITIONS, N_MEMBERS), (3, 1, N_MEMBERS)])
def test_systematic_resampling(shape: tuple[int, ...]):
    """Each member as often as its weight says, up to one; by sampler and by normal numbers."""
    weights = torch.from_numpy(np.random.default_rng(5).dirichlet(np.full(N_MEMBERS, 0.3), size=shape[:-1]))
    numbers = torch.arange(N_MEMBERS, dtype=torch.float64).reshape(N_MEMBERS, 1, 1)
    posterior = MemberPosterior(numbers.expand(3, N_POSITIONS, N_MEMBERS, 1, 1), weights)
    every = weights.expand(3, N_POSITIONS, N_MEMBERS)
    for sampler in (MemberSampler(torch.Size([512])), SobolQMCNormalSampler(torch.Size([N_MEMBERS]), seed=0)):
        found = sampler(posterior)[..., 0, 0].long()
        assert found.shape == (N_MEMBERS, 3, N_POSITIONS)
        for i in np.ndindex(3, N_POSITIONS):
            counts = torch.bincount(found[:, *i], minlength=N_MEMBERS)
            assert (counts - N_MEMBERS * every[i]).abs().max() < 1


def _error_over_seeds(draw: Callable[[MemberPosterior, int], Tensor], weights: Tensor) -> tuple[Any, Any, Any]:
    values = Members().posterior(CANDIDATES).values
    posterior = MemberPosterior(values, weights)
    means = torch.stack([draw(posterior, seed).mean(0) for seed in range(400)]).numpy()
    return means.mean(0), means.std(0, ddof=1) / len(means) ** 0.5, posterior.mean.numpy()


@pytest.mark.parametrize("kind", ["sampler", "rsample"])
def test_samples_are_unbiased_over_seeds(kind: str):
    def draw(posterior: MemberPosterior, seed: int) -> Tensor:
        if kind == "sampler":
            return MemberSampler(torch.Size([8]), seed)(posterior)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return posterior.rsample(torch.Size([8]))

    weights = batched_weights()[0]
    assert_within_error(*_error_over_seeds(draw, weights), max_error=0.05)

    def careless(posterior: MemberPosterior, seed: int) -> Tensor:
        return draw(MemberPosterior(posterior.values), seed)

    with pytest.raises(AssertionError):
        assert_within_error(*_error_over_seeds(careless, weights), max_error=0.05)


def test_random_samples_share_their_members_over_positions():
    samples = Members().posterior(repeated()).rsample(torch.Size([20]))
    assert torch.equal(samples, samples[:, :1].expand_as(samples))
    assert len(samples[:, 0, 0, 0].unique()) > 10


def test_member_indices_as_base_samples():
    posterior = Members().posterior(repeated())
    members = torch.tensor([3, 3, 9])
    shared = posterior.rsample_from_base_samples(torch.Size([3]), members)
    for row, member in zip(shared, members, strict=True):
        assert torch.equal(row, posterior.values[:, member])
    # BoTorch's form: a member for each position.
    each = torch.arange(3 * N_POSITIONS).reshape(3, N_POSITIONS)
    ours = posterior.rsample_from_base_samples(torch.Size([3]), each)
    assert torch.equal(ours, EnsemblePosterior(posterior.values).rsample_from_base_samples(torch.Size([3]), each))


@pytest.mark.parametrize(
    "transform",
    [
        ScalarizedPosteriorTransform(torch.tensor([0.3, -0.7], dtype=torch.float64), offset=1.0),
        ExpectationPosteriorTransform(2),
    ],
)
def test_posterior_transforms_act_on_every_member(transform: PosteriorTransform):
    posterior = Members().posterior(repeated(), posterior_transform=transform)
    values = function_values(CANDIDATES)
    if isinstance(transform, ScalarizedPosteriorTransform):
        expected = 1.0 + 0.3 * values[..., :1] - 0.7 * values[..., 1:]
    else:
        expected = values.mean(-2, keepdim=True)
    torch.testing.assert_close(posterior.values[2], expected)


def test_a_scalarised_posterior_as_the_objective_of_the_same_weights():
    weights = torch.tensor([0.3, -0.7], dtype=torch.float64)
    by_transform = qExpectedImprovement(
        Members(), best_f=BEST, posterior_transform=ScalarizedPosteriorTransform(weights)
    )
    by_objective = qExpectedImprovement(Members(), best_f=BEST, objective=LinearMCObjective(weights))
    torch.testing.assert_close(by_transform(repeated()), by_objective(repeated()), rtol=1e-12, atol=0.0)


class OnlyForward(PosteriorTransform):
    """A transform that cannot evaluate outcomes."""

    def evaluate(self, Y: Tensor, X: Tensor | None = None) -> Tensor:  # noqa: N803
        raise NotImplementedError

    def forward(self, posterior: Any, X: Tensor | None = None) -> Any:  # noqa: N803
        return TransformedPosterior(posterior, torch.exp)


def test_a_posterior_wrapped_by_botorch():
    posterior = transformed(Members().posterior(repeated()), OnlyForward(), repeated())
    assert isinstance(posterior, TransformedPosterior)
    sampler = GetSampler(posterior, sample_shape=torch.Size([512]))
    assert isinstance(sampler, MemberSampler)
    torch.testing.assert_close(sampler(posterior).mean(0), function_values(repeated()).exp().mean(1))


def test_several_models_side_by_side():
    models, joint = ModelList(Members((0,)), Members((1,))), Members()
    sampler = GetSampler(models.posterior(CANDIDATES), sample_shape=torch.Size([512]))
    assert isinstance(sampler, ListSampler)
    both = [qNoisyExpectedHypervolumeImprovement(model, REFERENCE, BASELINE)(repeated()) for model in (models, joint)]
    torch.testing.assert_close(*both, rtol=1e-9, atol=0.0)
    # Other seeds pair other members, still alike in all positions.
    n_samples = torch.Size([N_MEMBERS])
    apart = ListSampler(MemberSampler(n_samples, 0), MemberSampler(n_samples, 1))
    found = qNoisyExpectedHypervolumeImprovement(models, REFERENCE, BASELINE, sampler=apart)(repeated())
    assert found.max() - found.min() <= 1e-9


def test_gradients_of_acquisition_functions():
    for name in ("qLogEI", "qLogNEI", "qLogNEHVI"):
        make, outputs, _, _ = ACQUISITIONS[name]
        ours, theirs = (
            uniform(3, 2, N_INPUTS, seed=6).requires_grad_(),
            uniform(3, 2, N_INPUTS, seed=6).requires_grad_(),
        )
        (by_jax,) = torch.autograd.grad(make(JaxMembers(outputs))(ours).sum(), ours)
        (by_torch,) = torch.autograd.grad(make(Members(outputs))(theirs).sum(), theirs)
        torch.testing.assert_close(by_jax, by_torch, rtol=1e-6, atol=1e-9)
    smooth = qLogExpectedImprovement(JaxMembers((0,)), best_f=BEST)
    assert torch.autograd.gradcheck(smooth, uniform(2, 2, N_INPUTS, seed=7).requires_grad_())


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_optimising_an_acquisition_function(n_outputs: int):
    bounds, values = torch.tensor([[0.0] * N_INPUTS, [1.0] * N_INPUTS], dtype=torch.float64), []
    for model in (JaxMembers(tuple(range(n_outputs))), Members(tuple(range(n_outputs)))):
        acquisition: Any = (
            qLogExpectedImprovement(model, best_f=BEST)
            if n_outputs == 1
            else qLogNoisyExpectedHypervolumeImprovement(model, REFERENCE, BASELINE, prune_baseline=True)
        )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            found, value = optimize_acqf(acquisition, bounds, q=2, num_restarts=2, raw_samples=16, sequential=True)
        assert found.shape == (2, N_INPUTS)
        values.append(value)
    torch.testing.assert_close(*values, rtol=1e-4, atol=1e-4)
    assert values[0][0] > float(acquisition(uniform(64, 1, N_INPUTS, seed=8)).median())


def test_no_points():
    for posterior in (Members().posterior(BASELINE[:0]), JaxMembers().posterior(repeated()[:, :0])):
        samples = MemberSampler(torch.Size([512]))(posterior)
        assert samples.shape == (N_MEMBERS, *posterior.batch_shape, 0, 2)
        assert posterior.rsample(torch.Size([3])).shape == (3, *posterior.batch_shape, 0, 2)


def test_torch_random_state_is_left_alone():
    before = torch.get_rng_state()
    qLogExpectedImprovement(Members((0,)), best_f=BEST)(repeated())
    assert torch.equal(torch.get_rng_state(), before)


def test_arguments_that_cannot_be_used():
    values = function_values(repeated())
    for weights in (torch.ones(3), torch.ones(5, N_MEMBERS), torch.ones(1, 1, N_MEMBERS), torch.tensor(1.0)):
        with pytest.raises(InputError, match="one weight per member"):
            MemberPosterior(values, weights)
    with pytest.raises(InputError, match="batch x member"):
        MemberPosterior(values[:, :0])
    posterior = MemberPosterior(values)
    with pytest.raises(InputError, match="picked by one number"):
        posterior.rsample_from_base_samples(torch.Size([4]), torch.zeros(4, 1, 2, 2))
    with pytest.raises(InputError, match="must begin with"):
        posterior.rsample_from_base_samples(torch.Size([4]), torch.zeros(5, dtype=torch.int64))
    with pytest.raises(InputError, match="no members"):
        MemberSampler(torch.Size([4]))(EnsemblePosterior(values))
