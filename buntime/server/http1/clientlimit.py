"""How many connections one client may have, if the operator has set a limit.

A trusted proxy connects on behalf of many clients, and so may a unix socket: neither is counted.
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


class ClientLimit:
    """Counts the connections of each address, while there is a limit."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._most = 0
        self._proxies = Proxies(())
        self._counts = AddressCounts()
        self.refused = Tally(every_s=_TELL_S)

    def adopt(self, most: int, proxies: Proxies) -> None:
        """From now on, one address may have `most` connections; 0 for no limit."""
        self._most = most
        self._proxies = proxies

    def takes(self, peer: Address | None) -> bool:
        """May another connection come from this address?"""
        return not self._counts_for(peer) or self._counts.count(peer[0]) < self._most

    def add(self, connection: object, peer: Address | None) -> None:
        if self._counts_for(peer):
            self._counts.add(connection, peer[0])

    def discard(self, connection: object) -> None:
        """This connection has ended."""
        self._counts.discard(connection)

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

    def _counts_for(self, peer: Address | None) -> TypeGuard[Address]:
        return bool(self._most) and peer is not None and not self._proxies.trust(peer)
