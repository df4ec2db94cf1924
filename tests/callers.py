"""The package as its users call it: without the suite's type hook, which stops wrong arguments before their message."""

from collections.abc import Iterator
from contextlib import contextmanager

from jaxtyping import config


@contextmanager
def without_type_hook() -> Iterator[None]:
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", False)
