"""Receives the body of a request, at the pace of its consumer.

    client ──> Exchange ──> Receiving ──on_data──> sink
           <──          <──           <──more────

A client that waits for 100 Continue gets it with the first credit, so never after a refusal.
"""

from collections.abc import Callable

from buntime.core.errors import ClientFault
from buntime.core.http1.window import body_too_large
from buntime.core.values.protocols import Protocol
from buntime.server.admin.openings import sign_in_ended
from buntime.server.admin.responder import OwnResponder
from buntime.server.http1.exchange import Exchange
from buntime.wire import UPLOAD_WINDOW


class Sink(Protocol):
    """The consumer of a body. Everything is called on the loop's thread."""

    def on_data(self, data: bytes, ended: bool) -> None:
        """The next piece, possibly b"" if it is the last; call `Receiving.more` for it, now or once
        it is written. May raise ClientFault, which becomes the answer and ends it."""

    def on_lost(self, fault: ClientFault | None) -> None:
        """The body will not be completed: the client has left, was too slow, or may not go on.
        Nobody waits for an answer any more. `fault` is the refusal of a body that is too large."""


class Receiving(OwnResponder):
    """One body on its way in."""

    __slots__ = ("_exchange", "_fault", "_is_over", "_is_taking", "_owed_bytes", "_sink")

    def __init__(self, exchange: Exchange, sink: Sink) -> None:
        self._exchange = exchange
        self._sink = sink
        self._fault: ClientFault | None = None
        self._owed_bytes = 0
        self._is_taking = False
        self._is_over = False

    def __repr__(self) -> str:
        return f"Receiving({self._exchange!r}, {'over' if self._is_over else 'under way'})"

    def begin(self, max_bytes: int, refuse: Callable[[int], ClientFault] = body_too_large) -> None:
        """Start it, up to this size; a larger body gets the fault that `refuse` makes of the size.

        At most UPLOAD_WINDOW bytes are out and not yet written."""
        exchange = self._exchange
        if not exchange.head.has_body:
            self._is_over = True
            self._sink.on_data(b"", True)
            return

        def refused(limit_bytes: int) -> ClientFault:
            self._fault = refuse(limit_bytes)
            return self._fault

        exchange.receive(self, max_bytes, refused)
        if exchange.footing is not None and not exchange.footing.on_open():
            exchange.fail(sign_in_ended())
            return
        exchange.grant_upload(UPLOAD_WINDOW)

    def more(self, size_bytes: int) -> None:
        """This many bytes are dealt with, so that as many more may come."""
        if self._is_over:
            return
        self._owed_bytes += size_bytes
        if not self._is_taking:
            self._grant()

    # Responder

    def on_body(self, data: bytes, ended: bool) -> None:
        """A body in tiny chunks comes in many pieces, which would nest if each were granted at
        once: so credit is given only after the outermost call."""
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
            # Soon, because the answer is given first by whoever ends it, with the reason.
            loop, fault = self._exchange.client.service.loop, self._fault
            loop.call_soon(lambda: self._sink.on_lost(fault))

    def _go_on(self) -> None:
        self._is_taking = False
        self._grant()

    def _grant(self) -> None:
        owed_bytes, self._owed_bytes = self._owed_bytes, 0
        if owed_bytes and not self._is_over:
            self._exchange.grant_upload(owed_bytes)


class Whole:
    """A `Sink` that collects a small body."""

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

    def on_lost(self, fault: ClientFault | None) -> None:
        self._pieces.clear()


class Taker(Protocol):
    """What is called with a whole body."""

    def __call__(self, body: bytes, /) -> None: ...
