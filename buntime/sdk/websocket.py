"""WebSocket, as an app sees it: `def websocket(ws)` beside `fetch` or `routes`, or alone.

    async def websocket(ws):
        async for message in ws:
            await ws.send(message)

The handshake waits for the app: `accept` answers it, and so does the first receive or send, while
`deny` refuses it. The worker's `Link` carries the messages and knows the state of the connection.
"""

from __future__ import annotations

from buntime.sdk.fields import Headers
from buntime.sdk.request import Head
from buntime.sdk.response import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Protocol, Self

    from buntime.sdk.response import HeadersLike, Piece

    Pairs = list[tuple[str, str]]

    class State(Protocol):
        """The state of a WebSocket."""

        @property
        def is_new(self) -> bool:
            """Whether its handshake still waits for an answer."""

        @property
        def closing(self) -> tuple[int, str] | None:
            """Code and reason, once it is closed."""

    class Link(State, Protocol):
        """Carries the messages of a sync handler; all methods may block."""

        def accept(self, subprotocol: str | None, headers: Pairs, /) -> None: ...
        def deny(self, response: Response, /) -> None: ...
        def receive(self) -> str | bytes: ...
        def send_message(self, kind: str, data: bytes, /) -> None: ...
        def close(self, code: int, reason: str, /) -> None: ...

    class AsyncLink(State, Protocol):
        """Carries the messages of an async handler."""

        async def accept(self, subprotocol: str | None, headers: Pairs, /) -> None: ...
        async def deny(self, response: Response, /) -> None: ...
        async def receive(self) -> str | bytes: ...
        async def send_message(self, kind: str, data: bytes, /) -> None: ...
        async def close(self, code: int, reason: str, /) -> None: ...


__all__ = ["AsyncWebSocket", "WebSocket", "WebSocketClosed"]


class WebSocketClosed(Exception):
    """The WebSocket is closed: nothing more comes, and nothing more can be sent.

    `code` and `reason` are those of its closing frame (RFC 6455 7.4): 1000 for a normal end, 1001
    for a client that leaves its page or a runtime that ends, 1005 for a frame without a code, 1006
    for a connection that was lost, 1012 for a worker that is replaced.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.code} {self.reason}".rstrip()


class WebSocket(Head):
    """A WebSocket for a sync handler. Waiting blocks its thread; other threads may send too.

    `Head` has the parts of the handshake, such as `path`, `query`, `headers` and `cookies`.
    `subprotocols` are those the client offers, the best first; `subprotocol` the accepted one.
    """

    def __init__(  # noqa: PLR0913  # called in few places, from one message of the channel
        self,
        target: str,
        base: str,
        headers: HeadersLike,
        *,
        link: Link | AsyncLink,
        subprotocols: Sequence[str] = (),
        scheme: str = "ws",
        client: tuple[str, int] | None = None,
        server: tuple[str, int] | None = None,
        id: str = "",  # noqa: A002  # what apps call it
    ) -> None:
        super().__init__(
            "GET", target, base, headers, scheme=scheme, client=client, server=server, id=id
        )
        self.subprotocols = tuple(subprotocols)
        self.subprotocol: str | None = None
        self._link: Any = link

    @property
    def close_code(self) -> int | None:
        """The code it was closed with, by either side; None while it is open."""
        closing = self._link.closing
        return closing[0] if closing else None

    @property
    def close_reason(self) -> str:
        """The reason that came with the code."""
        closing = self._link.closing
        return closing[1] if closing else ""

    def accept(self, subprotocol: str | None = None, headers: HeadersLike = None) -> None:
        """Answer the handshake: with one of `subprotocols`, and headers such as Set-Cookie."""
        self._link.accept(subprotocol, Headers(headers).items())
        self.subprotocol = subprotocol

    def deny(self, response: Response) -> None:
        """Refuse the handshake, by an HTTP response such as `Response("log in first", 401)`."""
        self._link.deny(_checked(response))

    def receive(self) -> str | bytes:
        """Wait for the next message. Raises WebSocketClosed at the end."""
        if self._link.is_new:
            self.accept()
        message: str | bytes = self._link.receive()
        return message

    def receive_json(self) -> Any:
        """Wait for the next message, and read it as JSON.

        Raises BadBody if it is not JSON; a handler that does not catch it closes with 1007.
        """
        return _json(self.receive())

    def send(self, message: Piece) -> None:
        """Send text or bytes; waits while the client takes nothing. Raises WebSocketClosed."""
        kind, data = _kind_and_data(message)
        if self._link.is_new:
            self.accept()
        self._link.send_message(kind, data)

    def send_json(self, value: Any) -> None:
        """Send a value as JSON, in a text message."""
        self.send(_json_text(value))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close; a second call does nothing. Before `accept` it denies with 403."""
        self._link.close(code, reason)

    def __iter__(self) -> Self:
        """Iterate over the messages; ends when the WebSocket is closed, see `close_code`."""
        return self

    def __next__(self) -> str | bytes:
        try:
            return self.receive()
        except WebSocketClosed:
            raise StopIteration from None


