"""Laplace approximations of networks against dense algebra in weight space."""

import itertools
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from botorch.acquisition import LogExpectedImprovement, qLogExpectedImprovement
from botorch.optim import optimize_acqf
from botorch.sampling import SobolQMCNormalSampler
from torch import Tensor

from uqkit.bayesopt.held_out import folds
from uqkit.bayesopt.jacobian import factored_jacobian, multipliers
from uqkit.bayesopt.laplace import LaplaceNetwork, LastLayerNetwork
from uqkit.bayesopt.laplace_fit import EvidenceFit
from uqkit.bayesopt.linear_posterior import WeightSpace
from uqkit.bayesopt.network import NOISE_VARIANCE, Embedding, NetworkModel, OneHot, WeightPrior
from uqkit.errors import InputError

QUICK = EvidenceFit(n_starts=1, max_rounds=8, n_last=10)


def data(n_rows: int = 14, n_outputs: int = 1) -> tuple[Tensor, Tensor]:
    X = torch.rand(n_rows, 2, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    Y = torch.stack([torch.sin(5 * X[:, 0]) + X[:, 1], X[:, 0] * X[:, 1]], dim=-1)
    return X, 3 * Y[:, :n_outputs]


@lru_cache
def network(n_outputs: int = 1, cls: type = LaplaceNetwork, key: int = 0) -> Any:
    return cls(*data(n_outputs=n_outputs), widths=(20, 10), method=QUICK, key=key).fit()


def dense_jacobian(surrogate: LaplaceNetwork, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Values and their derivatives by all whitened weights, from JAX's own differentiation."""
    net, sites = surrogate.network, dict(surrogate.sites or {})
    with jax.enable_x64(True):
        points, white = jnp.asarray(columns.numpy()), {name: sites[name] for name in net.shapes}
        values = jax.jit(lambda: net.values(sites, points))()
        parts = jax.jit(jax.jacrev(lambda z: net.values(sites | z, points)))(white)
        jacobian = jnp.concatenate([parts[name].reshape(*values.shape, -1) for name in net.shapes], axis=-1)
        return torch.from_numpy(np.array(values)), torch.from_numpy(np.array(jacobian))


@pytest.mark.parametrize(
    ("n_outputs", "encoding", "by_fan_in"),
    [(1, OneHot(), True), (2, OneHot(), False), (2, Embedding(n_dims=2), True)],
)
def test_factors_of_the_jacobian_multiply_out_to_it(n_outputs, encoding, by_fan_in):
    prior = WeightPrior(by_fan_in=by_fan_in)
    net = NetworkModel(
        n_inputs=3,
        n_columns=6,
        n_outputs=n_outputs,
        widths=(5, 4),
        prior=prior,
        blocks=((1, 3), (4, 2)),
        encoding=encoding,
    )
    with jax.enable_x64(True):
        keys = iter(jax.random.split(jax.random.key(0), 20))
        sites = {name: jax.random.normal(next(keys), shape, dtype=float) for name, shape in net.shapes.items()}
        sites |= {name: jnp.asarray(1.5) for name in net.scale_names}
        units = jnp.array([[1, 0, 0, 0, 1], [0, 0, 1, 1, 0.0]])
        columns = jnp.concatenate([jnp.array([[0.3], [-1.0]]), units], axis=1)
        jacobian, factor = jax.jit(lambda: factored_jacobian(net, sites, columns))(), multipliers(net, sites)
        white = {name: sites[name] for name in net.shapes}
        tangent = {name: jax.random.normal(next(keys), site.shape, dtype=float) for name, site in white.items()}

        def function(z: dict[str, Any]) -> Any:
            return net.values(sites | z, columns)

        values, pushed = jax.jit(lambda: jax.jvp(function, (white,), (tangent,)))()
        assert np.allclose(jacobian.values, values, atol=1e-12)
        assert np.allclose(jacobian.times({name: factor[name] * tangent[name] for name in white}), pushed, atol=1e-12)
        back = jax.jit(lambda: jax.vjp(function, white)[1](pushed)[0])()
        own = jacobian.transposed_times(pushed)
        assert all(np.allclose(factor[name] * own[name], back[name], atol=1e-11) for name in white)
        derivatives = jax.jit(jax.jacrev(function))(white)
        for name, gram in jacobian.gram().items():
            flat = derivatives[name].reshape(2 * n_outputs, -1)
            assert np.allclose(factor[name] ** 2 * gram, flat @ flat.T, atol=1e-11)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_function_space_equals_the_dense_gauss_newton_posterior(n_outputs):
    surrogate = network(n_outputs)
    X, Y = data(n_outputs=n_outputs)
    points = torch.rand(4, 2, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    _, jacobian = dense_jacobian(surrogate, surrogate.encoder(X))
    _, at = dense_jacobian(surrogate, surrogate.encoder(points))
    noise = torch.from_numpy(np.array(surrogate.sites[NOISE_VARIANCE])).repeat(len(X))
    flat, at = jacobian.flatten(0, 1), at.flatten(0, 1)
    precision = torch.eye(flat.shape[1], dtype=torch.double) + flat.mT @ (flat / noise[:, None])
    expected = at @ torch.linalg.solve(precision, at.mT)
    scale = Y.std(0).repeat(4)
    covariance = surrogate.posterior(points).distribution.covariance_matrix / (scale[:, None] * scale)
    assert torch.allclose(covariance, expected, atol=1e-8)


def test_the_mode_has_no_gradient_and_the_mean_is_the_network_there():
    fixed = WeightPrior(scale=1.0, scale_spread=0.0, noise_sd=0.2, noise_spread=0.0)
    method = EvidenceFit(n_starts=1, n_last=400, mode_tolerance=1e-9)
    surrogate = LaplaceNetwork(*data(), prior=fixed, widths=(20, 10), method=method, key=0).fit()
    assert surrogate.sites is not None
    net, sites, observed = surrogate.network, dict(surrogate.sites), surrogate.data()

    def objective(white: dict[str, Any]) -> Any:
        misfit = observed.present[:, None] * (net.values(sites | white, observed.columns) - observed.outputs)
        return 0.5 * ((misfit**2).sum() / 0.2**2 + sum((value**2).sum() for value in white.values()))

    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(objective))({name: sites[name] for name in net.shapes})
        largest = max(float(jnp.abs(value).max()) for value in gradient.values())
    # In units of the prior and the posterior, both of which are at most 1.
    assert largest < 0.05
    points = torch.rand(6, 2, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    values, _ = dense_jacobian(surrogate, surrogate.encoder(points))
    _, Y = data()
    assert torch.allclose(surrogate.posterior(points).mean, values * Y.std() + Y.mean(), atol=0.02)


def test_evidence_is_that_of_the_linearised_network():
    surrogate = network()
    columns, outputs, _ = surrogate._standardised
    values, jacobian = dense_jacobian(surrogate, columns)
    net, prior = surrogate.network, surrogate.network.prior
    white = torch.cat([torch.from_numpy(np.array(surrogate.sites[name])).flatten() for name in net.shapes])
    flat = jacobian[:, 0]
    covariance = flat @ flat.mT + surrogate._noise_variance() * torch.eye(len(flat))
    law = torch.distributions.MultivariateNormal(values[:, 0] - flat @ white, covariance)
    expected = float(law.log_prob(outputs[:, 0]))
    medians = [prior.scale, prior.scale, prior.output_scale]
    for name, median in zip(net.scale_names, medians, strict=True):
        expected -= 0.5 * (np.log(float(surrogate.sites[name]) / median) / prior.scale_spread) ** 2
    expected -= 0.5 * (0.5 * np.log(surrogate._noise_variance().item() / prior.noise_sd**2) / prior.noise_spread) ** 2
    assert surrogate.log_evidence == pytest.approx(expected, abs=1e-6)


def test_padding_changes_nothing():
    surrogate = network()
    observed = surrogate.data()
    with jax.enable_x64(True):
        longer = jax.tree.map(lambda leaf: jnp.pad(leaf, [(0, 16)] + [(0, 0)] * (leaf.ndim - 1)), observed)
    one, other = (QUICK(surrogate.network, rows, surrogate.key) for rows in (observed, longer))
    assert one.log_evidence == pytest.approx(other.log_evidence, rel=1e-8)


def test_a_longer_fit_of_one_padded_length_compiles_nothing_new(caplog):
    def compiled(n_rows: int) -> list[str]:
        caplog.clear()
        with jax.log_compiles(True), caplog.at_level("WARNING"):
            LaplaceNetwork(*data(n_rows), widths=(4,), method=QUICK, key=1).fit()
        messages = [record.getMessage() for record in caplog.records if "XLA compilation" in record.getMessage()]
        return [message for message in messages if "_mode" in message or "_scored" in message]

    assert compiled(15)
    assert not compiled(16)


def test_last_layer_is_linear_regression_on_the_last_hidden_layer():
    surrogate = network(2, LastLayerNetwork)
    assert isinstance(surrogate._state, WeightSpace)
    X, Y = data(n_outputs=2)
    points = X[:3] + 0.05
    net, sites = surrogate.network, dict(surrogate.sites)
    with jax.enable_x64(True):
        features = [net.features(sites, jnp.asarray(surrogate.encoder(x).numpy())) for x in (X, points)]
    scale = float(sites["scale_2"])
    design, at = (np.column_stack([scale * np.asarray(h) / np.sqrt(10), np.full(len(h), scale)]) for h in features)
    for j in range(2):
        noise = float(sites[NOISE_VARIANCE][j])
        y = ((Y[:, j] - Y[:, j].mean()) / Y[:, j].std()).numpy()
        covariance = np.linalg.inv(np.eye(11) + design.T @ design / noise)
        mean = at @ covariance @ design.T @ y / noise
        posterior = surrogate.posterior(points)
        sd = float(Y[:, j].std())
        assert np.allclose(posterior.mean[:, j], mean * sd + float(Y[:, j].mean()), atol=1e-8)
        assert np.allclose(posterior.variance[:, j], np.diag(at @ covariance @ at.T) * sd**2, atol=1e-8)


@pytest.mark.parametrize("cls", [LaplaceNetwork, LastLayerNetwork])
def test_gradients_by_the_points(cls):
    surrogate = network(2, cls)

    def moments(points: Tensor) -> tuple[Tensor, Tensor]:
        posterior = surrogate.posterior(points)
        return posterior.mean, posterior.distribution.covariance_matrix

    points = torch.rand(2, 2, 2, dtype=torch.double, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(moments, (points,), atol=1e-5)


def test_the_same_key_gives_the_same_numbers_and_another_others():
    points = torch.rand(3, 2, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    state = torch.get_rng_state()
    one, same, other = (fitted.posterior(points).mean for fitted in (network(), network.__wrapped__(), network(key=1)))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(state, torch.get_rng_state())


def test_noise_that_is_there_is_found():
    random = torch.Generator().manual_seed(0)
    X = torch.rand(32, 2, dtype=torch.double, generator=random)
    signal = torch.sin(4 * X[:, :1])
    Y = signal + 0.2 * torch.randn(32, 1, dtype=torch.double, generator=random)
    surrogate = LaplaceNetwork(X, Y, widths=(20, 10), method=QUICK, key=0).fit()
    found = float(surrogate._noise_variance().sqrt() * Y.std())
    # The standard error of a standard deviation of 32 draws is an eighth of it.
    assert 0.2 * (1 - 5 / 8) < found < 0.2 * (1 + 5 / 8)
    assert float((surrogate.posterior(X).mean - signal).square().mean().sqrt()) < 0.2


@pytest.mark.parametrize("encoding", [OneHot(), Embedding(n_dims=2)])
def test_categorical_inputs_with_known_noise(encoding):
    random = torch.Generator().manual_seed(0)
    X = torch.rand(16, 2, dtype=torch.double, generator=random)
    X[:, 1] = torch.arange(16) % 3
    level = torch.tensor([0.0, 2.0, -1.0], dtype=torch.double)
    Y = (X[:, 0] + level[X[:, 1].long()])[:, None]
    Yvar = torch.full_like(Y, 0.01)
    method = EvidenceFit(n_starts=1)
    surrogate = LaplaceNetwork(X, Y, Yvar, categorical={1: 3}, encoding=encoding, widths=(6,), method=method, key=0)
    surrogate.fit()
    points = torch.tensor(list(itertools.product([0.5], [0.0, 1.0, 2.0])), dtype=torch.double)
    assert torch.allclose(surrogate.posterior(points).mean[:, 0], 0.5 + level, atol=0.3)
    difference = surrogate.posterior(X, observation_noise=True).variance - surrogate.posterior(X).variance
    assert torch.allclose(difference, Yvar)
    assert surrogate.sites is not None
    assert NOISE_VARIANCE not in surrogate.sites


def test_in_an_optimisation():
    surrogate, (_, Y) = network(), data()
    bounds = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.double)
    sampler = SobolQMCNormalSampler(torch.Size([16]), seed=0)
    for acquisition, q in (
        (LogExpectedImprovement(surrogate, best_f=Y.max()), 1),
        (qLogExpectedImprovement(surrogate, best_f=Y.max(), sampler=sampler), 2),
    ):
        candidate, value = optimize_acqf(
            acquisition, bounds, q=q, num_restarts=2, raw_samples=8, options={"seed": 0, "maxiter": 4}
        )
        assert candidate.shape == (q, 2)
        assert value is not None
        assert torch.isfinite(value)


def test_settings_are_checked():
    with pytest.raises(InputError, match=r"call \.fit\(\) first"):
        LaplaceNetwork(*data(), key=0).posterior(data()[0])
    with pytest.raises(InputError, match="at least 1"):
        EvidenceFit(n_starts=0)


@pytest.mark.parametrize("cls", [LaplaceNetwork, LastLayerNetwork])
def test_a_point_given_twice_is_drawn_without_a_warning(cls):
    surrogate = network(2, cls)
    points = data()[0][:1].expand(3, 4, 2)
    # Warnings are errors here: GPyTorch warns where a factorisation fails at first.
    drawn = surrogate.posterior(points).rsample(torch.Size([64]))
    assert (drawn.diff(dim=-2).abs() < 1e-3 * surrogate.output_sd).all()


@pytest.mark.parametrize("cls", [LaplaceNetwork, LastLayerNetwork])
def test_a_saved_network_gives_the_same_posterior(cls, tmp_path):
    surrogate, at = network(2, cls), data(5)[0]
    surrogate.save(tmp_path / "network")
    loaded = cls.load(tmp_path / "network")
    for name in ("mean", "variance"):
        torch.testing.assert_close(getattr(loaded.posterior(at), name), getattr(surrogate.posterior(at), name))
    assert loaded.log_evidence == surrogate.log_evidence
    with pytest.raises(InputError, match="not fitted yet"):
        cls(*data(), widths=(20, 10), method=QUICK, key=0).save(tmp_path / "other")


@pytest.mark.parametrize("cls", [LaplaceNetwork, LastLayerNetwork])
def test_held_out_rows_are_predicted_by_fits_to_the_others(cls):
    surrogate = network(2, cls)
    (X, Y), found = data(n_outputs=2), surrogate.held_out(3, progress=False)
    np.testing.assert_allclose(found.value, ((Y - Y.mean(0)) / Y.std(0)).numpy())
    for kept, left, key in folds(14, 3, key=surrogate.key):
        refit = cls(X[kept], Y[kept], widths=(20, 10), method=QUICK, key=key)
        # On the scale of all rows, by which the folds are judged.
        refit.encoder, refit.output_mean, refit.output_sd = (
            surrogate.encoder,
            surrogate.output_mean,
            surrogate.output_sd,
        )
        refit._standardised = tuple(None if each is None else each[kept] for each in surrogate._standardised)
        posterior = refit.fit().posterior(X[left], observation_noise=True)
        mean, sd = (posterior.mean - Y.mean(0)) / Y.std(0), posterior.variance.sqrt() / Y.std(0)
        np.testing.assert_allclose(found.mean[0, left], mean.detach().numpy(), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found.sd[0, left], sd.detach().numpy(), rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match="at least two"):
        surrogate.held_out(1)
