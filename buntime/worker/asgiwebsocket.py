"""ASGI's websocket scope, as of its specification 2.4, with `websocket.http.response`.

receive   connect  (receive)*  (disconnect)*
send      accept   (send)*  close
          close                                  the handshake is answered with 403
          http.response.start  (http.response.body)+
"""

from __future__ import annotations

from buntime.sdk import closecodes
from buntime.sdk.request import ClientGone
from buntime.sdk.websocket import WebSocketClosed
from buntime.worker.aiowebsocket import AsyncSocket
from buntime.worker.asgi import Call, headers_of, scope_of
from buntime.worker.engine import Sockets
from buntime.worker.exchange import ENDED, HELD, NEW, SENT
from buntime.worker.websocket import CLOSED, OPEN, scheme_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from buntime.wire import Message
    from buntime.worker.lifespan import Application, Event, Scope

# Fields that end at the runtime, but describe the handshake: python-socketio uses them.
_HANDSHAKE = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
# For events that the app sends at the wrong time.
_WHEN = {
    NEW: "before websocket.accept",
    HELD: "in the middle of a response",
    SENT: "in the middle of a response",
    OPEN: "after websocket.accept",
    CLOSED: "after websocket.close",
    ENDED: "after the handshake was denied",
}


def asgi_sockets(
    app: Application, state: dict[str, Any], *, strips_base: bool = False
) -> Sockets[Any]:
    """Adapt an ASGI app to WebSockets; `state` is that of its lifespan."""

    async def handle(socket: AsyncSocket) -> None:
        socket.is_open_ended = True
        call = SocketCall(socket)
        try:
            scope = scope_of_websocket(socket.head, state, strips_base=strips_base)
            await app(scope, call.receive, call.send)
        except Exception as exc:
            # Frameworks report it by their own exceptions, which their examples do not catch.
            if not socket.closing or "Disconnect" not in type(exc).__name__:
                raise
        if socket.stage in (HELD, SENT) and not socket.gone:
            raise RuntimeError("the ASGI app returned before it had sent the end of its response")
        socket.finish()

    return Sockets(AsyncSocket, handle)


class SocketCall:
    """The `receive` and `send` of one WebSocket."""

    def __init__(self, socket: AsyncSocket) -> None:
        self._socket = socket
        self._response = Call(socket)  # if the app denies the handshake by one
        self._is_connected = False  # the app has received websocket.connect

    async def receive(self) -> Event:
        """Return the next event: websocket.disconnect once it is closed by either side."""
        socket = self._socket
        if not self._is_connected:
            self._is_connected = True
            return {"type": "websocket.connect"}
        while socket.stage in (NEW, HELD, SENT) and not socket.gone:
            await socket.news()
        try:
            message = await socket.receive()
        except WebSocketClosed as closed:
            return {"type": "websocket.disconnect", "code": closed.code, "reason": closed.reason}
        return {"type": "websocket.receive", "text" if type(message) is str else "bytes": message}

    async def send(self, event: Event) -> None:
        """Handle an event of the app. Raises OSError when the client is gone."""
        try:
            await self._send(event["type"], event)
        except WebSocketClosed as closed:
            raise ClientGone(f"the WebSocket is closed: {closed}") from None

    async def _send(self, kind: str, event: Event) -> None:
        socket = self._socket
        if kind == "websocket.send" and socket.stage is OPEN:
            await socket.send_message(*_message_of(event))
        elif kind == "websocket.close" and (socket.stage in (NEW, OPEN) or socket.gone):
            code = event.get("code")
            await socket.close(
                closecodes.NORMAL if code is None else code, event.get("reason") or ""
            )
        elif kind == "websocket.accept" and socket.stage is NEW:
            socket.open(event.get("subprotocol"), headers_of(event))
        elif kind.startswith("websocket.http.response.") and socket.stage in (NEW, HELD, SENT):
            await self._response.send({**event, "type": kind[len("websocket.") :]})
        else:
            raise RuntimeError(f"ASGI: the app sent {kind} {_WHEN[socket.stage]}")


def scope_of_websocket(head: Message, state: dict[str, Any], *, strips_base: bool = False) -> Scope:
    """Return the scope of a WebSocket, with all header fields of the handshake."""
    scope = scope_of(head, state, strips_base=strips_base)
    del scope["method"]
    scope["headers"] += _HANDSHAKE
    return scope | {
        "type": "websocket",
        "scheme": scheme_of(head),
        "subprotocols": [*head["subprotocols"]],
        "extensions": {"websocket.http.response": {}},
    }


def _message_of(event: Event) -> tuple[str, bytes]:
    text, data = event.get("text"), event.get("bytes")
    if isinstance(data, bytes):
        return "bytes", data
    if isinstance(text, str) and data is None:
        return "text", text.encode()
    if isinstance(data, (bytearray, memoryview)):
        return "bytes", bytes(data)
    raise TypeError(
        "ASGI: websocket.send needs text as str or bytes as bytes, not "
        f"{type(text).__name__} and {type(data).__name__}"
    )
