"""Converged lid-driven cavity flow by two independent solvers, and published values, in NumPy and SciPy.

The equation is psi_y (lap psi)_x - psi_x (lap psi)_y = lap^2 psi / Re on the unit square, u = psi_y, v = -psi_x, with
the lid y = 1 sliding at speed 1. `spectral` is a Chebyshev-Galerkin method with the flow at both lid corners
subtracted; `finite_difference` is of second order and knows nothing of corners, `richardson` combines two of its grids.
At Re = 100 and degree 36 the first is within 3e-4 of its limit (relative L2 norm of the velocity, 1/64 off the walls).

`python -m tests.benchmarks.cavity_reference` prints how they agree, and writes data/lid_driven_cavity.csv.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.polynomial import chebyshev
from scipy import linalg, sparse
from scipy.sparse.linalg import splu

__all__ = [
    "GHIA_U",
    "GHIA_V",
    "PUBLISHED_CENTRE",
    "PUBLISHED_LEAST_PSI",
    "SpectralCavity",
    "corner_part",
    "finite_difference",
    "richardson",
    "spectral",
    "velocity_errors",
]

type Array = Float[np.ndarray, "..."]

DATA = Path(__file__).resolve().parents[2] / "data" / "lid_driven_cavity.csv"

# At Re = 100: y and u(1/2, y), then x and v(x, 1/2). Ghia, Ghia & Shin (1982), Journal of Computational Physics 48,
# tables I and II, on 129 x 129 points; the converged flow is up to 0.006 away in u and 0.01 in v.
_GHIA_U = """
1.0000 1.00000  0.9766 0.84123  0.9688 0.78871  0.9609 0.73722  0.9531 0.68717  0.8516 0.23151  0.7344 0.00332
0.6172 -0.13641  0.5000 -0.20581  0.4531 -0.21090  0.2813 -0.15662  0.1719 -0.10150  0.1016 -0.06434  0.0703 -0.04775
0.0625 -0.04192  0.0547 -0.03717  0.0000 0.00000
"""
_GHIA_V = """
1.0000 0.00000  0.9688 -0.05906  0.9609 -0.07391  0.9531 -0.08864  0.9453 -0.10313  0.9063 -0.16914  0.8594 -0.22445
0.8047 -0.24533  0.5000 0.05454  0.2344 0.17527  0.2266 0.17507  0.1563 0.16077  0.0938 0.12317  0.0781 0.10890
0.0703 0.10091  0.0625 0.09233  0.0000 0.00000
"""
GHIA_U, GHIA_V = (np.array(table.split(), dtype=float).reshape(-1, 2) for table in (_GHIA_U, _GHIA_V))
# At Re = 100: u and v at the centre, and the least psi, extrapolated from finite volumes on up to 1024 x 1024 cells.
# Marchi, Suero & Araki (2009), Journal of the Brazilian Society of Mechanical Sciences and Engineering 31, 186-198.
PUBLISHED_CENTRE = (-0.209149, 0.057537)
PUBLISHED_LEAST_PSI = -0.10352

_MOST_ITERATIONS = 30
_SMALLEST_STEP = 1e-11


def corner_part(x: Array, y: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Both corner flows together: psi, psi_x, psi_y, (lap psi)_x, (lap psi)_y; lap^2 psi is 0.

    Each, r (A sin t + C t sin t + D t cos t) with t measured from the lid, has psi = 0 and the right velocity on both
    walls that meet at its corner. It is not defined at the corners themselves.

    Reference:
        Taylor (1962), On scraping viscous fluid from a plane surface.
    """
    d = 1.0 / (np.pi**2 / 4 - 1)
    c, a = d * np.pi / 2, -d * np.pi**2 / 4
    total = [np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y)))] * 5
    for p, sign in ((x, 1.0), (1.0 - x, -1.0)):
        q = 1.0 - y
        s, angle = p * p + q * q, np.arctan2(q, p)
        laplacian = (2 * c * p - 2 * d * q) / s
        parts = (
            (a + c * angle) * q + d * angle * p,
            sign * (d * angle - (c * q * q + d * p * q) / s),
            -(a + c * angle + (c * p * q + d * p * p) / s),
            sign * (2 * c / s - 2 * p * laplacian / s),
            2 * d / s + 2 * q * laplacian / s,
        )
        total = [t + part for t, part in zip(total, parts, strict=True)]
    psi, psi_x, psi_y, laplacian_x, laplacian_y = total
    return psi, psi_x, psi_y, laplacian_x, laplacian_y


