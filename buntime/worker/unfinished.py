"""Limits the memory of unfinished messages, over all WebSockets of a worker.

Each may have as many bytes as the runtime allows for a message, 16 MB, and a client's few bytes can
be inflated to that many: forty such messages that are never finished took 600 MB. Together they may
have four times the largest. Once they have more, a WebSocket whose message exceeds its equal share
is closed; so all stay below twice that sum, and clients that send little are not disturbed.
"""

from __future__ import annotations

import _thread

_LARGEST_BYTES = 16 * 1024 * 1024  # the runtime's default
_AT_ONCE = 4


class Unfinished:
    """The bytes that are held, by the id of the WebSocket."""

    def __init__(self) -> None:
        self.largest_bytes = _LARGEST_BYTES
        self._lock = _thread.allocate_lock()  # handlers may be threads
        self._held: dict[int, int] = {}
        self._total = 0

    def may_add(self, key: int, size: int) -> bool:
        """Return whether a piece of this size may be kept, and count it then."""
        with self._lock:
            held = self._held.get(key, 0) + size
            most = _AT_ONCE * self.largest_bytes
            count = len(self._held) + (key not in self._held)
            if count > 1 and self._total + size > most and held > most // count:
                return False
            self._held[key] = held
            self._total += size
            return True

    def drop(self, key: int) -> None:
        """The message is complete, or given up."""
        with self._lock:
            self._total -= self._held.pop(key, 0)


UNFINISHED = Unfinished()
