"""Covariance functions of infinitely wide networks."""

import math
from dataclasses import dataclass
from typing import Any, cast

import torch
from gpytorch.constraints import Positive
from gpytorch.kernels import Kernel
from gpytorch.priors import LogNormalPrior
from torch import Tensor

from uqkit.errors import InputError

__all__ = ["NNGP", "NTK", "CubeKernel", "Erf", "InfiniteWidthKernel", "ReLU"]


@dataclass(frozen=True)
class Moments:
    """Second moments of the pair (f(x), f(x')), element by element over pairs of points.

    The product moment is carried as a squared distance: where two points nearly coincide, what matters of it is its
    difference from the variances, which would be lost in its rounding.

    Attributes:
        left: E[f(x)^2].
        right: E[f(x')^2].
        gap: E[(f(x) - f(x'))^2].
    """

    left: Tensor
    right: Tensor
    gap: Tensor

    @property
    def product(self) -> Tensor:
        """E[f(x) f(x')]."""
        return 0.5 * (self.left + self.right - self.gap)

    @property
    def determinant(self) -> Tensor:
        """Left * right - product^2, at least 0; without cancellation as the gap vanishes."""
        exact = 0.5 * (self.left + self.right) * self.gap - 0.25 * (self.gap**2 + (self.left - self.right) ** 2)
        return exact.clamp(min=0.0)


@dataclass(frozen=True)
class ReLU:
    """max(0, u): the arc-cosine kernel of order 1.

    Reference:
        Cho & Saul (2009), Kernel methods for deep learning.
    """

    # He's variance: the second moment of a layer is that of the layer before.
    weight_variance: float = 2.0

    def average(self, moments: Moments) -> tuple[Moments, Tensor]:
        """Moments of (phi(u), phi(v)) and E[phi'(u) phi'(v)], for (u, v) normal with these moments."""
        product = moments.product
        # r = sqrt(left * right) sin t; at r = 0 its slope is infinite, and the limit of what is made of it 0.
        determinant = moments.determinant
        least = (16.0 * torch.finfo(product.dtype).eps) ** 2 * moments.left * moments.right
        apart = determinant > least
        r = torch.where(apart, determinant.where(apart, torch.ones_like(determinant)).sqrt(), 0.0)
        angle = torch.atan2(r, product)
        gap = 0.5 * moments.gap + (angle * product - r) / math.pi
        return Moments(0.5 * moments.left, 0.5 * moments.right, gap), (math.pi - angle) / (2.0 * math.pi)


@dataclass(frozen=True)
class Erf:
    """The error function, a sigmoid close to tanh: the arc-sine kernel.

    Reference:
        Williams (1997), Computing with infinite networks.
    """

    weight_variance: float = 2.0

    def average(self, moments: Moments) -> tuple[Moments, Tensor]:
        """Moments of (phi(u), phi(v)) and E[phi'(u) phi'(v)], for (u, v) normal with these moments."""
        # (1 + 2 left)(1 + 2 right) - 4 product^2, which is at least 1.
        spread = 1.0 + 2.0 * (moments.left + moments.right) + 4.0 * moments.determinant
        left, right = (
            torch.atan2(2.0 * own, torch.sqrt(1.0 + 4.0 * own)) * (2.0 / math.pi)
            for own in (moments.left, moments.right)
        )
        product = torch.atan2(2.0 * moments.product, spread.sqrt()) * (2.0 / math.pi)
        return Moments(left, right, left + right - 2.0 * product), 4.0 / math.pi / spread.sqrt()


@dataclass(frozen=True)
class NNGP:
    """The prior of functions of an infinitely wide network with normal weights.

    Reference:
        Lee et al. (2018), Deep neural networks as Gaussian processes; Matthews et al. (2018).
    """


@dataclass(frozen=True)
class NTK:
    """The neural tangent kernel: the infinitely wide network linear in all its weights, each with a normal prior.

    Reference:
        Jacot, Gabriel & Hongler (2018), Neural tangent kernel.
    """


