"""Functions of JAX under torch's differentiation, against the same functions written in torch."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jaxtyping import Array, Float
from torch import Tensor

from uqkit.bayesopt import bridge
from uqkit.bayesopt.bridge import evaluate, member_values
from uqkit.errors import InputError

N_MEMBERS, N_INPUTS, N_HIDDEN = 5, 3, 4


class Network(eqx.Module):
    """One hidden layer."""

    first: Float[Array, "*member input hidden"]
    last: Float[Array, "*member hidden output"]


def values_of(network: Network, points: Any) -> Any:
    return jnp.tanh(points @ network.first) @ network.last


def stacked(n_outputs: int, seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    with jax.enable_x64(True):
        return Network(
            jnp.asarray(rng.normal(size=(N_MEMBERS, N_INPUTS, N_HIDDEN))),
            jnp.asarray(rng.normal(size=(N_MEMBERS, N_HIDDEN, n_outputs))),
        )


def in_torch(networks: Network, points: Tensor) -> Tensor:
    first, last = (torch.from_numpy(np.array(part)) for part in (networks.first, networks.last))
    flat = points.reshape(-1, N_INPUTS)
    values = torch.tanh(flat @ first) @ last
    return values.reshape(len(first), *points.shape[:-1], -1)


def random_points(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).uniform(size=(*shape, N_INPUTS))).to(dtype)


# More than one output goes by the pass that runs members again.
@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (16,), (2, 3), (4, 5, 2)])
def test_values_and_gradients_are_those_of_torch(n_outputs: int, shape: tuple[int, ...]):
    networks, points = stacked(n_outputs), random_points(*shape)
    ours, theirs = points.clone().requires_grad_(), points.clone().requires_grad_()
    found, expected = member_values(values_of, networks, ours), in_torch(networks, theirs)
    assert found.shape == (N_MEMBERS, *shape, n_outputs)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    cotangent = torch.from_numpy(np.random.default_rng(2).normal(size=tuple(expected.shape)))
    gradient, expected_gradient = (
        torch.autograd.grad(values, by, cotangent)[0] for values, by in ((found, ours), (expected, theirs))
    )
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_gradients_by_finite_differences(n_outputs: int):
    networks, points = stacked(n_outputs), random_points(2, 3).requires_grad_()
    assert torch.autograd.gradcheck(partial(member_values, values_of, networks), points)
    one = jax.tree.map(lambda leaf: leaf[0], networks)
    assert torch.autograd.gradcheck(partial(evaluate, values_of, one), points)


def test_derivatives_too_large_to_keep_give_the_same_gradient(monkeypatch: pytest.MonkeyPatch):
    networks, points = stacked(1), random_points(9).requires_grad_()
    (kept,) = torch.autograd.grad(member_values(values_of, networks, points).square().sum(), points)
    monkeypatch.setattr(bridge, "_MOST_DERIVATIVES", 10)
    # Another function, or what was compiled before would be used.
    (run_again,) = torch.autograd.grad(member_values(Traces(), networks, points).square().sum(), points)
    torch.testing.assert_close(kept, run_again, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_members_all_at_once_as_on_an_accelerator(n_outputs: int, monkeypatch: pytest.MonkeyPatch):
    networks, points = stacked(n_outputs), random_points(5).requires_grad_()
    expected = in_torch(networks, points)
    monkeypatch.setattr(bridge, "_is_on_cpu", lambda stacked: False)
    found = member_values(values_of, networks, points)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    (gradient,), (expected_gradient,) = (
        torch.autograd.grad(values.square().sum(), points) for values in (found, expected)
    )
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-12, atol=1e-12)


def test_one_function_with_rows_of_any_shape():
    points = random_points(2, 3)

    def outer(scale: Any, at: Any) -> Any:
        return scale * at[:, :, None] * at[:, None, :]

    found = evaluate(outer, jnp.asarray(2.0), points)
    torch.testing.assert_close(found, 2 * points[..., :, None] * points[..., None, :])


def test_single_precision_is_computed_in_double():
    networks, points = stacked(1), random_points(4, dtype=torch.float32).requires_grad_()
    found = member_values(values_of, networks, points)
    exact = in_torch(networks, points.detach().double())
    assert found.dtype == torch.float32
    assert torch.equal(found.detach(), exact.float())
    found.sum().backward()
    assert points.grad is not None
    assert points.grad.dtype == torch.float32


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)])
def test_no_points(shape: tuple[int, ...]):
    points = torch.empty(*shape, N_INPUTS, dtype=torch.float64, requires_grad=True)
    found = member_values(values_of, stacked(2), points)
    assert found.shape == (N_MEMBERS, *shape, 2)
    (gradient,) = torch.autograd.grad(found.sum(), points)
    assert gradient.shape == points.shape


def test_a_point_that_is_no_number_spoils_only_itself():
    points = random_points(5)
    whole = member_values(values_of, stacked(2), points)
    points[1, 0], points[4, 1] = torch.nan, torch.inf
    points.requires_grad_()
    found = member_values(values_of, stacked(2), points)
    assert found[:, 1].isnan().all()
    torch.testing.assert_close(found[:, [0, 2, 3]].detach(), whole[:, [0, 2, 3]])
    (gradient,) = torch.autograd.grad(found.sum(), points)
    assert gradient[1].isnan().all()
    assert gradient[[0, 2, 3]].isfinite().all()


def test_nothing_is_shared_with_the_caller():
    networks, points = stacked(2), random_points(16)
    moved = points.clone().requires_grad_()
    found = member_values(values_of, networks, moved)
    (expected,) = torch.autograd.grad(in_torch(networks, points.requires_grad_()).sum(), points)
    # What is done to the points later changes neither values nor gradient.
    kept = found.detach().clone()
    moved.data.zero_()
    (gradient,) = torch.autograd.grad(found.sum(), moved)
    assert torch.equal(found.detach(), kept)
    torch.testing.assert_close(gradient, expected)
    # A function may return an argument itself, whose buffer XLA then hands out.
    weight = jnp.ones((16, N_INPUTS))
    evaluate(lambda argument, at: argument, weight, points.detach()).zero_()
    np.testing.assert_array_equal(weight, 1.0)


class Traces:
    """A function that counts how often it is traced."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, network: Network, points: Any) -> Any:
        self.count += 1
        return values_of(network, points)


