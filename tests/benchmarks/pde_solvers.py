"""Classical answers in NumPy and SciPy: spectral solvers, and posteriors of a few parameters by quadrature.

`python -m tests.benchmarks.pde_solvers` prints their errors and costs.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
import scipy.integrate
import scipy.linalg
from jaxtyping import Float

__all__ = ["chebyshev", "klein_gordon", "linear_on_rectangle", "posterior_moments", "relative_error"]


def chebyshev(n: int, low: float, high: float) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, "point point"]]:
    """Chebyshev points of an interval, in increasing order, and the matrix that differentiates values there.

    Args:
        n: Number of points, the two ends included.
        low: Lower end.
        high: Upper end.

    Reference:
        Trefethen (2000), Spectral Methods in MATLAB, chapter 6; the negative-sum trick for the diagonal.
    """
    x = -np.cos(np.pi * np.arange(n) / (n - 1))
    c = np.ones(n)
    c[[0, -1]] = 2
    c *= (-1.0) ** np.arange(n)
    difference = x[:, None] - x[None, :]
    matrix = np.outer(c, 1 / c) / (difference + np.eye(n))
    matrix -= np.diag(matrix.sum(axis=1))
    half = (high - low) / 2
    return low + half * (x + 1), matrix / half


def linear_on_rectangle(
    source: Callable[..., Float[np.ndarray, "point point"]],
    *,
    n: int,
    x: tuple[float, float],
    y: tuple[float, float],
    diffusion: float = 1.0,
    reaction: float = 0.0,
    boundary: Callable[..., Float[np.ndarray, "point point"]] | None = None,
) -> tuple[Float[np.ndarray, "point point"], Float[np.ndarray, "point point"], Float[np.ndarray, "point point"]]:
    """Collocation of diffusion (u_xx + u_yy) + reaction u = source on a rectangle with u given on its edges.

    Args:
        source: Right-hand side at arrays x, y.
        n: Chebyshev points a direction; the dense matrix has (n - 2)^2 rows.
        x: Interval of the first coordinate.
        y: Interval of the second coordinate.
        diffusion: Coefficient of the Laplacian.
        reaction: Coefficient of u.
        boundary: Value on the edges at arrays x, y; 0 if not given.

    Returns:
        Points x, points y and u there, each n by n.
    """
    (along_x, d_x), (along_y, d_y) = chebyshev(n, *x), chebyshev(n, *y)
    grid_x, grid_y = np.meshgrid(along_x, along_y, indexing="ij")
    identity = np.eye(n)
    operator = diffusion * (np.kron(d_x @ d_x, identity) + np.kron(identity, d_y @ d_y)) + reaction * np.eye(n * n)
    inside = np.zeros((n, n), dtype=bool)
    inside[1:-1, 1:-1] = True
    free, held = np.flatnonzero(inside.ravel()), np.flatnonzero(~inside.ravel())
    u = np.zeros((n, n)) if boundary is None else np.where(inside, 0.0, boundary(grid_x, grid_y))
    u = u.ravel()
    right = np.broadcast_to(source(grid_x, grid_y), (n, n)).ravel()[free] - operator[np.ix_(free, held)] @ u[held]
    u[free] = scipy.linalg.solve(operator[np.ix_(free, free)], right)
    return grid_x, grid_y, u.reshape(n, n)


def klein_gordon(
    forcing: Callable[..., Float[np.ndarray, " point"]],
    *,
    n: int,
    ends: Callable[..., Float[np.ndarray, "..."]],
    start: Callable[..., Float[np.ndarray, " point"]],
    rtol: float = 1e-12,
    times: Float[np.ndarray, " time"],
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, "point time"]]:
    """u_tt = u_xx - u^3 + forcing on x in [0, 1] from rest: Chebyshev points in space, DOP853 in time.

    Args:
        forcing: At arrays x and a time.
        n: Chebyshev points, the ends included.
        ends: Value at the ends (0, 1) and a time.
        start: Value at time 0.
        rtol: Relative tolerance of the time steps; the absolute one is a tenth of it.
        times: Where the solution is wanted, increasing from 0.

    Returns:
        Points x, and u at points by times.
    """
    x, d_x = chebyshev(n, 0.0, 1.0)
    second = (d_x @ d_x)[1:-1]
    inner, outer = second[:, 1:-1], second[:, [0, -1]]

    def rate(t: float, state: Float[np.ndarray, " state"]) -> Float[np.ndarray, " state"]:
        u, speed = np.split(state, 2)
        return np.concatenate([speed, inner @ u + outer @ ends(x[[0, -1]], t) - u**3 + forcing(x[1:-1], t)])

    first = start(x[1:-1])
    solved = scipy.integrate.solve_ivp(
        rate,
        (times[0], times[-1]),
        np.concatenate([first, np.zeros_like(first)]),
        method="DOP853",
        t_eval=times,
        rtol=rtol,
        atol=rtol / 10,
    )
    if not solved.success:
        raise RuntimeError(f"DOP853 stopped: {solved.message}")
    u = np.empty((n, len(times)))
    u[1:-1] = solved.y[: n - 2]
    u[[0, -1]] = np.stack([ends(x[[0, -1]], t) for t in times], axis=1)
    return x, u


def posterior_moments(
    solution: Callable[..., Float[np.ndarray, "..."]],
    points: Float[np.ndarray, " point"],
    readings: Float[np.ndarray, " point"],
    *,
    axes: Sequence[Float[np.ndarray, " node"]],
    log_priors: Sequence[Callable[..., Float[np.ndarray, " node"]]],
) -> list[tuple[float, float]]:
    """Mean and standard deviation of parameters and noise scale, given Gaussian readings of a closed-form solution.

    Args:
        solution: Value at a point and parameters, which are arrays that broadcast against each other.
        points: Where it is read.
        readings: What was read.
        axes: Nodes of each parameter, then of the noise scale; they must cover the posterior.
        log_priors: Log density on each axis, up to a constant.

    Returns:
        One pair a parameter, and the noise scale's last, by the trapezoidal rule on the product of the axes.
    """
    grid = np.meshgrid(*axes, indexing="ij", sparse=True)
    *parameters, scale = grid
    squares = sum((y - solution(x, *parameters)) ** 2 for x, y in zip(points, readings, strict=True))
    log_density = -len(readings) * np.log(scale) - squares / (2 * scale**2)
    for axis, log_prior, nodes in zip(grid, log_priors, axes, strict=True):
        log_density = log_density + log_prior(axis) + np.log(np.gradient(nodes)).reshape(axis.shape)
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    moments = []
    for axis in grid:
        mean = float((weight * axis).sum())
        moments.append((mean, float(np.sqrt((weight * (axis - mean) ** 2).sum()))))
    return moments


def relative_error(found: Float[np.ndarray, "..."], exact: Float[np.ndarray, "..."]) -> float:
    """Euclidean norm of the difference over that of the exact values."""
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def _helmholtz(n: int) -> float:
    def exact(x, y):
        return np.sin(np.pi * x) * np.sin(4 * np.pi * y)

    x, y, u = linear_on_rectangle(
        lambda x, y: (1 - 17 * np.pi**2) * exact(x, y), n=n, x=(-1, 1), y=(-1, 1), reaction=1.0
    )
    return relative_error(u, exact(x, y))


def _klein_gordon(n: int) -> float:
    def exact(x, t):
        return x * np.cos(5 * np.pi * t) + (x * t) ** 3

    def forcing(x, t):
        return -25 * np.pi**2 * x * np.cos(5 * np.pi * t) + 6 * x**3 * t - 6 * x * t**3 + exact(x, t) ** 3

    times = np.linspace(0, 1, 51)
    x, u = klein_gordon(forcing, n=n, ends=exact, start=lambda x: x, times=times)
    return relative_error(u, exact(x[:, None], times))


def main() -> None:
    """Print relative errors against the closed form, and CPU seconds as the least of three runs."""
    print(f"{'problem':<14}{'points a direction':>20}{'relative error':>16}{'CPU s':>9}")
    for name, solve, sizes in (("helmholtz", _helmholtz, (16, 24, 32, 40)), ("klein_gordon", _klein_gordon, (6, 12))):
        for n in sizes:
            costs = []
            error = solve(n)
            for _ in range(3):
                begin = time.process_time()
                solve(n)
                costs.append(time.process_time() - begin)
            print(f"{name:<14}{n:>20}{error:>16.2g}{min(costs):>9.3f}")


if __name__ == "__main__":
    main()