class InfiniteWidthKernel(Kernel):
    """Covariance of a network of infinite width; one of no hidden layer is the linear kernel.

    With K the covariance of a layer before the activation phi, d inputs, weight variance a and bias variance b:
    K_0 = b + a x.x' / d, then K_{l+1} = b + a E[phi(u) phi(v)], and for the tangent kernel T_0 = K_0,
    T_{l+1} = K_{l+1} + a T_l E[phi'(u) phi'(v)], with (u, v) normal of covariance K_l. All layers share a and b, which
    are learned under log-normal priors.

    Inputs should be centred: on [0, 1]^d all points lie in the same direction from the origin and the kernel is close
    to linear (`CubeKernel` centres them).

    Args:
        activation: `ReLU()` or `Erf()`.
        limit: `NNGP()` or `NTK()`.
        depth: Hidden layers.
        ard_num_dims: Number of inputs, to learn a scale of each; none where not given.
        batch_shape: Of independent kernels.

    Reference:
        Lee et al. (2018), equations 5 and 7 to 9; Jacot, Gabriel & Hongler (2018), theorem 1.
    """

    has_lengthscale = False

    def __init__(
        self,
        activation: ReLU | Erf = ReLU(),  # noqa: B008 - a frozen value
        limit: NNGP | NTK = NNGP(),  # noqa: B008
        *,
        depth: int = 3,
        ard_num_dims: int | None = None,
        batch_shape: torch.Size | None = None,
    ) -> None:
        """See the class."""
        if not isinstance(activation, ReLU | Erf):
            raise InputError(f"activation={activation!r}: pass ReLU() or Erf().")
        if not isinstance(limit, NNGP | NTK):
            raise InputError(f"limit={limit!r}: pass NNGP() or NTK().")
        if isinstance(depth, bool) or not isinstance(depth, int) or depth < 0:
            raise InputError(f"depth={depth!r}: pass a number of hidden layers, 0 for the linear kernel.")
        super().__init__(ard_num_dims=ard_num_dims, batch_shape=batch_shape)
        self.activation, self.limit, self.depth = activation, limit, depth
        self._learn("weight_var", 1, loc=math.log(activation.weight_variance if depth else 1.0), scale=1.0)
        self._learn("bias_var", 1, loc=math.log(0.1), scale=1.0)
        if ard_num_dims is not None:
            # The division by d in K_0 is the scaling with dimension of Hvarfner, Hellsten & Nardi (2024).
            self._learn("input_scale", ard_num_dims, loc=0.0, scale=1.0)

    def _learn(self, name: str, size: int, *, loc: float, scale: float) -> None:
        """Register a positive parameter under a log-normal prior, beginning at its median."""
        self.register_parameter(f"raw_{name}", torch.nn.Parameter(torch.full((*self.batch_shape, 1, size), loc)))
        self.register_constraint(f"raw_{name}", Positive(transform=cast(Any, torch.exp), inv_transform=torch.log))
        self.register_prior(f"{name}_prior", LogNormalPrior(loc, scale), name)

    def _positive(self, name: str) -> Tensor:
        return getattr(self, f"raw_{name}_constraint").transform(getattr(self, f"raw_{name}"))

    def _set(self, name: str, value: Tensor | float) -> None:
        raw = getattr(self, f"raw_{name}")
        positive = torch.as_tensor(value, dtype=raw.dtype, device=raw.device)
        self.initialize(**{f"raw_{name}": getattr(self, f"raw_{name}_constraint").inverse_transform(positive)})

    @property
    def weight_var(self) -> Tensor:
        """Variance a of all weights, `batch x 1 x 1`, before division by the number of a layer's inputs."""
        return self._positive("weight_var")

    @weight_var.setter
    def weight_var(self, value: Tensor | float) -> None:
        self._set("weight_var", value)

    @property
    def bias_var(self) -> Tensor:
        """Variance b of all biases, `batch x 1 x 1`."""
        return self._positive("bias_var")

    @bias_var.setter
    def bias_var(self, value: Tensor | float) -> None:
        self._set("bias_var", value)

    @property
    def input_scale(self) -> Tensor:
        """Factor of each input, `batch x 1 x d`; large where the output changes fast."""
        return self._positive("input_scale")

    @input_scale.setter
    def input_scale(self, value: Tensor | float) -> None:
        self._set("input_scale", value)

    def forward(
        self, x1: Tensor, x2: Tensor, diag: bool = False, last_dim_is_batch: bool = False, **params: Any
    ) -> Tensor:
        """The kernel matrix, `batch x n1 x n2`, or its diagonal, `batch x n`.

        Args:
            x1: `batch x n1 x d`.
            x2: `batch x n2 x d`.
            diag: Whether only pairs of the same row are wanted.
            last_dim_is_batch: Not supported.
            params: Not used.
        """
        if last_dim_is_batch:
            raise InputError("last_dim_is_batch=True: an InfiniteWidthKernel is of all inputs together.")
        if self.ard_num_dims is not None:
            x1, x2 = x1 * self.input_scale, x2 * self.input_scale
        weight, bias = self.weight_var, self.bias_var
        square1, square2 = x1.square().sum(-1, keepdim=True), x2.square().sum(-1, keepdim=True)
        if diag:
            weight, bias = weight.squeeze(-1), bias.squeeze(-1)
            square1, square2 = square1.squeeze(-1), square2.squeeze(-1)
            distance = (x1 - x2).square().sum(-1)
        else:
            square2 = square2.mT
            # From differences: a matrix product leaves 1e-16 in the squared distance, which is 1e-8 in the angle.
            distance = torch.cdist(x1, x2, compute_mode="donot_use_mm_for_euclid_dist").square()
        weight_per_input = weight / x1.shape[-1]
        moments = Moments(
            bias + weight_per_input * square1, bias + weight_per_input * square2, weight_per_input * distance
        )
        tangent = moments.product
        for _ in range(self.depth):
            after, slope = self.activation.average(moments)
            moments = Moments(bias + weight * after.left, bias + weight * after.right, weight * after.gap)
            tangent = moments.product + weight * tangent * slope
        return tangent if isinstance(self.limit, NTK) else moments.product


class CubeKernel(Kernel):
    """Kernel of inputs in [0, 1]^d centred to [-1, 1]^d.

    Points of the unit cube all lie in much the same direction from the origin; from its centre they lie in all.
    """

    def __init__(self, base_kernel: Kernel) -> None:
        """See the class.

        Args:
            base_kernel: Of centred inputs.
        """
        super().__init__()
        self.base_kernel = base_kernel

    def forward(
        self, x1: Tensor, x2: Tensor, diag: bool = False, last_dim_is_batch: bool = False, **params: Any
    ) -> Tensor:
        """The kernel matrix, `batch x n1 x n2`, or its diagonal, `batch x n`; see `InfiniteWidthKernel.forward`."""
        return cast(Tensor, self.base_kernel.forward(2.0 * x1 - 1.0, 2.0 * x2 - 1.0, diag, last_dim_is_batch, **params))
