"""The runtime itself as the responder for a request, while its body comes in or its answer goes
out. Most of the calls that a worker gets cannot happen here.
"""

from buntime.server.http1.parties import Kind


class OwnResponder:
    """A `Responder` that takes no WebSocket and has no deadline."""

    __slots__ = ()

    def on_body(self, data: bytes, ended: bool) -> None:
        """Cannot happen: it has given no credit for a body."""

    def on_message(self, kind: Kind, data: bytes, end: bool) -> None:
        raise AssertionError("the runtime's own pages are not WebSockets")

    def on_last_message(self) -> None:
        raise AssertionError("the runtime's own pages are not WebSockets")

    def on_taken(self, size_bytes: int) -> None:
        """It does not count credit."""

    def on_stalled(self) -> None:
        """It holds no slot."""

    def on_doubted(self) -> None:
        """Nobody waits behind it."""

    def on_detached(self, reason: str) -> None:
        """Nobody waits for the answer any more."""

    def on_deadline(self) -> None:
        """It has no deadline."""
