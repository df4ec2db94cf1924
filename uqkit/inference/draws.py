"""Draws from a posterior and what is known of their quality, as arrays."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from arviz_stats.base.array import array_stats
from jaxtyping import Array, Float, Num

from uqkit.errors import InputError, UqkitWarning
from uqkit.problems.target import TargetDensity

__all__ = ["Draws"]

# Vehtari et al. (2021), section 2: above the first, chains have not mixed; below the second, R-hat and ESS themselves
# are unreliable.
_LARGEST_R_HAT = 1.01
_LEAST_ESS_PER_CHAIN = 100


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Equally weighted draws of a posterior, with their diagnostics; made by `Draws.of`.

    Attributes:
        position: The draws, on the target's unconstrained coordinates.
        statistics: ArviZ's names of sampler statistics -> one number a draw: `lp` (log density, nats),
            `acceptance_rate`, `step_size`, `n_steps` (gradients), `diverging` (0 or 1), `tree_depth`, `energy`; those
            that the sampler has.
        n_gradients: Gradients of the log density in all, warm-up included.
        independent: Whether the draws are independent by construction rather than steps of a chain.
        facts: Further numbers of the sampler by name, such as `energy_variance_per_dim`.
        remarks: What the sampler itself found wrong, one sentence each.
        judged: Names of what R-hat and effective sizes are of, where that is not the coordinates themselves
            (`judged_by`).
        judged_values: Of these at each draw.

    Reference:
        Vehtari, Gelman, Simpson, Carpenter & Buerkner (2021), Bayesian Analysis 16, for R-hat and both ESS.
    """

    position: Float[np.ndarray, "chain draw dim"]
    statistics: Mapping[str, Num[np.ndarray, "chain draw"]]
    n_gradients: int
    independent: bool
    facts: Mapping[str, Num[np.ndarray, "..."]]
    remarks: tuple[str, ...]
    judged: tuple[str, ...] = ()
    judged_values: Float[np.ndarray, "chain draw quantity"] | None = None

    @classmethod
    def of(
        cls,
        position: Float[np.ndarray, "chain draw dim"],
        statistics: Mapping[str, Num[np.ndarray, "chain draw"]],
        *,
        n_gradients: int,
        independent: bool,
        facts: Mapping[str, Num[np.ndarray, "..."]] | None = None,
        remarks: Sequence[str] = (),
    ) -> "Draws":
        """Draws; nothing is warned of (see `warn_of_faults`)."""
        return cls(
            position=position,
            statistics=dict(statistics),
            n_gradients=n_gradients,
            independent=independent,
            facts=dict(facts or {}),
            remarks=tuple(remarks),
        )

    def judged_by(self, values: Float[np.ndarray, "chain draw quantity"], names: Sequence[str]) -> "Draws":
        """The same draws with R-hat and effective sizes of quantities in place of the coordinates.

        Coordinates that the data cannot tell apart, as the weights of a network, need not agree between chains; what
        they predict must.

        Args:
            values: Of the quantities at each draw.
            names: Of the quantities, for messages.
        """
        return replace(self, judged=tuple(names), judged_values=values)

    @property
    def r_hat(self) -> Float[np.ndarray, " quantity"]:
        """Rank-normalised split R-hat of each coordinate, or of what `judged` names.

        NaN where there is one chain only, or a dimension never moved.
        """
        return self._diagnosed[0]

    @property
    def ess_bulk(self) -> Float[np.ndarray, " quantity"]:
        """Effective number of draws for means, all chains together."""
        return self._diagnosed[1]

    @property
    def ess_tail(self) -> Float[np.ndarray, " quantity"]:
        """Effective number of draws for the 5 and 95 percent quantiles, all chains together."""
        return self._diagnosed[2]

    # When first asked for: of thousands of weights they cost more than the sampling.
    @cached_property
    def _diagnosed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return diagnose(self.position if self.judged_values is None else self.judged_values)

    def quantities(self, target: TargetDensity) -> dict[str, np.ndarray]:
        """The named quantities of a target at each draw.

        Args:
            target: What was sampled, or anything on the same coordinates.

        Returns:
            Name -> array over (chain, draw, *its own dimensions).

        Raises:
            InputError: If the target has another number of dimensions.
        """
        if target.n_dims != self.position.shape[-1]:
            raise InputError(
                f"`target` has {target.n_dims} dimensions but the draws have {self.position.shape[-1]}; "
                "pass the target that was sampled."
            )
        with jax.enable_x64(True):
            named = _constrain_all(target, jnp.asarray(self.position))
            return {name: np.asarray(value) for name, value in named.items()}

    def faults(self) -> list[str]:
        """What is wrong with the draws, one sentence each; empty where nothing is known to be wrong."""
        return [*self.remarks, *self._divergence_faults(), *([] if self.independent else self._mixing_faults())]

    def warn_of_faults(self, stacklevel: int = 2) -> None:
        """One `UqkitWarning` with all faults and what to do; nothing where there are none."""
        faults = self.faults()
        if faults:
            warnings.warn(" ".join(faults), UqkitWarning, stacklevel=stacklevel + 1)

    def _divergence_faults(self) -> list[str]:
        diverging = self.statistics.get("diverging")
        if diverging is None or not diverging.any():
            return []
        return [
            f"{int(diverging.sum())} of {diverging.size} draws ({diverging.mean():.2g}) diverged, so that a part of "
            "the posterior may be missing: raise `target_acceptance`, or reparametrise the model."
        ]

    def _mixing_faults(self) -> list[str]:
        n_chains, n_draws, _ = self.position.shape
        faults = []
        if n_chains == 1:
            faults.append(
                "With one chain there is no R-hat, and nothing shows whether it found the posterior: use four."
            )
        elif not np.all(self.r_hat <= _LARGEST_R_HAT):  # so that NaN counts as a fault
            worst = int(np.argmax(np.where(np.isnan(self.r_hat), np.inf, self.r_hat)))
            faults.append(
                f"R-hat is {self.r_hat[worst]:.4g} {self._of(worst)} (at most {_LARGEST_R_HAT} is wanted), so that "
                f"the chains do not agree yet: raise `n_warmup` and `n_draws`{self._or_whiten}."
            )
        ess = np.fmin(self.ess_bulk, self.ess_tail)
        if not np.all(ess >= _LEAST_ESS_PER_CHAIN * n_chains):
            worst = int(np.argmin(np.where(np.isnan(ess), -np.inf, ess)))
            faults.append(
                f"The effective number of draws is {ess[worst]:.3g} of {n_chains * n_draws} {self._of(worst)} "
                f"(at least {_LEAST_ESS_PER_CHAIN} a chain is wanted): raise `n_draws`{self._or_whiten}."
            )
        return faults

    def _of(self, place: int) -> str:
        return f"of {self.judged[place]}" if self.judged else f"in dimension {place}"

    @property
    def _or_whiten(self) -> str:
        return "" if self.judged else ", or whiten the target"


def diagnose(
    draws: Float[np.ndarray, "chain draw *shape"],
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """R-hat, bulk and tail effective sample size of each number; R-hat is NaN for one chain."""
    flat = draws.reshape(*draws.shape[:2], -1)
    # A dimension that never moved divides zero by zero; the NaN it gives says so.
    with np.errstate(invalid="ignore", divide="ignore"):
        ess_bulk = array_stats.ess(flat, chain_axis=0, draw_axis=1, method="bulk")
        ess_tail = array_stats.ess(flat, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95))
        r_hat = (
            np.full(flat.shape[2:], np.nan)
            if len(flat) == 1
            else array_stats.rhat(flat, chain_axis=0, draw_axis=1, method="rank")
        )
    shape = draws.shape[2:]
    r_hat, ess_bulk, ess_tail = (np.asarray(each, dtype=float).reshape(shape) for each in (r_hat, ess_bulk, ess_tail))
    return r_hat, ess_bulk, ess_tail


@eqx.filter_jit
def _constrain_all(target: TargetDensity, position: Float[Array, "chain draw dim"]) -> dict[str, Array]:
    return jax.vmap(jax.vmap(target.constrain))(position)
