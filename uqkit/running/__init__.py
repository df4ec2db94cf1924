"""Long work: loops in chunks, with progress, a checkpoint after each chunk, and a clean Ctrl-C."""

from uqkit.running.chunks import run_in_chunks

__all__ = ["run_in_chunks"]
