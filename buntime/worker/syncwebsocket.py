"""`def websocket(ws)` of a sync app: each open WebSocket has a thread to itself."""

from __future__ import annotations

import _thread

from buntime.sdk import closecodes
from buntime.sdk.request import BadBody
from buntime.sdk.websocket import WebSocket
from buntime.worker.engine import Sockets
from buntime.worker.fetch import respond
from buntime.worker.sync import SyncExchange
from buntime.worker.websocket import Socket, check_result, websocket_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from buntime.sdk.request import Response
    from buntime.wire import Message
    from buntime.worker.exchange import Pairs, Send
    from buntime.worker.fetch import Handler


class SyncSocket(Socket, SyncExchange):
    """A WebSocket whose handler blocks its thread; any other thread may use it too.

    One sender holds `_turn` for a whole message, because messages must not mix; `_mutex` is held
    for one piece, so that nothing is sent after the end, and a close need not wait for a slow
    message.
    """

    def __init__(
        self, head: Message, payload: bytes, send: Send, forget: Callable[[int], Any]
    ) -> None:
        super().__init__(head, payload, send, forget)
        self._mutex = _thread.RLock()
        self._turn = _thread.allocate_lock()
        self._receiving = _thread.allocate_lock()

    def accept(self, subprotocol: str | None, headers: Pairs) -> None:
        """Answer the handshake."""
        with self._mutex:
            self.open(subprotocol, headers)

    def deny(self, response: Response) -> None:
        """Refuse the handshake by a response."""
        respond(self, response)

    def receive(self) -> str | bytes:
        """Wait for a message."""
        with self._receiving:
            while True:
                seen = self.news
                message = self.take_message()
                if message is not None:
                    return message
                self.threads.wait(self, seen, gives_way=True)

    def send_message(self, kind: str, data: bytes) -> None:
        """Send a message; returns when the kernel has it."""
        self.threads.glance(self)
        with self._turn:
            rest: bytes | memoryview = data
            while True:
                seen = self.news
                with self._mutex:
                    size = self.send_some(kind, rest)
                if size is None:
                    self.threads.wait(self, seen, gives_way=True)
                elif size == len(rest):
                    return
                else:
                    rest = memoryview(rest)[size:]

    def close(self, code: int, reason: str) -> None:
        """Close; threads that receive or send hear of it."""
        with self._mutex:
            self.shut(code, reason)
        self.threads.tell(self)

    def finish(self) -> None:
        """End the exchange."""
        with self._mutex:
            super().finish()

    def fail(self, exc: BaseException) -> None:
        """End the exchange with an error."""
        with self._mutex:
            super().fail(exc)


def sync_sockets(handler: Handler) -> Sockets[Any]:
    """Adapt a handler of WebSockets, for a sync app."""

    def handle(socket: SyncSocket) -> None:
        ws = websocket_of(socket, socket, WebSocket)
        try:
            response = check_result(handler.call(ws), handler)
            if response is not None:
                socket.deny(response)
        except BadBody as exc:
            socket.close(closecodes.BAD_MESSAGE, str(exc))
        socket.finish()

    return Sockets(SyncSocket, handle)
