"""state.db as a file: opened by one process alone, checked, and brought to the newest tables.

- `locking_mode=EXCLUSIVE`, so that the write-ahead log's index is in this process's memory: no file
  is shared, and a second process finds the file locked. On a network file system there is a
  rollback journal instead of the log.
- `synchronous=FULL`: a transaction is on the disk when it is reported as done, and survives a power
  failure. Losing a reported deploy, key revocation or audit line would be worse than the 1 to 10 ms
  that the disk takes; there are few of these.
- What a killed process leaves (a log, a hot journal) belongs to the file; SQLite carries on from
  it. A log beside an empty or missing file is removed by SQLite.

All of this runs on the thread that has the connection. Nothing else in this process may open the
file: closing it would release the locks (POSIX).
"""

import os
import stat
from contextlib import suppress
from time import monotonic
from types import ModuleType
from typing import TYPE_CHECKING

from buntime import __version__
from buntime.server.state.migrations import SCRIPTS

if TYPE_CHECKING:
    from sqlite3 import Connection

NAME = "state.db"
# Without --only it refuses a state folder that has a state.db.
RESTORE = "buntime data restore FILE --only state"
CHECK_S = 2.0
_APPLICATION_ID = 0x62756E74  # "bunt": marks the file as ours
# From SQLite's description of its files: the head, and in it `user_version` and `application_id`.
_HEAD_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_PLACES = (60, 68)
_CHECK_STEPS = 10_000  # of SQLite's instructions between two checks of the clock, 1 ms
_DAMAGED = frozenset((11, 26))  # SQLITE_CORRUPT, SQLITE_NOTADB
_FULL = 13  # SQLITE_FULL
_BUSY = 5  # SQLITE_BUSY
_INTERRUPT = 9  # SQLITE_INTERRUPT
# CANTOPEN, IOERR, PROTOCOL, PERM, READONLY, NOLFS: the file, not what was asked of it.
_OF_THE_FILE = frozenset((14, 10, 15, 3, 8, 22))


class StateTrouble(Exception):
    """The file cannot be used; says why, and what to do."""


class StateDamage(StateTrouble):
    """What is in the file is not what was written."""


class DiskFull(StateTrouble):
    """There is no room for what should be stored; the file is unchanged."""


def open_file(path: str, *, has_log: bool, check_s: float = CHECK_S) -> "Connection":
    """A connection in autocommit mode, with the newest tables. Raises StateTrouble.

    `has_log`: the file system supports a write-ahead log. The check of the whole file stops after
    `check_s`; further damage shows when it is read.
    """
    sqlite3 = _library()
    try:
        _make(path)
        connection: Connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    except (OSError, sqlite3.Error) as exc:
        raise trouble_of(exc, path) from exc
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA foreign_keys=ON")
        _refuse_foreign(connection, path)
        connection.execute(f"PRAGMA journal_mode={'WAL' if has_log else 'DELETE'}")
        _check(connection, path, check_s)
        _migrate(connection)
    except BaseException as exc:
        with suppress(sqlite3.Error):
            connection.close()
        if isinstance(exc, sqlite3.Error):
            raise trouble_of(exc, path) from exc
        raise
    return connection


def look_into(path: str) -> str:
    """What the head of the file says is wrong with it; "" for nothing, or if there is no file.

    It takes no lock, so a runtime may have the file; it is for other processes than that one.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError:
        return ""
    except OSError as exc:
        return str(trouble_of(exc, path))
    if not head:
        return ""
    if len(head) < _HEAD_BYTES or not head.startswith(_MAGIC):
        return str(damage(path, "it does not begin as SQLite's files do"))
    tables, application = (int.from_bytes(head[at : at + 4], "big") for at in _PLACES)
    if tables and application != _APPLICATION_ID:  # without tables it is new: they are in the log
        return f"{path} was not written by buntime; move it away"
    if tables > len(SCRIPTS):
        return _newer(path, "a newer version", tables)
    return ""


def copy_file(connection: "Connection", path: str) -> None:
    """Put a copy of all that is committed into a new file. Raises OSError and SQLite's errors."""
    sqlite3 = _library()
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    copy = sqlite3.connect(path, isolation_level=None)
    try:
        connection.backup(copy)
    finally:
        copy.close()


