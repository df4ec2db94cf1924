"""Kernels of infinite width against BoTorch's, high precision, finite random networks, and finite differences."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch
from botorch.models.kernels import InfiniteWidthBNNKernel
from linear_operator import to_dense
from torch import Tensor

from tests.statistical import assert_within_error
from uqkit.bayesopt.kernels import NNGP, NTK, CubeKernel, Erf, InfiniteWidthKernel, ReLU
from uqkit.errors import InputError

ACTIVATIONS = (ReLU(), Erf())
LIMITS = (NNGP(), NTK())


def points(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, shape))


def kernel(
    activation: ReLU | Erf = ACTIVATIONS[0],
    limit: NNGP | NTK = LIMITS[0],
    *,
    depth: int = 2,
    weight_var: float = 1.8,
    bias_var: float = 0.3,
    ard_num_dims: int | None = None,
) -> InfiniteWidthKernel:
    made = InfiniteWidthKernel(activation, limit, depth=depth, ard_num_dims=ard_num_dims).double()
    made.weight_var, made.bias_var = weight_var, bias_var
    return made


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize(("weight_var", "bias_var"), [(1.7, 0.3), (10.0, 1.3), (0.4, 2.0)])
def test_relu_network_of_infinite_width_equals_botorchs(depth: int, weight_var: float, bias_var: float) -> None:
    ours = kernel(depth=depth, weight_var=weight_var, bias_var=bias_var)
    theirs = InfiniteWidthBNNKernel(depth=depth).double()
    # It makes single precision of a float.
    theirs.weight_var, theirs.bias_var = torch.tensor([weight_var, bias_var], dtype=torch.float64)
    for n_inputs in (2, 7):
        first, second = points(9, n_inputs), points(11, n_inputs, seed=1)
        expected = theirs(first, second).to_dense()
        torch.testing.assert_close(ours(first, second).to_dense(), expected, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(ours(first, diag=True), theirs(first, diag=True), rtol=1e-12, atol=1e-12)


def exact(first: np.ndarray, second: np.ndarray, activation: ReLU | Erf, limit: NNGP | NTK, depth: int) -> float:
    """The recursions as they are printed, in 50 digits."""
    with mpmath.workdps(50):
        weight, bias = mpmath.mpf(1.8), mpmath.mpf(0.3)
        inner = [
            bias + weight * mpmath.fsum(mpmath.mpf(u) * mpmath.mpf(v) for u, v in zip(a, b, strict=True)) / len(first)
            for a, b in ((first, second), (first, first), (second, second))
        ]
        tangent = inner[0]
        for _ in range(depth):
            k12, k11, k22 = inner
            if isinstance(activation, ReLU):
                angle = mpmath.acos(min(mpmath.mpf(1), k12 / mpmath.sqrt(k11 * k22)))
                slope = weight * (mpmath.pi - angle) / (2 * mpmath.pi)
                mixed = mpmath.sin(angle) + (mpmath.pi - angle) * mpmath.cos(angle)
                inner = [
                    bias + weight / (2 * mpmath.pi) * mpmath.sqrt(k11 * k22) * mixed,
                    bias + weight * k11 / 2,
                    bias + weight * k22 / 2,
                ]
            else:
                slope = 4 * weight / mpmath.pi / mpmath.sqrt((1 + 2 * k11) * (1 + 2 * k22) - 4 * k12**2)
                inner = [
                    bias + 2 * weight / mpmath.pi * mpmath.asin(2 * c / mpmath.sqrt((1 + 2 * a) * (1 + 2 * b)))
                    for c, a, b in ((k12, k11, k22), (k11, k11, k11), (k22, k22, k22))
                ]
            tangent = inner[0] + tangent * slope
        return float(tangent if isinstance(limit, NTK) else inner[0])


@pytest.mark.parametrize(("activation", "limit"), list(itertools.product(ACTIVATIONS, LIMITS)))
@pytest.mark.parametrize("distance", [0.0, 1e-12, 1e-8, 1e-5, 1e-2, 1.0])
def test_no_digits_are_lost_as_points_approach(activation: ReLU | Erf, limit: NNGP | NTK, distance: float) -> None:
    first, second = points(2, 5).numpy()
    second = first + distance * second
    value = kernel(activation, limit, depth=3)(torch.from_numpy(first[None]), torch.from_numpy(second[None])).to_dense()
    assert value.item() == pytest.approx(exact(first, second, activation, limit, 3), rel=1e-13)


WIDTH, N_NETWORKS = 512, 250
PAIR = torch.tensor([[0.8, -0.6, 0.4], [0.9, 0.3, 0.7]], dtype=torch.float64)
WEIGHT_VAR, BIAS_VAR = 1.8, 0.3


def finite_networks(activation: ReLU | Erf, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Outputs and their tangent kernels, by the chain rule, of random networks with two hidden layers at two points."""
    phi = torch.relu if isinstance(activation, ReLU) else torch.erf

    def slope(u: Tensor) -> Tensor:
        return (u > 0).double() if isinstance(activation, ReLU) else 2 / math.sqrt(math.pi) * torch.exp(-(u**2))

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    below, pre_activations, inner_products, weights = PAIR, [], [PAIR @ PAIR.T / 3], []
    for fan_in, fan_out in ((3, WIDTH), (WIDTH, WIDTH), (WIDTH, 1)):
        weights.append(normal(fan_in, fan_out))
        above = below @ weights[-1] * math.sqrt(WEIGHT_VAR / fan_in) + math.sqrt(BIAS_VAR) * normal(1, fan_out)
        pre_activations.append(above)
        below = phi(above)
        inner_products.append(below @ below.T / fan_out)
    # Gradient with respect to the pre-activations of a layer, point by unit.
    gradient, tangent = torch.ones(2, 1, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64)
    for layer in (2, 1, 0):
        tangent = tangent + (gradient @ gradient.T) * (WEIGHT_VAR * inner_products[layer] + BIAS_VAR)
        if layer:
            back = gradient @ weights[layer].T * math.sqrt(WEIGHT_VAR / WIDTH)
            gradient = back * slope(pre_activations[layer - 1])
    return pre_activations[1] @ pre_activations[1].T / WIDTH, tangent


