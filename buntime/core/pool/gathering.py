"""Which requests wait for their bodies before a worker of one request gets them.

There are few such workers at a time, so one that waits for a slow client keeps others from theirs.
A request is handed over when its whole body has arrived, or as much as a worker takes unread; or
when nothing more has arrived for PAUSE_S, because the client may be waiting for an answer first.
Requests that got a worker with part of their body missing may take fewer than half of the slots, or
one. They are handed over SPACING_S apart: each takes a spare, and many that pause together would
take all spares from requests that are complete.

Bodies that hooks of plugins look at count as well, for as long as they are kept.

Not modelled here: when something has arrived, and how much is enough.
"""

from collections.abc import Callable, Hashable

PAUSE_S = 1.0
SPACING_S = 0.25  # longer than it takes to start the next spare
# For all unfinished bodies: half a million small ones, or 512 that are nearly complete
MEMORY_MAX_BYTES = 64 * 1024 * 1024


class Gathering:
    """The waiting requests, by how much has arrived, and those handed over with an incomplete
    body."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._waiting: dict[Hashable, int] = {}
        self._lacking: dict[Hashable, None] = {}
        self._went_s = float("-inf")  # when the last one was handed over

    def __repr__(self) -> str:
        return f"Gathering({len(self._waiting)} wait, {len(self._lacking)} lack some)"

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_pressed(self) -> bool:
        """Is more than half of the memory used?"""
        return self.size_bytes > MEMORY_MAX_BYTES // 2

    def take(self, request: Hashable, size_bytes: int) -> bool:
        """This much of the request's body has arrived; False where there is no memory for it."""
        self.size_bytes += size_bytes - self._waiting.get(request, 0)
        self._waiting[request] = size_bytes
        return self.size_bytes <= MEMORY_MAX_BYTES

    def drop(self, request: Hashable) -> None:
        """The request no longer waits."""
        self.size_bytes -= self._waiting.pop(request)

    def may_go(self, slots: int, lacks: Callable[[Hashable], bool], now: float) -> bool:
        """May one more request have a worker while part of its body is missing?

        `lacks(request)` says whether this still holds for one that was handed over before.
        """
        if now - self._went_s < SPACING_S:
            return False
        self._lacking = {each: None for each in self._lacking if lacks(each)}
        return len(self._lacking) < max(1, slots // 2)

    def let_go(self, request: Hashable, now: float) -> None:
        """The request gets a worker though part of its body is missing; see `may_go`."""
        self.drop(request)
        self._lacking[request] = None
        self._went_s = now
