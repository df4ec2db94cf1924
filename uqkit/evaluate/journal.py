"""The journal: every finished evaluation committed at once to one SQLite file, and found again by what was asked."""

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from uqkit.errors import StoreError

__all__ = ["Journal", "Row"]

_FORMAT = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS evaluations (
    key BLOB PRIMARY KEY, version TEXT NOT NULL, point BLOB NOT NULL, value BLOB NOT NULL,
    status INTEGER NOT NULL, message TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS campaign (name TEXT PRIMARY KEY, content TEXT NOT NULL);
"""


class Row(NamedTuple):
    """One finished evaluation: its outputs, its status, and the error's text if it failed."""

    value: Float[np.ndarray, " output"]
    status: int
    message: str


class Journal:
    """A file of finished evaluations, safe against a kill at any moment.

    Args:
        path: A SQLite file; made if it is not there.

    Raises:
        StoreError: If the file cannot be opened, or is no journal of uqkit.
    """

    def __init__(self, path: str | Path) -> None:
        """See the class."""
        self.path = Path(path)
        if not self.path.absolute().parent.is_dir():
            raise StoreError(f"store {str(path)!r}: the folder {str(self.path.absolute().parent)!r} does not exist.")
        try:
            self._connection = sqlite3.connect(self.path, isolation_level=None)
        except sqlite3.Error as error:
            raise StoreError(f"store {str(path)!r} cannot be opened: {error}.") from error
        try:
            self._connection.execute("PRAGMA busy_timeout=60000")
            (found,) = self._connection.execute("PRAGMA user_version").fetchone()
            (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if found != _FORMAT and (found or tables):
                raise StoreError(
                    f"store {str(path)!r} is a SQLite file but no journal of this uqkit; use another path."
                )
            # Write-ahead logging: a commit is one append, and a killed process leaves a readable file. Asked for only
            # now, because it is written into the file, which was perhaps somebody else's.
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            # At once, so that a kill in between leaves no tables without their format.
            self._connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={_FORMAT}; COMMIT;")
        except StoreError:
            self._connection.close()
            raise
        except sqlite3.Error as error:
            self._connection.close()
            raise StoreError(f"store {str(path)!r} cannot be used: {error}; use another path.") from error

    def __enter__(self) -> "Journal":
        """The journal itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._connection.close()

    @staticmethod
    def keys(version: str, config: str, points: Float[np.ndarray, "point input"]) -> list[bytes]:
        """What identifies each evaluation: model version, configuration, the point, and its repeat among equal ones."""
        head = hashlib.sha256(json.dumps([version, config]).encode()).digest()
        repeats: Counter[bytes] = Counter()
        keys = []
        for point in np.ascontiguousarray(points, dtype="<f8"):
            content = point.tobytes()
            keys.append(hashlib.sha256(head + content + repeats[content].to_bytes(8, "little")).digest())
            repeats[content] += 1
        return keys

    def finished(self, keys: Sequence[bytes]) -> dict[bytes, Row]:
        """The rows already there, by key."""
        found: dict[bytes, Row] = {}
        with closing(self._connection.cursor()) as cursor:
            for start in range(0, len(keys), 500):
                asked = keys[start : start + 500]
                marks = ",".join("?" * len(asked))
                query = f"SELECT key, value, status, message FROM evaluations WHERE key IN ({marks})"
                for key, value, status, message in cursor.execute(query, asked):
                    found[key] = Row(np.frombuffer(value, dtype="<f8").astype(float), status, message)
        return found

    def write(self, version: str, entries: Iterable[tuple[bytes, Float[np.ndarray, " input"], Row]]) -> None:
        """Commit finished rows (key, point, row) in one transaction; an earlier row of the same key is replaced."""
        rows = [
            (key, version, point.astype("<f8").tobytes(), row.value.astype("<f8").tobytes(), row.status, row.message)
            for key, point, row in entries
        ]
        with closing(self._connection.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.executemany("INSERT OR REPLACE INTO evaluations VALUES (?, ?, ?, ?, ?, ?)", rows)
            cursor.execute("COMMIT")

    def versions(self) -> dict[str, int]:
        """Model version -> number of rows."""
        query = "SELECT version, count(*) FROM evaluations GROUP BY version"
        return {version: int(count) for version, count in self._connection.execute(query)}

    def describe(self, name: str, content: Mapping[str, Any]) -> None:
        """Keep a description of what the store is for beside its rows."""
        self._connection.execute("INSERT OR REPLACE INTO campaign VALUES (?, ?)", (name, json.dumps(dict(content))))

    def description(self, name: str) -> dict[str, Any] | None:
        """A description kept by `describe`, or None."""
        row = self._connection.execute("SELECT content FROM campaign WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])
