"""Takes the body of a request in, at the pace of whoever wants it.

    client ──> Exchange ──> Receiving ──on_data──> sink
           <──          <──           <──more────

A client that waits for 100 Continue is told to go on with the first credit, so never where the
request was refused before.
"""

from typing import Protocol

from buntime.server.admin.responder import OwnResponder
from buntime.server.http1.exchange import Exchange
from buntime.wire import UPLOAD_WINDOW


class Sink(Protocol):
    """Who wants a body. All is called on the loop's thread."""

    def on_data(self, data: bytes, ended: bool) -> None:
        """The next piece, maybe b"" where it is the last; `Receiving.more` is to follow, now or
        when it is written. May raise ClientFault, which is answered and ends it."""

    def on_lost(self, reason: str) -> None:
        """It will not come to its end, and no answer is wanted: the "client" has left, or was
        answered for with an "error", such as a body that is too large or too slow."""


class Receiving(OwnResponder):
    """One body on its way in."""

    __slots__ = ("_exchange", "_is_over", "_is_taking", "_owed_bytes", "_sink")

    def __init__(self, exchange: Exchange, sink: Sink) -> None:
        self._exchange = exchange
        self._sink = sink
        self._owed_bytes = 0
        self._is_taking = False
        self._is_over = False

    def __repr__(self) -> str:
        return f"Receiving({self._exchange!r}, {'over' if self._is_over else 'under way'})"

    def begin(self, max_bytes: int) -> None:
        """Have it come, up to so much. Of bytes that were not written, UPLOAD_WINDOW is out."""
        exchange = self._exchange
        if not exchange.head.has_body:
            self._is_over = True
            self._sink.on_data(b"", True)
            return
        exchange.receive(self, max_bytes)
        exchange.grant_upload(UPLOAD_WINDOW)

    def more(self, size_bytes: int) -> None:
        """So many of the bytes that came are dealt with, and as many more may come."""
        if self._is_over:
            return
        self._owed_bytes += size_bytes
        if not self._is_taking:
            self._grant()

    # Responder

    def on_body(self, data: bytes, ended: bool) -> None:
        """A body in tiny chunks comes in many pieces, one within the other if each were granted
        at once: so credit is given between turns."""
        if self._is_over:
            return
        if ended:
            self._is_over = True
            self._exchange.take_back()
            self._sink.on_data(data, True)
            return
        was_taking, self._is_taking = self._is_taking, True
        try:
            self._sink.on_data(data, False)
        finally:
            self._is_taking = was_taking
        if self._owed_bytes and not was_taking:
            self._is_taking = True
            self._exchange.client.service.loop.call_soon(self._go_on)

    def on_detached(self, reason: str) -> None:
        if not self._is_over:
            self._is_over = True
            self._sink.on_lost(reason)

    def _go_on(self) -> None:
        self._is_taking = False
        self._grant()

    def _grant(self) -> None:
        owed_bytes, self._owed_bytes = self._owed_bytes, 0
        if owed_bytes and not self._is_over:
            self._exchange.grant_upload(owed_bytes)


class Whole:
    """A `Sink` that keeps all of a body that is small."""

    __slots__ = ("_pieces", "_then", "receiving")

    def __init__(self, exchange: Exchange, then: "Taker") -> None:
        self._pieces: list[bytes] = []
        self._then = then
        self.receiving = Receiving(exchange, self)

    def on_data(self, data: bytes, ended: bool) -> None:
        self._pieces.append(data)
        if ended:
            self._then(b"".join(self._pieces))
        else:
            self.receiving.more(len(data))

    def on_lost(self, reason: str) -> None:
        self._pieces.clear()


class Taker(Protocol):
    """What is called with a whole body."""

    def __call__(self, body: bytes, /) -> None: ...
