"""MacKay's updates: unbiased scales with honest errors where the truth is known; maximum likelihood is biased."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from tests.inference.residuals import Linear, blocks_of, linear
from tests.statistical import assert_within_error
from uqkit import InputError
from uqkit.inference import GaussNewton, Laplace, MacKay, ScalePrior, Scales

# SciPy's stubs take the shape for a number, and all frozen laws for discrete ones.
multivariate_normal: Any = stats.multivariate_normal
normal: Any = stats.norm
N_ROWS, N_DIMS, NOISE, PRIOR, N_DATA_SETS = 60, 20, 0.3, 2.0, 100
FLAT = ScalePrior(log_density=lambda log_scale: 0.0, start=1.0, floor=1e-8)


def data_set(seed, n_rows=N_ROWS, n_dims=N_DIMS):
    generator = np.random.default_rng(seed)
    design = generator.normal(size=(n_rows, n_dims))
    weights = PRIOR * generator.normal(size=n_dims)
    observed = design @ weights + NOISE * generator.normal(size=n_rows)
    return Linear(design, observed, blocks_of({"data": n_rows}), blocks_of({"weights": n_dims}))


def start_of(problem, noise=1.0, prior=1.0):
    return Scales(noise={"data": noise}, prior={"weights": prior}), np.zeros(problem.design.shape[1])


@pytest.fixture(scope="module")
def fits():
    problems = [data_set(seed) for seed in range(N_DATA_SETS)]
    method = MacKay(tolerance=1e-5)
    return [
        method.fit(problem, *start_of(problem), noise_priors={"data": FLAT}, free_priors=["weights"])
        for problem in problems
    ]


def assert_unbiased(noise):
    """The squared noise scale has the law of sigma^2 chi^2_k / k with k = rows - dimensions, nearly."""
    share = (np.asarray(noise) / NOISE) ** 2
    assert_within_error(share.mean(), share.std(ddof=1) / np.sqrt(len(share)), 1.0, max_error=0.03)


def by_maximum_likelihood(problem, n_rounds):
    """The broken twin: the same updates with no effective parameters."""
    scales, position = start_of(problem)
    for _ in range(n_rounds):
        laplace = Laplace(problem, GaussNewton().mode(problem, scales, position))
        rms = float(np.sqrt(np.mean(laplace.mode.residual**2)))
        scales = Scales(noise={"data": rms}, prior={"weights": float(np.std(laplace.mode.position))})
    return scales.noise["data"]


def test_noise_scale_is_unbiased(fits):
    assert_unbiased([fit.laplace.mode.scales.noise["data"] for fit in fits])


def test_maximum_likelihood_is_not():
    with pytest.raises(AssertionError):
        assert_unbiased([by_maximum_likelihood(data_set(seed), 3) for seed in range(N_DATA_SETS)])


def test_prior_scale_is_recovered(fits):
    share = np.array([fit.laplace.mode.scales.prior["weights"] for fit in fits]) ** 2 / PRIOR**2
    assert_within_error(share.mean(), share.std(ddof=1) / np.sqrt(len(share)), 1.0, max_error=0.05)


def z_scores(fits, factor=1.0):
    log_ratio = np.log([fit.laplace.mode.scales.noise["data"] / NOISE for fit in fits])
    return log_ratio / (factor * np.array([fit.relative_error["data"] for fit in fits]))


def test_noise_scale_is_as_uncertain_as_it_says(fits):
    def check(z):
        assert_within_error(z.std(), 1 / np.sqrt(2 * len(z)), 1.0, max_error=0.1)
        covered = (np.abs(z) < 1.96).mean()
        assert_within_error(covered, np.sqrt(0.95 * 0.05 / len(z)), 0.95, max_error=0.03)

    check(z_scores(fits))
    for factor in (0.5, 2.0):
        with pytest.raises(AssertionError):
            check(z_scores(fits, factor))
    assert all(fit.identified["data"] and fit.converged for fit in fits)


def test_scales_are_where_the_evidence_is_largest():
    bare = linear({"a": 20, "b": 30}, {"v": 5, "w": 8})
    weights = np.random.default_rng(1).normal(size=13) * np.repeat([2.0, 0.7], [5, 8])
    problem = replace(bare, observed=bare.observed + bare.design @ weights)
    priors = {name: normal(centre, 0.5) for name, centre in (("a", 0.1), ("b", -0.3))}
    learned = {name: ScalePrior(log_density=law.logpdf, start=1.0, floor=1e-6) for name, law in priors.items()}
    scales = Scales(noise={"a": 1.0, "b": 1.0}, prior={"v": 1.0, "w": 1.0})
    fit = MacKay(tolerance=1e-8, max_rounds=400).fit(
        problem, scales, np.zeros(13), noise_priors=learned, free_priors=["v", "w"]
    )

    def minus_log_joint(log_scales):
        a, b, v, w = np.exp(log_scales)
        noise = np.repeat([a, b], [20, 30])
        prior = np.repeat([v, w], [5, 8])
        marginal = np.diag(noise**2) + (problem.design * prior**2) @ problem.design.T
        log_evidence = multivariate_normal(np.zeros(50), marginal).logpdf(problem.observed)
        return -log_evidence - sum(law.logpdf(log_scales[i]) for i, law in enumerate(priors.values()))

    best = optimize.minimize(
        minus_log_joint, np.zeros(4), method="Nelder-Mead", options={"xatol": 1e-7, "maxiter": 4000}
    )
    found = fit.laplace.mode.scales
    np.testing.assert_allclose(
        [found.noise["a"], found.noise["b"], found.prior["v"], found.prior["w"]], np.exp(best.x), rtol=2e-3
    )


def test_a_block_that_is_interpolated_is_not_identified_and_stops_at_its_floor():
    problem = data_set(0, n_rows=20, n_dims=20)
    scales, start = start_of(problem, prior=1e3)
    floored = ScalePrior(log_density=lambda log_scale: 0.0, start=1.0, floor=1e-3)
    fit = MacKay().fit(problem, scales, start, noise_priors={"data": floored})
    assert fit.identified == {"data": False}
    assert fit.laplace.mode.scales.noise["data"] == pytest.approx(1e-3, rel=1e-3)
    assert fit.converged
    # Without a floor nothing holds maximum likelihood.
    assert by_maximum_likelihood(problem, 12) < 1e-3


def test_a_proper_prior_holds_a_block_that_is_interpolated():
    problem = data_set(0, n_rows=10, n_dims=30)
    scales, start = start_of(problem, prior=1e3)
    law = normal(np.log(0.2), 0.5)
    proper = ScalePrior(log_density=law.logpdf, start=1.0, floor=1e-6)
    fit = MacKay(tolerance=1e-6).fit(problem, scales, start, noise_priors={"data": proper})
    assert fit.laplace.mode.scales.noise["data"] == pytest.approx(0.2, rel=1e-3)
    assert fit.identified == {"data": False}


def test_known_scales_stay_and_need_no_update():
    problem = data_set(0)
    scales, start = start_of(problem, noise=0.7)
    fit = MacKay().fit(problem, scales, start, noise_priors={})
    assert fit.laplace.mode.scales == scales
    assert (fit.n_rounds, fit.converged, fit.relative_error, fit.identified) == (0, True, {}, {})


def test_too_few_updates_are_not_called_converged():
    problem = data_set(0)
    fit = MacKay(max_rounds=2, largest_move=1.5).fit(problem, *start_of(problem), noise_priors={"data": FLAT})
    assert fit.n_rounds == 2
    assert not fit.converged
    assert fit.laplace.mode.scales.noise["data"] == pytest.approx(1.0 / 1.5**2, rel=1e-4)


@pytest.mark.parametrize(
    "setting",
    [{"max_rounds": 0}, {"tolerance": 0.0}, {"largest_move": 1.0}, {"least_share": 0.0}, {"least_share": 1.0}],
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(InputError, match="max_rounds >= 1, tolerance > 0, largest_move > 1, 0 < least_share < 1"):
        MacKay(**setting)


@pytest.mark.parametrize(("start", "floor"), [(1.0, 0.0), (1.0, 2.0), (np.inf, 1.0), (np.nan, 1.0)])
def test_a_scale_prior_starts_above_its_floor(start, floor):
    with pytest.raises(InputError, match="0 < floor <= start"):
        ScalePrior(log_density=lambda log_scale: 0.0, start=start, floor=floor)
