"""A client that was accepted and waits for a connection."""

import socket

from buntime.core.http1.forwarded import Address

_MOST = 256


class Newcomer:
    """What is known of a client before anything is read from it."""

    __slots__ = ("gives_way", "peer", "since_s", "sock")

    def __init__(self, sock: socket.socket, peer: Address | None, since_s: float) -> None:
        """`since_s` is when it was accepted, in the loop's seconds."""
        self.sock = sock
        self.peer = peer
        self.since_s = since_s
        self.gives_way = False

    def __repr__(self) -> str:
        return f"Newcomer({self.peer}{', gives way' if self.gives_way else ''})"

    def give_way(self, gives_way: bool) -> None:
        """Those of clients with fewer connections are let in first, or no longer."""
        self.gives_way = gives_way


def newcomers_max(connections_max: int) -> int:
    """How many may wait beside so many connections, at all listeners together: each takes a
    descriptor."""
    return min(_MOST, connections_max)
