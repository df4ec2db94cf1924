"""The verdict: good samplers pass, and each way of missing mass is seen by the check that is there for it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri

from uqkit.sensitivity.importance import Diagnosis, Exploration, Law, Sampled, Targets, diagnose
from uqkit.sensitivity.importance.proposals import NOMINAL, Proposal, draw, known_integrals
from uqkit.stats import cross_fitted_estimate, gaussian_stack


def standard_normal():
    return Law(log_density=lambda x: stats.norm.logpdf(x).sum(axis=1), from_unit=ndtri)


def two_bumps():
    """Half the mass three to the left, half three to the right, of unit variance."""

    def log_density(x):
        return np.logaddexp(stats.norm.logpdf(x[:, 0], -3, 1), stats.norm.logpdf(x[:, 0], 3, 1)) - np.log(2)

    def from_unit(unit):
        left = unit < 0.5
        return np.where(left, ndtri(np.where(left, 2 * unit, 0.5)) - 3, ndtri(np.where(left, 0.5, 2 * unit - 1)) + 3)

    return Law(log_density=log_density, from_unit=from_unit)


def diagnosed(law, mean, deviation, *, defensive=0.0, function=np.abs, n_draws=4_000, scarce=False):
    """The diagnosis of one Gaussian proposal beside a share of the law."""
    targets = Targets(values=function, laws=(law,), names=("f",), law_names=None, dim=1)
    stack = gaussian_stack(np.array([[mean]]), np.array([[[deviation**2]]]))
    proposal = Proposal(stack=stack, share=np.array([1 - defensive, defensive]))
    final = draw(targets, proposal, n_draws, np.random.default_rng(0))
    log_proposal = proposal.log_density(final.x, final.log_nominal)
    control, known = known_integrals(proposal, final, log_proposal, 0)
    # The law's own column is a control only where the law takes part.
    control = (control - known)[:, : 1 + (defensive > 0)]
    ratio = final.ratio(log_proposal)
    sampled = Sampled(
        estimate=cross_fitted_estimate(ratio, control),
        draws=final,
        ratio=ratio,
        control=control,
        log_proposal=log_proposal,
    )
    exploration = Exploration(proposal=proposal, draws=None, history=None, scarce=np.array([scarce]))
    return diagnose(targets, exploration, sampled, np.random.default_rng(1))


def test_a_good_sampler_passes():
    for diagnosis in (
        diagnosed(standard_normal(), 0.0, 1.2),
        diagnosed(standard_normal(), 1.0, 1.0, defensive=0.1),
        diagnosed(two_bumps(), 0.0, 4.5),
    ):
        assert isinstance(diagnosis, Diagnosis)
        assert (diagnosis.verdict, diagnosis.text) == ("ok", "every check passed")
        assert diagnosis.effective_draws[0] > 500


def test_a_share_of_the_law_bounds_the_weights():
    assert diagnosed(standard_normal(), 4.0, 0.5, defensive=0.1).law_tail_index == -np.inf


def test_missing_a_whole_bump_is_seen_although_the_draws_look_well():
    diagnosis = diagnosed(two_bumps(), 3.0, 1.0)
    assert diagnosis.verdict == "fail"
    # The weights of the draws there are show nothing; draws of the law do.
    assert diagnosis.tail_index.max() < 0.7
    assert diagnosis.effective_draws[0] > 3_000
    assert "under the law itself" in diagnosis.text
    assert abs(diagnosis.law_z[0]) > 10
    assert "z-score of a known mean" in diagnosis.text


def test_tails_that_are_too_light_are_seen():
    diagnosis = diagnosed(standard_normal(), 0.0, 0.5)
    # f/g grows as exp(1.5 x^2), which exceeds t with a probability near t^(-1/3) under f: a tail index of 3.
    assert diagnosis.law_tail_index > 1
    assert diagnosis.verdict == "fail"


@pytest.mark.parametrize(("cut", "verdict"), [(1.0, "ok"), (2.2, "warn"), (6.0, "fail")])
def test_few_draws_that_carry_an_expectation(cut, verdict):
    diagnosis = diagnosed(
        standard_normal(), 0.0, 1.2, function=lambda x: (x > cut).astype(float), n_draws=1_500, defensive=0.1
    )
    assert diagnosis.verdict == verdict
    assert (verdict == "ok") == (diagnosis.effective_draws[0] > 100)


def test_scarce_exploration_is_a_warning():
    diagnosis = diagnosed(standard_normal(), 0.0, 1.2, scarce=True)
    assert diagnosis.verdict == "warn"
    assert diagnosis.text.startswith("too few exploration draws carried f")


def test_draws_of_the_law_itself_have_nothing_to_check():
    targets = Targets(values=np.abs, laws=(standard_normal(),), names=("f",), law_names=None, dim=1)
    final = draw(targets, NOMINAL, 2_000, np.random.default_rng(0))
    log_proposal = NOMINAL.log_density(final.x, final.log_nominal)
    ratio, control = final.ratio(log_proposal), np.zeros((2_000, 1))
    estimate = cross_fitted_estimate(ratio, control[:, :0])
    sampled = Sampled(estimate=estimate, draws=final, ratio=ratio, control=control, log_proposal=log_proposal)
    exploration = Exploration(proposal=NOMINAL, draws=None, history=None, scarce=np.array([False]))
    diagnosis = diagnose(targets, exploration, sampled, np.random.default_rng(1))
    assert diagnosis.verdict == "ok"
    np.testing.assert_array_equal(diagnosis.law_z, [0.0])


def test_a_right_sampler_is_rarely_doubted():
    verdicts = [replace(diagnosed(standard_normal(), 0.5, 1.3, n_draws=500 + i), text="").verdict for i in range(20)]
    assert verdicts == ["ok"] * 20
