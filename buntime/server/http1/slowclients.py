"""Ends connections of clients that are too slow while the resources they use are short.

core/http1/leastrate.py decides when. A check costs nothing while nothing is short; otherwise each
turn of the loop checks a share of the connections.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import cast

from buntime.core.http1.connection import too_slow
from buntime.core.http1.leastrate import LeastRates, Shortage
from buntime.core.telemetry.meters import Slow
from buntime.server.http1.connection import Connection
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.service import Service

_LOOK_S = 1.0
_PER_TURN = 200  # connections; about 0.3 ms
_TELL_S = 10.0  # at most one log line in this time


class SlowClients:
    """Checks all connections once a second while something is short."""

    def __init__(self, service: Service, shortage: Callable[[], Shortage]) -> None:
        self._service = service
        self._shortage = shortage
        self._rates = LeastRates()
        # for the log
        self._counts = dict.fromkeys(Slow, 0)  # since the last log line
        self._told_s = float("-inf")

    def __repr__(self) -> str:
        return f"SlowClients({self._rates!r})"

    def start(self) -> None:
        self._service.loop.call_later(_LOOK_S, self.look)

    def look(self) -> None:
        """Find the clients that are too slow, if anything is short; check again later."""
        self._tell()
        shortage = self._shortage()
        if any(shortage):
            connections = cast("set[Connection]", self._service.connections)  # no other kind
            self._look_on(iter(tuple(connections)), shortage)
        else:
            self._rates.forget()
            self.start()

    def _look_on(self, connections: Iterator[Connection], shortage: Shortage) -> None:
        share = tuple(islice(connections, _PER_TURN))
        for connection in share:
            self._judge(connection, shortage)
        if share:
            self._service.loop.go_on_later(lambda: self._look_on(connections, shortage))
        else:
            self._rates.end_look()
            self.start()

    def _judge(self, connection: Connection, shortage: Shortage) -> None:
        exchange = connection.exchange
        holds_answer = shortage.of_answers and connection in self._service.held_answers
        if not holds_answer and not _counts(exchange, shortage):
            return
        now = self._service.loop.now
        if exchange is not None and exchange.wants_body:
            who = (connection, Slow.BODY)
            if self._rates.is_too_slow(who, exchange.body_come_bytes, now):
                self._count(exchange, Slow.BODY)
                exchange.fail(too_slow("body"))
        elif connection.pending_bytes:
            who = (connection, Slow.ANSWER)
            if self._rates.is_too_slow(who, connection.taken_bytes, now):
                self._count(exchange, Slow.ANSWER)
                if exchange is not None:
                    exchange.cut()
                else:
                    connection.abort()

    def _count(self, exchange: Exchange | None, what: Slow) -> None:
        meter = self._service.meters.of_none if exchange is None else exchange.meter
        meter.slow[what] += 1
        self._counts[what] += 1

    def _tell(self) -> None:
        now = self._service.loop.now
        if any(self._counts.values()) and now - self._told_s >= _TELL_S:
            self._told_s = now
            self._service.log.warn(
                "client.too_slow",
                "connections, slots or places in workers are short: ended the slowest clients",
                bodies=self._counts[Slow.BODY],
                answers=self._counts[Slow.ANSWER],
            )
            self._counts = dict.fromkeys(Slow, 0)


def _counts(exchange: Exchange | None, shortage: Shortage) -> bool:
    """Does it use what is short? WebSockets and event streams may be as slow as they like."""
    if exchange is None:
        return shortage.of_connections
    if exchange.link is not None or exchange.is_event_stream:
        return False
    return (
        shortage.of_connections
        or (shortage.of_memory and exchange.is_gathering)
        or (shortage.of_slots and exchange.holds_slot)
        or exchange.has_place_in(shortage.of_places)
    )