@pytest.fixture(scope="module", params=ACTIVATIONS, ids=lambda activation: type(activation).__name__)
def monte_carlo(request: pytest.FixtureRequest) -> tuple[ReLU | Erf, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    draws = [finite_networks(request.param, generator) for _ in range(N_NETWORKS)]
    return request.param, torch.stack([inner for inner, _ in draws]), torch.stack([tangent for _, tangent in draws])


def assert_agrees(draws: Tensor, limit: Tensor) -> None:
    value, error = draws.mean(0).numpy(), draws.std(0).numpy() / math.sqrt(len(draws))
    # The error of a finite width is of order 1 / width, below the standard error.
    assert_within_error(value, error, limit.detach().numpy(), max_error=0.05)
    np.testing.assert_allclose(value, limit.detach().numpy(), rtol=0.03)


def test_finite_networks_have_the_covariance(monte_carlo: tuple[ReLU | Erf, Tensor, Tensor]) -> None:
    activation, covariance, _ = monte_carlo
    # Second pre-activations, each unit a draw: one hidden layer lies below them.
    assert_agrees(covariance, kernel(activation, depth=1)(PAIR).to_dense())


def test_finite_networks_have_the_tangent_kernel(monte_carlo: tuple[ReLU | Erf, Tensor, Tensor]) -> None:
    activation, _, tangent = monte_carlo
    assert_agrees(tangent, kernel(activation, NTK(), depth=2)(PAIR).to_dense())


def test_the_checks_above_can_fail(monte_carlo: tuple[ReLU | Erf, Tensor, Tensor]) -> None:
    activation, covariance, tangent = monte_carlo
    with pytest.raises(AssertionError):
        assert_agrees(covariance, kernel(activation, depth=2)(PAIR).to_dense())
    with pytest.raises(AssertionError):
        assert_agrees(tangent, kernel(activation, NNGP(), depth=2)(PAIR).to_dense())


@pytest.mark.parametrize(("activation", "limit"), list(itertools.product(ACTIVATIONS, LIMITS)))
def test_gradients(activation: ReLU | Erf, limit: NNGP | NTK) -> None:
    covariance = kernel(activation, limit, ard_num_dims=3)
    first = points(4, 3).requires_grad_()
    second = points(3, 3, seed=1)
    second[0] = first.detach()[0] + 1e-3
    second.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: covariance(a, b).to_dense(), (first, second))
    assert torch.autograd.gradcheck(lambda a: covariance.forward(a, a, diag=True), (first,))

    def of_scales(raw_scale: Tensor, raw_weight: Tensor, raw_bias: Tensor) -> Tensor:
        values = {"raw_input_scale": raw_scale, "raw_weight_var": raw_weight, "raw_bias_var": raw_bias}
        return to_dense(torch.func.functional_call(covariance, values, (first.detach(), second.detach())))

    raw = [covariance.get_parameter(f"raw_{name}") for name in ("input_scale", "weight_var", "bias_var")]
    assert torch.autograd.gradcheck(of_scales, tuple(entry.detach().clone().requires_grad_() for entry in raw))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_where_points_coincide(activation: ReLU | Erf) -> None:
    covariance, at = kernel(activation), points(4, 3)
    moving = at[:1].clone().requires_grad_()
    row = covariance(moving, at).to_dense()
    (gradient,) = torch.autograd.grad(row[0, 0], moving)
    step = 1e-5
    difference = [
        (covariance(at[:1] + step * unit, at).to_dense() - covariance(at[:1] - step * unit, at).to_dense())[0, 0]
        / (2 * step)
        for unit in torch.eye(3, dtype=torch.float64)
    ]
    torch.testing.assert_close(gradient[0], torch.stack(difference).detach(), rtol=1e-6, atol=1e-8)


