"""state.db for the parts that store something in it: one thread has the connection, the loop asks
it.

    loop: ask(work, then) ──> queue ──> state-db thread: BEGIN, work(connection), COMMIT
          then(result) <── call_threadsafe ──┘

Guarantees:
- Each `work` runs alone, in the order of the calls of `ask`, in its own transaction: its changes
  are on the disk when `then` gets its result, or have not happened.
- `then` is called on the loop's thread, in a later turn than `ask`, once: with the result, with
  what `work` has raised, or with a StateFault that says why the file cannot be used. After `close`
  it may never be called.
- If the file cannot be used the thread tries again every RETRY_S. A part that keeps a copy in
  memory reads it through `follow`, whose callbacks are called whenever the file has been opened.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from buntime.core.errors import StateFault, StateOff
from buntime.core.telemetry.records import Tell
from buntime.core.values.tuples import NamedTuple
from buntime.server.loop.loop import Loop
from buntime.server.state.filesystem import remote_kind
from buntime.server.state.statefile import (
    NAME,
    DiskFull,
    StateDamage,
    StateTrouble,
    copy_file,
    is_of_the_file,
    open_file,
    trouble_of,
)
from buntime.server.state.statefolder import StateFolder

if TYPE_CHECKING:
    from sqlite3 import Connection

RETRY_S = 10.0
FIRST_READ_S = 2.0  # that requests wait at a start
JOBS_MAX = 1000  # that may wait; more are refused, as a slow disk must have an end
_T = TypeVar("_T")


class _Job(NamedTuple):
    work: Callable[["Connection"], Any]
    then: Callable[[Any], None]
    is_bare: bool = False  # in no transaction


class StateDb:
    """The database of a state folder; what is asked before `start` waits for it."""

    def __init__(
        self,
        folder: StateFolder,
        loop: Loop,
        *,
        tell: Tell,
        warn: Tell,
        error: Tell,
        retry_s: float = RETRY_S,
    ) -> None:
        self._folder = folder
        self.loop = loop
        self._tell = tell
        self._warn = warn
        self._error = error
        self._retry_s = retry_s
        # of the loop's thread
        self._followers: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None
        # of both; `_wake` guards them
        self._wake = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._is_closing = False
        # of the thread, which others only read
        self._trouble = ""
        self._connection: Connection | None = None
        self._file = (0, 0)  # device and inode of what is open
        self._look_at = 0.0  # when there is trouble; monotonic

    def __repr__(self) -> str:
        return f"StateDb({self.path}, {self.trouble or 'no trouble'})"

    @property
    def path(self) -> str:
        return os.path.join(self._folder.path, NAME)

    @property
    def is_off(self) -> bool:
        """Whether nothing is stored at all."""
        return self._folder.is_off

    @property
    def trouble(self) -> str:
        """Why nothing can be stored, and what to do; "" if all is well, or not known yet."""
        return self._folder.trouble or self._trouble

    # The loop's thread

    def start(self) -> None:
        """Open the file once the state folder is available; call this again when it becomes so."""
        if self._thread is None and not self._folder.trouble and not self._is_closing:
            # Not a daemon, so that what it is doing at the end is finished.
            self._thread = threading.Thread(target=self._run, name="state-db")
            self._thread.start()

    def follow(self, callback: Callable[[], None]) -> None:
        """Call it whenever the file has been opened, before anything else is done with it."""
        self._followers.append(callback)

    def ask(
        self, work: Callable[["Connection"], _T], then: Callable[[_T | BaseException], None]
    ) -> None:
        """Run `work` in a transaction; `then` gets what it returns or raises, or a StateFault.

        `work` neither commits nor rolls back, and returns nothing that needs the connection.
        """
        self._put(_Job(work, then))

    def copy(self, path: str, then: Callable[[BaseException | None], None]) -> None:
        """Write a copy of everything committed to a new file; `then` as for `ask`."""
        self._put(_Job(lambda connection: copy_file(connection, path), then, is_bare=True))

    def _put(self, job: _Job) -> None:
        trouble = self._folder.trouble
        if self._folder.is_off:
            self.loop.call_soon(partial(job.then, StateOff()))
            return
        if self._is_closing:
            trouble = "the runtime is stopping"
        with self._wake:
            if not trouble and len(self._jobs) >= JOBS_MAX:
                trouble = f"{JOBS_MAX} others already wait for {self.path}; check that disk"
            if not trouble:
                self._jobs.append(job)
                self._wake.notify()
        if trouble:
            self.loop.call_soon(partial(job.then, StateFault(trouble)))

    def close(self) -> None:
        """Let the thread do what was asked, close the file, and end; this does not wait for it."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()

    def _opened(self) -> None:
        for callback in self._followers:
            self.loop.guard(callback)

    # The thread

    def _run(self) -> None:
        self._open()
        while True:
            job, is_closing = self._next()
            if job is not None:
                self._on_loop(partial(job.then, self._do(job.work, job.is_bare)))
            elif is_closing:
                break
            if self._trouble and monotonic() >= self._look_at:
                self._look_again()
        self._let_go()

    def _next(self) -> tuple[_Job | None, bool]:
        """The first pending work, if any, after waiting for it; and whether the end has come."""
        with self._wake:
            if not self._jobs and not self._is_closing:
                wait_s = max(0.0, self._look_at - monotonic())
                self._wake.wait(wait_s if self._trouble else None)
            return self._jobs.popleft() if self._jobs else None, self._is_closing

    def _look_again(self) -> None:
        self._look_at = monotonic() + self._retry_s
        if self._connection is None:
            self._open()
        else:
            self._do(_probe)

    def _open(self) -> None:
        kind = remote_kind(self._folder.path)
        try:
            self._connection = open_file(self.path, has_log=not kind)
            self._file = _identity(self.path)
        except StateTrouble as exc:
            self._have_trouble(exc)
            return
        except OSError as exc:
            self._have_trouble(trouble_of(exc, self.path))
            return
        if kind:
            self._warn(
                "state.remote",
                "state folder is on a network file system; its database is slower there, and only "
                "as safe as the locks of that file system: set RUNTIME_STATE_DIR to a local disk",
                folder=self._folder.path,
                kind=kind,
            )
        self._have_no_trouble()
        self._on_loop(self._opened)

    def _do(self, work: Callable[["Connection"], Any], is_bare: bool = False) -> Any:
        """What `work` returns, or the exception that `then` gets instead."""
        connection = self._connection
        if connection is not None and _identity(self.path) != self._file:
            self._let_go()
            self._warn("state.replaced", "state.db was removed or replaced", file=self.path)
            self._open()
            connection = self._connection
        if connection is None:
            return StateFault(self._trouble)
        changes = connection.total_changes
        try:
            if is_bare:
                return work(connection)
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException as exc:  # noqa: BLE001  # handed to who asked
            with suppress(Exception):  # SQLite has rolled back by itself after some errors
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            return self._fault_of(exc)
        if self._trouble and connection.total_changes != changes:
            self._have_no_trouble()
        return result

    def _fault_of(self, exc: BaseException) -> BaseException:
        if not isinstance(exc, Exception) or not is_of_the_file(exc):
            return exc
        trouble = trouble_of(exc, self.path)
        if not isinstance(trouble, DiskFull):
            self._let_go()  # the connection's view of the file may be wrong now
        self._have_trouble(trouble)
        return StateFault(self._trouble)

    def _have_trouble(self, trouble: StateTrouble) -> None:
        text = str(trouble)
        self._look_at = monotonic() + self._retry_s
        if text != self._trouble:
            self._trouble = text
            if isinstance(trouble, StateDamage):
                self._error("state.damaged", "state.db is damaged; apps keep running", error=text)
            else:
                self._warn("state.db_unavailable", "state.db cannot be used", error=text)

    def _have_no_trouble(self) -> None:
        if self._trouble:
            self._trouble = ""
            self._tell("state.db_available", "state.db can be used again", file=self.path)

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # on a full disk committed data stays in the log
                connection.close()

    def _on_loop(self, callback: Callable[[], None]) -> None:
        with suppress(OSError):  # the loop has been closed: nobody waits for it
            self.loop.call_threadsafe(callback)


