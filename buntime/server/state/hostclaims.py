"""Which app had a host first, kept in state.db, so that it stays that app's while it is away.

What is there is read when the database has been opened; nothing is noted before, nor where there is
none: then apps have hosts in their order, as in development.
"""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from buntime.core.telemetry.records import Tell
from buntime.server.state.statedb import StateDb

if TYPE_CHECKING:
    from sqlite3 import Connection


class HostClaims:
    """The holders of hosts, as they are kept. Used on the loop's thread."""

    def __init__(self, db: StateDb, *, tell: Tell) -> None:
        """`tell` is told of each host that has another holder than before."""
        self.holders: Mapping[str, str] = {}
        self._db = db
        self._tell = tell
        self._is_known = False  # what is kept
        self._followers: list[Callable[[], None]] = []
        db.follow(self._read)

    def __repr__(self) -> str:
        return f"HostClaims({len(self.holders)} hosts)"

    def follow(self, callback: Callable[[], None]) -> None:
        """Have it called when others are known to have had hosts."""
        self._followers.append(callback)

    def note(self, holders: Mapping[str, str]) -> None:
        """These have them now: what is new of it is kept."""
        fresh = {host: app for host, app in holders.items() if self.holders.get(host) != app}
        if not self._is_known or not fresh:
            return
        for host, app in fresh.items():
            if host in self.holders:
                self._tell(
                    "host.moved",
                    "a host has another app than before",
                    host=host,
                    app=app,
                    before=self.holders[host],
                )
        self.holders = {**self.holders, **fresh}
        self._db.ask(lambda connection: _write(connection, fresh), self._on_written)

    def _read(self) -> None:
        self._db.ask(_all, self._have)

    def _have(self, found: dict[str, str] | BaseException) -> None:
        if isinstance(found, BaseException):
            return  # the database tells what is wrong with it
        # What was noted since, and could not be written, is to be written again.
        self._is_known, self.holders = True, found
        for callback in self._followers:
            callback()

    def _on_written(self, failed: BaseException | None) -> None:
        if failed is not None:
            self._is_known = False  # read again, and noted again, when the file can be had


# The database's thread


def _all(connection: "Connection") -> dict[str, str]:
    return dict(connection.execute("SELECT host, app FROM hosts").fetchall())


def _write(connection: "Connection", holders: Mapping[str, str]) -> None:
    connection.executemany(
        "INSERT INTO hosts VALUES (?, ?, ?) "
        "ON CONFLICT (host) DO UPDATE SET app = excluded.app, since = excluded.since",
        [(host, app, time.time()) for host, app in holders.items()],
    )
