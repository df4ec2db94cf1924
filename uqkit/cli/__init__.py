"""The command line: arguments to the same functions a script calls. No numerics."""

from uqkit.cli import commands as commands  # registers its commands, and those of the workflows
from uqkit.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """Entry point of the command `uqkit`."""
    app()
