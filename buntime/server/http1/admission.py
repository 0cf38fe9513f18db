"""Makes room for another client, by closing a connection where the limit is reached.

At the limit, the connection that has waited longest for a request's head is closed. If there is
none, it is the one that has been idle longest: between two requests, or still sending its last
answer. A connection with a request under way stays. So nobody keeps others out by doing nothing,
and many clients that connect at once and ask for nothing push out one another, not those that came
before.

Before all of these, a connection is closed whose client has stopped sending and may have left,
unless that client still takes an answer.

If no connection is idle, the one whose client has taken nothing of its answer for the longest time
is closed. WebSockets and event streams are exempt: they may be as slow as they like. A client may
take nothing for a few seconds, but for a moment only while newcomers have had to wait: otherwise
whoever connects faster than others are found to be stalled would fill the backlog.

If no connection can be closed, newcomers wait, see server/http1/listener.py. An answer that begins
then is the last one of its connection, even if its client has already sent another request, so that
those who wait come next. One that began before has not said so: its client may send another request
and gets one more answer, unless it lets the grace period pass.
"""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import cast

from buntime.core.http1.connection import Due
from buntime.core.values.protocols import Protocol
from buntime.core.values.tally import Tally
from buntime.server.loop.loop import Loop
from buntime.server.loop.timeouts import TimeoutQueue
from buntime.server.telemetry.logs import Log

# How long a client may need to send its first bytes. Without this, many clients that connect at
# once would push out one another before any of them is read.
_HEAD_GRACE_S = 0.01
# A client that asked so recently is about to ask again, and does not expect to be closed.
_IDLE_GRACE_S = 0.1
# A client that takes nothing for so long is slow or gone: lost packets are resent sooner.
_STALL_S = 2.0
# The same while newcomers wait: the first time a lost packet is resent is sooner.
_SHORT_STALL_S = 0.25
_PRESSED_S = 1.0  # the short time counts for so long after a newcomer waited, or would have
_TRIES = 8  # how many may turn out to have just sent a request
_STALLED_TRIES = 1000  # how many of the stalled may turn out to be exempt; 0.2 ms
_TELL_S = 60.0  # between two records of the same kind


class Answering(Protocol):
    """A request under way."""

    is_event_stream: bool

    @property
    def link(self) -> object | None: ...
    def cut(self) -> None: ...


class Displaceable(Protocol):
    """A connection, as far as it can be closed to make room for another one."""

    exchange: Answering | None

    @property
    def pending_bytes(self) -> int:
        """How many bytes wait for its client."""

    def catch_up(self) -> bool:
        """Handle what its client has done meanwhile; returns False if that is nothing."""

    def read_ahead(self) -> None:
        """Read what has arrived of a request and was not read yet."""

    def end_if_idle(self) -> None:
        """Close the connection, unless it has a request."""

    def abort(self) -> None: ...


class Admission:
    """Decides whether another connection may be accepted."""

    def __init__(
        self, loop: Loop, log: Log, timeouts: Mapping[Due, TimeoutQueue], count: Callable[[], int]
    ) -> None:
        """`timeouts` hold the connections by what they wait for; `count` returns how many there
        are.
        """
        self._loop = loop
        self._log = log
        self._silent = timeouts[Due.SILENCE]
        self._idle = timeouts[Due.REQUEST]
        self._heads = timeouts[Due.HEAD]
        self._taking = timeouts[Due.SENT]
        self._count = count
        self.connections_max = 1
        self.stall_s = _STALL_S
        self.short_stall_s = _SHORT_STALL_S
        self._pressed_s = float("-inf")  # when a newcomer waited last, or would have
        self.displaced = Tally(every_s=_TELL_S)
        self._full = Tally(every_s=_TELL_S)
        self._waiting: set[object] = set()
        self.doubtful: dict[object, None] = {}  # connections whose clients may have left
        self.is_crowded = False  # is somebody waiting for whom no connection could be closed?

    def __repr__(self) -> str:
        return f"Admission({self._count()} of {self.connections_max})"

    @property
    def has_room(self) -> bool:
        return self._count() < self.connections_max

    def make_room(self) -> bool:
        """Close one that may have left or was idle longest; return whether one may come."""
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
        """Close one whose client neither sends nor takes anything; return whether one may come."""
        for each in islice(self.doubtful, _TRIES):
            who = cast(Displaceable, each)
            if not who.pending_bytes:
                self._loop.guard(who.abort)
                self._tell_of_displaced()
                break
        return self.has_room

    def _end_stalled(self) -> bool:
        """End the one whose client has taken nothing for longest; return whether one may come."""
        now = self._loop.now
        is_pressed = now - self._pressed_s < _PRESSED_S
        stall_s = self.short_stall_s if is_pressed else self.stall_s
        for each, since_s in self._taking.eldest(_STALLED_TRIES):
            who = cast(Displaceable, each)
            if now - since_s < stall_s:
                break
            if who.catch_up():
                break  # what it took waited to be handled; the queue has changed
            if now - since_s < self.stall_s:
                self._pressed_s = now
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
        """Somebody waits at this listener, and no connection can be closed for now."""
        self._waiting.add(listener)
        self._pressed_s = self._loop.now
        self.is_crowded = True
        has_idle = self._heads or self._idle or self._silent
        if not has_idle and self._full.add(self._loop.now):
            self._log.warn(
                "connections.full",
                "all connections have a request under way; new clients wait",
                connections_max=self.connections_max,
            )

    def go_on(self, listener: object) -> None:
        """This listener accepts again."""
        self._waiting.discard(listener)
        self.is_crowded = bool(self._waiting)

    def _queue_of_longest(self) -> TimeoutQueue | None:
        """The queue whose first connection has been idle longest."""
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
                "the limit of connections is reached; idle ones, and those that do not "
                "read their answers, are closed for new ones",
                connections_max=self.connections_max,
                closed=count,
            )


def _first(queue: TimeoutQueue) -> Displaceable:
    return cast(Displaceable, queue.oldest())  # these queues hold connections only
