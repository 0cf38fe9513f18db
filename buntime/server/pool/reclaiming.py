"""Takes workers of one request from slow clients while such workers are few.

While more than half of the slots are taken, or other requests wait because of slow clients, what a
slow client leaves untaken is moved to disk (http1/spool), until its worker is done. If that is not
enough, core/pool/reclaim.py decides whose workers others get. There is a look every now and then,
but only while a worker waits for its client.
"""

from typing import cast

from buntime.core.http1.leastrate import is_short
from buntime.core.pool.reclaim import Reclaim
from buntime.core.pool.room import HeldUp
from buntime.core.pool.scheduler import Scheduler
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.slowtally import SlowTally
from buntime.server.loop.loop import Loop
from buntime.server.telemetry.logs import Log

_LOOK_S = 0.2


class Reclaiming:
    """The requests whose workers have waited for their clients."""

    def __init__(self, loop: Loop, log: Log, scheduler: Scheduler) -> None:
        self._loop = loop
        self._scheduler = scheduler
        self._reclaim = Reclaim()
        self._seen: set[Exchange] = set()  # those that the decisions know
        self._awaited: set[Exchange] = set()  # those whose workers wait right now
        self._went_on: set[Exchange] = set()  # those whose workers did not, since the last look
        self._tally = SlowTally(log, "requests waited for a worker: ended the slowest clients")
        self._is_looking = False

    def __repr__(self) -> str:
        return f"Reclaiming({self._reclaim!r})"

    def on_stalled(self, exchange: Exchange, *, is_stalled: bool) -> None:
        """The exchange's worker waits for its client, or no longer. Event streams may be slow."""
        if not is_stalled:
            if exchange in self._awaited:
                self._awaited.remove(exchange)
                self._went_on.add(exchange)
            return
        if exchange.is_event_stream or exchange.link is not None:
            return
        self._awaited.add(exchange)
        if exchange not in self._seen:
            self._seen.add(exchange)
            self._reclaim.add(exchange, _moved_bytes(exchange), self._loop.now)
        if self._are_workers_few(self._scheduler.held_up(self._loop.now)):
            exchange.client.spool()
        if not self._is_looking:
            self._is_looking = True
            self._loop.call_later(_LOOK_S, self._look)

    def _are_workers_few(self, held_up: HeldUp) -> bool:
        slots = self._scheduler.limits.ephemeral_concurrency
        return is_short(self._scheduler.slots_taken, slots) or held_up.requests > 0

    def _look(self) -> None:
        try:
            self._judge_all(self._loop.now)
        finally:  # a look that fails is logged, and the next one still comes
            self._is_looking = bool(self._awaited) or self._tally.is_untold
            if self._is_looking:
                self._loop.call_later(_LOOK_S, self._look)

    def _judge_all(self, now: float) -> None:
        held_up = self._scheduler.held_up(now)
        for exchange in tuple(self._seen):
            if exchange.responder is None:
                self._seen.remove(exchange)
                self._awaited.discard(exchange)
                self._reclaim.remove(exchange)
                continue
            is_awaited = exchange in self._awaited and exchange not in self._went_on
            moved_bytes = _moved_bytes(exchange)
            self._reclaim.look(
                exchange, moved_bytes, now, is_awaited=is_awaited, waited_s=held_up.waited_s
            )
        self._went_on.clear()
        if self._are_workers_few(held_up):
            for exchange in tuple(self._awaited):
                exchange.client.spool()
        for slow in self._reclaim.slowest(held_up.requests):
            self._tally.end(cast("Exchange", slow))
        self._tally.tell(now)


def _moved_bytes(exchange: Exchange) -> int:
    """How much of the request's body has come, and how much of the answer its client has taken."""
    return exchange.body_come_bytes + exchange.sent_bytes - exchange.client.untaken_bytes
