"""The file: SQLite with a write-ahead log, one writing process, migrations.

A committed transaction survives when the process is killed, at any statement. After a power failure
the last ones may be missing, unless `sync` is "full"; the file stays consistent.
"""

from __future__ import annotations

import fcntl
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keyval.errors import DISK, ServiceError
from keyval.schema import MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAGE_BYTES = 4096
SYNC = {"normal": 1, "full": 2}
_WAL_MAX_BYTES = 64 << 20  # size to which a long log file is truncated


class Database:
    """One open file. Not for several threads."""

    def __init__(self, path: Path, *, sync: str = "normal", file_bytes: int | None = None) -> None:
        """Open it, and bring its schema up to date.

        Raises ServiceError if another process has it open, if it is from a newer version, or if it
        cannot be read or written.
        """
        self.path = path
        self._lock = _locked(path.with_suffix(".lock"))
        try:
            self._connection = sqlite3.connect(str(path), isolation_level=None)
            self._set_up(sync, file_bytes)
            self._migrate()
        except BaseException as exc:
            self._lock.close()
            if isinstance(exc, sqlite3.Error):
                raise _service_error(exc, f"cannot open {path}") from exc
            raise

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query."""
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as exc:
            raise _service_error(exc, "cannot read") from exc

    def row(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """The first row of a query, or None."""
        try:
            return self._connection.execute(sql, values).fetchone()
        except sqlite3.Error as exc:
            raise _service_error(exc, "cannot read") from exc

    def each(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Any]:
        """The rows of a query, read as they are taken."""
        try:
            yield from self._connection.execute(sql, values)
        except sqlite3.Error as exc:
            raise _service_error(exc, "cannot read") from exc

    def run(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Change something, inside `writing`."""
        return self._connection.execute(sql, values)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction: applies all changes in it, or none if something is raised."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite may have ended it by itself
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as exc:
            raise _service_error(exc, "cannot write") from exc

    def close(self) -> None:
        self._connection.close()
        self._lock.close()

    def _set_up(self, sync: str, file_bytes: int | None) -> None:
        execute = self._connection.execute
        execute(f"PRAGMA page_size = {PAGE_BYTES}")
        execute("PRAGMA journal_mode = WAL")
        execute(f"PRAGMA synchronous = {SYNC[sync]}")
        execute(f"PRAGMA journal_size_limit = {_WAL_MAX_BYTES}")
        execute("PRAGMA busy_timeout = 5000")  # a backup may be reading
        if file_bytes is not None:
            execute(f"PRAGMA max_page_count = {max(1, file_bytes // PAGE_BYTES)}")

    def _migrate(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise ServiceError(
                DISK,
                f"{self.path} has version {version} of the schema, this keyval knows "
                f"{len(MIGRATIONS)}; run the newer keyval that wrote it",
            )
        for number in range(version, len(MIGRATIONS)):
            with self.writing():
                for statement in MIGRATIONS[number].split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {number + 1}")


def _locked(path: Path) -> Any:
    """The file whose lock marks the writer; the kernel releases it when the process ends."""
    try:
        file = path.open("ab")
    except OSError as exc:
        raise ServiceError(DISK, f"cannot open {path}: {exc.strerror}") from exc
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ServiceError(DISK, f"another process holds {path}; end it first") from None
    return file


def _service_error(exc: sqlite3.Error, what: str) -> ServiceError:
    return ServiceError(DISK, f"keyval {what}: {exc}")
