"""The file with users and sessions: SQLite, used by several threads in turn.

What others must not learn from a copy of the file is stored as a hash: tokens of sessions, codes
and links by SHA-256, because they are random; passwords by scrypt, see `passwords`.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MIGRATIONS = (
    """
    CREATE TABLE users (
        name TEXT PRIMARY KEY, email TEXT NOT NULL, full_name TEXT NOT NULL,
        roles TEXT NOT NULL, groups TEXT NOT NULL,
        password TEXT, totp TEXT, totp_step INTEGER NOT NULL DEFAULT 0,
        disabled INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL
    ) STRICT;
    CREATE TABLE links (
        hash TEXT PRIMARY KEY, user TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
        kind TEXT NOT NULL, expires REAL NOT NULL
    ) STRICT;
    CREATE TABLE sessions (
        hash TEXT PRIMARY KEY, login TEXT NOT NULL, user TEXT NOT NULL, host TEXT NOT NULL,
        provider TEXT NOT NULL, identity TEXT NOT NULL, hint TEXT NOT NULL,
        created REAL NOT NULL, seen REAL NOT NULL, expires REAL NOT NULL
    ) STRICT;
    CREATE INDEX sessions_by_login ON sessions (login);
    CREATE INDEX sessions_by_user ON sessions (user);
    CREATE INDEX sessions_by_end ON sessions (expires);
    CREATE TABLE flows (
        hash TEXT PRIMARY KEY, said TEXT NOT NULL, expires REAL NOT NULL
    ) STRICT;
    CREATE INDEX flows_by_end ON flows (expires);
    """,
)
_BUSY_S = 5.0


class NewerFile(Exception):
    """The file was written by a later version."""


class Database:
    """One open file."""

    def __init__(self, path: Path) -> None:
        """Open it, and bring its schema up to date. Raises sqlite3.Error, NewerFile."""
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(
            str(path), isolation_level=None, check_same_thread=False, timeout=_BUSY_S
        )
        path.chmod(0o600)
        self._connection.row_factory = sqlite3.Row
        self._connection.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
        )
        self._migrate(path)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        with self._lock:
            found: sqlite3.Row | None = self._connection.execute(sql, values).fetchone()
            return found

    def run(self, sql: str, *values: Any) -> int:
        """Change something; returns how many rows changed. In its own transaction, or that of
        `all`."""
        with self._lock:
            return self._connection.execute(sql, values).rowcount

    @contextmanager
    def all(self) -> Iterator[None]:
        """Apply all changes made inside, or none if something is raised."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _migrate(self, path: Path) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise NewerFile(f"{path} was written by a later version of authn")
        todo: Sequence[str] = MIGRATIONS[version:]
        for number, script in enumerate(todo, version + 1):
            self._connection.executescript(f"BEGIN; {script} PRAGMA user_version={number}; COMMIT;")
