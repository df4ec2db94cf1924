"""The Franz-Parisi potential against counting all vectors of signs of small perceptrons."""

import numpy as np
import pytest

from uqkit import InputError
from uqkit.continual.teacher_student import bayes_optimal, franz_parisi

LOADS, COUPLING, SIMILARITY = (2 / 3, 1 / 3), 0.4, 0.5
SIZES, N_SAMPLES = (9, 15), (8_000, 2_400)


def counted(n, n_samples, rng):
    """Mean and standard error of (q2, R2, p, T1), over teachers and rows, by sums over all 2^n vectors."""
    vectors = (2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1) - 1).astype(np.float32)
    found = np.empty((n_samples, 4))
    for sample in range(n_samples):
        first = rng.choice([-1.0, 1.0], n).astype(np.float32)
        second = np.where(rng.random(n) < 0.5 * (1 + SIMILARITY), first, -first)
        fits = []
        for teacher, load in ((first, LOADS[0]), (second, LOADS[1])):
            x = rng.choice([-1.0, 1.0], (round(load * n), n)).astype(np.float32)
            fits.append(((vectors @ x.T) * np.sign(x @ teacher) > 0).all(axis=1))
        w1 = vectors[rng.choice(np.flatnonzero(fits[0]))]
        allowed = vectors[fits[1]]
        weight = np.exp(COUPLING * (allowed @ w1))
        mean = weight @ allowed / weight.sum()
        found[sample] = np.array([mean @ mean, mean @ second, mean @ w1, mean @ first]) / n
    return found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(n_samples)


def test_order_parameters_are_the_limit_of_counting():
    rng = np.random.default_rng(0)
    (small, small_error), (large, large_error) = (counted(n, m, rng) for n, m in zip(SIZES, N_SAMPLES, strict=True))
    # Linear in 1/N.
    slope = (1 / SIZES[1]) / (1 / SIZES[0] - 1 / SIZES[1])
    limit = large + slope * (large - small)
    error = np.hypot((1 + slope) * large_error, slope * small_error)
    theory = franz_parisi(*LOADS, coupling=COUPLING, similarity=SIMILARITY)
    expected = [theory.self_overlap, theory.overlap, theory.distance_overlap, theory.first_overlap]
    assert error.max() < 0.01
    assert (np.abs(limit - expected) < 5 * error).all()
    # Without the coupling the same comparison fails.
    free = franz_parisi(*LOADS, coupling=0.0, similarity=SIMILARITY)
    assert abs(limit[2] - free.distance_overlap) > 5 * error[2]


def test_without_coupling_the_second_task_is_learned_by_itself():
    found = franz_parisi(0.6, 0.4, coupling=0.0, similarity=0.5)
    alone = bayes_optimal(0.4)
    assert found.self_overlap == pytest.approx(found.overlap, abs=1e-10)
    assert found.self_overlap == pytest.approx(alone.overlap, abs=1e-10)
    assert found.potential == pytest.approx(-alone.free_entropy, abs=1e-10)
    assert found.first_overlap == pytest.approx(0.5 * found.overlap, abs=1e-10)


def test_the_coupling_is_the_slope_of_the_potential():
    # V(p) is a Legendre transform: dV/dp = coupling.
    low, high = (franz_parisi(0.6, 0.4, coupling=0.4 + step, similarity=0.5) for step in (-1e-3, 1e-3))
    slope = (high.potential - low.potential) / (high.distance_overlap - low.distance_overlap)
    assert slope == pytest.approx(0.4, abs=1e-6)


def test_wrong_arguments_are_refused():
    with pytest.raises(InputError, match="similarity=2"):
        franz_parisi(0.6, 0.4, coupling=0.4, similarity=2.0)
    with pytest.raises(InputError, match="load=1.6"):
        franz_parisi(1.6, 0.4, coupling=0.4)
