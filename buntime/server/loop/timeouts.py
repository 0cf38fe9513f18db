"""Deadlines of the loop, many of which have the same delay."""

from collections.abc import Callable, Iterator
from itertools import islice

from buntime.core.values.protocols import Protocol


class Expiring(Protocol):
    """Something that can be in a TimeoutQueue."""

    def on_timeout(self) -> None: ...


class Host(Protocol):
    """What a queue needs of the loop that calls `expire`."""

    now: float

    def guard(self, callback: Callable[[], None]) -> bool: ...
    def tick_soon(self) -> None: ...


class TimeoutQueue:
    """Deadlines with the same delay, so they expire in the order in which they were started.

    This is a dict in insertion order: a start and a stop cost 0.1 us each. A heap would keep every
    stopped entry until its time came (300,000 of them at 10,000 requests a second).
    """

    __slots__ = ("_loop", "deadlines", "duration_s")

    def __init__(self, loop: Host, duration_s: float) -> None:
        self._loop = loop
        self.deadlines: dict[Expiring, float] = {}  # never replaced: the loop holds it too
        self.duration_s = duration_s  # of all that run: they are in the order of their starts

    def start(self, who: Expiring) -> None:
        """(Re)start the timeout of `who`."""
        self.deadlines.pop(who, None)
        self.deadlines[who] = self._loop.now + self.duration_s

    def stop(self, who: Expiring) -> None:
        self.deadlines.pop(who, None)

    def change_duration(self, duration_s: float) -> None:
        """Timeouts take this long, counted from their start; running ones too."""
        more_s, self.duration_s = duration_s - self.duration_s, duration_s
        if more_s:
            for who in self.deadlines:
                self.deadlines[who] += more_s
            self._loop.tick_soon()

    def oldest(self) -> Expiring:
        """The entry that was started first. The queue must not be empty."""
        return next(iter(self.deadlines))

    def eldest(self, most: int) -> Iterator[tuple[Expiring, float]]:
        """The first `most` entries, with the time each was started, in the loop's seconds.

        The queue must not change while they are looked at.
        """
        for who, at in islice(self.deadlines.items(), most):
            yield who, at - self.duration_s

    def oldest_s(self) -> float:
        """When the oldest entry was started, in the loop's seconds."""
        return self.deadlines[self.oldest()] - self.duration_s

    def started_s(self, who: Expiring) -> float:
        """When `who` was last started, in the loop's seconds; `who` must be in the queue."""
        return self.deadlines[who] - self.duration_s

    def expire(self, now: float) -> None:
        """Call every entry that is due, the earliest first."""
        while self.deadlines:
            who = next(iter(self.deadlines))
            if self.deadlines[who] > now:
                return
            del self.deadlines[who]
            self._loop.guard(who.on_timeout)

    def __len__(self) -> int:
        return len(self.deadlines)
