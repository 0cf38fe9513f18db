"""The minimum transfer rate of clients while shared resources are scarce, measured by periods.

A paused video or a slow phone is no attack, so being slow normally costs nobody anything. It only
matters while more than half is used of what everybody shares: connections, the memory for
unfinished bodies and for answers not yet taken, the slots of requests that occupy a worker; or
while other requests wait for a place in the workers of the same app. Then each client that the
runtime waits for must move LEAST_BYTES_PER_S, on average over PERIOD_S or more.

At each look, the owner of the connections reports the clients that are waited for, and how much
each has moved in total. A client that is not waited for at a look starts over, and all do where
nothing is scarce.
"""

from collections.abc import Hashable

from buntime.core.values.tuples import NamedTuple

LEAST_BYTES_PER_S = 500
PERIOD_S = 5.0


class Shortage(NamedTuple):
    """Which resources are more than half used, and which apps' workers have no place left."""

    of_connections: bool
    of_memory: bool  # for unfinished bodies
    of_answers: bool  # memory for answers whose workers may end before clients take them
    of_slots: bool
    of_places: frozenset[str] = frozenset()  # keys of apps with a ttl above 0


def is_short(taken: int, limit: int) -> bool:
    """Is more than half used?"""
    return 2 * taken > limit


class LeastRates:
    """The rates of the clients that are waited for."""

    __slots__ = ("_before", "_now")

    def __init__(self) -> None:
        self._before: dict[Hashable, tuple[float, int]] = {}  # from the last look
        self._now: dict[Hashable, tuple[float, int]] = {}  # from this look

    def __repr__(self) -> str:
        return f"LeastRates({len(self._before)} are waited for)"

    def is_too_slow(self, who: Hashable, moved_bytes: int, now: float) -> bool:
        """Report a client that is waited for. Has it moved too little for a whole period?"""
        since_s, start_bytes = self._before.get(who, (now, moved_bytes))
        passed_s = now - since_s
        if passed_s < PERIOD_S:
            self._now[who] = since_s, start_bytes
            return False
        self._now[who] = now, moved_bytes
        return moved_bytes - start_bytes < LEAST_BYTES_PER_S * passed_s

    def end_look(self) -> None:
        """All clients that are waited for have been reported."""
        self._before, self._now = self._now, {}

    def forget(self) -> None:
        """Nothing is scarce: all start over."""
        self._before, self._now = {}, {}
