r"""Clients that send no more: they have left, or wait for the answer to what they sent.

`printf 'GET / HTTP/1.0\r\n\r\n' | nc host port` shuts down its sending side after the request and
reads on. In TCP, a client that closes looks the same until something is sent to it. So the answer
is given if it takes no longer than a grace period; after that the client counts as gone, which
frees what it holds in the app. On a unix socket, and where the client's kernel has sent a reset, it
is known at once that the client has left.
"""

import socket

from buntime.core.http1.connection import ServerConnection
from buntime.core.values.protocols import Protocol
from buntime.server.http1.ending import Ending, ending_of
from buntime.server.http1.service import Service
from buntime.server.loop.loop import unread_bytes

GRACE_S = 1.0


class Doubted(Protocol):
    """A request and its answer."""

    def doubt(self, grace_s: float) -> float | None: ...


def patience_s(
    service: Service, sock: socket.socket, http: ServerConnection, exchange: Doubted | None
) -> float | None:
    """How much longer to wait for a client that is not read; 0 or less if it has left.

    None while nothing suggests that it has left, or while another time limit applies.
    """
    ending = ending_of(sock)
    if ending is Ending.NONE and not http.is_half_closed:
        return None
    if ending is Ending.GONE or exchange is None or service.admission.is_crowded:
        return 0.0
    if not http.is_half_closed and not http.reader.may_be_whole(unread_bytes(sock.fileno())):
        return 0.0
    return exchange.doubt(GRACE_S)
