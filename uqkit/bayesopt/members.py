"""Surrogates whose posterior is a finite set of networks, each a draw of the function."""

import copy
import time
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import xarray as xr
from botorch.acquisition.objective import PosteriorTransform
from botorch.models.deterministic import GenericDeterministicModel
from jaxtyping import Array, Float, Int, Key
from torch import Tensor

from uqkit.bayesopt import files
from uqkit.bayesopt.bridge import member_values
from uqkit.bayesopt.diagnosis import ChainDiagnosis
from uqkit.bayesopt.export import TorchMembers, torch_activation
from uqkit.bayesopt.network import NOISE_VARIANCE, SCALES, WHITE, NetworkData, NetworkModel
from uqkit.bayesopt.posterior import MemberPosterior, transformed
from uqkit.bayesopt.surrogate import NetworkSurrogate
from uqkit.bayesopt.surrogate_result import posterior_tree
from uqkit.errors import InputError, UqkitWarning
from uqkit.inference import Draws
from uqkit.inference.draws import diagnose
from uqkit.problems.target import TargetDensity

__all__ = ["MemberSurrogate", "Members", "members_of"]

# Scales, weights and noise by name, each with a leading axis over the members.
type Members = Mapping[str, Float[Array, "member ..."]]

# Below this share of members a re-weighted posterior rests on too few of them.
_LEAST_SHARE = 0.25
# Points beside the training rows where chains must agree.
_N_BETWEEN = 128


