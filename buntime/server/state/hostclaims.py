"""Which app had a host first, kept in state.db, so that the app keeps it while it is away.

The claims are read when the database has been opened; requests for hosts wait for that at a start.
Nothing is recorded before, or without a database: then apps have hosts in their order, as in
development.
"""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from buntime.core.telemetry.records import Tell
from buntime.server.state.statedb import FirstRead, StateDb

if TYPE_CHECKING:
    from sqlite3 import Connection


def _ignore(fault: BaseException | None) -> None:
    """The database itself reports what is wrong with it."""


class HostClaims:
    """The stored holders of hosts. Used on the loop's thread."""

    def __init__(self, db: StateDb, *, tell: Tell) -> None:
        """`tell` is called for each host whose holder has changed."""
        self.holders: Mapping[str, str] = {}
        self.since: Mapping[str, float] = {}  # in seconds since 1970
        self._is_known = False  # what is kept
        self._db = db
        self._tell = tell
        self._followers: list[Callable[[], None]] = []
        self._first_read = FirstRead(db, self._read)
        db.follow(self._read)

    def __repr__(self) -> str:
        return f"HostClaims({len(self.holders)} hosts)"

    def follow(self, callback: Callable[[], None]) -> None:
        """Call it when the known holders of hosts have changed."""
        self._followers.append(callback)

    def waits(self, then: Callable[[], None]) -> bool:
        """Whether the claims are not read yet, as at a start; then `then` is called once they are,
        or cannot be, or after some seconds."""
        return not self._is_known and self._first_read.waits(then)

    def note(self, holders: Mapping[str, str]) -> None:
        """These have the hosts now: store what is new."""
        fresh = {host: app for host, app in holders.items() if self.holders.get(host) != app}
        if not self._is_known or not fresh:
            return
        now = time.time()
        self._take(fresh, now)
        self._db.ask(lambda connection: _write(connection, fresh, now), self._on_written)

    def move(
        self,
        host: str,
        app: str,
        keep: Callable[["Connection", str | None], None],
        then: Callable[[BaseException | None], None],
    ) -> None:
        """Give the host to another app permanently; `then` is told when that is done, or why not.

        `keep` is called within the transaction, with the stored holder.
        """
        now = time.time()

        def work(connection: "Connection") -> None:
            row = connection.execute("SELECT app FROM hosts WHERE host = ?", (host,)).fetchone()
            keep(connection, row[0] if row is not None else None)
            _write(connection, {host: app}, now)

        def done(fault: BaseException | None) -> None:
            if fault is None:
                self._take({host: app}, now)
                for callback in self._followers:
                    callback()
            then(fault)

        self._db.ask(work, done)

    def _take(self, fresh: Mapping[str, str], now_s: float) -> None:
        for host, app in fresh.items():
            if host in self.holders:
                self._tell(
                    "host.moved",
                    "a host now belongs to another app",
                    host=host,
                    app=app,
                    before=self.holders[host],
                )
        self.holders = {**self.holders, **fresh}
        self.since = {**self.since, **dict.fromkeys(fresh, now_s)}

    def _read(self, then: Callable[[BaseException | None], None] = _ignore) -> None:
        def have(found: dict[str, tuple[str, float]] | BaseException) -> None:
            if isinstance(found, BaseException):
                then(found)
            else:
                self._have(found)
                then(None)

        self._db.ask(_all, have)

    def _have(self, found: dict[str, tuple[str, float]]) -> None:
        # What was recorded since, and could not be written, must be written again.
        self._is_known = True
        self.holders = {host: app for host, (app, _) in found.items()}
        self.since = {host: since for host, (_, since) in found.items()}
        for callback in self._followers:
            callback()

    def _on_written(self, failed: BaseException | None) -> None:
        if failed is not None:
            self._is_known = False  # read again, and recorded again, when the file is available


# The database's thread


def _all(connection: "Connection") -> dict[str, tuple[str, float]]:
    rows = connection.execute("SELECT host, app, since FROM hosts")
    return {host: (app, since) for host, app, since in rows}


def _write(connection: "Connection", holders: Mapping[str, str], now_s: float) -> None:
    connection.executemany(
        "INSERT INTO hosts VALUES (?, ?, ?) "
        "ON CONFLICT (host) DO UPDATE SET app = excluded.app, since = excluded.since",
        [(host, app, now_s) for host, app in holders.items()],
    )
