"""The runtime itself as the one who has a request in hand: while its body comes, or its answer
goes. Of what a worker hears, most cannot come here.
"""

from buntime.server.http1.parties import Kind


class OwnResponder:
    """A `Responder` that takes no WebSocket and has no deadline."""

    __slots__ = ()

    def on_body(self, data: bytes, ended: bool) -> None:
        """It has given no credit for one."""

    def on_message(self, kind: Kind, data: bytes, end: bool) -> None:
        raise AssertionError("the runtime's own pages are not WebSockets")

    def on_last_message(self) -> None:
        raise AssertionError("the runtime's own pages are not WebSockets")

    def on_taken(self, size_bytes: int) -> None:
        """It counts no credit."""

    def on_stalled(self) -> None:
        """It holds no slot."""

    def on_doubted(self) -> None:
        """Nobody waits behind it."""

    def on_detached(self, reason: str) -> None:
        """Nobody waits for the answer any more."""

    def on_deadline(self) -> None:
        """It has none."""
