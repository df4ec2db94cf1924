"""Long work: loops in chunks, here or on workers, with progress, a checkpoint after each chunk, and a clean Ctrl-C."""

from uqkit.running.chunks import run_in_chunks
from uqkit.running.parallel import WorkerLost, run_in_parallel

__all__ = ["WorkerLost", "run_in_chunks", "run_in_parallel"]
