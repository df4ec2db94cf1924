"""The exceptions and warnings of uqkit: each message says what was given, what was wanted and what to do."""

from typing import Any


class UqkitError(Exception):
    """Any error that uqkit raises on purpose."""


class InputError(UqkitError, ValueError):
    """An argument cannot be used as given; raised before any model evaluation."""


class EvaluationError(UqkitError, RuntimeError):
    """The model failed, at one point or at too many.

    Attributes:
        evaluations: The rows finished so far (`uqkit.evaluate.Evaluations`), or None if there are none.
    """

    def __init__(self, message: str, evaluations: Any = None) -> None:
        """Keep the finished rows beside the message."""
        super().__init__(message)
        self.evaluations = evaluations


class StoreError(UqkitError, RuntimeError):
    """A store of finished evaluations, or a result file, cannot be used."""


class RunInterrupted(KeyboardInterrupt):  # noqa: N818 - a stop asked for, like the KeyboardInterrupt it extends
    """The user stopped a run; what was finished is kept.

    Attributes:
        evaluations: The rows finished so far (`uqkit.evaluate.Evaluations`), or None if there are none.
    """

    def __init__(self, message: str, evaluations: Any = None) -> None:
        """Keep the finished rows beside the message."""
        super().__init__(message)
        self.evaluations = evaluations


class UqkitWarning(UserWarning):
    """Something that may make a result less than it seems."""
