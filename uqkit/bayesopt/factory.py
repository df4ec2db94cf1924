"""Recipes of surrogates: settings now, data later."""

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botorch.models.transforms.input import InputTransform
from botorch.models.transforms.outcome import OutcomeTransform
from torch import Tensor

from uqkit._typing import PRNGKey
from uqkit.errors import InputError

__all__ = ["Factory", "Recipe"]

# What the data bring, and what a subclass says to its base.
_OF_DATA = {"self", "train_X", "train_Y", "train_Yvar", "key", "data", "kernel", "settings"}


@dataclass(frozen=True)
class Factory:
    """Makes and fits a surrogate of given settings on any data; made by `Surrogate.factory(...)`.

    Attributes:
        surrogate: The class.
        settings: Its keyword arguments.
    """

    surrogate: type
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Of the surrogate's class."""
        return self.surrogate.__name__

    def __call__(
        self,
        train_X: Tensor,  # noqa: N803 - BoTorch's names
        train_Y: Tensor,  # noqa: N803
        train_Yvar: Tensor | None = None,  # noqa: N803
        *,
        key: PRNGKey,
    ) -> Any:
        """A fitted surrogate.

        Args:
            train_X: Inputs, `n x d`.
            train_Y: Outputs, `n x m`.
            train_Yvar: Known noise variances, `n x m`.
            key: All randomness.
        """
        # Transforms learn from the data: each surrogate has its own.
        own = {
            name: copy.deepcopy(value) if isinstance(value, (InputTransform, OutcomeTransform)) else value
            for name, value in self.settings.items()
        }
        return self.surrogate(train_X, train_Y, train_Yvar, **own, key=key).fit(progress=False)


class Recipe:
    """A surrogate that `factory` can be asked of."""

    @classmethod
    def factory(cls, **settings: Any) -> Factory:
        """A recipe: called with data and a key, it gives a fitted surrogate.

        Args:
            settings: Keyword arguments of the class, data and key apart.

        Raises:
            InputError: If the class has no such setting.
        """
        known = {
            name
            for base in cls.__mro__
            if "__init__" in vars(base) and issubclass(base, Recipe)
            for name, parameter in inspect.signature(vars(base)["__init__"]).parameters.items()
            if parameter.kind is not parameter.VAR_KEYWORD
        } - _OF_DATA
        unknown = sorted(set(settings) - known)
        if unknown:
            raise InputError(
                f"{cls.__name__} has no setting {', '.join(unknown)}; its settings are {', '.join(sorted(known))}."
            )
        return Factory(cls, settings)