@dataclass(frozen=True)
class SpectralCavity:
    """A solution.

    Attributes:
        coefficients: Of Chebyshev polynomials of 2 x - 1 and 2 y - 1: psi minus `corner_part`.
        reynolds: Reynolds number.
    """

    coefficients: Float[np.ndarray, "degree degree"]
    reynolds: float

    def __call__(self, x: Array | float, y: Array | float) -> tuple[Array, Array, Array]:
        """psi, u, v on the closed square; a lid corner counts as lid, u = 1."""
        x, y = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
        with np.errstate(invalid="ignore", divide="ignore"):
            psi, psi_x, psi_y, _, _ = corner_part(x, y)
        rest, a, b = self.coefficients, 2 * x - 1, 2 * y - 1
        psi = psi + chebyshev.chebval2d(a, b, rest)
        psi_x = psi_x + 2 * chebyshev.chebval2d(a, b, chebyshev.chebder(rest, axis=0))
        psi_y = psi_y + 2 * chebyshev.chebval2d(a, b, chebyshev.chebder(rest, axis=1))
        corner = (y == 1) & ((x == 0) | (x == 1))
        return np.where(corner, 0.0, psi), np.where(corner, 1.0, psi_y), np.where(corner, 0.0, -psi_x)


def spectral(reynolds: float = 100.0, degree: int = 36) -> SpectralCavity:
    """Chebyshev-Galerkin method with the corner flows subtracted, by Newton's method from Stokes flow.

    What is left is (wall data by a discrete Coons patch) + Z A Z', where the columns of Z vanish with their derivative
    at both ends. The equation is tested with the same functions, by Gauss-Legendre quadrature: they vanish fast enough
    at the corners for the convective term there, of order Re / r^2. Plain collocation does not converge.
    """
    n = degree
    lift, null = _wall_data(n)
    inner, weights = np.polynomial.legendre.leggauss(n + 8)
    full = _polynomials(inner, n)
    # Orthonormal second derivatives make the system well conditioned.
    triangle = np.linalg.qr(np.sqrt(weights)[:, None] * (full[2] @ null), mode="r")
    null = linalg.solve(triangle.T, null.T).T
    part = [values @ null for values in full]
    known = corner_part(*np.meshgrid((inner + 1) / 2, (inner + 1) / 2, indexing="ij"))

    lifted = _terms(full, lift)
    kron = {(i, j): np.kron(part[i], part[j]) for i, j in ((1, 0), (0, 1), (3, 0), (1, 2), (2, 1), (0, 3))}
    laplacian_x, laplacian_y = kron[3, 0] + kron[1, 2], kron[2, 1] + kron[0, 3]
    biharmonic = np.kron(part[4], part[0]) + 2 * np.kron(part[2], part[2]) + np.kron(part[0], part[4])
    test = np.kron(part[0] * weights[:, None], part[0] * weights[:, None]).T
    unknown, current = np.zeros((n - 3, n - 3)), 0.0
    for _ in range(_MOST_ITERATIONS):
        found = _terms(part, unknown)
        px, py, lx, ly = (b + m + k for b, m, k in zip(lifted[:4], found[:4], known[1:], strict=True))
        residual = current * (py * lx - px * ly) - (lifted[4] + found[4])
        column = [current * field.reshape(-1, 1) for field in (py, px, lx, ly)]
        jacobian = column[0] * laplacian_x - column[1] * laplacian_y - biharmonic
        jacobian += column[2] * kron[0, 1] - column[3] * kron[1, 0]
        step = linalg.solve(test @ jacobian, test @ residual.ravel()).reshape(n - 3, n - 3)
        unknown = unknown - step
        if current == reynolds and np.abs(step).max() < _SMALLEST_STEP * np.abs(unknown).max():
            return SpectralCavity(lift + null @ unknown @ null.T, reynolds)
        current = reynolds
    raise RuntimeError("Newton's method did not converge")


def _polynomials(points: Float[np.ndarray, " point"], degree: int) -> list[Float[np.ndarray, "point degree"]]:
    """Chebyshev polynomials of 2 x - 1 and their first four derivatives in x."""
    eye = np.eye(degree + 1)
    return [2.0**k * chebyshev.chebvander(points, degree - k) @ chebyshev.chebder(eye, k, axis=0) for k in range(5)]


def _terms(factors: list[Float[np.ndarray, "point degree"]], middle: Float[np.ndarray, "degree degree"]) -> list[Array]:
    """psi_x, psi_y, (lap psi)_x, (lap psi)_y and lap^2 psi of a product expansion."""

    def term(i: int, j: int) -> Array:
        return factors[i] @ middle @ factors[j].T

    return [
        term(1, 0),
        term(0, 1),
        term(3, 0) + term(1, 2),
        term(2, 1) + term(0, 3),
        term(4, 0) + 2 * term(2, 2) + term(0, 4),
    ]


