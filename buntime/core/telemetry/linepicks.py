"""Picks the first or the last lines of many apps' logs, by their numbers, within bounds.

The logs are read one after the other; each is in the order of its numbers. What is picked is the
same as if they were merged first, with no more in memory than what is picked.
"""

import heapq

from buntime.core.values.tuples import NamedTuple


class Bounds(NamedTuple):
    """How much is picked at once; at least one line."""

    lines: int
    size_bytes: int


class _Lines:
    """What both have: a heap with the line in front that goes first."""

    _sign: int  # of a line's number in the heap, whose smallest is in front

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._heap: list[tuple[int, bytes]] = []
        self._size_bytes = 0
        self.has_more = False  # were there others?

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
        """In the order of their numbers."""
        return [line for _, line in sorted(self._heap, reverse=self._sign < 0)]


class FirstLines(_Lines):
    """Picks the lines with the smallest numbers, of those put in."""

    _sign = -1

    def wants(self, seq: int) -> bool:
        """Would a line with this number be picked, as it stands now?"""
        return not self.has_more or seq < -self._heap[0][0]


class LastLines(_Lines):
    """Picks the lines with the largest numbers, of those put in."""

    _sign = 1

    def wants(self, seq: int) -> bool:
        """Would a line with this number be picked, as it stands now?"""
        is_full = self.has_more or len(self._heap) >= self._bounds.lines
        return not is_full or seq > self._heap[0][0]