class MemberSurrogate(NetworkSurrogate):
    """A posterior of members: networks of weights, scales and noise each.

    Attributes:
        members: Scales, weights and noise by name, each with a leading axis over the members.
        draws: How the members were drawn, where chains drew them; not after `load`.
        chains: Numbers of chains, of divergent draws and of gradients, where chains drew the members.
        log_weight: Of the members, unnormalised, over (batch, member); None where all count alike.
    """

    members: Members | None = None
    draws: Draws | None = None
    chains: dict[str, int] | None = None
    log_weight: Tensor | None = None
    _wall_time: float = 0.0
    # Observations that the members are weighted by, with their noise: a new fit must know them too.
    _further: tuple[tuple[Tensor, Tensor, Tensor | None], ...] = ()

    @abstractmethod
    def _infer(
        self, data: NetworkData, key: Key[jax.Array, ""], store: str | Path | None, progress: bool | None
    ) -> tuple[Members, Draws | None]:
        """Members given data, and how chains drew them."""

    def fit(self, *, progress: bool | None = None, store: str | Path | None = None) -> "MemberSurrogate":
        """Infer the members; the surrogate itself is returned.

        Args:
            progress: Whether to show a bar on stderr; None shows it only on a terminal.
            store: File (.npz) that keeps the run; a later fit of the same surrogate goes on from it.

        Raises:
            StoreError: If the store belongs to another run or cannot be used.
            RunInterrupted: On Ctrl-C; what was finished is in the store.
        """
        started = time.perf_counter()
        self.members, self.draws = self._infer(self.data(), self.key, store, progress)
        self._wall_time = time.perf_counter() - started
        if self.draws is not None and not self.draws.independent:
            diverging = self.draws.statistics.get("diverging")
            self.chains = {
                "n_chains": len(self.draws.position),
                "n_diverging": 0 if diverging is None else int(diverging.sum()),
                "n_gradients": self.draws.n_gradients,
            }
        return self

    @property
    def n_members(self) -> int:
        """How many members there are."""
        return len(next(iter(self._fitted.values())))

    @property
    def batch_shape(self) -> torch.Size:
        """Of the conditioned posteriors; empty unless fantasies were added."""
        return torch.Size() if self.log_weight is None else self.log_weight.shape[:-1]

    def posterior(
        self,
        X: Tensor,  # noqa: N803
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
    ) -> Any:
        """Joint posterior of the function at points, as `MemberPosterior`.

        Args:
            X: Points, `batch x q x d`.
            output_indices: Outputs wanted; all where not given.
            observation_noise: True adds the noise of an observation, one draw a member and point; a tensor gives the
                variances, `... x q x m` or `... x 1 x m`, after the outcome transform.
            posterior_transform: BoTorch's.

        Raises:
            InputError: If the surrogate is not fitted, or the points do not fit.
        """
        columns = self._encoded(X)
        shape = torch.broadcast_shapes(columns.shape[:-2], self.batch_shape)
        # member x batch x q x m, to batch x member x q x m
        values = member_values(self._function, self._fitted, columns).movedim(0, -3)
        values = values * self.output_sd + self.output_mean
        if isinstance(observation_noise, Tensor) or observation_noise:
            values = values + self._noise(values, observation_noise)
        if hasattr(self, "outcome_transform"):
            values, _ = self.outcome_transform.untransform(values, X=X)
        values = values[..., self._outputs]
        if output_indices is not None:
            values = values[..., output_indices]
        weight = None
        if self.log_weight is not None:
            values = values.expand(*shape, *values.shape[-3:])
            weight = torch.softmax(self.log_weight, dim=-1).expand(*shape, self.n_members)
        posterior = MemberPosterior(values, weight)
        return posterior if posterior_transform is None else transformed(posterior, posterior_transform, X)

    def _left_out(
        self, kept: Int[np.ndarray, " kept"], left: Int[np.ndarray, " left"], key: Key[jax.Array, ""]
    ) -> tuple[np.ndarray, np.ndarray]:
        columns, _, known = self._standardised
        sites = self._infer(self.data(kept.tolist()), key, None, False)[0]
        with torch.no_grad():
            mean = member_values(self._function, sites, columns[left]).numpy()
        variance = known[left].numpy() if known is not None else np.asarray(sites[NOISE_VARIANCE])[:, None]
        return mean, np.broadcast_to(variance, mean.shape)

    def save(self, path: str | Path) -> None:
        """Write settings, training data and members to one file.

        Args:
            path: Of the file; replaced where it exists.

        Raises:
            InputError: If the surrogate is not fitted, is conditioned on fantasies, or has a setting that cannot be
                written down, such as an activation of one's own.
        """
        if self.log_weight is not None:
            raise InputError("a surrogate that is conditioned on fantasies cannot be saved; save the one it came from.")
        members = files.as_tensors(dict(self._fitted))
        files.write(path, type(self).__name__, self._record() | {"members": members, "chains": self.chains})

    def _take_up(self, record: dict[str, Any]) -> None:
        self.members, self.chains = files.as_arrays(record["members"]), record["chains"]

    @property
    def posterior_tree(self) -> xr.DataTree:
        """The members as a result that ArviZ reads: weights, scales and noise, sampler statistics, diagnostics, data.

        Raises:
            InputError: If the surrogate is not fitted.
        """
        n_chains = 1 if self.draws is None else len(self.draws.position)
        return posterior_tree(
            name=type(self).__name__,
            settings=self._settings,
            key=self.key,
            members={name: np.asarray(values) for name, values in self._fitted.items()},
            n_chains=n_chains if self.chains is None else self.chains["n_chains"],
            draws=self.draws,
            chains=self.chain_diagnosis(),
            inputs=self.train_inputs[0].numpy(),
            outputs=self.train_targets.numpy(),
            wall_time=self._wall_time,
        )

    def to_torch(self) -> TorchMembers:
        """The members as a module of torch alone, for use where JAX is not: its values are those of the posterior."""
        network = self.network
        with jax.enable_x64(True):
            layers = jax.vmap(lambda one: [network.layer(one, layer) for layer in range(len(network.widths) + 1)])(
                dict(self._fitted)
            )
            embeddings = [self._fitted[name] for name in network.shapes if name.startswith("embedding")]
        return TorchMembers(
            encoder=self.encoder,
            layers=[(files.as_tensor(weight), files.as_tensor(bias)) for weight, bias in layers],
            embeddings=[files.as_tensor(each) for each in embeddings],
            blocks=network.blocks,
            activation=torch_activation(network.activation),
            mean=self.output_mean,
            sd=self.output_sd,
            outputs=self._outputs,
            input_transform=getattr(self, "input_transform", None),
            outcome_transform=getattr(self, "outcome_transform", None),
        )

    def path(self, member: int) -> GenericDeterministicModel:
        """One member as a deterministic BoTorch model: a draw of the whole function, as Thompson sampling wants.

        Args:
            member: Its number, from 0.
        """
        if not 0 <= member < self.n_members:
            raise InputError(f"member={member}: pass a number from 0 to {self.n_members - 1}.")
        one = self._copy()
        one.members = {name: values[member : member + 1] for name, values in self._fitted.items()}
        one.log_weight = None
        return GenericDeterministicModel(lambda X: one.posterior(X).values.squeeze(-3), num_outputs=self.num_outputs)  # noqa: N803

    def subset_output(self, idcs: list[int]) -> "MemberSurrogate":
        """The same posterior of some of the outputs."""
        if not all(-self.num_outputs <= index < self.num_outputs for index in idcs):
            raise InputError(f"idcs={idcs}: pass outputs from 0 to {self.num_outputs - 1}.")
        part = self._copy()
        part._outputs = [self._outputs[index] for index in idcs]
        return part

    def condition_on_observations(self, X: Tensor, Y: Tensor, **kwargs: Any) -> "MemberSurrogate":  # noqa: N803
        """The posterior given further observations, by weighting each member with its likelihood of them.

        Observations without batch dimensions that leave fewer effective members than a quarter are added to the
        training rows and all is inferred again. Batches of them (fantasies) can only be weighted.

        Args:
            X: Inputs, `batch x n' x d`.
            Y: Outputs there, `batch' x n' x m`, in the units of `train_Y`.
            kwargs: `noise`, the variances of the observations after the outcome transform; those of the members, or
                the mean of the known ones, where not given.

        Warns:
            UqkitWarning: If the weights of a batch rest on fewer members than a quarter.

        Reference:
            Importance re-weighting; the effective number of members is that of Kong (1992).
        """
        if self._outputs != list(range(self.network.n_outputs)):
            raise InputError("condition the surrogate of all outputs, then take `subset_output`.")
        noise = kwargs.pop("noise", None)
        columns = self._encoded(X)
        transformed = self.outcome_transform(Y, X=X)[0] if hasattr(self, "outcome_transform") else Y
        # With gradients: acquisition functions that look ahead move X through the weights.
        values = member_values(self._function, self._fitted, columns).movedim(0, -3)
        outputs = self._scaled(transformed).unsqueeze(-3)
        variance = self.noise_variance() if noise is None else (noise / self.output_sd**2).unsqueeze(-3)
        added = torch.distributions.Normal(values, variance.sqrt()).log_prob(outputs).sum((-1, -2))
        prior = torch.zeros(self.n_members).to(added) if self.log_weight is None else self.log_weight
        log_weight = added + prior
        share = torch.softmax(log_weight.detach(), -1).square().sum(-1).reciprocal() / self.n_members
        further = (*self._further, (X.double(), Y.double(), noise))
        if log_weight.ndim == 1 and share < _LEAST_SHARE:
            return self._fitted_with(further)
        if share.numel() and share.min() < _LEAST_SHARE and log_weight.ndim > 1:
            warnings.warn(
                f"after conditioning, {float((share < _LEAST_SHARE).double().mean()):.0%} of the fantasies rest on "
                f"less than a quarter of {self.n_members} members (the least "
                f"on {float(share.min()) * self.n_members:.1f}); "
                "draw more members, or condition on fewer points at once.",
                UqkitWarning,
                stacklevel=2,
            )
        conditioned = self._copy()
        conditioned.log_weight, conditioned._further = log_weight, further
        return conditioned

    def _fitted_with(self, further: tuple[tuple[Tensor, Tensor, Tensor | None], ...]) -> "MemberSurrogate":
        """A new fit to the training rows and further ones."""
        Yvar = None  # noqa: N806
        if self.train_Yvar is not None:
            Yvar = torch.cat([self._known_noise(noise, Y) for _, Y, noise in further])  # noqa: N806
        X, Y = torch.cat([X for X, _, _ in further]), torch.cat([Y for _, Y, _ in further])  # noqa: N806
        again = self._with_rows(X, Y, Yvar)
        assert isinstance(again, MemberSurrogate)
        return again.fit(progress=False)

    @property
    def _fitted(self) -> Members:
        if self.members is None:
            raise InputError(f"{type(self).__name__} is not fitted yet: call .fit() first.")
        return self.members

    def chain_diagnosis(self) -> ChainDiagnosis | None:
        """Agreement of the chains, without any further fit; None where no chains drew the members."""
        if self.chains is None:
            return None
        sites, n_chains = self._fitted, self.chains["n_chains"]

        def by_chain(values: Any) -> np.ndarray:
            return np.asarray(values).reshape(n_chains, -1, *values.shape[1:])

        with torch.no_grad():
            points = torch.cat([self._standardised[0], self.encoder.points_between(_N_BETWEEN)])
            function = by_chain(member_values(self._function, sites, points).numpy())
        r_hat, ess_bulk, _ = diagnose(function)
        scales = [
            diagnose(by_chain(sites[name]))[0].max()
            for name in (*self.network.scale_names, NOISE_VARIANCE)
            if name in sites and np.ptp(np.asarray(sites[name])) > 0
        ]
        squares = [np.asarray(sites[name]).ravel() ** 2 for name in self.network.shapes]
        return ChainDiagnosis(
            r_hat_median=float(np.median(r_hat)),
            # Of no two numbers between, since chains that stand still have an infinite one.
            r_hat_95=float(np.quantile(r_hat, 0.95, method="higher")),
            ess_median=float(np.median(ess_bulk)),
            r_hat_scales=float(max(scales, default=np.nan)),
            weight_norm_ratio=float(np.concatenate(squares).mean()),
            n_diverging=self.chains["n_diverging"],
            n_gradients=self.chains["n_gradients"],
        )

    @property
    def _function(self) -> Any:
        return partial(_values, self.network)

    def _copy(self) -> Any:
        """Another surrogate of the same members: parts that no copy changes are shared."""
        other: Any = copy.copy(self)
        return other

    def noise_variance(self) -> Tensor:
        """Noise variance of each member, of outputs in their standard deviations: `member x 1 x m`."""
        if self.network.known_noise:
            known = self._standardised[2]
            assert known is not None
            return known.mean(0).expand(self.n_members, 1, -1)
        return torch.from_numpy(np.array(self._fitted[NOISE_VARIANCE])).unsqueeze(-2)

    def _known_noise(self, noise: Tensor | None, Y: Tensor) -> Tensor:  # noqa: N803
        if hasattr(self, "outcome_transform"):
            raise InputError(
                "conditioning needs a new fit, and the noise of the observations is known after the outcome transform "
                "only: make a new surrogate with all rows."
            )
        mean = self.train_Yvar.mean(0).expand_as(Y) if noise is None else noise.expand_as(Y)  # pyright: ignore[reportOptionalMemberAccess]
        return mean.double()

    def _noise(self, values: Tensor, observation_noise: bool | Tensor) -> Tensor:
        """Noise of one observation for each member and point; the same for every batch, so that averages are smooth."""
        seed = int(jax.random.bits(jax.random.fold_in(self.key, 1), dtype=jnp.uint32))
        generator = torch.Generator().manual_seed(seed)
        white = torch.randn(*values.shape[-3:], generator=generator, dtype=values.dtype)
        if isinstance(observation_noise, Tensor):
            return observation_noise.to(values).unsqueeze(-3).sqrt() * white
        return self.noise_variance().sqrt() * self.output_sd * white


def _values(
    network: NetworkModel, member: Mapping[str, Array], columns: Float[Array, "point column"]
) -> Float[Array, "point output"]:
    return network.values(member, columns)


def members_of(draws: Draws, target: TargetDensity) -> Members:
    """Named weights of the draws of a network's posterior, chain after chain."""
    sites = draws.quantities(target)
    with jax.enable_x64(True):
        return {
            name: jnp.asarray(values.reshape(-1, *values.shape[2:]))
            for name, values in sites.items()
            if name not in (SCALES, WHITE)
        }
