"""Ends connections of clients that are too slow while the resources they use are short.

core/http1/leastrate.py decides when. A check costs nothing while nothing is short; otherwise each
turn of the loop checks a share of the connections.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import cast

from buntime.core.http1.leastrate import LeastRates, Shortage
from buntime.core.telemetry.meters import Slow
from buntime.server.http1.connection import Connection
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.service import Service
from buntime.server.http1.slowtally import SlowTally

_LOOK_S = 1.0
_PER_TURN = 200  # connections; about 0.3 ms


class SlowClients:
    """Checks all connections once a second while something is short."""

    def __init__(self, service: Service, shortage: Callable[[], Shortage]) -> None:
        self._service = service
        self._shortage = shortage
        self._rates = LeastRates()
        self._tally = SlowTally(
            service.log,
            "connections, slots or places in workers are scarce: ended the slowest clients",
        )

    def __repr__(self) -> str:
        return f"SlowClients({self._rates!r})"

    def start(self) -> None:
        self._service.loop.call_later(_LOOK_S, self.look)

    def look(self) -> None:
        """Find the clients that are too slow, if anything is short; check again later."""
        self._tally.tell(self._service.loop.now)
        shortage = self._shortage()
        if any(shortage):
            connections = cast("set[Connection]", self._service.connections)  # no other kind
            self._look_on(iter(tuple(connections)), shortage)
        else:
            self._rates.forget()
            self.start()

    def _look_on(self, connections: Iterator[Connection], shortage: Shortage) -> None:
        share = tuple(islice(connections, _PER_TURN))
        for connection in share:  # what fails is logged, and the others still have their turn
            self._service.loop.guard(partial(self._judge, connection, shortage))
        if share:
            self._service.loop.go_on_later(lambda: self._look_on(connections, shortage))
        else:
            self._rates.end_look()
            self.start()

    def _judge(self, connection: Connection, shortage: Shortage) -> None:
        exchange = connection.exchange
        holds_answer = shortage.of_answers and (
            connection in self._service.held_answers or connection.spooled_bytes > 0
        )
        if not holds_answer and not _counts(exchange, shortage):
            return
        if exchange is not None and exchange.wants_body:
            if self._is_too_slow(connection, Slow.BODY):
                self._tally.end(exchange)
        elif connection.pending_bytes and self._is_too_slow(connection, Slow.ANSWER):
            if exchange is not None:
                self._tally.end(exchange)
            else:
                self._service.meters.of_none.slow[Slow.ANSWER] += 1
                self._tally.count(Slow.ANSWER)
                connection.abort()

    def _is_too_slow(self, connection: Connection, kind: Slow) -> bool:
        """Has its client moved too little, with all that has come by now?"""
        exchange, now = connection.exchange, self._service.loop.now
        # Another exchange's answer counts anew, since its bytes do.
        who = (connection if kind is Slow.BODY else exchange or connection, kind)
        if not self._rates.is_too_slow(who, _moved_bytes(connection, kind), now):
            return False
        if not connection.catch_up():
            return True
        if connection.exchange is not exchange or connection not in self._service.connections:
            return False
        return self._rates.is_too_slow(who, _moved_bytes(connection, kind), now)


def _moved_bytes(connection: Connection, kind: Slow) -> int:
    """How much of the body has come, or of the answer was taken."""
    exchange = connection.exchange
    if kind is Slow.BODY:
        return 0 if exchange is None else exchange.body_come_bytes
    return (0 if exchange is None else exchange.sent_bytes) - connection.untaken_bytes


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