class AsyncWebSocket(WebSocket):
    """A WebSocket for an async handler: waiting methods are awaited. Any task may send."""

    # The handler's kind decides which of the two classes it gets; nothing takes either of them.
    async def accept(  # type: ignore[override]  # async by intent
        self, subprotocol: str | None = None, headers: HeadersLike = None
    ) -> None:
        """Answer the handshake."""
        await self._link.accept(subprotocol, Headers(headers).items())
        self.subprotocol = subprotocol

    async def deny(self, response: Response) -> None:  # type: ignore[override]  # async by intent
        """Refuse the handshake."""
        await self._link.deny(_checked(response))

    async def receive(self) -> str | bytes:  # type: ignore[override]  # async by intent
        """Wait for the next message."""
        if self._link.is_new:
            await self.accept()
        message: str | bytes = await self._link.receive()
        return message

    async def receive_json(self) -> Any:
        """Wait for the next message, and read it as JSON."""
        return _json(await self.receive())

    async def send(self, message: Piece) -> None:  # type: ignore[override]  # async by intent
        """Send text or bytes."""
        kind, data = _kind_and_data(message)
        if self._link.is_new:
            await self.accept()
        await self._link.send_message(kind, data)

    async def send_json(self, value: Any) -> None:  # type: ignore[override]  # async by intent
        """Send a value as JSON."""
        await self.send(_json_text(value))

    async def close(  # type: ignore[override]  # async by intent
        self, code: int = 1000, reason: str = ""
    ) -> None:
        """Close, or deny if nothing was accepted yet."""
        await self._link.close(code, reason)

    def __iter__(self) -> Self:
        raise TypeError("this WebSocket is async: use `async for message in ws`")

    def __aiter__(self) -> Self:
        """Iterate over the messages; ends when the WebSocket is closed."""
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except WebSocketClosed:
            raise StopAsyncIteration from None


def _checked(response: Any) -> Response:
    if not isinstance(response, Response):
        kind = type(response).__name__
        raise TypeError(f"a WebSocket is denied by a buntime.Response, not by a value of {kind}")
    return response


def _kind_and_data(message: Any) -> tuple[str, bytes]:
    if isinstance(message, str):
        return "text", message.encode()
    if isinstance(message, bytes):
        return "bytes", message
    if isinstance(message, (bytearray, memoryview)):
        return "bytes", bytes(message)
    raise TypeError(
        f"a message is str or bytes, not {type(message).__name__}; send_json takes other values"
    )


def _json_text(value: Any) -> str:
    from buntime.sdk.jsontext import json_text  # 14 ms, for an app whose messages are no JSON

    return json_text(value)


def _json(message: str | bytes) -> Any:
    from buntime.sdk.jsontext import json_value  # 14 ms, unless the channel has loaded json

    return json_value(message, "the message")
