"""Allen-Cahn equation: a smooth profile separates into phases 1 and -1 with thin fronts between them.

    u_t = d u_xx + 5 u - 5 u^3    on x in [-1, 1], t in [0, 1], periodic in x,    d = 1e-4
    u(x, 0) = x^2 cos(pi x)

The slope of the initial value is 2 at x = -1 and -2 at x = 1: repeated, it has a kink where the period closes. Fields
that are periodic with all their derivatives have none, so that the initial value is a constraint with a tolerance and
not exact. Diffusion rounds the kink off within sqrt(d t) of it, and u = -1 attracts, which damps it as exp(-10 t).

Source: Allen & Cahn (1979), A microscopic theory for antiphase boundary motion and its application to antiphase domain
coarsening, Acta Metallurgica 27, 1085-1095, for the equation; as a test of networks Raissi, Perdikaris & Karniadakis
(2019), Journal of Computational Physics 378, 686-707, and Wang, Sankaran, Wang & Perdikaris (2023), An expert's guide
to training physics-informed neural networks, arXiv 2308.08468. Reference by the method of Kassam & Trefethen (2005),
Fourth-order time-stepping for stiff PDEs, SIAM Journal on Scientific Computing 26, 1214-1233.
"""

import functools

import numpy as np
from scipy import fft
from scipy.interpolate import RectBivariateSpline

from uqkit.problems import BoundaryValueProblem, Box, Constraint, FieldReference, Integrated

_DIFFUSIVITY = 1e-4
# Doubling both changes the solution by less than 2e-7 from t = 0.005 on.
_N_NODES, _N_STEPS = 2048, 400
# Points of the circle on which the coefficients of a step are averaged; their formulas cancel near the real axis.
_N_CIRCLE = 32
_SOURCE = (
    "2048 Fourier modes, 400 steps of ETDRK4 and a cubic spline: within 2e-7 in the relative L2 norm, 1e-6 from t = "
    "0.05 on, and 2e-4 at the kink (+-1, 0)"
)


def _initial_coefficients(n):
    """Fourier coefficients of x^2 cos(pi x) as `rfft` has them for n nodes from -1 on, but by exact integrals.

    Those of its values at the nodes would have the kink's slow tail folded into them.
    """

    def cosine_coefficient(order):
        order = np.abs(order)
        return np.where(order == 0, 1 / 3, 2 * (-1.0) ** order / (np.pi * np.maximum(order, 1)) ** 2)

    waves = np.arange(n // 2 + 1)
    from_middle = 0.5 * (cosine_coefficient(waves - 1) + cosine_coefficient(waves + 1))
    return n * (-1.0) ** waves * from_middle.astype(complex)


def _solve(n, n_steps):
    """Values at times by nodes, x = 1 included: ETDRK4, its coefficients by contour integrals."""
    h = 1.0 / n_steps
    linear = -_DIFFUSIVITY * h * (np.pi * np.arange(n // 2 + 1)) ** 2
    circle = linear[:, None] + np.exp(1j * np.pi * (np.arange(_N_CIRCLE) + 0.5) / _N_CIRCLE)

    def mean(values):
        return h * values.mean(axis=1).real

    whole, half = np.exp(linear), np.exp(linear / 2)
    by_half = mean((np.exp(circle / 2) - 1) / circle)
    first = mean((-4 - circle + np.exp(circle) * (4 - 3 * circle + circle**2)) / circle**3)
    middle = mean((2 + circle + np.exp(circle) * (circle - 2)) / circle**3)
    last = mean((-4 - 3 * circle - circle**2 + np.exp(circle) * (4 - circle)) / circle**3)

    def reaction(waves):
        u = np.asarray(fft.irfft(waves, n))
        return np.asarray(fft.rfft(5 * u - 5 * u**3))

    waves = _initial_coefficients(n)
    x = np.linspace(-1, 1, n + 1)
    u = np.empty((n_steps + 1, n + 1))
    u[0] = x**2 * np.cos(np.pi * x)
    for step in range(n_steps):
        at_start = reaction(waves)
        a = half * waves + by_half * at_start
        at_a = reaction(a)
        at_b = reaction(half * waves + by_half * at_a)
        at_end = reaction(half * a + by_half * (2 * at_b - at_start))
        waves = whole * waves + first * at_start + 2 * middle * (at_a + at_b) + last * at_end
        u[step + 1, :-1] = np.asarray(fft.irfft(waves, n))
        u[step + 1, -1] = u[step + 1, 0]
    return u


@functools.cache
def _spline(n=_N_NODES, n_steps=_N_STEPS):
    # Not periodic in x, so that the kink is at its ends and no spline has to follow it.
    return RectBivariateSpline(np.linspace(0, 1, n_steps + 1), np.linspace(-1, 1, n + 1), _solve(n, n_steps))


def _solution(x, t):
    x, t = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(t, dtype=float))
    return _spline().ev(t, x)


def make() -> BoundaryValueProblem:
    """Allen-Cahn problem on one period; its reference is computed when it is first asked for."""
    domain = Box(x=(-1.0, 1.0), t=(0.0, 1.0))
    return BoundaryValueProblem(
        name="allen_cahn",
        domain=domain,
        constraints=(
            Constraint(
                name="pde",
                operator=lambda u: u.d("t") - _DIFFUSIVITY * u.d("x", 2) - 5 * u.value + 5 * u.value**3,
                points=domain.interior,
                noise=Integrated(1e-4),
            ),
            # Tenfold tighter, a hundredfold in the sum of squares: u = 0 and u = +-1 solve the equation as well, and
            # the initial value alone tells them from the solution.
            Constraint(
                name="initial",
                operator=lambda u: u.value,
                points=domain.face(t=0.0),
                target=lambda x: x**2 * np.cos(np.pi * x),
                noise=Integrated(1e-5),
            ),
        ),
        periodic=("x",),
        references={"u": FieldReference(function=_solution, kind="numerical solution", source=_SOURCE)},
    )


problem = make()
