"""An answer in pieces, at the pace of its client: NDJSON, server-sent events, an archive.

    producer ──send──> Stream ──> Exchange ──> client
             <─on_room─       <──          <──

What the client's window has no room for is kept, up to KEPT_MAX_BYTES; if the producer still goes
on, its stream is cut.
"""

import json
from collections.abc import Callable

from buntime.server.admin.responder import OwnResponder
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.request import Fields
from buntime.wire import DOWNLOAD_WINDOW

KEPT_MAX_BYTES = 1024 * 1024

NDJSON = "application/x-ndjson"
EVENTS = "text/event-stream"


def _do_nothing() -> None:
    pass


class Stream(OwnResponder):
    """One streamed answer. `on_room` and `on_end` may be set at any time."""

    __slots__ = (
        "_credit_bytes",
        "_exchange",
        "_is_finishing",
        "_is_pushing",
        "_kept",
        "_was_full",
        "is_over",
        "on_end",
        "on_room",
    )

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._kept = bytearray()
        self._credit_bytes = DOWNLOAD_WINDOW
        self._is_pushing = False
        self._is_finishing = False
        self._was_full = False
        self.is_over = False  # finished, or nobody wants it any more
        self.on_room: Callable[[], None] = _do_nothing  # the client has taken what was kept
        # The client has left or was too slow, or the runtime ends. Not called after `finish`.
        self.on_end: Callable[[], None] = _do_nothing

    def __repr__(self) -> str:
        return f"Stream({len(self._kept)} kept, {'over' if self.is_over else 'open'})"

    def begin(self, status: int, fields: Fields, *, is_endless: bool) -> None:
        """Send the head. `is_endless`: the runtime ends it at shutdown and does not wait for it."""
        exchange = self._exchange
        if exchange.is_ended:
            self.is_over = True
            return
        exchange.lend(self)
        exchange.stream(status, fields, b"")
        if self.is_over:
            return
        if is_endless:
            exchange.stand_open()
        elif exchange.footing is not None and not exchange.footing.on_open():
            exchange.cut()

    @property
    def has_room(self) -> bool:
        """Whether nothing is kept, so that what is sent leaves at once."""
        return not self._kept and not self.is_over

    def send(self, data: bytes) -> bool:
        """Send a piece; returns `has_room`. If that is False, go on at `on_room`.

        Nothing happens once the stream is over.
        """
        if not self.is_over and not self._is_finishing:
            self._kept += data
            self._push()
            if len(self._kept) > KEPT_MAX_BYTES:
                self._exchange.cut()
        return self.has_room

    def line(self, value: object) -> bool:
        """Send a line of NDJSON, as `send` does."""
        return self.send(json.dumps(value).encode("ascii") + b"\n")

    def event(self, value: object, *, id: str = "", event: str = "") -> bool:  # noqa: A002
        """Send a server-sent event with JSON data, as `send` does. `id`, `event`: one line each."""
        words = (f"id: {id}\n" if id else "") + (f"event: {event}\n" if event else "")
        return self.send(f"{words}data: {json.dumps(value)}\n\n".encode())

    def finish(self) -> None:
        """All was sent: the stream ends once the client's window has had room for it."""
        self._is_finishing = True
        self._push()

    def cut(self) -> None:
        """End it in a way that shows it is incomplete."""
        if not self.is_over:
            self._exchange.cut()

    # Responder

    def on_taken(self, size_bytes: int) -> None:
        self._credit_bytes += size_bytes
        self._push()

    def on_detached(self, reason: str) -> None:
        self._kept.clear()
        if not self.is_over:
            self.is_over = True
            if not self._is_finishing:
                self.on_end()

    def _push(self) -> None:
        """Send what there is credit for. A write may give credit back while it runs."""
        if self._is_pushing or self.is_over:
            return
        self._is_pushing = True
        self._send_kept()
        self._is_pushing = False
        self._tell()

    def _send_kept(self) -> None:
        kept = self._kept
        while kept and self._credit_bytes and not self.is_over:
            piece = bytes(kept[: self._credit_bytes])
            del kept[: len(piece)]
            self._credit_bytes -= len(piece)
            self._exchange.send(piece)

    def _tell(self) -> None:
        """Finish if that was the last piece, or report that there is room again."""
        if self.is_over:
            return
        if self._is_finishing and not self._kept:
            self.is_over = True
            self._exchange.release()
            self._exchange.finish()
            return
        was_full, self._was_full = self._was_full, bool(self._kept)
        if was_full and not self._kept:
            self.on_room()