def trouble_of(exc: Exception, path: str) -> StateTrouble:
    """What is wrong with the file, judging by the error of SQLite or the system."""
    if isinstance(exc, OSError):
        return StateTrouble(f"{exc.filename or path}: {exc.strerror or exc}; correct that")
    code = _code(exc)
    if code in _DAMAGED:
        return damage(path, str(exc))
    if code == _FULL:
        return DiskFull(f"{path}: {exc}; make room on that disk")
    if code == _BUSY:
        return StateTrouble(f"{path} is in use by another program ({exc}); stop that one")
    return StateTrouble(f"{path}: {exc}; check the disk, and the folder's rights")


def damage(path: str, what: str) -> StateDamage:
    """The message for a file that SQLite can no longer read."""
    return StateDamage(
        f"{path} is damaged ({what}); stop the runtime, and run {RESTORE} with the newest backup"
    )


def is_of_the_file(exc: BaseException) -> bool:
    """Whether SQLite raised it because of the file or the disk, not because of the statement."""
    code = _code(exc)
    return code in _DAMAGED or code in _OF_THE_FILE or code in (_FULL, _BUSY)


def _code(exc: BaseException) -> int:
    """SQLite's primary code; 0 if it is not an error of SQLite."""
    code = getattr(exc, "sqlite_errorcode", 0)
    return code & 0xFF if isinstance(code, int) else 0


def _library() -> ModuleType:
    try:
        # 8 ms, on a thread of its own while requests are served; a start does not wait for it.
        import sqlite3
    except ImportError as exc:
        raise StateTrouble(
            f"the Python that runs buntime has no sqlite3 ({exc}); use one that does, or the binary"
        ) from exc
    return sqlite3


def _make(path: str) -> None:
    """Make sure that it is our file and nobody else can read it; create it if needed."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise StateTrouble(f"{path} is not a file of the runtime's user; move it away")
        if stat.S_IMODE(status.st_mode) != 0o600:
            os.fchmod(fd, 0o600)
        if not status.st_size:
            _keep_name(os.path.dirname(path))
    finally:
        os.close(fd)


def _keep_name(folder: str) -> None:
    """A new file's name must survive a power failure, like its content."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _refuse_foreign(connection: "Connection", path: str) -> None:
    """Nothing of another program, and nothing of a newer buntime, is touched."""
    version = _number(connection, "user_version")
    if version == 0 and not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
        return
    if _number(connection, "application_id") != _APPLICATION_ID:
        raise StateTrouble(f"{path} was not written by buntime; move it away")
    if version > len(SCRIPTS):
        row = connection.execute("SELECT value FROM about WHERE key = 'written_by'").fetchone()
        raise StateTrouble(_newer(path, f"buntime {row[0]}" if row else "a newer version", version))


def _newer(path: str, writer: str, tables: int) -> str:
    return (
        f"{path} was written by {writer} (tables {tables}), and this is {__version__} (tables "
        f"{len(SCRIPTS)}); run that version, or stop the runtime, and run {RESTORE} "
        "with a backup of this version"
    )


def _check(connection: "Connection", path: str, within_s: float) -> None:
    until = monotonic() + within_s
    connection.set_progress_handler(lambda: monotonic() > until, _CHECK_STEPS)
    try:
        rows = connection.execute("PRAGMA quick_check(1)").fetchall()
    except Exception as exc:
        if _code(exc) != _INTERRUPT:
            raise
        return  # damage that was not checked for lack of time shows when it is read
    finally:
        connection.set_progress_handler(None, 0)
    if rows != [("ok",)]:
        raise damage(path, str(rows[0][0]) if rows else "the check gave no result")


def _migrate(connection: "Connection") -> None:
    """All steps in one transaction: each takes the disk as long as the first."""
    scripts = SCRIPTS[_number(connection, "user_version") :]
    if scripts:
        # executescript commits an open transaction before it begins, so the scripts have their own.
        connection.executescript(
            "BEGIN IMMEDIATE; " + "\n;".join(scripts) + "\n;"
            f"INSERT OR REPLACE INTO about VALUES ('written_by', '{__version__}');"
            f"PRAGMA application_id={_APPLICATION_ID}; PRAGMA user_version={len(SCRIPTS)}; COMMIT;"
        )


def _number(connection: "Connection", pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