class FirstRead:
    """Requests that wait at a start until something has been read, as serving does not wait for it.

    They wait until it is read, or cannot be, and no longer than some seconds: a disk may hang.
    """

    def __init__(
        self, db: StateDb, read: Callable[[Callable[[BaseException | None], None]], None]
    ) -> None:
        """`read` reads it, and calls what it gets with None, or with the fault."""
        self._db = db
        self._read = read
        self._is_over = False
        self._waiting: list[Callable[[], None]] = []

    def waits(self, then: Callable[[], None]) -> bool:
        """Whether there is something to wait for; then `then` is called when that is over."""
        if self._is_over or self._db.trouble:
            return False
        self._waiting.append(then)
        if len(self._waiting) == 1:
            self._db.loop.call_later(FIRST_READ_S, self._end)
            self._read(self._end)
        return True

    def _end(self, fault: BaseException | None = None) -> None:
        self._is_over = True
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            self._db.loop.guard(then)
        if fault is not None and not isinstance(fault, StateFault):
            raise fault


def _identity(path: str) -> tuple[int, int]:
    try:
        status = os.lstat(path)
    except OSError:
        return (0, 0)
    return status.st_dev, status.st_ino


def _probe(connection: "Connection") -> None:
    """A write that checks whether there is room again."""
    connection.execute("UPDATE about SET value = value")
