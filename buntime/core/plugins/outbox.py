"""Notices on their way to one plugin: bounded, in their order, the oldest dropped first.

    put ──> [ oldest ... newest ] ──> take: as lines of the channel, a batch at a time
              dropped at the limits; the next that is taken bears how many were

What is taken is the kernel's soon; `take` is for when it has taken the batch before.
"""

from collections import deque
from collections.abc import Iterator

from buntime import wire

NOTICES_MAX = 1000
BYTES_MAX = 1024 * 1024
# Notices and bytes that are handed on at once. A hook's question waits behind them.
_BATCH = 50
_BATCH_BYTES = 64 * 1024


class Outbox:
    """Notices that one plugin has not been sent yet."""

    __slots__ = ("_dropped", "_size_bytes", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._size_bytes = 0
        self._dropped = 0  # since the last that was taken

    def __repr__(self) -> str:
        return f"Outbox({len(self)} wait, {self._size_bytes} bytes, {self._dropped} dropped)"

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, notice: str, data: bytes) -> int:
        """Have it wait; `data` is JSON. Returns how many were dropped for it."""
        self._waiting.append((notice, data))
        self._size_bytes += len(data)
        dropped = 0
        while len(self._waiting) > NOTICES_MAX or self._size_bytes > BYTES_MAX:
            _, oldest = self._waiting.popleft()
            self._size_bytes -= len(oldest)
            dropped += 1
        self._dropped += dropped
        return dropped

    def take(self) -> Iterator[bytes]:
        """The lines of the next batch; each that is taken waits no more."""
        left_bytes = _BATCH_BYTES
        for _ in range(_BATCH):
            if not self._waiting or left_bytes <= 0:
                return
            notice, data = self._waiting.popleft()
            self._size_bytes -= len(data)
            left_bytes -= len(data)
            dropped, self._dropped = self._dropped, 0
            yield _line(notice, data, dropped)


def _line(notice: str, data: bytes, dropped: int) -> bytes:
    name = wire.to_json(notice)
    more = b',"dropped":%d' % dropped if dropped else b""
    return b'{"type":"NOTICE","notice":%s,"data":%s%s}\n' % (name, data, more)
