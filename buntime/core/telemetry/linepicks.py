"""Picks the first or the last lines from many apps' logs, by their numbers, within limits.

The logs are read one after the other; each is ordered by number. The result is the same as if they
were merged first, and only the picked lines are in memory.
"""

import heapq

from buntime.core.values.tuples import NamedTuple


class Bounds(NamedTuple):
    """How much to pick at once; at least one line."""

    lines: int
    size_bytes: int


class _Lines:
    """Common to both: a heap whose first line is the next to be dropped."""

    _sign: int  # of a line's number in the heap, whose smallest entry is in front

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._heap: list[tuple[int, bytes]] = []
        self._size_bytes = 0
        self.has_more = False  # were other lines dropped?

    def put(self, seq: int, line: bytes) -> None:
        heapq.heappush(self._heap, (self._sign * seq, line))
        self._size_bytes += len(line)
        while len(self._heap) > 1 and (
            len(self._heap) > self._bounds.lines or self._size_bytes > self._bounds.size_bytes
        ):
            _, line = heapq.heappop(self._heap)
            self._size_bytes -= len(line)
            self.has_more = True

    def lines(self) -> list[bytes]:
        """The picked lines, ordered by number."""
        return [line for _, line in sorted(self._heap, reverse=self._sign < 0)]


class FirstLines(_Lines):
    """Picks the lines with the smallest numbers."""

    _sign = -1

    def wants(self, seq: int) -> bool:
        """Would a line with this number be picked at the moment?"""
        return not self.has_more or seq < -self._heap[0][0]


class LastLines(_Lines):
    """Picks the lines with the largest numbers."""

    _sign = 1

    def wants(self, seq: int) -> bool:
        """Would a line with this number be picked at the moment?"""
        is_full = self.has_more or len(self._heap) >= self._bounds.lines
        return not is_full or seq > self._heap[0][0]
