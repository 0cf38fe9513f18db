"""Decides when to ping a silent WebSocket, and when to give up on its peer.

    traffic ... interval ... PING ... interval ... PING ... interval ... DEAD

Anything received is a sign of life, so a busy connection is never pinged. Not modelled: that
nothing is received because the runtime does not read. While it does not read, on purpose, or while
the peer is still taking what is sent, call `on_traffic`: that silence is not the peer's.
"""

import math

from buntime.core.values.enums import Enum, auto

UNANSWERED_MAX = 2


class Beat(Enum):
    """What to do now."""

    NOTHING = auto()
    PING = auto()
    DEAD = auto()


class Heartbeat:
    """The clock of one connection; times are in seconds, monotonic."""

    __slots__ = ("_interval_s", "_unanswered", "due_at")

    def __init__(self, interval_s: float, now: float) -> None:
        """An `interval_s` of 0 means no pings: a connection may then be silent forever."""
        self._interval_s = interval_s or math.inf
        self._unanswered = 0
        self.due_at = now + self._interval_s  # before this, `due` returns NOTHING

    def __repr__(self) -> str:
        return f"Heartbeat({self._unanswered} unanswered, due at {self.due_at})"

    def on_traffic(self, now: float) -> None:
        """The peer is alive: it sent something, even if only a pong."""
        self._unanswered = 0
        self.due_at = now + self._interval_s

    def due(self, now: float) -> Beat:
        """What is due. A returned PING counts as sent."""
        if now < self.due_at:
            return Beat.NOTHING
        if self._unanswered == UNANSWERED_MAX:
            return Beat.DEAD
        self._unanswered += 1
        self.due_at = now + self._interval_s
        return Beat.PING
