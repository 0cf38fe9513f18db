"""Tells when a silent WebSocket is to be pinged, and when its peer is taken for dead.

    traffic ... interval ... PING ... interval ... PING ... interval ... DEAD

Anything received is a sign of life, so a busy connection is never pinged. What this does not
model: that nothing is received because the runtime does not read. While it does not, on purpose,
or while the peer still takes what is sent, call `on_traffic`: that silence is not the peer's.
"""

import math
from enum import Enum, auto

UNANSWERED_MAX = 2


class Beat(Enum):
    """What is to be done now."""

    NOTHING = auto()
    PING = auto()
    DEAD = auto()


class Heartbeat:
    """The clock of one connection; times are in seconds, monotonic."""

    __slots__ = ("_interval_s", "_unanswered", "due_at")

    def __init__(self, interval_s: float, now: float) -> None:
        """An `interval_s` of 0 means no pings: a connection may then be silent for ever."""
        self._interval_s = interval_s or math.inf
        self._unanswered = 0
        self.due_at = now + self._interval_s  # `due` says NOTHING before

    def __repr__(self) -> str:
        return f"Heartbeat({self._unanswered} unanswered, due at {self.due_at})"

    def on_traffic(self, now: float) -> None:
        """The peer lives: it sent something, be it a pong."""
        self._unanswered = 0
        self.due_at = now + self._interval_s

    def due(self, now: float) -> Beat:
        """What is due; a PING told is counted as sent."""
        if now < self.due_at:
            return Beat.NOTHING
        if self._unanswered == UNANSWERED_MAX:
            return Beat.DEAD
        self._unanswered += 1
        self.due_at = now + self._interval_s
        return Beat.PING