def counted(call: Callable[[], Any], traces: Traces) -> bool:
    """Whether a call compiled."""
    before = traces.count
    call()
    return traces.count > before


@pytest.mark.parametrize("with_gradient", [False, True])
def test_one_compilation_per_power_of_two(with_gradient: bool):
    traces, compiled = Traces(), []
    for n_points in (1, 5, 16, 17, 32, 33, 64, 2, 40, 20):
        points = random_points(n_points).requires_grad_(with_gradient)

        def call(points: Tensor = points) -> None:
            found = member_values(traces, stacked(1), points)
            if with_gradient:
                found.sum().backward()

        compiled.append(counted(call, traces))
    assert compiled == [True, False, False, True, False, True, False, False, False, False]


def test_new_members_of_the_same_shape_compile_nothing():
    traces = Traces()
    first, second = stacked(1), stacked(1, seed=1)
    points = random_points(3)
    assert counted(lambda: member_values(traces, first, points), traces)
    assert not counted(lambda: member_values(traces, second, points), traces)
    # As does a partial of equal parts, made anew by every caller.
    scaled = partial(_scaled, traces)
    assert counted(lambda: member_values(scaled, first, points), traces)
    assert not counted(lambda: member_values(partial(_scaled, traces), first, points), traces)


def _scaled(traces: Traces, network: Network, points: Any) -> Any:
    return 2.0 * traces(network, points)


def test_without_a_gradient_only_the_values_are_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(bridge, "_member_derivatives")
    points = random_points(3)
    assert not member_values(values_of, stacked(1), points).requires_grad
    with torch.no_grad():
        assert not member_values(values_of, stacked(1), points.requires_grad_()).requires_grad
    with pytest.raises(NameError):
        member_values(values_of, stacked(1), points)


@pytest.fixture(params=[False, True], ids=["32 bits", "64 bits"])
def caller_precision(request: pytest.FixtureRequest) -> Iterator[bool]:
    with jax.enable_x64(request.param):
        yield request.param


def test_the_callers_precision_is_kept(caller_precision: bool):
    points = random_points(3).requires_grad_()
    found = member_values(values_of, stacked(2), points)
    found.sum().backward()
    torch.testing.assert_close(found, in_torch(stacked(2), points), rtol=1e-12, atol=1e-12)
    assert jnp.asarray(np.ones(1)).dtype == (np.float64 if caller_precision else np.float32)


def test_torch_random_state_is_left_alone():
    before = torch.get_rng_state()
    member_values(values_of, stacked(2), random_points(3).requires_grad_()).sum().backward()
    assert torch.equal(torch.get_rng_state(), before)


def test_second_derivatives_are_refused():
    points = random_points(3).requires_grad_()
    found = member_values(values_of, stacked(1), points)
    with pytest.raises(InputError, match="create_graph=False"):
        torch.autograd.grad(found.sum(), points, create_graph=True)


@pytest.mark.parametrize("points", [torch.ones(2, 3, dtype=torch.int64), torch.tensor(1.0)])
def test_points_that_cannot_be_used(points: Tensor):
    with pytest.raises(InputError, match="floating-point"):
        member_values(values_of, stacked(1), points)
