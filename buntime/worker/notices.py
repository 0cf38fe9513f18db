"""Notices that wait for their hooks, which run one after the other.

A hook may hang while more come: then the oldest are dropped and counted.
"""

from __future__ import annotations

from _thread import allocate_lock

from buntime.wire import to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque

    from buntime.wire import Message
else:
    from _collections import deque

NOTICES_MAX = 1000
BYTES_MAX = 1024 * 1024


class Waiting:
    """The notices of one plugin. Used by the reader of the channel and by the runner of the
    hooks."""

    def __init__(self) -> None:
        self._mutex = allocate_lock()
        self._waiting: deque[tuple[Message, int]] = deque()
        self._size_bytes = 0
        self._dropped = 0
        self._is_at_it = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Message) -> bool:
        """Queue a NOTICE; True if no hook runs, so that the caller must start one."""
        size_bytes = len(to_json(message["data"]))
        with self._mutex:
            self._waiting.append((message, size_bytes))
            self._size_bytes += size_bytes
            while len(self._waiting) > NOTICES_MAX or self._size_bytes > BYTES_MAX:
                oldest, size_bytes = self._waiting.popleft()
                self._size_bytes -= size_bytes
                self._dropped += 1 + oldest.get("dropped", 0)
            was_at_it, self._is_at_it = self._is_at_it, True
        return not was_at_it

    def take(self) -> Message | None:
        """Take the next, with the number dropped before it; None at the end."""
        with self._mutex:
            if not self._waiting:
                self._is_at_it = False
                return None
            message, size_bytes = self._waiting.popleft()
            self._size_bytes -= size_bytes
            dropped, self._dropped = self._dropped, 0
        if dropped:
            message["dropped"] = dropped + message.get("dropped", 0)
        return message
