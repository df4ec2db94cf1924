"""One file with the state and the outputs of a loop, complete or not there at all."""

import os
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from uqkit.errors import StoreError

__all__ = ["Checkpoint", "Found"]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a checkpoint held.

    Attributes:
        n_done: Steps finished.
        arrays: Its arrays by name.
        path: The file.
    """

    n_done: int
    arrays: dict[str, np.ndarray]
    path: Path

    def state(self, like: PyTree) -> PyTree:
        """The state, in the structure of `like`."""
        return jax.tree.map(jnp.asarray, self._tree("state", like, leading=0))

    def output(self, like: PyTree) -> PyTree:
        """The outputs so far, in the structure of one step's output."""
        return self._tree("output", like, leading=1)

    def _tree(self, prefix: str, like: PyTree, *, leading: int) -> PyTree:
        leaves, structure = jax.tree.flatten(like)
        found = [self.arrays.get(f"{prefix}_{position}") for position in range(len(leaves))]
        restored = []
        for leaf, array in zip(leaves, found, strict=True):
            if array is None or array.shape[leading:] != leaf.shape or array.dtype != leaf.dtype:
                raise StoreError(f"store {str(self.path)!r} does not fit this run; remove it or use another path.")
            restored.append(array)
        return jax.tree.unflatten(structure, restored)


@dataclass(frozen=True)
class Checkpoint:
    """A .npz file that belongs to one run.

    Attributes:
        path: The file, which need not be there yet.
        identity: What the run is.
    """

    path: Path
    identity: str

    def __post_init__(self) -> None:
        """Fail before the work starts, not after its first chunk."""
        if not self.path.absolute().parent.is_dir():
            raise StoreError(
                f"store {str(self.path)!r}: the folder {str(self.path.absolute().parent)!r} does not exist."
            )
        if self.path.is_dir():
            raise StoreError(f"store {str(self.path)!r} is a folder; pass the name of a file in it.")

    def read(self, n_steps: int) -> Found | None:
        """What the file holds; None if it is not there.

        Raises:
            StoreError: If it cannot be read, belongs to another run, or holds more than `n_steps` steps.
        """
        if not self.path.exists():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            identity, n_done = str(arrays.pop("identity")), int(arrays.pop("n_done"))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise StoreError(
                f"store {str(self.path)!r} is no checkpoint of uqkit ({error}); remove it or use another path."
            ) from error
        if identity != self.identity:
            raise StoreError(
                f"store {str(self.path)!r} belongs to another run: its settings, key, data or starts differ; "
                "repeat the call that made it, remove it, or use another path."
            )
        if n_done > n_steps:
            raise StoreError(
                f"store {str(self.path)!r} holds {n_done} steps, more than the {n_steps} of this run; "
                f"ask for at least as many, or use another path."
            )
        return Found(n_done=n_done, arrays=arrays, path=self.path)

    def write(self, n_done: int, state: PyTree, output: PyTree) -> None:
        """Replace the file at once, so that a kill at any moment leaves the old one or the new one.

        Raises:
            StoreError: If the disk refuses.
        """
        arrays = {"identity": np.asarray(self.identity), "n_done": np.asarray(n_done)}
        arrays |= {f"state_{number}": np.asarray(leaf) for number, leaf in enumerate(jax.tree.leaves(state))}
        arrays |= {f"output_{number}": np.asarray(leaf) for number, leaf in enumerate(jax.tree.leaves(output))}
        temporary = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}.npz")
        try:
            # On a handle: given a path, `savez` appends its own suffix to a name that lacks it.
            with temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
            os.replace(temporary, self.path)
        except OSError as error:
            raise StoreError(f"store {str(self.path)!r} cannot be written: {error}.") from error
        finally:
            temporary.unlink(missing_ok=True)
