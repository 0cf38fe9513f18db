"""Operators' sessions, made when the first one is looked for: most starts need none."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from buntime.core.settings.live import LiveSettings
from buntime.core.values.tuples import NamedTuple
from buntime.server.admin.keystore import KeySource
from buntime.server.admin.localkey import LocalKey
from buntime.server.loop.loop import Loop
from buntime.server.state.statedb import StateDb
from buntime.server.telemetry.logs import Log

if TYPE_CHECKING:
    from buntime.server.admin.operatorsessions import OperatorSessions


class SessionParts(NamedTuple):
    """What they are made of."""

    loop: Loop
    log: Log
    db: StateDb
    live: LiveSettings
    keys: KeySource
    local_key: LocalKey


class LateSessions:
    """Hands them out."""

    def __init__(self, parts: SessionParts) -> None:
        self.on_end: Callable[[], None] = _nothing  # called when one has ended
        self._parts = parts
        self._made: OperatorSessions | None = None

    def __repr__(self) -> str:
        return f"LateSessions({self._made!r})"

    @property
    def all(self) -> "OperatorSessions":
        if self._made is None:
            # Few runtimes ever need it.
            from buntime.server.admin.operatorsessions import OperatorSessions

            self._made = OperatorSessions(*self._parts)
            self._made.on_end = self.on_end
        return self._made


def _nothing() -> None:
    """Nobody needs to be told."""
