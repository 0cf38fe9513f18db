"""The answer that a plugin gives instead of the app's: whole, or in pieces under credit."""

from buntime import wire
from buntime.core.errors import ServerFault
from buntime.core.plugins.verdict import Respond
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.parties import Kind
from buntime.server.pool.worker import Worker

_STALL_S = 30.0  # between two pieces


def answer_by(
    exchange: Exchange, worker: Worker, number: int, verdict: Respond, payload: bytes
) -> None:
    """Answer with what the VERDICT with this number says; the exchange has no responder."""
    if verdict.end:
        exchange.respond(verdict.status, verdict.headers, payload)
        return
    pieces = Pieces(exchange, worker, number)
    exchange.hand_over(pieces, _STALL_S)
    worker.asking.go_on(number, pieces)
    exchange.stream(verdict.status, verdict.headers, payload)


class Pieces:
    """A responder whose pieces come as the BODY of a HOOK."""

    __slots__ = ("_exchange", "_number", "_worker")

    def __init__(self, exchange: Exchange, worker: Worker, number: int) -> None:
        self._exchange = exchange
        self._worker = worker
        self._number = number

    # Responder

    def on_body(self, data: bytes, ended: bool) -> None:
        raise AssertionError("a hook that has answered has no credit for a body")

    def on_message(self, kind: Kind, data: bytes, end: bool) -> None:
        raise AssertionError("what a hook answers is not a WebSocket")

    def on_last_message(self) -> None:
        raise AssertionError("what a hook answers is not a WebSocket")

    def on_taken(self, size_bytes: int) -> None:
        self._worker.asking.grant(self._number, size_bytes)

    def on_stalled(self) -> None:
        """A plugin's worker also has other requests: there is no slot to lend."""

    def on_doubted(self) -> None:
        """It has what it wants, and no queue to wait in."""

    def on_detached(self, reason: str) -> None:
        self._worker.asking.give_up(self._number, reason)

    def on_deadline(self) -> None:
        self._exchange.fail(
            ServerFault(504, "plugin_timeout", "a plugin stopped in the middle of an answer")
        )

    # Asker

    def on_verdict(self, message: wire.Message, payload: bytes) -> None:
        raise AssertionError("a verdict after the answer has begun ends it by on_lost")

    def on_piece(self, payload: bytes, *, end: bool) -> None:
        """The next piece of the body."""
        self._exchange.restart_deadline()
        if payload:
            self._exchange.send(payload)
        if end and self._exchange.responder is self:
            self._exchange.release()
            self._exchange.finish()

    def on_lost(self) -> None:
        """Its process has ended, or it has stopped midway: the connection is cut."""
        self._exchange.fail(ServerFault(502, "plugin_failed", "a plugin's answer was cut off"))
