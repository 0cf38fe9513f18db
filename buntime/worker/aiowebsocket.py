"""`websocket` of an async app: an async handler on the loop, a sync one in a thread of its own."""

from __future__ import annotations

import asyncio

from buntime.sdk import closecodes
from buntime.sdk.request import BadBody
from buntime.sdk.websocket import AsyncWebSocket, WebSocket
from buntime.worker.aio import AsyncExchange
from buntime.worker.aiofetch import Threads, respond
from buntime.worker.engine import Sockets
from buntime.worker.websocket import Socket, check_result, websocket_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, TypeVar

    from buntime.sdk.request import Response
    from buntime.wire import Message
    from buntime.worker.exchange import Pairs, Send
    from buntime.worker.fetch import Handler

    T = TypeVar("T")

# Between the close of a WebSocket and the cancellation of its handler: for one that does not know
# because it waits for something else, and for one that was told and may be cleaning up.
GRACE_S = 1.0
NOTIFIED_GRACE_S = 10.0


class AsyncSocket(Socket, AsyncExchange):
    """A WebSocket whose handler is a task; any other task may use it too."""

    cancel_after_s = GRACE_S
    threads: Threads  # for blocking code in a response that denies it
    _is_notified = False
    _was_spared = False

    def __init__(
        self, head: Message, payload: bytes, send: Send, forget: Callable[[int], Any]
    ) -> None:
        super().__init__(head, payload, send, forget)
        self._turn = asyncio.Lock()  # one sender's for a whole message: messages must not mix
        self._rest: tuple[str, memoryview] | None = None  # of a message whose sender was cancelled

    def departure(self) -> Exception:
        """Return the error that tells a handler that it is closed."""
        self._is_notified = True
        return super().departure()

    def spare_s(self) -> float:
        """Return how much longer a handler that was told may continue; called once."""
        if not self._is_notified or self._was_spared:
            return 0.0
        self._was_spared = True
        return NOTIFIED_GRACE_S

    async def accept(self, subprotocol: str | None, headers: Pairs) -> None:
        """Answer the handshake."""
        self.open(subprotocol, headers)

    async def deny(self, response: Response) -> None:
        """Refuse the handshake by a response."""
        await respond(self, response, self.threads)

    async def receive(self) -> str | bytes:
        """Wait for a message."""
        while (message := self.take_message()) is None:
            await self.news()
        return message

    async def send_message(self, kind: str, data: bytes) -> None:
        """Send a message; waits for credit, and while too much is unsent."""
        if self._rest is None and not self._turn.locked() and self.fits_message(data):
            self.send_some(kind, data)
        else:
            async with self._turn:
                if self._rest is not None:
                    await self._send_rest()
                await self._send_all(kind, memoryview(data))
        if self.outlet.is_full:
            await self.outlet.drain()

    async def _send_all(self, kind: str, data: memoryview) -> None:
        """Send a message in pieces; a sender that is cancelled meanwhile leaves `_rest`."""
        while (size := self.send_some(kind, data)) is None:
            await self.news()
        if size < len(data):
            self._rest = kind, data[size:]
            await self._send_rest()

    async def _send_rest(self) -> None:
        while self._rest is not None:
            kind, data = self._rest
            size = self.send_some(kind, data)
            if size is None:
                await self.news()
            else:
                self._rest = (kind, data[size:]) if size < len(data) else None

    async def close(self, code: int, reason: str) -> None:
        """Close; tasks that receive or send hear of it."""
        self.shut(code, reason)
        self.tell()


class BlockingLink:
    """A WebSocket for a sync handler in a thread beside the loop."""

    def __init__(self, socket: AsyncSocket) -> None:
        self._socket = socket

    @property
    def is_new(self) -> bool:
        """Whether its handshake still waits for an answer."""
        return self._socket.is_new

    @property
    def closing(self) -> tuple[int, str] | None:
        """Code and reason, once it is closed."""
        return self._socket.closing

    def accept(self, subprotocol: str | None, headers: Pairs) -> None:
        """Answer the handshake."""
        self._wait_for(self._socket.accept(subprotocol, headers))

    def deny(self, response: Response) -> None:
        """Refuse the handshake."""
        self._wait_for(self._socket.deny(response))

    def receive(self) -> str | bytes:
        """Wait for a message."""
        return self._wait_for(self._socket.receive())

    def send_message(self, kind: str, data: bytes) -> None:
        """Send a message."""
        self._wait_for(self._socket.send_message(kind, data))

    def close(self, code: int, reason: str) -> None:
        """Close."""
        self._wait_for(self._socket.close(code, reason))

    def _wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._socket.loop).result()


def async_sockets(handler: Handler, concurrency: int) -> Sockets[Any]:
    """Adapt a handler of WebSockets, for an async app."""
    threads = Threads(concurrency, "websocket")

    async def handle(socket: AsyncSocket) -> None:
        socket.threads = threads
        socket.is_open_ended = handler.needs_loop
        try:
            if handler.needs_loop:
                ws = websocket_of(socket, socket, AsyncWebSocket)
                result = await threads.call_for_loop(handler, ws)
            else:
                blocking = websocket_of(socket, BlockingLink(socket), WebSocket)
                result = await threads.call(handler.call, blocking)
            response = check_result(result, handler)
            if response is not None:
                await socket.deny(response)
        except BadBody as exc:
            socket.shut(closecodes.BAD_MESSAGE, str(exc))
        socket.finish()

    return Sockets(AsyncSocket, handle)
