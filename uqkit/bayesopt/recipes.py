"""What may be passed as a surrogate, as one thing: a recipe that makes a fitted model of unit inputs."""

import inspect
import re
import types
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import torch
from botorch.exceptions.warnings import OptimizationWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models import MixedSingleTaskGP, ModelListGP, SingleTaskGP
from botorch.models.model import Model
from botorch.models.transforms.input import NumericToCategoricalEncoding
from gpytorch.mlls import ExactMarginalLogLikelihood
from jaxtyping import Key
from torch import Tensor
from torch.nn.functional import one_hot

from uqkit.bayesopt.factory import Factory
from uqkit.bayesopt.surrogate import NetworkSurrogate
from uqkit.bayesopt.versions import module_version
from uqkit.errors import InputError
from uqkit.problems.callables import function_version

__all__ = ["Maker", "maker_of", "seeded"]


@dataclass(frozen=True)
class Maker:
    """Makes a surrogate, fitted to inputs in [0, 1] and categories as codes.

    Attributes:
        name: For people.
        description: Of class and settings, the same for the same recipe; kept in results and stores.
        make: (train_X, train_Y, categorical, key) to a fitted model.
    """

    name: str
    description: str
    make: Callable[[Tensor, Tensor, Mapping[int, int], Key[jax.Array, ""]], Any]


def maker_of(surrogate: Any) -> Maker:
    """A recipe of what was passed as `surrogate=`.

    Inputs with categories reach networks as such; other surrogates of this package have them in one-hot code; of
    `SingleTaskGP` BoTorch's `MixedSingleTaskGP` is made.

    Args:
        surrogate: `Surrogate.factory(...)`, BoTorch's class `SingleTaskGP`, `ModelListGP` or `MixedSingleTaskGP`, or a
            function (train_X, train_Y, *, key) that gives a fitted BoTorch model.

    Raises:
        InputError: If it is none of these.
    """
    if isinstance(surrogate, Factory):
        settings = ", ".join(f"{name}={_stable(value)}" for name, value in sorted(surrogate.settings.items()))

        def make(X: Tensor, Y: Tensor, categorical: Mapping[int, int], key: Key[jax.Array, ""]) -> Any:  # noqa: N803
            return _with_categories(surrogate, categorical, X.shape[-1])(X, Y, key=key)

        return Maker(surrogate.name, f"{surrogate.name}({settings})", make)
    if isinstance(surrogate, type):
        if surrogate not in (SingleTaskGP, ModelListGP, MixedSingleTaskGP):
            raise InputError(
                f"`surrogate` is the class {surrogate.__name__}; of classes BoTorch's SingleTaskGP, MixedSingleTaskGP "
                "and ModelListGP are fitted here: pass SomeSurrogate.factory(...), a search as in RandomSearch(), or a "
                "function (train_X, train_Y, *, key) that makes and fits your model."
            )
        several = surrogate is ModelListGP
        return Maker(surrogate.__name__, surrogate.__name__, lambda X, Y, c, key: _gaussian(X, Y, c, key, several))
    # A model is callable too, and is of its own data.
    if callable(surrogate) and not isinstance(surrogate, Model):
        _check_call(surrogate)
        name = getattr(surrogate, "__name__", type(surrogate).__name__)
        return Maker(name, _stable(surrogate), lambda X, Y, _, key: surrogate(X, Y, key=key))
    raise InputError(
        f"`surrogate` is {surrogate!r}; pass SomeSurrogate.factory(...), a BoTorch class such as SingleTaskGP, or a "
        "function (train_X, train_Y, *, key) that gives a fitted BoTorch model."
    )


def _check_call(function: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # of what is compiled nothing is known
        return
    try:
        signature.bind(None, None, key=None)
    except TypeError as error:
        raise InputError(
            f"`surrogate` takes {signature}, and cannot be called as surrogate(train_X, train_Y, key=key): {error}."
        ) from None


def _with_categories(factory: Factory, categorical: Mapping[int, int], n_inputs: int) -> Factory:
    own = "categorical" in factory.settings or "input_transform" in factory.settings
    if not categorical or own:
        return factory
    if issubclass(factory.surrogate, NetworkSurrogate):
        return Factory(factory.surrogate, {**factory.settings, "categorical": dict(categorical)})
    transform = NumericToCategoricalEncoding(
        dim=n_inputs,
        categorical_features=dict(categorical),
        encoders={column: _one_hot(n) for column, n in categorical.items()},
    )
    return Factory(factory.surrogate, {**factory.settings, "input_transform": transform})


def _one_hot(n_categories: int) -> Callable[[Tensor], Tensor]:
    return lambda codes: one_hot(codes.long(), n_categories)


def _gaussian(
    X: Tensor,  # noqa: N803
    Y: Tensor,  # noqa: N803
    categorical: Mapping[int, int],
    key: Key[jax.Array, ""],
    several: bool,
) -> Any:
    def fitted(outputs: Tensor) -> Any:
        columns = list(categorical)
        model = MixedSingleTaskGP(X, outputs, columns) if columns else SingleTaskGP(X, outputs)
        with warnings.catch_warnings():
            # A start that stalls is tried anew, and one that fails five times raises.
            warnings.simplefilter("ignore", OptimizationWarning)
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        return model

    with seeded(key):
        if several:
            return ModelListGP(*(fitted(Y[:, j : j + 1]) for j in range(Y.shape[-1])))
        return fitted(Y)


class seeded:  # noqa: N801 - used as `with seeded(key):`
    """Torch's random state set from a key, and afterwards as it was."""

    def __init__(self, key: Key[jax.Array, ""]) -> None:
        """Take the seed off the key."""
        self._seed = int(jax.random.bits(key, dtype="uint32"))

    def __enter__(self) -> int:
        """The seed."""
        self._state = torch.random.get_rng_state()
        torch.manual_seed(self._seed)
        return self._seed

    def __exit__(self, *_: object) -> None:
        """Set the state back."""
        torch.random.set_rng_state(self._state)


def _stable(value: Any) -> str:
    """Text of a setting that is the same in every process, with a version of what its text does not show."""
    if isinstance(value, torch.nn.Module):
        name, version = repr(value), module_version(value)
    elif isinstance(value, (type, types.BuiltinFunctionType)):
        name, version = f"{value.__module__}.{value.__qualname__}", None
    elif isinstance(value, types.FunctionType):
        name, version = f"{value.__module__}.{value.__qualname__}", function_version(value)
    else:
        name = re.sub(r" at 0x[0-9a-f]+", "", repr(value))
        version = None if name == repr(value) else function_version(value)
    return name if version is None else f"{name} {version}"
