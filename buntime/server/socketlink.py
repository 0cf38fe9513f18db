"""A WebSocket on its way: between a client's connection and the worker that has accepted it.

    client ──frames──> Connection -> SocketLink.on_data -> WebSocket -> MESSAGE ──> worker
           <─frames─── Connection <- SocketLink.send    <- WebSocket <─ MESSAGE ─── worker

The exchange stays what it was: it has the credit of both directions, its access line is written
when the connection ends. Each message costs its size and MESSAGE_OVERHEAD of credit.
"""

from typing import Protocol

from buntime.core.handshake import Upgrade
from buntime.core.heartbeat import Beat, Heartbeat
from buntime.core.websocket import Failed, Kind, PeerClosed, Piece, State, WebSocket, may_send_code
from buntime.server.exchange import Exchange
from buntime.server.loop import TimeoutQueue
from buntime.server.service import Service
from buntime.wire import MESSAGE_OVERHEAD

_INTERNAL_ERROR = 1011
_GOING_AWAY = 1001  # RFC 6455 7.4.1: a server going down
_GONE = 1006  # never on the wire: the connection ended without a close


class Carrier(Protocol):
    """The connection, as far as a link needs it."""

    @property
    def service(self) -> Service: ...
    @property
    def pending_bytes(self) -> int: ...

    def write(self, data: bytes) -> None: ...
    def on_link_closing(self) -> None: ...
    def on_link_closed(self) -> None: ...
    def abort(self) -> None: ...


class SocketLink:
    """One open WebSocket."""

    __slots__ = ("_carrier", "_exchange", "_heartbeat", "_pings", "_protocol", "code", "reason")

    def __init__(self, carrier: Carrier, exchange: Exchange, upgrade: Upgrade) -> None:
        service = carrier.service
        self._carrier = carrier
        self._exchange = exchange
        self._protocol = WebSocket(
            upgrade.agreement, message_max_bytes=service.websocket_message_max_bytes
        )
        self._heartbeat = Heartbeat(service.websocket_ping_s, service.loop.now)
        self._pings: TimeoutQueue | None = service.ping_timeouts
        if self._pings is not None:
            self._pings.start(self)
        # What the worker is told of the end.
        self.code = _GONE
        self.reason = ""

    def __repr__(self) -> str:
        return f"SocketLink({self._exchange.id}, {self._protocol.state.name})"

    @property
    def wants_data(self) -> bool:
        """Is there credit for what the client may send?"""
        return not self._protocol.is_blocked

    @property
    def is_closing(self) -> bool:
        """Has our closing frame been sent?"""
        return self._protocol.state is not State.OPEN

    # From the client

    def on_data(self, data: bytes) -> None:
        """Frames, or pieces of them."""
        self._heartbeat.on_traffic(self._carrier.service.loop.now)
        self._take(data)

    def on_credit(self) -> None:
        """The app has read: hand on what had to wait."""
        self._take(b"")

    def on_timeout(self) -> None:
        """The time between pings has passed."""
        if self._pings is None:
            return
        now = self._carrier.service.loop.now
        if self._protocol.is_blocked or self._carrier.pending_bytes:
            self._heartbeat.on_traffic(now)  # it is we who do not read, or it reads still
        beat = self._heartbeat.due(now)
        if beat is Beat.DEAD:
            self._carrier.abort()
            return
        if beat is Beat.PING and self._protocol.state is State.OPEN:
            self._carrier.write(self._protocol.send_ping())
        self._pings.start(self)

    def on_end(self) -> None:
        """The connection has ended."""
        if self._pings is not None:
            self._pings.stop(self)
            self._pings = None

    # From the worker

    def send(self, kind: Kind, data: bytes, end: bool) -> None:
        """A piece of a message of the app."""
        if self._protocol.state is State.OPEN:
            self._exchange.carry(self._protocol.send_piece(kind, data, end), len(data))

    def close(self, code: int, reason: str) -> None:
        """Close from our side; the client has some seconds to answer.

        What it sent before may have waited for credit, its own closing frame among it: no
        message is handed on any more, so it is read now.
        """
        if not may_send_code(code):
            code = _INTERNAL_ERROR
        if self._protocol.state in (State.OPEN, State.FAILED):
            self._carrier.write(self._protocol.close(code, reason))
            self._carrier.on_link_closing()
            self._take(b"")

    def go_away(self, code: int = _GOING_AWAY, reason: str = "") -> None:
        """The runtime or the worker ends: both sides are told."""
        self.code, self.reason = code, reason
        self._exchange.let_go("closed")
        self.close(code, reason)

    def _take(self, data: bytes) -> None:
        exchange, protocol = self._exchange, self._protocol
        for event in protocol.receive(data, exchange.upload_credit):
            if isinstance(event, Piece):
                exchange.upload_credit -= len(event.data) + MESSAGE_OVERHEAD
                if exchange.place is not None:
                    exchange.place.on_message(exchange, event.kind, event.data, event.end)
            elif isinstance(event, PeerClosed | Failed):
                self.code, self.reason = event.code, event.reason
                exchange.let_go("closed")
        outgoing = protocol.outgoing()
        if protocol.state is State.FAILED:  # its closing frame bears the failure's own code
            outgoing += protocol.close(self.code, self.reason)
        if outgoing:
            self._carrier.write(outgoing)
        if protocol.state is State.CLOSED:
            self._carrier.on_link_closed()
