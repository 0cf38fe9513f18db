"""Notices on their way to one plugin: a bounded queue that drops the oldest first.

    put ──> [ oldest ... newest ] ──> take: as lines of the channel, a batch at a time
              drops at its limits; the next notice taken says how many were dropped

Whatever is taken soon goes to the kernel; call `take` when the kernel has accepted the batch
before.
"""

from collections import deque
from collections.abc import Iterator

from buntime import wire

NOTICES_MAX = 1000
BYTES_MAX = wire.MAX_LINE - 1024  # a single one may be as large, and its line has a few words more
# The most notices, and bytes, per batch. A hook's question waits behind them.
_BATCH = 50
_BATCH_BYTES = 64 * 1024


class Outbox:
    """The notices that one plugin has not been sent yet."""

    __slots__ = ("_dropped", "_size_bytes", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._size_bytes = 0
        self._dropped = 0  # since the last one that was taken

    def __repr__(self) -> str:
        return f"Outbox({len(self)} wait, {self._size_bytes} bytes, {self._dropped} dropped)"

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, notice: str, data: bytes) -> int:
        """Add a notice; `data` is JSON. Returns how many were dropped for it."""
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
        """The lines of the next batch; each line taken is removed."""
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
