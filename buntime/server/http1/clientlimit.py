"""Which clients have many connections, and how many one may have, if the operator has set a limit.

The connections of a client with many give way to those of all others, see `Loop.run_once`: so one
client cannot keep others waiting, and where all come from one address nobody waits longer for that.

A trusted proxy connects on behalf of many clients, and so may a unix socket: neither is limited.
Behind a proxy that is not listed as trusted, all clients share one address, so there is no limit by
default.
"""

from typing import TypeGuard

from buntime.core.errors import ClientFault
from buntime.core.http1.addresses import AddressCounts, client_network
from buntime.core.http1.answer import Answer
from buntime.core.http1.errorpage import render_error
from buntime.core.http1.forwarded import Address, Proxies
from buntime.core.http1.head import Head
from buntime.core.values.protocols import Protocol
from buntime.core.values.tally import Tally
from buntime.server.telemetry.logs import Log

_TELL_S = 60.0  # between two records
NO_REQUEST = Head("-", "-", "1.1", keep_alive=False)
_FAULT = ClientFault(
    429,
    "too_many_connections",
    "your address has reached its limit of connections; close one, or use one for all requests",
    headers=(("retry-after", "1"),),
    closes=True,
)


class Counted(Protocol):
    """A connection, or somebody who waits for one."""

    def give_way(self, gives_way: bool) -> None:
        """Set whether it comes after those of other clients."""


class ClientLimit:
    """Counts the connections of each address."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._most = 0
        self._proxies = Proxies(())
        self._counts: AddressCounts[Counted] = AddressCounts()
        self.refused = Tally(every_s=_TELL_S)

    def adopt(self, most: int, proxies: Proxies) -> None:
        """From now on, one address may have `most` connections; 0 for no limit."""
        self._most = most
        self._proxies = proxies

    def takes(self, peer: Address | None) -> bool:
        """May another connection come from this address?"""
        return not self._is_limited(peer) or self._counts.count(peer[0]) < self._most

    def is_crowd(self, peer: Address | None) -> bool:
        """Do the connections from this address give way to others?"""
        return peer is not None and self._counts.is_crowd(peer[0])

    def add(self, connection: Counted, peer: Address | None) -> None:
        if peer is not None:
            for each in self._counts.add(connection, peer[0]):
                each.give_way(True)

    def discard(self, connection: Counted) -> None:
        """This connection has ended."""
        for each in self._counts.discard(connection):
            each.give_way(False)

    def refuse(self, peer: Address, now: float, *, request_id: str, date: str) -> bytes:
        """What to send to a client that has too many connections."""
        count = self.refused.add(now)
        if count:
            self._log.warn(
                "connections.refused",
                "a client has reached its limit of connections; more are refused",
                client=client_network(peer[0]),
                connections_per_address=self._most,
                refused=count,
            )
        fields, body = render_error(_FAULT, request_id, accept="", shows_detail=False)
        answer = Answer(
            NO_REQUEST,
            _FAULT.status,
            fields,
            len(body),
            date=date,
            request_id=request_id,
            keep_alive=False,
        )
        return answer.head + body

    def _is_limited(self, peer: Address | None) -> TypeGuard[Address]:
        return bool(self._most) and peer is not None and not self._proxies.trust(peer)
