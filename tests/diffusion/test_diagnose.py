"""Every doubt of the diagnosis appears where there is reason for it, and nowhere else."""

import re
from typing import Any

import numpy as np
import pytest

from uqkit.diffusion.diagnose import off_path, too_stiff, verdict

N_STEPS, N_ISLANDS, N_PARTICLES, DIM = 12, 8, 200, 2
RANDOM = np.random.default_rng(0)


def healthy() -> dict[str, Any]:
    return {
        "share": RANDOM.uniform(0.6, 0.9, (N_STEPS, N_ISLANDS)),
        "log_weight": RANDOM.normal(scale=0.4, size=(N_ISLANDS, N_PARTICLES)) - 700.0,
        "root": np.tile(np.arange(N_PARTICLES), (N_ISLANDS, 1)),
        "stein": RANDOM.normal(scale=0.1, size=(N_STEPS, N_ISLANDS)),
        "stiffness": RANDOM.uniform(0.0, 0.9, (N_STEPS, N_ISLANDS)),
        "dim": DIM,
        "final": False,
    }


def changed(name: str, where: Any, value: Any) -> dict[str, Any]:
    found = healthy()
    found[name][where] = value
    return found


def heavy(scale: float) -> dict[str, Any]:
    """Islands that differ in their normalisers."""
    return healthy() | {"log_weight": healthy()["log_weight"] + scale * np.arange(N_ISLANDS)[:, None]}


def test_a_healthy_run_is_ok():
    level, text = verdict(**healthy())
    assert level == "ok"
    assert "can be used" in text


@pytest.mark.parametrize(
    ("run", "level", "message"),
    [
        (changed("share", 5, 0.04), "warn", "effective share of particles falls to 0.04"),
        (changed("share", 5, 0.004), "fail", "effective share of particles falls to 0.004"),
        (changed("log_weight", (slice(None), 0), -690.0), "warn", "effective share of particles falls to"),
        (heavy(1.0), "warn", "the normaliser's relative standard error is 0."),
        (changed("log_weight", 3, -np.inf), "fail", "no particle of island 3 is where the density is above zero"),
        (changed("root", slice(None), 7), "fail", "descend from 1.0 first ones"),
        (healthy() | {"root": np.arange(N_PARTICLES) % 15 + np.zeros((N_ISLANDS, 1), int)}, "warn", "from 15.0 first"),
        (changed("stiffness", (4, 2), 1.7), "warn", r"step times curvature 1.7, above 1, first at step 4"),
        (changed("stein", 9, 0.5 + 0.01 * RANDOM.normal(size=N_ISLANDS)), "warn", r"Stein .* 0.2\d of 1 .* at step 9"),
    ],
)
def test_each_doubt_has_its_case(run, level, message):
    found, text = verdict(**run)
    assert found == level
    assert re.search(message, text), text


def test_several_doubts_are_all_said_and_the_worst_counts():
    run: dict[str, Any] = changed("share", 5, 0.001) | {"stiffness": np.full((N_STEPS, N_ISLANDS), 2.0)}
    level, text = verdict(**run)
    assert level == "fail"
    assert text.count(";") == 1
    assert "effective share" in text
    assert "curvature" in text


def test_where_weights_are_exact_particles_may_leave_the_path():
    run = changed("stein", 9, 0.5)
    exact: dict[str, Any] = run | {"final": True}
    assert verdict(**run)[0] == "warn"
    assert verdict(**exact)[0] == "ok"


def test_a_stein_discrepancy_must_be_significant_and_large():
    noisy = RANDOM.normal(scale=3.0, size=(1, N_ISLANDS))
    certain = 0.1 + 1e-3 * RANDOM.normal(size=(1, N_ISLANDS))
    assert not off_path(noisy, dim=1).any()
    assert not off_path(certain, dim=2).any()
    assert off_path(certain + 0.1, dim=1).all()


def test_one_island_is_enough_to_be_too_stiff():
    stiffness = np.full((3, 4), 0.5)
    stiffness[1, 2] = 1.01
    np.testing.assert_array_equal(too_stiff(stiffness), [False, True, False])