def _wall_data(n: int) -> tuple[Float[np.ndarray, "degree degree"], Float[np.ndarray, "degree basis"]]:
    """Coefficients that have the wall data left by the corner flows, and a basis that has none."""
    nodes = np.cos(np.pi * np.arange(n + 1) / n)
    to_coefficients = np.linalg.inv(chebyshev.chebvander(nodes, n))
    ends = _polynomials(np.array([-1.0, 1.0]), n)
    walls = np.vstack([ends[0], ends[1]])
    cubic = np.vstack([np.linalg.inv(walls[:, :4]), np.zeros((n - 3, 4))])
    bump = np.array([0.375, 0.0, -0.5, 0.0, 0.125])  # (1 - x^2)^2
    null = np.stack([np.pad(chebyshev.chebmul(bump, np.eye(n - 3)[j]), (0, n))[: n + 1] for j in range(n - 3)], axis=1)

    t = (nodes + 1) / 2
    zero, one = np.zeros(n + 1), np.ones(n + 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        left, right, low, top = corner_part(zero, t), corner_part(one, t), corner_part(t, zero), corner_part(t, one)
    data_x = -np.stack([left[0], right[0], left[1], right[1]])
    data_y = -np.stack([low[0], top[0], low[2], top[2] - 1.0])
    # At a lid corner one of the two flows is undefined; it satisfies the wall data there exactly.
    data_x[:, 0], data_y[1, [0, -1]], data_y[3, [0, -1]] = 0.0, 0.0, -1.0
    data_x, data_y = data_x @ to_coefficients.T, data_y @ to_coefficients.T
    return cubic @ data_x + data_y.T @ cubic.T - cubic @ (data_x @ walls.T) @ cubic.T, null


def finite_difference(reynolds: float = 100.0, cells: int = 128) -> tuple[Array, Array, Array]:
    """psi, u, v on the closed grid, entry [i, j] at (x_i, y_j): second order, Jensen's walls, Newton and sparse LU."""
    n, h = cells - 1, 1.0 / cells
    eye = sparse.identity(n, format="csr")
    up = sparse.eye(n, k=1, format="csr")
    second = (up - 2.0 * eye + up.T) / h**2
    first = (up - up.T) / (2 * h)
    laplacian = sparse.kron(second, eye) + sparse.kron(eye, second)
    d_x, d_y = sparse.kron(first, eye, format="csr"), sparse.kron(eye, first, format="csr")

    # Jensen: vorticity at a wall = (psi_2 - 8 psi_1) / (2 h^2) - 3 U / h, with psi_1 and psi_2 next to it.
    lines = np.zeros((2, n))
    lines[0, 0], lines[0, 1], lines[1, -1], lines[1, -2] = -4 / h**2, 0.5 / h**2, -4 / h**2, 0.5 / h**2
    ends = np.zeros((n, 2))
    ends[0, 0] = ends[-1, 1] = 1.0
    near, value = sparse.csr_matrix(lines), sparse.csr_matrix(ends)
    slope = sparse.csr_matrix(ends * np.array([-1.0, 1.0]))
    at_walls = sparse.kron(value @ near, eye) / h**2 + sparse.kron(eye, value @ near) / h**2
    dx_walls = sparse.kron(slope @ near, eye, format="csr") / (2 * h)
    dy_walls = sparse.kron(eye, slope @ near, format="csr") / (2 * h)
    lid = np.kron(np.ones(n), ends[:, 1]) * (-3.0 / h)

    psi, omega = np.zeros(n * n), np.zeros(n * n)
    # psi and vorticity in turn: less fill.
    order = np.arange(2 * n * n).reshape(2, -1).T.ravel()
    for _ in range(_MOST_ITERATIONS):
        u, v = d_y @ psi, -(d_x @ psi)
        omega_x = d_x @ omega + dx_walls @ psi
        omega_y = d_y @ omega + dy_walls @ psi + lid / (2 * h)
        transport = reynolds * (u * omega_x + v * omega_y) - (laplacian @ omega + at_walls @ psi + lid / h**2)
        du, dv, dwx, dwy = (sparse.diags(reynolds * field) for field in (u, v, omega_x, omega_y))
        by_psi = dwx @ d_y - dwy @ d_x + du @ dx_walls + dv @ dy_walls - at_walls
        by_omega = du @ d_x + dv @ d_y - laplacian
        system = sparse.csc_matrix(sparse.bmat([[laplacian, sparse.identity(n * n)], [by_psi, by_omega]]))
        residual = np.concatenate([laplacian @ psi + omega, transport])
        step = np.empty(2 * n * n)
        step[order] = splu(system[order][:, order]).solve(residual[order])
        psi, omega = psi - step[: n * n], omega - step[n * n :]
        if np.abs(step[: n * n]).max() < _SMALLEST_STEP:
            break
    else:
        raise RuntimeError("Newton's method did not converge")
    closed = np.pad(psi.reshape(n, n), 1)
    u, v = np.zeros_like(closed), np.zeros_like(closed)
    u[1:-1, 1:-1] = (closed[1:-1, 2:] - closed[1:-1, :-2]) / (2 * h)
    v[1:-1, 1:-1] = -(closed[2:, 1:-1] - closed[:-2, 1:-1]) / (2 * h)
    u[:, -1] = 1.0
    return closed, u, v


def richardson(
    reynolds: float = 100.0, coarse: int = 128, fine: int = 192
) -> tuple[Float[np.ndarray, " point"], Array, Array, Array]:
    """Two grids extrapolated to none on their common nodes: those, then psi, u, v."""
    common = int(np.gcd(coarse, fine))
    few = [field[:: coarse // common, :: coarse // common] for field in finite_difference(reynolds, coarse)]
    many = [field[:: fine // common, :: fine // common] for field in finite_difference(reynolds, fine)]
    factor = 1.0 / ((fine / coarse) ** 2 - 1)
    psi, u, v = (m + factor * (m - f) for f, m in zip(few, many, strict=True))
    return np.linspace(0, 1, common + 1), psi, u, v


def velocity_errors(
    velocity: Callable[[Array, Array], tuple[Array, Array]], exact: Callable[[Array, Array], tuple[Array, Array]]
) -> dict[str, float]:
    """How far a velocity field is from another and from Ghia's values.

    Args:
        velocity: u, v at arrays x, y.
        exact: The same, as it should be.

    Returns:
        `vector` and `speed`: relative L2 errors on a grid of 63 x 63 interior points; `centrelines`: the largest error
        on x = 1/2 in u and on y = 1/2 in v; `ghia`: the largest distance from the published values there.
    """
    inside = np.arange(1, 64) / 64
    x, y = (axis.ravel() for axis in np.meshgrid(inside, inside, indexing="ij"))
    (u, v), (exact_u, exact_v) = velocity(x, y), exact(x, y)
    size = np.linalg.norm(np.hypot(exact_u, exact_v))
    line = np.linspace(0, 1, 257)[1:-1]
    half = np.full_like(line, 0.5)
    return {
        "vector": float(np.linalg.norm(np.hypot(u - exact_u, v - exact_v)) / size),
        "speed": float(np.linalg.norm(np.hypot(u, v) - np.hypot(exact_u, exact_v)) / size),
        "centrelines": max(
            _largest(velocity(half, line)[0] - exact(half, line)[0]),
            _largest(velocity(line, half)[1] - exact(line, half)[1]),
        ),
        "ghia": max(
            _largest(velocity(np.full(len(GHIA_U), 0.5), GHIA_U[:, 0])[0] - GHIA_U[:, 1]),
            _largest(velocity(GHIA_V[:, 0], np.full(len(GHIA_V), 0.5))[1] - GHIA_V[:, 1]),
        ),
    }


def _largest(values: Array) -> float:
    return float(np.abs(values).max())


def main() -> None:
    """Print how the solutions agree, and write the coefficients of the spectral one."""
    begin = time.process_time()
    best = spectral()
    cost = time.process_time() - begin
    psi, u, v = best(0.5, 0.5)
    fine = np.linspace(0, 1, 513)
    least = best(fine[:, None], fine[None, :])[0].min()
    print(f"spectral, degree 36, {cost:.1f} CPU s: centre u {u:.6f} v {v:.6f} psi {psi:.6f}, least psi {least:.6f}")
    print(f"published: centre u {PUBLISHED_CENTRE[0]} v {PUBLISHED_CENTRE[1]}, least psi {PUBLISHED_LEAST_PSI}")

    def exact(x: Array, y: Array) -> tuple[Array, Array]:
        return best(x, y)[1:]

    for degree in (24, 28, 32, 40):
        other = spectral(degree=degree)
        errors = velocity_errors(lambda x, y, other=other: other(x, y)[1:], exact)
        print(f"degree {degree:>3}: " + ", ".join(f"{name} {value:.2e}" for name, value in errors.items()))
    nodes, _, u, v = richardson()
    inside = slice(1, -1)
    x, y = np.meshgrid(nodes[inside], nodes[inside], indexing="ij")
    exact_u, exact_v = exact(x, y)
    distance = np.hypot(u[inside, inside] - exact_u, v[inside, inside] - exact_v)
    print(f"finite differences, 128 and 192 cells: {np.linalg.norm(distance) / np.linalg.norm([exact_u, exact_v]):.2e}")
    np.savetxt(DATA, best.coefficients, fmt="%.12e", delimiter=",")
    print(f"wrote {DATA.name}")


if __name__ == "__main__":
    main()
