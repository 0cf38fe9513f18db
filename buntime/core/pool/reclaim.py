"""Which slow clients lose their workers while other requests wait for one.

A worker of one request that only waits for its client has lent its slot, but no more than a few
slots are lent (`PoolLimits.lent`). Where more clients than that are slow, others would wait for
them. Then the slowest clients are ended, as many as there are requests that wait because of them.

Who moves PACE_BYTES_PER_S, in either direction, is not ended before others have waited for a
second; then this pace grows with the seconds that others have waited, since a handful of clients at
any given pace could keep all workers as long as they like. Each client has an allowance that its
bytes fill and that time uses up at this pace; only a client that has used it up may be ended. It
begins with FIRST_S, which is how long others usually wait at most. What has moved counts for up to
MOST_S, because bytes arrive in bursts: a receiver that is full makes room in large steps.

Not modelled here: how bytes are counted, and what ends a client.
"""

from collections.abc import Hashable

PACE_BYTES_PER_S = 32 * 1024  # 256 kbit/s
FIRST_S = 0.75
MOST_S = 4.0


class _Pace:
    """One client's allowance at the last look."""

    __slots__ = ("allowance_bytes", "is_slow", "moved_bytes", "seen_s")

    def __init__(self, moved_bytes: int, now: float) -> None:
        self.allowance_bytes = FIRST_S * PACE_BYTES_PER_S
        self.moved_bytes = moved_bytes
        self.seen_s = now
        self.is_slow = False


class Reclaim:
    """The clients whose workers have waited for them, until their requests are over."""

    def __init__(self) -> None:
        self._paces: dict[Hashable, _Pace] = {}

    def __repr__(self) -> str:
        return f"Reclaim({len(self._paces)} have been waited for)"

    def __len__(self) -> int:
        return len(self._paces)

    def add(self, who: Hashable, moved_bytes: int, now: float) -> None:
        """A worker waits for this client. The first time counts."""
        if who not in self._paces:
            self._paces[who] = _Pace(moved_bytes, now)

    def remove(self, who: Hashable) -> None:
        """The client's request has no worker any more."""
        del self._paces[who]

    def look(
        self, who: Hashable, moved_bytes: int, now: float, *, is_awaited: bool, waited_s: float = 0
    ) -> None:
        """How much the client has moved in total, and whether its worker waits for it right now.

        While it does not, time uses up nothing. `waited_s`: how long others have waited.
        """
        pace = self._paces[who]
        passed_s = now - pace.seen_s if is_awaited else 0.0
        allowance = pace.allowance_bytes + moved_bytes - pace.moved_bytes
        allowance -= passed_s * PACE_BYTES_PER_S * max(1.0, waited_s)
        most = MOST_S * PACE_BYTES_PER_S
        pace.allowance_bytes = min(most, max(-most, allowance))
        pace.is_slow = is_awaited and pace.allowance_bytes <= 0
        pace.moved_bytes, pace.seen_s = moved_bytes, now

    def slowest(self, most: int) -> list[Hashable]:
        """Up to so many clients that are too slow, the slowest first; of equals the one that has
        been waited for longest."""
        if most <= 0:
            return []
        slow = [who for who, pace in self._paces.items() if pace.is_slow]
        return sorted(slow, key=lambda who: self._paces[who].allowance_bytes)[:most]
