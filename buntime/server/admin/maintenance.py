"""Apps that operators have closed for a while: visitors get 503, and when to come again.

Kept in state.db. Serving does not wait for the database; at a start the first requests of apps wait
until it is known which are closed.
"""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from buntime.core.errors import ServerFault
from buntime.core.values.tuples import NamedTuple
from buntime.server.state.statedb import FirstRead, StateDb

if TYPE_CHECKING:
    from sqlite3 import Connection

Keep = Callable[["Connection"], None]  # within the transaction of a change, before it

MESSAGE = "this app is being worked on; try again later"
RETRY_AFTER_S = 300


class Closed(NamedTuple):
    """Since when (seconds since 1970), what visitors are told, and when they may come again."""

    since_s: float
    message: str = MESSAGE
    retry_after_s: int = RETRY_AFTER_S

    def to_json(self) -> dict[str, object]:
        """As the API shows it."""
        return {
            "since": round(self.since_s, 3),
            "message": self.message,
            "retryAfterSeconds": self.retry_after_s,
        }

    def fault(self) -> ServerFault:
        """What a visitor gets."""
        after = (("Retry-After", str(self.retry_after_s)),)
        return ServerFault(503, "maintenance", self.message, headers=after)


def _ignore(fault: BaseException | None) -> None:
    """The database itself reports what is wrong with it."""


class Maintenance:
    """The closed apps, by name. Used on the loop's thread."""

    def __init__(self, db: StateDb) -> None:
        self._db = db
        self._closed: dict[str, Closed] = {}
        self._followers: list[Callable[[], None]] = []
        self.is_known = db.is_off  # which are closed?
        self._first_read = FirstRead(db, self._read)
        db.follow(self._read)

    def __repr__(self) -> str:
        return f"Maintenance({', '.join(self._closed) or 'none'})"

    def waits(self, then: Callable[[], None]) -> bool:
        """Whether it is not read yet, at a start, which apps are closed; then `then` is called once
        it is, or cannot be, or after some seconds."""
        return not self.is_known and self._first_read.waits(then)

    def of(self, app: str) -> Closed | None:
        """How an app is closed; None if it is open."""
        return self._closed.get(app)

    @property
    def closed(self) -> Mapping[str, Closed]:
        """All closed apps, by name."""
        return self._closed

    def follow(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the set of closed apps changes."""
        self._followers.append(callback)

    def close(
        self,
        app: str,
        message: str,
        retry_after_s: int,
        noted: Callable[[Closed], Keep],
        then: Callable[[Closed | BaseException], None],
    ) -> None:
        """Close an app once that is kept; an app that is closed already keeps its start time.

        `noted` makes what is kept with it: both or neither.
        """
        known = self._closed.get(app)
        closed = Closed(known.since_s if known else time.time(), message, retry_after_s)
        keep = noted(closed)

        def work(connection: "Connection") -> None:
            keep(connection)
            _write(connection, app, closed)

        self._db.ask(work, lambda failed: self._done(app, closed, failed, then))

    def open(self, app: str, keep: Keep, then: Callable[[BaseException | None], None]) -> None:
        """Let visitors in again; `keep` is like what `noted` makes for `close`."""

        def work(connection: "Connection") -> None:
            keep(connection)
            _remove(connection, app=app)

        def done(failed: BaseException | None) -> None:
            self._done(app, None, failed, lambda result: then(_error_in(result)))

        self._db.ask(work, done)

    def _done(
        self,
        app: str,
        closed: Closed | None,
        failed: BaseException | None,
        then: Callable[..., None],
    ) -> None:
        if failed is not None:
            then(failed)
            return
        if closed is None:
            self._closed.pop(app, None)
        else:
            self._closed[app] = closed
        self._tell()
        then(closed)

    def _read(self, then: Callable[[BaseException | None], None] = _ignore) -> None:
        def have(found: dict[str, Closed] | BaseException) -> None:
            if isinstance(found, BaseException):
                then(found)
                return
            if not self.is_known or found != self._closed:
                self.is_known, self._closed = True, found
                self._tell()
            then(None)

        self._db.ask(_all, have)

    def _tell(self) -> None:
        for callback in self._followers:
            callback()


def _error_in(result: object) -> BaseException | None:
    return result if isinstance(result, BaseException) else None


# The database's thread


def _all(connection: "Connection") -> dict[str, Closed]:
    rows = connection.execute("SELECT app, since, message, retry_after FROM maintenance")
    return {app: Closed(since, message, after) for app, since, message, after in rows}


def kept_of(connection: "Connection", app: str) -> Closed | None:
    """The state of one app, within a transaction."""
    row = connection.execute(
        "SELECT since, message, retry_after FROM maintenance WHERE app = ?", (app,)
    ).fetchone()
    return Closed(*row) if row is not None else None


def _write(connection: "Connection", app: str, closed: Closed) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO maintenance (app, since, message, retry_after) VALUES (?, ?, ?, ?)",
        (app, *closed),
    )


def _remove(connection: "Connection", *, app: str) -> None:
    connection.execute("DELETE FROM maintenance WHERE app = ?", (app,))
