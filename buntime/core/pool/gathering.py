"""Which requests wait for their bodies before a worker of one request has them.

Such workers are few at a time, so one that waits for a slow client keeps others from theirs. A
request is given away when all of its body has come, or as much as a worker takes unread; or when
nothing more has come for PAUSE_S, as the client may wait for an answer first. Of those that have a
worker and lack some of their body so, there are fewer than half of the slots, but for one. They go
one after the other, SPACING_S apart: each takes a spare, and many that pause together would take
all spares from requests that lack nothing.

Bodies that hooks of plugins look at count as well, for as long as they are kept.

Not modelled here: when something has come, and how much is enough.
"""

from collections.abc import Callable, Hashable

PAUSE_S = 1.0
SPACING_S = 0.25  # more than it takes to start the next spare
# of bodies that are waited for, in all; half a million small ones, or 512 that are nearly enough
MEMORY_MAX_BYTES = 64 * 1024 * 1024


class Gathering:
    """The requests that wait, by what has come of them, and those that went without all of it."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._waiting: dict[Hashable, int] = {}
        self._lacking: dict[Hashable, None] = {}
        self._went_s = float("-inf")  # when the last of them went

    def __repr__(self) -> str:
        return f"Gathering({len(self._waiting)} wait, {len(self._lacking)} lack some)"

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_pressed(self) -> bool:
        """Is more than half of the memory taken?"""
        return self.size_bytes > MEMORY_MAX_BYTES // 2

    def take(self, request: Hashable, size_bytes: int) -> bool:
        """So much has come of the request's body by now; False where there is no memory for it."""
        self.size_bytes += size_bytes - self._waiting.get(request, 0)
        self._waiting[request] = size_bytes
        return self.size_bytes <= MEMORY_MAX_BYTES

    def drop(self, request: Hashable) -> None:
        """The request waits no more."""
        self.size_bytes -= self._waiting.pop(request)

    def may_go(self, slots: int, lacks: Callable[[Hashable], bool], now: float) -> bool:
        """May one more request have a worker that lacks some of its body?

        `lacks(request)` tells if one that went before still does.
        """
        if now - self._went_s < SPACING_S:
            return False
        self._lacking = {each: None for each in self._lacking if lacks(each)}
        return len(self._lacking) < max(1, slots // 2)

    def let_go(self, request: Hashable, now: float) -> None:
        """The request gets a worker though it lacks some of its body; see `may_go`."""
        self.drop(request)
        self._lacking[request] = None
        self._went_s = now