def test_tangent_kernel_of_relu_has_a_cone_at_each_point_whose_slope_is_taken_as_zero() -> None:
    covariance, at = kernel(ReLU(), NTK()), points(1, 3)
    moving = at.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(covariance(moving, at).to_dense().sum(), moving)
    step = 1e-6
    difference = [
        (covariance(at + step * unit, at).to_dense() - covariance(at - step * unit, at).to_dense()).item() / (2 * step)
        for unit in torch.eye(3, dtype=torch.float64)
    ]
    np.testing.assert_allclose(gradient[0].numpy(), difference, rtol=1e-3)


@pytest.mark.parametrize(("activation", "limit"), list(itertools.product(ACTIVATIONS, LIMITS)))
def test_batches_are_many_kernels(activation: ReLU | Erf, limit: NNGP | NTK) -> None:
    batched = InfiniteWidthKernel(activation, limit, ard_num_dims=4, batch_shape=torch.Size([2])).double()
    batched.weight_var = torch.tensor([1.5, 2.5]).reshape(2, 1, 1)
    first, second = points(5, 2, 3, 4), points(5, 2, 6, 4, seed=1)
    matrix = batched(first, second).to_dense()
    assert matrix.shape == (5, 2, 3, 6)
    for index, weight_var in enumerate((1.5, 2.5)):
        single = InfiniteWidthKernel(activation, limit, ard_num_dims=4).double()
        single.weight_var = weight_var
        torch.testing.assert_close(single(first[:, index], second[:, index]).to_dense(), matrix[:, index])
    torch.testing.assert_close(batched(first, diag=True), batched(first).to_dense().diagonal(dim1=-2, dim2=-1))


def test_no_hidden_layer_is_the_linear_kernel_and_scales_multiply_inputs() -> None:
    linear, at = kernel(depth=0, ard_num_dims=3), points(5, 3)
    linear.input_scale = torch.tensor([1.0, 2.0, 0.5])
    scaled = at * torch.tensor([1.0, 2.0, 0.5])
    torch.testing.assert_close(linear(at).to_dense(), 0.3 + 1.8 / 3 * scaled @ scaled.T)


def test_the_unit_cube_is_centred() -> None:
    covariance, at = kernel(), points(5, 3)
    torch.testing.assert_close(CubeKernel(covariance)(0.5 * (at + 1)).to_dense(), covariance(at).to_dense())


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(InputError, match="pass a number of hidden layers"):
        InfiniteWidthKernel(depth=-1)
    with pytest.raises(InputError, match="last_dim_is_batch"):
        kernel().forward(PAIR, PAIR, last_dim_is_batch=True)
