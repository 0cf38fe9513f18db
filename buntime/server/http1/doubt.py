"""Clients that send no more: they have left, or wait for the answer to what they sent.

`printf 'GET / HTTP/1.0\r\n\r\n' | nc host port` shuts its side behind the request and reads on; a
client that closes does the same as far as its TCP tells, until something is sent to it. So the
answer is given if it takes no longer than a grace; then the client counts as one that has left,
which frees what it holds at the app. On a unix socket, and where its kernel has sent a reset, it is
known at once.
"""

import socket
from typing import Protocol

from buntime.core.http1.connection import ServerConnection
from buntime.server.http1.ending import Ending, ending_of, unread_bytes
from buntime.server.http1.service import Service

GRACE_S = 1.0


class Doubted(Protocol):
    """A request and its answer."""

    def doubt(self, grace_s: float) -> float | None: ...


def patience_s(
    service: Service, sock: socket.socket, http: ServerConnection, exchange: Doubted | None
) -> float | None:
    """For how much longer a client is waited for that is not read, 0 or less where it has left.

    None while nothing is to be said against it, or others see to its time.
    """
    ending = ending_of(sock)
    if ending is Ending.NONE and not http.is_half_closed:
        return None
    if ending is Ending.GONE or exchange is None or service.admission.is_crowded:
        return 0.0
    if not http.is_half_closed and not http.reader.may_be_whole(unread_bytes(sock)):
        return 0.0
    return exchange.doubt(GRACE_S)
