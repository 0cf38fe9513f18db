"""How slow a client may be while what it takes is short: a least rate, by periods.

A paused video and a slow phone are no attack, so slowness alone costs nobody anything but his own
time. It counts while more than half is taken of what all share: connections, the memory for bodies
that are waited for and for answers that are not taken, the slots of requests that have a worker of
their own. Then each client that is waited for has to move LEAST_BYTES_PER_S, on an average of
PERIOD_S or more.

Whoever has the connections tells at each look who is waited for, and how much that one has moved
since the beginning. Who is not waited for at a look begins anew, as do all where nothing is short.
"""

from collections.abc import Hashable

from buntime.core.values.tuples import NamedTuple

LEAST_BYTES_PER_S = 500
PERIOD_S = 5.0


class Shortage(NamedTuple):
    """What more than half is taken of."""

    of_connections: bool
    of_memory: bool  # for bodies that are waited for
    of_answers: bool  # memory for answers whose workers may end before they are taken
    of_slots: bool


def is_short(taken: int, limit: int) -> bool:
    """Is more than half taken?"""
    return 2 * taken > limit


class LeastRates:
    """The paces of those who are waited for."""

    __slots__ = ("_before", "_now")

    def __init__(self) -> None:
        self._before: dict[Hashable, tuple[float, int]] = {}  # of the last look
        self._now: dict[Hashable, tuple[float, int]] = {}  # of this one

    def __repr__(self) -> str:
        return f"LeastRates({len(self._before)} are waited for)"

    def is_too_slow(self, who: Hashable, moved_bytes: int, now: float) -> bool:
        """Who is waited for, at this look; has it moved too little for a whole period?"""
        since_s, start_bytes = self._before.get(who, (now, moved_bytes))
        passed_s = now - since_s
        if passed_s < PERIOD_S:
            self._now[who] = since_s, start_bytes
            return False
        self._now[who] = now, moved_bytes
        return moved_bytes - start_bytes < LEAST_BYTES_PER_S * passed_s

    def end_look(self) -> None:
        """All who are waited for were told of."""
        self._before, self._now = self._now, {}

    def forget(self) -> None:
        """Nothing is short: all begin anew."""
        self._before, self._now = {}, {}
