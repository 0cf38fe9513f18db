"""A WebSocket on its way: between a client's connection and the worker that has accepted it.

    client ──frames──> Connection -> SocketLink.on_data -> WebSocket -> MESSAGE ──> worker
           <─frames─── Connection <- SocketLink.send    <- WebSocket <─ MESSAGE ─── worker

The exchange stays: it has the credit of both directions, and its access line is written when the
connection ends. Each message costs its size and MESSAGE_OVERHEAD of credit.

A client that breaks the protocol may have sent valid messages before, and answers to them may be on
their way. So the worker is told about the end first, and the closing frame waits for its last
messages: until the worker closes too, LAST_WORDS_S at most.
"""

from buntime.core.websocket.handshake import Upgrade
from buntime.core.websocket.heartbeat import Beat, Heartbeat
from buntime.core.websocket.protocol import (
    Failed,
    Kind,
    PeerClosed,
    Piece,
    State,
    WebSocket,
)
from buntime.sdk import closecodes
from buntime.server.http1.exchange import Exchange
from buntime.server.loop.loop import Timer
from buntime.server.loop.timeouts import TimeoutQueue

LAST_WORDS_S = 1.0


class SocketLink:
    """One open WebSocket."""

    __slots__ = (
        "_client",
        "_exchange",
        "_has_ended",
        "_heartbeat",
        "_is_going_on",
        "_last_words",
        "_pings",
        "_protocol",
        "_service",
        "code",
        "reason",
    )

    def __init__(self, exchange: Exchange, upgrade: Upgrade) -> None:
        self._exchange = exchange
        self._client = exchange.client
        self._service = service = exchange.client.service
        self._protocol = WebSocket(
            upgrade.agreement, message_max_bytes=service.websocket_message_max_bytes
        )
        self._heartbeat = Heartbeat(service.websocket_ping_s, service.loop.now)
        self._pings: TimeoutQueue | None = service.ping_timeouts
        if self._pings is not None:
            self._pings.start(self)
        self._last_words: Timer | None = None
        self._has_ended = False  # the connection has
        self._is_going_on = False  # `_go_on` will be called
        # What the worker is told about the end.
        self.code = closecodes.LOST
        self.reason = ""

    def __repr__(self) -> str:
        return f"SocketLink({self._exchange.id}, {self._protocol.state.name})"

    @property
    def wants_data(self) -> bool:
        """Whether there is credit for what the client may send, and it is still read from."""
        protocol = self._protocol
        return not (protocol.is_blocked or protocol.has_more or protocol.state is State.FAILED)

    @property
    def is_closing(self) -> bool:
        """Whether our closing frame has been sent."""
        return self._protocol.state in (State.CLOSING, State.CLOSED)

    # From the client

    def on_data(self, data: bytes) -> None:
        """Frames, or pieces of them."""
        self._heartbeat.on_traffic(self._service.loop.now)
        self._take(data)

    def on_credit(self) -> None:
        """The app has read: deliver what had to wait."""
        self._take(b"")

    def on_timeout(self) -> None:
        """The time between pings has passed."""
        if self._pings is None:
            return
        now = self._service.loop.now
        if self._client.catch_up() and self._has_ended:
            return
        if self._protocol.is_blocked or self._client.pending_bytes:
            self._heartbeat.on_traffic(now)  # we are not reading, or the client still reads
        beat = self._heartbeat.due(now)
        if beat is Beat.DEAD:
            self._client.abort()
            return
        if beat is Beat.PING and self._protocol.state is State.OPEN:
            self._client.write(self._protocol.send_ping())
        if not self._has_ended:  # the write may have found that the client is gone
            self._pings.start(self)

    def on_end(self) -> None:
        """The connection has ended."""
        if self._pings is not None:
            self._pings.stop(self)
            self._pings = None
        self._has_ended = True
        self._stop_waiting()

    # From the worker

    def send(self, kind: Kind, data: bytes, end: bool) -> None:
        """A piece of a message of the app."""
        if not self.is_closing:
            self._exchange.carry(self._protocol.send_piece(kind, data, end), len(data))

    def close(self, code: int, reason: str) -> None:
        """Close from our side; the client has some seconds to answer.

        What it sent earlier may have waited for credit, including its own closing frame: no more
        messages are delivered, so it is read now.
        """
        if not closecodes.may_send(code):
            code = closecodes.INTERNAL_ERROR
        if not self.is_closing:
            self._stop_waiting()
            self._client.write(self._protocol.close(code, reason))
            self._client.settle()
            self._take(b"")

    def go_away(self, code: int = closecodes.GOING_AWAY, reason: str = "") -> None:
        """The runtime or the worker ends: both sides are told."""
        if self._protocol.state is State.OPEN:  # after a failure the worker already knows
            self.code, self.reason = code, reason
        self._exchange.detach("closed")
        self.close(code, reason)

    def _take(self, data: bytes) -> None:
        exchange, protocol = self._exchange, self._protocol
        for event in protocol.receive(data, exchange.upload_credit):
            if isinstance(event, Piece):
                exchange.take_message(event.kind, event.data, event.end)
            elif isinstance(event, PeerClosed | Failed):
                self.code, self.reason = event.code, event.reason
                if protocol.state is State.FAILED:
                    self._hear_out()
                else:
                    exchange.detach("closed")
        outgoing = protocol.outgoing()
        if outgoing:
            self._client.write(outgoing)
        if protocol.state is State.CLOSED:
            self._client.on_link_closed()
        elif protocol.has_more and not self._is_going_on:
            self._is_going_on = True
            self._service.loop.go_on_later(self._go_on)

    def _go_on(self) -> None:
        """A turn has passed: more of the frames that have come."""
        self._is_going_on = False
        if not self._has_ended:
            self._take(b"")
            self._client.settle()

    def _hear_out(self) -> None:
        """Stop reading from the client; the app may still answer what came before."""
        responder = self._exchange.responder
        if responder is None:
            self.close(self.code, self.reason)
            return
        responder.on_last_message()
        loop = self._service.loop
        self._last_words = loop.call_later(LAST_WORDS_S, lambda: self.go_away(self.code))

    def _stop_waiting(self) -> None:
        if self._last_words is not None:
            self._last_words.cancel()
            self._last_words = None
