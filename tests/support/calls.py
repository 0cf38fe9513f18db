"""Calls of handlers of the runtime's own pages, without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, cast

from buntime.core.access.guesses import Guesses
from buntime.core.access.keyring import KeyRecord, KeyRing
from buntime.core.access.rights import Caller, admin
from buntime.core.admin.query import read_query
from buntime.core.admin.route import Route
from buntime.core.errors import StateFault
from buntime.core.settings.live import LiveSettings
from buntime.server.admin.call import Call
from buntime.server.admin.gate import Gate
from buntime.server.admin.latesessions import LateSessions, SessionParts
from buntime.server.admin.openings import Openings
from buntime.server.http1.exchange import Exchange
from tests.support.exchanges import FakeLoop

GET = Route(method="GET", path="/api/some", verb="apps:read", name="some.show", summary="Some.")
POST = Route(method="POST", path="/api/some", verb="apps:read", name="some.make", summary="Some.")
ADMIN = admin("master", "master")


def call_of(exchange: Exchange, route: Route = GET, caller: Caller = ADMIN, **values: str) -> Call:
    """What a handler gets for this request once the checks have passed."""
    return Call(exchange, route, values, read_query(route, exchange.head.query), caller)


class FakeKeys:
    """Keys that are not on disk."""

    def __init__(self, *records: KeyRecord) -> None:
        self.ring = KeyRing(records)
        self.is_known = True
        self.now = 1_800_000_000.0
        self._followers: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self.ring)

    def know(self, then: Callable[[BaseException | None], None]) -> None:
        then(None)

    def clock(self) -> float:
        return self.now

    def find(self, headers: Iterable[tuple[str, str]]) -> KeyRecord | None:
        return self.ring.find(headers)

    def follow(self, callback: Callable[[], None]) -> None:
        self._followers.append(callback)

    def follow_each(self, callback: Callable[[], None]) -> None:
        self._followers.append(callback)

    def put(self, record: KeyRecord) -> None:
        self.ring.put(record)
        for callback in self._followers:
            callback()


class NoDb:
    """A state.db that cannot be used."""

    trouble = "there is none"

    def follow(self, callback: Callable[[], None]) -> None:
        """Never called back: the database never opens."""

    def ask(self, work: Any, then: Callable[[Any], None]) -> None:
        then(StateFault(self.trouble))


def gate_of(
    live: LiveSettings,
    keys: FakeKeys | None = None,
    local_key: str | None = None,
    *,
    local: Any = None,
) -> Gate:
    """A gate that knows the settings' master key, these keys, and the given key as the local key
    file's.

    Pass `local` instead for a local key that changes: an object with the key in `value`.
    """
    local = local or SimpleNamespace(value=local_key)
    keys = FakeKeys() if keys is None else keys
    sessions = LateSessions(
        SessionParts(cast(Any, FakeLoop()), cast(Any, None), cast(Any, NoDb()), live, keys, local)
    )
    openings = Openings(cast(Any, FakeLoop()))
    return Gate(
        live, keys, guesses=Guesses(), local_key=local, sessions=sessions, openings=openings
    )
