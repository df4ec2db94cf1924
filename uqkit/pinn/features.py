"""Fields that are linear in their weights: random features with derivatives in closed form."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Float, Key
from scipy import special

from uqkit.errors import InputError
from uqkit.inputs import ScrambledSobol
from uqkit.pinn.field import Orders
from uqkit.problems import Box

__all__ = ["Activation", "Basis", "Frequencies", "GaussianPairs", "RandomFeatures", "Sine", "Tanh", "UniformBand"]


@runtime_checkable
class Activation(Protocol):
    """A function of one variable and its derivatives."""

    def derivatives(
        self, argument: Float[np.ndarray, "point feature"]
    ) -> Callable[[int], Float[np.ndarray, "point feature"]]:
        """Order -> that derivative at the argument, for orders 0 to 4."""
        ...


@dataclass(frozen=True)
class Sine:
    """Sine waves: global, smooth, best for solutions without fronts."""

    def derivatives(
        self, argument: Float[np.ndarray, "point feature"]
    ) -> Callable[[int], Float[np.ndarray, "point feature"]]:
        """Order -> that derivative: sin, cos, -sin, -cos, sin."""
        both = (np.sin(argument), np.cos(argument))
        return lambda order: both[order % 2] if order % 4 < 2 else -both[order % 2]


@dataclass(frozen=True)
class Tanh:
    """Ridges; needs about four times as many features as waves on smooth problems."""

    def derivatives(
        self, argument: Float[np.ndarray, "point feature"]
    ) -> Callable[[int], Float[np.ndarray, "point feature"]]:
        """Order -> that derivative, a polynomial of tanh."""
        t = np.tanh(argument)
        s = 1.0 - t**2
        return lambda order: (t, s, -2 * t * s, s * (6 * t**2 - 2), t * s * (16 - 24 * t**2))[order]


@runtime_checkable
class Frequencies(Protocol):
    """How frequencies and phases are drawn, given the one number that is to be chosen."""

    @property
    def candidates(self) -> Sequence[float]:
        """Values of the number to choose from; one where it is given."""
        ...

    @property
    def meaning(self) -> str:
        """What the number is."""
        ...

    @property
    def unit(self) -> str:
        """Its unit."""
        ...

    def draw(
        self, n_features: int, n_coordinates: int, value: float, *, key: Key[jax.Array, ""]
    ) -> tuple[Float[np.ndarray, "feature coordinate"], Float[np.ndarray, " feature"]]:
        """Frequencies per half-width of the box, and phases."""
        ...


@dataclass(frozen=True, kw_only=True)
class UniformBand:
    """Frequencies uniform in a box, phases uniform: the most flexible basis for a solution that is to be resolved.

    Attributes:
        limit: Largest frequency, in radians per half-width of the domain; None chooses it by the residual held out.
        grid: Limits to choose from.
    """

    limit: float | None = None
    grid: Sequence[float] = (4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 21.0, 25.0)

    def __post_init__(self) -> None:
        """Check the limits."""
        _check_positive("UniformBand", "limit", self.limit, "grid", self.grid)

    @property
    def candidates(self) -> Sequence[float]:
        """Limits to choose from."""
        return self.grid if self.limit is None else (self.limit,)

    @property
    def meaning(self) -> str:
        """What is chosen."""
        return "largest frequency, per half-width"

    @property
    def unit(self) -> str:
        """Of a frequency."""
        return "rad"

    def draw(
        self, n_features: int, n_coordinates: int, value: float, *, key: Key[jax.Array, ""]
    ) -> tuple[Float[np.ndarray, "feature coordinate"], Float[np.ndarray, " feature"]]:
        """Frequencies per half-width of the box, and phases."""
        unit = _sobol(n_features, n_coordinates + 1, key)
        return value * (2.0 * unit[:, :-1] - 1.0), 2.0 * np.pi * unit[:, -1]


@dataclass(frozen=True, kw_only=True)
class GaussianPairs:
    """Pairs of a sine and a cosine with normal frequencies: the prior of a Gaussian process with a squared exponential.

    Attributes:
        length_scale: Of the process, in half-widths of the domain; None chooses it by the evidence.
        grid: Length scales to start from.

    Reference:
        Rahimi & Recht (2007), Random features for large-scale kernel machines.
    """

    length_scale: float | None = None
    grid: Sequence[float] = (0.05, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.56, 0.8, 1.1, 1.6)

    def __post_init__(self) -> None:
        """Check the length scales."""
        _check_positive("GaussianPairs", "length_scale", self.length_scale, "grid", self.grid)

    @property
    def candidates(self) -> Sequence[float]:
        """Length scales to start from."""
        return self.grid if self.length_scale is None else (self.length_scale,)

    @property
    def meaning(self) -> str:
        """What is chosen."""
        return "length scale, in half-widths"

    @property
    def unit(self) -> str:
        """Of a length over another."""
        return "1"

    def draw(
        self, n_features: int, n_coordinates: int, value: float, *, key: Key[jax.Array, ""]
    ) -> tuple[Float[np.ndarray, "feature coordinate"], Float[np.ndarray, " feature"]]:
        """Frequencies per half-width of the box, and phases."""
        # Independent draws would add their own noise to the prior covariance; a net keeps the posterior calibrated.
        half = special.ndtri(_sobol((n_features + 1) // 2, n_coordinates, key)) / value
        frequency = np.concatenate([half, half])[:n_features]
        return frequency, np.repeat([0.0, 0.5 * np.pi], len(half))[:n_features]


def _sobol(n_points: int, n_dims: int, key: Key[jax.Array, ""]) -> Float[np.ndarray, "point dim"]:
    """The first points of a scrambled net of the next power of two."""
    return ScrambledSobol().unit_points(2 ** max(1, (n_points - 1).bit_length()), n_dims, key=key)[:n_points]


def _check_positive(kind: str, name: str, value: float | None, grid_name: str, grid: Sequence[float]) -> None:
    if value is not None and not value > 0:
        raise InputError(f"{kind}({name}={value}): pass a number above zero, or None to have it chosen.")
    if value is None and (len(grid) < 1 or min(grid) <= 0):
        raise InputError(f"{kind}({grid_name}={grid}): pass at least one number, all above zero.")


@dataclass(frozen=True, kw_only=True)
class RandomFeatures:
    """A field sum_k w_k a(omega_k x + b_k) with fixed random frequencies and unknown weights w_k ~ Normal(0, scale).

    Attributes:
        n_features: How many; the cost of a solution grows with its cube, so that 3,000 is about the most for one core.
        frequencies: `UniformBand()` for solving, `GaussianPairs()` for parameters and bands from noisy data.
        activation: `Sine()` or `Tanh()`.
        amplitude: Prior standard deviation of the field, in the output's unit: one number, or output -> number; None
            has it learned by the evidence.

    Reference:
        Rahimi & Recht (2007); for differential equations Dwivedi & Srinivasan (2020), Physics Informed Extreme Learning
        Machine, and Fabiani et al. (2021); as the low-rank form of a Gaussian process conditioned on a differential
        equation, Pfortner et al. (2022), arXiv 2212.12474.
    """

    n_features: int = 400
    frequencies: Frequencies = UniformBand()
    activation: Activation = Sine()
    amplitude: float | Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.n_features < 2:
            raise InputError(f"n_features={self.n_features}: pass at least 2.")
        if isinstance(self.frequencies, GaussianPairs) and not isinstance(self.activation, Sine):
            raise InputError("GaussianPairs() are pairs of a sine and a cosine; use them with activation=Sine().")
        values = self.amplitude.values() if isinstance(self.amplitude, Mapping) else (self.amplitude,)
        if any(value is not None and not value > 0 for value in values):
            raise InputError(f"amplitude={self.amplitude}: pass numbers above zero, or None to have it learned.")

    def basis(self, box: Box, value: float, *, periodic: Sequence[str] = (), key: Key[jax.Array, ""]) -> "Basis":
        """The features on a box, for one value of the number that the frequencies leave open.

        Frequencies of periodic coordinates are rounded to whole waves, of which a band holds few.

        Raises:
            InputError: If coordinates are periodic and the features are no waves.
        """
        if periodic and not isinstance(self.activation, Sine):
            raise InputError(
                f"the problem is periodic in {', '.join(periodic)}, but {self.activation} is not; use Sine()."
            )
        frequency, phase = self.frequencies.draw(self.n_features, len(box), value, key=key)
        for name in periodic:
            axis = box.names.index(name)
            frequency[:, axis] = np.pi * np.round(frequency[:, axis] / np.pi)  # whole waves
        return Basis(frequency, phase, 0.5 * (box.lower + box.upper), 0.5 * (box.upper - box.lower), self.activation)


@dataclass(frozen=True)
class Basis:
    """Features with all their numbers fixed, normalised so that weights of prior sd a give a field of prior sd a.

    Attributes:
        frequency: In radians per half-width.
        phase: In radians.
        centre: Of the box.
        half_width: Of the box.
        activation: The function of one variable.
    """

    frequency: Float[np.ndarray, "feature coordinate"]
    phase: Float[np.ndarray, " feature"]
    centre: Float[np.ndarray, " coordinate"]
    half_width: Float[np.ndarray, " coordinate"]
    activation: Activation

    @property
    def n_features(self) -> int:
        """How many there are."""
        return len(self.phase)

    def matrices(
        self, points: Float[np.ndarray, "point coordinate"], wanted: Sequence[Orders]
    ) -> dict[Orders, Float[np.ndarray, "point feature"]]:
        """Every feature's derivatives at points, by their orders."""
        scaled = (points - self.centre) / self.half_width
        derivative = self.activation.derivatives(scaled @ self.frequency.T + self.phase)
        # Sines of uniform phase, or in pairs with cosines, have the mean square 1/2.
        norm = np.sqrt((2.0 if isinstance(self.activation, Sine) else 1.0) / len(self.phase))
        chain = self.frequency / self.half_width
        return {
            orders: derivative(sum(orders)) * (norm * (chain ** np.array(orders)).prod(axis=1)) for orders in wanted
        }
