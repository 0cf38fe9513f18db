"""Room for another client: as many connections as there may be, and who goes for a new one.

At the limit the connection goes that waits for a head the longest; where none does, the one that
is idle the longest: between two requests, or answered for the last time and still sending. Whoever
has a request under way stays. So nobody keeps others out by doing nothing, and many who come at
once and ask for nothing push out one another, not those who were in.

Before all of these one goes who sends no more and may have left, unless it still takes an answer.

Where nobody is idle, one goes who has taken nothing of its answer for a while, the longest one
first; not WebSockets and event streams, which may be as slow as they like.

Where nobody can go, newcomers wait in the kernel's backlog, and the next answer is the last one of
its connection, whatever its client has sent behind that request: those who wait come next.
"""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Protocol, cast

from buntime.core.http1.connection import Due
from buntime.core.values.tally import Tally
from buntime.server.loop import Loop, TimeoutQueue
from buntime.server.telemetry.logs import Log

# What a client may need to send its first bytes in. Else many who connect at once would push out
# one another before any of them is read.
_HEAD_GRACE_S = 0.01
# Who has asked so lately is about to ask again, and does not expect to be closed.
_IDLE_GRACE_S = 0.1
# Who takes nothing for so long is slow, or gone: a lost packet is sent again before.
_STALL_S = 2.0
_TRIES = 8  # of those who are found to have sent a request just now
_TELL_S = 60.0  # between two records of the same kind


class Answering(Protocol):
    """A request under way."""

    is_event_stream: bool

    @property
    def link(self) -> object | None: ...
    def cut(self) -> None: ...


class Displaceable(Protocol):
    """A connection, as far as it can go for another one."""

    exchange: Answering | None

    @property
    def pending_bytes(self) -> int:
        """What waits for its client."""

    def read_ahead(self) -> None:
        """Take what has come of a request and was not read yet."""

    def end_if_idle(self) -> None:
        """Close, unless there is a request."""

    def abort(self) -> None: ...


class Admission:
    """Says whether another connection may be accepted."""

    def __init__(
        self, loop: Loop, log: Log, timeouts: Mapping[Due, TimeoutQueue], count: Callable[[], int]
    ) -> None:
        """`timeouts` have the connections by what they wait for; `count` says how many they are."""
        self._loop = loop
        self._log = log
        self._silent = timeouts[Due.SILENCE]
        self._idle = timeouts[Due.REQUEST]
        self._heads = timeouts[Due.HEAD]
        self._taking = timeouts[Due.SENT]
        self._count = count
        self.connections_max = 1
        self.stall_s = _STALL_S
        self.displaced = Tally(every_s=_TELL_S)
        self._full = Tally(every_s=_TELL_S)
        self._waiting: set[object] = set()
        self.doubtful: dict[object, None] = {}  # connections whose clients may have left
        self.is_crowded = False  # does somebody wait for whom nobody could go?

    def __repr__(self) -> str:
        return f"Admission({self._count()} of {self.connections_max})"

    @property
    def has_room(self) -> bool:
        return self._count() < self.connections_max

    def make_room(self) -> bool:
        """Close one that may have left, or was idle the longest; returns whether one may come."""
        if self.doubtful and self._end_doubtful():
            return True
        for _ in range(_TRIES):
            queue = self._queue_of_longest()
            if queue is None:
                break
            count = self._count()
            self._have_give_way(_first(queue), queue)
            if self._count() < count:
                self._tell_of_displaced()
            if self.has_room:
                return True
        return self._end_stalled()

    def _end_doubtful(self) -> bool:
        """Close one whose client sends no more, and takes nothing; returns whether one may come."""
        for each in islice(self.doubtful, _TRIES):
            who = cast(Displaceable, each)
            if not who.pending_bytes:
                self._loop.guard(who.abort)
                self._tell_of_displaced()
                break
        return self.has_room

    def _end_stalled(self) -> bool:
        """End the one that has taken nothing for the longest; returns whether one may come."""
        now = self._loop.now
        for each, since_s in self._taking.eldest(_TRIES):
            who = cast(Displaceable, each)
            if now - since_s < self.stall_s:
                break
            exchange = who.exchange
            if exchange is None:
                self._loop.guard(who.abort)
            elif exchange.link is None and not exchange.is_event_stream:
                self._loop.guard(exchange.cut)
            else:
                continue
            self._tell_of_displaced()
            break
        return self.has_room

    def _have_give_way(self, who: Displaceable, queue: TimeoutQueue) -> None:
        """Close it, unless it turns out to have a request, or to have had one meanwhile."""
        if queue is self._silent or not self._loop.guard(who.read_ahead):
            self._loop.guard(who.abort)
        elif queue and _first(queue) is who:
            self._loop.guard(who.end_if_idle)

    def wait(self, listener: object) -> None:
        """Somebody waits at this listener, and nobody can go, at least for a moment."""
        self._waiting.add(listener)
        self.is_crowded = True
        has_idle = self._heads or self._idle or self._silent
        if not has_idle and self._full.add(self._loop.now):
            self._log.warn(
                "connections.full",
                "all connections have a request under way; new clients wait",
                connections_max=self.connections_max,
            )

    def go_on(self, listener: object) -> None:
        """It looks again."""
        self._waiting.discard(listener)
        self.is_crowded = bool(self._waiting)

    def _queue_of_longest(self) -> TimeoutQueue | None:
        """Where the one stands that is idle the longest, as the first."""
        now, heads, idle = self._loop.now, self._heads, self._idle
        if heads and now - heads.oldest_s() >= _HEAD_GRACE_S:
            return heads
        queues = [self._silent] if self._silent else []
        if idle and now - idle.oldest_s() >= _IDLE_GRACE_S:
            queues.append(idle)
        return min(queues, key=TimeoutQueue.oldest_s, default=None)

    def _tell_of_displaced(self) -> None:
        count = self.displaced.add(self._loop.now)
        if count:
            self._log.warn(
                "connections.displaced",
                "the limit of connections is reached; idle ones, and those that take "
                "nothing of their answers, are closed for new ones",
                connections_max=self.connections_max,
                closed=count,
            )


def _first(queue: TimeoutQueue) -> Displaceable:
    return cast(Displaceable, queue.oldest())  # what stands in these queues are connections
