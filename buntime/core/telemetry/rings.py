"""The last lines of each app in memory: the oldest go first, and the largest rings lose most.

A ring has at most RING_BYTES. If all of them together exceed `limit_bytes`, they are cut to one
height such that three quarters of the limit remain: an app that prints much takes nothing from
those that print little. The next cut comes only after a quarter of `limit_bytes` was added, so its
cost per line is negligible.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from buntime.core.telemetry.applines import seq_of

RING_BYTES = 512 * 1024
ALL_BYTES = 32 * 1024 * 1024
# Python's overhead for each line: a bytes object and its place; a deque with its entry.
LINE_OVERHEAD_BYTES = 48
RING_OVERHEAD_BYTES = 1024


class Ring:
    """The last lines of one app, ordered by number."""

    __slots__ = ("gone", "last", "lines", "size_bytes")

    def __init__(self, gone: int) -> None:
        self.lines: deque[bytes] = deque()
        self.size_bytes = RING_OVERHEAD_BYTES
        self.gone = gone  # lines up to this number, if there were any, are no longer here
        self.last = gone  # the number of the newest line

    def __repr__(self) -> str:
        return f"Ring({len(self.lines)} lines, {self.size_bytes} bytes)"

    def add(self, lines: Sequence[bytes], last: int) -> None:
        """Add lines; the newest one has the number `last`."""
        self.lines.extend(lines)
        self.last = last
        self.size_bytes += sum(map(len, lines)) + LINE_OVERHEAD_BYTES * len(lines)
        if self.size_bytes > RING_BYTES:
            self.cut(RING_BYTES)

    def cut(self, size_bytes: int) -> None:
        """Keep no more than this many bytes."""
        line = b""
        while self.lines and self.size_bytes > size_bytes:
            line = self.lines.popleft()
            self.size_bytes -= len(line) + LINE_OVERHEAD_BYTES
        if line:
            self.gone = seq_of(line)

    def after(self, seq: int) -> list[bytes]:
        """The lines with larger numbers, in order."""
        if self.last <= seq:
            return []
        if self.gone >= seq:
            return list(self.lines)
        found: list[bytes] = []
        for line in reversed(self.lines):
            if seq_of(line) <= seq:
                break
            found.append(line)
        found.reverse()
        return found


class Rings:
    """The rings of all apps, by name."""

    def __init__(self, limit_bytes: int = ALL_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._rings: dict[str, Ring] = {}
        self.size_bytes = 0

    def __repr__(self) -> str:
        return f"Rings({len(self._rings)} apps, {self.size_bytes} bytes)"

    def __len__(self) -> int:
        return len(self._rings)

    def get(self, app: str) -> Ring | None:
        return self._rings.get(app)

    def names(self) -> Iterable[str]:
        """All apps with lines, in no particular order."""
        return list(self._rings)

    def add(self, app: str, lines: Sequence[bytes], last: int) -> None:
        """Add lines of an app; the newest one has the number `last`."""
        ring = self._rings.get(app)
        if ring is None:
            ring = self._rings[app] = Ring(seq_of(lines[0]) - 1)
            self.size_bytes += RING_OVERHEAD_BYTES
        before = ring.size_bytes
        ring.add(lines, last)
        self.size_bytes += ring.size_bytes - before
        if self.size_bytes > self._limit_bytes:
            self._level()

    def drop_before(self, seq: int) -> None:
        """Forget the apps without a line since this number."""
        for app in [app for app, ring in self._rings.items() if ring.last < seq]:
            self._drop(app)

    def _level(self) -> None:
        """Cut all to one height; if there are too many apps, drop those silent for longest."""
        goal = self._limit_bytes * 3 // 4
        silent = sorted(self._rings, key=lambda app: self._rings[app].last, reverse=True)
        while len(self._rings) * RING_OVERHEAD_BYTES * 2 > goal:
            self._drop(silent.pop())
        height = _height([ring.size_bytes for ring in self._rings.values()], goal)
        for ring in self._rings.values():
            if ring.size_bytes > height:
                self.size_bytes -= ring.size_bytes
                ring.cut(height)
                self.size_bytes += ring.size_bytes

    def _drop(self, app: str) -> None:
        self.size_bytes -= self._rings.pop(app).size_bytes


def _height(sizes: list[int], goal: int) -> int:
    """The height to cut the largest to, so that all together are `goal`.

    `[1, 2, 9, 9]`, 15 -> 6
    """
    left, waiting = goal, len(sizes)
    for size in sorted(sizes):
        share = left // waiting
        if size > share:
            return share
        left -= size
        waiting -= 1
    return goal
