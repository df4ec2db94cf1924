"""Best mixture shares alpha of the proposal g_alpha = sum_k alpha_k g_k: a convex problem, two solvers."""

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

__all__ = ["SMALLEST_MIXTURE", "monotone_shares", "published_shares"]

SMALLEST_MIXTURE = 1e-60


def monotone_shares(
    density: Float[np.ndarray, "draw component"],
    criterion: Float[np.ndarray, " draw"],
    start: Float[np.ndarray, " component"],
    floor: Float[np.ndarray, " component"],
    *,
    n_steps: int = 100,
    tolerance: float = 1e-6,
) -> Float[np.ndarray, " component"]:
    """Minimise mean_i criterion_i / (density_i . alpha) over the simplex with alpha_k >= floor_k.

    With responsibilities pi_k = alpha_k g_k/g_alpha, Jensen gives 1/g_alpha' <= sum_k pi_k^2/(alpha'_k g_k), so each
    step minimises sum_k A_k/alpha'_k, A_k = alpha_k^2 mean_i(criterion_i g_k/g_alpha^2): never an increase.

    Args:
        density: g_k(x_i), any common scale per row that `criterion` shares.
        criterion: sum_j w_j (phi_j f_j - sum_k B_jk g_k)^2 / h at the draws, non-negative.
        start: Positive, sums to one.
        floor: Least shares; sum to less than one.
        n_steps: Most steps.
        tolerance: Stop when a step lowers the criterion by a smaller share than this.

    Returns:
        The shares.
    """
    # From a start below a floor the first step would be a rise, and the last.
    share = _water_filled(np.maximum(start, 1e-12), floor)
    previous = np.inf
    for _ in range(n_steps):
        # Where every component underflows against h so does the criterion; the floor keeps 0/0 out.
        mixture = np.maximum(density @ share, SMALLEST_MIXTURE)
        value = np.mean(criterion / mixture)
        if not value > 0 or value > previous * (1 - tolerance):
            break
        previous = value
        share = _water_filled(share * np.sqrt((criterion / mixture**2) @ density), floor)
    return _water_filled(share, floor)


def _water_filled(
    root: Float[np.ndarray, " component"], floor: Float[np.ndarray, " component"]
) -> Float[np.ndarray, " component"]:
    """The minimiser of sum_k root_k^2/alpha_k over the simplex with alpha_k >= floor_k: max(floor_k, c root_k)."""
    at_floor = np.zeros(len(root), bool)
    share = floor.copy()
    for _ in range(len(root)):
        free = ~at_floor
        total = root[free].sum()
        remaining = 1.0 - floor[at_floor].sum()
        share = np.where(at_floor, floor, remaining * root / total if total > 0 else remaining / max(free.sum(), 1))
        violated = free & (share < floor)
        if not violated.any():
            break
        at_floor |= violated
    return share / share.sum()


def published_shares(
    density: Float[np.ndarray, "draw component"],
    criterion: Float[np.ndarray, " draw"],
    start: Float[np.ndarray, " component"],
    *,
    lower: float = 9e-12,
) -> Float[np.ndarray, " component"]:
    """The same problem by SLSQP with bounds [9e-12, 1], as the authors solve it; the criterion is scaled to order 1."""
    value_at_start = np.mean(criterion / (density @ start))
    if not value_at_start > 0:
        return start

    def value_and_gradient(share):
        mixture = np.maximum(density @ share, SMALLEST_MIXTURE)
        value = np.mean(criterion / mixture)
        gradient = -((criterion / mixture**2) @ density) / len(density)
        return value / value_at_start, gradient / value_at_start

    solution = minimize(
        value_and_gradient,
        np.clip(start, lower, 1.0),
        jac=True,
        method="SLSQP",
        bounds=[(lower, 1.0)] * len(start),
        constraints={"type": "eq", "fun": lambda share: share.sum() - 1.0, "jac": lambda share: np.ones_like(share)},
    )
    share = np.clip(solution.x, lower, 1.0)
    return share / share.sum() if np.all(np.isfinite(share)) else start
